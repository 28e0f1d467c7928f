package main

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// schemaBody checks a body against a block schema. path is the place inside
// the resource, for messages.
func (m *module) schemaBody(s *Block, b *hclsyntax.Body, def hcl.Range, addr, path string, sc scope, top bool) {
	k := schemaCheck{m: m, schema: s, addr: addr, path: path, sc: sc, top: top}
	k.arguments(b.Attributes)
	written, generated := k.blocks(b.Blocks)
	k.complete(b, def, written, generated)
}

// schemaCheck is the check of one body.
type schemaCheck struct {
	m          *module
	schema     *Block
	addr, path string
	sc         scope
	top        bool
}

func (k schemaCheck) at(n string) string {
	if k.path == "" {
		return k.addr + ": " + n
	}
	return k.addr + ": " + k.path + "." + n
}

// names are those that the body may have.
func (k schemaCheck) names() []string {
	var out []string
	for n, a := range k.schema.Attrs {
		if a.Settable() {
			out = append(out, n)
		}
	}
	return append(out, sortedKeys(k.schema.Blocks)...)
}

func (k schemaCheck) arguments(list hclsyntax.Attributes) {
	for _, n := range sortedKeys(list) {
		a := list[n]
		if k.top && (metaArgs[n] || strings.HasPrefix(k.addr, "provider ") && (n == "alias" || n == "version")) {
			continue
		}
		k.m.expr(a.Expr, k.sc)
		if nb, ok := k.schema.Blocks[n]; ok {
			if !nb.Comp {
				k.m.c.errf(a.NameRange, "%s is a block: write %s { ... }, not %s = ...", k.at(n), n, n)
			}
			continue
		}
		sa, ok := k.schema.Attrs[n]
		switch {
		case !ok && k.m.beta:
			k.m.c.warnf(a.NameRange, "%s: not an argument of the GA provider", k.at(n))
		case !ok:
			k.m.c.errf(a.NameRange, "%s: unsupported argument%s", k.at(n), hint(n, k.names()))
		case !sa.Settable():
			k.m.c.errf(a.NameRange, "%s is read-only", k.at(n))
		default:
			k.m.value(sa, a, k.at(n))
		}
	}
}

// blocks reports how often each block is written, and which a dynamic block generates.
func (k schemaCheck) blocks(list hclsyntax.Blocks) (written map[string]int, generated map[string]bool) {
	written, generated = map[string]int{}, map[string]bool{}
	for _, blk := range list {
		if k.top && blk.Type == "lifecycle" {
			k.m.lifecycle(k.schema, blk, k.addr, k.sc)
			continue
		}
		if k.top && (blk.Type == "provisioner" || blk.Type == "connection") {
			self := k.sc
			self.self = true
			k.m.body(blk.Body, self)
			continue
		}
		name, inner, isc := blk.Type, blk, k.sc
		if blk.Type == "dynamic" {
			if len(blk.Labels) != 1 {
				k.m.c.errf(blk.DefRange(), "%s: dynamic takes one label", k.addr)
				continue
			}
			name = blk.Labels[0]
			inner, isc = k.m.dynamic(blk, k.addr, k.sc)
			generated[name] = true
		} else {
			written[name]++
			if len(blk.Labels) > 0 {
				k.m.c.errf(blk.DefRange(), "%s takes no label", k.at(name))
			}
		}
		nb, ok := k.schema.Blocks[name]
		if !ok {
			k.unknownBlock(name, blk.DefRange())
			if inner != nil {
				k.m.body(inner.Body, isc)
			}
			continue
		}
		if inner != nil {
			p := name
			if k.path != "" {
				p = k.path + "." + name
			}
			k.m.schemaBody(nb.Block, inner.Body, inner.DefRange(), k.addr, p, isc, false)
		}
	}
	return written, generated
}

func (k schemaCheck) unknownBlock(name string, at hcl.Range) {
	switch sa, isAttr := k.schema.Attrs[name]; {
	case isAttr && sa.Settable():
		k.m.c.errf(at, "%s is an argument: write %s = ..., not a block", k.at(name), name)
	case isAttr:
		k.m.c.errf(at, "%s is read-only", k.at(name))
	case k.m.beta:
		k.m.c.warnf(at, "%s: not a block of the GA provider", k.at(name))
	default:
		k.m.c.errf(at, "%s: unsupported block%s", k.at(name), hint(name, k.names()))
	}
}

