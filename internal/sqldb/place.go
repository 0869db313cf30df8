package sqldb

import (
	"errors"
	"fmt"
)

// Place is the part of a service's configuration that says where its rows lie:
// exactly one of both.
type Place struct {
	DataFile string    `json:",optional"` // A SQLite file.
	Postgres *Postgres `json:",optional"` // A schema of a PostgreSQL database.
}

// Check says what is wrong with it, without connecting.
func (p Place) Check() error {
	switch {
	case p.DataFile == "" && p.Postgres == nil:
		return errors.New("neither DataFile nor Postgres is given: say where the rows lie, in a SQLite file or in PostgreSQL")
	case p.DataFile != "" && p.Postgres != nil:
		return errors.New("both DataFile and Postgres are given: the rows lie in one place; take the other out")
	case p.Postgres == nil:
		return nil
	}
	if _, err := p.Postgres.config(); err != nil {
		return fmt.Errorf("Postgres.%w", err)
	}
	return nil
}

// Config is the place with the schema that a service has by default.
func (p Place) Config(schema string) Config {
	if p.Postgres == nil {
		return Config{Path: p.DataFile}
	}
	place := *p.Postgres
	if place.Schema == "" {
		place.Schema = schema
	}
	return Config{Postgres: &place}
}
