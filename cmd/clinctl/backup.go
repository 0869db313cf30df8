package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"filippo.io/age"

	"clinsource/internal/backup"
	"clinsource/internal/sqldb"
)

// runBackup writes a backup of the data folder, or a new key for backups.
func runBackup(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("backup", flag.ContinueOnError)
	data := flags.String("data", "var", "the suite's folder of data")
	images := flags.String("images", "", "the folder of dicom-rpc's images, where it is not in --data")
	var t target
	t.connect(flags)
	out := flags.String("out", "", "file to write; it must not exist (required)")
	newKey := flags.String("new-key", "", "instead: make a key in this new file and print its public part, for --to")
	var to list
	flags.Var(&to, "to", "public key (age1...) that the backup is for; may be given several times (required)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *newKey != "":
		return makeKey(*newKey)
	case *out == "" || len(to) == 0:
		return errors.New("--out and --to are required; clinctl backup --new-key FILE makes a key and prints what --to takes")
	}
	var recipients []age.Recipient
	for _, text := range to {
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		recipients = append(recipients, r)
	}
	begun := time.Now()
	from, done, err := t.source(ctx, *data, *images)
	if err != nil {
		return err
	}
	defer done()
	m, err := writeWhole(*out, func(f *os.File) (backup.Manifest, error) { return backup.Write(ctx, from, f, recipients...) })
	if err == nil || errors.Is(err, backup.ErrDamaged) {
		fmt.Printf("%s: %d rows of %d tables, %d images with %d bytes, in %s\n",
			*out, m.Rows(), len(m.Tables), m.Images, m.Bytes, time.Since(begun).Round(time.Millisecond))
	}
	return err
}

// source is what the backup is made of: the files in data, or with --store all
// schemas of the database at one moment.
func (t *target) source(ctx context.Context, data, images string) (from backup.Source, done func(), err error) {
	from, done = backup.Files(data), func() {}
	if images != "" {
		from.Images = images
	}
	if t.store == "" {
		return from, done, nil
	}
	taken, err := sqldb.TakeSnapshot(ctx, sqldb.Postgres{Url: t.store, PasswordFile: t.password})
	if err != nil {
		return from, done, err
	}
	from.Engine = "postgres"
	from.Copy = func(ctx context.Context, service, to string) error {
		all := schemas()
		s := all[slices.IndexFunc(all, func(s schema) bool { return s.service == service })]
		return taken.Save(ctx, s.name, to, s.migrations)
	}
	return from, func() { _ = taken.Close(context.WithoutCancel(ctx)) }, nil
}

// writeWhole gives the file its name only when all of it is on the disk.
func writeWhole(path string, write func(*os.File) (backup.Manifest, error)) (backup.Manifest, error) {
	if _, err := os.Lstat(path); err == nil {
		return backup.Manifest{}, fmt.Errorf("%s is there already; a backup overwrites nothing", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-")
	if err != nil {
		return backup.Manifest{}, err
	}
	m, damaged := write(f)
	if damaged != nil && !errors.Is(damaged, backup.ErrDamaged) {
		return m, errors.Join(damaged, f.Close(), os.Remove(f.Name()))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return m, errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Link(f.Name(), path); err != nil { // Unlike Rename it refuses a file that came meanwhile.
		return m, errors.Join(err, os.Remove(f.Name()))
	}
	return m, errors.Join(damaged, os.Remove(f.Name()))
}

// makeKey writes the secret part and prints the public one.
func makeKey(path string) error {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "# Opens clinsource backups. Keep it away from the machine that makes them.\n# public key: %s\n%s\n", key.Recipient(), key)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	fmt.Println(key.Recipient())
	return nil
}

// runRestore makes a data folder of a backup.
func runRestore(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("restore", flag.ContinueOnError)
	in := flags.String("in", "", "the backup (required)")
	keyFile := flags.String("key", "", "file with the key that opens it (required)")
	data := flags.String("data", "", "folder to make; it must not exist or be empty (required)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *in == "" || *keyFile == "" || *data == "" {
		return errors.New("--in, --key and --data are required, and nothing else is taken")
	}
	identities, err := identitiesOf(*keyFile)
	if err != nil {
		return fmt.Errorf("--key: %w", err)
	}
	f, err := os.Open(*in)
	if err != nil {
		return err
	}
	begun := time.Now()
	m, err := backup.Restore(ctx, f, *data, identities...)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	fmt.Printf("%s: as of %s, %d rows of %d tables, %d images with %d bytes, all equal to what was backed up, in %s\n",
		*data, m.Created.Format(time.RFC3339), m.Rows(), len(m.Tables), m.Images, m.Bytes, time.Since(begun).Round(time.Millisecond))
	if len(m.Damaged) > 0 {
		fmt.Printf("these images were damaged already when the backup was made: %v\n", m.Damaged)
	}
	return nil
}

func identitiesOf(path string) (ids []age.Identity, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	ids, err = age.ParseIdentities(f)
	return ids, errors.Join(err, f.Close())
}
