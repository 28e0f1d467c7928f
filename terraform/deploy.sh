#!/bin/sh
# deploy.sh PROJECT REGION [ENVIRONMENT]: the whole way from a clone to a running backend; safe to run again at any time,
# which is how an upgrade is made and how an interrupted run continues. ENVIRONMENT is dev (default) or prod; your settings
# are environments/ENVIRONMENT.settings.tfvars.
#
# Checks the settings, makes the bucket of terraform's state, applies bootstrap/ and owner/ as you, and lets Cloud Build do
# the rest as the deployer (cloudbuild.yaml): images, scan, plan, apply.
#
#   APPLY=false          stop after the plan
#   IMAGES=BUILD         no new images: those of an earlier build, which is how a deployment is rolled back
#   DESTROY=true         take the environment away (make teardown)
#   BUILD_REGION         where Cloud Build works; default REGION, and global where the project may not build there
#   BUILD_MACHINE        e2-highcpu-8; e2-medium where the quota allows no eight processors
#   SUBSTITUTIONS        others of cloudbuild.yaml, as _TEST=true,_FAIL_ON=critical
set -eu

fail() { printf 'deploy: %s\n' "$*" >&2; exit 1; }
say() { printf 'deploy: %s\n' "$*"; }
pause=${PAUSE:-30}
# again COMMAND...: up to three times; a service that was just enabled answers 403 or 404 for a while.
again() {
	for n in 1 2 3; do
		if "$@"; then return 0; fi
		[ $n = 3 ] || { say "that failed; once more in $pause seconds"; sleep "$pause"; }
	done
	return 1
}

[ $# -ge 2 ] && [ -n "$1" ] && [ -n "$2" ] || fail "say where: make deploy PROJECT=my-project REGION=europe-west4 [ENVIRONMENT=dev]"
project=$1 region=$2 environment=${3:-dev}
apply=${APPLY:-true} destroy=${DESTROY:-false}
case $apply$destroy in truetrue | truefalse | falsefalse) ;; *) fail "APPLY and DESTROY are true or false, and DESTROY=true is no plan" ;; esac
here=$(cd "$(dirname "$0")" && pwd)
[ -f "$here/environments/$environment.tfvars" ] || fail "there is no environment $environment; there are: $(ls "$here/environments" | sed -n 's/^\([a-z]*\)\.tfvars$/\1/p' | tr '\n' ' ')"
for program in gcloud terraform; do
	command -v $program >/dev/null || fail "$program is missing; install it first"
done
gcloud auth print-access-token >/dev/null 2>&1 || fail "not logged in: gcloud auth login"
gcloud auth application-default print-access-token >/dev/null 2>&1 || fail "terraform is not logged in: gcloud auth application-default login"
[ "$(gcloud billing projects describe "$project" --format='value(billingEnabled)')" = True ] ||
	fail "project $project has no billing account, or you may not see it: gcloud billing projects link $project --billing-account=ACCOUNT"

# Everything that terraform would refuse in the settings is refused here, before anything is made.
"$here/build/settings.sh" "$environment" >"$here/owner/settings.auto.tfvars.json" || exit 1
name=$(sed -n 's/.*"name":"\([^"]*\)".*/\1/p' "$here/owner/settings.auto.tfvars.json")

state=$project-splatworks-state
again gcloud services enable cloudresourcemanager.googleapis.com serviceusage.googleapis.com storage.googleapis.com iam.googleapis.com --project="$project" ||
	fail "the first APIs could not be enabled; the error is above. You need the role Service Usage Admin, or Owner, of $project"
if ! gcloud storage buckets describe "gs://$state" --project="$project" >/dev/null 2>&1; then
	[ "$destroy" = false ] || fail "there is no gs://$state: nothing was deployed to $project from here"
	say "making gs://$state for terraform's state"
	again gcloud storage buckets create "gs://$state" --project="$project" --location="$region" --uniform-bucket-level-access --public-access-prevention ||
		fail "gs://$state could not be made; the error is above. You need the role Storage Admin, or Owner, of $project"
fi
gcloud storage buckets update "gs://$state" --versioning >/dev/null

# A name belongs to one environment: two of the same name would take each other's resources.
owner=$(gcloud storage cat "gs://$state/splatworks/names/$name" 2>/dev/null || true)
[ -z "$owner" ] || [ "$owner" = "$environment" ] ||
	fail "$owner is called $name in this project, too: give $environment a name of its own (name = \"...\", up to 10 characters) in $here/environments/$environment.settings.tfvars"
