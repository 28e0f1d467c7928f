#!/bin/sh
# build.sh KIND: builds and pushes one image with Docker's BuildKit, with the layer cache kept beside the images, and notes
# its digest in $OUT/KIND. Run by cloudbuild.yaml in the project's root; a person may run it too.
#
#   REPOSITORY                                  where images go: REGION-docker.pkg.dev/PROJECT/splatworks
#   OUT                                         folder of the notes
#   GO_IMAGE DEBIAN_IMAGE DEBIAN_SID_IMAGE      base images; without @sha256: their digest is looked up now, and printed
#   RUNTIME_URL RUNTIME_SHA256 MODEL_URL MODEL_SHA256   for depth with a model; without them depth says that it has none
#   CUDA_IMAGE                                  with them: CUDA's libraries for depth on a GPU, from this image
set -eu
kind=$1
: "${REPOSITORY:?}" "${OUT:?}"
mkdir -p "$OUT"

# pinned NAME REFERENCE: --build-arg of the reference by digest, looked up once a build.
pinned() {
	note=$OUT/base.$1
	if [ ! -s "$note" ]; then
		case $2 in
		*@sha256:*) echo "$2" >"$note" ;;
		*)
			digest=$(docker buildx imagetools inspect "$2" --format '{{.Manifest.Digest}}')
			echo "${2%%:*}@$digest" >"$note"
			echo "build.sh: $1 is $2, today $(cat "$note"); pass that to build the same again" >&2
			;;
		esac
	fi
	printf -- '--build-arg %s=%s ' "$1" "$(cat "$note")"
}

go=$(pinned GO_IMAGE "${GO_IMAGE:-golang:1.26-trixie}")
debian=$(pinned DEBIAN_IMAGE "${DEBIAN_IMAGE:-debian:trixie-slim}")
sid=$(pinned DEBIAN_SID_IMAGE "${DEBIAN_SID_IMAGE:-debian:sid-slim}")
[ "$kind" != bases ] || exit 0
static() { printf -- '--build-arg STATIC_IMAGE=%s ' "$(cat "$OUT/static")"; }

case $kind in
static) arguments=$go ;;
media) arguments="$debian $(static)" ;;
preprocess) arguments="$sid $(static)" ;;
train) arguments=$(static) ;;
depth)
	arguments="$go $debian --target plain"
	if [ -n "${MODEL_URL:-}" ]; then
		target="--target full"
		if [ -n "${CUDA_IMAGE:-}" ]; then target="--target gpu --build-arg CUDA_IMAGE=$CUDA_IMAGE"; fi
		arguments="$go $debian $target --build-arg RUNTIME_URL=${RUNTIME_URL:?} --build-arg RUNTIME_SHA256=${RUNTIME_SHA256:?} --build-arg MODEL_URL=$MODEL_URL --build-arg MODEL_SHA256=${MODEL_SHA256:?}"
	fi
	;;
*) echo "build.sh: static, media, preprocess, depth or train" >&2; exit 1 ;;
esac

# shellcheck disable=SC2086 # the arguments are words without spaces
docker buildx build --file "infra/docker/$kind.Dockerfile" $arguments \
	--cache-from "type=registry,ref=$REPOSITORY/$kind:cache" --cache-to "type=registry,ref=$REPOSITORY/$kind:cache,mode=max" \
	--provenance=mode=max --sbom=true --push --tag "$REPOSITORY/$kind:${TAG:-latest}" --metadata-file "$OUT/$kind.json" .
digest=$(sed -n 's/.*"containerimage.digest": "\(sha256:[0-9a-f]*\)".*/\1/p' "$OUT/$kind.json")
[ -n "$digest" ] || { echo "build.sh: no digest in $OUT/$kind.json" >&2; exit 1; }
echo "$REPOSITORY/$kind@$digest" >"$OUT/$kind"
echo "build.sh: $(cat "$OUT/$kind")"
