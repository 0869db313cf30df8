package auditlog

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// KeyName is the name under which audit keys sign.
const KeyName = "clinsource-audit"

// Head is how far one lane had come.
type Head struct {
	Lane, Size int64
	Root       tlog.Hash
}

// Checkpoint is what is signed: the heads of all lanes of one service's log, and
// the checkpoint before. Its text is that of golang.org/x/mod/sumdb/note.
type Checkpoint struct {
	Service  string // vitals, dicom, epro, subject.
	Log      string // Random, made with the log: another database of the same service has another.
	Seq      int64  // From 1.
	At       time.Time
	Previous string // NoteHash of the checkpoint before; empty for the first.
	Heads    []Head // By lane.
}

const firstOfAll = "none"

func (c *Checkpoint) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "clinsource audit %s\nlog %s\ncheckpoint %d\ntime %s\nprevious %s\n", c.Service, c.Log, c.Seq,
		c.At.UTC().Format(time.RFC3339Nano), orWord(c.Previous))
	for _, h := range c.Heads {
		fmt.Fprintf(&b, "lane %d %d %s\n", h.Lane, h.Size, h.Root)
	}
	return b.String()
}

func orWord(previous string) string {
	if previous == "" {
		return firstOfAll
	}
	return previous
}

// Sign gives the checkpoint's signed note.
func (c *Checkpoint) Sign(signer note.Signer) (string, error) {
	signed, err := note.Sign(&note.Note{Text: c.text()}, signer)
	return string(signed), err
}

// NoteHash is what the next checkpoint says of this one.
func NoteHash(signed string) string {
	sum := sha256.Sum256([]byte(signed))
	return base64.StdEncoding.EncodeToString(sum[:])
}

var errNotCheckpoint = errors.New("this is not the text of a checkpoint")

// OpenCheckpoint reads a signed note of which one of the keys has signed.
func OpenCheckpoint(signed string, keys note.Verifiers) (Checkpoint, error) {
	n, err := note.Open([]byte(signed), keys)
	if err != nil {
		return Checkpoint{}, err
	}
	return parseCheckpoint(n.Text)
}

// ReadCheckpoint reads a note without asking who signed it.
func ReadCheckpoint(signed string) (Checkpoint, error) {
	text, _, found := strings.Cut(signed, "\n\n")
	if !found {
		return Checkpoint{}, errNotCheckpoint
	}
	return parseCheckpoint(text + "\n")
}

func parseCheckpoint(text string) (c Checkpoint, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	names := []string{"clinsource audit ", "log ", "checkpoint ", "time ", "previous "}
	if len(lines) < len(names) {
		return c, errNotCheckpoint
	}
	values := make([]string, len(names))
	for i, name := range names {
		value, found := strings.CutPrefix(lines[i], name)
		if !found {
			return c, errNotCheckpoint
		}
		values[i] = value
	}
	c.Service, c.Log, c.Previous = values[0], values[1], values[4]
	if c.Previous == firstOfAll {
		c.Previous = ""
	}
	var errSeq, errAt error
	c.Seq, errSeq = strconv.ParseInt(values[2], 10, 64)
	c.At, errAt = time.Parse(time.RFC3339Nano, values[3])
	if err := errors.Join(errSeq, errAt); err != nil {
		return c, errNotCheckpoint
	}
	for _, text := range lines[len(names):] {
		h, err := parseHead(text)
		if err != nil || len(c.Heads) > 0 && c.Heads[len(c.Heads)-1].Lane >= h.Lane {
			return c, errNotCheckpoint
		}
		c.Heads = append(c.Heads, h)
	}
	return c, nil
}

func parseHead(text string) (h Head, err error) {
	parts := strings.Split(text, " ")
	if len(parts) != 4 || parts[0] != "lane" {
		return h, errNotCheckpoint
	}
	var errLane, errSize error
	h.Lane, errLane = strconv.ParseInt(parts[1], 10, 64)
	h.Size, errSize = strconv.ParseInt(parts[2], 10, 64)
	h.Root, err = tlog.ParseHash(parts[3])
	return h, errors.Join(errLane, errSize, err)
}

// Head gives the head of a lane; a lane that is not listed is empty.
func (c *Checkpoint) Head(lane int64) Head {
	for _, h := range c.Heads {
		if h.Lane == lane {
			return h
		}
	}
	return Head{Lane: lane, Root: (&Tree{}).Root()}
}

// NewKey makes a pair of keys as they stand in files: one line each.
func NewKey() (private, public string, err error) { return note.GenerateKey(rand.Reader, KeyName) }

// Keys reads public keys, one a line; a line that begins with # is a remark. An
// auditor lists all that ever signed.
func Keys(text string) (note.Verifiers, error) {
	var keys []note.Verifier
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || seen[line] {
			continue
		}
		seen[line] = true
		key, err := note.NewVerifier(line)
		if err != nil {
			return nil, fmt.Errorf("line %q is no public audit key", line)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no public audit key")
	}
	return note.VerifierList(keys...), nil
}
