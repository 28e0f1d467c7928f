#!/usr/bin/env bash
# fuzz.sh: runs every fuzz target for FUZZTIME (30s) each. Called by `make fuzz`.
set -euo pipefail
cd "$(dirname "$0")/../.."
time=${FUZZTIME:-30s}
grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r package; do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$package"/*_test.go | sed 's/func //'); do
		echo "== $package $target"
		go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time"
	done
done
