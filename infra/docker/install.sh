#!/bin/sh
# install.sh KIND: runs once, as root, in a fresh Debian root that becomes an image. Installs packages/KIND.txt, then takes
# out what only building needed, the shells last: what runs in the image is called directly, and an intruder
# finds no tools. The package database stays, so that scanners know what is in the image.
#
# With a base image pinned by digest the result is pinned too: Debian's images name, in a comment, the archive snapshot
# that they were made from, and packages are taken from there. SNAPSHOT=no takes the newest ones.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
list=$(dirname "$0")/packages/$1.txt
[ -r "$list" ] || { echo "install.sh: no $list" >&2; exit 1; }

for sources in /etc/apt/sources.list.d/*.sources; do
	if [ "${SNAPSHOT:-yes}" = yes ] && grep -q '^# http.*/archive/' "$sources" 2>/dev/null; then
		# "# URL of the snapshot" is above "URIs: URL of the mirror".
		sed -i '/^# http.*\/archive\//{s/^# /URIs: /;n;d;}' "$sources"
		echo "install.sh: packages from $(sed -n 's/^URIs: //p' "$sources" | head -n 1)"
	fi
done
# A snapshot's index is as old as the snapshot.
# The archive of snapshots refuses now and then, and asks for few connections.
retry="-o Acquire::Retries=10 -o Acquire::Queue-Mode=access"
# shellcheck disable=SC2086 # the options are words without spaces
apt-get -qq $retry -o Acquire::Check-Valid-Until=false update
# shellcheck disable=SC2086
sed -n '/^[a-z]/p' "$list" | xargs apt-get -qq -y $retry --no-install-recommends -o Dpkg::Use-Pty=0 install >/dev/null
sed -n 's/^-//p' "$list" | while read -r unwanted; do
	dpkg-query -W -f '${Package}\n' "$unwanted" 2>/dev/null | xargs -r dpkg --remove --force-depends >/dev/null
done

mkdir -p /usr/share/splatworks /app
dpkg-query -W -f '${Package} ${Version} ${Installed-Size}\n' >/usr/share/splatworks/packages.txt
echo "splatworks:x:65532:65532::/tmp:/none" >>/etc/passwd

rm -rf /var/lib/apt /var/cache/* /var/log/* /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale \
	/usr/share/lintian /usr/share/bug /usr/share/icons /var/lib/dpkg/info /usr/lib/apt /usr/share/perl* \
	/usr/lib/*-linux-gnu/perl*
rm -f /usr/bin/apt* /usr/bin/dpkg* /usr/bin/perl* /usr/sbin/update-* /usr/bin/bash /usr/bin/rbash
# From here on there is no shell: one rm takes out the rest, itself included.
exec rm -f /usr/bin/dash /usr/bin/sh /usr/bin/env /usr/bin/xargs /usr/bin/find /usr/bin/su /usr/bin/mount /usr/bin/chroot \
	/usr/sbin/chroot /usr/bin/rm
