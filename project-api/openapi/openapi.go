// Package openapi holds the gateway's answers against its contract,
// project-api/openapi.yaml, so that the contract is what the gateway does and not
// what somebody once wrote down. Tests that have a real answer at hand call
// [Check]; the tests of this package hold the contract itself against the table of
// routes, the decoder and the encoder.
//
// The contract is generated: gen puts its hand-written part, gen/contract.yaml,
// together with the schemas that it makes of the .proto files.
//
// Check is stricter than a client should be. The contract's answers are open,
// because fields may come later; here a field that the contract does not name is
// an error, because it would be one that nobody has documented.
package openapi

//go:generate go run ./gen

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// Contract is a contract that has been read and whose schemas have been compiled.
type Contract struct {
	document  object
	compiler  *jsonschema.Compiler
	paths     []pathItem
	elsewhere map[int]response // What is answered where the contract has no operation.
}

type object = map[string]any

// resource names the document to the compiler, which wants a URL.
const resource = "contract:///openapi.yaml"

// Parse reads a contract. It fails if the text is no YAML, or any schema of an
// operation's request or answer does not compile.
func Parse(text []byte) (*Contract, error) {
	document, err := read(text)
	if err != nil {
		return nil, err
	}
	closeObjects(document["components"])
	c := &Contract{document: document, compiler: jsonschema.NewCompiler()}
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource(resource, document); err != nil {
		return nil, err
	}
	if c.paths, err = c.readPaths(); err != nil {
		return nil, err
	}
	c.elsewhere = map[int]response{}
	if c.elsewhere[http.StatusNotFound], err = c.shared("NotFound"); err != nil {
		return nil, err
	}
	c.elsewhere[http.StatusMethodNotAllowed], err = c.shared("MethodNotAllowed")
	return c, err
}

// shared gives one of the responses that operations share.
func (c *Contract) shared(name string) (response, error) {
	r, err := c.readResponse(nil, object{"$ref": "#/components/responses/" + name})
	if err == nil && len(r) == 0 {
		err = fmt.Errorf("the contract has no components.responses.%s, which answers where it has no operation", name)
	}
	return r, err
}

// read gives a YAML text as the values that JSON would have.
func read(text []byte) (object, error) {
	var values object
	if err := yaml.Unmarshal(text, &values); err != nil {
		return nil, fmt.Errorf("the contract: %w", err)
	}
	asJSON, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("the contract has what JSON cannot say: %w", err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return nil, fmt.Errorf("the contract: %w", err)
	}
	return document.(object), nil
}

// closeObjects lets no object schema that lists its properties have others.
func closeObjects(v any) {
	switch v := v.(type) {
	case object:
		_, lists := v["properties"]
		if _, said := v["additionalProperties"]; lists && !said && v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}

// schema compiles the schema at a pointer into the document.
func (c *Contract) schema(pointer ...string) (*jsonschema.Schema, error) {
	return c.compiler.Compile(resource + "#" + fragment(pointer))
}

// Shipped is the contract of this checkout: project-api/openapi.yaml under the
// nearest folder above the working directory that has a go.mod. It is for tests.
var Shipped = sync.OnceValues(func() (*Contract, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil, errors.New("no go.mod above the working directory: the shipped contract is found from there")
		}
		dir = parent
	}
	text, err := os.ReadFile(filepath.Join(dir, "project-api", "openapi.yaml"))
	if err != nil {
		return nil, err
	}
	return Parse(text)
})

// Check holds one answer of the gateway against the shipped contract; see
// [Contract.Check].
func Check(method, path string, status int, contentType string, body []byte) error {
	c, err := Shipped()
	if err != nil {
		return err
	}
	return c.Check(method, path, status, contentType, body)
}

// Check holds one answer against the contract: the operation that the path
// (without its query) belongs to must have this status with this content type, and a
// body of JSON must be valid by its schema. A path that the contract does not
// have must be answered with 404, a method that a path does not take with 405 (or
// 404, where it ends in a verb that there is not), both as problems. Other bodies
// (images, pages) are not looked into.
func (c *Contract) Check(method, path string, status int, contentType string, body []byte) error {
	path, _, _ = strings.Cut(path, "?")
	op, found := c.find(method, path)
	responses := op.responses
	if found != operationKnown {
		responses = c.elsewhere
	}
	if found == pathUnknown && status == http.StatusMethodNotAllowed {
		return fmt.Errorf("%s %s: status 405 for a path that the contract has not: it should be 404", method, path)
	}
	r, ok := responses[status]
	if !ok {
		return fmt.Errorf("%s %s (%s): the contract has no answer with status %d; it has %v", method, path, op.name(), status, statuses(responses))
	}
	if method == http.MethodHead {
		return nil // It has no body.
	}
	if err := r.check(status, contentType, body); err != nil {
		return fmt.Errorf("%s %s (%s), status %d: %w", method, path, op.name(), status, err)
	}
	return nil
}
