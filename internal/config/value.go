package config

import (
	"reflect"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// value is one key that the file gives, with the field that it is for.
type value struct {
	field field
	path  []string
	line  int
	node  *yaml.Node
}

// locate finds the values that go-zero refused. Its errors often do not say
// which key they mean ("wrong number range setting"), so each value is loaded
// once more, alone, into a struct of its one field.
func (c *checker) locate() {
	for _, v := range c.values {
		if !plain(v.field.typ) {
			continue // what is inside is in the list itself
		}
		if err := v.load(); err != nil {
			text := strings.TrimPrefix(err.Error(), "error: ")
			if bounds := rangeOption.FindString(v.field.source.Tag.Get("json")); bounds != "" {
				text += ", " + bounds
			}
			c.report(v.line, "%s: %s", strings.Join(v.path, "."), text)
		}
	}
}

var rangeOption = regexp.MustCompile(`range=[\[(][^\])]*[\])]`)

func (v value) load() error {
	f := v.field.source
	if strings.Contains(f.Tag.Get("json"), "optional=") {
		f.Tag = "" // depends on a key that is not in this struct
	}
	f.Anonymous, f.Offset, f.Index = false, 0, nil
	alone := reflect.New(reflect.StructOf([]reflect.StructField{f}))
	name, _ := tag(f)
	return fill(&yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
		{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, v.node,
	}}, alone.Interface())
}

// plain types hold no keys of a struct.
func plain(t reflect.Type) bool {
	switch t = deref(t); t.Kind() {
	case reflect.Struct:
		return len(fieldsOf(t)) == 0
	case reflect.Map, reflect.Slice, reflect.Array:
		return plain(t.Elem())
	default:
		return true
	}
}
