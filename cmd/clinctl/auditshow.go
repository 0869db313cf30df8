package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// auditRecord is one record as the gateway shows it.
type auditRecord struct {
	Service   string    `json:"service"`
	Lane      int64     `json:"lane"`
	Index     int64     `json:"index"`
	Time      time.Time `json:"time"`
	Actor     string    `json:"actor"`
	Role      string    `json:"role"`
	Peer      string    `json:"peer"`
	Source    string    `json:"source"`
	RequestID string    `json:"request_id"`
	Method    string    `json:"method"`
	Action    string    `json:"action"`
	Kind      string    `json:"kind"`
	Project   string    `json:"project_id"`
	Site      string    `json:"site_id"`
	Patient   string    `json:"patient_id"`
	Record    string    `json:"record_id"`
	Version   int32     `json:"version"`
	Records   int64     `json:"records"`
	Fields    []string  `json:"fields"`
	Digest    string    `json:"digest"`
	Outcome   string    `json:"outcome"`
	Changes   []change  `json:"changes,omitempty"`
}

// change is one field of an amendment, before and after.
type change struct {
	Field string `json:"field"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

// auditShow lists records of a project, newest first, of all services together.
func auditShow(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("audit show", flag.ContinueOnError)
	connect := gatewayFlags(flags)
	project := flags.String("project", "", "the project (required)")
	filter := url.Values{}
	for _, f := range []struct{ flag, parameter, help string }{
		{"subject", "patient_id", "only about this subject"}, {"actor", "actor", "only by this actor"}, {"action", "action", "only this action"},
		{"from", "from", "only at or after this time (RFC 3339)"}, {"to", "to", "only before this time (RFC 3339)"},
	} {
		flags.Func(f.flag, f.help, func(v string) error { filter.Set(f.parameter, v); return nil })
	}
	service := flags.String("service", "", "only this service's log: "+strings.Join(logged, ", "))
	limit := flags.Int("limit", 100, "at most so many, of each service")
	format := flags.String("format", "text", "text, csv or json (one object a line)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	write, ok := auditFormats[*format]
	switch {
	case *project == "":
		return errors.New("--project is required")
	case !ok:
		return fmt.Errorf("--format %q is none of text, csv, json", *format)
	case *limit < 1:
		return errors.New("--limit must be positive")
	}
	services, err := showServices(*service)
	if err != nil {
		return err
	}
	g, err := auditGateway(ctx, connect, *project)
	if err != nil {
		return err
	}
	var all []auditRecord
	for _, s := range services {
		some, err := g.records(ctx, "/v1/projects/"+url.PathEscape(*project)+"/audit/"+s, filter, *limit)
		if err != nil {
			return fmt.Errorf("the log of %s: %w", s, err)
		}
		all = append(all, some...)
	}
	slices.SortStableFunc(all, func(a, b auditRecord) int { return b.Time.Compare(a.Time) })
	for i := range all {
		g.sideBySide(ctx, &all[i])
	}
	return write(os.Stdout, all)
}

func (g *gateway) records(ctx context.Context, path string, filter url.Values, limit int) (all []auditRecord, err error) {
	query := url.Values{}
	for name, values := range filter {
		query[name] = values
	}
	for len(all) < limit {
		query.Set("page_size", strconv.Itoa(min(1000, limit-len(all))))
		var page struct {
			Records []auditRecord `json:"records"`
			Next    string        `json:"next_page_token"`
		}
		if err := g.get(ctx, path+"?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Records...)
		if page.Next == "" {
			break
		}
		query.Set("page_token", page.Next)
	}
	return all, nil
}

// sideBySide fetches what an amendment changed, old and new, where versions are to be
// had: from the list of versions, which is itself recorded. Without it the record says
// the paths.
func (g *gateway) sideBySide(ctx context.Context, r *auditRecord) {
	if r.Action != "amend" || r.Patient == "" || r.Version < 2 {
		return
	}
	var page struct {
		Versions []map[string]any `json:"versions"`
	}
	path := "/v1/projects/" + url.PathEscape(r.Project) + "/subjects/" + url.PathEscape(r.Patient) + "/" + r.Kind + "/" + url.PathEscape(r.Record) + "/versions?page_size=1000"
	if g.get(ctx, path, &page) != nil {
		return
	}
	before, after := versionOf(page.Versions, r.Version-1), versionOf(page.Versions, r.Version)
	if before == nil || after == nil {
		return
	}
	for _, field := range r.Fields {
		r.Changes = append(r.Changes, change{field, valueAt(before, field), valueAt(after, field)})
	}
}

func versionOf(versions []map[string]any, number int32) map[string]any {
	for _, v := range versions {
		if n, ok := v["version"].(float64); ok && int32(n) == number {
			return v
		}
	}
	return nil
}

// valueAt gives what stands at a path like "blood_pressure.systolic".
func valueAt(v any, path string) string {
	for _, name := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[name]
	}
	if v == nil {
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return strings.Trim(string(text), `"`)
}

var auditFormats = map[string]func(w io.Writer, all []auditRecord) error{"text": auditText, "csv": auditCSV, "json": auditJSON}

func (r *auditRecord) changes() string {
	if len(r.Changes) == 0 {
		return strings.Join(r.Fields, ", ")
	}
	parts := make([]string, len(r.Changes))
	for i, c := range r.Changes {
		parts[i] = fmt.Sprintf("%s: %s -> %s", c.Field, cmp.Or(c.Old, "-"), cmp.Or(c.New, "-"))
	}
	return strings.Join(parts, ", ")
}

func auditText(w io.Writer, all []auditRecord) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "TIME\tSERVICE\tWHO\tROLE\tBY\tACTION\tKIND\tSITE\tSUBJECT\tRECORD\tVERSION\tRECORDS\tOUTCOME\tREQUEST\tCHANGES")
	for _, r := range all {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), r.Service, r.Actor, r.Role,
			cmp.Or(r.Source, r.Peer), r.Action, r.Kind, r.Site, r.Patient, r.Record, r.Version, r.Records, r.Outcome, r.RequestID, r.changes())
	}
	return out.Flush()
}

func auditCSV(w io.Writer, all []auditRecord) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"time", "service", "lane", "index", "actor", "role", "peer", "source", "request_id", "method", "action", "kind", "project_id", "site_id",
		"patient_id", "record_id", "version", "records", "outcome", "digest", "fields", "changes"}}
	for _, r := range all {
		rows = append(rows, []string{r.Time.UTC().Format(time.RFC3339Nano), r.Service, strconv.FormatInt(r.Lane, 10), strconv.FormatInt(r.Index, 10), r.Actor, r.Role,
			r.Peer, r.Source, r.RequestID, r.Method, r.Action, r.Kind, r.Project, r.Site, r.Patient, r.Record, strconv.Itoa(int(r.Version)),
			strconv.FormatInt(r.Records, 10), r.Outcome, r.Digest, strings.Join(r.Fields, " "), r.changes()})
	}
	for _, row := range rows { // A spreadsheet must not run what a caller has named.
		for i, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				row[i] = "'" + cell
			}
		}
	}
	return out.WriteAll(rows)
}

func auditJSON(w io.Writer, all []auditRecord) error {
	out := json.NewEncoder(w)
	for i := range all {
		if err := out.Encode(&all[i]); err != nil {
			return err
		}
	}
	return nil
}
