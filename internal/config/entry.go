package config

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// entry is one line of a YAML mapping.
type entry struct {
	key, value *yaml.Node // the value is never an alias
	first      int        // of a doubled key: the line where it was first
}

// entries gives a mapping's own keys and, behind them, what is merged in
// (<<: *anchor) and not overridden. doubled are own keys that differ from an
// earlier one in case at most.
func entries(n *yaml.Node) (list, doubled []entry) {
	seen := map[string]int{}
	var merged []entry
	for _, e := range pairs(n) {
		lower := strings.ToLower(e.key.Value)
		switch first := seen[lower]; {
		case e.key.Tag == "!!merge":
			merged = append(merged, mergedInto(e.value)...)
		case first > 0:
			e.first = first
			doubled = append(doubled, e)
		default:
			seen[lower] = e.key.Line
			list = append(list, e)
		}
	}
	for _, e := range merged {
		if lower := strings.ToLower(e.key.Value); seen[lower] == 0 {
			seen[lower] = e.key.Line
			list = append(list, e)
		}
	}
	return list, doubled
}

func pairs(n *yaml.Node) []entry {
	list := make([]entry, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		list = append(list, entry{key: n.Content[i], value: resolve(n.Content[i+1])})
	}
	return list
}

// mergedInto reads the value of a merge key: one mapping or a list of them,
// the first one winning.
func mergedInto(value *yaml.Node) []entry {
	if value.Kind == yaml.MappingNode {
		list, _ := entries(value)
		return list
	}
	var list []entry
	for _, n := range value.Content {
		inner, _ := entries(resolve(n))
		list = append(list, inner...)
	}
	return list
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
