package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// The states that the report knows.
const (
	stateStored  = "stored"
	stateThere   = "there already"
	stateSkipped = "skipped"
	stateFailed  = "NOT STORED"
)

func (u uploaded) state() string {
	switch {
	case u.err != nil:
		return stateFailed
	case u.skip:
		return stateSkipped
	case !u.image.Created:
		return stateThere
	}
	return stateStored
}

// report tells what became of the files: a table at the end, with the sentences
// below it, or JSON as it comes.
type report struct {
	out, notes io.Writer
	asJSON     bool
}

func reportTo(out, notes io.Writer, asJSON bool) report { return report{out, notes, asJSON} }

// each hears of one file as it ends.
func (r report) each(u uploaded) {
	if r.asJSON {
		r.json(u.json())
	}
}

func (r report) json(v any) { _ = json.NewEncoder(r.out).Encode(v) }

// end tells of all, and gives an error unless each is stored or was skipped.
func (r report) end(results []uploaded, took time.Duration) error {
	if r.asJSON {
		r.json(map[string]any{"summary": summaryOf(results, took)})
	} else {
		table(r.out, results)
		sentences(r.notes, results)
	}
	failed := 0
	for _, u := range results {
		if u.err != nil {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d files were not stored", failed, len(results))
	}
	return nil
}

func table(w io.Writer, results []uploaded) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "FILE\tBYTES\tRESULT\tIMAGE ID\tFINDINGS")
	for _, u := range results {
		result := u.state()
		switch {
		case u.err != nil:
			result += ": " + briefly(u.err)
		case u.skip:
			result += ": no DICOM"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", u.path, u.size, result, u.image.ImageID, strings.Join(u.image.Findings, ", "))
	}
	_ = t.Flush()
}

// briefly gives an error in a few words: status, reason and rules of a refusal.
func briefly(err error) string {
	var p *problem
	var unreachable *url.Error
	switch {
	case errors.As(err, &p):
		words := []string{fmt.Sprint(p.Status), p.Reason}
		return strings.Join(append(words, p.rules()...), " ")
	case errors.As(err, &unreachable):
		return "no connection"
	}
	return err.Error()
}

// sentences says in full what the table only names.
func sentences(w io.Writer, results []uploaded) {
	for _, u := range results {
		if u.err != nil && briefly(u.err) != u.err.Error() {
			fmt.Fprintf(w, "%s: %v\n", u.path, u.err)
		}
	}
}

// rules gives the rules that a refusal names, each once.
func (p *problem) rules() []string {
	var rules []string
	for _, e := range p.Errors {
		if e.Rule != "" && !slices.Contains(rules, e.Rule) {
			rules = append(rules, e.Rule)
		}
	}
	return rules
}

// fileJSON is one file in the JSON report.
type fileJSON struct {
	File         string       `json:"file"`
	State        string       `json:"state"` // stored, there_already, skipped, not_stored.
	Bytes        int64        `json:"bytes"`
	BytesThere   int64        `json:"bytes_there"` // Of an earlier run, not sent again.
	BytesSent    int64        `json:"bytes_sent"`
	ImageID      string       `json:"image_id,omitempty"`
	Sha256       string       `json:"sha256,omitempty"`
	FindingRules []string     `json:"findings,omitempty"`
	Error        *refusalJSON `json:"error,omitempty"`
}

type refusalJSON struct {
	Status    int      `json:"status,omitempty"` // HTTP; absent where no answer came.
	Reason    string   `json:"reason,omitempty"`
	Rules     []string `json:"rules,omitempty"`
	Message   string   `json:"message"`
	RequestID string   `json:"request_id,omitempty"`
}

func (u uploaded) json() fileJSON {
	out := fileJSON{File: u.path, State: stateJSON(u.state()), Bytes: u.size, BytesThere: u.resumed, BytesSent: u.sent,
		ImageID: u.image.ImageID, Sha256: u.image.Sha256, FindingRules: u.image.Findings}
	if u.err != nil {
		out.Error = &refusalJSON{Message: u.err.Error()}
		var p *problem
		if errors.As(u.err, &p) {
			out.Error = &refusalJSON{Status: p.Status, Reason: p.Reason, Rules: p.rules(), Message: p.Detail, RequestID: p.RequestID}
		}
	}
	return out
}

func stateJSON(state string) string { return strings.ReplaceAll(strings.ToLower(state), " ", "_") }

// summaryJSON is all files in the JSON report.
type summaryJSON struct {
	Files        int     `json:"files"`
	Stored       int     `json:"stored"`
	ThereAlready int     `json:"there_already"`
	Skipped      int     `json:"skipped"`
	NotStored    int     `json:"not_stored"`
	Bytes        int64   `json:"bytes"`
	BytesSent    int64   `json:"bytes_sent"`
	Seconds      float64 `json:"seconds"`
}

func summaryOf(results []uploaded, took time.Duration) summaryJSON {
	s := summaryJSON{Files: len(results), Seconds: took.Seconds()}
	counts := map[string]*int{stateStored: &s.Stored, stateThere: &s.ThereAlready, stateSkipped: &s.Skipped, stateFailed: &s.NotStored}
	for _, u := range results {
		*counts[u.state()]++
		s.BytesSent += u.sent
		if !u.skip {
			s.Bytes += u.size
		}
	}
	return s
}
