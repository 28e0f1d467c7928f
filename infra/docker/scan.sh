#!/bin/sh
# scan.sh [SEVERITY]: reports known vulnerabilities of the images that $OUT names: of the Debian ones by their SBOM, Debian's
# development suite included; of the Go programs by the binaries in static, depth and train-cuda. A scanner that cannot be had or fails is
# said and ends nothing: a registry's bad day must not stop a deployment. With a SEVERITY (low, medium, high, critical) a
# finding of at least that severity, one in a program that is called, or a scan that did not happen ends the build.
set -u
fail_on=${1:-}
: "${OUT:?}" "${GO_IMAGE:?}" "${SCANNER_IMAGE:?}"
if [ -n "${IMAGES:-}" ] || [ "${DESTROY:-false}" = true ]; then exit 0; fi
govulncheck=golang.org/x/vuln/cmd/govulncheck@v1.1.4
bad=''
# note WHAT RC: keeps what ended badly.
note() { [ "$2" = 0 ] || { echo "scan: $1: findings, or no scan (status $2)" >&2; bad="$bad $1"; }; }

packages() {
	docker buildx imagetools inspect "$(cat "$OUT/$1")" --format '{{ json .SBOM.SPDX }}' >"$OUT/$1.spdx.json" && [ -s "$OUT/$1.spdx.json" ] || return 1
	docker run --rm --interactive "$SCANNER_IMAGE" --distro "$2" ${fail_on:+--fail-on "$fail_on"} --only-fixed <"$OUT/$1.spdx.json"
}
programs() {
	container=$(docker create "$(cat "$OUT/$1")" none) || return 1
	docker cp "$container:/app" - | docker run --rm --interactive "$GO_IMAGE" sh -c \
		"mkdir /programs && tar x -C /programs && status=0 && for program in /programs/app/*; do echo \"\$program\"; go run $govulncheck -mode=binary \"\$program\" || status=\$?; done; exit \$status"
	status=$?
	docker rm "$container" >/dev/null
	return $status
}

for image in media:debian:13 depth:debian:13 preprocess:debian:unstable; do
	echo "== packages of ${image%%:*}"
	packages "${image%%:*}" "${image#*:}"
	note "packages of ${image%%:*}" $?
done
kinds="static depth"
[ ! -e "$OUT/train-cuda" ] || kinds="$kinds train-cuda" # built on request
for kind in $kinds; do
	echo "== programs of $kind"
	programs $kind
	note "programs of $kind" $?
done
[ -z "$bad" ] || [ -z "$fail_on" ] || { echo "scan: the build ends here, because _FAIL_ON=$fail_on:$bad" >&2; exit 1; }
exit 0
