package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"golang.org/x/mod/sumdb/note"

	"clinsource/internal/auditlog"
	"clinsource/internal/sqldb"
)

// Config is how a service's log is signed and kept.
type Config struct {
	// KeyFile holds the private key that signs checkpoints. It is read again at each
	// of them, so that a key can be changed under a running service.
	KeyFile string
	// CheckpointDir is where checkpoints are written to beside the database: mount a
	// folder of another machine there.
	CheckpointDir string
	// Every is how often a checkpoint is made while there is something new.
	Every time.Duration `json:",default=5s"`
}

// longest is the longest time between checkpoints: what lies between two of them
// is not proven yet.
const longest = 5 * time.Minute

// Check says what is wrong with it.
func (c Config) Check() error {
	if c.Every < time.Second || c.Every > longest {
		return fmt.Errorf("Audit.Every is %v and must be from 1s to %v", c.Every, longest)
	}
	if c.CheckpointDir == "" {
		return errors.New("Audit.CheckpointDir is missing: name a folder for checkpoints, best one on another machine")
	}
	_, err := c.signer()
	return err
}

func (c Config) signer() (note.Signer, error) {
	text, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("Audit.KeyFile: %w; clinctl certs makes one for development, certs/README.md says how for production", err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("Audit.KeyFile: %s is no private audit key", c.KeyFile) // Not what it holds.
	}
	return signer, nil
}

// Log is the log of one service's database. Every process that has the database
// open keeps it going; who is first with a checkpoint has made it for all.
type Log struct {
	db      *sqldb.DB
	service string
	config  Config
	files   files

	sealing sync.Mutex
	signer  note.Signer // The last that could be read.

	stop    func()
	sealEnd func() error // The last checkpoint, when nobody writes any more.
	done    chan struct{}
}

// Open begins to keep the log: at once, then every few seconds while there is
// something new, and once more at Close. service is the database's name.
func Open(ctx context.Context, db *sqldb.DB, service string, c Config) (*Log, error) {
	signer, err := c.signer()
	if err != nil {
		return nil, err
	}
	l := &Log{db: db, service: service, config: c, signer: signer, files: files{dir: c.CheckpointDir, service: service}, done: make(chan struct{})}
	always := context.WithoutCancel(ctx)
	l.sealEnd = func() error { return l.Seal(always) }
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
	tick := time.NewTicker(l.config.Every)
	defer tick.Stop()
	for {
		if err := l.Seal(ctx); err != nil && ctx.Err() == nil {
			logx.Errorw("the audit log could not be sealed", logx.Field("db", l.service), logx.Field("cause", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
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

// sign signs with the key that the file holds now, or, if it cannot be read, with
// the one before: a rotation that goes wrong must not stop the log.
func (l *Log) sign(c *auditlog.Checkpoint) (string, error) {
	signer, err := l.config.signer()
	if err != nil {
		sealErrors.WithLabelValues(l.service).Inc()
		logx.Errorw("the audit key cannot be read; the one before signs", logx.Field("db", l.service), logx.Field("cause", err.Error()))
	} else {
		l.signer = signer
	}
	return c.Sign(l.signer)
}
