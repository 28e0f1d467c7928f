package main

import (
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

type variable struct {
	rng        hcl.Range
	typ        cty.Type // DynamicPseudoType when not stated
	hasDefault bool
}

type resource struct {
	addr, typ string
	data      bool
	block     *hclsyntax.Block
	schema    *Block // nil when unknown
	indexed   string // "", "count" or "for_each"
}

type call struct {
	block   *hclsyntax.Block
	child   *module // nil when the source is not a local folder
	indexed string
}

type module struct {
	c         *checker
	dir       string
	vars      map[string]*variable
	locals    map[string]*hclsyntax.Attribute
	outputs   map[string]*hclsyntax.Block
	resources map[string]*resource
	calls     map[string]*call
	providers map[string]hcl.Range // name or name.alias
	required  map[string]bool
	used      map[string]bool
	edges     map[string]map[string]hcl.Range
	cur       string // the node whose expressions are being read
	beta      bool   // the node uses google-beta, whose schema is larger than ours
}

// scope says which names an expression may use besides declared objects.
type scope struct {
	each, count, self bool
	lax               bool // inside try() or can(): a missing attribute is no error
	eachType          cty.Type
	names             map[string]bool
}

func (s scope) with(names ...string) scope {
	m := map[string]bool{}
	for k := range s.names {
		m[k] = true
	}
	for _, n := range names {
		m[n] = true
	}
	s.names = m
	return s
}

var topBlocks = map[string]int{"terraform": 0, "provider": 1, "variable": 1, "locals": 0, "output": 1,
	"resource": 2, "data": 2, "ephemeral": 2, "module": 1, "moved": 0, "import": 0, "removed": 0, "check": 1}

func indexing(b *hclsyntax.Body) string {
	for _, k := range []string{"count", "for_each"} {
		if _, ok := b.Attributes[k]; ok {
			return k
		}
	}
	return ""
}

func (m *module) declare(b *hclsyntax.Body) {
	c := m.c
	for n, a := range b.Attributes {
		c.errf(a.NameRange, "argument %q is not allowed at the top level", n)
	}
	for _, blk := range b.Blocks {
		want, ok := topBlocks[blk.Type]
		if !ok {
			c.errf(blk.TypeRange, "unknown top-level block %q", blk.Type)
			continue
		}
		if len(blk.Labels) != want {
			c.errf(blk.DefRange(), "block %q takes %d label(s), found %d", blk.Type, want, len(blk.Labels))
			continue
		}
		dup := func(found bool, what string) {
			if found {
				c.errf(blk.DefRange(), "%s is declared twice", what)
			}
		}
		switch blk.Type {
		case "variable":
			n := blk.Labels[0]
			_, found := m.vars[n]
			dup(found, "var."+n)
			m.vars[n] = c.variable(blk)
		case "locals":
			for n, a := range blk.Body.Attributes {
				if _, found := m.locals[n]; found {
					c.errf(a.NameRange, "local.%s is declared twice", n)
				}
				m.locals[n] = a
			}
		case "output":
			_, found := m.outputs[blk.Labels[0]]
			dup(found, "output."+blk.Labels[0])
			m.outputs[blk.Labels[0]] = blk
		case "resource", "data", "ephemeral":
			r := &resource{typ: blk.Labels[0], data: blk.Type == "data", block: blk, indexed: indexing(blk.Body)}
			r.addr = strings.Join(blk.Labels, ".")
			if blk.Type != "resource" {
				r.addr = blk.Type + "." + r.addr
			}
			_, found := m.resources[r.addr]
			dup(found, r.addr)
			r.schema, _, _ = c.schema.lookup(r.typ, r.data)
			m.resources[r.addr] = r
		case "module":
			_, found := m.calls[blk.Labels[0]]
			dup(found, "module."+blk.Labels[0])
			m.calls[blk.Labels[0]] = m.loadCall(blk)
		case "provider":
			n := providerName(blk)
			_, found := m.providers[n]
			dup(found, "provider "+n)
			m.providers[n] = blk.DefRange()
		case "terraform":
			for _, inner := range blk.Body.Blocks {
				if inner.Type == "required_providers" {
					for n := range inner.Body.Attributes {
						m.required[n] = true
					}
				}
			}
		}
	}
}

func (c *checker) variable(blk *hclsyntax.Block) *variable {
	v := &variable{rng: blk.DefRange(), typ: cty.DynamicPseudoType}
	if a, ok := blk.Body.Attributes["type"]; ok {
		t, _, diags := typeexpr.TypeConstraintWithDefaults(a.Expr)
		c.diags(diags)
		if !diags.HasErrors() {
			v.typ = t
		}
	}
	_, v.hasDefault = blk.Body.Attributes["default"]
	return v
}

// providerName is TYPE, or TYPE.ALIAS.
func providerName(blk *hclsyntax.Block) string {
	n := blk.Labels[0]
	if a, ok := blk.Body.Attributes["alias"]; ok {
		if v, d := a.Expr.Value(nil); !d.HasErrors() && v.Type() == cty.String {
			n += "." + v.AsString()
		}
	}
	return n
}

func (m *module) loadCall(blk *hclsyntax.Block) *call {
	cl := &call{block: blk, indexed: indexing(blk.Body)}
	a, ok := blk.Body.Attributes["source"]
	if !ok {
		m.c.errf(blk.DefRange(), "module.%s has no source", blk.Labels[0])
		return cl
	}
	v, d := a.Expr.Value(nil)
	if d.HasErrors() || v.Type() != cty.String {
		m.c.errf(a.SrcRange, "a module source must be a literal string")
		return cl
	}
	src := v.AsString()
	if !strings.HasPrefix(src, "./") && !strings.HasPrefix(src, "../") {
		m.c.warnf(a.SrcRange, "module source %q is not a local folder: not checked", src)
		return cl
	}
	child, err := m.c.checkDir(filepath.Join(m.dir, src), false)
	if err != nil {
		m.c.errf(a.SrcRange, "module source %q: %v", src, err)
		return cl
	}
	cl.child = child
	return cl
}

// fixedBody checks a body whose shape is given: arg names (a leading ! marks a
// required one) and block names.
