package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
)

// Grant is a grant, and its revocation if there is one.
type Grant struct {
	ID, Issuer, Sub string
	auth.Grant
	By        string // The sub of who granted it.
	Granted   time.Time
	RevokedBy string
	Revoked   time.Time // Zero while it is in force.
	Disabled  bool      // The account is, now.
	Reason    string    // Why emergency access was taken.
}

// AccountState is what an account was put in last; the zero one is enabled.
type AccountState struct {
	Sub      string
	Version  int32
	Disabled bool
	Reason   string
	By       string
	At       time.Time
}

const grantColumns = `g.grant_id, g.issuer, g.sub, g.role, g.project_id, g.sites, g.patient_id, g.by_sub, g.at_us, g.until_us, g.reason,
 COALESCE(r.by_sub, ''), COALESCE(r.at_us, 0), COALESCE((SELECT s.disabled FROM account_states s
   WHERE s.sub = g.sub ORDER BY s.version DESC LIMIT 1), 0)`

const grantRows = ` FROM grants g LEFT JOIN grants r ON r.grant_id = g.grant_id AND r.version = 2 WHERE g.version = 1`

// standing keeps the grants that are in force.
const standing = ` AND r.grant_id IS NULL`

func scanGrant(row scanner) (Grant, error) {
	var g Grant
	var role, sites string
	var granted, until, revoked, disabled int64
	err := row.Scan(&g.ID, &g.Issuer, &g.Sub, &role, &g.Project, &sites, &g.Patient, &g.By, &granted, &until, &g.Reason, &g.RevokedBy, &revoked, &disabled)
	g.Role, g.Granted, g.Disabled = auth.Role(role), time.UnixMicro(granted).UTC(), disabled == 1
	if sites != "" {
		g.Sites = strings.Split(sites, ",")
	}
	if until != 0 {
		g.Until = time.UnixMicro(until).UTC()
	}
	if revoked != 0 {
		g.Revoked = time.UnixMicro(revoked).UTC()
	}
	return g, err
}

// joined is a list of sites as it is stored: sorted, each once.
func joined(sites []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(sites))), ",")
}

// accessKey orders all changes of who may do what: each rests on the others, and
// they are few.
const accessKey = "access"

// CreateGrant writes the grant unless one with the same content is in force.
func (s *Store) CreateGrant(ctx context.Context, g Grant, role auth.Role) (Grant, Outcome, error) {
	id, err := uuid.NewV7() // Sorts by time.
	if err != nil {
		return Grant{}, 0, err
	}
	g.ID, g.By, g.Granted = id.String(), auth.UserFrom(ctx).Subject, now()
	return write(ctx, s.db, func(tx *sqldb.Tx) (Grant, Outcome, error) {
		if out, err := missingFor(ctx, tx, g.Grant); err != nil || out != Created {
			return g, out, err
		}
		same, err := scanGrant(tx.QueryRow(ctx, `SELECT `+grantColumns+grantRows+standing+
			` AND g.sub = $1 AND g.issuer = $2 AND g.role = $3 AND g.project_id = $4 AND g.sites = $5 AND g.patient_id = $6 ORDER BY g.grant_id LIMIT 1`,
			g.Sub, g.Issuer, string(g.Role), g.Project, joined(g.Sites), g.Patient))
		if err == nil || !errors.Is(err, sql.ErrNoRows) {
			return same, Same, err
		}
		return g, Created, s.appendGrant(ctx, tx, g, 1, g.Granted, "grant", role)
	}, sqldb.Key(accessKey))
}

// TakeEmergency lets the caller read the whole project for a time, unless they may
// already.
func (s *Store) TakeEmergency(ctx context.Context, projectID, reason string, lasts time.Duration, role auth.Role) (Grant, Outcome, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Grant{}, 0, err
	}
	by, at := auth.UserFrom(ctx), now()
	g := Grant{ID: id.String(), Issuer: by.Issuer, Sub: by.Subject, By: by.Subject, Granted: at, Reason: reason,
		Grant: auth.Grant{Role: auth.Emergency, Project: projectID, Until: at.Add(lasts)}}
	return write(ctx, s.db, func(tx *sqldb.Tx) (Grant, Outcome, error) {
		if out, err := missingFor(ctx, tx, g.Grant); err != nil || out != Created {
			return g, out, err
		}
		same, err := scanGrant(tx.QueryRow(ctx, `SELECT `+grantColumns+grantRows+standing+
			` AND g.sub = $1 AND g.issuer = $2 AND g.role = $3 AND g.project_id = $4 AND g.until_us > $5 ORDER BY g.grant_id LIMIT 1`,
			g.Sub, g.Issuer, string(g.Role), g.Project, at.UnixMicro()))
		if err == nil || !errors.Is(err, sql.ErrNoRows) {
			return same, Same, err
		}
		return g, Created, s.appendGrant(ctx, tx, g, 1, at, "emergency", role)
	}, sqldb.Key(accessKey))
}

