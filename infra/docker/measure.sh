#!/bin/bash
# measure.sh PROGRAM [ROOT]: size, start-to-ready time and idle memory of a receiver (a program of services/*/cmd built with
# CGO_ENABLED=0), against a redis-server of its own and emulator addresses that nobody answers. With ROOT, a folder made by
# exercise.sh, the program is started inside it. Ready is the first HTTP answer of any status.
set -euo pipefail
program=$1 root=${2:-}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 20000))
redis-server --port $((port + 1)) --bind 127.0.0.1 --save "" --dir "$work" >/dev/null &
until (exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null; do sleep 0.05; done
buckets() { for stage in filter preprocess depth train export; do printf '%s:%s-inbox,' $stage $stage; done; }
inboxes=$(buckets)
start=(env -i PATH=/usr/bin PORT=$port REDIS_URL=redis://127.0.0.1:$((port + 1)) INBOX_BUCKETS="${inboxes%,}" ARTIFACTS_BUCKET=artifacts \
	STORAGE_EMULATOR_HOST=http://127.0.0.1:1 PUBSUB_EMULATOR_HOST=127.0.0.1:1)
if [ -n "$root" ]; then
	cp "$program" "$root/app/program"
	start+=(/usr/sbin/chroot --userspec=65532:65532 "$root" /app/program)
else
	start+=("$program")
fi
echo "size: $(stat -c %s "$program" | awk '{ printf "%.1f", $1 / 1e6 }') MB, gzip $(gzip -c "$program" | wc -c | awk '{ printf "%.1f", $1 / 1e6 }') MB"
for _ in 1 2 3 4 5; do
	before=$EPOCHREALTIME
	"${start[@]}" >"$work/log" 2>&1 &
	pid=$!
	answer=
	until [ -n "$answer" ]; do
		kill -0 $pid 2>/dev/null || { cat "$work/log"; exit 1; }
		if { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null; then
			printf 'GET / HTTP/1.0\r\n\r\n' >&3
			read -r answer <&3 || answer=
			exec 3>&-
		else
			sleep 0.002
		fi
	done
	after=$EPOCHREALTIME
	sleep 1
	awk -v a="${after/./}" -v b="${before/./}" -v answer="${answer%$'\r'}" '/^VmRSS/ { rss = $2 } /^RssAnon/ { anon = $2 } END { printf "ready after %.0f ms (%s), idle %.1f MB resident, %.1f MB of it its own\n", (a - b) / 1000, answer, rss / 1024, anon / 1024 }' "/proc/$pid/status"
	kill -TERM $pid
	wait $pid || echo "ended with $?"
done
