package wirejson_test

import (
	"context"
	"strings"
	"testing"

	"clinsource/internal/fault"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Upload is shaped like the vitals contract; Kinds has one field of every kind;
// the field order of Shuffled is not its number order.
const source = `
syntax = "proto3";
package t;
import "google/protobuf/timestamp.proto";

enum Unit { CELSIUS = 0; FAHRENHEIT = 1; }
enum State { STATE_UNSPECIFIED = 0; ACTIVE = 1; ENDED = 2; }

message Pressure {
  int32 systolic = 1;
  int32 diastolic = 2;
  string systolic_entered = 3;
  bool systolic_rounded = 4;
  string diastolic_entered = 5;
  bool diastolic_rounded = 6;
}
message Temperature {
  float value = 1;
  Unit unit = 2;
  string value_entered = 3;
  bool value_rounded = 4;
}
message Finding { string field = 1; string rule = 2; }
message Upload {
  string patient_id = 1;
  google.protobuf.Timestamp measurement_time = 2;
  Pressure blood_pressure = 3;
  Temperature temperature = 4;
  string source_time_text = 5;
  string client_record_id = 6;
  string record_id = 7;
  int64 version = 8;
  repeated Finding findings = 9;
  google.protobuf.Timestamp received_time = 10;
  bool success = 11;
}
message Batch { repeated Upload items = 1; }
message Kinds {
  int32 i32 = 1; sint32 s32 = 2; sfixed32 sf32 = 3; int64 i64 = 4; sint64 s64 = 5; sfixed64 sf64 = 6;
  uint32 u32 = 7; fixed32 fx32 = 8; uint64 u64 = 9; fixed64 fx64 = 10;
  float f32 = 11; double f64 = 12; bool flag = 13; string text = 14; bytes raw = 15; State state = 16;
  optional int32 opt = 17; optional Unit opt_unit = 18; optional string opt_text = 19;
  repeated int32 numbers = 20; repeated string texts = 21; repeated Unit units = 22;
  repeated google.protobuf.Timestamp times = 23; repeated double doubles = 24; repeated bytes raws = 25;
  map<string, string> labels = 26; map<string, Pressure> pressures = 27; map<string, google.protobuf.Timestamp> dates = 28;
  oneof choice { double amount = 30; string words = 31; Pressure pressure = 32; bool yes = 33; google.protobuf.Timestamp at = 34; }
  string amount_entered = 35; bool amount_rounded = 36;
  Kinds inner = 40;
  google.protobuf.Timestamp start_time = 41;
  string start_time_text = 42;
  uint32 count = 43; string count_entered = 44;
}
message Shuffled { string c = 3; string a = 1; string b = 2; }
message IntKeys { map<int32, string> names = 1; }
`

var files = compile()

func compile() protoreflect.FileDescriptor {
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"t.proto": source}),
	})}
	linked, err := c.Compile(context.Background(), "t.proto")
	if err != nil {
		panic(err)
	}
	return linked[0]
}

func empty(name protoreflect.Name) *dynamicpb.Message {
	return dynamicpb.NewMessage(files.Messages().ByName(name))
}

// message reads the text form of one of the messages above.
func message(t testing.TB, name protoreflect.Name, text string) *dynamicpb.Message {
	t.Helper()
	m := empty(name)
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

// lines writes violations as "path rule message" lines.
func lines(found []fault.Violation) string {
	var out []string
	for _, v := range found {
		out = append(out, v.Field+" "+v.Rule+": "+v.Message)
	}
	return strings.Join(out, "\n")
}
