package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// migrate brings the schema up to the newest file of the engine's folder.
func migrate(ctx context.Context, pool *sql.DB, migrations fs.FS) error {
	folder, err := fs.Sub(migrations, migrationFolder)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	provider, err := goose.NewProvider(migrationDialect, pool, folder,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if errors.Is(err, goose.ErrNoMigrations) {
		return fmt.Errorf("migrations: no file %s/*.sql; embed a folder of that name", migrationFolder)
	}
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
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
