package main

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

func (m *module) edge(to string, rng hcl.Range) {
	if m.edges[m.cur] == nil {
		m.edges[m.cur] = map[string]hcl.Range{}
	}
	m.edges[m.cur][to] = rng
}

func (m *module) use(addr string, rng hcl.Range) {
	if addr != m.cur {
		m.used[addr] = true
	}
	m.edge(addr, rng)
}

func (m *module) resolve(s []step, rng hcl.Range, sc scope) {
	c := m.c
	if s[0].name == "resource" && len(s) > 2 && !sc.names["resource"] {
		s = s[1:] // the long form, resource.TYPE.NAME
	}
	root := s[0].name
	if sc.names[root] {
		return
	}
	second := ""
	if len(s) > 1 {
		second = s[1].name
	}
	switch root {
	case "var":
		v, ok := m.vars[second]
		if !ok {
			c.errf(rng, "var.%s is not declared in %s%s", second, m.dir, hint(second, sortedKeys(m.vars)))
			return
		}
		m.use("var."+second, rng)
		if !sc.lax {
			m.walkType(v.typ, s[2:], rng, "var."+second)
		}
	case "local":
		if _, ok := m.locals[second]; !ok {
			c.errf(rng, "local.%s is not declared in %s%s", second, m.dir, hint(second, sortedKeys(m.locals)))
			return
		}
		m.use("local."+second, rng)
	case "module":
		cl, ok := m.calls[second]
		if !ok {
			c.errf(rng, "module.%s is not declared in %s%s", second, m.dir, hint(second, sortedKeys(m.calls)))
			return
		}
		m.output(cl, second, s[2:], rng)
	case "each":
		if !sc.each {
			c.errf(rng, "each is only known in a block with for_each")
		} else if second != "key" && second != "value" {
			c.errf(rng, "each has key and value only")
		} else if second == "value" && sc.eachType != cty.NilType && !sc.lax {
			m.walkType(sc.eachType, s[2:], rng, "each.value")
		}
	case "count":
		if !sc.count {
			c.errf(rng, "count.index is only known in a block with count")
		}
	case "self":
		if !sc.self {
			c.errf(rng, "self is only known in provisioners and postconditions")
		}
	case "path":
		if second != "module" && second != "root" && second != "cwd" {
			c.errf(rng, "path has module, root and cwd only")
		}
	case "terraform":
		if second != "workspace" && second != "applying" {
			c.errf(rng, "terraform has workspace and applying only")
		}
	case "data", "ephemeral":
		if len(s) < 3 {
			c.errf(rng, "a %s reference is %s.TYPE.NAME", root, root)
			return
		}
		m.object(root+"."+second+"."+s[2].name, s[3:], rng)
	default:
		if len(s) < 2 || s[1].kind != 'n' {
			c.errf(rng, "%q is not a reference: a resource reference is TYPE.NAME", root)
			return
		}
		m.object(root+"."+second, s[2:], rng)
	}
}

// output checks a reference to an output of a module.
func (m *module) output(cl *call, name string, rest []step, rng hcl.Range) {
	m.used["module."+name] = true
	rest = m.instance(rest, cl.indexed, "module."+name, rng)
	if cl.child == nil || len(rest) == 0 || rest[0].kind != 'n' {
		return
	}
	if _, ok := cl.child.outputs[rest[0].name]; !ok {
		m.c.errf(rng, "module.%s has no output %q%s", name, rest[0].name, hint(rest[0].name, sortedKeys(cl.child.outputs)))
	}
}

// instance checks that an object with count or for_each is indexed before its
// attributes are read, and one without is not; it gives the steps after it.
func (m *module) instance(rest []step, indexed, addr string, rng hcl.Range) []step {
	if len(rest) == 0 {
		return nil
	}
	if indexed == "" {
		if rest[0].kind == 'i' {
			m.c.errf(rng, "%s has no count or for_each: it takes no index", addr)
			return nil
		}
		if rest[0].kind == '*' {
			return rest[1:]
		}
		return rest
	}
	if rest[0].kind == 'n' {
		m.c.errf(rng, "%s has %s: write %s[...].%s", addr, indexed, addr, rest[0].name)
		return nil
	}
	if rest[0].kind == '*' && indexed == "for_each" && len(rest) > 1 {
		m.c.errf(rng, "%s has for_each: [*] does not work on a map, use values(%s)[*] or a for expression", addr, addr)
		return nil
	}
	return rest[1:]
}

