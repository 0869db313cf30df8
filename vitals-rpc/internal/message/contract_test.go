package message

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/vitalsign"
)

// The contract and the table of signs agree: a sign, a number or a unit that one
// of them has and the other has not would be taken in and judged by nobody.
func TestContractAndTableAgree(t *testing.T) {
	request := (&vitalspb.UploadVitalsRequest{}).ProtoReflect().Descriptor().Fields()
	record := (&vitalspb.VitalsRecord{}).ProtoReflect().Descriptor().Fields()
	inTable := map[protoreflect.Name]vitalsign.Sign{}
	for _, sign := range vitalsign.Signs() {
		inTable[protoreflect.Name(sign.Name)] = sign
		if request.ByName(protoreflect.Name(sign.Name)) == nil {
			t.Errorf("the table has %s, UploadVitalsRequest has not", sign.Name)
		}
	}
	for i := range request.Len() {
		fd := request.Get(i)
		same := record.ByName(fd.Name())
		if same == nil || same.Number() != fd.Number() || same.Kind() != fd.Kind() || same.Message() != fd.Message() {
			t.Errorf("VitalsRecord must have %s as UploadVitalsRequest has it", fd.Name())
		}
		if fd.Message() == nil || fd.Message().FullName() == "google.protobuf.Timestamp" {
			continue
		}
		sign, ok := inTable[fd.Name()]
		if !ok {
			t.Errorf("UploadVitalsRequest has %s, the table has not", fd.Name())
			continue
		}
		checkSign(t, sign, fd.Message())
	}
}

func checkSign(t *testing.T, sign vitalsign.Sign, m protoreflect.MessageDescriptor) {
	t.Helper()
	numbers := map[string]bool{}
	for i := range m.Fields().Len() {
		fd := m.Fields().Get(i)
		switch fd.Kind() {
		case protoreflect.Int32Kind, protoreflect.FloatKind:
			numbers[string(fd.Name())] = fd.Kind() == protoreflect.Int32Kind
		case protoreflect.EnumKind:
			checkUnits(t, sign, fd)
		case protoreflect.BoolKind, protoreflect.StringKind:
		default:
			t.Errorf("%s.%s is a %s, which no rule reads", sign.Name, fd.Name(), fd.Kind())
		}
	}
	if len(numbers) != len(sign.Fields) {
		t.Errorf("%s has %d numbers in the contract, %d in the table", sign.Name, len(numbers), len(sign.Fields))
	}
	for _, field := range sign.Fields {
		if integer, ok := numbers[field.Name]; !ok || integer != field.Integer {
			t.Errorf("%s.%s: in the contract %v, whole %v; in the table whole %v", sign.Name, field.Name, ok, integer, field.Integer)
		}
	}
	if (len(sign.Units) > 1) != (m.Fields().ByName("unit") != nil) || (len(sign.Units) > 1) != (canonicalField(m) != nil) {
		t.Errorf("%s: a sign of several units has the fields unit and canonical_*, one of a single unit has neither", sign.Name)
	}
}

// A new unit is one line of the enum and one row of the table.
func checkUnits(t *testing.T, sign vitalsign.Sign, fd protoreflect.FieldDescriptor) {
	t.Helper()
	rows := map[protoreflect.Name]bool{}
	for _, unit := range sign.Units {
		rows[protoreflect.Name(unit.Name)] = true
	}
	values := fd.Enum().Values()
	for i := range values.Len() {
		name := values.Get(i).Name()
		if !rows[name] && !strings.HasSuffix(string(name), "_UNSPECIFIED") {
			t.Errorf("%s.%s can be %s, which has no conversion row", sign.Name, fd.Name(), name)
		}
		delete(rows, name)
	}
	for name := range rows {
		t.Errorf("%s has a conversion row for %s, which the enum does not know", sign.Name, name)
	}
}

// Every category that the rules can give has its value in the contract.
func TestCategoriesAgree(t *testing.T) {
	for _, c := range []vitalsign.BloodPressureCategory{
		vitalsign.Normal, vitalsign.Elevated, vitalsign.HypertensionStage1, vitalsign.HypertensionStage2, vitalsign.HypertensiveCrisis,
	} {
		if vitalspb.BloodPressureCategory_value[string(c)] == 0 {
			t.Errorf("the contract has no category %s", c)
		}
	}
}
