package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"clinsource/internal/sqldb"
)

// runMove copies the rows of all services from SQLite files to PostgreSQL. Images
// stay where they are.
func runMove(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("move", flag.ContinueOnError)
	var t target
	t.flags(flags)
	from := flags.String("from", "var", "the suite's folder of data; the suite must not run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if t.store == "" {
		return errors.New("say where to: --store postgres://owner@host:port/database")
	}
	unlock, err := stopped(*from)
	if err != nil {
		return err
	}
	defer unlock()
	if err := t.migrate(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 24*migrateWithin)
	defer cancel()
	for _, s := range schemas() {
		if err := t.move(ctx, *from, s); err != nil {
			return fmt.Errorf("%s: %w", s.service, err)
		}
	}
	fmt.Printf("moved and compared. Start the services with Postgres in place of DataFile; images stay in %s. The SQLite files are as they were: keep them until the first backup\n",
		filepath.Join(*from, "dicom-rpc"))
	return nil
}

func (t *target) move(ctx context.Context, from string, s schema) error {
	file := filepath.Join(from, s.file)
	tables, err := sqldb.Move(ctx, file, sqldb.Migration{Owner: t.place(s), Role: s.role(), Migrations: s.migrations})
	for _, m := range tables {
		did := "copied"
		if m.There {
			did = "there already"
		}
		fmt.Printf("schema %-8s table %-20s %9d rows %s, sha256 %.16s on both sides\n", s.name, m.Table, m.Rows, did, m.Hash)
	}
	return err
}

// stopped holds the launcher's lock, so that the suite neither runs nor starts.
func stopped(data string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(data, "suite.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("the suite runs on %s; stop it first", data), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
