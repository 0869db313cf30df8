package auditlog

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
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
	_, err := c.Signer()
	return err
}

// Signer reads the key.
func (c Config) Signer() (note.Signer, error) {
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
