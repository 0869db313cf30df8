package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// found is a file that the command line names, or that lies in a folder it names.
type found struct {
	path string
	size int64
	err  error // It cannot be read.
	skip bool  // In a folder, and no DICOM.
}

// findFiles lists what the arguments name. A file is taken as it is; of a folder,
// and of the folders in it, those that look like DICOM Part 10. Links in folders
// are not followed. A file that is named twice is taken once.
func findFiles(args []string) []found {
	var all []found
	seen := map[string]bool{}
	add := func(f found) {
		if clean := filepath.Clean(f.path); !seen[clean] {
			seen[clean] = true
			all = append(all, f)
		}
	}
	for _, arg := range args {
		about, err := os.Stat(arg)
		switch {
		case err != nil:
			add(found{path: arg, err: plainly(err)})
		case about.IsDir():
			for _, f := range findIn(arg) {
				add(f)
			}
		default:
			add(found{path: arg, size: about.Size()})
		}
	}
	return all
}

func findIn(folder string) (all []found) {
	_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			all = append(all, found{path: path, err: plainly(err)})
		case entry.Type().IsRegular():
			all = append(all, look(path))
		}
		return nil // One that cannot be read never stops the rest.
	})
	return all
}

// look tells whether a file has the letters DICM behind a preamble of 128 bytes.
func look(path string) found {
	file, err := os.Open(path)
	if err != nil {
		return found{path: path, err: plainly(err)}
	}
	defer file.Close()
	about, err := file.Stat()
	if err != nil {
		return found{path: path, err: plainly(err)}
	}
	var start [132]byte
	_, err = io.ReadFull(file, start[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return found{path: path, err: plainly(err)}
	}
	return found{path: path, size: about.Size(), skip: err != nil || string(start[128:]) != "DICM"}
}

// plainly leaves out the path, which stands beside the error anyway.
func plainly(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// digestOf gives the SHA-256 of a file's first size bytes in hex.
func digestOf(ctx context.Context, file io.ReaderAt, size int64) (string, error) {
	digest := sha256.New()
	source := io.NewSectionReader(file, 0, size)
	for {
		n, err := io.CopyN(digest, source, 16<<20)
		switch {
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case errors.Is(err, io.EOF) && n == 0:
			return hex.EncodeToString(digest.Sum(nil)), nil
		case err != nil && !errors.Is(err, io.EOF):
			return "", plainly(err)
		}
	}
}
