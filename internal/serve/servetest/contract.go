// Package servetest holds handlers to the OpenAPI document that describes them, for the tests of those who have both.
package servetest

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/internal/serve"
)

// Contract is an OpenAPI 3.1 document and what was seen of its handlers.
type Contract struct {
	doc object

	mu    sync.Mutex
	given map[string]bool // "POST /cancel 404 unknown_request"
}

type object = map[string]any

// New reads a document.
func New(document []byte) (*Contract, error) {
	c := &Contract{given: map[string]bool{}}
	if err := json.Unmarshal(document, &c.doc); err != nil {
		return nil, fmt.Errorf("read OpenAPI document: %w", err)
	}
	return c, nil
}

// Check holds one answer of an operation ("GET /status/{id}") to the document: its status, headers, type and body.
// Headers in optional may be missing.
func (c *Contract) Check(t testing.TB, operation string, rec *httptest.ResponseRecorder, optional ...string) {
	t.Helper()
	method, path, _ := strings.Cut(operation, " ")
	answer := mapOf(At(c.doc, "paths", path, strings.ToLower(method), "responses", fmt.Sprint(rec.Code)))
	if answer == nil {
		t.Fatalf("%s answers %d %s, which is not documented", operation, rec.Code, rec.Body)
	}
	key := fmt.Sprintf("%s %d", operation, rec.Code)
	contents := mapOf(answer["content"])
	contentType := rec.Header().Get("Content-Type")
	if len(contents) == 0 && rec.Code/100 != 3 && rec.Body.Len() > 0 {
		t.Errorf("%s: a body that is not documented: %s", key, rec.Body)
	}
	if len(contents) > 0 {
		content, ok := contents[contentType]
		if !ok {
			t.Fatalf("%s: type %q", key, contentType)
		}
		if !strings.HasPrefix(contentType, "text/") {
			var body any
			if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if err := c.conforms(At(content, "schema"), body, "body"); err != nil {
				t.Errorf("%s: %v\n%s", key, err, rec.Body)
			}
			if code, ok := At(body, "code").(string); ok {
				key += " " + code
			}
		}
	}
	for name := range mapOf(answer["headers"]) {
		if rec.Header().Get(name) == "" && !slices.Contains(optional, name) {
			t.Errorf("%s: header %s is missing", key, name)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.given[key] = true
}

// Missing lists every answer, with every code, that the document names and Check has not seen.
func (c *Contract) Missing() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var missing []string
	for path, methods := range mapOf(c.doc["paths"]) {
		for method, operation := range mapOf(methods) {
			for status, answer := range mapOf(At(operation, "responses")) {
				keys := []string{strings.ToUpper(method) + " " + path + " " + status}
				if codes := listOf(At(answer, "content", serve.ContentType, "schema", "properties", "code", "enum")); len(codes) > 0 {
					only := keys[0]
					keys = nil
					for _, code := range codes {
						keys = append(keys, fmt.Sprint(only, " ", code))
					}
				}
				for _, key := range keys {
					if !c.given[key] {
						missing = append(missing, key)
					}
				}
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// Operation finds the operation that a call of a method and path belongs to.
func (c *Contract) Operation(method, path string) (operation string, ok bool) {
	got := strings.Split(path, "/")
	for template, methods := range mapOf(c.doc["paths"]) {
		want := strings.Split(template, "/")
		if len(want) != len(got) || mapOf(methods)[strings.ToLower(method)] == nil {
			continue
		}
		same := true
		for i := range want {
			same = same && (want[i] == got[i] || strings.HasPrefix(want[i], "{"))
		}
		if same {
			return method + " " + template, true
		}
	}
	return "", false
}

// At walks down decoded JSON objects; nil when there is nothing.
func At(o any, path ...string) any {
	for _, p := range path {
		o = mapOf(o)[p]
	}
	return o
}

// Doc is the decoded document.
func (c *Contract) Doc() map[string]any { return c.doc }

func mapOf(v any) object { m, _ := v.(object); return m }

// conforms checks a value against the part of JSON Schema that the document uses; any other keyword is an error.
func (c *Contract) conforms(schema, value any, where string) error {
	s := mapOf(schema)
	for keyword := range s {
		if !slices.Contains([]string{"$ref", "allOf", "type", "description", "properties", "required", "additionalProperties", "items", "enum", "minimum", "maximum",
			"pattern", "format", "default", "minLength", "maxLength"}, keyword) {
			return fmt.Errorf("%s: keyword %q is not checked", where, keyword)
		}
	}
	if ref, ok := s["$ref"].(string); ok {
		return c.conforms(At(c.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...), value, where)
	}
	for _, part := range listOf(s["allOf"]) {
		if err := c.conforms(part, value, where); err != nil {
			return err
		}
	}
	if enum := listOf(s["enum"]); enum != nil && !slices.Contains(enum, value) {
		return fmt.Errorf("%s: %v is not one of %v", where, value, enum)
	}
	switch v := value.(type) {
	case object:
		properties := mapOf(s["properties"])
		for _, name := range listOf(s["required"]) {
			if _, ok := v[name.(string)]; !ok {
				return fmt.Errorf("%s: %s is missing", where, name)
			}
		}
		for name, part := range v {
			sub, known := properties[name]
			if !known && s["additionalProperties"] == false {
				return fmt.Errorf("%s: %s is not documented", where, name)
			}
			if !known {
				sub = s["additionalProperties"]
			}
			if err := c.conforms(sub, part, where+"."+name); err != nil {
				return err
			}
		}
		return typed(s, where, "object")
	case []any:
		for i, part := range v {
			if err := c.conforms(s["items"], part, fmt.Sprintf("%s[%d]", where, i)); err != nil {
				return err
			}
		}
		return typed(s, where, "array")
	case string:
		if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(v) {
			return fmt.Errorf("%s: %q does not match", where, v)
		}
		if s["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339Nano, v); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
		}
		return typed(s, where, "string")
	case float64:
		if low, ok := s["minimum"].(float64); ok && !(v >= low) {
			return fmt.Errorf("%s: %v is below %v", where, v, low)
		}
		if high, ok := s["maximum"].(float64); ok && !(v <= high) {
			return fmt.Errorf("%s: %v is above %v", where, v, high)
		}
		if v == float64(int64(v)) {
			return typed(s, where, "number", "integer")
		}
		return typed(s, where, "number")
	case bool:
		return typed(s, where, "boolean")
	}
	return fmt.Errorf("%s: %v", where, value)
}

func listOf(v any) []any { l, _ := v.([]any); return l }

func typed(s object, where string, types ...string) error {
	if want, ok := s["type"].(string); ok && !slices.Contains(types, want) {
		return fmt.Errorf("%s: is %v, want %s", where, types, want)
	}
	return nil
}
