package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

var reference = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// environment replaces ${NAME} in values, after parsing: what a variable
// holds can neither add keys nor move line numbers, and a comment needs no
// variable. A lone $ is a $; passwords have them.
type environment struct {
	file string
	used []string
}

func (e *environment) expand(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				if child.Tag != "!!merge" {
					child.Tag = "!!str" // 404: is a key as good as not-found:
				}
				continue
			}
			if err := e.expand(child); err != nil {
				return err
			}
		}
		return nil
	}
	for _, match := range reference.FindAllStringSubmatch(n.Value, -1) {
		if _, set := os.LookupEnv(match[1]); !set {
			return fmt.Errorf("%s:%d: the environment variable %s is not set", e.file, n.Line, match[1])
		}
		e.used = append(e.used, match[1])
	}
	if n.Tag == "!!timestamp" {
		n.Tag = "!!str" // no field of ours is one, and a version may look like one
	}
	if value := reference.ReplaceAllStringFunc(n.Value, func(m string) string { return os.Getenv(m[2 : len(m)-1]) }); value != n.Value {
		n.Value = value
		if n.Style == 0 {
			n.Tag = "" // Port: ${PORT} is a number when PORT is one
		}
	}
	return nil
}

// hide puts the names back in place of the values, which may be secret.
func (e *environment) hide(text string) string {
	for _, name := range e.used {
		if value := os.Getenv(name); value != "" {
			text = strings.ReplaceAll(text, value, "${"+name+"}")
		}
	}
	return text
}

// ReadSecret gives the contents of a file that a key ending in File names,
// without the line end that editors add. An empty file is an error.
func ReadSecret(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the secret file cannot be read: %w", err)
	}
	secret := strings.TrimRight(string(data), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("the secret file %s is empty", path)
	}
	return secret, nil
}
