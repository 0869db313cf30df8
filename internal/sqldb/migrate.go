package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// migrateSQLite brings the schema up to the newest file of the engine's folder.
func migrateSQLite(ctx context.Context, pool *sql.DB, migrations fs.FS) error {
	provider, err := newProvider(goose.DialectSQLite3, pool, migrations, sqliteFolder)
	if err != nil {
		return err
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if current > known {
		return fmt.Errorf("the schema has version %d and this binary knows versions up to %d; start the newer binary, or restore a backup of before the upgrade",
			current, known)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema from version %d to %d: %w", current, known, err)
	}
	return nil
}

func newProvider(dialect goose.Dialect, pool *sql.DB, migrations fs.FS, name string) (*goose.Provider, error) {
	folder, err := fs.Sub(migrations, name)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, pool, folder,
		goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true), goose.WithLogger(goose.NopLogger()))
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil, fmt.Errorf("migrations: no file %s/*.sql; embed a folder of that name", name)
	}
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return provider, nil
}
