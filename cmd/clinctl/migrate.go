package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"clinsource/dicom-rpc/dicomschema"
	"clinsource/epro-rpc/eproschema"
	"clinsource/internal/sqldb"
	"clinsource/subject-rpc/subjectschema"
	"clinsource/vitals-rpc/vitalsschema"
)

// schema is one service's part of the database.
type schema struct {
	service, name string
	migrations    fs.FS
	file          string // The SQLite file under the suite's data folder.
}

// role is whom the service connects as.
func (s schema) role() string { return "clinsource_" + s.name }

func schemas() []schema {
	return []schema{
		{"subject-rpc", subjectschema.Name, subjectschema.Migrations(), "subject-rpc/registry.db"},
		{"vitals-rpc", vitalsschema.Name, vitalsschema.Migrations(), "vitals-rpc/vitals.db"},
		{"dicom-rpc", dicomschema.Name, dicomschema.Migrations(), "dicom-rpc/images.db"},
		{"epro-rpc", eproschema.Name, eproschema.Migrations(), "epro-rpc/reports.db"},
	}
}

// migrateWithin bounds all of migrate: a large table may get a new index.
const migrateWithin = time.Hour

// target is the PostgreSQL database that a command works on, as its owner.
type target struct {
	store, password, passwords string
}

func (t *target) flags(f *flag.FlagSet) {
	t.connect(f)
	f.StringVar(&t.passwords, "passwords", "", "folder with the services' passwords, one file a role, ROLE.password; what is missing is made")
}

// connect are the flags of who only connects.
func (t *target) connect(f *flag.FlagSet) {
	f.StringVar(&t.store, "store", os.Getenv("CLINSOURCE_STORE"), "postgres://owner@host:port/database, without a password (CLINSOURCE_STORE)")
	f.StringVar(&t.password, "password-file", "", "file with the owner's password; else PGPASSWORD or ~/.pgpass")
}

func (t *target) place(s schema) sqldb.Postgres {
	return sqldb.Postgres{Url: t.store, PasswordFile: t.password, Schema: s.name}
}

// runMigrate brings the schemas of all services up to what this binary knows,
// makes their roles, and makes partitions ahead. It may be run at any time, beside
// running services and beside itself.
func runMigrate(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("migrate", flag.ContinueOnError)
	var t target
	t.flags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if t.store == "" {
		return errors.New("say which database: --store postgres://owner@host:port/database")
	}
	return t.migrate(ctx)
}

func (t *target) migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, migrateWithin)
	defer cancel()
	for _, s := range schemas() {
		password, err := t.passwordOf(s)
		if err != nil {
			return err
		}
		done, err := sqldb.Migrate(ctx, sqldb.Migration{Owner: t.place(s), Role: s.role(), Password: password, Migrations: s.migrations})
		if err != nil {
			return fmt.Errorf("schema %s: %w", s.name, err)
		}
		fmt.Println(told(s, done))
	}
	return nil
}

func told(s schema, done sqldb.Migrated) string {
	text := fmt.Sprintf("schema %-8s version %d", s.name, done.To)
	if done.From != done.To {
		text += fmt.Sprintf(" (was %d)", done.From)
	}
	text += fmt.Sprintf(", role %s %s", s.role(), done.Role)
	if n := len(done.Partitions); n > 0 {
		text += fmt.Sprintf(", %d partitions made: %s to %s", n, done.Partitions[0], done.Partitions[n-1])
	}
	return text
}

// passwordOf reads the password of a service's role, or makes one. Without a
// folder the role keeps what it has: a certificate or peer login needs none.
func (t *target) passwordOf(s schema) (string, error) {
	if t.passwords == "" {
		return "", nil
	}
	path := filepath.Join(t.passwords, s.role()+".password")
	text, err := os.ReadFile(path)
	if err == nil {
		if password := strings.TrimRight(string(text), "\r\n"); password != "" {
			return password, nil
		}
		return "", fmt.Errorf("%s is empty", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(t.passwords, 0o700); err != nil {
		return "", err
	}
	password := rand.Text()
	return password, os.WriteFile(path, []byte(password+"\n"), 0o600)
}
