package logic

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/records"
	"clinsource/internal/wirejson"
	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	"clinsource/subject-rpc/intake"
)

// tallyOngoing counts the records without an end.
const tallyOngoing = "ongoing"

// intakeOf gives the request in the rules' terms.
func intakeOf(in *medicationpb.RecordMedicationRequest) intake.Record {
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

// medicationOf makes the record of a request: its fields as they came.
func medicationOf(in *medicationpb.RecordMedicationRequest) *medicationpb.Medication {
	return &medicationpb.Medication{
		PatientId: in.GetPatientId(), Medication: in.GetMedication(), Dose: in.GetDose(), Route: in.GetRoute(),
		StartTime: in.GetStartTime(), StartTimeText: in.GetStartTimeText(), EndTime: in.GetEndTime(), EndTimeText: in.GetEndTimeText(),
	}
}

// medicationOut gives a stored record in the contract's terms.
func medicationOut(r *records.Record) (*medicationpb.Medication, error) {
	out := &medicationpb.Medication{}
	if bad := wirejson.Decode(r.Content, out); bad != nil {
		return nil, fmt.Errorf("stored record %s cannot be read: %s", r.ID, bad[0].Rule)
	}
	out.ProjectId, out.SiteId, out.RecordId, out.Version = r.Project, r.Site, r.ID, r.Version
	out.ClientRecordId, out.ReceivedTime, out.Findings = r.ClientRecordID, timestamppb.New(r.Received), r.Findings
	return out, nil
}
