package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
)

// Schema is the compact description of one or more Terraform providers.
type Schema struct {
	Providers map[string]*Provider `json:"providers"`
}

// Provider holds what one provider offers. Known lists every type name the
// provider has, so that a typo is distinguished from a type that was not extracted.
type Provider struct {
	Source    string            `json:"source"`
	Version   string            `json:"version"`
	Origin    string            `json:"origin"`
	Config    *Block            `json:"config,omitempty"`
	Resources map[string]*Block `json:"resources,omitempty"`
	Data      map[string]*Block `json:"data,omitempty"`
	Known     []string          `json:"known,omitempty"`
	KnownData []string          `json:"known_data,omitempty"`
}

// Block is the body of a resource, a data source or a nested block.
type Block struct {
	Attrs  map[string]*Attr   `json:"a,omitempty"`
	Blocks map[string]*Nested `json:"b,omitempty"`
}

// Attr is one argument. Flags holds r(equired), o(ptional), c(omputed).
type Attr struct {
	Flags string
	Type  *Type
	Enum  []string
}

// Type is an attribute's type: Kind is string, number, bool, any, list, set,
// map or object.
type Type struct {
	Kind  string
	Elem  *Type
	Attrs map[string]*Type
}

// Nested is a nested block. Mode is list, set, map or single.
type Nested struct {
	Mode  string `json:"m"`
	Min   int    `json:"min,omitempty"`
	Max   int    `json:"max,omitempty"`
	Comp  bool   `json:"c,omitempty"` // computed too: the attribute form is accepted as well
	Block *Block `json:"s"`
}

func (a *Attr) Required() bool { return strings.Contains(a.Flags, "r") }
func (a *Attr) Optional() bool { return strings.Contains(a.Flags, "o") }
func (a *Attr) Computed() bool { return strings.Contains(a.Flags, "c") }
func (a *Attr) Settable() bool { return a.Required() || a.Optional() }

// MarshalJSON writes "flags type" or ["flags type", enum...].
func (a *Attr) MarshalJSON() ([]byte, error) {
	s := a.Flags + " " + a.Type.String()
	if len(a.Enum) == 0 {
		return json.Marshal(s)
	}
	return json.Marshal(append([]string{s}, a.Enum...))
}

func (a *Attr) UnmarshalJSON(b []byte) error {
	var list []string
	if b[0] == '"' {
		list = make([]string, 1)
		if err := json.Unmarshal(b, &list[0]); err != nil {
			return err
		}
	} else if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	flags, typ, ok := strings.Cut(list[0], " ")
	if !ok {
		return fmt.Errorf("bad attribute %q", list[0])
	}
	t, rest, err := parseType(typ)
	if err != nil || rest != "" {
		return fmt.Errorf("bad type %q: %v (left: %q)", typ, err, rest)
	}
	a.Flags, a.Type, a.Enum = flags, t, list[1:]
	return nil
}

// String writes the type as string, number, bool, any, list(T), set(T),
// map(T) or object{name:T,...}.
func (t *Type) String() string {
	switch t.Kind {
	case "list", "set", "map":
		return t.Kind + "(" + t.Elem.String() + ")"
	case "object":
		var parts []string
		for _, n := range sortedKeys(t.Attrs) {
			parts = append(parts, n+":"+t.Attrs[n].String())
		}
		return "object{" + strings.Join(parts, ",") + "}"
	}
	return t.Kind
}

func parseType(s string) (*Type, string, error) {
	for _, k := range []string{"string", "number", "bool", "any"} {
		if strings.HasPrefix(s, k) {
			return &Type{Kind: k}, s[len(k):], nil
		}
	}
	for _, k := range []string{"list", "set", "map"} {
		if strings.HasPrefix(s, k+"(") {
			e, rest, err := parseType(s[len(k)+1:])
			if err != nil {
				return nil, s, err
			}
			if !strings.HasPrefix(rest, ")") {
				return nil, s, fmt.Errorf("no closing bracket")
			}
			return &Type{Kind: k, Elem: e}, rest[1:], nil
		}
	}
	if rest, ok := strings.CutPrefix(s, "object{"); ok {
		t := &Type{Kind: "object", Attrs: map[string]*Type{}}
		for {
			if r, ok := strings.CutPrefix(rest, "}"); ok {
				return t, r, nil
			}
			rest = strings.TrimPrefix(rest, ",")
			name, after, ok := strings.Cut(rest, ":")
			if !ok {
				return nil, s, fmt.Errorf("bad object")
			}
			e, r, err := parseType(after)
			if err != nil {
				return nil, s, err
			}
			t.Attrs[name], rest = e, r
		}
	}
	return nil, s, fmt.Errorf("unknown type %q", s)
}

