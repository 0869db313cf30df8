package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

var methods = []string{"get", "put", "post", "delete", "patch", "head", "options"}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// completeOperations gives each operation the headers and refusals that all
// have, and tells which fields of a request's message the path says already, by
// the message's name.
func completeOperations(paths *yaml.Node) (bound map[string][]string, err error) {
	bound = map[string][]string{}
	for i := 0; i < len(paths.Content); i += 2 {
		path, item := paths.Content[i].Value, paths.Content[i+1]
		for _, method := range methods {
			operation := child(item, method)
			if operation == nil {
				continue
			}
			complete(path, operation)
			if err := bind(bound, path, operation); err != nil {
				return nil, err
			}
		}
	}
	return bound, nil
}

// bind notes the path's parameters for the message that is the operation's body.
func bind(bound map[string][]string, path string, operation *yaml.Node) (err error) {
	body := child(operation, "requestBody")
	if body == nil {
		return nil
	}
	names := pathNames(path)
	refs(body, func(message string) {
		if known, ok := bound[message]; ok && !slices.Equal(known, names) {
			err = fmt.Errorf("%s: %s is the body of another path with other parameters: one schema cannot say both", path, message)
		}
		bound[message] = names
	})
	return err
}

// complete adds to one operation what follows from its path and what is the same
// for all. Parameters stand with each operation and not once with the path,
// because the page at /docs does not resolve references there.
func complete(path string, operation *yaml.Node) {
	own := child(operation, "parameters")
	if own == nil {
		own = node([]*yaml.Node{})
		set(operation, "parameters", own)
	}
	own.Content = slices.Concat(parameters(pathNames(path)...), own.Content, parameters("X-Request-Id", "Accept-Language"))
	responses := child(operation, "responses")
	for _, r := range refusals(operation) {
		if child(responses, r.status) == nil {
			set(responses, r.status, pairs{"$ref", "#/components/responses/" + r.name})
		}
	}
	sortByKey(responses)
	showAgain(responses)
	for i := 1; i < len(responses.Content); i += 2 {
		if response := responses.Content[i]; child(response, "$ref") == nil {
			nameTheRequest(response)
		}
	}
}

func pathNames(path string) []string {
	var names []string
	for _, m := range pathParameter.FindAllStringSubmatch(path, -1) {
		names = append(names, m[1])
	}
	return names
}

func parameters(names ...string) []*yaml.Node {
	var list []*yaml.Node
	for _, name := range names {
		list = append(list, node(pairs{"$ref", "#/components/parameters/" + name}))
	}
	return list
}

// showAgain gives the answer to a resend (200) the example of the first answer
// (201), but for created.
func showAgain(responses *yaml.Node) {
	first, again := at(responses, "201", "content", "application/json", "example"), at(responses, "200", "content", "application/json")
	if first == nil || again == nil || child(again, "example") != nil {
		return
	}
	example := &yaml.Node{Kind: yaml.MappingNode, Style: first.Style}
	for i := 0; i < len(first.Content); i += 2 {
		key, value := first.Content[i], first.Content[i+1]
		if key.Value == "created" {
			value = node(false)
		}
		example.Content = append(example.Content, key, value)
	}
	set(again, "example", example)
}

// nameTheRequest adds the header that every answer has.
func nameTheRequest(response *yaml.Node) {
	headers := child(response, "headers")
	if headers == nil {
		headers = node(pairs{})
		set(response, "headers", headers)
	}
	set(headers, "X-Request-Id", pairs{"$ref", "#/components/headers/X-Request-Id"})
}

type refusal struct{ status, name string }

// refusals are those that an operation shares with all of its kind.
func refusals(operation *yaml.Node) []refusal {
	list := []refusal{{"400", "BadRequest"}, {"500", "Internal"}}
	if security := child(operation, "security"); security == nil || len(security.Content) > 0 {
		list = append(list, refusal{"401", "Unauthorized"}, refusal{"403", "Forbidden"}, refusal{"429", "TooMany"}, refusal{"431", "HeadersTooLarge"},
			refusal{"503", "Unavailable"}, refusal{"504", "Timeout"})
	}
	if at(operation, "requestBody", "content", "application/json") != nil {
		list = append(list, refusal{"413", "TooLarge"})
	}
	return list
}

// sortByKey puts a mapping in the order of its keys: statuses, schemas.
func sortByKey(n *yaml.Node) {
	var entries [][2]*yaml.Node
	for i := 0; i < len(n.Content); i += 2 {
		entries = append(entries, [2]*yaml.Node{n.Content[i], n.Content[i+1]})
	}
	slices.SortStableFunc(entries, func(a, b [2]*yaml.Node) int { return strings.Compare(a[0].Value, b[0].Value) })
	n.Content = n.Content[:0]
	for _, e := range entries {
		n.Content = append(n.Content, e[0], e[1])
	}
}
