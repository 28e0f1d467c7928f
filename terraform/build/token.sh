#!/bin/sh
# token.sh PROJECT REGION NAME: prints the token of the default user of the Valkey instance NAME-queue, and makes user and
# token when there are none. Nothing else prints to the standard output. Needs gcloud and curl. The calls are those of the
# Memorystore API, v1: instances.addTokenAuthUser, tokenAuthUsers.addAuthToken, authTokens.list.
set -eu
project=$1 region=$2 name=$3
pause=${PAUSE:-10}
instance=projects/$project/locations/$region/instances/$name-queue
user=$instance/tokenAuthUsers/default

# api METHOD PATH [BODY]: the answer in one line; fails for an answer of an error.
api() {
	answer=$(curl -sS --fail-with-body -X "$1" "https://memorystore.googleapis.com/v1/$2" -H "Authorization: Bearer $(gcloud auth print-access-token)" \
		-H 'Content-Type: application/json' ${3:+-d "$3"}) || return 1
	printf %s "$answer" | tr -d '\n'
}
token() { api GET "$user/authTokens" 2>/dev/null | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p'; }

fail() { echo "token.sh: no token of $user: $1. Make one (docs/operations.md, Valkey), set valkey_token, and deploy again" >&2; exit 1; }
api GET "$user" >/dev/null 2>&1 || api POST "$instance:addTokenAuthUser" '{"tokenAuthUser": "default"}' >/dev/null || fail "the user could not be made"
asked=''
for _ in $(seq 30); do
	found=$(token)
	if [ -n "$found" ]; then
		printf %s "$found"
		exit 0
	fi
	# The user must be there before it can have a token, and the token before it can be read.
	[ -n "$asked" ] || ! api POST "$user:addAuthToken" '{"authToken": {}}' >/dev/null 2>&1 || asked=yes
	sleep "$pause"
done
fail "none was there after five minutes"
