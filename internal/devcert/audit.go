package devcert

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"clinsource/internal/auditlog"
)

// ensureAudit makes the pair of keys that the development suite signs its audit
// log with. One half without the other is not replaced unasked: what it has signed
// could no longer be verified.
func ensureAudit(dir string) (made bool, err error) {
	keyFile, pubFile := filepath.Join(dir, "audit.key"), filepath.Join(dir, "audit.pub")
	_, errKey := os.Stat(keyFile)
	_, errPub := os.Stat(pubFile)
	switch {
	case errKey == nil && errPub == nil:
		return false, nil
	case !errors.Is(errKey, os.ErrNotExist) || errPub != nil && !errors.Is(errPub, os.ErrNotExist):
		return false, fmt.Errorf("devcert: one of %s and %s cannot be found: put it back, or move the other away to make a new pair", keyFile, pubFile)
	case errPub == nil: // Keys that signed before stay in the list.
		return false, fmt.Errorf("devcert: %s is there without %s: put that back, or move the first away to make a new pair", pubFile, keyFile)
	}
	private, public, err := auditlog.NewKey()
	if err != nil {
		return false, fmt.Errorf("devcert: the audit key: %w", err)
	}
	if err := write(pubFile, []byte(public+"\n"), publicMode); err != nil {
		return false, err
	}
	return true, write(keyFile, []byte(private+"\n"), privateMode)
}
