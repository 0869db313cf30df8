package sourcevalue_test

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

// Messages of our convention in every shape that a service uses. The numbers of
// the later _time fields are lower on purpose where order must not matter.
const source = `
syntax = "proto3";
package t;
import "google/protobuf/timestamp.proto";

message Pressure {
  int32 systolic = 1;
  int32 diastolic = 2;
  string systolic_entered = 3;
  bool systolic_rounded = 4;
  string diastolic_entered = 5;
}
message Vitals {
  google.protobuf.Timestamp received_time = 1;
  google.protobuf.Timestamp measurement_time = 2;
  Pressure blood_pressure = 3;
  float value = 4;
  string value_entered = 5;
  bool value_rounded = 6;
  string source_time_text = 7;
  google.protobuf.Timestamp start_time = 8;
  string start_time_text = 9;
}
message Numbers {
  int32 i32 = 1;    string i32_entered = 2;   bool i32_rounded = 3;
  int64 i64 = 4;    string i64_entered = 5;   bool i64_rounded = 6;
  uint32 u32 = 7;   string u32_entered = 8;   bool u32_rounded = 9;
  uint64 u64 = 10;  string u64_entered = 11;  bool u64_rounded = 12;
  float f32 = 13;   string f32_entered = 14;  bool f32_rounded = 15;
  double f64 = 16;  string f64_entered = 17;  bool f64_rounded = 18;
  optional int32 opt = 19;  optional string opt_entered = 20;  optional bool opt_rounded = 21;
  double bare = 22;
  repeated double list = 23;
  map<string, float> named = 24;
}
message Answer {
  oneof value {
    double number = 1;
    string text = 2;
    google.protobuf.Timestamp date_time = 3;
  }
  string number_entered = 4;
  bool number_rounded = 5;
  string date_time_text = 6;
}
message Two {
  google.protobuf.Timestamp voided_time = 9;
  google.protobuf.Timestamp end = 1;
  google.protobuf.Timestamp authored_time = 4;
  string source_time_text = 5;
  google.protobuf.Timestamp created_time = 3;
  string created_time_text = 6;
}
message Batch {
  repeated Vitals items = 1;
  map<string, Answer> answers = 2;
  Batch inner = 3;
  repeated google.protobuf.Timestamp times = 4;
}
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

// message reads the text form of one of the messages above.
func message(t testing.TB, name protoreflect.Name, text string) *dynamicpb.Message {
	t.Helper()
	m := dynamicpb.NewMessage(files.Messages().ByName(name))
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

// rules writes violations as "path rule" lines.
func rules(found []fault.Violation) string {
	var lines []string
	for _, v := range found {
		lines = append(lines, v.Field+" "+v.Rule)
	}
	return strings.Join(lines, "\n")
}
