#!/usr/bin/env bash
# demo.sh VIDEO OUT PRESET: install what is missing, build, reconstruct, show the result. VIDEO may be empty: then a
# synthetic capture is rendered first. Called by `make demo`.
set -euo pipefail
cd "$(dirname "$0")/../.."
video=$1 out=$2 preset=$3

started=$SECONDS
infra/toolchain/install.sh ffmpeg colmap
make --no-print-directory build
installed=$((SECONDS - started))

mkdir -p "$out"
if [ -z "$video" ]; then
	video=$out/sample/sample.mp4
	bin/splatworks sample -o "$out/sample"
fi
started=$SECONDS
bin/splatworks run "$video" -o "$out/demo" --preset "$preset"
reconstructed=$((SECONDS - started))

cat <<END

Installed and built in $((installed / 60)) min $((installed % 60)) s; reconstructed in $((reconstructed / 60)) min $((reconstructed % 60)) s.
The result is in $out/demo: splat.ply opens in any 3D Gaussian splat viewer, orbit.mp4 in any player.
Next: make demo VIDEO=your-video.mp4, or bin/splatworks --help
END
