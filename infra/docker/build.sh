#!/bin/sh
# build.sh KIND: builds and pushes one image with Docker's BuildKit, with the layer cache in a repository beside the images,
# and notes its digest in $OUT/KIND. Run by cloudbuild.yaml in the project's root; a person may run it too. KIND is bases
# (first: the builder and the digests of the base images), static, media, preprocess, depth, train, train-cuda (for training on
# a card), or valkey, which is copied and not built.
#
#   REPOSITORY                                  where images go: REGION-docker.pkg.dev/PROJECT/splatworks
#   OUT                                         folder of the notes; OUT/runtime says cuda when depth is to use a GPU
#   GO_IMAGE DEBIAN_IMAGE DEBIAN_SID_IMAGE VALKEY_IMAGE CUDA_IMAGE
#                                               base images; without @sha256: their digest is taken from bases.txt (pin.sh),
#                                               else looked up now, and printed
#   SNAPSHOT                                    yes: Debian's packages of the base image's day; no: today's
#   RUNTIME_URL RUNTIME_SHA256 MODEL_URL MODEL_SHA256   for depth with a model; without them depth says that it has none
#   RUNTIME_GPU_URL RUNTIME_GPU_SHA256          the runtime for OUT/runtime = cuda
#   IMAGES, DESTROY                             an earlier build's images are used, or none: nothing is built
set -eu
kind=$1
: "${REPOSITORY:?}" "${OUT:?}"
mkdir -p "$OUT"
if [ -n "${IMAGES:-}" ] || [ "${DESTROY:-false}" = true ]; then
	echo "build.sh: no $kind: ${IMAGES:+the images of build $IMAGES are used}"
	exit 0
fi

# again COMMAND...: up to five times; registries refuse a call now and then.
again() {
	for n in 1 2 3 4 5; do
		if "$@"; then return 0; fi
		[ $n = 5 ] || { echo "build.sh: once more in $((n * ${PAUSE:-15})) seconds: $*" >&2; sleep $((n * ${PAUSE:-15})); }
	done
	return 1
}

# pinned NAME REFERENCE: --build-arg of the reference by digest, looked up once a build.
pinned() {
	note=$OUT/base.$1
	if [ ! -s "$note" ]; then
		known=$(sed -n "s|^$2 ||p" infra/docker/bases.txt 2>/dev/null || true)
		case $2 in
		*@sha256:*) echo "$2" >"$note" ;;
		*)
			if [ -n "$known" ]; then
				echo "$known" >"$note"
			else
				digest=$(again docker buildx imagetools inspect "$2" --format '{{.Manifest.Digest}}') || return 1
				echo "${2%:*}@$digest" >"$note"
				echo "build.sh: $1 is $2, today $(cat "$note"); make pin keeps it" >&2
			fi
			;;
		esac
	fi
	printf -- '--build-arg %s=%s ' "$1" "$(cat "$note")"
}

runtime=$(cat "$OUT/runtime" 2>/dev/null || echo cpu)
if [ "$kind" = bases ]; then
	docker buildx inspect "${BUILDX_BUILDER:=splatworks}" >/dev/null 2>&1 || docker buildx create --name "$BUILDX_BUILDER" --driver docker-container \
		--driver-opt image=mirror.gcr.io/moby/buildkit:buildx-stable-1 --buildkitd-config infra/docker/buildkitd.toml
	again docker buildx inspect --bootstrap "$BUILDX_BUILDER"
	pinned GO_IMAGE "${GO_IMAGE:-golang:1.26-trixie}" >/dev/null
	pinned DEBIAN_IMAGE "${DEBIAN_IMAGE:-debian:trixie-slim}" >/dev/null
	pinned DEBIAN_SID_IMAGE "${DEBIAN_SID_IMAGE:-debian:sid-slim}" >/dev/null
	if [ "$runtime" = cuda ]; then pinned CUDA_IMAGE "${CUDA_IMAGE:?}" >/dev/null; fi
	exit 0
fi
base() { printf -- '--build-arg %s=%s ' "$1" "$(cat "$OUT/base.$1")"; }
static() { printf -- '--build-arg STATIC_IMAGE=%s ' "$(cat "$OUT/static")"; }
snapshot="--build-arg SNAPSHOT=${SNAPSHOT:-yes}"

case $kind in
static) arguments=$(base GO_IMAGE) ;;
media | train) arguments="$(base DEBIAN_IMAGE) $(static) $snapshot" ;;
preprocess) arguments="$(base DEBIAN_SID_IMAGE) $(static) $snapshot" ;;
train-cuda) arguments=$(base GO_IMAGE) ;;
depth)
	arguments="$(base GO_IMAGE) $(base DEBIAN_IMAGE) $snapshot"
	if [ -z "${MODEL_URL:-}" ]; then
		runtime=none
		arguments="$arguments --target plain"
	else
		arguments="$arguments --build-arg MODEL_URL=$MODEL_URL --build-arg MODEL_SHA256=${MODEL_SHA256:?}"
		if [ "$runtime" = cuda ]; then
			arguments="$arguments --target gpu $(base CUDA_IMAGE) --build-arg RUNTIME_URL=${RUNTIME_GPU_URL:?} --build-arg RUNTIME_SHA256=${RUNTIME_GPU_SHA256:?}"
		else
			arguments="$arguments --target full --build-arg RUNTIME_URL=${RUNTIME_URL:?} --build-arg RUNTIME_SHA256=${RUNTIME_SHA256:?}"
		fi
	fi
	;;
valkey)
	pinned VALKEY_IMAGE "${VALKEY_IMAGE:?}" >/dev/null
	again docker buildx imagetools create --tag "$REPOSITORY/valkey:${TAG:-latest}" "$(cat "$OUT/base.VALKEY_IMAGE")"
	digest=$(again docker buildx imagetools inspect "$REPOSITORY/valkey:${TAG:-latest}" --format '{{.Manifest.Digest}}')
	echo "$REPOSITORY/valkey@$digest" >"$OUT/valkey"
	echo "build.sh: $(cat "$OUT/valkey")"
	exit 0
	;;
*) echo "build.sh: bases, static, media, preprocess, depth, train, train-cuda or valkey" >&2; exit 1 ;;
esac

# What was built before a refused pull or push is in the builder's own cache, so a repetition is short.
# shellcheck disable=SC2086 # the arguments are words without spaces
again docker buildx build --file "infra/docker/$kind.Dockerfile" $arguments \
	--cache-from "type=registry,ref=$REPOSITORY-cache/$kind:cache" --cache-to "type=registry,ref=$REPOSITORY-cache/$kind:cache,mode=max,ignore-error=true" \
	--provenance=mode=max --sbom=true --push --tag "$REPOSITORY/$kind:${TAG:-latest}" --metadata-file "$OUT/$kind.json" .
digest=$(sed -n 's/.*"containerimage.digest": "\(sha256:[0-9a-f]*\)".*/\1/p' "$OUT/$kind.json")
[ -n "$digest" ] || { echo "build.sh: no digest in $OUT/$kind.json" >&2; exit 1; }
if [ "$kind" = depth ]; then echo "$runtime" >"$OUT/depth.runtime"; fi
echo "$REPOSITORY/$kind@$digest" >"$OUT/$kind"
echo "build.sh: $(cat "$OUT/$kind")"
