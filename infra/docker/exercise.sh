#!/bin/sh
# exercise.sh KIND [PROGRAM]: runs an image's installation where no container engine is: in a fresh root of the same
# distribution, made by mmdebstrap. Prints the sizes, lists what the image's tools say, and, with PROGRAM (a receiver built
# with CGO_ENABLED=0), starts it in
# the root (measure.sh). Needs root, redis-server and the mmdebstrap package. train-cuda needs Go and no mmdebstrap: its root is
# made by card.sh, with the libraries of this machine, and the receiver in it is started.
set -eu
kind=$1
program=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
if [ "$kind" = train-cuda ]; then
	root=$(mktemp -d)
	trap 'rm -rf "$root"' EXIT
	chmod 755 "$root"
	(cd "$here/../.." && sh infra/docker/card.sh "$root")
	echo "$kind: the image's root is $(du -sm "$root" | cut -f1) MB, $(tar cf - -C "$root" . | gzip | wc -c | awk '{ printf "%.1f", $1 / 1e6 }') MB compressed"
	echo "$kind: $(cd "$root" && find lib lib64 -type f | sort | tr '\n' ' ')"
	env -i HOME=/tmp LD_LIBRARY_PATH=/usr/local/nvidia/lib64 /usr/sbin/chroot --userspec=65532:65532 "$root" /app/splatworks doctor --gpu --json || true # there is no card in it
	"$here/measure.sh" "$root/app/train" "$root"
	exit
fi
case $kind in
preprocess) suite=sid ;;
media | depth) suite=trixie ;;
*) echo "exercise.sh: media, preprocess, depth or train-cuda" >&2; exit 1 ;;
esac
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' | head -n 1)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# The variant of Debian's slim images: essential packages and apt. A mirror may lag behind its index' few days of validity.
mmdebstrap --quiet --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' "$suite" "$root" "$mirror" >/dev/null
size() { du -smx "$root" | cut -f1; }
echo "$kind: base $suite $(size) MB"
mkdir "$root/install" && cp -R "$here/install.sh" "$here/packages" "$root/install/"
env -i PATH="$PATH" chroot "$root" sh /install/install.sh "$kind"
rm -rf "$root/install"
installed=$(awk '{ sum += $3 } END { printf "%.0f", sum / 1024 }' "$root/usr/share/splatworks/packages.txt")
echo "$kind: $(wc -l <"$root/usr/share/splatworks/packages.txt") packages, installed sizes sum to $installed MB; the image's root is $(size) MB, $(tar cf - -C "$root" . | gzip -1 | wc -c | awk '{ printf "%.0f", $1 / 1e6 }') MB compressed"
for shell in sh bash dash; do
	if [ -e "$root/usr/bin/$shell" ]; then echo "$kind: $shell is still there" >&2; exit 1; fi
done
run() { env -i PATH="$PATH" chroot --userspec=65532:65532 "$root" /usr/bin/"$@" 2>&1 | sed -n "1s/^/$kind: /p"; }
case $kind in
media) run ffmpeg -hide_banner -version && run ffprobe -hide_banner -version ;;
preprocess)
	run ffmpeg -hide_banner -version
	env -i PATH="$PATH" chroot --userspec=65532:65532 "$root" /usr/bin/colmap help 2>&1 | grep -o 'COLMAP [0-9.]*' | head -n 1
	env -i PATH="$PATH" chroot --userspec=65532:65532 "$root" /usr/bin/colmap global_mapper --help >/dev/null 2>&1 && echo "$kind: colmap global_mapper is there"
	;;
esac
if [ -n "$program" ]; then "$here/measure.sh" "$program" "$root"; fi
