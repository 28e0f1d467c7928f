package main

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

func (m *module) fixedBody(what string, b *hclsyntax.Body, def hcl.Range, args, blocks string) {
	allowed := map[string]bool{}
	for _, a := range strings.Fields(args) {
		n := strings.TrimPrefix(a, "!")
		allowed[n] = true
		if n != a {
			if _, ok := b.Attributes[n]; !ok {
				m.c.errf(def, "%s: missing required argument %q", what, n)
			}
		}
	}
	for n, a := range b.Attributes {
		if !allowed[n] {
			m.c.errf(a.NameRange, "%s: unsupported argument %q%s", what, n, hint(n, strings.Fields(strings.ReplaceAll(args, "!", ""))))
		}
	}
	for _, blk := range b.Blocks {
		ok := false
		for _, n := range strings.Fields(blocks) {
			ok = ok || n == blk.Type
		}
		if !ok {
			m.c.errf(blk.TypeRange, "%s: unsupported block %q", what, blk.Type)
		}
	}
}

func (m *module) check(blk *hclsyntax.Block, root bool) {
	if want, ok := topBlocks[blk.Type]; !ok || len(blk.Labels) != want {
		return
	}
	c := m.c
	switch blk.Type {
	case "variable":
		n := blk.Labels[0]
		m.cur = "var." + n
		m.fixedBody(m.cur, blk.Body, blk.DefRange(), "type default description sensitive nullable ephemeral", "validation")
		v := m.vars[n]
		if a, ok := blk.Body.Attributes["default"]; ok {
			if val, d := a.Expr.Value(nil); d.HasErrors() {
				c.diags(d)
			} else if _, err := convert.Convert(val, v.typ); err != nil {
				c.errf(a.SrcRange, "%s: the default does not fit the type: %v", m.cur, err)
			}
		}
		if _, ok := blk.Body.Attributes["type"]; !ok {
			c.warnf(blk.DefRange(), "%s has no type", m.cur)
		}
		if _, ok := blk.Body.Attributes["description"]; !ok {
			c.warnf(blk.DefRange(), "%s has no description", m.cur)
		}
		for _, b := range blk.Body.Blocks {
			m.fixedBody(m.cur+" validation", b.Body, b.DefRange(), "!condition !error_message", "")
			used := m.used["var."+n]
			m.body(b.Body, scope{})
			m.used["var."+n] = used
		}
	case "locals":
		for n, a := range blk.Body.Attributes {
			m.cur = "local." + n
			m.expr(a.Expr, scope{})
		}
	case "output":
		m.cur = "output." + blk.Labels[0]
		m.fixedBody(m.cur, blk.Body, blk.DefRange(), "!value description sensitive depends_on ephemeral", "precondition")
		m.body(blk.Body, scope{})
	case "resource", "data", "ephemeral":
		c.blocks++
		m.checkResource(blk)
	case "module":
		m.checkCall(blk)
	case "provider":
		m.cur = "provider." + blk.Labels[0]
		p := c.schema.Providers[blk.Labels[0]]
		if p == nil || p.Config == nil {
			m.body(blk.Body, scope{})
			return
		}
		m.schemaBody(p.Config, blk.Body, blk.DefRange(), "provider "+blk.Labels[0], "", scope{}, true)
	case "terraform":
		m.cur = "terraform"
		m.fixedBody("terraform", blk.Body, blk.DefRange(), "required_version experiments", "required_providers backend cloud provider_meta")
		if _, ok := blk.Body.Attributes["required_version"]; !ok && root {
			c.warnf(blk.DefRange(), "no required_version")
		}
	case "check":
		m.cur = "check." + blk.Labels[0]
		for _, b := range blk.Body.Blocks {
			if b.Type != "data" {
				m.body(b.Body, scope{})
			}
		}
	}
}

// body walks every expression of a body with no schema.
func (m *module) body(b *hclsyntax.Body, sc scope) {
	for _, n := range sortedKeys(b.Attributes) {
		m.expr(b.Attributes[n].Expr, sc)
	}
	for _, blk := range b.Blocks {
		if blk.Type == "dynamic" && len(blk.Labels) == 1 {
			if inner, isc := m.dynamic(blk, m.cur, sc); inner != nil {
				m.body(inner.Body, isc)
			}
			continue
		}
		m.body(blk.Body, sc)
	}
}

