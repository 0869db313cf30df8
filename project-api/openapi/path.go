package openapi

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// pathItem is one path of the contract.
type pathItem struct {
	template   string
	literals   int // Characters that are no parameter: the more, the closer the match.
	pattern    *regexp.Regexp
	operations map[string]operation // By upper-case method.
}

// operation is one method of one path.
type operation struct {
	id        string
	query     []string           // Names of its query parameters.
	request   *jsonschema.Schema // Of its JSON body; nil without one.
	responses map[int]response
}

func (o operation) name() string {
	if o.id == "" {
		return "not in the contract"
	}
	return o.id
}

// response is one answer of an operation: by media type the schema of what it
// holds, nil where that is not JSON.
type response map[string]*jsonschema.Schema

var (
	parameter = regexp.MustCompile(`\{[^}]*\}`)
	methods   = []string{"get", "put", "post", "delete", "patch", "head", "options"}
)

func (c *Contract) readPaths() ([]pathItem, error) {
	paths, _ := c.document["paths"].(object)
	var items []pathItem
	for _, template := range slices.Sorted(maps.Keys(paths)) {
		item := pathItem{template: template, operations: map[string]operation{},
			literals: len(parameter.ReplaceAllString(template, "")), pattern: patternOf(template)}
		said := paths[template].(object)
		for _, method := range methods {
			if _, ok := said[method]; !ok {
				continue
			}
			op, err := c.readOperation(template, method)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", strings.ToUpper(method), template, err)
			}
			item.operations[strings.ToUpper(method)] = op
		}
		items = append(items, item)
	}
	return items, nil
}

// patternOf matches the paths of a template. A parameter is one segment, or what
// is left of it by the literals around it.
func patternOf(template string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("^")
	rest := template
	for _, at := range parameter.FindAllString(template, -1) {
		before, after, _ := strings.Cut(rest, at)
		b.WriteString(regexp.QuoteMeta(before) + "[^/]+")
		rest = after
	}
	b.WriteString(regexp.QuoteMeta(rest) + "/?$")
	return regexp.MustCompile(b.String())
}

func (c *Contract) readOperation(template, method string) (operation, error) {
	pointer := []string{"paths", template, method}
	said := c.document["paths"].(object)[template].(object)[method].(object)
	op := operation{responses: map[int]response{}}
	op.id, _ = said["operationId"].(string)
	for _, p := range c.parameters(template, said) {
		if name, _ := p["name"].(string); p["in"] == "query" {
			op.query = append(op.query, name)
		}
	}
	if body, ok := said["requestBody"].(object); ok {
		if content, _ := body["content"].(object); content[jsonType] != nil {
			schema, err := c.schema(append(slices.Clone(pointer), "requestBody", "content", jsonType, "schema")...)
			if err != nil {
				return op, err
			}
			op.request = schema
		}
	}
	responses, _ := said["responses"].(object)
	for text := range responses {
		status, err := strconv.Atoi(text)
		if err != nil {
			return op, fmt.Errorf("the response %q is no status", text)
		}
		r, err := c.readResponse(append(slices.Clone(pointer), "responses", text), responses[text])
		if err != nil {
			return op, err
		}
		op.responses[status] = r
	}
	return op, nil
}

// parameters gives those of the path and of the operation, resolved.
func (c *Contract) parameters(template string, said object) []object {
	var all []object
	for _, list := range []any{c.document["paths"].(object)[template].(object)["parameters"], said["parameters"]} {
		items, _ := list.([]any)
		for _, item := range items {
			_, p := c.resolve(nil, item)
			all = append(all, p)
		}
	}
	return all
}

func (c *Contract) readResponse(pointer []string, v any) (response, error) {
	pointer, said := c.resolve(pointer, v)
	content, _ := said["content"].(object)
	r := response{}
	for mediaType := range content {
		r[mediaType] = nil
		if !isJSON(mediaType) {
			continue
		}
		schema, err := c.schema(append(slices.Clone(pointer), "content", mediaType, "schema")...)
		if err != nil {
			return nil, err
		}
		r[mediaType] = schema
	}
	return r, nil
}

// resolve follows a reference into the document, and gives where it leads.
func (c *Contract) resolve(pointer []string, v any) ([]string, object) {
	said, _ := v.(object)
	target, ok := said["$ref"].(string)
	if !ok {
		return pointer, said
	}
	pointer = strings.Split(strings.TrimPrefix(target, "#/"), "/")
	var found any = c.document
	for _, token := range pointer {
		inner, _ := found.(object)
		found = inner[token]
	}
	return c.resolve(pointer, found)
}

// How much of a request the contract knows.
const (
	operationKnown = iota
	methodUnknown
	pathUnknown
)

// find gives the operation of a request. Of several templates that match, the
// one with the most literal characters counts.
func (c *Contract) find(method, path string) (op operation, found int) {
	found = pathUnknown
	best := -1
	for _, item := range c.paths {
		if !item.pattern.MatchString(path) {
			continue
		}
		candidate, ok := item.operations[method]
		switch {
		case ok && item.literals > best:
			best, op, found = item.literals, candidate, operationKnown
		case !ok && found == pathUnknown:
			found = methodUnknown
		}
	}
	return op, found
}

func statuses(responses map[int]response) []int { return slices.Sorted(maps.Keys(responses)) }

// fragment writes a JSON pointer as the fragment of a URL.
func fragment(pointer []string) string {
	var b strings.Builder
	for _, token := range pointer {
		b.WriteString("/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(token)))
	}
	return b.String()
}
