package vitalsign

import (
	"fmt"
	"strings"
)

// inForce is the table of signs and the table of limits, joined once when the
// process starts, so that judging parses nothing but the readings. A mistake
// in either table stops the process: it is a mistake in this package, and its
// tests find it first.
var inForce = mustLoad()

func mustLoad() *ruleset {
	rules, err := load(signs, limitsTSV)
	if err != nil {
		panic("vitalsign: " + err.Error())
	}
	return rules
}

// RuleVersion is the version of the rules and limits in force, as findings
// carry it.
func RuleVersion() string { return inForce.version }

// ruleset is everything that Judge needs to know. It never changes.
type ruleset struct {
	version string
	signs   []*compiledSign
	fields  map[string]*field // by path
	names   []string          // of the signs
	pulse   *span

	messageRecordEmpty, messageFieldUnknown, messagePulsePressure string
}

func load(table []Sign, limitsText string) (*ruleset, error) {
	version, limitTable, err := parseLimits(limitsText, limitCodes(table))
	if err != nil {
		return nil, err
	}
	rules := &ruleset{version: version, fields: map[string]*field{}, pulse: limitTable[pulsePressure].query}
	for i := range table {
		s, err := compileSign(&table[i], limitTable)
		if err != nil {
			return nil, fmt.Errorf("sign %s: %w", table[i].Name, err)
		}
		rules.signs = append(rules.signs, s)
		rules.names = append(rules.names, s.Name)
		for _, f := range s.fields {
			rules.fields[f.path] = f
		}
	}
	names := strings.Join(rules.names, ", ")
	rules.messageRecordEmpty = "no measurement at all; send at least one of " + names
	rules.messageFieldUnknown = "no vital sign has this field; the signs are " + names
	rules.messagePulsePressure = "the difference of systolic and diastolic is outside the usual " +
		rules.pulse.low.Text('f') + " to " + rules.pulse.high.Text('f') + " mm[Hg]" + confirm
	return rules, nil
}
