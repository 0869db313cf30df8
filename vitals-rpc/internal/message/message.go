// Package message turns the contract's messages into the terms of the rules and of
// the store, and back: what a request says, what is stored of it, what lists show,
// and what is derived from a stored record. It follows the table of signs, so that
// a new sign needs no line here.
package message

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/merge"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/wirejson"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/store"
	"clinsource/vitals-rpc/vitalsign"
)

const (
	bloodPressure = "blood_pressure"
	// tallyPrefix begins the names of the counts per category.
	tallyPrefix = "blood_pressure_category:"
)

// canonicalField gives the output field that tells a sign's value in its
// canonical unit (canonical_celsius), or nil for a sign of one unit.
func canonicalField(sign protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	fields := sign.Fields()
	for i := range fields.Len() {
		if fd := fields.Get(i); strings.HasPrefix(string(fd.Name()), "canonical_") {
			return fd
		}
	}
	return nil
}

var signs = vitalsign.Signs()

// SignsWithHistory are compared with the value before.
var SignsWithHistory = func() (names []string) {
	for _, s := range signs {
		if s.History != nil {
			names = append(names, s.Name)
		}
	}
	return names
}()

// eachSign calls f with every sign that the message holds.
func eachSign(m protoreflect.Message, f func(sign vitalsign.Sign, of protoreflect.Message)) {
	for _, sign := range signs {
		fd := m.Descriptor().Fields().ByName(protoreflect.Name(sign.Name))
		if fd != nil && m.Has(fd) {
			f(sign, m.Mutable(fd).Message())
		}
	}
}

// DropDerived removes what only the server fills, should a caller have sent it.
func DropDerived(in *vitalspb.UploadVitalsRequest) {
	eachSign(in.ProtoReflect(), func(_ vitalsign.Sign, of protoreflect.Message) {
		if fd := canonicalField(of.Descriptor()); fd != nil {
			of.Clear(fd)
		}
	})
}

// UploadOf gives the request in the rules' terms.
func UploadOf(in *vitalspb.UploadVitalsRequest) vitalsign.Upload {
	upload := vitalsign.Upload{HasTime: in.GetMeasurementTime() != nil}
	if upload.HasTime {
		upload.MeasuredAt = in.GetMeasurementTime().AsTime()
	}
	eachSign(in.ProtoReflect(), func(sign vitalsign.Sign, of protoreflect.Message) {
		fields := of.Descriptor().Fields()
		for _, field := range sign.Fields {
			upload.Readings = append(upload.Readings, vitalsign.Reading{
				Sign: sign.Name, Path: sign.Name + "." + field.Name,
				Entered: of.Get(fields.ByName(protoreflect.Name(field.Name + "_entered"))).String(),
				Unit:    unitOf(of),
			})
		}
	})
	return upload
}

// unitOf names the unit that a sign's message holds, or "" if it has no unit
// field. A number that the contract has no name for stays a number: the rules
// refuse it.
func unitOf(of protoreflect.Message) string {
	fd := of.Descriptor().Fields().ByName("unit")
	if fd == nil {
		return ""
	}
	number := of.Get(fd).Enum()
	if value := fd.Enum().Values().ByNumber(number); value != nil {
		return string(value.Name())
	}
	return strconv.Itoa(int(number))
}

// RecordOf makes the record of a request: its fields as they came (the two
// messages share numbers and types), and what the rules derived.
func RecordOf(in *vitalspb.UploadVitalsRequest, verdict vitalsign.Verdict) *vitalspb.VitalsRecord {
	out := &vitalspb.VitalsRecord{
		BloodPressureCategory: vitalspb.BloodPressureCategory(vitalspb.BloodPressureCategory_value[string(verdict.BloodPressureCategory)]),
	}
	merge.Carry(out, in)
	dst := out.ProtoReflect()
	for _, m := range verdict.Measurements {
		sign := dst.Mutable(dst.Descriptor().Fields().ByName(protoreflect.Name(m.Sign))).Message()
		if fd := canonicalField(sign.Descriptor()); fd != nil {
			sign.Set(fd, protoreflect.ValueOfString(m.Canonical))
		}
	}
	return out
}

