#!/bin/sh
# install.sh [go] [compiler] [ffmpeg] [redis] [colmap] [onnxruntime] [chromium] [node] [splat_transform] [axe] [viewers]
#
# Makes the native tools available that Splatworks drives. Without arguments: ffmpeg redis colmap.
#
#   compiler, ffmpeg, redis, chromium, node
#                the distribution's packages, only if missing (the C compiler only for tests with the race detector)
#   colmap, go   COLMAP 4.x with global_mapper (GLOMAP) and Go 1.26, which no stable distribution has yet: Debian's
#                development suite, unpacked into private roots beside the host's libraries. The host is not changed
#                and no root is needed.
#   onnxruntime  ONNX Runtime for the CPU and WebGPU, for depth: the library out of the package onnxruntime-node, with npm,
#                if npm is there. The program needs a C compiler at its build to be able to load it
#   splat_transform
#                PlayCanvas's converter, with npm, if npm is there: an independent reader for the tests of our files
#   viewers      three.js, Spark, PlayCanvas and Babylon.js, with npm, if npm is there: for `make viewers`, which opens our files in them
#   axe          Deque's checks of accessibility, with npm, if npm is there: for the tests of the page
#
# A second run takes well under a second. An interrupted download continues where it stopped. Settings:
#
#   SPLATWORKS_TOOLS          where private roots go      (default ${XDG_CACHE_HOME:-$HOME/.cache}/splatworks)
#   SPLATWORKS_DEBIAN_MIRROR  a Debian mirror             (default: the one this machine's apt uses)
#   SPLATWORKS_DEBIAN_SUITE   where COLMAP and Go come from (default sid)
set -eu

TOOLS=${SPLATWORKS_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/splatworks}
SUITE=${SPLATWORKS_DEBIAN_SUITE:-sid}
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

say() { printf 'toolchain: %s\n' "$*"; }
fail() { printf 'toolchain: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
megabytes() { awk -v bytes="$1" 'BEGIN { printf "%.0f MB", bytes / 1e6 }'; }

# ---- the distribution's own packages ----------------------------------------------------------------------------

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"
	elif have sudo; then sudo -E "$@"
	else fail "root is needed for: $* (no sudo here; ask the administrator, or run this script as root)"
	fi
}

# apt_install NAME PROGRAM PACKAGE...: installs PACKAGEs unless PROGRAM is there. The package lists are fetched only
# when they do not know the package yet.
apt_install() {
	name=$1 program=$2
	shift 2
	if have "$program"; then return 0; fi
	have apt-get || fail "$name: this system has no apt-get; install $name with its package manager"
	if ! apt-get -s -qq install --no-install-recommends "$@" >/dev/null 2>&1; then
		say "$name: fetching the package lists"
		as_root apt-get -qq update || fail "$name: apt-get update failed; check the network and /etc/apt"
	fi
	say "$name: installing $* with apt-get ($(megabytes "$(download_size "$@")") to download)"
	as_root apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "$@" >/dev/null ||
		fail "$name: apt-get install $* failed"
	have "$program" || fail "$name: $* is installed but $program is not in PATH"
}

# download_size PACKAGE...: bytes that apt would fetch.
download_size() {
	apt-get -qq --print-uris --no-install-recommends install "$@" 2>/dev/null | awk '{ sum += $3 } END { print sum + 0 }'
}

install_ffmpeg() {
	apt_install ffmpeg ffmpeg ffmpeg
	have ffprobe || fail "ffmpeg: ffprobe is missing beside ffmpeg; install the full ffmpeg package"
	say "ffmpeg: $(ffmpeg -version | sed -n '1s/ Copyright.*//p') at $(command -v ffmpeg)"
}

install_redis() {
	if ! have redis-server; then
		apt_install redis redis-server redis-server
		# Splatworks starts its own server; the package's service would only hold the port.
		if [ -d /run/systemd/system ]; then as_root systemctl disable --now -q redis-server || true; fi
	fi
	say "redis: $(redis-server --version | cut -d' ' -f1-3) at $(command -v redis-server)"
}

install_compiler() {
	if have cc || have gcc; then return 0; fi
	apt_install compiler gcc gcc libc6-dev
}

install_chromium() {
	for program in chromium chromium-browser google-chrome; do
		if have $program; then say "chromium: $($program --version 2>/dev/null | head -n 1) at $(command -v $program)"; return; fi
	done
	apt_install chromium chromium chromium
	say "chromium: $(chromium --version 2>/dev/null | head -n 1)"
}

