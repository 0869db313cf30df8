package wirejson_test

import (
	"encoding/json"
	"math"
	"testing"

	"clinsource/internal/wirejson"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	binlog "google.golang.org/grpc/binarylog/grpc_binarylog_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Content hashes are made of these bytes: a line of this table that changes
// makes every record that is stored look new when it is sent again. Add lines,
// never edit one.
func TestEncodeGolden(t *testing.T) {
	for _, c := range []struct{ name, message, in, want string }{
		{"empty", "Upload", ``, `{}`},
		{"whole", "Upload", `patient_id: "demo-001" measurement_time {seconds: 1772325000 nanos: 120000000}
			blood_pressure {systolic: 101 systolic_entered: "100.67" systolic_rounded: true diastolic: 69 diastolic_entered: "69"}
			temperature {value: 37.2 value_entered: "37.20"} source_time_text: "2026-03-01T08:30:00.12+08:00" client_record_id: "c-1"
			version: 9007199254740993 findings {field: "temperature" rule: "temp.high"} findings {} success: true`,
			`{"patient_id":"demo-001","measurement_time":"2026-03-01T00:30:00.12Z","blood_pressure":{"systolic":101,"diastolic":69,"systolic_entered":"100.67","systolic_rounded":true,"diastolic_entered":"69"},` +
				`"temperature":{"value":37.2,"unit":"CELSIUS","value_entered":"37.20"},"source_time_text":"2026-03-01T08:30:00.12+08:00","client_record_id":"c-1",` +
				`"version":9007199254740993,"findings":[{"field":"temperature","rule":"temp.high"},{}],"success":true}`},
		{"number order", "Shuffled", `c: "3" b: "2" a: "1"`, `{"a":"1","b":"2","c":"3"}`},
		{"integers", "Kinds", `i32: -1 s32: -2 sf32: -3 i64: -9223372036854775808 s64: -5 sf64: -6 u32: 7 fx32: 8 u64: 18446744073709551615 fx64: 10`,
			`{"i32":-1,"s32":-2,"sf32":-3,"i64":-9223372036854775808,"s64":-5,"sf64":-6,"u32":7,"fx32":8,"u64":18446744073709551615,"fx64":10}`},
		{"floats", "Kinds", `f32: 0.1 f64: 0.1 doubles: [0, -0, 1e21, 1e20, 1e-7, 0.000001, 5e-324, 1.7976931348623157e308]`,
			`{"f32":0.1,"f64":0.1,"doubles":[0,-0,1e+21,100000000000000000000,1e-07,0.000001,5e-324,1.7976931348623157e+308]}`},
		{"not finite", "Kinds", `f32: nan f64: inf start_time {nanos: -1}`, `{"f32":null,"f64":null,"start_time":null}`},
		{"escapes", "Kinds", `text: "\"\\/\x08\x0c\n\r\t\x00\x1f\x7f<>&\u2028体温😀"`, `{"text":"\"\\/\b\f\n\r\t\u0000\u001f` + "\x7f<>&\u2028体温😀" + `"}`},
		{"bytes", "Kinds", `raw: "\xff\x00\xfe" raws: ["", "a"]`, `{"raw":"/wD+","raws":["","YQ=="]}`},
		{"enums", "Kinds", `state: ENDED opt_unit: CELSIUS units: [FAHRENHEIT, CELSIUS, 7]`, `{"state":"ENDED","opt_unit":"CELSIUS","units":["FAHRENHEIT","CELSIUS",7]}`},
		{"presence", "Kinds", `opt: 0 opt_text: "" inner {} pressure {}`, `{"opt":0,"opt_text":"","pressure":{},"inner":{}}`},
		{"oneof zero", "Kinds", `amount: 0 amount_entered: "0"`, `{"amount":0,"amount_entered":"0"}`},
		{"entered zero", "Kinds", `count_entered: "0.0"`, `{"count":0,"count_entered":"0.0"}`},
		{"maps", "Kinds", `labels {key: "b" value: "2"} labels {key: "a\n" value: ""} labels {key: "é" value: "3"} pressures {key: "x" value {systolic: 1}} dates {key: "d" value {seconds: 1}}`,
			`{"labels":{"a\n":"","b":"2","é":"3"},"pressures":{"x":{"systolic":1}},"dates":{"d":"1970-01-01T00:00:01Z"}}`},
		{"times", "Kinds", `times {} times {seconds: -62135596800} times {seconds: 253402300799 nanos: 999999999} start_time {seconds: 1 nanos: 1000}`,
			`{"times":["1970-01-01T00:00:00Z","0001-01-01T00:00:00Z","9999-12-31T23:59:59.999999999Z"],"start_time":"1970-01-01T00:00:01.000001Z"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := message(t, protoreflect.Name(c.message), c.in)
			for range 5 { // maps iterate in another order each time
				if got := string(wirejson.Encode(m)); got != c.want {
					t.Fatalf("got  %s\nwant %s", got, c.want)
				}
			}
			if !json.Valid([]byte(c.want)) {
				t.Errorf("no JSON: %s", c.want)
			}
		})
	}
}

func TestEncodeInvalidUTF8(t *testing.T) {
	m := empty("Shuffled")
	m.Set(m.Descriptor().Fields().ByName("a"), protoreflect.ValueOfString("x\xff\xc3y\xe4\xbd"))
	if got, want := string(wirejson.Encode(m)), "{\"a\":\"x\uFFFD\uFFFDy\uFFFD\uFFFD\"}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEncodeWithout(t *testing.T) {
	m := message(t, "Upload", `patient_id: "p" blood_pressure {systolic: 1} record_id: "r" version: 2`)
	if got, want := string(wirejson.EncodeWithout(m, "record_id", "version", "systolic")), `{"patient_id":"p","blood_pressure":{"systolic":1}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := string(wirejson.EncodeWithout(m, "patient_id", "blood_pressure", "record_id", "version")), `{}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEncoderAlways(t *testing.T) {
	e := wirejson.Encoder{Always: map[protoreflect.FullName]bool{
		"t.Upload.success": true, "t.Upload.findings": true, "t.Upload.version": true, "t.Upload.record_id": true,
		"t.Upload.received_time": true, "t.Kinds.labels": true, "t.Kinds.state": true, "t.Kinds.opt": true, "t.Kinds.amount": true, "t.Kinds.raw": true,
	}}
	for name, want := range map[protoreflect.Name]string{
		"Upload": `{"record_id":"","version":0,"findings":[],"success":false}`,
		"Kinds":  `{"raw":"","state":"STATE_UNSPECIFIED","labels":{}}`,
	} {
		if got := string(e.Encode(empty(name))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got, want := string(e.AppendEncode([]byte("x"), message(t, "Batch", "items {}"))), `x{"items":[{"record_id":"","version":0,"findings":[],"success":false}]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Generated code goes the same way as the dynamic messages of the other tests.
func TestGeneratedMessages(t *testing.T) {
	entry := &binlog.GrpcLogEntry{
		Timestamp: timestamppb.New(timestamppb.New(timestamppb.Now().AsTime()).AsTime()),
		CallId:    math.MaxUint64,
		Type:      binlog.GrpcLogEntry_EVENT_TYPE_SERVER_HEADER,
		Payload:   &binlog.GrpcLogEntry_Message{Message: &binlog.Message{Length: 3, Data: []byte("abc")}},
		Peer:      &binlog.Address{Type: binlog.Address_TYPE_IPV4, Address: "127.0.0.1"},
	}
	entry.Timestamp.Seconds, entry.Timestamp.Nanos = 1772325000, 5
	want := `{"timestamp":"2026-03-01T00:30:00.000000005Z","call_id":18446744073709551615,"type":"EVENT_TYPE_SERVER_HEADER",` +
		`"logger":"LOGGER_UNKNOWN","message":{"length":3,"data":"YWJj"},"peer":{"type":"TYPE_IPV4","address":"127.0.0.1"}}`
	body := wirejson.Encode(entry)
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	var back binlog.GrpcLogEntry
	if found := wirejson.Decode(body, &back); found != nil || !proto.Equal(&back, entry) {
		t.Errorf("got %v, %v", &back, found)
	}
	info := &errdetails.ErrorInfo{Reason: "R", Metadata: map[string]string{"b": "1", "a": "2"}}
	var infoBack errdetails.ErrorInfo
	if found := wirejson.Decode(wirejson.Encode(info), &infoBack); found != nil || !proto.Equal(&infoBack, info) {
		t.Errorf("got %v, %v", &infoBack, found)
	}
}

func TestMapWithoutStringKeysPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	wirejson.Encode(empty("IntKeys"))
}
