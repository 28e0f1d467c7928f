#!/bin/sh
# images.sh placeholders|write: writes terraform/build.auto.tfvars.json, what the build passes to terraform: project, region, the
# images by digest and what depth's image computes with. placeholders stands in until the images are there, for what needs
# none of them; write takes the notes of infra/docker/build.sh in $OUT, and leaves the file of an earlier build
# (build/kept.sh) as it is.
set -eu
cd "$(dirname "$0")/.."
: "${PROJECT_ID:?}" "${_REGION:?}" "${OUT:?}"
file=build.auto.tfvars.json
[ ! -s "$OUT/kept.json" ] || { cp "$OUT/kept.json" $file; exit 0; }

what=$1
[ "${DESTROY:-false}" = false ] || what=placeholders # of a deployment that never went through
image() {
	if [ "$what" = write ]; then cat "$OUT/$1"; else printf 'none@sha256:%064d' 0; fi
}
kinds="static media preprocess depth train"
[ "$(cat "$OUT/training")" != cuda ] || kinds="$kinds train-cuda"
[ "$(cat "$OUT/engine")" != vm ] || kinds="$kinds valkey"
runtime=$(cat "$OUT/runtime")
[ "$what" != write ] || runtime=$(cat "$OUT/depth.runtime")
{
	printf '{\n  "project_id": "%s",\n  "region": "%s",\n  "depth_runtime": "%s",\n  "images": {' "$PROJECT_ID" "$_REGION" "$runtime"
	separator=''
	for kind in $kinds; do
		printf '%s\n    "%s": "%s"' "$separator" "$kind" "$(image "$kind")"
		separator=,
	done
	printf '\n  }\n}\n'
} >$file.new
mv $file.new $file
