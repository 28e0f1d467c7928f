#!/usr/bin/env bash
# web.sh [check]: builds the page in web/ into web/dist, whose files are committed and embedded. check builds beside it and
# compares: the same sources and package-lock.json give the same bytes. Called by `make web` and `make web-check`.
set -euo pipefail
cd "$(dirname "$0")/../../web"

../infra/toolchain/install.sh node
# The versions are those of the lock file. npm ci would refuse it: an optional package for Windows is missing there.
npm install --no-save --ignore-scripts --no-audit --no-fund --silent
npx tsc --noEmit
if [ "${1:-}" != check ]; then
	npx vite build
	exit
fi
beside=$(mktemp -d)
trap 'rm -rf "$beside"' EXIT
npx vite build --outDir "$beside" --emptyOutDir --logLevel warn
diff -r dist "$beside"
echo "web/dist is what its sources give"
