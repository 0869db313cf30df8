package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"golang.org/x/mod/sumdb/note"

	"clinsource/internal/auditlog"
	"clinsource/internal/sqldb"
)

// Log is the log of one service's database. Every process that has the database
// open keeps it going; who is first with a checkpoint has made it for all.
type Log struct {
	db      *sqldb.DB
	service string
	config  auditlog.Config
	files   files

	stored []kindStored

	refusals auditlog.Refusals // Of callers whom nobody knows.

	sealing sync.Mutex
	signer  note.Signer    // The last that could be read.
	broken  map[int64]bool // Lanes that did not lead to their heads at the last look.

	stop    func()
	sealEnd func() error // The last checkpoint, when nobody writes any more.
	done    chan struct{}
}

// Open begins to keep the log: at once, then every few seconds while there is
// something new, and once more at Close. service is the database's name.
func Open(ctx context.Context, db *sqldb.DB, service string, c auditlog.Config) (*Log, error) {
	signer, err := c.Signer()
	if err != nil {
		return nil, err
	}
	l := &Log{db: db, service: service, config: c, signer: signer, files: files{dir: c.CheckpointDir, service: service}, done: make(chan struct{})}
	always := context.WithoutCancel(ctx)
	l.sealEnd = func() error { return errors.Join(l.flushEnd(always), l.Seal(always)) }
	ctx, l.stop = context.WithCancel(always)
	go l.keep(ctx)
	return l, nil
}

// DB gives the database that the log lies in.
func (l *Log) DB() *sqldb.DB { return l.db }

// Service names the service whose log it is.
func (l *Log) Service() string { return l.service }

// sealWithin bounds one pass.
const sealWithin = 30 * time.Second

func (l *Log) keep(ctx context.Context) {
	defer close(l.done)
	tick, flush := time.NewTicker(l.config.Every), time.NewTicker(flushEvery)
	defer tick.Stop()
	defer flush.Stop()
	for {
		if err := l.Seal(ctx); err != nil && ctx.Err() == nil {
			logx.Errorw("the audit log could not be sealed", logx.Field("db", l.service), logx.Field("cause", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-flush.C:
			if err := l.flush(ctx); err != nil {
				logx.Errorw("refusals could not be recorded; they are kept", logx.Field("db", l.service), logx.Field("cause", err.Error()))
			}
		}
	}
}

// Close makes the last checkpoint. Close the database after it.
func (l *Log) Close() error {
	l.stop()
	<-l.done
	return l.sealEnd()
}

// Seal makes a checkpoint of all that is committed, if something is new, and
// writes what its folder lacks.
func (l *Log) Seal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sealWithin)
	defer cancel()
	l.sealing.Lock()
	defer l.sealing.Unlock()
	for {
		more, err := l.sealSome(ctx)
		if err != nil {
			sealErrors.WithLabelValues(l.service).Inc()
			return err
		}
		if !more {
			break
		}
	}
	sealed.WithLabelValues(l.service).SetToCurrentTime()
	if err := l.files.catchUp(ctx, l.db); err != nil {
		sealErrors.WithLabelValues(l.service).Inc()
		return fmt.Errorf("write checkpoints to %s: %w", l.config.CheckpointDir, err)
	}
	written.WithLabelValues(l.service).SetToCurrentTime()
	return nil
}

func (l *Log) brokenNow() map[int64]bool {
	l.sealing.Lock()
	defer l.sealing.Unlock()
	return l.broken
}

// sign signs with the key that the file holds now, or, if it cannot be read, with
// the one before: a rotation that goes wrong must not stop the log.
func (l *Log) sign(c *auditlog.Checkpoint) (string, error) {
	signer, err := l.config.Signer()
	if err != nil {
		sealErrors.WithLabelValues(l.service).Inc()
		logx.Errorw("the audit key cannot be read; the one before signs", logx.Field("db", l.service), logx.Field("cause", err.Error()))
	} else {
		l.signer = signer
	}
	return c.Sign(l.signer)
}
