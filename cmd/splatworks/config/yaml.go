package config

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Schema is the JSON schema of the file.
//
//go:embed schema.json
var Schema []byte

// document is a YAML document whose nodes know their lines.
type document struct{ node *yaml.Node }

// maxDepth of nesting; a right file has four.
const maxDepth = 8

// parse reads one document of plain YAML: what JSON could say, each value once.
func parse(text []byte) (document, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var root, more yaml.Node
	err := d.Decode(&root)
	if errors.Is(err, io.EOF) {
		return document{&yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1}}, nil
	}
	if err != nil {
		return document{}, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return document{}, wrong{more.Line, "a second document begins: only one is read"}
	}
	node := root.Content[0]
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" { // comments alone
		node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1}
	}
	return document{node}, plain(node, 1)
}

// plain refuses what terraform and this program might read differently, and what makes a small file large: aliases, tags, keys that
// are no text or appear twice, numbers that are not finite.
func plain(n *yaml.Node, depth int) error {
	switch {
	case depth > maxDepth:
		return wrong{n.Line, fmt.Sprintf("it is nested more than %d deep", maxDepth)}
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return wrong{n.Line, "anchors and aliases are not read: write the value out"}
	case n.Kind == yaml.ScalarNode:
		return plainScalar(n)
	case n.Kind == yaml.MappingNode:
		seen := map[string]bool{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.Tag != "!!str" || key.Anchor != "" {
				return wrong{key.Line, "a name must be plain text"}
			}
			if seen[key.Value] {
				return wrong{key.Line, key.Value + " appears twice"}
			}
			seen[key.Value] = true
		}
		for i := 1; i < len(n.Content); i += 2 {
			if err := plain(n.Content[i], depth+1); err != nil {
				return err
			}
		}
	default:
		for _, child := range n.Content {
			if err := plain(child, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func plainScalar(n *yaml.Node) error {
	switch n.Tag {
	case "!!str", "!!int", "!!bool", "!!null":
	case "!!timestamp":
		n.Tag = "!!str"
	case "!!float":
		var v float64
		if err := n.Decode(&v); err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return wrong{n.Line, n.Value + " is not a number"}
		}
	default:
		return wrong{n.Line, "the tag " + n.Tag + " is not read"}
	}
	return nil
}

// check holds the document to the schema and returns what it says.
func (d document) check() (map[string]any, error) {
	var said map[string]any
	if err := d.node.Decode(&said); err != nil {
		return nil, wrong{d.node.Line, "it must be a list of names and values, as stages: and limits:"}
	}
	schema, err := compiled()
	if err != nil {
		return nil, err
	}
	err = schema.Validate(any(said))
	var invalid *jsonschema.ValidationError
	if errors.As(err, &invalid) {
		return nil, d.explain(invalid)
	}
	return said, err
}

func compiled() (*jsonschema.Schema, error) {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		return nil, fmt.Errorf("schema of the configuration: %w", err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("splatworks.json", parsed); err != nil {
		return nil, fmt.Errorf("schema of the configuration: %w", err)
	}
	return c.Compile("splatworks.json")
}

// explain is all that is wrong, in the order of the file.
func (d document) explain(e *jsonschema.ValidationError) error {
	var found []wrong
	d.collect(e, &found)
	slices.SortStableFunc(found, func(a, b wrong) int { return a.line - b.line })
	var problems []error
	for _, w := range found {
		problems = append(problems, w)
	}
	return errors.Join(problems...)
}

var english = message.NewPrinter(language.English)

// inWords continues a sentence that begins with the name of the field.
func inWords(k jsonschema.ErrorKind) string {
	number := func(r *big.Rat) string {
		f, _ := r.Float64()
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	switch k := k.(type) {
	case *kind.Minimum:
		return fmt.Sprintf("must be at least %s, not %s", number(k.Want), number(k.Got))
	case *kind.ExclusiveMinimum:
		return fmt.Sprintf("must be above %s", number(k.Want))
	case *kind.Maximum:
		return fmt.Sprintf("must be at most %s, not %s", number(k.Want), number(k.Got))
	case *kind.Type:
		return fmt.Sprintf("must be of type %s, not %s", strings.Join(k.Want, " or "), k.Got)
	}
	return "is not right: " + k.LocalizedString(english)
}

func (d document) collect(e *jsonschema.ValidationError, found *[]wrong) {
	path := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			unknown := append(slices.Clone(path), name)
			*found = append(*found, d.at(strings.Join(unknown, ".")+": there is no such field", unknown...))
		}
	case *kind.PropertyNames:
		unknown := append(slices.Clone(path), k.Property)
		*found = append(*found, d.at(strconv.Quote(k.Property)+" is not a name that "+strings.Join(path, ".")+" may have", unknown...))
	default:
		if len(e.Causes) == 0 {
			name := strings.Join(path, ".")
			if name == "" {
				name = "the file"
			}
			*found = append(*found, d.at(name+" "+inWords(e.ErrorKind), path...))
		}
		for _, cause := range e.Causes {
			d.collect(cause, found)
		}
	}
}

// at is an error at the line of a field, or of the last one on its path that the document has.
func (d document) at(text string, path ...string) wrong {
	node, line := d.node, d.node.Line
	for _, name := range path {
		next := -1
		switch node.Kind {
		case yaml.MappingNode:
			for i := 0; i < len(node.Content); i += 2 {
				if node.Content[i].Value == name {
					next, line = i+1, node.Content[i].Line
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(name); err == nil && i < len(node.Content) {
				next, line = i, node.Content[i].Line
			}
		}
		if next < 0 {
			break
		}
		node = node.Content[next]
	}
	return wrong{line, text}
}

// number is a value of JSON as the number that it is.
func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	}
	return 0, false
}
