package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"clinsource/internal/sqldb"
)

// Source is what a backup is made of.
type Source struct {
	Engine  string // sqlite or postgres.
	Images  string // The folder of dicom-rpc's images.
	Scratch string // A folder where the copies of the databases may lie until the backup is written.
	// Copy makes the SQLite file to of a service's database as it is at one moment.
	// The services come one after the other, the registry last.
	Copy func(ctx context.Context, service, to string) error
}

// Files is the data folder of a suite with embedded storage.
func Files(data string) Source {
	return Source{
		Engine: "sqlite", Images: filepath.Join(data, filepath.FromSlash(imageFolder)), Scratch: data,
		Copy: func(ctx context.Context, service, to string) error {
			from := filepath.Join(data, service, filepath.Base(to))
			if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s is not there: is %s the folder of a suite's data?", from, data)
			}
			return sqldb.Copy(ctx, from, to)
		},
	}
}

// Write makes a backup while the suite runs, and gives the manifest of what went
// in. The copies of the databases lie in the scratch folder, for this user alone,
// until it ends. An error that is ErrDamaged leaves a complete backup; after any
// other what was written is of no use.
func Write(ctx context.Context, from Source, out io.Writer, to ...age.Recipient) (Manifest, error) {
	sealed, err := age.Encrypt(out, to...)
	if err != nil {
		return Manifest{}, err
	}
	w := &writer{tar: tar.NewWriter(sealed), from: from}
	w.manifest.Head = Head{Format: format, Created: time.Now().UTC().Truncate(time.Second), Engine: from.Engine}
	if err := w.all(ctx); err != nil {
		return Manifest{}, err
	}
	if err := errors.Join(w.tar.Close(), sealed.Close()); err != nil {
		return Manifest{}, err
	}
	if len(w.manifest.Damaged) > 0 {
		return w.manifest, fmt.Errorf("%w: %v", ErrDamaged, w.manifest.Damaged)
	}
	return w.manifest, nil
}

type writer struct {
	tar      *tar.Writer
	from     Source
	manifest Manifest
}

func (w *writer) all(ctx context.Context) (err error) {
	if err := w.json(headName, w.manifest.Head); err != nil {
		return err
	}
	folder, err := os.MkdirTemp(w.from.Scratch, "backup-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	for _, s := range services {
		if err := w.database(ctx, s.name, filepath.Join(folder, s.file)); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := w.images(ctx, filepath.Join(folder, "images.db")); err != nil {
		return err
	}
	return w.json(manifestName, w.manifest)
}

func (w *writer) database(ctx context.Context, service, to string) error {
	if err := w.from.Copy(ctx, service, to); err != nil {
		return err
	}
	tables, err := tablesOf(ctx, service, to)
	if err != nil {
		return err
	}
	w.manifest.Tables = append(w.manifest.Tables, tables...)
	return w.file(ctx, service+"/"+filepath.Base(to), to, nil)
}

func (w *writer) images(ctx context.Context, database string) error {
	db, err := sqldb.OpenFile(database)
	if err != nil {
		return err
	}
	err = imagesOf(ctx, db, func(i image) error { return w.image(ctx, i) })
	return errors.Join(err, db.Close())
}

func (w *writer) image(ctx context.Context, i image) error {
	name := imageFolder + "/" + imagePlace(i.id)
	sum := sha256.New()
	err := w.file(ctx, name, filepath.Join(w.from.Images, filepath.FromSlash(imagePlace(i.id))), sum)
	if errors.Is(err, fs.ErrNotExist) {
		w.manifest.Damaged = append(w.manifest.Damaged, i.id)
		return nil
	}
	if err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != i.sha256 {
		w.manifest.Damaged = append(w.manifest.Damaged, i.id)
	}
	w.manifest.Images++
	w.manifest.Bytes += i.size
	return nil
}

// file adds a file, and its bytes to sum if there is one.
func (w *writer) file(ctx context.Context, name, path string, sum hash.Hash) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: info.Size()}); err != nil {
		return err
	}
	from := io.Reader(stopping{ctx, f})
	if sum != nil {
		from = io.TeeReader(from, sum)
	}
	_, err = io.CopyN(w.tar, from, info.Size())
	return err
}

func (w *writer) json(name string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	if err := w.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text))}); err != nil {
		return err
	}
	_, err = w.tar.Write(text)
	return err
}

// stopping reads until ctx ends.
type stopping struct {
	ctx context.Context
	r   io.Reader
}

func (s stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
