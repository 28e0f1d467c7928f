package deployment

import (
	"slices"
	"strings"
	"testing"
)

// settings are the answers that every run of deploy.sh needs: logged in, billed, and settings that terraform accepts.
var settings = []rule{
	{Program: "gcloud", Match: "billing projects describe", Stdout: "True\n"},
	{Program: "terraform", Match: "output -raw owner", Stdout: `{"alert_emails":[],"audit_logs":false,"budget":null,"engine":"vm","kms_key_name":null,"name":"splatworks"}`},
}

// newProject adds what a project answers in which nothing was ever made.
var newProject = append([]rule{
	{Program: "gcloud", Match: "storage buckets describe", Exit: 1},
	{Program: "gcloud", Match: "storage cat", Exit: 1},
}, settings...)

const restricted = "ERROR: (gcloud.builds.submit) FAILED_PRECONDITION: due to quota restrictions, cannot run builds in this region, please contact support\n"

func deploy(t *testing.T, rules []rule, environment ...string) outcome {
	return run(t, rules, environment, "terraform/deploy.sh", "my-project", "europe-west4", "dev")
}

func TestDeployNewProject(t *testing.T) {
	o := deploy(t, newProject)
	o.ended(t, 0, "dev runs")
	o.inOrder(t,
		"terraform output -raw owner", // the settings are checked before anything is made
		"gcloud services enable",
		"gcloud storage buckets create gs://my-project-splatworks-state",
		"gcloud storage cp - gs://my-project-splatworks-state/splatworks/names/splatworks",
		"bootstrap init", "bootstrap apply",
		"owner init", "owner apply",
		"gcloud builds submit")
	submitted := o.called("builds submit")
	if len(submitted) != 1 {
		t.Fatalf("%d builds", len(submitted))
	}
	for _, word := range []string{"--region=europe-west4 ", "_APPLY=true", "_DESTROY=false", "_ENVIRONMENT=dev", "_NAME=splatworks", "--gcs-source-staging-dir=gs://my-project-splatworks-state/source", "--machine-type="} {
		if !strings.Contains(submitted[0], word) {
			t.Errorf("the build is submitted without %s: %s", word, submitted[0])
		}
	}
}

// TestDeployWaitsForWhatWasJustEnabled: an API that was enabled a moment ago answers 403, the account of a role 404.
func TestDeployWaitsForWhatWasJustEnabled(t *testing.T) {
	o := deploy(t, append([]rule{
		{Program: "gcloud", Match: "services enable", Times: 1, Exit: 1, Stderr: "ERROR: PERMISSION_DENIED\n"},
		{Program: "gcloud", Match: "buckets create", Times: 2, Exit: 1, Stderr: "ERROR: 403 storage.googleapis.com has not been used\n"},
		{Program: "terraform", Match: "bootstrap apply", Times: 1, Exit: 1, Stderr: "Error 403: Cloud Resource Manager API has not been used\n"},
		{Program: "terraform", Match: "owner apply", Times: 1, Exit: 1, Stderr: "Error 404: service account does not exist\n"},
		{Program: "gcloud", Match: "builds submit", Times: 1, Exit: 1, Stderr: "ERROR: PERMISSION_DENIED: caller does not have permission to act as service account\n"},
	}, newProject...))
	o.ended(t, 0, "dev runs", "once more")
	if n := len(o.called("builds submit")); n != 2 {
		t.Errorf("%d builds were submitted, want 2", n)
	}
}

func TestDeployWhereBuildsAreRestricted(t *testing.T) {
	o := deploy(t, append([]rule{{Program: "gcloud", Match: "--region=europe-west4 --config", Exit: 1, Stderr: restricted}}, newProject...))
	o.ended(t, 0, "builds in global instead", "dev runs")
	submitted := o.called("builds submit")
	if len(submitted) != 2 || !strings.Contains(submitted[1], "--region=global ") || !strings.Contains(submitted[1], "_REGION=europe-west4") {
		t.Errorf("the second build must be in global, for a backend in europe-west4: %q", submitted)
	}
	o = deploy(t, newProject, "BUILD_REGION=us-central1", "BUILD_MACHINE=e2-medium")
	o.ended(t, 0)
	if len(o.called("builds submit", "--region=us-central1", "--machine-type=e2-medium")) != 1 {
		t.Errorf("region and machine of the build cannot be chosen: %q", o.called("builds submit"))
	}
}

