#!/bin/sh
# pin.sh: writes what deployments start from into the repository: the digests of the base images (infra/docker/bases.txt) and the
# providers' versions and checksums, for people's machines and the build (terraform/.terraform.lock.hcl). Commit both; run it again to
# take newer ones. It changes both files or neither. Needs docker with buildx, no engine, and terraform.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
fail() { printf 'pin: %s\n' "$*" >&2; exit 1; }

docker buildx version >/dev/null 2>&1 || fail "docker buildx is missing: install Docker's command line with its buildx plugin (no engine is needed), and run make pin again"
terraform version >/dev/null 2>&1 || fail "terraform is missing: install terraform 1.9 or later, and run make pin again"

# A copy without a lock file: the newest providers that versions.tf allows, and no .terraform is left behind.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/*.tf "$work" && cp -R "$here/modules" "$work"
(cd "$work" && terraform get && terraform providers lock -platform=linux_amd64 -platform=linux_arm64 -platform=darwin_arm64) ||
	fail "the providers could not be locked (above); nothing was changed"
[ -s "$work/.terraform.lock.hcl" ] || fail "terraform wrote no lock file; nothing was changed"
"$here/../infra/docker/pin.sh" || fail "the digests of the base images could not be looked up (above); nothing was changed"
mv "$work/.terraform.lock.hcl" "$here/.terraform.lock.hcl"
echo "pin: commit infra/docker/bases.txt and terraform/.terraform.lock.hcl"
