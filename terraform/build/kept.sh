#!/bin/bash
# kept.sh: what is kept beside the state, in $STATE (gs://.../splatworks/ENVIRONMENT).
#
#   fetch ENVIRONMENT    the settings and the providers' versions, for this build; with IMAGES the digests of that earlier
#                        build, into $OUT/kept.json; with DESTROY=true those of the last one, if there is one
#   keep BUILD NAME      the digests of this build as images/BUILD.json and images/latest.json, the providers' versions, the
#                        base images' digests, and the tag running-NAME at the images that run now
set -euo pipefail
command=$1
cd "$(dirname "$0")/.."
: "${STATE:?}" "${OUT:?}"
mkdir -p "$OUT"
has() { gcloud storage ls "$1" >/dev/null 2>&1; }

case $command in
fetch)
	environment=$2
	if has "$STATE/settings.tfvars"; then
		gcloud storage cp "$STATE/settings.tfvars" "environments/$environment.settings.tfvars"
	else
		echo "no settings at $STATE/settings.tfvars: the defaults apply"
	fi
	if [ "${_UPGRADE:-false}" != true ] && has "$STATE/lock.hcl"; then gcloud storage cp "$STATE/lock.hcl" .terraform.lock.hcl; fi
	if [ -n "${IMAGES:-}" ]; then
		has "$STATE/images/$IMAGES.json" || {
			echo "no deployment of $environment was made by build $IMAGES; there are: $(gcloud storage ls "$STATE/images/" 2>/dev/null | sed 's/.*\///; s/\.json$//' | tr '\n' ' ')" >&2
			exit 1
		}
		gcloud storage cp "$STATE/images/$IMAGES.json" "$OUT/kept.json"
	elif [ "${DESTROY:-false}" = true ] && has "$STATE/images/latest.json"; then
		gcloud storage cp "$STATE/images/latest.json" "$OUT/kept.json"
	fi
	;;
keep)
	build=$2 name=$3
	sed -n 's/^ *"[a-z-]*": "\(.*@sha256:.*\)",\{0,1\}$/\1/p' build.auto.tfvars.json | while read -r image; do
		gcloud artifacts docker tags add "$image" "${image%@*}:running-$name"
	done
	gcloud storage cp build.auto.tfvars.json "$STATE/images/$build.json"
	gcloud storage cp build.auto.tfvars.json "$STATE/images/latest.json"
	gcloud storage cp .terraform.lock.hcl "$STATE/lock.hcl"
	for base in "$OUT"/base.*; do
		[ ! -e "$base" ] || gcloud storage cp "$base" "$STATE/images/bases/$build/"
	done
	echo "back to these images later: make deploy ... IMAGES=$build"
	;;
*) echo "kept.sh: fetch or keep" >&2; exit 1 ;;
esac
