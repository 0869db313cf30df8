package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"

	"clinsource/internal/sqldb"
)

// maxJSON bounds head and manifest.
const maxJSON = 64 << 20

// Restore makes the data folder of a backup. The folder must not exist, or be
// empty; until all is compared with the manifest what is written has another
// name beside it, which is removed if anything fails.
func Restore(ctx context.Context, in io.Reader, data string, with ...age.Identity) (m Manifest, err error) {
	if err := vacant(data); err != nil {
		return m, err
	}
	opened, err := age.Decrypt(in, with...)
	if err != nil {
		return m, fmt.Errorf("open the backup: %w", err)
	}
	parent := filepath.Dir(filepath.Clean(data))
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return m, err
	}
	folder, err := os.MkdirTemp(parent, filepath.Base(data)+".restoring-")
	if err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}()
	r := &restorer{tar: tar.NewReader(stopping{ctx, opened}), folder: folder}
	if err := r.all(ctx); err != nil {
		return m, err
	}
	if err := os.Remove(data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	return r.manifest, errors.Join(syncFolders(folder), os.Rename(folder, data), syncFolder(parent))
}

// vacant refuses a folder with anything in it.
func vacant(data string) error {
	entries, err := os.ReadDir(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty; restore into a new folder, nothing is overwritten", data)
	}
	return err
}

type restorer struct {
	tar      *tar.Reader
	folder   string
	images   *sql.DB // dicom-rpc's restored database, once the first image comes.
	written  Manifest
	wrong    []string // Images whose bytes are not those of their records.
	manifest Manifest
}

func (r *restorer) all(ctx context.Context) error {
	err := r.entries(ctx)
	if r.images != nil {
		err = errors.Join(err, r.images.Close())
	}
	if err != nil {
		return err
	}
	return r.check(ctx)
}

func (r *restorer) entries(ctx context.Context) error {
	for {
		entry, err := r.tar.Next()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the backup has no end: it was cut while it was written; take another one")
		case err != nil:
			return fmt.Errorf("read the backup: %w", err)
		}
		switch {
		case entry.Name == headName:
			err = r.head()
		case entry.Name == manifestName:
			return r.json(&r.manifest)
		case strings.HasPrefix(entry.Name, imageFolder+"/"):
			err = r.image(ctx, entry)
		default:
			err = r.database(entry)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", entry.Name, err)
		}
	}
}

func (r *restorer) head() error {
	var h Head
	if err := r.json(&h); err != nil {
		return err
	}
	if h.Format != format {
		return fmt.Errorf("the backup has format %d; this clinctl knows format %d", h.Format, format)
	}
	return nil
}

func (r *restorer) json(v any) error {
	text, err := io.ReadAll(io.LimitReader(r.tar, maxJSON))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// database writes one of the files of services; another name is not ours.
func (r *restorer) database(entry *tar.Header) error {
	known := slices.ContainsFunc(services, func(s struct{ name, file string }) bool { return s.name+"/"+s.file == entry.Name })
	if !known {
		return errors.New("no file of this name belongs here")
	}
	_, err := r.file(entry.Name)
	return err
}

func (r *restorer) image(ctx context.Context, entry *tar.Header) error {
	if r.images == nil {
		db, err := sqldb.OpenFile(filepath.Join(r.folder, imageService, "images.db"))
		if err != nil {
			return err
		}
		r.images = db
	}
	id := entry.Name[strings.LastIndexByte(entry.Name, '/')+1:]
	want, err := imageByID(ctx, r.images, id) // So the name is one that we gave, and no path.
	if err != nil {
		return err
	}
	if entry.Name != imageFolder+"/"+imagePlace(id) {
		return errors.New("an image does not lie there")
	}
	sum, err := r.file(entry.Name)
	if err != nil {
		return err
	}
	if sum != want.sha256 {
		r.wrong = append(r.wrong, id)
	}
	r.written.Images++
	r.written.Bytes += want.size
	return nil
}

// file writes an entry durably and gives the SHA-256 of its bytes.
func (r *restorer) file(name string) (sum string, err error) {
	path := filepath.Join(r.folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), r.tar)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Sync(), f.Close())
}

// check compares what was written with the manifest.
func (r *restorer) check(ctx context.Context) error {
	var problems []error
	for _, s := range services {
		tables, err := tablesOf(ctx, s.name, filepath.Join(r.folder, s.name, s.file))
		problems = append(problems, err)
		r.written.Tables = append(r.written.Tables, tables...)
	}
	for _, want := range r.manifest.Tables {
		if !slices.Contains(r.written.Tables, want) {
			problems = append(problems, fmt.Errorf("table %s of %s is not what was backed up (%d rows)", want.Name, want.Service, want.Rows))
		}
	}
	if len(r.written.Tables) != len(r.manifest.Tables) || r.written.Images != r.manifest.Images || r.written.Bytes != r.manifest.Bytes {
		problems = append(problems, fmt.Errorf("%d tables, %d images with %d bytes were written; the manifest says %d, %d and %d",
			len(r.written.Tables), r.written.Images, r.written.Bytes, len(r.manifest.Tables), r.manifest.Images, r.manifest.Bytes))
	}
	for _, id := range r.wrong {
		if !slices.Contains(r.manifest.Damaged, id) {
			problems = append(problems, fmt.Errorf("image %s has other bytes than its record says", id))
		}
	}
	return errors.Join(problems...)
}

// syncFolders makes the names in a folder and in all below it durable.
func syncFolders(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncFolder(path)
	})
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
