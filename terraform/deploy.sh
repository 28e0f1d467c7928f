#!/bin/sh
# deploy.sh PROJECT REGION [ENVIRONMENT]: the whole way from a clone to a running backend; safe to run again, which is how
# an upgrade is made. ENVIRONMENT is dev (default) or prod; its settings are environments/ENVIRONMENT/terraform.tfvars.
#
# Makes the bucket of terraform's state, applies bootstrap/ (APIs, image repository, deployer account) as you, and lets
# Cloud Build do the rest as the deployer: tests, images, scan, plan, apply. APPLY=false stops after the plan.
set -eu

fail() { printf 'deploy: %s\n' "$*" >&2; exit 1; }
say() { printf 'deploy: %s\n' "$*"; }

[ $# -ge 2 ] && [ -n "$1" ] && [ -n "$2" ] || fail "say where: make deploy PROJECT=my-project REGION=europe-west4 [ENVIRONMENT=dev]"
project=$1 region=$2 environment=${3:-dev}
here=$(cd "$(dirname "$0")" && pwd)
[ -d "$here/environments/$environment" ] || fail "there is no environment $environment; there are: $(ls "$here/environments" | tr '\n' ' ')"
for program in gcloud terraform; do
	command -v $program >/dev/null || fail "$program is missing; install it first"
done
gcloud auth print-access-token >/dev/null 2>&1 || fail "not logged in: gcloud auth login"
gcloud auth application-default print-access-token >/dev/null 2>&1 || fail "terraform is not logged in: gcloud auth application-default login"
[ "$(gcloud billing projects describe "$project" --format='value(billingEnabled)')" = True ] ||
	fail "project $project has no billing account: gcloud billing projects link $project --billing-account=ACCOUNT"

state=$project-splatworks-state
gcloud services enable cloudresourcemanager.googleapis.com serviceusage.googleapis.com storage.googleapis.com --project="$project"
if ! gcloud storage buckets describe "gs://$state" --project="$project" >/dev/null 2>&1; then
	say "making gs://$state for terraform's state"
	gcloud storage buckets create "gs://$state" --project="$project" --location="$region" --uniform-bucket-level-access --public-access-prevention
	gcloud storage buckets update "gs://$state" --versioning
fi

say "APIs, image repository and deployer"
cd "$here/bootstrap"
terraform init -input=false -backend-config="bucket=$state" >/dev/null
terraform apply -input=false -auto-approve -var "project_id=$project" -var "region=$region" -var "state_bucket=$state"

settings=$here/environments/$environment/terraform.tfvars
if [ -f "$settings" ]; then
	gcloud storage cp "$settings" "gs://$state/splatworks/$environment/terraform.tfvars"
else
	say "no $settings: the defaults apply, and nobody may call the trigger function yet"
fi

say "images and $environment, in Cloud Build"
gcloud builds submit "$here/.." --project="$project" --region="$region" --config="$here/../cloudbuild.yaml" \
	--service-account="projects/$project/serviceAccounts/splatworks-deployer@$project.iam.gserviceaccount.com" \
	--substitutions="_REGION=$region,_ENVIRONMENT=$environment,_APPLY=${APPLY:-true}${SUBSTITUTIONS:+,$SUBSTITUTIONS}"
