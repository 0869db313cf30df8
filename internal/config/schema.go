package config

import (
	"reflect"
	"slices"
	"strings"
)

// field is one key that a mapping may hold.
type field struct {
	name     string // as the struct or its tag writes it
	typ      reflect.Type
	required bool // neither optional nor with a default of its own
	inherits bool // what is missing may come from the mapping around

	source reflect.StructField
}

// fieldsOf lists the keys of a struct type as go-zero sees them: the tag's
// name or the field's, those of embedded structs among them, whatever the tag
// of the embedding says. An outer field hides an embedded one of its name.
func fieldsOf(t reflect.Type) []field {
	var own, embedded []field
	for f := range fields(t) {
		name, options := tag(f)
		switch {
		case !f.IsExported() || name == "-":
		case f.Anonymous && deref(f.Type).Kind() == reflect.Struct:
			inner := fieldsOf(deref(f.Type))
			if has(options, "optional") {
				for i := range inner {
					inner[i].required = false // all together or none; go-zero checks that
				}
			}
			embedded = append(embedded, inner...)
		default:
			own = append(own, field{
				name:     name,
				typ:      deref(f.Type),
				required: !has(options, "optional") && !has(options, "default=") && !has(options, "env="),
				inherits: has(options, "inherit"),
				source:   f,
			})
		}
	}
	for _, f := range embedded {
		if _, hidden := find(own, f.name); !hidden {
			own = append(own, f)
		}
	}
	return own
}

func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// tag gives a field's key and the options behind the comma.
func tag(f reflect.StructField) (name string, options []string) {
	parts := strings.Split(f.Tag.Get("json"), ",")
	if name = strings.TrimSpace(parts[0]); name == "" {
		name = f.Name
	}
	return name, parts[1:]
}

func has(options []string, prefix string) bool {
	return slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(strings.TrimSpace(o), prefix) })
}

// find matches a key in any case, as go-zero does.
func find(fields []field, key string) (field, bool) {
	i := slices.IndexFunc(fields, func(f field) bool { return strings.EqualFold(f.name, key) })
	if i < 0 {
		return field{}, false
	}
	return fields[i], true
}

func names(fields []field) []string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	return list
}

// embedding tells whether a struct type embeds one of this name, at any depth.
func embedding(t reflect.Type, name string) bool {
	for f := range fields(t) {
		if f.Anonymous && deref(f.Type).Kind() == reflect.Struct &&
			(strings.EqualFold(f.Name, name) || embedding(deref(f.Type), name)) {
			return true
		}
	}
	return false
}

// missing lists the required keys below a field that the file does not have.
// A struct that is left out is filled with defaults, so only the keys that
// have none are missed.
func (f field) missing(path []string) [][]string {
	if !f.required {
		return nil
	}
	here := append(slices.Clone(path), f.name)
	if f.typ.Kind() != reflect.Struct {
		return [][]string{here}
	}
	var list [][]string
	for _, inner := range fieldsOf(f.typ) {
		list = append(list, inner.missing(here)...)
	}
	return list
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}
