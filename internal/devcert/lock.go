package devcert

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock waits until no other process holds the file. The kernel lets go of it
// when a holder dies, so a crash leaves no stale lock; the empty file stays.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("devcert: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("devcert: lock %s: %w", path, err)
	}
	return f.Close, nil // closing lets go
}
