package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"
)

// maxStatements bounds a cache of prepared statements. Services have some dozens
// of constant texts; what is beyond is run unprepared, so that a text built at
// run time costs time and not memory.
const maxStatements = 512

// source is a connection, or a pool of them.
type source interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

var (
	_ source = (*sql.DB)(nil)
	_ source = (*sql.Conn)(nil)
)

// statements runs SQL on a source and prepares each text once.
type statements struct {
	on source
	mu sync.RWMutex
	by map[string]*sql.Stmt
}

func newStatements(on source) *statements {
	return &statements{on: on, by: make(map[string]*sql.Stmt)}
}

func (s *statements) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	stmt, err := s.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return s.on.ExecContext(ctx, query, args...)
	}
	return stmt.ExecContext(ctx, args...)
}

func (s *statements) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	stmt, err := s.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return s.on.QueryContext(ctx, query, args...)
	}
	return stmt.QueryContext(ctx, args...)
}

// prepared gives the statement of a text, nil when the cache is full. It
// prepares outside the lock, because a pool may have to wait for a connection.
func (s *statements) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.RLock()
	stmt, full := s.by[query], len(s.by) >= maxStatements
	s.mu.RUnlock()
	if stmt != nil || full {
		return stmt, nil
	}
	fresh, err := s.on.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt := s.by[query]; stmt != nil { // another caller was faster
		return stmt, fresh.Close()
	}
	s.by[query] = fresh
	return fresh, nil
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stmt := range s.by {
		_ = stmt.Close() // its connection is about to be closed, which reports
	}
	clear(s.by)
}

// isSelect tells the statements that surely write nothing. A WITH may write.
func isSelect(query string) bool {
	query = strings.TrimLeft(query, " \t\r\n")
	return len(query) > 6 && strings.EqualFold(query[:6], "SELECT")
}

// checkArgs refuses the types that the two engines store differently.
func checkArgs(args []any) error {
	for i, arg := range args {
		switch arg.(type) {
		case time.Time, *time.Time:
			return fmt.Errorf("sqldb: argument $%d is a time; pass t.UnixMicro() for a BIGINT column", i+1)
		case bool, *bool:
			return fmt.Errorf("sqldb: argument $%d is a bool; pass 0 or 1 for a BIGINT column", i+1)
		}
	}
	return nil
}