# Vite needs Node 20.19 or later; older stable releases ship less.
install_node() {
	apt_install node node nodejs npm
	major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
	[ "$major" -ge 20 ] || fail "node: $(node --version) is too old, 20 or later is needed (only to change web/): https://nodejs.org"
	say "node: $(node --version) at $(command -v node)"
}

SPLAT_TRANSFORM=$TOOLS/splat-transform

install_splat_transform() {
	if [ -x "$SPLAT_TRANSFORM/node_modules/.bin/splat-transform" ]; then return 0; fi
	if ! have npm; then
		say "splat-transform: no npm here, left out"
		return 0
	fi
	mkdir -p "$SPLAT_TRANSFORM"
	# Without scripts: the GPU module that they would build is not used.
	npm install --prefix "$SPLAT_TRANSFORM" --silent --no-audit --no-fund --ignore-scripts @playcanvas/splat-transform@2 >/dev/null 2>&1 ||
		say "splat-transform: npm could not install it, left out"
}

AXE=$TOOLS/axe

install_axe() {
	if [ -f "$AXE/node_modules/axe-core/axe.min.js" ]; then return 0; fi
	if ! have npm; then
		say "axe: no npm here, left out"
		return 0
	fi
	mkdir -p "$AXE"
	npm install --prefix "$AXE" --silent --no-audit --no-fund --ignore-scripts axe-core@4 >/dev/null 2>&1 &&
		chmod +x "$AXE/node_modules/axe-core/axe.min.js" || # tools are looked for as programs are
		say "axe: npm could not install it, left out"
}

VIEWERS=$TOOLS/viewers

# The versions of which docs/formats.md says what they open. @adobe/spz is what Babylon.js fetches to read SPZ.
install_viewers() {
	if [ -x "$VIEWERS/node_modules/three/build/three.module.js" ]; then return 0; fi
	if ! have npm; then
		say "viewers: no npm here, left out"
		return 0
	fi
	mkdir -p "$VIEWERS"
	say "viewers: installing them with npm (273 MB when unpacked)"
	npm install --prefix "$VIEWERS" --silent --no-audit --no-fund --ignore-scripts three@0.187.0 @sparkjsdev/spark@2.2.0 \
		playcanvas@2.23.3 babylonjs@9.28.0 babylonjs-loaders@9.28.0 @adobe/spz@0.2.3 >/dev/null 2>&1 &&
		chmod +x "$VIEWERS/node_modules/three/build/three.module.js" || # tools are looked for as programs are
		say "viewers: npm could not install them, left out"
}

ONNXRUNTIME=$TOOLS/onnxruntime
ONNXRUNTIME_VERSION=1.30.0 # 1.24 is the oldest with the C API that the program speaks

# npm checks the package against the registry's own checksum. Only the library is kept, 25 to 46 MB of 290.
install_onnxruntime() {
	if [ "$(cat "$ONNXRUNTIME/version.txt" 2>/dev/null)" = "$ONNXRUNTIME_VERSION" ]; then
		say "onnxruntime: $ONNXRUNTIME_VERSION at $ONNXRUNTIME/lib/libonnxruntime.so"
		return 0
	fi
	if ! have npm; then
		say "onnxruntime: no npm here, left out; depth needs libonnxruntime.so 1.24 or later, named by SPLATWORKS_ONNXRUNTIME"
		return 0
	fi
	case $(uname -m) in
	x86_64) part=x64 ;;
	aarch64) part=arm64 ;;
	*) say "onnxruntime: not available for $(uname -m), left out"; return 0 ;;
	esac
	work=$ONNXRUNTIME.work.$$
	rm -rf "$work"
	mkdir -p "$work/tree/lib"
	say "onnxruntime: fetching version $ONNXRUNTIME_VERSION with npm (114 MB to download)"
	if (cd "$work" && npm pack --silent "onnxruntime-node@$ONNXRUNTIME_VERSION" >/dev/null 2>&1 && tar xzf onnxruntime-node-*.tgz "package/bin/napi-v6/linux/$part/libonnxruntime.so.1"); then
		mv "$work/package/bin/napi-v6/linux/$part/libonnxruntime.so.1" "$work/tree/lib/libonnxruntime.so"
		echo "$ONNXRUNTIME_VERSION" >"$work/tree/version.txt"
		rm -rf "${ONNXRUNTIME:?}"
		mv "$work/tree" "$ONNXRUNTIME"
		say "onnxruntime: installed in $ONNXRUNTIME ($(du -sm "$ONNXRUNTIME" | cut -f1) MB)"
	else
		say "onnxruntime: npm could not fetch it, left out"
	fi
	rm -rf "$work"
}

