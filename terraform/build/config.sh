#!/bin/sh
# config.sh ENVIRONMENT: reads splatworks.yaml in the project's folder (or $CONFIG) and prints the variables that it decides, as JSON
# for -var-file: after environments/ENVIRONMENT.tfvars, before your settings. Without the file it prints {}. Needs terraform and nothing
# else: no provider, no cloud, no state.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
environment=$1
config=${CONFIG:-$here/../splatworks.yaml}
if [ ! -f "$config" ]; then
	echo '{}'
	exit 0
fi
# terraform's reader of YAML takes aliases, and a small file of them can be a large one.
if [ "$(wc -c <"$config")" -gt 65536 ] || grep -qE '(^|[[:space:]:,{[-])[&*][A-Za-z0-9_]' "$config"; then
	echo "config: $config is larger than 64 KiB or has anchors; 'splatworks config check' says where" >&2
	exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1
cp "$here"/variables*.tf "$here/build/config.tf" "$config" "$work"
{
	printf '{"config": "%s", "project_id": "p", "region": "r", "depth_runtime": "cuda", "images": {' "$(basename "$config")"
	for kind in static media preprocess depth train train-cuda; do printf '"%s": "i@sha256:%064d", ' $kind 0; done
	printf '"valkey": "i@sha256:%064d"}}\n' 0
} >"$work/build.auto.tfvars.json"
cd "$work"
if ! terraform apply -no-color -input=false -auto-approve "-var-file=$here/environments/$environment.tfvars" >log 2>&1; then
	cat log >&2
	echo "config: $config is refused, for the reason above" >&2
	exit 1
fi
terraform output -raw variables
