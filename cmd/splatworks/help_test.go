package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func parser(t *testing.T, out io.Writer) *kong.Kong {
	t.Helper()
	p, err := newParser(context.Background(), console{out: out, err: out}, &commands{}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEverythingHasHelp(t *testing.T) {
	err := kong.Visit(parser(t, io.Discard).Model, func(node kong.Visitable, next kong.Next) error {
		switch n := node.(type) {
		case *kong.Node:
			if n.Help == "" {
				t.Errorf("%s has no help", n.FullPath())
			}
		case *kong.Flag:
			if n.Help == "" {
				t.Errorf("--%s has no help", n.Name)
			}
		case *kong.Value:
			if n.Help == "" {
				t.Errorf("<%s> has no help", n.Name)
			}
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// words are the command lines in a text: code in backquotes, and lines that begin with the program.
var words = regexp.MustCompile("(?m)`(?:bin/)?splatworks ([^`\n]+)`|^\\s*(?:bin/)?splatworks (.+)$")

// Every command line in the documentation and the help parses.
func TestDocumentedCommandsAreUnderstood(t *testing.T) {
	texts := map[string]string{}
	for _, pattern := range []string{"../../*.md", "../../*/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts[file] = string(body)
		}
	}
	texts["--help"] = description
	for _, node := range parser(t, io.Discard).Model.Children {
		texts[node.Name+" --help"] = node.Detail
	}
	seen := 0
	for where, text := range texts {
		for _, match := range words.FindAllStringSubmatch(text, -1) {
			line := match[1] + match[2]
			line, _, _ = strings.Cut(line, "#")
			line, _, _ = strings.Cut(line, "   ") // what it is for
			args := strings.Fields(line)
			seen++
			if args[0] == "--help" || named(parser(t, io.Discard).Model.Node, args) {
				continue
			}
			if _, err := parser(t, io.Discard).Parse(args); err != nil {
				t.Errorf("%s: splatworks %s: %v", where, strings.Join(args, " "), err)
			}
		}
	}
	if seen < 12 {
		t.Errorf("%d commands found in %d texts: the check would prove little", seen, len(texts))
	}
}

// named says whether the words only name a command.
func named(node *kong.Node, words []string) bool {
	for _, word := range words {
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word })
		if i < 0 {
			return false
		}
		node = node.Children[i]
	}
	return true
}

func TestHelpTellsWhatAPresetIs(t *testing.T) {
	var out bytes.Buffer
	if _, err := parser(t, &out).Parse([]string{"run", "--help"}); err == nil {
		t.Error("--help asked for nothing more")
	}
	if text := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(text, "standard (640 pixels, 75 s of training)") {
		t.Error(text)
	}
}

func TestValuesMayStartWithAHyphen(t *testing.T) {
	for _, args := range [][]string{
		{"status", "--token", "-nrnG8"}, {"status", "--token=-nrnG8"}, {"status", "--token=--nrnG8"},
		{"convert", "--translate", "-1,0,0", "--crop", "-1,-1,-1,1,1,1", "a.ply", "b.spz"},
	} {
		if _, err := parser(t, io.Discard).Parse(args); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	for said, args := range map[string][]string{
		"--token: needs a value before --server": {"status", "--token", "--server"},
		"--token: needs a value":                 {"status", "--token"},
		"--out: needs a value before --json":     {"run", "--out", "--json", "video.mp4"},
	} {
		if _, err := parser(t, io.Discard).Parse(args); err == nil || err.Error() != said {
			t.Errorf("%v: %v, not %q", args, err, said)
		}
	}
}
