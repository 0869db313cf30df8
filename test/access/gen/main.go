// gen writes docs/access-matrix.md.
package main

import (
	"fmt"
	"os"

	"clinsource/test/access"
)

//go:generate go run . ../../../docs/access-matrix.md

func main() {
	if err := os.WriteFile(os.Args[1], []byte(access.Markdown()), 0o644); err != nil { // #nosec G306 -- a source file
		fmt.Fprintln(os.Stderr, "access/gen:", err)
		os.Exit(1)
	}
}
