package wirejson

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds of what a refusal lists, so that it stays readable.
const (
	mostNames   = 20
	longestName = 64
)

// names lists the values of an enum that a caller may send.
func names(enum protoreflect.EnumDescriptor) string {
	var list []string
	for i := range enum.Values().Len() {
		if v := enum.Values().Get(i); !isUnspecified(v) {
			list = append(list, string(v.Name()))
		}
	}
	return join(list)
}

func join(list []string) string {
	if len(list) > mostNames {
		list = append(list[:mostNames:mostNames], "...")
	}
	return strings.Join(list, ", ")
}

// hint helps with a key that is no field: the nearest name, or all of them. It
// suggests no field that would be denied next.
func (p *plan) hint(key string, deny func(protoreflect.FieldDescriptor) bool) string {
	var known []string
	best, distance := "", 1+max(1, len(key)/3)
	for _, f := range p.fields {
		if deny != nil && deny(f.fd) {
			continue
		}
		known = append(known, f.name)
		if len(key) <= longestName {
			if d := distanceOf(fold(key), fold(f.name)); d < distance {
				best, distance = f.name, d
			}
		}
	}
	switch {
	case best != "":
		return "did you mean " + best + "?"
	case len(known) == 0:
		return "the object has no fields"
	default:
		return "the fields are " + join(known)
	}
}

// fold makes bloodPressure, Blood-Pressure and blood_pressure equal.
func fold(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// distanceOf is small for names that one may have meant by the other: a typing
// error (the number of edits), or a beginning (temp for temperature).
func distanceOf(a, b string) int {
	if min(len(a), len(b)) >= 4 && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
		return min(edits(a, b), 1)
	}
	return edits(a, b)
}

// edits is the Levenshtein distance of two short names.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
