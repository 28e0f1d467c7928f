package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change is a field that runs with another value than the file has. Nil: none.
type Change struct {
	Field string `json:"field"`
	Runs  any    `json:"runs"`
	Says  any    `json:"says"`
}

// Diff is what an apply of the file would change in a deployment that was made from declared. What the file leaves open is not compared,
// but for presets and shares of models: those that are not in the file go. Neither is what a laptop does not read.
func (f *File) Diff(declared map[string]any) []Change {
	runs, says := map[string]any{}, map[string]any{}
	flatten("", declared, runs)
	flatten("", f.said, says)
	_, cloud := declared["prices"]
	var changes []Change
	for _, field := range slices.Sorted(maps.Keys(says)) {
		if runs[field] != says[field] && (cloud || laptopReads(field)) {
			changes = append(changes, Change{field, runs[field], says[field]})
		}
	}
	for _, section := range []string{"models", "presets", "tenants"} {
		gone := map[string]any{}
		if part, ok := declared[section].(map[string]any); ok {
			flatten(section, part, gone)
		}
		for _, field := range slices.Sorted(maps.Keys(gone)) {
			if _, stays := says[field]; !stays {
				changes = append(changes, Change{field, gone[field], nil})
			}
		}
	}
	return changes
}

// laptopReads says whether 'splatworks up' reads a field; terraform reads all.
func laptopReads(field string) bool {
	switch parts := strings.Split(field, "."); parts[0] {
	case "models", "presets", "limits", "limits_of_all", "tenants":
		return true
	case "stages":
		return parts[2] == "slots" || parts[2] == "machine"
	}
	return false
}

// flatten puts the values of a tree under their paths. Numbers of YAML and JSON become alike; null is nothing.
func flatten(path string, tree map[string]any, into map[string]any) {
	for name, value := range tree {
		if path != "" {
			name = path + "." + name
		}
		switch v := value.(type) {
		case nil:
		case map[string]any:
			flatten(name, v, into)
		case string, bool:
			into[name] = v
		default:
			if n, ok := number(v); ok {
				into[name] = n
			} else {
				into[name] = fmt.Sprint(v)
			}
		}
	}
}
