#!/bin/sh
# pin.sh [REFERENCE...]: looks up the digests of the base images (cloudbuild.yaml's) and writes them to bases.txt beside this
# file, where build.sh finds them: commit the file, and every build starts from the same images. Run again to take newer
# ones. Needs docker with buildx, and no engine.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
trap 'rm -f "$here/bases.txt.new"' EXIT
[ $# -gt 0 ] || set -- $(sed -n 's/^  _\(GO\|DEBIAN\|DEBIAN_SID\|VALKEY\|CUDA\)_IMAGE: *\([^ #]*\).*/\2/p' "$here/../../cloudbuild.yaml")
{
	echo "# NAME:TAG NAME@DIGEST, as pin.sh found them. build.sh takes the second for the first."
	for reference in "$@"; do
		digest=$(docker buildx imagetools inspect "$reference" --format '{{.Manifest.Digest}}')
		case $digest in sha256:?*) ;; *) echo "pin.sh: no digest of $reference" >&2; exit 1 ;; esac
		echo "$reference ${reference%:*}@$digest"
	done
} >"$here/bases.txt.new"
mv "$here/bases.txt.new" "$here/bases.txt"
cat "$here/bases.txt"
