// Package logic holds one file per RPC: check the request, decide who may, judge
// by the rules of vitalsign, call the store, answer. This file turns the
// contract's messages into the rules' terms and back; it follows the table of
// signs, so that a new sign needs no line here.
package logic

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/records"
	"clinsource/internal/wirejson"
	vitalspb "clinsource/proto/vitals"
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

// signsWithHistory are compared with the value before.
var signsWithHistory = func() (names []string) {
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

// dropDerived removes what only the server fills, should a caller have sent it.
func dropDerived(in *vitalspb.UploadVitalsRequest) {
	eachSign(in.ProtoReflect(), func(_ vitalsign.Sign, of protoreflect.Message) {
		if fd := canonicalField(of.Descriptor()); fd != nil {
			of.Clear(fd)
		}
	})
}

// uploadOf gives the request in the rules' terms.
func uploadOf(in *vitalspb.UploadVitalsRequest) vitalsign.Upload {
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

// recordOf makes the record of a request: its fields as they came (the two
// messages share numbers and types), and what the rules derived.
func recordOf(in *vitalspb.UploadVitalsRequest, verdict vitalsign.Verdict) *vitalspb.VitalsRecord {
	out := &vitalspb.VitalsRecord{
		BloodPressureCategory: vitalspb.BloodPressureCategory(vitalspb.BloodPressureCategory_value[string(verdict.BloodPressureCategory)]),
	}
	src, dst := in.ProtoReflect(), out.ProtoReflect()
	src.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if same := dst.Descriptor().Fields().ByName(fd.Name()); same != nil {
			if fd.Message() != nil {
				v = protoreflect.ValueOfMessage(proto.Clone(v.Message().Interface()).ProtoReflect())
			}
			dst.Set(same, v)
		}
		return true
	})
	for _, m := range verdict.Measurements {
		sign := dst.Mutable(dst.Descriptor().Fields().ByName(protoreflect.Name(m.Sign))).Message()
		if fd := canonicalField(sign.Descriptor()); fd != nil {
			sign.Set(fd, protoreflect.ValueOfString(m.Canonical))
		}
	}
	return out
}

// recordOut gives a stored record in the contract's terms.
func recordOut(r *records.Record) (*vitalspb.VitalsRecord, error) {
	out := &vitalspb.VitalsRecord{}
	if bad := wirejson.Decode(r.Content, out); bad != nil {
		return nil, fmt.Errorf("stored record %s cannot be read: %s", r.ID, bad[0].Rule)
	}
	out.ProjectId, out.SiteId, out.RecordId, out.Version = r.Project, r.Site, r.ID, r.Version
	out.ClientRecordId, out.ReceivedTime, out.Findings = r.ClientRecordID, timestamppb.New(r.Received), r.Findings
	return out, nil
}

// categories picks the counts per category out of all tallies.
func categories(tallies map[string]int64) map[string]int64 {
	out := map[string]int64{}
	for name, n := range tallies {
		if category, ok := strings.CutPrefix(name, tallyPrefix); ok {
			out[category] = n
		}
	}
	return out
}
