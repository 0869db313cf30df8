// Package records keeps the records of one kind (vitals, images, reports or
// medication) in a service's database: written exactly once, never overwritten,
// each with its audit row and its counts in one transaction. A service says what
// its record is made of and what else one write must do; everything that all
// kinds share is here, so that who has learnt one service knows them all.
//
// Exactly once: a record is known by the caller's client_record_id, unique in
// the project for ever, or without one by the hash of its content. The same id
// with the same content gives the first record again; other content is
// AlreadyExists. A correction (Amend, Void) is a new version beside the old ones;
// lists, counts and what a service derives (Derived) see the newest version only.
// Where the content itself is the identity (Draft.ByContent: an
// image is its bytes), the same content is the same record under every id.
package records

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/clock"
	"clinsource/internal/fault"
	"clinsource/internal/sqldb"
	recordpb "clinsource/proto/record"
)

// Record is one stored version.
type Record struct {
	Project, Site, Patient string
	ID                     string
	Version                int32
	ClientRecordID         string
	At                     time.Time // When it was measured, authored, begun or received: what lists are ordered by.
	Received               time.Time
	Content                []byte // JSON of what came, as wirejson writes it.
	Findings               []*recordpb.Finding
	Actor                  string // Who made this version.
	Reason                 string // Why, for a correction.
	Voided                 bool   // This version says that the record counts no more.
}

// Change tells in the contract's terms what made the version.
func (r *Record) Change() *recordpb.Change {
	c := &recordpb.Change{Action: recordpb.ChangeAction_CREATED, Actor: r.Actor, Reason: r.Reason}
	switch {
	case r.Voided:
		c.Action = recordpb.ChangeAction_VOIDED
	case r.Version > 1:
		c.Action = recordpb.ChangeAction_AMENDED
	}
	return c
}

// Queried says whether somebody at the site should look at the record.
func (r *Record) Queried() bool {
	for _, f := range r.Findings {
		if f.GetSeverity() == recordpb.Severity_QUERY {
			return true
		}
	}
	return false
}

// Draft is a record to be written. Its ID is made by Put if it is empty, its At
// is the time of receipt if it is zero.
type Draft struct {
	Record
	Hash       string           // Hash of the content that identifies it: see HashOf.
	ByContent  bool             // The hash identifies it even where it has a client_record_id.
	Dated      time.Time        // What a withdrawal is held against when it is rechecked; zero: At.
	Role       auth.Role        // The role that allowed it, for the audit row.
	Unverified bool             // Taken on the registry's last known answer.
	Tallies    map[string]int64 // Named counts to add to.
	Fields     []string         // What a correction changed, for the audit row.
	Keys       []string         // What else Prepare relies on that a record of another site could change: sqldb.Key.
	// Prepare may read in the transaction and add findings before the record is
	// written; it must assign, not append, what a second run would double.
	Prepare func(ctx context.Context, tx *sqldb.Tx, r *Record) error
	// Also is what else the same transaction must do once the record is new.
	Also func(ctx context.Context, tx *sqldb.Tx, r *Record) error
}

// HashOf makes the hash that tells same content from other content.
func HashOf(content ...[]byte) string {
	h := sha256.New()
	for _, part := range content {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // No two lists of parts hash the same bytes.
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Store keeps the records of one kind.
type Store struct {
	db      *sqldb.DB
	kind    auth.Kind
	derived Derived
}

// NewStore makes the store of a kind on a database whose migrations include
// WithSchema.
func NewStore(db *sqldb.DB, kind auth.Kind) *Store { return &Store{db: db, kind: kind} }

// Derived is how a service's own counts and tables follow a record that is
// corrected: made of the stored record, because nobody sends what was before. The
// zero value derives nothing.
type Derived struct {
	// Tallies gives the named counts that the record was added to.
	Tallies func(r *Record) (map[string]int64, error)
	// Forget takes out of the service's own tables what they have of a version that
	// lists no longer show, in its transaction.
	Forget func(ctx context.Context, tx *sqldb.Tx, r *Record) error
}

// Deriving tells the store what the service derives, and gives the store.
func (s *Store) Deriving(d Derived) *Store {
	s.derived = d
	return s
}

// DB gives the database, for what a service keeps beside its records.
func (s *Store) DB() *sqldb.DB { return s.db }

// Put writes the draft, or finds the record that it became before; created says
// which. It answers AlreadyExists if the id holds other content.
func (s *Store) Put(ctx context.Context, d Draft) (stored *Record, created bool, err error) {
	if err := d.complete(ctx); err != nil {
		return nil, false, err
	}
	var out outcome // Not to be looked at after an error: the write may still run then.
	err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
		run, err := s.put(ctx, tx, &d)
		out = run
		return err
	}, d.keys()...)
	switch {
	case errors.Is(err, errNameTaken):
		return nil, false, taken()
	case err != nil:
		return nil, false, Fault(err)
	case out.stored == nil:
		return nil, false, out.taken()
	}
	return out.stored, out.created, nil
}

