package sqldb

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clinsource/internal/sqldb/pgtest"
)

// TestOnPostgres runs the tests that hold for every engine on PostgreSQL, with
// one writer, because they hold it to make others queue.
func TestOnPostgres(t *testing.T) {
	pgtest.Shared(t)
	for name, test := range map[string]func(*testing.T){
		"WriteAnswersOnlyAfterCommit":             TestWriteAnswersOnlyAfterCommit,
		"WriteReadsItsOwnWrites":                  TestWriteReadsItsOwnWrites,
		"ConcurrentWritersShareCommits":           TestConcurrentWritersShareCommits,
		"FailingFunctionHarmsNobodyElse":          TestFailingFunctionHarmsNobodyElse,
		"AnswersAreTrue":                          TestAnswersAreTrue,
		"FailuresShareTwoCommits":                 TestFailuresShareTwoCommits,
		"WriteCancelledInTheQueue":                TestWriteCancelledInTheQueue,
		"WriteThatLeftBeforeItsTurnIsNotRun":      TestWriteThatLeftBeforeItsTurnIsNotRun,
		"WriteOutcome":                            TestWriteOutcome,
		"WriteQueueFull":                          TestWriteQueueFull,
		"FailedCommitAnswersTheWholeBatch":        TestFailedCommitAnswersTheWholeBatch,
		"CloseCommitsWhatWaits":                   TestCloseCommitsWhatWaits,
		"StatementsNeedADeadline":                 TestStatementsNeedADeadline,
		"ArgumentsBindByNumber":                   TestArgumentsBindByNumber,
		"ArgumentsThatEnginesStoreDifferently":    TestArgumentsThatEnginesStoreDifferently,
		"TxRefusesWhatPostgreSQLWould":            TestTxRefusesWhatPostgreSQLWould,
		"TxQuery":                                 TestTxQuery,
		"DeadlineEndsASelect":                     TestDeadlineEndsASelect,
		"ReadersCannotWrite":                      TestReadersCannotWrite,
		"WritesOfAKeyRunAloneAndInTheirOrder":     TestWritesOfAKeyRunAloneAndInTheirOrder,
		"WhatWaitsForAKeyLetsOthersPassAndIsNext": TestWhatWaitsForAKeyLetsOthersPassAndIsNext,
	} {
		t.Run(name, test)
	}
}

var (
	schemas     sync.Map // folder -> schema, so that a test can open it again
	schemasMade atomic.Int64
)

// schemaFor migrates the schema that stands for a folder.
func schemaFor(t testing.TB, folder string, migrations fs.FS) *Postgres {
	t.Helper()
	known, there := schemas.Load(filepath.Clean(folder))
	if !there {
		known = fmt.Sprintf("s%d", schemasMade.Add(1))
		schemas.Store(filepath.Clean(folder), known)
	}
	return migrated(t, pgtest.Shared(t), "postgres", known.(string), migrations)
}

// migrated makes or updates a schema, and says how a service gets at it.
func migrated(t testing.TB, server *pgtest.Server, database, schema string, migrations fs.FS) *Postgres {
	t.Helper()
	role := "service_" + schema
	_, err := Migrate(within(t, time.Minute), Migration{
		Owner: Postgres{Url: server.URL(pgtest.Owner, database), Schema: schema}, Role: role, Migrations: migrations,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Postgres{Url: server.URL(role, database), Schema: schema, Writers: 1, Readers: 4}
}
