// Package config reads the YAML files under etc/, one strict loader for all
// processes. What the keys mean, their defaults and which may be left out is
// go-zero's: the struct and its json tags (core/conf). What go-zero forgives
// is an error here, at start, with file, line and the key that was meant:
//
//	etc/vitals-rpc.yaml:12: unknown key Timeuot; did you mean Timeout?
//
// go-zero's own loader drops a key that it does not know without a word. With
// the TLS block of many tutorials a service would then start in plaintext;
// here such a block is answered by the one that works (tls.go).
//
// Keys match in any case, as in go-zero; errors write them as the struct does.
// A value may hold ${NAME}, which stands for that environment variable and has
// to be set. A secret comes that way or, better, in a file of its own: a key
// whose name ends in File names it, and ReadSecret reads it. Paths are
// relative to the working directory.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/zeromicro/go-zero/core/conf"
	"gopkg.in/yaml.v3"
)

// Load reads the YAML file at path into v, a pointer to a struct with its
// zero value. The error names all unknown, doubled and missing keys, one a
// line, each with its place.
func Load(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the configuration cannot be read: %w; name the file by -f", err)
	}
	return LoadBytes(path, data, v)
}

// LoadBytes is Load for text that is already there; name stands for the file
// in errors.
func LoadBytes(name string, data []byte, v any) error {
	target := reflect.TypeOf(v)
	if target == nil || target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("%s: configuration is loaded into a pointer to a struct, not into %T", name, v)
	}
	root, err := parse(name, data)
	if err != nil {
		return err
	}
	c := &checker{file: name, root: root}
	c.object(root, target.Elem(), nil, false)
	c.adviseTLS()
	if err := c.err(); err != nil {
		return err
	}
	env := environment{file: name}
	if err := env.expand(root); err != nil {
		return err
	}
	if err := fill(root, v); err != nil {
		c.locate()
		if len(c.problems) == 0 {
			c.report(0, "%v", err) // of several keys together, or of the struct's Validate
		}
		return errors.New(env.hide(c.err().Error()))
	}
	return nil
}

// parse gives the mapping at the top; an empty file is an empty mapping.
func parse(name string, data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || (err == nil && isNull(document.Content[0])) {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: not YAML: %w", name, err)
	}
	if !errors.Is(decoder.Decode(&second), io.EOF) {
		return nil, fmt.Errorf("%s: more than one YAML document (---) in a configuration; only the first would count", name)
	}
	var discard any
	var doubled *yaml.TypeError // the check says it better
	if err := document.Decode(&discard); err != nil && !errors.As(err, &doubled) {
		return nil, fmt.Errorf("%s: not YAML: %w", name, err) // an anchor that holds itself
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: a configuration is a list of `Key: value` lines", name, root.Line)
	}
	return root, nil
}

// fill hands the checked tree to go-zero as JSON, which is what it makes of
// YAML itself, so that both see the same tree.
func fill(root *yaml.Node, v any) error {
	var tree map[string]any
	if err := root.Decode(&tree); err != nil {
		return err
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	return conf.LoadFromJsonBytes(text, v)
}

// problem is one line of the error.
type problem struct {
	line int // 0: the file as a whole
	text string
}

func (c *checker) report(line int, format string, args ...any) {
	c.problems = append(c.problems, problem{line, fmt.Sprintf(format, args...)})
}

func (c *checker) err() error {
	slices.SortStableFunc(c.problems, func(a, b problem) int { return a.line - b.line })
	var errs []error
	for _, p := range c.problems {
		if p.line == 0 {
			errs = append(errs, fmt.Errorf("%s: %s", c.file, p.text))
		} else {
			errs = append(errs, fmt.Errorf("%s:%d: %s", c.file, p.line, p.text))
		}
	}
	for _, advice := range c.advice {
		errs = append(errs, errors.New(advice))
	}
	return errors.Join(errs...)
}