// Known is Put for a draft whose content may not be written: it gives the record
// that has the content already, nil if there is none.
func (s *Store) Known(ctx context.Context, d Draft) (*Record, error) {
	var out outcome
	known := false
	err := s.db.Write(ctx, func(tx *sqldb.Tx) error {
		out, known = outcome{}, false
		var n int64
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM record_ids WHERE project_id = $1 AND client_key = $2`,
			d.Project, "h:"+d.Hash).Scan(&n); err != nil || n == 0 {
			return err
		}
		run, err := s.put(ctx, tx, &d) // Which finds it, and gives it the draft's name too.
		out, known = run, true
		return err
	}, d.keys()...)
	switch {
	case errors.Is(err, errNameTaken):
		return nil, taken()
	case err == nil && known && out.stored == nil:
		return nil, out.taken()
	case err != nil:
		return nil, Fault(err)
	}
	return out.stored, nil
}

// keys of a write are its site, whose counts and subjects it works on, and for
// an image its id, so that whoever asks for it under RecordKey waits for the end
// of a write that nobody waits for any more.
func (d *Draft) keys() []string {
	keys := append([]string{sqldb.Key("site", d.Project, d.Site)}, d.Keys...)
	if d.ByContent {
		keys = append(keys, RecordKey(d.ID))
	}
	return keys
}

// RecordKey is the key under which Put writes an image's record.
func RecordKey(id string) string { return sqldb.Key("record", id) }

func taken() error {
	return fault.Exists(fault.ReasonIDTaken, "client_record_id is taken by a record with other content; use a new id for new content")
}

// outcome is what one run of a write came to; nothing stored means that the
// name is taken, by a record that was voided or one with other content.
type outcome struct {
	stored  *Record
	created bool
	voided  bool
}

// taken is the refusal of a write that came to nothing.
func (o outcome) taken() error {
	if o.voided {
		return fault.Exists(fault.ReasonIDTaken, "this record was voided; what was voided by mistake is sent under a new client_record_id")
	}
	return taken()
}

func (s *Store) put(ctx context.Context, tx *sqldb.Tx, d *Draft) (outcome, error) {
	held, err := claim(ctx, tx, d)
	if err != nil {
		return outcome{}, err
	}
	if held.fresh {
		r := d.Record
		return outcome{stored: &r, created: true}, s.write(ctx, tx, d, &r)
	}
	if held.hash != d.Hash {
		return outcome{}, nil
	}
	r, err := newest(ctx, tx, d.Project, held.record)
	switch {
	case err != nil:
		return outcome{}, err
	case r.Voided:
		return outcome{voided: true}, nil
	case r.Version > 1: // The first record is the answer, whatever became of it.
		r, err = version(ctx, tx, d.Project, held.record, 1)
	}
	return outcome{stored: r}, err
}

func (d *Draft) complete(ctx context.Context) error {
	if d.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		d.ID = id.String()
	}
	d.Version, d.Received, d.Actor = 1, clock.Now(), auth.UserFrom(ctx).Subject
	if d.At.IsZero() {
		d.At = d.Received
	}
	if d.Dated.IsZero() {
		d.Dated = d.At
	}
	d.At = wholeMicros(d.At)
	return nil
}

// wholeMicros gives a time as it comes back from the database, in whole microseconds,
// so that the first answer and a later one are the same.
func wholeMicros(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }

// held is who holds a name: the record's id, the hash of its content, and
// whether the name was free until now.
type held struct {
	record, hash string
	fresh        bool
}

// claim takes the record's name for this record, or says who holds it.
func claim(ctx context.Context, tx *sqldb.Tx, d *Draft) (held, error) {
	switch {
	case d.ClientRecordID == "":
		return claimName(ctx, tx, d, "h:"+d.Hash, d.ID)
	case d.ByContent:
		return claimBoth(ctx, tx, d)
	default:
		return claimName(ctx, tx, d, "c:"+d.ClientRecordID, d.ID)
	}
}

// errNameTaken undoes the claim of the content when the name turns out to be
// taken after it.
var errNameTaken = errors.New("records: the client_record_id is taken")

// claimBoth takes content and name: the name goes to whoever holds the content.
func claimBoth(ctx context.Context, tx *sqldb.Tx, d *Draft) (held, error) {
	content, err := claimName(ctx, tx, d, "h:"+d.Hash, d.ID)
	if err != nil {
		return held{}, err
	}
	name, err := claimName(ctx, tx, d, "c:"+d.ClientRecordID, content.record)
	if err == nil && name.hash != d.Hash {
		err = errNameTaken
	}
	return content, err
}

// claimName takes one name for the record id, or says who holds it.
func claimName(ctx context.Context, tx *sqldb.Tx, d *Draft, key, id string) (held, error) {
	h := held{hash: d.Hash, fresh: true}
	err := tx.QueryRow(ctx, `INSERT INTO record_ids (project_id, client_key, content_hash, record_id)
 VALUES ($1, $2, $3, $4) ON CONFLICT (project_id, client_key) DO NOTHING RETURNING record_id`,
		d.Project, key, d.Hash, id).Scan(&h.record)
	if !errors.Is(err, sql.ErrNoRows) {
		return h, err
	}
	h.fresh = false
	err = tx.QueryRow(ctx, `SELECT record_id, content_hash FROM record_ids WHERE project_id = $1 AND client_key = $2`,
		d.Project, key).Scan(&h.record, &h.hash)
	return h, err
}

func (s *Store) write(ctx context.Context, tx *sqldb.Tx, d *Draft, r *Record) error {
	if d.Prepare != nil {
		if err := d.Prepare(ctx, tx, r); err != nil {
			return err
		}
	}
	digest, err := insertVersion(ctx, tx, r, "")
	if err != nil {
		return err
	}
	if err := count(ctx, tx, r, d.Tallies); err != nil {
		return err
	}
	if d.Unverified {
		if _, err := tx.Exec(ctx, `INSERT INTO unverified_records
 (project_id, record_id, patient_id, site_id, at_us, failed) VALUES ($1, $2, $3, $4, $5, 0)`,
			r.Project, r.ID, r.Patient, r.Site, d.Dated.UnixMicro()); err != nil {
			return err
		}
	}
	if d.Also != nil {
		if err := d.Also(ctx, tx, r); err != nil {
			return err
		}
	}
	return audit.Insert(ctx, tx, r.Received, audit.Event{
		Action: "create", Kind: s.kind, Role: d.Role, Project: r.Project, Site: r.Site, Patient: r.Patient,
		Record: r.ID, Version: r.Version, Digest: digest,
	})
}

// digest is what the audit row says of a version: the hash of its row as it is
// stored, so that an edited record is found beside an untouched log. Rows from
// before corrections were known have no actor, and their digests none of the last
// parts.
func (r *Record) digest(findings, correctionHash string) string {
	number := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	parts := [][]byte{[]byte(r.Project), []byte(r.ID), number(int64(r.Version)), []byte(r.Site), []byte(r.Patient), []byte(r.ClientRecordID),
		number(r.At.UnixMicro()), number(r.Received.UnixMicro()), r.Content, []byte(findings)}
	if r.Actor != "" || r.Reason != "" || r.Voided || correctionHash != "" {
		parts = append(parts, []byte(r.Actor), []byte(r.Reason), number(r.voided()), []byte(correctionHash))
	}
	return HashOf(parts...)
}

// voided is the column's value.
func (r *Record) voided() int64 {
	if r.Voided {
		return 1
	}
	return 0
}

// insertVersion writes a version and gives its digest; correctionHash is empty for
// the first one.
func insertVersion(ctx context.Context, tx *sqldb.Tx, r *Record, correctionHash string) (digest string, err error) {
	findings, err := encodeFindings(r.Findings)
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, `INSERT INTO records
 (project_id, record_id, version, site_id, patient_id, client_record_id, at_us, received_us, content, findings, actor, reason, voided, correction_hash)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		r.Project, r.ID, int64(r.Version), r.Site, r.Patient, r.ClientRecordID, r.At.UnixMicro(), r.Received.UnixMicro(),
		string(r.Content), findings, r.Actor, r.Reason, r.voided(), correctionHash)
	return r.digest(findings, correctionHash), err
}

const columns = `r.project_id, r.record_id, r.version, r.site_id, r.patient_id, r.client_record_id, r.at_us, r.received_us, r.content, r.findings,
 r.actor, r.reason, r.voided`

func newest(ctx context.Context, tx *sqldb.Tx, project, id string) (*Record, error) {
	return scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM records r
 WHERE r.project_id = $1 AND r.record_id = $2 ORDER BY r.version DESC LIMIT 1`, project, id))
}

func version(ctx context.Context, tx *sqldb.Tx, project, id string, n int32) (*Record, error) {
	return scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM records r
 WHERE r.project_id = $1 AND r.record_id = $2 AND r.version = $3`, project, id, int64(n)))
}