[ -n "$owner" ] || printf %s "$environment" | gcloud storage cp - "gs://$state/splatworks/names/$name"

# root FOLDER PREFIX ARGUMENTS...: applies one of the configurations that are applied as the person who deploys.
root() {
	folder=$1 prefix=$2
	shift 2
	terraform -chdir="$here/$folder" init -input=false -reconfigure -backend-config="bucket=$state" -backend-config="prefix=$prefix" >/dev/null &&
		terraform -chdir="$here/$folder" apply -input=false -auto-approve "$@"
}
say "APIs, Google's own accounts, image repositories and deployer"
again root bootstrap splatworks/bootstrap -var "project_id=$project" -var "region=$region" -var "state_bucket=$state" ||
	fail "bootstrap could not be applied; the error is above. You need to be Owner of $project, or to have the rights that terraform/bootstrap/main.tf gives away"
if [ "$destroy" = false ]; then
	say "what only an owner may grant: budget, audit log, key, as far as the settings ask for them"
	again root owner "splatworks/$environment/owner" -var "project_id=$project" ||
		fail "the budget, the audit log or the use of the key could not be set; the error is above. Ask who may (Billing Account Costs Manager, Owner, Cloud KMS Admin) to run this, or take budget, audit_logs or kms_key_name out of the settings"
fi

settings=$here/environments/$environment.settings.tfvars
if [ -f "$settings" ]; then
	again gcloud storage cp "$settings" "gs://$state/splatworks/$environment/settings.tfvars" || fail "the settings could not be kept in gs://$state"
else
	say "no $settings: the defaults apply, and nobody may call the trigger function yet"
fi

# build REGION: submits the build; its output is shown, and kept for the question why it failed. With logs in Cloud Logging
# only, gcloud shows the address of the log and not the log.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
build() {
	rm -f "$log.failed"
	{
		gcloud builds submit "$here/.." --project="$project" --region="$1" --config="$here/../cloudbuild.yaml" \
			--machine-type="${BUILD_MACHINE:-e2-highcpu-8}" --gcs-source-staging-dir="gs://$state/source" --suppress-logs \
			--service-account="projects/$project/serviceAccounts/splatworks-deployer@$project.iam.gserviceaccount.com" \
			--substitutions="_REGION=$region,_ENVIRONMENT=$environment,_NAME=$name,_APPLY=$apply,_DESTROY=$destroy,_IMAGES=${IMAGES:-}${SUBSTITUTIONS:+,$SUBSTITUTIONS}" 2>&1 ||
			touch "$log.failed"
	} | tee "$log"
	[ ! -f "$log.failed" ] || { rm -f "$log.failed"; return 1; }
}

where=${BUILD_REGION:-$region}
say "the rest in Cloud Build, in $where"
if ! build "$where"; then
	if grep -qiE 'quota restrictions, cannot run builds in this region|does not support (the )?region|location .*(not supported|unavailable)' "$log" && [ "$where" != global ]; then
		say "this project may not build in $where; it builds in global instead. The backend stays in $region. BUILD_REGION=global says so from the beginning"
		where=global
		build "$where" || fail "the build did not succeed; its log, whose address is above, says why. Run the same command again when the cause is gone: it continues from what was made"
	elif grep -qiE 'permission|PERMISSION_DENIED|does not have' "$log" && ! grep -q 'Logs are available' "$log"; then
		say "the deployer's rights are not known everywhere yet; once more in $pause seconds"
		sleep "$pause"
		build "$where" || fail "the build could not be started; the error is above"
	else
		fail "the build did not succeed; its log, whose address is above, says why. Run the same command again when the cause is gone: it continues from what was made"
	fi
fi

if [ "$destroy" = true ]; then
	terraform -chdir="$here/owner" init -input=false -reconfigure -backend-config="bucket=$state" -backend-config="prefix=splatworks/$environment/owner" >/dev/null
	terraform -chdir="$here/owner" destroy -input=false -auto-approve -var "project_id=$project" ||
		fail "$environment is gone, and its budget, audit log or key grants are not: the error is above"
	gcloud storage rm "gs://$state/splatworks/names/$name" >/dev/null 2>&1 || true
	say "$environment is gone. Left in $project: the images, the deployer, and gs://$state with the state, the settings and the sources of builds. When no other environment is left: terraform -chdir=terraform/bootstrap destroy -var project_id=$project -var region=$region -var state_bucket=$state, then gcloud storage rm --recursive gs://$state"
elif [ "$apply" = true ]; then
	say "$environment runs: the end of the build's log has its addresses"
else
	say "planned only: the build's log says what would change"
fi
