package deployment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPin: one command writes the base images' digests and the providers' lock file, or neither, and says what is missing.
func TestPin(t *testing.T) {
	const digest = "sha256:0123"
	digests := rule{Program: "docker", Match: "buildx imagetools inspect", Stdout: digest + "\n"}
	locked := rule{Program: "terraform", Match: "providers lock", Creates: ".terraform.lock.hcl"}
	files := func(o outcome) (bases, lock string) {
		for path, content := range map[string]*string{"infra/docker/bases.txt": &bases, "terraform/.terraform.lock.hcl": &lock} {
			body, err := os.ReadFile(filepath.Join(o.Root, path))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			*content = string(body)
		}
		return bases, lock
	}
	o := run(t, []rule{digests, locked}, nil, "terraform/pin.sh")
	o.ended(t, 0, "commit infra/docker/bases.txt and terraform/.terraform.lock.hcl")
	o.inOrder(t, "terraform get", "terraform providers lock -platform=linux_amd64 -platform=linux_arm64 -platform=darwin_arm64")
	bases, lock := files(o)
	for _, image := range []string{"golang", "debian", "valkey/valkey", "cuda"} {
		if !strings.Contains(bases, image) {
			t.Errorf("no %s in %q", image, bases)
		}
	}
	if n := strings.Count(bases, "@"+digest); n != 5 || !strings.Contains(lock, "providers lock") {
		t.Errorf("%d digests in %q; lock file %q", n, bases, lock)
	}

	before, _ := os.ReadFile(filepath.Join("..", "docker", "bases.txt"))
	lockBefore, _ := os.ReadFile(filepath.Join("..", "..", "terraform", ".terraform.lock.hcl"))
	for name, c := range map[string]struct {
		rules []rule
		said  string
	}{
		"no buildx":          {[]rule{{Program: "docker", Match: "buildx version", Exit: 1}}, "docker buildx is missing: install"},
		"no terraform":       {[]rule{{Program: "terraform", Match: "version", Exit: 127}}, "terraform is missing: install terraform 1.9"},
		"no provider":        {[]rule{digests, {Program: "terraform", Match: "providers lock", Exit: 1, Stderr: "could not query provider registry"}}, "the providers could not be locked (above); nothing was changed"},
		"no lock file":       {[]rule{digests}, "terraform wrote no lock file; nothing was changed"},
		"no registry":        {[]rule{{Program: "docker", Match: "imagetools inspect", Exit: 1, Stderr: "too many requests"}, locked}, "could not be looked up (above); nothing was changed"},
		"an answer, no more": {[]rule{locked}, "no digest of"},
	} {
		t.Run(name, func(t *testing.T) {
			o := run(t, c.rules, nil, "terraform/pin.sh")
			o.ended(t, 1, c.said)
			if bases, lock := files(o); bases != string(before) || lock != string(lockBefore) {
				t.Errorf("changed: %q, %q", bases, lock)
			}
		})
	}
}