func (m *module) checkResource(blk *hclsyntax.Block) {
	addr := strings.Join(blk.Labels, ".")
	if blk.Type != "resource" {
		addr = blk.Type + "." + addr
	}
	r := m.resources[addr]
	m.cur = addr
	c := m.c
	sc := m.metaScope(blk.Body, addr)
	prefix, _, _ := strings.Cut(r.typ, "_")
	if prefix != "terraform" && !m.required[prefix] {
		c.warnf(blk.DefRange(), "provider %q of %s is not in required_providers of this module", prefix, addr)
	}
	if a, ok := blk.Body.Attributes["provider"]; ok {
		tr, d := hcl.AbsTraversalForExpr(a.Expr)
		if d.HasErrors() {
			c.diags(d)
		} else {
			n := tr.RootName()
			if len(tr) > 1 {
				if ta, ok := tr[1].(hcl.TraverseAttr); ok {
					n += "." + ta.Name
				}
			}
			if _, ok := m.providers[n]; !ok && strings.Contains(n, ".") {
				c.warnf(a.SrcRange, "provider configuration %s is not declared in this folder", n)
			}
		}
	}
	m.beta = false
	if a, ok := blk.Body.Attributes["provider"]; ok {
		tr, d := hcl.AbsTraversalForExpr(a.Expr)
		m.beta = !d.HasErrors() && tr.RootName() == "google-beta"
	}
	_, known, p := c.schema.lookup(r.typ, r.data)
	if r.schema == nil {
		switch {
		case m.beta:
			c.warnf(blk.DefRange(), "%s: no schema for google-beta types", addr)
		case known:
			c.warnf(blk.DefRange(), "%s: the schema of %q was not extracted; add it to types.txt", addr, r.typ)
		case p == nil:
			c.warnf(blk.DefRange(), "%s: no schema for provider %q", addr, prefix)
		default:
			names := p.Known
			if r.data {
				names = p.KnownData
			}
			c.errf(blk.LabelRanges[0], "%s: provider %s %s has no %s type %q%s", addr, p.Source, p.Version, blk.Type, r.typ, hint(r.typ, names))
		}
		rest := &hclsyntax.Body{Attributes: withoutMeta(blk.Body.Attributes)}
		for _, b := range blk.Body.Blocks {
			if b.Type != "lifecycle" && b.Type != "provisioner" && b.Type != "connection" {
				rest.Blocks = append(rest.Blocks, b)
			}
		}
		m.body(rest, sc)
		return
	}
	m.schemaBody(r.schema, blk.Body, blk.DefRange(), addr, "", sc, true)
	m.rules(r.typ, blk.Body, addr)
}

var metaArgs = map[string]bool{"count": true, "for_each": true, "depends_on": true, "provider": true, "lifecycle": true,
	"connection": true, "provisioner": true}

func withoutMeta(in hclsyntax.Attributes) hclsyntax.Attributes {
	out := hclsyntax.Attributes{}
	for n, a := range in {
		if !metaArgs[n] {
			out[n] = a
		}
	}
	return out
}

// metaScope checks count, for_each and depends_on and gives the scope of the
// rest of the block.
func (m *module) metaScope(b *hclsyntax.Body, addr string) scope {
	sc := scope{eachType: cty.DynamicPseudoType}
	cnt, hasCount := b.Attributes["count"]
	each, hasEach := b.Attributes["for_each"]
	if hasCount && hasEach {
		m.c.errf(each.NameRange, "%s: count and for_each exclude each other", addr)
	}
	if hasCount {
		m.expr(cnt.Expr, scope{})
		sc.count = true
	}
	if hasEach {
		m.expr(each.Expr, scope{})
		sc.each = true
		if t := m.exprType(each.Expr); t.IsMapType() {
			sc.eachType = t.ElementType()
		}
		if v, ok := constant(each.Expr); ok && !v.IsNull() {
			if t := v.Type(); t.IsTupleType() || t.IsListType() {
				m.c.errf(each.SrcRange, "%s: for_each takes a map or a set, not a list: use toset()", addr)
			}
		}
	}
	if a, ok := b.Attributes["depends_on"]; ok {
		exprs, d := hcl.ExprList(a.Expr)
		m.c.diags(d)
		for _, e := range exprs {
			if he, ok := e.(hclsyntax.Expression); ok {
				m.expr(he, scope{})
			}
		}
	}
	return sc
}

func (m *module) checkCall(blk *hclsyntax.Block) {
	n := blk.Labels[0]
	cl := m.calls[n]
	m.cur = "module." + n
	sc := m.metaScope(blk.Body, m.cur)
	for _, b := range blk.Body.Blocks {
		m.c.errf(b.TypeRange, "module.%s: unsupported block %q", n, b.Type)
	}
	special := map[string]bool{"source": true, "version": true, "providers": true, "count": true, "for_each": true, "depends_on": true}
	for _, an := range sortedKeys(blk.Body.Attributes) {
		a := blk.Body.Attributes[an]
		if special[an] {
			continue
		}
		m.expr(a.Expr, sc)
		if cl.child == nil {
			continue
		}
		v, ok := cl.child.vars[an]
		if !ok {
			m.c.errf(a.NameRange, "module.%s: %s has no variable %q%s", n, cl.child.dir, an, hint(an, sortedKeys(cl.child.vars)))
			continue
		}
		if val, ok := constant(a.Expr); ok {
			if _, err := convert.Convert(val, v.typ); err != nil {
				m.c.errf(a.SrcRange, "module.%s: %s: %v", n, an, err)
			}
		}
	}
	if cl.child == nil {
		return
	}
	for _, vn := range sortedKeys(cl.child.vars) {
		if _, ok := blk.Body.Attributes[vn]; !ok && !cl.child.vars[vn].hasDefault {
			m.c.errf(blk.DefRange(), "module.%s: missing required argument %q", n, vn)
		}
	}
}
