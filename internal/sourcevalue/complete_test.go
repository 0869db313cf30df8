package sourcevalue_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"clinsource/internal/sourcevalue"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

func TestCompleteFills(t *testing.T) {
	for _, c := range []struct{ name, message, in, want string }{
		{"integer to text", "Pressure", `systolic: 120 diastolic: -8`, `systolic: 120 systolic_entered: "120" diastolic: -8 diastolic_entered: "-8"`},
		{"decimal to int32", "Pressure", `systolic_entered: "100.67"`, `systolic: 101 systolic_entered: "100.67" systolic_rounded: true`},
		{"no rounded field", "Pressure", `diastolic_entered: "69.3"`, `diastolic: 69 diastolic_entered: "69.3"`},
		{"half to even, down", "Pressure", `systolic_entered: "100.5"`, `systolic: 100 systolic_entered: "100.5" systolic_rounded: true`},
		{"half to even, up", "Pressure", `systolic_entered: "101.5"`, `systolic: 102 systolic_entered: "101.5" systolic_rounded: true`},
		{"both agree rounded", "Pressure", `systolic: 101 systolic_entered: "100.67"`, `systolic: 101 systolic_entered: "100.67" systolic_rounded: true`},
		{"trailing zeros are kept", "Pressure", `systolic: 120 systolic_entered: "120.00"`, `systolic: 120 systolic_entered: "120.00"`},
		{"exponent form is kept", "Pressure", `systolic_entered: "1.2e2"`, `systolic: 120 systolic_entered: "1.2e2"`},
		{"a false mark is corrected", "Pressure", `systolic: 120 systolic_rounded: true`, `systolic: 120 systolic_entered: "120"`},
		{"a mark without number too", "Pressure", `systolic_rounded: true`, ``},
		{"bare zero stays", "Pressure", `systolic: 0`, ``},
		{"entered zero stays zero", "Pressure", `systolic_entered: "0"`, `systolic_entered: "0"`},
		{"rounds to zero", "Pressure", `systolic_entered: "0.5"`, `systolic_entered: "0.5" systolic_rounded: true`},

		{"float prints as float32", "Numbers", `f32: 37.2`, `f32: 37.2 f32_entered: "37.2"`},
		{"double prints as double", "Numbers", `f64: 0.1`, `f64: 0.1 f64_entered: "0.1"`},
		{"float from text is exact in its digits", "Numbers", `f32_entered: "37.20"`, `f32: 37.2 f32_entered: "37.20"`},
		{"float that loses digits", "Numbers", `f32_entered: "37.123456789"`, `f32: 37.123456789 f32_entered: "37.123456789" f32_rounded: true`},
		{"double that loses digits", "Numbers", `f64_entered: "0.12345678901234567891"`, `f64: 0.12345678901234567891 f64_entered: "0.12345678901234567891" f64_rounded: true`},
		{"small float", "Numbers", `f64: 1e-9`, `f64: 1e-9 f64_entered: "1e-09"`},
		{"negative zero", "Numbers", `f64: -0`, `f64: -0 f64_entered: "-0"`},
		{"underflow is rounding", "Numbers", `f32_entered: "0.000000000000000000000000000001e-30"`, `f32_entered: "0.000000000000000000000000000001e-30" f32_rounded: true`},
		{"extremes", "Numbers",
			`i32_entered: "-2147483648" i64_entered: "-9223372036854775808" u32_entered: "4294967295" u64_entered: "18446744073709551615"`,
			`i32: -2147483648 i32_entered: "-2147483648" i64: -9223372036854775808 i64_entered: "-9223372036854775808"
			 u32: 4294967295 u32_entered: "4294967295" u64: 18446744073709551615 u64_entered: "18446744073709551615"`},
		{"unsigned from a negative fraction", "Numbers", `u32_entered: "-0.4"`, `u32_entered: "-0.4" u32_rounded: true`},
		{"presence: set zero is a number", "Numbers", `opt: 0`, `opt: 0 opt_entered: "0"`},
		{"presence: zero agrees with a rounded text", "Numbers", `opt: 0 opt_entered: "0.3"`, `opt: 0 opt_entered: "0.3" opt_rounded: true`},
		{"presence: derived", "Numbers", `opt_entered: "0"`, `opt: 0 opt_entered: "0"`},
		{"presence: empty text is none", "Numbers", `opt: 3 opt_entered: ""`, `opt: 3 opt_entered: "3"`},

		{"oneof from number", "Answer", `number: 2.5`, `number: 2.5 number_entered: "2.5"`},
		{"oneof zero is an answer", "Answer", `number: 0`, `number: 0 number_entered: "0"`},
		{"oneof from text", "Answer", `number_entered: "2.50"`, `number: 2.5 number_entered: "2.50"`},
		{"oneof of another kind", "Answer", `text: "x"`, `text: "x"`},
		{"oneof time", "Answer", `date_time_text: "2026-03-01T08:30:00+08:00"`, `date_time {seconds: 1772325000} date_time_text: "2026-03-01T08:30:00+08:00"`},

		{"time to text", "Vitals", `start_time {seconds: 1772325000 nanos: 120000000}`, `start_time {seconds: 1772325000 nanos: 120000000} start_time_text: "2026-03-01T00:30:00.12Z"`},
		{"source_time_text to measurement_time", "Vitals", `source_time_text: "2026-03-01T08:30:00.000000001+08:00"`,
			`measurement_time {seconds: 1772325000 nanos: 1} source_time_text: "2026-03-01T08:30:00.000000001+08:00"`},
		{"received_time has no text", "Vitals", `received_time {seconds: 5}`, `received_time {seconds: 5}`},
		{"source_time_text to the first of several", "Two", `source_time_text: "1970-01-01T00:00:01Z"`, `authored_time {seconds: 1} source_time_text: "1970-01-01T00:00:01Z"`},
		{"an own text goes first", "Two", `created_time {seconds: 1} voided_time {seconds: 2} end {seconds: 3}`,
			`created_time {seconds: 1} created_time_text: "1970-01-01T00:00:01Z" voided_time {seconds: 2} end {seconds: 3}`},
		{"set epoch is a time", "Vitals", `measurement_time {}`, `measurement_time {} source_time_text: "1970-01-01T00:00:00Z"`},
		{"same instant in two offsets", "Vitals", `measurement_time {seconds: 1772325000} source_time_text: "2026-02-28T19:30:00-05:00"`,
			`measurement_time {seconds: 1772325000} source_time_text: "2026-02-28T19:30:00-05:00"`},

		{"everywhere inside", "Batch",
			`items {blood_pressure {systolic: 1}} answers {key: "a" value {number: 3}} inner {items {value_entered: "37.2"}}`,
			`items {blood_pressure {systolic: 1 systolic_entered: "1"}} answers {key: "a" value {number: 3 number_entered: "3"}} inner {items {value: 37.2 value_entered: "37.2"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := message(t, protoreflect.Name(c.message), c.in)
			if found := sourcevalue.Complete(m); found != nil {
				t.Fatalf("refused: %v", found)
			}
			if want := message(t, protoreflect.Name(c.message), c.want); !proto.Equal(m, want) {
				t.Errorf("got  %v\nwant %v", m, want)
			}
			first := proto.Clone(m)
			if found := sourcevalue.Complete(m); found != nil || !proto.Equal(m, first) {
				t.Errorf("a second pass changed it: %v, %v", m, found)
			}
		})
	}
}

func TestCompleteRefuses(t *testing.T) {
	for _, c := range []struct{ name, message, in, want string }{
		{"disagree", "Pressure", `systolic: 100 systolic_entered: "100.67"`, "systolic value.disagrees"},
		{"float disagrees", "Numbers", `f32: 37.2 f32_entered: "37.3"`, "f32 value.disagrees"},
		{"set zero disagrees", "Numbers", `opt: 0 opt_entered: "5"`, "opt value.disagrees"},
		{"another member of the oneof", "Answer", `text: "x" number_entered: "5"`, "number value.disagrees"},
		{"another member of the oneof, time", "Answer", `text: "x" date_time_text: "2026-03-01T08:30:00Z"`, "date_time time.disagrees"},
		{"too large", "Numbers", `i32_entered: "2147483648" i64_entered: "9223372036854775808" u32_entered: "4294967295.5" u64_entered: "18446744073709551615.5"`,
			"i32 value.out_of_type\ni64 value.out_of_type\nu32 value.out_of_type\nu64 value.out_of_type"},
		{"too small", "Numbers", `i32_entered: "-2147483648.6" i64_entered: "-1e30" u32_entered: "-1" u64_entered: "-0.6"`,
			"i32 value.out_of_type\ni64 value.out_of_type\nu32 value.out_of_type\nu64 value.out_of_type"},
		{"too large for a float", "Numbers", `f32_entered: "1000000000e30"`, "f32 value.out_of_type"},
		{"no text for it", "Numbers", `f64: 1e31`, "f64 value.out_of_type"},
		{"not finite", "Numbers", `f32: nan f64: inf bare: -inf list: [1, nan] named {key: "a" value: inf}`,
			"f32 value.not_finite\nf64 value.not_finite\nbare value.not_finite\nlist[1] value.not_finite\nnamed[\"a\"] value.not_finite"},
		{"not finite with text", "Numbers", `f32: nan f32_entered: "1"`, "f32 value.not_finite"},
		{"time disagrees", "Vitals", `measurement_time {seconds: 1772325000} source_time_text: "2026-03-01T08:30:00Z"`, "measurement_time time.disagrees"},
		{"time says more than its text", "Vitals", `measurement_time {seconds: 1772325000 nanos: 1} source_time_text: "2026-03-01T00:30:00Z"`, "measurement_time time.disagrees"},
		{"time malformed", "Vitals", `source_time_text: "yesterday" start_time_text: "2026-03-01"`, "source_time_text time.malformed\nstart_time_text time.malformed"},
		{"time invalid", "Vitals", `received_time {nanos: -1} measurement_time {nanos: 1000000000} start_time {seconds: 253402300800}`,
			"received_time time.invalid\nmeasurement_time time.invalid\nstart_time time.invalid"},
		{"paths, all at once", "Batch",
			`items {} items {blood_pressure {systolic_entered: "x" diastolic: 1 diastolic_entered: "2"} value: inf}
			 answers {key: "q\"1" value {number_entered: "-"}} inner {inner {items {start_time_text: "?"}}} times {} times {nanos: -5}`,
			"items[1].value value.not_finite\nitems[1].blood_pressure.systolic_entered value.malformed\nitems[1].blood_pressure.diastolic value.disagrees\n" +
				"answers[\"q\\\"1\"].number_entered value.malformed\ninner.inner.items[0].start_time_text time.malformed\ntimes[1] time.invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := sourcevalue.Complete(message(t, protoreflect.Name(c.message), c.in))
			if got := rules(found); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
			for _, v := range found {
				if strings.Contains(v.Message, "100.67") || strings.Contains(v.Message, "yesterday") {
					t.Errorf("the message holds the value: %s", v.Message)
				}
			}
		})
	}
}

func TestDisagreementNamesBothFields(t *testing.T) {
	found := sourcevalue.Complete(message(t, "Vitals",
		`blood_pressure {systolic: 9 systolic_entered: "8"} start_time {} start_time_text: "2026-03-01T08:30:00Z"`))
	if len(found) != 2 || !strings.Contains(found[1].Message, "blood_pressure.systolic_entered") || !strings.Contains(found[0].Message, "start_time_text") {
		t.Errorf("got %v", found)
	}
}

func TestMalformedNumbers(t *testing.T) {
	for _, text := range []string{
		" 1", "1 ", "+1", ".5", "1.", "-", "", "01", "-01", "1e", "1e+", "1E31", "1e-31", "1e1.5", "0x1", "1_0", "1,5", "NaN", "Infinity",
		"１", "1e999999999999999999999", strings.Repeat("1", 41),
	} {
		if sourcevalue.ValidNumber(text) {
			t.Errorf("%q was taken for a number", text)
		}
		if text == "" {
			continue
		}
		m := message(t, "Numbers", "f64_entered: "+strconv.Quote(text))
		if got := rules(sourcevalue.Complete(m)); got != "f64_entered value.malformed" {
			t.Errorf("%q: %q", text, got)
		}
	}
	for _, text := range []string{"0", "-0", "0.0", "10", "1e30", "1E-30", "1e+007", strings.Repeat("9", 40)} {
		if !sourcevalue.ValidNumber(text) {
			t.Errorf("%q was refused", text)
		}
	}
}

func TestCompleteBoundsItsAnswer(t *testing.T) {
	m := message(t, "Batch", strings.Repeat(`items {value_entered: "x"}`, 3*sourcevalue.MaxViolations))
	if n := len(sourcevalue.Complete(m)); n != sourcevalue.MaxViolations {
		t.Errorf("%d violations", n)
	}
}

func TestCompleteTakesNothing(t *testing.T) {
	if found := sourcevalue.Complete(nil); found != nil {
		t.Error(found)
	}
	if found := sourcevalue.Complete((*timestamppb.Timestamp)(nil)); found != nil {
		t.Error(found)
	}
}

// What a message gives by its numbers comes back from its texts alone, bit for
// bit.
func TestNumbersSurviveTheirTexts(t *testing.T) {
	fields := files.Messages().ByName("Numbers").Fields()
	rapid.Check(t, func(t *rapid.T) {
		full := dynamicpb.NewMessage(fields.Get(0).ContainingMessage())
		set := func(name protoreflect.Name, v any) { full.Set(fields.ByName(name), protoreflect.ValueOf(v)) }
		set("i32", rapid.Int32().Draw(t, "i32"))
		set("i64", rapid.Int64().Draw(t, "i64"))
		set("u32", rapid.Uint32().Draw(t, "u32"))
		set("u64", rapid.Uint64().Draw(t, "u64"))
		set("opt", rapid.Int32().Draw(t, "opt"))
		set("f32", rapid.Float32Range(-1e30, 1e30).Filter(func(f float32) bool { return f == 0 || math.Abs(float64(f)) > 1e-30 }).Draw(t, "f32"))
		set("f64", rapid.Float64Range(-1e30, 1e30).Filter(func(f float64) bool { return f == 0 || math.Abs(f) > 1e-30 }).Draw(t, "f64"))
		if found := sourcevalue.Complete(full); found != nil {
			t.Fatal(found)
		}
		texts := proto.Clone(full).ProtoReflect()
		for _, name := range []protoreflect.Name{"i32", "i64", "u32", "u64", "opt", "f32", "f64"} {
			texts.Clear(fields.ByName(name))
		}
		if found := sourcevalue.Complete(texts.Interface()); found != nil || !proto.Equal(texts.Interface(), full) {
			t.Fatalf("got %v\nwant %v\n%v", texts, full, found)
		}
	})
}

func BenchmarkComplete(b *testing.B) {
	full := message(b, "Vitals", `measurement_time {seconds: 1772325000} blood_pressure {systolic_entered: "100.67" diastolic: 69} value: 37.2`)
	b.ReportAllocs()
	for b.Loop() {
		if sourcevalue.Complete(proto.Clone(full)) != nil {
			b.Fatal("refused")
		}
	}
}