// RecordOut gives a stored record in the contract's terms.
func RecordOut(r *records.Record) (*vitalspb.VitalsRecord, error) {
	out := &vitalspb.VitalsRecord{}
	if bad := wirejson.Decode(r.Content, out); bad != nil {
		return nil, fmt.Errorf("stored record %s cannot be read: %s", r.ID, bad[0].Rule)
	}
	out.ProjectId, out.SiteId, out.RecordId, out.Version = r.Project, r.Site, r.ID, r.Version
	out.ClientRecordId, out.ReceivedTime, out.Findings, out.Change = r.ClientRecordID, timestamppb.New(r.Received), r.Findings, r.Change()
	return out, nil
}

// Categories picks the counts per category out of all tallies.
func Categories(tallies map[string]int64) map[string]int64 {
	out := map[string]int64{}
	for name, n := range tallies {
		if category, ok := strings.CutPrefix(name, tallyPrefix); ok {
			out[category] = n
		}
	}
	return out
}

// Request gives a stored record as the request that it would have come as.
func Request(r *records.Record) (*vitalspb.UploadVitalsRequest, error) {
	stored, err := RecordOut(r)
	if err != nil {
		return nil, err
	}
	in := &vitalspb.UploadVitalsRequest{}
	merge.Carry(in, stored)
	DropDerived(in)
	return in, nil
}

// Derived is what the counts and the newest values are made of.
func Derived() records.Derived {
	return records.Derived{
		Tallies: func(r *records.Record) (map[string]int64, error) {
			stored, err := RecordOut(r)
			return Tallies(stored.GetBloodPressureCategory().String()), err
		},
		Forget: forget,
	}
}

// Tallies gives the counts that a record of this category of blood pressure is
// added to.
func Tallies(category string) map[string]int64 {
	if category == "" || category == vitalspb.BloodPressureCategory_BLOOD_PRESSURE_CATEGORY_UNSPECIFIED.String() {
		return nil
	}
	return map[string]int64{tallyPrefix + category: 1}
}

// forget makes anew the newest values that a record held, of those that remain.
func forget(ctx context.Context, tx *sqldb.Tx, gone *records.Record) error {
	stored, err := RecordOut(gone)
	if err != nil {
		return err
	}
	for _, sign := range signs {
		if !has(stored, sign.Name) {
			continue
		}
		held, err := store.Forget(ctx, tx, gone, sign.Name)
		if err != nil {
			return err
		}
		if !held {
			continue
		}
		if err := renew(ctx, tx, gone, sign.Name); err != nil {
			return err
		}
	}
	return nil
}

// renew finds a sign's newest value among the records that still count.
func renew(ctx context.Context, tx *sqldb.Tx, gone *records.Record, sign string) error {
	var newest []store.Latest
	err := records.EachOf(ctx, tx, gone.Project, gone.Patient, `r.content LIKE $3`, []any{`%"` + sign + `":%`}, func(r *records.Record) (bool, error) {
		in, err := Request(r)
		if err != nil {
			return false, err
		}
		for _, v := range LatestOf(r, vitalsign.Judge(UploadOf(in), r.Received)) {
			if v.Sign == sign {
				newest = append(newest, v)
			}
		}
		return len(newest) == 0, nil
	})
	if err != nil {
		return err
	}
	return store.Remember(ctx, tx, gone.Project, newest)
}

func has(stored *vitalspb.VitalsRecord, sign string) bool {
	found := false
	eachSign(stored.ProtoReflect(), func(s vitalsign.Sign, _ protoreflect.Message) { found = found || s.Name == sign })
	return found
}

// LatestOf gives the record's signs as newest values.
func LatestOf(r *records.Record, verdict vitalsign.Verdict) []store.Latest {
	var values []store.Latest
	for _, m := range verdict.Measurements {
		if n := len(values); n == 0 || values[n-1].Sign != m.Sign {
			values = append(values, store.Latest{Patient: r.Patient, Site: r.Site, Sign: m.Sign, MeasuredAt: r.At, Record: r.ID, Queried: r.Queried()})
		}
		v := &values[len(values)-1]
		if m.Sign == bloodPressure {
			v.Category = string(verdict.BloodPressureCategory)
		}
		v.Components = append(v.Components, store.Component{
			Field: m.Path, Canonical: m.Canonical, CanonicalUnit: m.CanonicalUnit, Entered: m.Entered, EnteredUnit: m.Unit,
		})
	}
	return values
}