func TestDeployAgain(t *testing.T) {
	o := deploy(t, append([]rule{{Program: "gcloud", Match: "storage cat", Stdout: "dev"}}, settings...))
	o.ended(t, 0, "dev runs")
	if len(o.called("buckets create"))+len(o.called("storage cp -")) > 0 {
		t.Errorf("a second run makes again what is there: %q", o.Calls)
	}
}

func TestDeployInterrupted(t *testing.T) {
	o := deploy(t, append([]rule{{Program: "gcloud", Match: "builds submit", Exit: 1, Stderr: "Logs are available at [https://console]\nERROR: build b completed with status \"FAILURE\"\n"}}, newProject...))
	o.ended(t, 1, "Run the same command again")
	if n := len(o.called("builds submit")); n != 1 {
		t.Errorf("a build that failed was submitted %d times", n)
	}
}

func TestDeployPlanOnly(t *testing.T) {
	o := deploy(t, newProject, "APPLY=false")
	o.ended(t, 0, "planned only")
	if len(o.called("builds submit", "_APPLY=false")) != 1 {
		t.Errorf("the build was to plan: %q", o.called("builds submit"))
	}
}

func TestDeployEarlierImages(t *testing.T) {
	o := deploy(t, newProject, "IMAGES=1234-5678")
	o.ended(t, 0)
	if len(o.called("builds submit", "_IMAGES=1234-5678")) != 1 {
		t.Errorf("the build was to use earlier images: %q", o.called("builds submit"))
	}
}

func TestTeardown(t *testing.T) {
	there := append([]rule{{Program: "gcloud", Match: "storage cat", Stdout: "dev"}}, settings...)
	o := deploy(t, there, "DESTROY=true")
	o.ended(t, 0, "dev is gone")
	o.inOrder(t, "_DESTROY=true", "owner init", "owner destroy", "storage rm gs://my-project-splatworks-state/splatworks/names/splatworks")
	if len(o.called("owner apply")) > 0 {
		t.Error("a teardown makes a budget first")
	}
	deploy(t, newProject, "DESTROY=true").ended(t, 1, "nothing was deployed")
	deploy(t, newProject, "DESTROY=true", "APPLY=false").ended(t, 1, "DESTROY=true is no plan")
}

// TestDeployRefusesInOneSentence: what is wrong before anything was made is said, and nothing is made.
func TestDeployRefusesInOneSentence(t *testing.T) {
	for name, test := range map[string]struct {
		rules []rule
		said  string
	}{
		"no login":          {[]rule{{Program: "gcloud", Match: "auth print-access-token", Exit: 1}}, "gcloud auth login"},
		"terraform's login": {[]rule{{Program: "gcloud", Match: "application-default print-access-token", Exit: 1}}, "gcloud auth application-default login"},
		"no billing":        {[]rule{{Program: "gcloud", Match: "billing", Stdout: "False\n"}}, "has no billing account"},
		"refused settings":  {[]rule{{Program: "terraform", Match: "apply -no-color", Exit: 1, Stderr: "Error: Invalid value for variable\n"}}, "correct "},
		"unknown setting":   {[]rule{{Program: "terraform", Match: "apply -no-color", Stderr: "Warning: Value for undeclared variable\n"}}, "correct "},
		"a taken name":      {[]rule{{Program: "gcloud", Match: "storage cat", Stdout: "prod"}}, "give dev a name of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			o := deploy(t, append(test.rules, settings...))
			o.ended(t, 1, test.said)
			if made := slices.Concat(o.called("bootstrap apply"), o.called("owner apply"), o.called("builds submit"), o.called("buckets create")); len(made) > 0 {
				t.Errorf("it continued: %q", made)
			}
		})
	}
	run(t, settings, nil, "terraform/deploy.sh", "", "").ended(t, 1, "make deploy PROJECT=")
	run(t, settings, nil, "terraform/deploy.sh", "p", "r", "staging").ended(t, 1, "there is no environment staging; there are: dev prod")
}
