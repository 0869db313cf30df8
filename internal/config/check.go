package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"clinsource/internal/config/nearest"
)

// checker walks a YAML tree and a struct type side by side and collects what
// does not fit. The type bounds the depth.
type checker struct {
	file     string
	root     *yaml.Node
	problems []problem
	values   []value
	trouble  []tlsTrouble
	advice   []string
}

// value checks a node against the type that will hold it.
func (c *checker) value(n *yaml.Node, t reflect.Type, path []string, inherits bool) {
	n = resolve(n)
	t = deref(t)
	switch {
	case isNull(n):
		if t.Kind() == reflect.Struct { // an empty block
			c.object(&yaml.Node{Kind: yaml.MappingNode, Line: n.Line}, t, path, inherits)
		}
	case t.Kind() == reflect.Struct && len(fieldsOf(t)) > 0:
		if c.kind(n, yaml.MappingNode, path) {
			c.object(n, t, path, inherits)
		}
	case t.Kind() == reflect.Map:
		if c.kind(n, yaml.MappingNode, path) {
			c.free(n, t.Elem(), path)
		}
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		if c.kind(n, yaml.SequenceNode, path) {
			for i, item := range n.Content {
				here := slices.Clone(path)
				here[len(here)-1] += fmt.Sprintf("[%d]", i)
				c.value(item, t.Elem(), here, false)
			}
		}
	case t.Kind() == reflect.Interface:
		// anything
	default:
		c.kind(n, yaml.ScalarNode, path)
	}
}

// object checks a mapping against a struct. Where it inherits, what it lacks
// may be given further out; go-zero knows.
func (c *checker) object(n *yaml.Node, t reflect.Type, path []string, inherits bool) {
	known, problemsBefore := fieldsOf(t), len(c.problems)
	absent := slices.Clone(known)
	without := func(name string) {
		absent = slices.DeleteFunc(absent, func(f field) bool { return f.name == name })
	}
	var strange []*yaml.Node
	for _, e := range c.entries(n, path) {
		f, ok := find(known, e.key.Value)
		if !ok {
			strange = append(strange, e.key)
			continue
		}
		without(f.name)
		here := append(slices.Clone(path), f.name)
		c.values = append(c.values, value{f, here, e.key.Line, e.value})
		c.value(e.value, f.typ, here, f.inherits && len(path) > 0)
	}
	for _, key := range strange {
		without(c.unknown(key, t, known, absent, path))
	}
	for _, f := range absent {
		if inherits {
			break
		}
		for _, lost := range f.missing(path) {
			c.report(lineOf(n, path), "missing required key %s", strings.Join(lost, "."))
		}
	}
	if len(c.problems) > problemsBefore {
		c.noteTLS(n, known, path)
	}
}

// unknown reports a key and gives the one it was probably meant to be: one
// that is absent rather than one that the file has already.
func (c *checker) unknown(key *yaml.Node, t reflect.Type, known, absent []field, path []string) string {
	written := strings.Join(append(slices.Clone(path), key.Value), ".")
	if embedding(t, key.Value) {
		c.report(key.Line, "unknown key %s: its keys stand one level up, beside it", written)
		return ""
	}
	for _, candidates := range [][]field{absent, known} {
		if near, ok := nearest.Of(key.Value, names(candidates)); ok {
			c.report(key.Line, "unknown key %s; did you mean %s?", written, near)
			return near
		}
	}
	for _, f := range known {
		if f.typ.Kind() == reflect.Struct {
			if inner, ok := find(fieldsOf(f.typ), key.Value); ok {
				c.report(key.Line, "unknown key %s; did you mean %s inside %s?", written, inner.name, f.name)
				return ""
			}
		}
	}
	c.report(key.Line, "unknown key %s; known here are %s", written, strings.Join(slices.Sorted(slices.Values(names(known))), ", "))
	return ""
}

// free checks a mapping whose keys are the user's own.
func (c *checker) free(n *yaml.Node, elem reflect.Type, path []string) {
	for _, e := range c.entries(n, path) {
		c.value(e.value, elem, append(slices.Clone(path), e.key.Value), false)
	}
}

// entries gives the keys of a mapping that count, in order, and reports those
// that do not, because their key was there before.
func (c *checker) entries(n *yaml.Node, path []string) []entry {
	list, doubled := entries(n)
	for _, e := range doubled {
		c.report(e.key.Line, "key %s is given twice, first in line %d", strings.Join(append(slices.Clone(path), e.key.Value), "."), e.first)
	}
	return list
}

func (c *checker) kind(n *yaml.Node, want yaml.Kind, path []string) bool {
	if n.Kind == want {
		return true
	}
	words := map[yaml.Kind]string{
		yaml.MappingNode:  "a block of `Key: value` lines",
		yaml.SequenceNode: "a list",
		yaml.ScalarNode:   "a single value",
	}
	c.report(n.Line, "%s is %s, and has to be %s", strings.Join(path, "."), words[n.Kind], words[want])
	return false
}

// lineOf is where a key is missing: the block it belongs to, or the file.
func lineOf(n *yaml.Node, path []string) int {
	if len(path) == 0 {
		return 0
	}
	return n.Line
}
