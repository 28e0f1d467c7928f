package arch

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/pipeline"
)

var update = flag.Bool("update", false, "write what the tables of stages and options say into the documents")

// TestDocumentsHoldTheTables compares the parts of documents that list stages or options with pipeline's tables. After a change to a
// table: go test ./internal/arch -run Tables -update.
func TestDocumentsHoldTheTables(t *testing.T) {
	for _, part := range []struct {
		file    string
		pattern string // what is replaced by text
		text    string
	}{
		{"functions/trigger/openapi.json", stageEnum, `"enum": ` + compact(t, pipeline.Stages())},
		{"functions/operators/openapi.json", stageEnum, `"enum": ` + compact(t, pipeline.Stages())},
		{"functions/trigger/openapi.json", optionSchemas, schemas(t)},
		{"functions/operators/openapi.json", optionSchemas, schemas(t)},
		{"docs/api.md", `(?s)<!-- options: .*?<!-- end -->`, optionsTable(t)},
	} {
		path := filepath.Join("..", "..", filepath.FromSlash(part.file))
		before := read(t, path)
		pattern := regexp.MustCompile(part.pattern)
		if !pattern.MatchString(before) {
			t.Errorf("%s holds no %s", part.file, part.pattern)
			continue
		}
		after := pattern.ReplaceAllLiteralString(before, part.text)
		if after == before {
			continue
		}
		if !*update {
			t.Errorf("%s differs from pipeline's tables; run: go test ./internal/arch -run Tables -update", part.file)
			continue
		}
		if err := os.WriteFile(path, []byte(after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// stageEnum is any list that begins with a stage.
var stageEnum = func() string {
	var names []string
	for _, s := range pipeline.Stages() {
		names = append(names, string(s))
	}
	return `"enum": \["(?:` + strings.Join(names, "|") + `)"[^\]]*\]`
}()

// optionSchemas are the properties of the schema Options: a line each, indented by five.
const optionSchemas = `(?m)^     "preset": \{"type".*\n(?:     "\w+": .*\n)*`

// compact is JSON on one line, with spaces after commas and colons as in the documents.
func compact(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSpace(b.String()), `","`, `", "`)
}

// schemas describes every option for OpenAPI.
func schemas(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, row := range pipeline.OptionTable() {
		kind, more := "", ""
		limits := ""
		if row.Max > 0 {
			limits = fmt.Sprintf(` From %g to %.0f; 0: %s.`, row.Min, row.Max, defaultOf(row))
			more = fmt.Sprintf(`, "minimum": 0, "maximum": %.0f`, row.Max)
		}
		switch row.Field(new(pipeline.Options)).(type) {
		case *string:
			kind = "string"
			if row.Values != nil {
				more += `, "enum": ` + compact(t, row.Values)
			}
			if row.Pattern != "" {
				more += `, "pattern": ` + compact(t, row.Pattern)
			}
			more += `, "default": ` + compact(t, row.Default)
		case *float64:
			kind = "number"
		case *int:
			kind = "integer"
		case *uint64:
			kind, more = "integer", `, "minimum": 0`
		case *bool:
			kind, more = "boolean", `, "default": false`
		case *[]string:
			kind, more = "array", `, "items": {"type": "string", "enum": `+compact(t, row.Values)+`}, "uniqueItems": true, "default": `+compact(t, row.Default)
		}
		lines = append(lines, fmt.Sprintf(`     %q: {"type": %q, "description": %s%s}`, row.Name, kind, compact(t, row.Sentence+limits), more))
	}
	return strings.Join(lines, ",\n") + "\n"
}

// defaultOf is what leaving an option out means, in words.
func defaultOf(row pipeline.Option) string {
	switch v := row.Default.(type) {
	case []string:
		return strings.Join(v, ", ")
	case nil:
		switch row.Field(new(pipeline.Options)).(type) {
		case *bool:
			return "false"
		case *uint64:
			return "0"
		}
		return "the preset's own"
	}
	return fmt.Sprint(row.Default)
}

// optionsTable is the table of options in docs/api.md.
func optionsTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("<!-- options: go test ./internal/arch -run Tables -update -->\n| option | values | default | what it does |\n| --- | --- | --- | --- |\n")
	for _, row := range pipeline.OptionTable() {
		values := ""
		switch row.Field(new(pipeline.Options)).(type) {
		case *bool:
			values = "true, false"
		case *uint64:
			values = "a whole number"
		case *[]string:
			values = "a list of `" + strings.Join(row.Values, "`, `") + "`"
		case *string:
			if values = "`" + strings.Join(row.Values, "`, `") + "`"; row.Pattern != "" {
				values = strings.TrimPrefix(row.Rule, "be ")
			}
		default:
			values = fmt.Sprintf("%g to %.0f", row.Min, row.Max)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", row.Name, values, defaultOf(row), row.Sentence)
	}
	b.WriteString("<!-- end -->")
	return b.String()
}

// TestEveryStageIsEverywhere names what a new stage still lacks. Everything else derives from pipeline.StageTable.
func TestEveryStageIsEverywhere(t *testing.T) {
	root := func(file string) string { return filepath.Join("..", "..", filepath.FromSlash(file)) }
	var names []string
	for _, stage := range pipeline.Stages() {
		names = append(names, string(stage))
		for _, file := range []string{"services/" + string(stage), "services/" + string(stage) + "/cmd/main.go"} {
			if _, err := os.Stat(root(file)); err != nil {
				t.Errorf("stage %s lacks %s", stage, file)
			}
		}
	}
	for _, want := range []struct {
		file, what string
		pattern    func(i int) string // for the i-th stage
	}{
		{"README.md", "a line in The flow", func(i int) string { return `(?m)^      ` + names[i] + ` +\S` }},
		{"terraform/variables_stages.tf", "a row in stages, with the stage after it as next", func(i int) string {
			if i+1 == len(names) {
				return `(?m)^    ` + names[i] + ` +=\s*\{ image = "\w+"[^}]*max_executions = \d+(, (reads_uploads|machine|disk_gib) = [^,}]+)* \}$`
			}
			return `(?m)^    ` + names[i] + ` +=\s*\{ image = "\w+".*next = "` + names[i+1] + `"`
		}},
	} {
		text := read(t, root(want.file))
		for i, name := range names {
			if !regexp.MustCompile(want.pattern(i)).MatchString(text) {
				t.Errorf("stage %s lacks %s of %s", name, want.what, want.file)
			}
		}
	}
	for file, list := range map[string]string{ // lists of all stages in order
		"docs/architecture.md":    strings.Join(names, " --> "),
		"docs/architecture.md ":   "starts the next stage: " + strings.Join(names, ", ") + ".",
		"docs/architecture.md  ":  "| stage | one of " + strings.Join(names, ", ") + " |",
		"infra/docker/measure.sh": "for stage in " + strings.Join(names, " ") + ";",
	} {
		if file = strings.TrimSpace(file); !strings.Contains(read(t, root(file)), list) {
			t.Errorf("%s lacks the list of stages %q", file, list)
		}
	}
}
