package wirejson_test

import (
	"strings"
	"testing"

	"clinsource/internal/sourcevalue"
	"clinsource/internal/wirejson"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, message, body, want string }{
		{"empty object", "Upload", ` { } `, ``},
		{"the contract's upload", "Upload", `{"patient_id": "demo-001", "measurement_time": "2026-03-01T08:30:00+08:00",
			"blood_pressure": {"systolic": 120, "diastolic": 80}, "temperature": {"value": 37.2, "unit": "CELSIUS"}}`,
			`patient_id: "demo-001" measurement_time {seconds: 1772325000} source_time_text: "2026-03-01T08:30:00+08:00"
			blood_pressure {systolic: 120 systolic_entered: "120" diastolic: 80 diastolic_entered: "80"} temperature {value: 37.2 value_entered: "37.2"}`},
		{"what fits no integer waits for Complete", "Pressure", `{"systolic":100.67,"diastolic":1.2e2}`, `systolic_entered: "100.67" diastolic_entered: "1.2e2"`},
		{"what is beyond the type too", "Pressure", `{"systolic":99999999999}`, `systolic_entered: "99999999999"`},
		{"zero is entered", "Pressure", `{"systolic":0}`, `systolic_entered: "0"`},
		{"text alone", "Pressure", `{"systolic_entered":"100.67"}`, `systolic_entered: "100.67"`},
		{"text and number", "Pressure", `{"systolic":101,"systolic_entered":"100.67","diastolic_entered":"80.0","diastolic":80}`,
			`systolic: 101 systolic_entered: "100.67" diastolic: 80 diastolic_entered: "80.0"`},
		{"text and the same decimal", "Pressure", `{"systolic":100.670,"systolic_entered":"100.67"}`, `systolic_entered: "100.67"`},
		{"an empty text is none", "Pressure", `{"systolic_entered":"","systolic":7}`, `systolic: 7 systolic_entered: "7"`},
		{"null text is none", "Pressure", `{"systolic":7,"systolic_entered":null}`, `systolic: 7 systolic_entered: "7"`},
		{"time and its text", "Upload", `{"source_time_text":"2026-03-01T08:30:00+08:00","measurement_time":"2026-03-01T00:30:00Z"}`,
			`measurement_time {seconds: 1772325000} source_time_text: "2026-03-01T08:30:00+08:00"`},
		{"time without text", "Upload", `{"received_time":"2026-03-01T00:30:00.5Z"}`, `received_time {seconds: 1772325000 nanos: 500000000}`},
		{"time with its own text", "Kinds", `{"start_time":"2026-03-01T00:30:00.50Z"}`, `start_time {seconds: 1772325000 nanos: 500000000} start_time_text: "2026-03-01T00:30:00.50Z"`},
		{"all integers", "Kinds", `{"i32":-2147483648,"s32":-0,"sf32":3,"i64":-9223372036854775808,"s64":5,"sf64":6,"u32":4294967295,"fx32":8,"u64":18446744073709551615,"fx64":10}`,
			`i32: -2147483648 sf32: 3 i64: -9223372036854775808 s64: 5 sf64: 6 u32: 4294967295 fx32: 8 u64: 18446744073709551615 fx64: 10`},
		{"floats take any number", "Kinds", `{"f32":1e2,"f64":-0.25E-3,"doubles":[1,2.5,1e+300]}`, `f32: 100 f64: -0.00025 doubles: [1, 2.5, 1e300]`},
		{"others", "Kinds", `{"flag":true,"text":"a","raw":"/wA=","state":"ACTIVE","opt_unit":"CELSIUS","units":["FAHRENHEIT"],"raws":["YQ=="]}`,
			`flag: true text: "a" raw: "\xff\x00" state: ACTIVE opt_unit: CELSIUS units: FAHRENHEIT raws: "a"`},
		{"null is absent", "Kinds", `{"i32":null,"opt":null,"numbers":null,"labels":null,"inner":null,"amount":null,"words":"w","start_time":null}`, `words: "w"`},
		{"set zeros", "Kinds", `{"opt":0,"opt_text":"","inner":{},"yes":false}`, `opt: 0 opt_text: "" inner {} yes: false`},
		{"empty list and map", "Kinds", `{"numbers":[],"labels":{}}`, ``},
		{"oneof number keeps its text", "Kinds", `{"amount":2.50}`, `amount: 2.5 amount_entered: "2.50"`},
		{"maps", "Kinds", `{"labels":{"a":"1","":"2"},"pressures":{"x":{"systolic":1}},"dates":{"d":"1970-01-01T00:00:01Z"}}`,
			`labels {key: "a" value: "1"} labels {key: "" value: "2"} pressures {key: "x" value {systolic: 1 systolic_entered: "1"}} dates {key: "d" value {seconds: 1}}`},
		{"repeated times", "Kinds", `{"times":["1970-01-01T00:00:01Z","1970-01-01T00:00:02Z"]}`, `times {seconds: 1} times {seconds: 2}`},
		{"escapes", "Kinds", `{"\u0074ext":"\"\\\/\b\f\n\r\t\u4f53\uD83D\uDE00x"}`, `text: "\"\\/\b\f\n\r\t体😀x"`},
		{"batch", "Batch", `{"items":[{"patient_id":"a","blood_pressure":{"systolic":1.5}},{},{"temperature":{"value":1}}]}`,
			`items {patient_id: "a" blood_pressure {systolic_entered: "1.5"}} items {} items {temperature {value: 1 value_entered: "1"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := message(t, protoreflect.Name(c.message), "")
			if found := wirejson.Decode([]byte(c.body), m); found != nil {
				t.Fatalf("refused:\n%s", lines(found))
			}
			if want := message(t, protoreflect.Name(c.message), c.want); !proto.Equal(m, want) {
				t.Errorf("got  %v\nwant %v", m, want)
			}
		})
	}
}

func TestDecodeResets(t *testing.T) {
	m := message(t, "Upload", `patient_id: "old"`)
	if found := wirejson.Decode([]byte(`{"version":1}`), m); found != nil || !proto.Equal(m, message(t, "Upload", `version: 1`)) {
		t.Errorf("got %v, %v", m, found)
	}
}

func TestDecodeRefuses(t *testing.T) {
	const timeForm = "must be an RFC 3339 time with seconds and offset, such as 2026-03-01T08:30:00+08:00, year 1 to 9999, at most 9 digits of a second"
	for _, c := range []struct{ name, message, body, want string }{
		{"unknown, a typing error", "Upload", `{"blood_pressure":{"sistolic":120}}`, `blood_pressure.sistolic field.unknown: is not a field here; did you mean systolic?`},
		{"unknown, camelCase", "Upload", `{"patientId":"x"}`, `patientId field.unknown: is not a field here; did you mean patient_id?`},
		{"unknown, a beginning", "Upload", `{"temp":{"value":[1,{"a":null}]}}`, `temp field.unknown: is not a field here; did you mean temperature?`},
		{"unknown, nothing near", "Temperature", `{"x":1}`, `x field.unknown: is not a field here; the fields are value, unit, value_entered, value_rounded`},
		{"unknown, hostile", "Temperature", `{"a\"\u0000b":1}`, `"a\"\x00b" field.unknown: is not a field here; the fields are value, unit, value_entered, value_rounded`},
		{"unknown, empty", "Temperature", `{"":1}`, `"" field.unknown: is not a field here; the fields are value, unit, value_entered, value_rounded`},
		{"duplicate", "Upload", `{"patient_id":"a","patient_id":"b"}`, `patient_id field.duplicate: stands twice in one object; give it once`},
		{"duplicate null", "Upload", `{"patient_id":null,"patient_id":"b"}`, `patient_id field.duplicate: stands twice in one object; give it once`},
		{"duplicate in a map", "Kinds", `{"labels":{"a":"1","\u0061":"2"}}`, `labels["a"] field.duplicate: stands twice in one object; give it once`},
		{"string for a number", "Upload", `{"blood_pressure":{"systolic":"120"}}`, `blood_pressure.systolic field.type: a number is expected, got a string`},
		{"types", "Kinds", `{"i32":true,"f32":{},"flag":1,"text":["a"],"raw":5,"state":1,"numbers":1,"labels":[],"inner":"x","start_time":5,"times":[1],"count":"1","texts":{"a":1}}`,
			`i32 field.type: a number is expected, got a boolean
f32 field.type: a number is expected, got an object
flag field.type: true or false is expected, got a number
text field.type: a string is expected, got an array
raw field.type: a base64 string is expected, got a number
state field.type: one of the names ACTIVE, ENDED is expected, got a number
numbers field.type: an array is expected, got a number
labels field.type: an object is expected, got an array
inner field.type: an object is expected, got a string
start_time field.type: an RFC 3339 string is expected, got a number
times[0] field.type: an RFC 3339 string is expected, got a number
count field.type: a number is expected, got a string
texts field.type: an array is expected, got an object`},
		{"null inside", "Kinds", `{"numbers":[1,null],"texts":[null],"units":[null],"times":[null],"labels":{"a":null},"pressures":{"b":null}}`,
			`numbers[1] field.type: a number is expected, got null
texts[0] field.type: a string is expected, got null
units[0] field.type: one of the names CELSIUS, FAHRENHEIT is expected, got null
times[0] field.type: an RFC 3339 string is expected, got null
labels["a"] field.type: a string is expected, got null
pressures["b"] field.type: an object is expected, got null`},
		{"null message in a list", "Batch", `{"items":[{},null]}`, `items[1] field.type: an object is expected, got null`},
		{"no integers", "Kinds", `{"i32":1.0,"u64":1e2,"i64":9223372036854775808,"u32":-1,"f32":1e39,"f64":1e309}`,
			`i32 field.type: an integer is expected, got a number with a point or an exponent
u64 field.type: an integer is expected, got a number with a point or an exponent
i64 value.out_of_type: does not fit the field's type (int64)
u32 value.out_of_type: does not fit the field's type (uint32)
f32 value.out_of_type: does not fit the field's type (float)
f64 value.out_of_type: does not fit the field's type (double)`},
		{"too much of a number", "Pressure", `{"systolic":1e31,"diastolic":` + strings.Repeat("1", 41) + `}`,
			`systolic value.malformed: must have at most 40 characters and an exponent within -30 to 30
diastolic value.malformed: must have at most 40 characters and an exponent within -30 to 30`},
		{"number against its text", "Upload", `{"blood_pressure":{"systolic":100.67,"systolic_entered":"101"}}`,
			`blood_pressure.systolic value.disagrees: is not the number that systolic_entered says; send one of the two, or the same in both`},
		{"enum", "Upload", `{"temperature":{"unit":"celsius"}}`, `temperature.unit enum.unknown: must be one of CELSIUS, FAHRENHEIT`},
		{"time", "Upload", `{"measurement_time":"2026-03-01 08:30"}`, `measurement_time time.malformed: ` + timeForm},
		{"bytes", "Kinds", `{"raw":"_-8"}`, `raw bytes.malformed: must be standard base64 with padding`},
		{"oneof", "Kinds", `{"amount":1,"words":"w"}`, `words field.oneof: excludes amount; give one of the two`},
		{"oneof of a message", "Kinds", `{"pressure":{},"at":"2026-03-01T08:30:00Z"}`, `at field.oneof: excludes pressure; give one of the two`},
		{"all at once, full paths", "Batch", `{"items":[{"version":"1"},{"findings":[{},{"rule":7}],"blood_pressure":{"diastolic":[]}}],"more":1}`,
			`items[0].version field.type: a number is expected, got a string
items[1].findings[1].rule field.type: a string is expected, got a number
items[1].blood_pressure.diastolic field.type: a number is expected, got an array
more field.unknown: is not a field here; the fields are items`},
		{"no object", "Upload", `[{"patient_id":"x"}]`, `body field.type: an object is expected, got an array`},
		{"null body", "Upload", `null`, `body field.type: an object is expected, got null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := lines(wirejson.Decode([]byte(c.body), empty(protoreflect.Name(c.message))))
			if got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestDecodeMalformed(t *testing.T) {
	for body, want := range map[string]string{
		``:                             `line 1, column 1: the body is empty; a JSON object is expected`,
		" \n ":                         `line 2, column 2: the body is empty; a JSON object is expected`,
		`{`:                            `line 1, column 2: the body ends where a key in double quotes is expected`,
		`{"text"`:                      `line 1, column 8: the body ends where a colon is expected`,
		`{"text" "a"}`:                 `line 1, column 9: a colon is expected`,
		`{"text":}`:                    `line 1, column 9: a JSON value is expected`,
		`{"text":"a`:                   `line 1, column 11: the body ends where a closing quote is expected`,
		`{"text":"a"`:                  `line 1, column 12: the body ends where a comma or } is expected`,
		`{"text":"a",}`:                `line 1, column 13: a key in double quotes is expected`,
		"{\n\"text\": \"体\" \"b\"}":    `line 2, column 13: a comma or } is expected`,
		`{text:"a"}`:                   `line 1, column 2: a key in double quotes is expected`,
		`{"text":'a'}`:                 `line 1, column 9: a JSON value is expected`,
		`{"text":"a"}x`:                `line 1, column 13: nothing may follow the object`,
		`{}{}`:                         `line 1, column 3: nothing may follow the object`,
		`{"text":"a` + "\n" + `"}`:     `line 1, column 11: a control character inside a string must be escaped`,
		`{"text":"\na` + "\x01" + `"}`: `line 1, column 13: a control character inside a string must be escaped`,
		`{"text":"\x"}`:                `line 1, column 10: an unknown escape in a string`,
		`{"text":"\u12g4"}`:            `line 1, column 10: \u and four hexadecimal digits are expected`,
		`{"text":"\ud800"}`:            `line 1, column 16: \u and four hexadecimal digits are expected`,
		`{"text":"\ud800\u0041"}`:      `line 1, column 22: half a surrogate pair in an escape`,
		`{"text":"\udc00\ud800"}`:      `line 1, column 22: half a surrogate pair in an escape`,
		`{"text":"\`:                   `line 1, column 11: the body ends where an escape is expected`,
		`{"text":"\n`:                  `line 1, column 12: the body ends where a closing quote is expected`,
		`{"text":"a` + "\xff" + `"}`:   `line 1, column 11: the body is not UTF-8`,
		`{"i32":01}`:                   `line 1, column 8: a number has no leading zeros`,
		`{"i32":1.}`:                   `line 1, column 10: a digit is expected`,
		`{"i32":1e}`:                   `line 1, column 10: a digit is expected`,
		`{"i32":-}`:                    `line 1, column 9: a JSON value is expected`,
		`{"i32":+1}`:                   `line 1, column 8: a JSON value is expected`,
		`{"i32":NaN}`:                  `line 1, column 8: a JSON value is expected`,
		`{"flag":tru}`:                 `line 1, column 9: a JSON value is expected`,
		`{"opt":nul}`:                  `line 1, column 8: a JSON value is expected`,
		`{"numbers":[1,]}`:             `line 1, column 15: a JSON value is expected`,
		`{"numbers":[1 2]}`:            `line 1, column 15: a comma or ] is expected`,
		`{"numbers":[1`:                `line 1, column 14: the body ends where a comma or ] is expected`,
		`{"labels":{"a":"b"`:           `line 1, column 19: the body ends where a comma or } is expected`,
		`{"labels":{"a"`:               `line 1, column 15: the body ends where a colon is expected`,
		`{"count":1.e}`:                `line 1, column 12: a digit is expected`,
		`{"start_time":"2026`:          `line 1, column 20: the body ends where a closing quote is expected`,
		`{"raw":"2026`:                 `line 1, column 13: the body ends where a closing quote is expected`,
		`{"state":"2026`:               `line 1, column 15: the body ends where a closing quote is expected`,
		"\uFEFF{}":                     `line 1, column 1: a JSON value is expected`,
	} {
		found := wirejson.Decode([]byte(body), empty("Kinds"))
		if got := lines(found); got != "body body.malformed: "+want {
			t.Errorf("%q: got\n%s, want\n%s", body, got, want)
		}
	}
}

// What is skipped, because nobody knows it, obeys the same grammar.
func TestDecodeMalformedInUnknown(t *testing.T) {
	for _, bad := range []string{`{"a":}`, `[1,]`, `{"a":1,}`, `01`, `"\x"`, `tru`, `fals`, `nul`, `{1:2}`, `[`, `{"a"`, `-`} {
		found := wirejson.Decode([]byte(`{"zzzzzz":`+bad+`}`), empty("Temperature"))
		if len(found) != 2 || found[0].Rule != "field.unknown" || found[1].Rule != "body.malformed" {
			t.Errorf("%s: %s", bad, lines(found))
		}
	}
	for _, good := range []string{`{"a":{"b":[1,-2.5e3,"x\n",true,false,null,{}]}}`, `[]`, `{}`} {
		found := wirejson.Decode([]byte(`{"zzzzzz":`+good+`}`), empty("Temperature"))
		if len(found) != 1 || found[0].Rule != "field.unknown" {
			t.Errorf("%s: %s", good, lines(found))
		}
	}
}

func TestDecodeBounds(t *testing.T) {
	deep := func(n int) string {
		return strings.Repeat(`{"inner":`, n-1) + `{}` + strings.Repeat(`}`, n-1)
	}
	if found := wirejson.Decode([]byte(deep(wirejson.MaxDepth)), empty("Kinds")); found != nil {
		t.Errorf("%d levels: %s", wirejson.MaxDepth, lines(found))
	}
	for name, c := range map[string]struct{ body, rule string }{
		"deep":         {deep(wirejson.MaxDepth + 1), "body.too_deep"},
		"deep unknown": {`{"zzzzzz":` + strings.Repeat("[", 1<<20), "body.too_deep"},
		"elements":     {`{"texts":[` + strings.Repeat(`"",`, wirejson.MaxValues) + `""]}`, "body.too_large"},
		"unknown keys": {`{` + strings.Repeat(`"zzzzzz":[0,0],`, 40) + `"zzzzzz":[` + strings.Repeat(`0,`, wirejson.MaxValues) + `0]}`, "body.too_large"},
	} {
		found := wirejson.Decode([]byte(c.body), empty("Kinds"))
		if len(found) == 0 || found[len(found)-1].Rule != c.rule {
			t.Errorf("%s: %s", name, lines(found))
		}
	}
	small := wirejson.Decoder{MaxValues: 3}
	if found := small.Decode([]byte(`{"texts":["",""]}`), empty("Kinds")); found != nil {
		t.Errorf("three values: %s", lines(found))
	}
	if found := small.Decode([]byte(`{"texts":["","",""]}`), empty("Kinds")); len(found) != 1 || found[0].Rule != "body.too_large" {
		t.Errorf("four values: %s", lines(found))
	}
}

func TestDecodeBoundsItsAnswer(t *testing.T) {
	body := `{"texts":[` + strings.Repeat("1,", 10*wirejson.MaxViolations) + `1]}`
	if found := wirejson.Decode([]byte(body), empty("Kinds")); len(found) != wirejson.MaxViolations {
		t.Errorf("%d violations", len(found))
	}
	key := strings.Repeat("体", 1000)
	found := wirejson.Decode([]byte(`{"`+key+`":1,"labels":{"`+key+`":1}}`), empty("Kinds"))
	if len(found) != 2 || len(found[0].Field) > 80 || len(found[1].Field) > 300 {
		t.Errorf("long keys: %s", lines(found))
	}
}

func TestDecoderDeny(t *testing.T) {
	d := wirejson.Decoder{Deny: func(fd protoreflect.FieldDescriptor) bool {
		return fd.Name() == "record_id" || fd.Name() == "version" || strings.HasSuffix(string(fd.Name()), "_rounded")
	}}
	m := empty("Upload")
	found := d.Decode([]byte(`{"record_id":"r","version":null,"blood_pressure":{"systolic":1,"systolic_rounded":false},"records_id":1}`), m)
	want := `record_id field.read_only: is filled by the server; leave it out
blood_pressure.systolic_rounded field.read_only: is filled by the server; leave it out
records_id field.unknown: is not a field here; the fields are patient_id, measurement_time, blood_pressure, temperature, source_time_text, client_record_id, findings, received_time, success`
	if got := lines(found); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// No message tells a value, whatever is wrong with it.
func TestViolationsHoldNoValue(t *testing.T) {
	const secret = "Zq7Secret"
	for _, value := range []string{`"` + secret + `"`, `["` + secret + `"]`, `{"value":"` + secret + `"}`, `"` + secret} {
		for _, name := range []string{"i32", "f32", "flag", "raw", "state", "numbers", "units", "times", "labels", "inner", "start_time", "count"} {
			m := empty("Kinds")
			found := append(wirejson.Decode([]byte(`{"`+name+`":`+value+`}`), m), sourcevalue.Complete(m)...)
			if got := lines(found); strings.Contains(got, secret) {
				t.Errorf("%s %s: %s", name, value, got)
			}
		}
	}
}
