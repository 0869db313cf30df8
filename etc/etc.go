// Package etc holds the shipped policy for those who have no configuration to
// name one: clinctl and tests. A service reads the file that its configuration
// names (Policy.File) and starts with no other.
package etc

import _ "embed"

// Policy is etc/policy.cedar as it was when this was built.
//
//go:embed policy.cedar
var Policy []byte
