#!/usr/bin/env bash
# What a graphics card does, in one run of under ten minutes: its name, every kernel against plain Go, refinement against the
# processor's, milliseconds of an iteration and its kernels and the memory they take, a capture trained on it and on the processor, and how
# good a capture and a made scene of a million Gaussians are after some seconds. docs/gpu.md has the floors to compare with. Each step runs whatever
# became of the ones before; the last line names those that failed.
#
#   engines/gpu/measure.sh build           the programs, into out/gpu, on a machine with Go
#   engines/gpu/measure.sh run [SCENE]     on the machine with the card, which needs nothing but those and an undistorted scene
#
# DRIVER (cuda, or opencl to rehearse), SIZES (Gaussians:width ...), ITERATIONS, CAPTURE and MADE (flags of the last two steps) and TRAIN (further
# flags of all that train) change it.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=out/gpu driver=${DRIVER:-cuda} failed=
export LD_LIBRARY_PATH=/usr/local/nvidia/lib64:${LD_LIBRARY_PATH:-} # where containers have the driver

# step NAME SECONDS PROGRAM ARGUMENTS...
step() {
    local name=$1 seconds=$2 program=$3
    shift 3
    echo "== $name"
    timeout "$seconds" "$out/$program.test" -test.timeout 0 "$@" || failed="$failed, $name"
}

measure() {
    local train=(-device "$driver" ${TRAIN:-})
    if command -v nvidia-smi >/dev/null; then nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader; fi
    step "every kernel against plain Go" 60 "$driver" -test.run MatchesPlainGo
    step "refinement and poses" 60 trainer -test.run 'TestRefinesOnACard|TestPoseRefinementHelpsOnACard' -device "$driver"
    for size in ${SIZES:-100000:640 1000000:1344 3000000:1600}; do
        step "${size%:*} Gaussians, ${size#*:} pixels wide" 60 "$driver" -test.run '^$' -test.bench Kernels -test.benchtime 1x -gaussians "${size%:*}" -width "${size#*:}"
    done
    # shellcheck disable=SC2086 # several words
    if [ -n "${1:-}" ]; then
        step "a capture beside the processor" 120 trainer -test.run TestSceneOnACard -test.v -scene "$1" -its "${ITERATIONS:-3000}" "${train[@]}"
        step "a capture in some seconds" 50 trainer -test.run TestReachesOnACard -test.v -scene "$1" "${train[@]}" ${CAPTURE:--wall 6s -reach 32}
    fi
    # shellcheck disable=SC2086
    step "a made scene" 120 trainer -test.run TestReachesOnACard -test.v "${train[@]}" ${MADE:--made 1000000 -side 1344 -wall 60s -reach 30}
}

case ${1:-} in
build)
    mkdir -p "$out"
    for package in cuda opencl; do
        go test -c -tags gpu -o "$out/$package.test" "./engines/gpu/$package"
    done
    go test -c -tags gpu -o "$out/trainer.test" ./engines/trainer
    ;;
run)
    measure "${2:-}"
    if [ -n "$failed" ]; then
        echo "== failed: ${failed#, }"
        exit 1
    fi
    echo "== every step passed"
    ;;
*)
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
