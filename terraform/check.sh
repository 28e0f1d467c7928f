#!/bin/sh
# check.sh: everything about terraform/ that can be checked without the cloud, in about a minute. Needs terraform, and go to
# build the project's offline checker (infra/tfcheck); says SKIP and why when one is missing. Works on a copy: no lock file,
# no .terraform, nothing stays behind. With PLANS=FOLDER the plans of both environments, with each of the queue's engines, and
# the graph of what waits for what are left there.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
say() { printf 'terraform: %s\n' "$*"; }
skip() { say "SKIP: $*"; exit 0; }
fail() { say "FAILED: $*" >&2; exit 1; }

command -v terraform >/dev/null || skip "no terraform in PATH"
# Whatever this machine's terraform is configured with, these checks are offline and contact no provider.
unset TF_CLI_CONFIG_FILE TF_PLUGIN_CACHE_DIR 2>/dev/null || true
export TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1 TF_CLI_ARGS=-no-color

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'disable_checkpoint = true\n' >"$work/none.tfrc"
export TF_CLI_CONFIG_FILE="$work/none.tfrc"

TF_CLI_ARGS='' terraform fmt -check -recursive -diff -no-color "$here" || fail "terraform fmt -recursive would change the above"

command -v go >/dev/null || skip "formatting is right; no go in PATH to build the offline checker with"
(cd "$here/../infra/tfcheck" && go build -o "$work/tfcheck" .) 2>"$work/log" || { cat "$work/log"; skip "formatting is right; the offline checker does not build here (above), probably for want of its modules"; }

for folder in . bootstrap owner; do
	found=$("$work/tfcheck" "$here/$folder" 2>&1) || { echo "$found"; fail "linter: $folder"; }
	case $found in *"0 error(s), 0 warning(s)"*) ;; *) echo "$found"; fail "linter: $folder" ;; esac
done
say "linter: no findings"

"$work/tfcheck" mirror "$work/mirror" >/dev/null
export TF_CLI_CONFIG_FILE="$work/mirror/offline.tfrc"
mkdir "$work/terraform" && (cd "$here" && tar cf - --exclude=.terraform --exclude=.terraform.lock.hcl --exclude='*.tfstate*' --exclude='*.settings.tfvars' --exclude='*.auto.tfvars.json' .) | tar xf - -C "$work/terraform"

# quiet COMMAND...: its output only when it fails, or says that a setting does not exist.
quiet() {
	"$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "$*"; }
	! grep -q 'Value for undeclared variable' "$work/log" || { cat "$work/log"; fail "$*: a setting that is no variable"; }
}

digest=sha256:0000000000000000000000000000000000000000000000000000000000000000
for root in . bootstrap owner; do
	cd "$work/terraform/$root"
	printf 'terraform {\n  backend "local" {}\n}\n' >backend_override.tf
	quiet terraform init -input=false
	quiet terraform validate
done
cd "$work/terraform/bootstrap"
quiet terraform plan -input=false -var project_id=p -var region=r -var state_bucket=s -out=plan
[ -z "${PLANS:-}" ] || terraform graph -plan=plan >"$PLANS/bootstrap.dot"
say "bootstrap: init, validate, plan"
cd "$work/terraform"
{
	printf '{"project_id": "p", "region": "europe-west4", "depth_runtime": "cuda", "valkey_token": "t", "images": {'
	for kind in static media preprocess depth train-cuda valkey; do printf '"%s": "i@%s", ' $kind $digest; done
	printf '"train": "i@%s"}}\n' $digest
} >build.auto.tfvars.json
for environment in dev prod; do
	cp environments/$environment.settings.tfvars.example environments/$environment.settings.tfvars
	CONFIG="$here/../splatworks.example.yaml" sh build/config.sh $environment >config.tfvars.json || fail "build/config.sh $environment"
	files="-var-file=environments/$environment.tfvars -var-file=config.tfvars.json -var-file=environments/$environment.settings.tfvars"
	# shellcheck disable=SC2086 # the arguments are words without spaces
	quiet terraform plan -input=false $files -out=plan
	[ -z "${PLANS:-}" ] || terraform show -json plan >"$PLANS/$environment.json"
	for engine in redis valkey vm url; do
		printf 'redis = { engine = "%s"%s }\n' $engine "$([ $engine != url ] || printf ', url_secret = "s"')" >engine.tfvars
		# shellcheck disable=SC2086
		quiet terraform plan -input=false $files -var-file=engine.tfvars -out=plan
		[ -z "${PLANS:-}" ] || { terraform show -json plan >"$PLANS/$environment-$engine.json" && terraform graph -plan=plan >"$PLANS/$environment-$engine.dot"; }
	done
	sh build/settings.sh $environment >owner/settings.auto.tfvars.json || fail "build/settings.sh $environment"
	quiet terraform -chdir=owner plan -input=false -var project_id=p
	say "$environment, with its own and each of the other engines: init, validate, plan"
done

rm -f build.auto.tfvars.json
if ! terraform test >"$work/log" 2>&1; then
	cat "$work/log"
	fail "terraform test"
fi
say "test: $(tail -n 1 "$work/log")"
