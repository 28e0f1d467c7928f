#!/usr/bin/env bash
# captures.sh: reconstructs the real captures and prints the table of docs/performance.md, with BASE=commit beside the program of that
# commit. Called by `make captures`; PRESETS (preview) and SEEDS (1) are lists with commas, ONLY a part of a capture's name, FILE
# (out/captures/runs.jsonl) keeps the results, with which the same command continues.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${SPLATWORKS_CAPTURES:-}" ]; then
	echo "skipped: SPLATWORKS_CAPTURES names no folder of captures"
	exit 0
fi
file=$(realpath -m "${FILE:-out/captures/runs.jsonl}")
mkdir -p "$(dirname "$file")"
base=
if [ -n "${BASE:-}" ]; then
	commit=$(git rev-parse --verify "$BASE^{commit}")
	base=$(dirname "$file")/splatworks-$commit
	if [ ! -x "$base" ]; then
		tree=$(mktemp -d)
		trap 'git worktree remove --force "$tree"' EXIT
		git worktree add --quiet --detach "$tree" "$commit"
		(cd "$tree" && go build -tags nodynamic -trimpath -o "$base" ./cmd/splatworks)
	fi
fi
go test -tags nodynamic ./internal/e2e -run '^TestCaptures$' -v -timeout 24h -captures "$file" -captures-presets "${PRESETS:-preview}" \
	-captures-seeds "${SEEDS:-1}" -captures-only "${ONLY:-}" -captures-base "$base"
