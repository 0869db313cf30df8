// Package message turns the medication contract's messages into the terms of the
// rules and of the store, and back: what a request says, what is stored of it, what
// lists show, and what is derived from a stored record.
package message

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/merge"
	"clinsource/internal/records"
	"clinsource/internal/wirejson"
	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	"clinsource/subject-rpc/intake"
)

// TallyOngoing counts the records without an end.
const TallyOngoing = "ongoing"

// IntakeOf gives the request in the rules' terms.
func IntakeOf(in *medicationpb.RecordMedicationRequest) intake.Record {
	r := intake.Record{
		Medication: codingOf(in.GetMedication()), Route: codingOf(in.GetRoute()),
		Start: timeOf(in.GetStartTime()), End: timeOf(in.GetEndTime()),
	}
	if d := in.GetDose(); d != nil {
		r.Dose = &intake.Dose{Entered: d.GetValueEntered(), Value: d.GetValue(), Unit: d.GetUcumUnit()}
	}
	return r
}

func codingOf(c *recordpb.Coding) *intake.Coding {
	if c == nil {
		return nil
	}
	return &intake.Coding{System: c.GetSystem(), Code: c.GetCode(), Display: c.GetDisplay()}
}

func timeOf(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}

// RecordOf makes the record of a request: its fields as they came.
func RecordOf(in *medicationpb.RecordMedicationRequest) *medicationpb.Medication {
	return &medicationpb.Medication{
		PatientId: in.GetPatientId(), Medication: in.GetMedication(), Dose: in.GetDose(), Route: in.GetRoute(),
		StartTime: in.GetStartTime(), StartTimeText: in.GetStartTimeText(), EndTime: in.GetEndTime(), EndTimeText: in.GetEndTimeText(),
	}
}

// RecordOut gives a stored record in the contract's terms.
func RecordOut(r *records.Record) (*medicationpb.Medication, error) {
	out := &medicationpb.Medication{}
	if bad := wirejson.Decode(r.Content, out); bad != nil {
		return nil, fmt.Errorf("stored record %s cannot be read: %s", r.ID, bad[0].Rule)
	}
	out.ProjectId, out.SiteId, out.RecordId, out.Version = r.Project, r.Site, r.ID, r.Version
	out.ClientRecordId, out.ReceivedTime, out.Findings, out.Change = r.ClientRecordID, timestamppb.New(r.Received), r.Findings, r.Change()
	return out, nil
}

// Request gives a stored record as the request that it would have come as.
func Request(r *records.Record) (*medicationpb.RecordMedicationRequest, error) {
	stored, err := RecordOut(r)
	if err != nil {
		return nil, err
	}
	in := &medicationpb.RecordMedicationRequest{}
	merge.Carry(in, stored)
	return in, nil
}

// Derived is what the counts are made of.
func Derived() records.Derived {
	return records.Derived{Tallies: func(r *records.Record) (map[string]int64, error) {
		stored, err := RecordOut(r)
		return Tallies(stored.GetEndTime()), err
	}}
}

// Tallies gives the counts that a record with this end, or none, is added to.
func Tallies(end *timestamppb.Timestamp) map[string]int64 {
	if end != nil {
		return nil
	}
	return map[string]int64{TallyOngoing: 1}
}