// missingFor says what a grant names and there is not; Created if nothing.
func missingFor(ctx context.Context, tx *sqldb.Tx, g auth.Grant) (Outcome, error) {
	if g.Project == "" {
		return Created, nil
	}
	if _, err := project(ctx, tx, g.Project); errors.Is(err, sql.ErrNoRows) {
		return NoProject, nil
	} else if err != nil {
		return 0, err
	}
	for _, site := range g.Sites {
		var one int64
		err := tx.QueryRow(ctx, `SELECT 1 FROM sites WHERE project_id = $1 AND site_id = $2`, g.Project, site).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return NoSite, nil
		}
		if err != nil {
			return 0, err
		}
	}
	if g.Patient == "" {
		return Created, nil
	}
	t, err := subject(ctx, tx, g.Patient)
	if errors.Is(err, sql.ErrNoRows) || err == nil && t.Project != g.Project {
		return NoSubject, nil
	}
	return Created, err
}

// appendGrant writes a version of a grant, by the caller, and its audit row.
func (s *Store) appendGrant(ctx context.Context, tx *sqldb.Tx, g Grant, version int32, at time.Time, action string, role auth.Role) error {
	by := auth.UserFrom(ctx)
	var until int64
	if !g.Until.IsZero() {
		until = g.Until.UnixMicro()
	}
	_, err := tx.Exec(ctx, `INSERT INTO grants
 (grant_id, version, issuer, sub, role, project_id, sites, patient_id, by_issuer, by_sub, at_us, until_us, reason)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		g.ID, int64(version), g.Issuer, g.Sub, string(g.Role), g.Project, joined(g.Sites), g.Patient, by.Issuer, by.Subject, at.UnixMicro(), until, g.Reason)
	if err != nil {
		return err
	}
	return audit.Insert(ctx, tx, at, audit.Event{Action: action, Kind: auth.Grants, Role: role, Project: g.Project,
		Patient: g.Patient, Record: g.ID, Version: version})
}

// Grant gives one grant; false if there is none.
func (s *Store) Grant(ctx context.Context, id string) (Grant, bool, error) {
	g, err := grant(ctx, s.db, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Grant{}, false, nil
	}
	return g, err == nil, records.Fault(err)
}

func grant(ctx context.Context, q querier, id string) (Grant, error) {
	return scanGrant(q.QueryRow(ctx, `SELECT `+grantColumns+grantRows+` AND g.grant_id = $1`, id))
}

// RevokeGrant writes the grant's revocation. A caller who would take away their
// own rule over a project, or over all, with nobody left to have it, gets LastAdmin.
func (s *Store) RevokeGrant(ctx context.Context, id string, role auth.Role) (Grant, Outcome, error) {
	at, by := now(), auth.UserFrom(ctx)
	return write(ctx, s.db, func(tx *sqldb.Tx) (Grant, Outcome, error) {
		g, err := grant(ctx, tx, id)
		if err != nil {
			return g, 0, err
		}
		if !g.Revoked.IsZero() {
			return g, Same, nil
		}
		if g.Role == auth.Admin && g.Sub == by.Subject && g.Issuer == by.Issuer {
			if others, err := otherAdmins(ctx, tx, g); err != nil || others == 0 {
				return g, LastAdmin, err
			}
		}
		g.Revoked, g.RevokedBy = at, by.Subject
		return g, Created, s.appendGrant(ctx, tx, g, 2, at, "revoke", role)
	}, sqldb.Key(accessKey))
}

// otherAdmins counts the enabled accounts, other than the grant's, that rule what
// it rules.
func otherAdmins(ctx context.Context, tx *sqldb.Tx, g Grant) (n int64, err error) {
	err = tx.QueryRow(ctx, `SELECT COUNT(*)`+grantRows+standing+` AND g.role = $1 AND (g.project_id = $2 OR g.project_id = '')
 AND NOT (g.sub = $3 AND g.issuer = $4)
 AND COALESCE((SELECT s.disabled FROM account_states s WHERE s.sub = g.sub ORDER BY s.version DESC LIMIT 1), 0) = 0`,
		string(auth.Admin), g.Project, g.Sub, g.Issuer).Scan(&n)
	return n, err
}

// GrantFilter says which grants to list.
type GrantFilter struct {
	All      bool     // Of every project, else:
	Projects []string // of these.
	Sub      string
	Revoked  bool // Also those no longer in force.
}

// Grants lists grants, oldest first.
func (s *Store) Grants(ctx context.Context, which GrantFilter, p page.Request, role auth.Role) ([]Grant, string, error) {
	f := records.NewFilter(after(p))
	if !which.All {
		f.In("g.project_id", which.Projects)
	}
	if which.Sub != "" {
		f.And("g.sub = " + f.Arg(which.Sub))
	}
	if !which.Revoked {
		f.Where += standing
		f.And("(g.until_us = 0 OR g.until_us > " + f.Arg(now().UnixMicro()) + ")")
	}
	limit := f.Arg(int64(p.Limit()))
	rows, err := s.db.Query(ctx, `SELECT `+grantColumns+grantRows+` AND g.grant_id > $1`+f.Where+` ORDER BY g.grant_id LIMIT `+limit, f.Args...)
	list, err := scanGrants(rows, err)
	if err != nil {
		return nil, "", err
	}
	list, next := page.Trim(p, list, func(g Grant) page.Cursor { return page.Cursor{ID: g.ID} })
	e := audit.Event{Action: "list", Kind: auth.Grants, Role: role, Count: len(list)}
	if len(which.Projects) == 1 {
		e.Project = which.Projects[0]
	}
	return list, next, s.Read(ctx, e)
}

func scanGrants(rows *sqldb.Rows, err error) ([]Grant, error) {
	if err != nil {
		return nil, records.Fault(err)
	}
	defer rows.Close()
	var list []Grant
	for rows.Next() {
		g, err := scanGrant(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, records.Fault(rows.Err())
}

// maxGrants bounds what is resolved of one account; nobody has so many.
const maxGrants = 1000

// Account gives what an account may do, by what is stored. It audits nothing: it
// is asked on behalf of every call, which is audited by itself.
func (s *Store) Account(ctx context.Context, issuer, sub string) (auth.Account, error) {
	state, err := accountState(ctx, s.db, sub)
	if err != nil || state.Disabled {
		return auth.Account{Disabled: state.Disabled}, records.Fault(err)
	}
	rows, err := s.db.Query(ctx, `SELECT `+grantColumns+grantRows+standing+` AND g.sub = $1 AND g.issuer = $2
 AND (g.until_us = 0 OR g.until_us > $3) ORDER BY g.grant_id LIMIT $4`, sub, issuer, now().UnixMicro(), int64(maxGrants))
	list, err := scanGrants(rows, err)
	var a auth.Account
	for _, g := range list {
		a.Grants = append(a.Grants, g.Grant)
	}
	return a, err
}

func accountState(ctx context.Context, q querier, sub string) (AccountState, error) {
	state := AccountState{Sub: sub}
	var version, disabled, at int64
	err := q.QueryRow(ctx, `SELECT version, disabled, reason, by_sub, at_us FROM account_states WHERE sub = $1 ORDER BY version DESC LIMIT 1`, sub).
		Scan(&version, &disabled, &state.Reason, &state.By, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return state, nil
	}
	state.Version, state.Disabled, state.At = int32(version), disabled == 1, time.UnixMicro(at).UTC()
	return state, err
}

// SetAccount disables or enables an account, as its next version.
func (s *Store) SetAccount(ctx context.Context, sub string, disabled bool, reason string, role auth.Role) (AccountState, Outcome, error) {
	at, by := now(), auth.UserFrom(ctx)
	return write(ctx, s.db, func(tx *sqldb.Tx) (AccountState, Outcome, error) {
		state, err := accountState(ctx, tx, sub)
		if err != nil || state.Disabled == disabled {
			return state, Same, err
		}
		state = AccountState{Sub: sub, Version: state.Version + 1, Disabled: disabled, Reason: reason, By: by.Subject, At: at}
		flag, action := int64(0), "enable"
		if disabled {
			flag, action = 1, "disable"
		}
		if _, err := tx.Exec(ctx, `INSERT INTO account_states (sub, version, disabled, reason, by_issuer, by_sub, at_us)
 VALUES ($1, $2, $3, $4, $5, $6, $7)`, sub, int64(state.Version), flag, reason, by.Issuer, by.Subject, at.UnixMicro()); err != nil {
			return state, 0, err
		}
		return state, Created, audit.Insert(ctx, tx, at, audit.Event{Action: action, Kind: auth.Accounts, Role: role, Record: sub, Version: state.Version})
	}, sqldb.Key(accessKey))
}