# ---- private roots ----------------------------------------------------------------------------------------------
#
# A private root is complete or absent: $TOOLS/NAME holds bin/ and packages.txt. While it is being made,
# $TOOLS/NAME.work holds apt's private state and partial downloads.

COLMAP=$TOOLS/colmap
GO=$TOOLS/go
GO_RELEASE=1.26

# colmap_works PROGRAM: true when it runs and knows global_mapper.
colmap_works() {
	[ -x "$1" ] && "$1" help 2>/dev/null | grep -q '^ *global_mapper'
}

install_colmap() {
	if colmap_works "$COLMAP/bin/colmap"; then
		say "colmap: $("$COLMAP/bin/colmap" version 2>/dev/null | head -n 1) at $COLMAP/bin/colmap"
		return
	fi
	if have colmap && colmap_works "$(command -v colmap)"; then
		say "colmap: $(colmap version 2>/dev/null | head -n 1) at $(command -v colmap)"
		return
	fi
	private_root colmap colmap
}

# go_works PROGRAM: true when it is as new as go.mod asks for.
go_works() {
	[ -x "$1" ] && "$1" version 2>/dev/null | awk -v want="$GO_RELEASE" '
		{ sub(/^go/, "", $3); split($3, is, "."); split(want, need, ".") }
		END { exit !(is[1] > need[1] || (is[1] == need[1] && is[2] + 0 >= need[2] + 0)) }'
}

install_go() {
	for program in "$(command -v go || true)" /usr/local/go/bin/go "$GO/bin/go"; do
		if go_works "$program"; then return 0; fi
	done
	private_root go "golang-$GO_RELEASE-go" "golang-$GO_RELEASE-src"
}

