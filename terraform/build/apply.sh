#!/bin/sh
# apply.sh COMMAND ENVIRONMENT: terraform for one environment, as the build runs it, in a folder that terraform init was run
# in and with the build's images in build.auto.tfvars.json.
#
#   store     makes the queue's store and the log metrics while the images are built; never ends the build
#   plan      says what apply would change
#   apply     plan and apply, three times at most with a pause between: grants, log metrics and Google's own accounts are
#             known everywhere only minutes after they were made. A first apply protects nothing, so that what it left
#             half-made can be replaced; when it has gone through, protection comes on.
#   destroy   takes everything away
#
# DEPLOYMENT names the deployment (the build's id); PAUSE is the pause in seconds.
set -eu
command=$1 environment=$2
cd "$(dirname "$0")/.."
say() { printf 'apply: %s\n' "$*"; }
pause=${PAUSE:-60} attempts=3
export TF_IN_AUTOMATION=1 TF_INPUT=0

files="-var-file=environments/$environment.tfvars"
sh build/config.sh "$environment" >config.tfvars.json
files="$files -var-file=config.tfvars.json"
settings=environments/$environment.settings.tfvars
[ ! -f "$settings" ] || files="$files -var-file=$settings"

# terraform's words for a run of an environment; $1 the command, the rest its arguments.
tf() {
	action=$1
	shift
	# shellcheck disable=SC2086 # the files are words without spaces
	terraform "$action" $files -var "deployment=${DEPLOYMENT:-by-hand}${attempt:+-$attempt}" "$@"
}

# A Cloud Run service whose first revision did not become ready is tainted: terraform would delete it, and make it again
# without the grants on it. Untainted, the next apply gives it a new revision instead, because every attempt has a
# deployment label of its own.
untaint() {
	terraform show -no-color 2>/dev/null | sed -n -e 's/^# \(.*google_cloud_run_v2_service\..*\): (tainted)$/\1/p' -e 's/^# \(.*google_cloud_run_v2_job\..*\): (tainted)$/\1/p' | while read -r address; do
		say "$address is to be given a new revision"
		terraform untaint "$address"
	done
}

established() { terraform state list 2>/dev/null | grep -q '^terraform_data\.established\[0\]$'; }

case $command in
store)
	attempt=''
	tf apply -auto-approve -var bring_up="$(established && echo false || echo true)" \
		-target=google_logging_metric.ticks -target=google_logging_metric.expired_leases -target=google_logging_metric.oldest_ready \
		-target=google_logging_metric.ended -target=google_logging_metric.ended_failed -target=google_logging_metric.events_repeated -target=google_logging_metric.deliveries \
		-target=google_redis_instance.queue -target=google_memorystore_instance.queue ||
		say "not made yet; apply makes it"
	;;
plan)
	attempt=''
	tf plan -var bring_up="$(established && echo false || echo true)"
	;;
apply)
	first=false
	if ! established; then
		first=true
		say "this is a first apply: nothing is protected from deletion until it has gone through"
	fi
	attempt=1
	untaint # of a build that was interrupted
	until tf apply -auto-approve -var bring_up=$first; do
		[ $attempt -lt $attempts ] || {
			say "gave up after $attempts attempts; the last error is above. What was made is kept: when its cause is gone, make deploy again continues from here"
			exit 1
		}
		untaint
		say "attempt $attempt of $attempts failed; the next one in $pause seconds"
		sleep "$pause"
		attempt=$((attempt + 1))
	done
	if $first; then
		say "it went through: protection comes on"
		tf apply -auto-approve -var bring_up=false
	fi
	terraform output trigger_url
	terraform output requests_url
	;;
destroy)
	attempt=''
	# Deletion protection is taken off first: it is a setting of what is deleted.
	! established || tf apply -auto-approve -var bring_up=true -var protect=false || { say "protection could not be taken off; the error is above"; exit 1; }
	until tf destroy -auto-approve -var bring_up=true -var protect=false; do
		attempt=$((${attempt:-1} + 1))
		[ $attempt -le $attempts ] || { say "something refuses to go; the error is above. The subnet is kept by Cloud Run for an hour or two: make teardown again then"; exit 1; }
		say "the next attempt in $pause seconds"
		sleep "$pause"
	done
	;;
*) echo "apply.sh: store, plan, apply or destroy" >&2; exit 1 ;;
esac
