// gen writes docs/access-matrix.md, the picture of what etc/policy.cedar makes of
// the rows in package access. make generate runs it; a test of that package fails
// when the page is not current, so that a change of the policy shows in review.
package main

import (
	"os"

	"clinsource/test/access"
)

//go:generate go run .

func main() {
	if err := os.WriteFile("../../../docs/access-matrix.md", []byte(access.Markdown()), 0o644); err != nil { // #nosec G306 -- a source file
		panic(err)
	}
}
