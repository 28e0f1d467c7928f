#!/bin/sh
# settings.sh ENVIRONMENT [WHAT]: reads the environment's settings (environments/ENVIRONMENT.tfvars, splatworks.yaml, then
# ENVIRONMENT.settings.tfvars) as terraform will, refuses what terraform would refuse, and prints what others need of them.
# WHAT is owner (the default: the variables of owner/ as JSON), runtime (cuda when depth is to run on GPUs, else cpu), training
# (the same of training) or engine (the queue's). Needs terraform and nothing else: no provider, no cloud, no state.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
environment=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1

cp "$here"/variables*.tf "$work"
cat >"$work/outputs.tf" <<-'END'
	output "owner" {
	  value = jsonencode({ name = var.name, engine = var.redis.engine, alert_emails = var.alert_emails, audit_logs = var.audit_logs, budget = var.budget, kms_key_name = var.kms_key_name })
	}
	output "engine" {
	  value = var.redis.engine
	}
	output "runtime" {
	  value = var.depth_gpu == null ? "cpu" : "cuda"
	}
	output "training" {
	  value = var.train_gpu == null ? "cpu" : "cuda"
	}
END
# What the build will give, in values that say yes to everything.
{
	printf '{"project_id": "p", "region": "r", "depth_runtime": "cuda", "images": {'
	for kind in static media preprocess depth train train-cuda; do printf '"%s": "i@sha256:%064d", ' $kind 0; done
	printf '"valkey": "i@sha256:%064d"}}\n' 0
} >"$work/build.auto.tfvars.json"

sh "$here/build/config.sh" "$environment" >"$work/config.tfvars.json"
set -- "${2:-owner}" "-var-file=$here/environments/$environment.tfvars" "-var-file=$work/config.tfvars.json"
settings=$here/environments/$environment.settings.tfvars
[ ! -f "$settings" ] || set -- "$@" "-var-file=$settings"
what=$1
shift
cd "$work"
if ! terraform apply -no-color -input=false -auto-approve "$@" >log 2>&1 || grep -q 'undeclared variable' log; then
	cat log >&2
	echo "settings: the settings of $environment are refused, for the reason above; correct $settings or splatworks.yaml" >&2
	exit 1
fi
terraform output -raw "$what"