// complete reports what is missing, and what is there too often.
func (k schemaCheck) complete(b *hclsyntax.Body, def hcl.Range, written map[string]int, generated map[string]bool) {
	for _, n := range sortedKeys(k.schema.Attrs) {
		if _, ok := b.Attributes[n]; k.schema.Attrs[n].Required() && !ok {
			k.m.c.errf(def, "%s: missing required argument", k.at(n))
		}
	}
	for _, n := range sortedKeys(k.schema.Blocks) {
		nb := k.schema.Blocks[n]
		_, asAttr := b.Attributes[n]
		if nb.Min > 0 && written[n] == 0 && !generated[n] && !asAttr {
			k.m.c.errf(def, "%s: missing required block", k.at(n))
		}
		if (nb.Max == 1 || nb.Mode == "single") && written[n] > 1 {
			k.m.c.errf(def, "%s: at most one block, found %d", k.at(n), written[n])
		}
	}
}

func (m *module) dynamic(blk *hclsyntax.Block, addr string, sc scope) (*hclsyntax.Block, scope) {
	m.fixedBody(addr+": dynamic "+blk.Labels[0], blk.Body, blk.DefRange(), "!for_each iterator labels", "content")
	it := blk.Labels[0]
	if a, ok := blk.Body.Attributes["iterator"]; ok {
		if tr, d := hcl.AbsTraversalForExpr(a.Expr); !d.HasErrors() && len(tr) == 1 {
			it = tr.RootName()
		} else {
			m.c.errf(a.SrcRange, "%s: iterator takes a bare name", addr)
		}
	}
	if a, ok := blk.Body.Attributes["for_each"]; ok {
		m.expr(a.Expr, sc)
	}
	for _, b := range blk.Body.Blocks {
		if b.Type == "content" {
			return b, sc.with(it)
		}
	}
	m.c.errf(blk.DefRange(), "%s: dynamic %q has no content block", addr, blk.Labels[0])
	return nil, sc
}

func (m *module) lifecycle(s *Block, blk *hclsyntax.Block, addr string, sc scope) {
	m.fixedBody(addr+": lifecycle", blk.Body, blk.DefRange(),
		"create_before_destroy prevent_destroy ignore_changes replace_triggered_by", "precondition postcondition")
	if a, ok := blk.Body.Attributes["ignore_changes"]; ok && hcl.ExprAsKeyword(a.Expr) != "all" {
		exprs, d := hcl.ExprList(a.Expr)
		m.c.diags(d)
		for _, e := range exprs {
			tr, d := hcl.RelTraversalForExpr(e)
			if d.HasErrors() || len(tr) == 0 {
				m.c.diags(d)
				continue
			}
			n := tr[0].(hcl.TraverseAttr).Name
			if s.Attrs[n] == nil && s.Blocks[n] == nil {
				m.c.errf(e.Range(), "%s: ignore_changes names %q, which the type does not have", addr, n)
			}
		}
	}
	if a, ok := blk.Body.Attributes["replace_triggered_by"]; ok {
		m.expr(a.Expr, sc)
	}
	for _, b := range blk.Body.Blocks {
		self := sc
		self.self = b.Type == "postcondition"
		m.body(b.Body, self)
	}
}

// constant evaluates an expression with no references and no function calls.
func constant(e hclsyntax.Expression) (cty.Value, bool) {
	if len(hclsyntax.Variables(e)) > 0 {
		return cty.NilVal, false
	}
	calls := false
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		if _, ok := n.(*hclsyntax.FunctionCallExpr); ok {
			calls = true
		}
		return nil
	})
	if calls {
		return cty.NilVal, false
	}
	v, d := e.Value(nil)
	return v, !d.HasErrors()
}

func (t *Type) cty() cty.Type {
	switch t.Kind {
	case "string":
		return cty.String
	case "number":
		return cty.Number
	case "bool":
		return cty.Bool
	case "list":
		return cty.List(t.Elem.cty())
	case "set":
		return cty.Set(t.Elem.cty())
	case "map":
		return cty.Map(t.Elem.cty())
	case "object":
		m := map[string]cty.Type{}
		for n, a := range t.Attrs {
			m[n] = a.cty()
		}
		return cty.Object(m)
	}
	return cty.DynamicPseudoType
}

func (m *module) value(sa *Attr, a *hclsyntax.Attribute, at string) {
	v, ok := constant(a.Expr)
	if !ok {
		return
	}
	if v.IsNull() {
		if sa.Required() {
			m.c.errf(a.SrcRange, "%s is required: it cannot be null", at)
		}
		return
	}
	w, err := convert.Convert(v, sa.Type.cty())
	if err != nil {
		m.c.errf(a.SrcRange, "%s: want %s: %v", at, sa.Type, err)
		return
	}
	if len(sa.Enum) > 0 && w.Type() == cty.String && w.AsString() != "" {
		for _, e := range sa.Enum {
			if e == w.AsString() {
				return
			}
		}
		m.c.errf(a.SrcRange, "%s: %q is not one of %s", at, w.AsString(), strings.Join(sa.Enum, ", "))
	}
}
