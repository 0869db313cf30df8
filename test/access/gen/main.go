// gen writes docs/access-matrix.md, the picture of what etc/policy.cedar makes of
// the rows in package access. make generate runs it; a test of that package fails
// when the page is not current, so that a change of the policy shows in review.
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
