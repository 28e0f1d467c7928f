package trigger

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// openapi describes this API. A test drives the handlers from it: every operation, every answer it names, every field.
//
//go:embed openapi.json
var openapi []byte

//go:embed reference.html
var referenceHTML string

// rendered is read and rendered once, when the first Service is made.
var rendered = sync.OnceValues(func() (html []byte, err error) {
	var doc map[string]any
	if err := json.Unmarshal(openapi, &doc); err != nil {
		return nil, fmt.Errorf("read openapi.json: %w", err)
	}
	t, err := template.New("reference").Funcs(template.FuncMap{"type": typeOf, "sorted": sorted, "upper": strings.ToUpper}).Parse(referenceHTML)
	if err != nil {
		return nil, fmt.Errorf("read reference.html: %w", err)
	}
	var page bytes.Buffer
	if err := t.Execute(&page, doc); err != nil {
		return nil, fmt.Errorf("render reference: %w", err)
	}
	return page.Bytes(), nil
})

// reference serves GET /openapi.json and GET /docs, a page that needs nothing from elsewhere.
func reference() (document, page http.HandlerFunc, err error) {
	html, err := rendered()
	if err != nil {
		return nil, nil, err
	}
	send := func(contentType string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("Content-Type", contentType)
			h.Set("Cache-Control", "public, max-age=3600")
			h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
			_, _ = w.Write(body) // the client has gone: nobody to tell
		}
	}
	return send("application/json", openapi), send("text/html; charset=utf-8", html), nil
}

// typeOf names a schema's type for people.
func typeOf(schema map[string]any) string {
	if ref, ok := schema["$ref"].(string); ok {
		return ref[strings.LastIndex(ref, "/")+1:]
	}
	if items, ok := schema["items"].(map[string]any); ok {
		return "list of " + typeOf(items)
	}
	if enum, ok := schema["enum"].([]any); ok {
		words := make([]string, len(enum))
		for i, e := range enum {
			words[i] = fmt.Sprint(e)
		}
		return strings.Join(words, " | ")
	}
	name, _ := schema["type"].(string)
	if format, ok := schema["format"].(string); ok {
		name += " (" + format + ")"
	}
	return name
}

func sorted(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
