package auditlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// ReadOutside reads the files that services write into their checkpoint folders: all
// below a folder, oldest first. The last line of a file may be torn.
func ReadOutside(dir string) (all []Outside, err error) {
	var names []string
	err = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) == ".jsonl" {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(names, func(a, b string) int { return slices.Compare([]byte(filepath.Base(a)), []byte(filepath.Base(b))) })
	for _, name := range names {
		some, err := readOutsideFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, some...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no checkpoints (files *.jsonl)", dir)
	}
	return all, nil
}

func readOutsideFile(name string) (all []Outside, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var line struct{ Service, Note string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Note != "" {
			all = append(all, Outside{Service: line.Service, Note: line.Note})
		}
	}
	return all, lines.Err()
}