func (m *module) object(addr string, rest []step, rng hcl.Range) {
	r, ok := m.resources[addr]
	if !ok {
		m.c.errf(rng, "%s is not declared in %s%s", addr, m.dir, hint(addr, sortedKeys(m.resources)))
		return
	}
	m.use(addr, rng)
	rest = m.instance(rest, r.indexed, addr, rng)
	if r.schema != nil {
		m.walkBlock(r.schema, rest, rng, addr)
	}
}

func (m *module) walkBlock(b *Block, s []step, rng hcl.Range, at string) {
	if len(s) == 0 || s[0].kind != 'n' {
		return
	}
	n := s[0].name
	if a, ok := b.Attrs[n]; ok {
		m.walkSchemaType(a.Type, s[1:], rng, at+"."+n)
		return
	}
	nb, ok := b.Blocks[n]
	if !ok {
		m.c.errf(rng, "%s has no attribute %q%s", at, n, hint(n, append(sortedKeys(b.Attrs), sortedKeys(b.Blocks)...)))
		return
	}
	rest := s[1:]
	if len(rest) == 0 {
		return
	}
	switch nb.Mode {
	case "list":
		if rest[0].kind == 'n' {
			m.c.errf(rng, "%s.%s is a list of blocks: write %s.%s[0].%s", at, n, at, n, rest[0].name)
			return
		}
		rest = rest[1:]
	case "set":
		if rest[0].kind == 'i' {
			m.c.errf(rng, "%s.%s is a set: it takes no index; use tolist() or one()", at, n)
			return
		}
		if rest[0].kind == 'n' {
			m.c.errf(rng, "%s.%s is a set of blocks: use one(%s.%s).%s", at, n, at, n, rest[0].name)
			return
		}
		rest = rest[1:]
	case "map":
		rest = rest[1:]
	}
	m.walkBlock(nb.Block, rest, rng, at+"."+n)
}

func (m *module) walkSchemaType(t *Type, s []step, rng hcl.Range, at string) {
	if len(s) == 0 {
		return
	}
	switch t.Kind {
	case "string", "number", "bool":
		m.c.errf(rng, "%s is a %s: nothing to read inside", at, t.Kind)
	case "list", "set":
		if s[0].kind == 'n' {
			m.c.errf(rng, "%s is a %s: index it before .%s", at, t.Kind, s[0].name)
			return
		}
		if t.Kind == "set" && s[0].kind == 'i' {
			m.c.errf(rng, "%s is a set: it takes no index; use tolist() or one()", at)
			return
		}
		m.walkSchemaType(t.Elem, s[1:], rng, at+"[]")
	case "map":
		if s[0].kind != '*' {
			m.walkSchemaType(t.Elem, s[1:], rng, at+"[]")
		}
	case "object":
		if s[0].kind == 'n' {
			e, ok := t.Attrs[s[0].name]
			if !ok {
				m.c.errf(rng, "%s has no attribute %q%s", at, s[0].name, hint(s[0].name, sortedKeys(t.Attrs)))
				return
			}
			m.walkSchemaType(e, s[1:], rng, at+"."+s[0].name)
		}
	}
}

// walkType checks a path into a value of a declared (variable) type.
func (m *module) walkType(t cty.Type, s []step, rng hcl.Range, at string) {
	if len(s) == 0 || t == cty.NilType || t == cty.DynamicPseudoType {
		return
	}
	switch {
	case t.IsPrimitiveType():
		m.c.errf(rng, "%s is a %s: nothing to read inside", at, t.FriendlyName())
	case t.IsObjectType():
		if s[0].kind != 'n' {
			return
		}
		if !t.HasAttribute(s[0].name) {
			m.c.errf(rng, "%s has no attribute %q%s", at, s[0].name, hint(s[0].name, sortedKeys(t.AttributeTypes())))
			return
		}
		m.walkType(t.AttributeType(s[0].name), s[1:], rng, at+"."+s[0].name)
	case t.IsMapType():
		if s[0].kind != '*' {
			m.walkType(t.ElementType(), s[1:], rng, at+"[]")
		}
	case t.IsListType(), t.IsSetType():
		if s[0].kind == 'n' {
			m.c.errf(rng, "%s is a %s: index it before .%s", at, t.FriendlyName(), s[0].name)
			return
		}
		m.walkType(t.ElementType(), s[1:], rng, at+"[]")
	}
}