//go:embed schema.json
var embeddedSchema []byte

// The npm package stops at provider 6.50.0. The overlay, written by hand from
// the provider's documentation, adds what 7.x changed in the types used here.
//
//go:embed overlay.json
var embeddedOverlay []byte

// useOverlay is switched off by -base.
var useOverlay = true

type overlay struct {
	Provider  string            `json:"provider"`
	Version   string            `json:"version"`
	Resources map[string]*Block `json:"resources"`
	Remove    []string          `json:"remove"` // TYPE.argument
}

func (s *Schema) overlay() error {
	o := &overlay{}
	if err := json.Unmarshal(embeddedOverlay, o); err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	p := s.Providers[o.Provider]
	if p == nil {
		return nil
	}
	p.Version = o.Version
	for t, b := range o.Resources {
		if base := p.Resources[t]; base != nil {
			base.merge(b)
		} else {
			p.Resources[t] = b
		}
	}
	for _, r := range o.Remove {
		t, n, _ := strings.Cut(r, ".")
		if b := p.Resources[t]; b != nil {
			delete(b.Attrs, n)
			delete(b.Blocks, n)
		}
	}
	return nil
}

func (b *Block) merge(o *Block) {
	for n, a := range o.Attrs {
		if b.Attrs == nil {
			b.Attrs = map[string]*Attr{}
		}
		b.Attrs[n] = a
	}
	for n, nb := range o.Blocks {
		if old := b.Blocks[n]; old != nil {
			old.Block.merge(nb.Block)
			continue
		}
		if b.Blocks == nil {
			b.Blocks = map[string]*Nested{}
		}
		b.Blocks[n] = nb
	}
}

func loadSchema(path string) (*Schema, error) {
	b := embeddedSchema
	if path != "" {
		var err error
		if b, err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	s := &Schema{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if useOverlay {
		if err := s.overlay(); err != nil {
			return nil, err
		}
	}
	if g, ok := s.Providers["google"]; ok && s.Providers["google-beta"] == nil {
		s.Providers["google-beta"] = g // the beta provider is a superset; good enough here
	}
	return s, nil
}

// terraform_data belongs to terraform itself, which brings its own schema.
var (
	builtin       = &Provider{Source: "terraform.io/builtin/terraform"}
	terraformData = &Block{Attrs: map[string]*Attr{
		"id":               {Flags: "c", Type: &Type{Kind: "string"}},
		"input":            {Flags: "o", Type: &Type{Kind: "any"}},
		"output":           {Flags: "c", Type: &Type{Kind: "any"}},
		"triggers_replace": {Flags: "o", Type: &Type{Kind: "any"}},
	}}
)

// lookup finds the schema of a resource (or data source) type. known is true
// when the provider has the type although its schema was not extracted.
func (s *Schema) lookup(typ string, data bool) (b *Block, known bool, p *Provider) {
	if typ == "terraform_data" && !data {
		return terraformData, true, builtin
	}
	prefix, _, _ := strings.Cut(typ, "_")
	p = s.Providers[prefix]
	if typ == "terraform_remote_state" {
		p = s.Providers["terraform"]
	}
	if p == nil {
		return nil, false, nil
	}
	m, names := p.Resources, p.Known
	if data {
		m, names = p.Data, p.KnownData
	}
	if b = m[typ]; b != nil {
		return b, true, p
	}
	i := sort.SearchStrings(names, typ)
	return nil, i < len(names) && names[i] == typ, p
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func loadSchemaFile(path string) (*Schema, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &Schema{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Providers == nil {
		s.Providers = map[string]*Provider{}
	}
	return s, nil
}
