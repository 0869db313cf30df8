package vitalsign

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// limitsTSV holds how far each number may go, in its canonical unit. A value
// below refuse_below or above refuse_above is refused, one below query_below
// or above query_above is queried; the limits themselves are still inside.
// They are engineering judgement for adults, as the status column says, and
// await a physician's signature. The first line names the version that every
// finding carries: raise it with every change.
//
//go:embed limits.tsv
var limitsTSV string

// pulsePressure has limits like a field, but nobody sends it.
const pulsePressure = "blood_pressure.pulse_pressure"

const (
	versionPrefix = "# rule_version: "
	limitsHeader  = "field\tloinc\tucum\trefuse_below\trefuse_above\tquery_below\tquery_above\tpopulation\tstatus"
)

// limits of one field; the refuse limits of what nobody sends are nil.
type limits struct {
	refuse, query *span
}

// span is a closed interval.
type span struct {
	low, high apd.Decimal
}

func (s *span) contains(d *apd.Decimal) bool {
	return s.low.Cmp(d) <= 0 && d.Cmp(&s.high) <= 0
}

// limitCode is what limits.tsv must say about a field besides its limits.
type limitCode struct {
	loinc, ucum string
}

// limitCodes gives the rows that limits.tsv must have for a table of signs.
func limitCodes(table []Sign) map[string]limitCode {
	codes := map[string]limitCode{pulsePressure: {"", "mm[Hg]"}}
	for _, s := range table {
		for _, f := range s.Fields {
			codes[s.Name+"."+f.Name] = limitCode{f.LOINC, s.Units[0].UCUM}
		}
	}
	return codes
}

// parseLimits reads a table of limits strictly: every wanted row once and no
// other, all columns filled, the query limits inside the refuse limits. Errors
// name the line.
func parseLimits(text string, want map[string]limitCode) (version string, table map[string]limits, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	version, found := strings.CutPrefix(lines[0], versionPrefix)
	if !found || strings.TrimSpace(version) == "" || strings.ContainsAny(version, " \t") {
		return "", nil, fmt.Errorf("limits.tsv line 1: must be %q and a version without blanks", versionPrefix)
	}
	if len(lines) < 2 || lines[1] != limitsHeader {
		return "", nil, fmt.Errorf("limits.tsv line 2: the columns must be %s", strings.ReplaceAll(limitsHeader, "\t", " "))
	}
	table = make(map[string]limits, len(want))
	for i, line := range lines[2:] {
		field, l, err := parseLimitRow(line, want)
		if err == nil && table[field] != (limits{}) {
			err = fmt.Errorf("a second row for %s", field)
		}
		if err != nil {
			return "", nil, fmt.Errorf("limits.tsv line %d: %w", i+3, err)
		}
		table[field] = l
	}
	for field := range want {
		if table[field] == (limits{}) {
			return "", nil, fmt.Errorf("limits.tsv: no row for %s", field)
		}
	}
	return version, table, nil
}

func parseLimitRow(line string, want map[string]limitCode) (string, limits, error) {
	var l limits
	cells := strings.Split(line, "\t")
	if n := strings.Count(limitsHeader, "\t") + 1; len(cells) != n {
		return "", l, fmt.Errorf("%d columns instead of %d", len(cells), n)
	}
	field := cells[0]
	code, known := want[field]
	switch {
	case !known:
		return "", l, fmt.Errorf("no sign has a field %q", field)
	case cells[1] != code.loinc || cells[2] != code.ucum:
		return "", l, fmt.Errorf("%s is %q in %q, not %q in %q", field, code.loinc, code.ucum, cells[1], cells[2])
	case cells[7] == "" || cells[8] == "":
		return "", l, fmt.Errorf("%s: population and status must be filled", field)
	}
	var err error
	if l.query, err = parseSpan(cells[5], cells[6]); err != nil {
		return "", l, fmt.Errorf("%s query limits: %w", field, err)
	}
	if field == pulsePressure && cells[3] == "" && cells[4] == "" {
		return field, l, nil // what nobody sends cannot be refused
	}
	if l.refuse, err = parseSpan(cells[3], cells[4]); err != nil {
		return "", l, fmt.Errorf("%s refuse limits: %w", field, err)
	}
	if !l.refuse.contains(&l.query.low) || !l.refuse.contains(&l.query.high) {
		return "", l, fmt.Errorf("%s: the query limits must lie inside the refuse limits", field)
	}
	return field, l, nil
}

func parseSpan(low, high string) (*span, error) {
	s := new(span)
	if err := parseInto(&s.low, low); err != nil {
		return nil, fmt.Errorf("lower: %w", err)
	}
	if err := parseInto(&s.high, high); err != nil {
		return nil, fmt.Errorf("upper: %w", err)
	}
	if s.low.Cmp(&s.high) >= 0 {
		return nil, fmt.Errorf("the lower must be below the upper")
	}
	return s, nil
}