type scanner interface{ Scan(dest ...any) error }

func scan(row scanner, more ...any) (*Record, error) {
	var r Record
	var at, received, voided int64
	var content, findings string
	dest := []any{&r.Project, &r.ID, &r.Version, &r.Site, &r.Patient, &r.ClientRecordID, &at, &received, &content, &findings,
		&r.Actor, &r.Reason, &voided}
	if err := row.Scan(append(dest, more...)...); err != nil {
		return nil, err
	}
	r.Voided = voided == 1
	r.At, r.Received, r.Content = time.UnixMicro(at).UTC(), time.UnixMicro(received).UTC(), []byte(content)
	var err error
	r.Findings, err = decodeFindings(findings)
	return &r, err
}

// Findings are stored as JSON with the names of the contract.
func encodeFindings(fs []*recordpb.Finding) (string, error) {
	if len(fs) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(fs)
	return string(b), err
}

func decodeFindings(text string) ([]*recordpb.Finding, error) {
	if text == "[]" {
		return nil, nil
	}
	var fs []*recordpb.Finding
	err := json.Unmarshal([]byte(text), &fs)
	return fs, err
}

// Fault turns an error of the storage into what a caller may know.
func Fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sqldb.ErrBusy):
		return fault.Exhausted(fault.ReasonOverloaded, "too many writes are waiting; back off and send again", time.Second).Because(err)
	case errors.Is(err, sqldb.ErrOutcomeUnknown):
		f := fault.DeadlineExceeded("it is not known whether the record was stored; send it again with the same client_record_id").Because(err)
		f.Reason = fault.ReasonOutcomeUnknown
		return f
	case sqldb.IsFull(err):
		return fault.Exhausted(fault.ReasonStorageFull, "the storage is full; nothing was stored", time.Minute).Because(err)
	case errors.Is(err, sqldb.ErrAway):
		return fault.Unavailable(fault.ReasonUnavailable, "the database does not answer; nothing was stored, send again", time.Second).Because(err)
	case errors.Is(err, sqldb.ErrClosed):
		return fault.Unavailable(fault.ReasonUnavailable, "the service is stopping; send again", time.Second).Because(err)
	}
	return err
}
