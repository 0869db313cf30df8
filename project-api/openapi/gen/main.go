// gen writes project-api/openapi.yaml. It takes the hand-written part,
// contract.yaml beside it, and adds what would otherwise have to be kept equal by
// hand: the schemas of the messages and enums that the contract refers to, made of
// the descriptors, the comments of the .proto files and what package wire does
// with a message; the reasons and codes of problems; and to each operation the
// headers and refusals that all have. The same input gives the same bytes.
//
// A schema named ...Request is what a caller sends: closed, with what is required,
// without what only the server fills. The messages inside it are named ...Input.
// All other messages are answers: open, because fields may come, and with what the
// gateway's encoder always writes as required.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"gopkg.in/yaml.v3"
)

// Where things lie, relative to the module's root.
const (
	templateFile = "project-api/openapi/gen/contract.yaml"
	contractFile = "project-api/openapi.yaml"
)

const header = "The gateway's contract. Generated: change " + templateFile + " or the .proto files, then make generate."

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "openapi/gen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	contract, err := generate(ctx, root)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, contractFile), contract, 0o644) // #nosec G306 -- a source file
}

// moduleRoot is the nearest folder above with a go.mod: go generate runs in the
// folder of the file that asks for it.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = parent
	}
}

// generate gives the contract's text.
func generate(ctx context.Context, root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, templateFile))
	if err != nil {
		return nil, err
	}
	var file yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", templateFile, err)
	}
	words, err := readComments(ctx, root)
	if err != nil {
		return nil, err
	}
	document := file.Content[0]
	bound, err := completeOperations(at(document, "paths"))
	if err != nil {
		return nil, err
	}
	if err := addSchemas(at(document, "components", "schemas"), document, words, bound); err != nil {
		return nil, err
	}
	document.HeadComment = ""
	file.HeadComment = header
	return encode(&file)
}
