package deployment

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNothingSecretIsUploaded: .gcloudignore is written as a .gitignore is, so git says what it leaves in.
func TestNothingSecretIsUploaded(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git in PATH")
	}
	root := t.TempDir()
	secret := []string{
		"terraform/environments/prod.settings.tfvars", "terraform/terraform.tfvars", "terraform/valkey.auto.tfvars.json", "terraform/owner/settings.auto.tfvars.json",
		"terraform/bootstrap/.terraform/providers/google", "terraform/.terraform/terraform.tfstate", "terraform/terraform.tfstate", "terraform/terraform.tfstate.backup", "terraform/environment.plan",
		"bin/splatworks", "out/splat.ply", ".images/static",
	}
	needed := []string{"cloudbuild.yaml", "go.mod", "terraform/main.tf", "terraform/environments/dev.tfvars", "terraform/environments/prod.tfvars", "terraform/build/apply.sh", "infra/docker/build.sh", "services/filter/cmd/main.go"}
	for _, name := range slices.Concat(secret, needed) {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, ".gitignore"), []byte(text(t, ".gcloudignore")), 0o600); err != nil {
		t.Fatal(err)
	}
	git := func(arguments ...string) string {
		command := exec.Command("git", append([]string{"-C", root}, arguments...)...)
		command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", arguments, err, out)
		}
		return string(out)
	}
	git("init", "-q")
	uploaded := strings.Fields(git("ls-files", "--others", "--exclude-standard"))
	for _, name := range secret {
		if slices.Contains(uploaded, name) {
			t.Errorf("%s is uploaded with the source", name)
		}
	}
	for _, name := range needed {
		if !slices.Contains(uploaded, name) {
			t.Errorf("%s is not uploaded, and the build needs it", name)
		}
	}
}