# private_root NAME PACKAGE...: makes $TOOLS/NAME from the packages, by unpack_NAME.
private_root() {
	root_name=$1
	shift
	WORK=$TOOLS/$root_name.work
	have apt-get && have dpkg || fail "$root_name: this way needs apt-get and dpkg (Debian or Ubuntu); elsewhere install it from its own site"
	mkdir -p "$WORK"
	# One installation at a time: two would share apt's state. flock is in every Debian (util-linux).
	if have flock; then
		exec 9>"$WORK/lock"
		flock -n 9 || { say "$root_name: another installation is running, waiting for it"; flock 9; }
		if [ -e "$TOOLS/$root_name/packages.txt" ]; then
			say "$root_name: installed meanwhile"
			rm -rf "$WORK"
			return
		fi
	fi
	architecture=$(dpkg --print-architecture)
	case $architecture in
	amd64) triplet=x86_64-linux-gnu ;;
	arm64) triplet=aarch64-linux-gnu ;;
	*) fail "$root_name: no recipe for the architecture $architecture (amd64 and arm64 are known)" ;;
	esac
	private_apt
	choose_mirror "$@"
	download_packages "$@"
	tree=$WORK/tree
	rm -rf "$tree"
	mkdir -p "$tree/root" "$tree/bin"
	# An interrupted installation may have left packages that the mirror has replaced since.
	papt -qq autoclean >/dev/null
	say "$root_name: unpacking"
	(cd "$WORK/cache/archives" && sha256sum ./*.deb | sed 's| \./| |') >"$tree/packages.txt"
	for deb in "$WORK"/cache/archives/*.deb; do
		dpkg -x "$deb" "$tree/root"
	done
	for folder in doc man locale lintian fonts icons bug; do rm -rf "$tree/root/usr/share/$folder"; done
	"unpack_$root_name"
	# Moved into place only once it has been seen to work.
	rm -rf "${TOOLS:?}/$root_name"
	mv "$tree" "$TOOLS/$root_name"
	rm -rf "$WORK"
	say "$root_name: installed in $TOOLS/$root_name ($(du -sm "$TOOLS/$root_name" | cut -f1) MB)"
}

# private_apt writes an apt configuration with its own lists, cache and empty package status, so that the closure is
# complete (libc included) and the host's package database is never touched. How this machine reaches its mirrors
# (proxies, certificates, credentials) is taken over.
private_apt() {
	mkdir -p "$WORK/etc/sources.list.d" "$WORK/etc/apt.conf.d" "$WORK/etc/preferences.d" "$WORK/lists/partial" \
		"$WORK/cache/archives/partial" "$WORK/state" "$WORK/log"
	: >"$WORK/state/status"
	{
		apt-config dump Acquire | grep -v '^Acquire::\(IndexTargets\|CompressionTypes\|Languages\)' || true
		cat <<-CONF
			Dir::Etc "$WORK/etc";
			Dir::Etc::sourcelist "sources.list";
			Dir::Etc::sourceparts "sources.list.d";
			Dir::Etc::netrc "/etc/apt/auth.conf";
			Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
			Dir::Etc::trusted "/etc/apt/trusted.gpg";
			Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d";
			Dir::State "$WORK/state";
			Dir::State::lists "$WORK/lists";
			Dir::State::status "$WORK/state/status";
			Dir::Cache "$WORK/cache";
			Dir::Cache::archives "$WORK/cache/archives";
			Dir::Log "$WORK/log";
			APT::Architecture "$architecture";
			APT::Architectures { "$architecture"; };
			APT::Install-Recommends "false";
			APT::Sandbox::User "";
			APT::Get::List-Cleanup "false";
			Acquire::Languages "none";
			Acquire::Retries "5";
			# A mirror may lag behind the few days that the development suite's index claims to be valid.
			Acquire::Check-Valid-Until "false";
			Debug::NoLocking "true";
		CONF
	} >"$WORK/apt.conf"
}

# papt runs apt-get on the private configuration.
papt() { APT_CONFIG="$WORK/apt.conf" apt-get "$@"; }

# choose_mirror PACKAGE... finds a mirror that carries the suite with them: the ones this machine's apt already uses
# (deb822 or one-line sources alike), Debian's main archive first.
choose_mirror() {
	keyring=
	for file in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
		if [ -r $file ]; then keyring=$file; break; fi
	done
	mirrors=${SPLATWORKS_DEBIAN_MIRROR:-$(
		# Needs neither root nor downloaded lists: 'URI/dists/SUITE/InRelease' FILE SIZE
		apt-get update --print-uris 2>/dev/null | sed -n "s|^'\(.*\)/dists/.*/InRelease'.*|\1|p" | awk '
			{ print ($0 ~ /\/debian$/ ? 1 : $0 ~ /security/ ? 3 : 2), $0 }' | sort -u -k1,1n -k2 | cut -d' ' -f2-
	)}
	[ -n "$mirrors" ] || fail "$root_name: apt on this machine knows no mirror; set SPLATWORKS_DEBIAN_MIRROR"
	for mirror in $mirrors; do
		printf 'deb [arch=%s%s] %s %s main\n' "$architecture" "${keyring:+ signed-by=$keyring}" "$mirror" "$SUITE" >"$WORK/etc/sources.list"
		say "$root_name: fetching the package list of $SUITE from this machine's mirror"
		if papt -qq update 2>"$WORK/update.log" && papt -qq --print-uris install "$@" >/dev/null 2>&1; then
			return 0
		fi
	done
	sed 's/^/  /' "$WORK/update.log" >&2
	fail "$root_name: none of this machine's apt mirrors carries Debian's $SUITE with $*. Set SPLATWORKS_DEBIAN_MIRROR to a Debian mirror (and install debian-archive-keyring)"
}

# unused lists which packages of the closure the command line never loads: GPU drivers, compilers for them, fonts, data
# of the graphical interface. A third of the download.
unused() {
	case $1 in
	libllvm* | mesa-libgallium* | libgl1-mesa-dri* | libz3-4* | glycin-loaders* | fonts-* | libc-gconv-modules-extra* | xkb-data*) return 0 ;;
	esac
	return 1
}

