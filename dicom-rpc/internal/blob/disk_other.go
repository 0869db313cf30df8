//go:build !linux

package blob

import (
	"io/fs"
	"math"
	"os"
	"time"
)

// beginWriteback is only for speed; elsewhere Sync does it all.
func beginWriteback(*os.File, int64, int64) error { return nil }

// freeBytes is not asked for here: a full disk shows when it is written.
func freeBytes(*os.File) (uint64, error) { return math.MaxUint64, nil }

// changed is when the file's bytes changed last; Linux knows more.
func changed(info fs.FileInfo) time.Time { return info.ModTime() }
