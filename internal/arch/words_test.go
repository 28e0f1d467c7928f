package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// phrases are those that CONTRIBUTING's word list replaces: each needs a second reading, and the field has a term for it.
var phrases = []*regexp.Regexp{
	regexp.MustCompile(`(?i)\b(\w+) (is|are|was|were) none\b`), // "there is none" is English
	regexp.MustCompile(`(?i)\b(so many|told|tells|whoever|by themselves|all the same|tried again|given back|gives back|goes on|go on|without a word|does without|do without)\b`),
	regexp.MustCompile(`(?i)\b(it|which|file|files|list|record|records|result|results|name|names|data|queue|objects?) (stands|lies)\b( still| for| on the line)?`),
}

// allowed are the words that look like one and are not: geometry lies, a camera stands still, a letter stands for a word.
var allowed = regexp.MustCompile(`(?i)^there (is|are|was|were) none$| still$| for$| on the line$`)

const root = "../.."

// texts are what people read: pages, comments, messages, help, names of tests.
var texts = regexp.MustCompile(`(\.(go|md|tf|tftpl|sh|json|lua|yaml|yml|ts|tsx|css|html)|Makefile|Dockerfile)$`)

// TestWords holds every text of the repository to the word list.
func TestWords(t *testing.T) {
	list, err := exec.Command("git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		t.Skip("needs a checkout with git: ", err)
	}
	for _, name := range strings.Split(strings.Trim(string(list), "\x00"), "\x00") {
		if !texts.MatchString(name) || name == "internal/arch/words_test.go" || name == "CONTRIBUTING.md" || strings.HasSuffix(name, "package-lock.json") || strings.Contains(name, "/dist/") {
			continue
		}
		body, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			continue // deleted, not yet committed
		}
		for i, line := range strings.Split(string(body), "\n") {
			for _, phrase := range phrases {
				if found := phrase.FindString(line); found != "" && !allowed.MatchString(found) {
					t.Errorf("%s:%d: %q: see the word list in CONTRIBUTING.md", name, i+1, found)
				}
			}
		}
	}
}
