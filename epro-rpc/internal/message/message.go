// Package message turns the contract's messages into the terms of the rules and of
// the store, and back: what a request says, what is stored of it, what lists show,
// and what is derived from a stored report.
package message

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/epro-rpc/report"
	"clinsource/internal/merge"
	"clinsource/internal/records"
	"clinsource/internal/wirejson"
	epropb "clinsource/proto/epro"
)

const (
	// tallyPrefix begins the names of the counts per questionnaire.
	tallyPrefix = "questionnaire:"
	// maxQuestionnaires bounds a summary's counts per questionnaire.
	maxQuestionnaires = 100
)

// ReportOf gives the request in the rules' terms.
func ReportOf(in *epropb.SubmitReportRequest) report.Report {
	r := report.Report{HasTime: in.GetAuthoredTime() != nil}
	if r.HasTime {
		r.AuthoredAt = in.GetAuthoredTime().AsTime()
	}
	for _, a := range in.GetAnswers() {
		r.Answers = append(r.Answers, answerOf(a))
	}
	return r
}

func answerOf(a *epropb.Answer) report.Answer {
	out := report.Answer{LinkID: a.GetLinkId()}
	switch v := a.GetValue().(type) {
	case *epropb.Answer_BooleanValue:
		out.Kind, out.Value = report.Boolean, strconv.FormatBool(v.BooleanValue)
	case *epropb.Answer_IntegerValue:
		out.Kind, out.Value = report.Integer, a.GetIntegerValueEntered()
	case *epropb.Answer_DecimalValue:
		out.Kind, out.Value = report.Decimal, a.GetDecimalValueEntered()
	case *epropb.Answer_TextValue:
		out.Kind, out.Value = report.Text, v.TextValue
	case *epropb.Answer_CodingValue:
		c := v.CodingValue
		out.Kind, out.Coding = report.Choice, report.Coding{System: c.GetSystem(), Code: c.GetCode(), Display: c.GetDisplay()}
	case *epropb.Answer_DateValue:
		out.Kind, out.Value = report.Date, v.DateValue
	}
	return out
}

// RecordOf makes the record of a request: its fields as they came.
func RecordOf(in *epropb.SubmitReportRequest) *epropb.Report {
	return &epropb.Report{
		PatientId: in.GetPatientId(), QuestionnaireId: in.GetQuestionnaireId(), QuestionnaireVersion: in.GetQuestionnaireVersion(),
		AuthoredTime: in.GetAuthoredTime(), SourceTimeText: in.GetSourceTimeText(), Answers: in.GetAnswers(),
	}
}

// RecordOut gives a stored record in the contract's terms.
func RecordOut(r *records.Record) (*epropb.Report, error) {
	out := &epropb.Report{}
	if bad := wirejson.Decode(r.Content, out); bad != nil {
		return nil, fmt.Errorf("stored record %s cannot be read: %s", r.ID, bad[0].Rule)
	}
	out.ProjectId, out.SiteId, out.RecordId, out.Version = r.Project, r.Site, r.ID, r.Version
	out.ClientRecordId, out.ReceivedTime, out.Findings, out.Change = r.ClientRecordID, timestamppb.New(r.Received), r.Findings, r.Change()
	return out, nil
}

// Questionnaires picks the counts per questionnaire out of all tallies: if there
// are too many, the most frequent ones, by id where they are equal.
func Questionnaires(tallies map[string]int64) map[string]int64 {
	type count struct {
		id string
		n  int64
	}
	var counts []count
	for name, n := range tallies {
		if id, ok := strings.CutPrefix(name, tallyPrefix); ok {
			counts = append(counts, count{id, n})
		}
	}
	slices.SortFunc(counts, func(a, b count) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.id, b.id)) })
	out := map[string]int64{}
	for _, c := range counts[:min(len(counts), maxQuestionnaires)] {
		out[c.id] = c.n
	}
	return out
}

// Request gives a stored report as the request that it would have come as.
func Request(r *records.Record) (*epropb.SubmitReportRequest, error) {
	stored, err := RecordOut(r)
	if err != nil {
		return nil, err
	}
	in := &epropb.SubmitReportRequest{}
	merge.Carry(in, stored)
	return in, nil
}

// Derived is what the counts are made of.
func Derived() records.Derived {
	return records.Derived{Tallies: func(r *records.Record) (map[string]int64, error) {
		stored, err := RecordOut(r)
		return Tallies(stored.GetQuestionnaireId()), err
	}}
}

// Tallies gives the counts that a report on this questionnaire is added to.
func Tallies(questionnaire string) map[string]int64 {
	return map[string]int64{tallyPrefix + questionnaire: 1}
}
