package audit

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"clinsource/internal/auditlog"
	"clinsource/internal/auth"
	"clinsource/internal/sqldb"
)

// Query selects rows of one project; what is empty selects nothing out.
type Query struct {
	Patient, Actor, Action string
	From, To               time.Time
	Before                 int64 // Rows with a smaller number; 0: all.
	Limit                  int
}

// Found is a row with the number that the next page begins below.
type Found struct {
	auditlog.Row
	Seq int64
}

// where grows a condition with numbered arguments.
type where struct {
	text string
	args []any
}

func (w *where) and(condition string, value any) {
	w.args = append(w.args, value)
	w.text += " AND " + condition + " $" + strconv.Itoa(len(w.args))
}

// within narrows to a scope. Rows about no site in particular are for those who
// see all of them.
func (w *where) within(scope auth.Scope) {
	if scope.Patient != "" {
		w.and("patient_id =", scope.Patient)
	}
	for _, site := range scope.Except {
		w.and("site_id <>", site)
	}
	if scope.AllSites {
		return
	}
	if len(scope.Sites) == 0 {
		w.text += " AND 1 = 0"
		return
	}
	marks := make([]string, len(scope.Sites))
	for i, site := range scope.Sites {
		w.args = append(w.args, site)
		marks[i] = "$" + strconv.Itoa(len(w.args))
	}
	w.text += " AND site_id IN (" + strings.Join(marks, ", ") + ")"
}

// List gives rows of the scope, newest first.
func List(ctx context.Context, db *sqldb.DB, scope auth.Scope, q Query) ([]Found, error) {
	w := &where{args: []any{scope.Project}}
	w.within(scope)
	for _, c := range []struct{ column, value string }{{"patient_id =", q.Patient}, {"actor =", q.Actor}, {"action =", q.Action}} {
		if c.value != "" {
			w.and(c.column, c.value)
		}
	}
	if !q.From.IsZero() {
		w.and("at_us >=", q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		w.and("at_us <", q.To.UnixMicro())
	}
	if q.Before > 0 {
		w.and("seq <", q.Before)
	}
	return listed(ctx, db, w, q.Limit)
}

// Clinical are the kinds of which a subject's data is.
var Clinical = []auth.Kind{auth.Vitals, auth.Images, auth.Reports, auth.Medications, auth.Subjects, auth.Consents}

// Accesses gives who read or changed a subject's data, newest first: the rows that
// name the subject, and the reads of a whole project or site, which had them among
// others. Of q Patient, Before and Limit count.
func Accesses(ctx context.Context, db *sqldb.DB, project, site string, q Query) ([]Found, error) {
	own := &where{args: []any{project}}
	own.and("patient_id =", q.Patient)
	if q.Before > 0 {
		own.and("seq <", q.Before)
	}
	list, err := listed(ctx, db, own, q.Limit)
	if err != nil {
		return nil, err
	}
	wide := &where{args: []any{project, site}, text: " AND patient_id = '' AND site_id IN ('', $2) AND records > 0 AND outcome = ''"}
	marks := make([]string, len(Clinical))
	for i, kind := range Clinical {
		wide.args = append(wide.args, string(kind))
		marks[i] = "$" + strconv.Itoa(len(wide.args))
	}
	if q.Before > 0 {
		wide.and("seq <", q.Before)
	}
	wide.text += " AND kind IN (" + strings.Join(marks, ", ") + ")"
	among, err := listed(ctx, db, wide, q.Limit)
	if err != nil {
		return nil, err
	}
	list = append(list, among...)
	slices.SortStableFunc(list, func(a, b Found) int { return int(b.Seq - a.Seq) })
	return list[:min(q.Limit, len(list))], nil
}

func listed(ctx context.Context, db *sqldb.DB, w *where, limit int) (list []Found, err error) {
	args := append(w.args, int64(limit))
	rows, err := db.Query(ctx, `SELECT `+columns+`, seq FROM audit_events WHERE project_id = $1`+w.text+
		` ORDER BY seq DESC LIMIT $`+strconv.Itoa(len(args)), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var f Found
		if f.Row, err = scan(rows, &f.Seq); err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, rows.Err()
}
