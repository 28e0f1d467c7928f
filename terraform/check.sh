#!/bin/sh
# check.sh: everything about terraform/ that can be checked without the cloud, in well under a minute. Needs terraform and
# the project's offline checker (TFCHECK, default ../shared/tools/tfcheck beside the project); says SKIP and why when one is
# missing. Works on a copy: no lock file, no .terraform, nothing stays behind. With PLANS=FOLDER the plans of both
# environments are left there as JSON.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tfcheck_source=${TFCHECK:-$here/../../shared/tools/tfcheck}
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

[ -f "$tfcheck_source/go.mod" ] || skip "formatting is right; the offline checker is not at $tfcheck_source"
(cd "$tfcheck_source" && go build -o "$work/tfcheck" .) || skip "formatting is right; the offline checker does not build here"

roots="environments/dev environments/prod bootstrap"
for folder in . $roots; do
	found=$("$work/tfcheck" "$here/$folder" 2>&1) || { echo "$found"; fail "linter: $folder"; }
	case $found in *"0 error(s), 0 warning(s)"*) ;; *) echo "$found"; fail "linter: $folder" ;; esac
done
say "linter: no findings"

"$work/tfcheck" mirror "$work/mirror" >/dev/null
export TF_CLI_CONFIG_FILE="$work/mirror/offline.tfrc"
mkdir "$work/terraform" && (cd "$here" && tar cf - --exclude=.terraform --exclude='*.tfstate*' --exclude=terraform.tfvars .) | tar xf - -C "$work/terraform"

digest=sha256:0000000000000000000000000000000000000000000000000000000000000000
quiet() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "$*"; }; }
for root in $roots; do
	cd "$work/terraform/$root"
	printf 'terraform {\n  backend "local" {}\n}\n' >backend_override.tf
	case $root in
	bootstrap)
		printf 'project_id = "p"\nregion = "r"\nstate_bucket = "s"\n' >terraform.tfvars ;;
	*)
		cp terraform.tfvars.example terraform.tfvars
		printf '{"images": {"static": "i@%s", "media": "i@%s", "preprocess": "i@%s", "depth": "i@%s", "train": "i@%s"}}\n' $digest $digest $digest $digest $digest >images.auto.tfvars.json ;;
	esac
	quiet terraform init -input=false
	quiet terraform validate
	quiet terraform plan -input=false -out=plan
	[ -z "${PLANS:-}" ] || terraform show -json plan >"$PLANS/$(basename "$root").json"
	say "$root: init, validate, plan"
done

cd "$work/terraform"
quiet terraform init -input=false -backend=false
if ! terraform test >"$work/log" 2>&1; then
	cat "$work/log"
	fail "terraform test"
fi
say "test: $(tail -n 1 "$work/log")"
