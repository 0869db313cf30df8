package main

import (
	"bytes"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// Nodes rather than maps: they keep the order and the style of what was written
// by hand.

func encode(file *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(file); err != nil {
		return nil, err
	}
	return out.Bytes(), e.Close()
}

// at gives the value under a path of keys, nil if there is none.
func at(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		if n = child(n, key); n == nil {
			return nil
		}
	}
	return n
}

// child gives the value under a key.
func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// set puts a value under a key that is not there yet.
func set(n *yaml.Node, key string, value any) {
	n.Content = append(n.Content, node(key), node(value))
}

// pairs is a mapping in this order: key, value, key, value.
type pairs []any

// node makes a node of a string, bool, int, []string, []*yaml.Node, pairs or
// *yaml.Node.
func node(v any) *yaml.Node {
	switch v := v.(type) {
	case *yaml.Node:
		return v
	case pairs:
		n := &yaml.Node{Kind: yaml.MappingNode}
		if len(v) == 2 && v[0] == "$ref" {
			n.Style = yaml.FlowStyle
		}
		for i := 0; i < len(v); i += 2 {
			set(n, v[i].(string), v[i+1])
		}
		return n
	case []string:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, s := range v {
			n.Content = append(n.Content, node(s))
		}
		return n
	case []*yaml.Node:
		return &yaml.Node{Kind: yaml.SequenceNode, Content: v}
	}
	n := &yaml.Node{}
	if err := n.Encode(v); err != nil {
		panic(fmt.Sprintf("gen: %T has no YAML form: %v", v, err)) // A mistake in gen; any run shows it.
	}
	if strings.Contains(n.Value, "\n") {
		n.Style = yaml.LiteralStyle
	}
	return n
}

const schemaPrefix = "#/components/schemas/"

func ref(name string) pairs { return pairs{"$ref", schemaPrefix + name} }

// refs calls f with each reference to a schema below n, in document order.
func refs(n *yaml.Node, f func(name string)) {
	if target := child(n, "$ref"); target != nil && strings.HasPrefix(target.Value, schemaPrefix) {
		f(strings.TrimPrefix(target.Value, schemaPrefix))
	}
	for _, c := range n.Content {
		refs(c, f)
	}
}

// remove takes a key out of a mapping.
func remove(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = append(n.Content[:i], n.Content[i+2:]...)
			return
		}
	}
}
