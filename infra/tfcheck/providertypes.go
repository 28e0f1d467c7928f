package main

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

func (t *Type) tf() tftypes.Type {
	switch t.Kind {
	case "string":
		return tftypes.String
	case "number":
		return tftypes.Number
	case "bool":
		return tftypes.Bool
	case "list":
		return tftypes.List{ElementType: t.Elem.tf()}
	case "set":
		return tftypes.Set{ElementType: t.Elem.tf()}
	case "map":
		return tftypes.Map{ElementType: t.Elem.tf()}
	case "object":
		m := map[string]tftypes.Type{}
		for n, a := range t.Attrs {
			m[n] = a.tf()
		}
		return tftypes.Object{AttributeTypes: m}
	}
	return tftypes.DynamicPseudoType
}

// tfBlock gives the protocol's form of a block. Inside map(any) the protocol
// wants one type; strings are what the provider uses there.
func tfBlock(b *Block) *tfprotov5.SchemaBlock {
	out := &tfprotov5.SchemaBlock{}
	for _, n := range sortedKeys(b.Attrs) {
		a := b.Attrs[n]
		typ := a.Type.tf()
		if a.Type.Kind == "map" && a.Type.Elem.Kind == "any" {
			typ = tftypes.Map{ElementType: tftypes.String}
		}
		out.Attributes = append(out.Attributes, &tfprotov5.SchemaAttribute{
			Name: n, Type: typ, Required: a.Required(), Optional: a.Optional(), Computed: a.Computed(),
			WriteOnly: strings.HasSuffix(n, "_wo") && !a.Computed(),
		})
	}
	for _, n := range sortedKeys(b.Blocks) {
		nb := b.Blocks[n]
		sb := &tfprotov5.SchemaNestedBlock{TypeName: n, Block: tfBlock(nb.Block), MinItems: int64(nb.Min), MaxItems: int64(nb.Max)}
		switch nb.Mode {
		case "set":
			sb.Nesting = tfprotov5.SchemaNestedBlockNestingModeSet
		case "map":
			sb.Nesting, sb.MinItems, sb.MaxItems = tfprotov5.SchemaNestedBlockNestingModeMap, 0, 0
		case "single":
			sb.Nesting, sb.MinItems, sb.MaxItems = tfprotov5.SchemaNestedBlockNestingModeSingle, 0, 0
		default:
			sb.Nesting = tfprotov5.SchemaNestedBlockNestingModeList
		}
		if nb.Comp { // an attribute with block syntax: either form is accepted
			sb = nil
			out.Attributes = append(out.Attributes, &tfprotov5.SchemaAttribute{
				Name: n, Type: blockType(tfBlock(nb.Block), nb.Mode), Optional: true, Computed: true})
		}
		if sb != nil {
			out.BlockTypes = append(out.BlockTypes, sb)
		}
	}
	return out
}

func blockType(b *tfprotov5.SchemaBlock, mode string) tftypes.Type {
	m := map[string]tftypes.Type{}
	for _, a := range b.Attributes {
		m[a.Name] = a.Type
	}
	for _, nb := range b.BlockTypes {
		mode := "list"
		switch nb.Nesting {
		case tfprotov5.SchemaNestedBlockNestingModeSet:
			mode = "set"
		case tfprotov5.SchemaNestedBlockNestingModeMap:
			mode = "map"
		case tfprotov5.SchemaNestedBlockNestingModeSingle:
			mode = "single"
		}
		m[nb.TypeName] = blockType(nb.Block, mode)
	}
	o := tftypes.Object{AttributeTypes: m}
	switch mode {
	case "list":
		return tftypes.List{ElementType: o}
	case "set":
		return tftypes.Set{ElementType: o}
	case "map":
		return tftypes.Map{ElementType: o}
	}
	return o
}
