#!/usr/bin/env bash
# What a graphics card does, in one run of under ten minutes: its name, every kernel against plain Go, refinement against the
# processor's, milliseconds of an iteration and its kernels, and a capture trained on it and on the processor. docs/gpu.md has the
# floors to compare with.
#
#   engines/gpu/measure.sh build           the programs, into out/gpu, on a machine with Go
#   engines/gpu/measure.sh run [SCENE]     on the machine with the card, which needs nothing but those
#
# DRIVER (cuda, or opencl to rehearse), SIZES (Gaussians:width ...), ITERATIONS and TRAIN (further flags of the trainer's test) change it.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=out/gpu driver=${DRIVER:-cuda}
case ${1:-} in
build)
    mkdir -p "$out"
    for package in cuda opencl; do
        go test -c -tags gpu -o "$out/$package.test" "./engines/gpu/$package"
    done
    go test -c -tags gpu -o "$out/trainer.test" ./engines/trainer
    ;;
run)
    "$out/$driver.test" -test.run 'MatchesPlainGo' -test.v -test.timeout 3m | grep -E '^(---|    ---|ok|PASS|FAIL)|off|_test.go'
    "$out/trainer.test" -test.run 'TestRefinesOnACard|TestPoseRefinementHelpsOnACard' -test.v -device "$driver" | grep -E '^(---|    ---|ok|PASS|FAIL)|_test.go'
    for size in ${SIZES:-100000:640 1000000:1344 3000000:1600}; do
        echo "== ${size%:*} Gaussians, ${size#*:} pixels wide"
        timeout 100 "$out/$driver.test" -test.run '^$' -test.bench Kernels -test.benchtime 1x -gaussians "${size%:*}" -width "${size#*:}"
        if command -v nvidia-smi >/dev/null; then nvidia-smi --query-gpu=name,memory.used,memory.total,clocks.sm --format=csv,noheader; fi
    done
    if [ -n "${2:-}" ]; then
        # shellcheck disable=SC2086 # TRAIN is several words
        "$out/trainer.test" -test.run TestSceneOnACard -test.v -test.timeout 5m -scene "$2" -device "$driver" -its "${ITERATIONS:-3000}" ${TRAIN:-}
    fi
    ;;
*)
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