# download_packages PACKAGE... fetches what is needed of their closure into the private cache. apt verifies every file
# against the signed index, keeps what is complete and resumes what is partial.
download_packages() {
	papt -qq --print-uris install "$@" >"$WORK/closure"
	: >"$WORK/wanted"
	while read -r _ file size _; do
		name=${file%%_*}
		if unused "$name"; then continue; fi
		printf '%s %s %s\n' "$name" "$file" "$size" >>"$WORK/wanted"
	done <"$WORK/closure"
	total=$(awk '{ sum += $3 } END { print sum + 0 }' "$WORK/wanted")
	say "$root_name: downloading $(wc -l <"$WORK/wanted" | tr -d ' ') packages, $(megabytes "$total")"
	(
		while sleep 5; do
			say "$root_name: $(megabytes "$(($(du -sk "$WORK/cache/archives" | cut -f1) * 1024))") of $(megabytes "$total") here"
		done
	) 9>&- &
	ticker=$!
	# A background process does not hear Ctrl-C, and must neither live on nor hold the lock.
	trap 'kill $ticker 2>/dev/null' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	status=0
	# "download" takes the exact packages, where "install" would insist on the whole closure.
	(cd "$WORK/cache/archives" && cut -d' ' -f1 "$WORK/wanted" | APT_CONFIG="$WORK/apt.conf" xargs apt-get -qq download) || status=$?
	kill $ticker 2>/dev/null || true
	trap - EXIT INT TERM HUP
	[ $status = 0 ] || fail "$root_name: the download was interrupted; run this script again, it continues where it stopped"
}

# unpack_go finishes the private root of Go: one launcher, since Debian keeps the sources in another folder.
unpack_go() {
	cat >"$tree/bin/go" <<-WRAPPER
		#!/bin/sh
		exec "\$(dirname -- "\$(dirname -- "\$(readlink -f -- "\$0")")")/root/usr/lib/go-$GO_RELEASE/bin/go" "\$@"
	WRAPPER
	sed 's|/bin/go"|/bin/gofmt"|' "$tree/bin/go" >"$tree/bin/gofmt"
	chmod +x "$tree/bin/go" "$tree/bin/gofmt"
	go_works "$tree/bin/go" || fail "go: the unpacked program does not run. Downloads are kept in $WORK"
}

# unpack_colmap finishes the private root of COLMAP: a launcher that uses the root's own libraries.
unpack_colmap() {
	loader=
	for candidate in "$tree/root/usr/lib/$triplet"/ld-linux-*.so.* "$tree/root/usr/lib64"/ld-linux-*.so.* "$tree/root/usr/lib"/ld-linux-*.so.*; do
		if [ -e "$candidate" ]; then loader=${candidate#"$tree/root/"}; break; fi
	done
	[ -n "$loader" ] || fail "colmap: the suite's libc has no dynamic loader where it is expected"
	# Debian links blas and lapack by update-alternatives, which unpacking does not run: their folders stand in the
	# library path. --inhibit-cache keeps the host's libraries out.
	cat >"$tree/bin/colmap" <<-WRAPPER
		#!/bin/sh
		root=\$(dirname -- "\$(dirname -- "\$(readlink -f -- "\$0")")")/root
		lib=\$root/usr/lib/$triplet
		exec "\$root/$loader" --inhibit-cache --argv0 colmap --library-path "\$lib:\$lib/blas:\$lib/lapack" "\$root/usr/bin/colmap" "\$@"
	WRAPPER
	chmod +x "$tree/bin/colmap"
	if ! colmap_works "$tree/bin/colmap"; then
		"$tree/bin/colmap" help 2>&1 | tail -n 5 >&2
		fail "colmap: the unpacked program does not run, or has no global_mapper; see the lines above. Downloads are kept in $WORK"
	fi
}

# ---- main -------------------------------------------------------------------------------------------------------

[ $# -gt 0 ] || set -- ffmpeg redis colmap
for target in "$@"; do
	case $target in
	go | compiler | ffmpeg | redis | colmap | onnxruntime | chromium | node | splat_transform | axe | viewers) ;;
	-h | --help) sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) fail "unknown tool '$target'; known: go compiler ffmpeg redis colmap onnxruntime chromium node splat_transform axe viewers" ;;
	esac
done

if [ "$(uname -s)" = Darwin ]; then
	say "on macOS the tools come from Homebrew; run:"
	for target in "$@"; do
		case $target in
		chromium) say "  brew install --cask chromium" ;;
		compiler) say "  xcode-select --install" ;;
		viewers) say "  npm install --prefix ~/.cache/splatworks/viewers three@0.187.0 @sparkjsdev/spark@2.2.0 playcanvas@2.23.3 babylonjs@9.28.0 babylonjs-loaders@9.28.0 @adobe/spz@0.2.3" ;;
		axe) say "  npm install --prefix ~/.cache/splatworks/axe axe-core" ;;
		splat_transform) say "  npm install --prefix ~/.cache/splatworks/splat-transform @playcanvas/splat-transform" ;;
		*) say "  brew install $target" ;;
		esac
	done
	say "then check with: splatworks doctor"
	exit 0
fi

for target in "$@"; do "install_$target"; done
