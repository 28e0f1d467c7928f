package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	fenced  = regexp.MustCompile("(?s)```.*?```")
	notWord = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinksOfDocumentsLead follows every link of every page to a file or folder of this repository, and to the heading if it
// names one. Links to other places are not followed.
func TestLinksOfDocumentsLead(t *testing.T) {
	const root = "../.."
	pages := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && filepath.Ext(path) != ".md" {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == ".git" || name == "node_modules" || name == "out" {
				return filepath.SkipDir
			}
			return nil
		}
		pages++
		page := read(t, path)
		for _, found := range link.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
			checkLink(t, path, found[1])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if pages < 10 {
		t.Errorf("only %d pages found: the check would prove nothing", pages)
	}
}

func checkLink(t *testing.T, page, target string) {
	t.Helper()
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return
	}
	file, anchor, named := strings.Cut(target, "#")
	at := page
	if file != "" {
		at = filepath.Join(filepath.Dir(page), file)
	}
	info, err := os.Stat(at)
	if err != nil {
		t.Errorf("%s links to %s: %v", page, target, err)
		return
	}
	if !named || info.IsDir() || filepath.Ext(at) != ".md" {
		return
	}
	for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, at), ""), -1) {
		if slug(h[1]) == anchor {
			return
		}
	}
	t.Errorf("%s links to %s: no heading of that name", page, target)
}

// slug is the anchor that forges make of a heading.
func slug(heading string) string {
	heading = notWord.ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(strings.TrimSpace(heading), " ", "-")
}

func read(t *testing.T, path string) string {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
