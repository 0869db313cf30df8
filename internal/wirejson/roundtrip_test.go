package wirejson_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"clinsource/internal/sourcevalue"
	"clinsource/internal/wirejson"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"
)

var decimals = rapid.StringMatching(`-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?`)

// fill draws a message that sourcevalue.Complete accepts.
func fill(t *rapid.T, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		name := string(fd.Name())
		switch {
		case strings.HasSuffix(name, "_entered"), strings.HasSuffix(name, "_rounded"), strings.HasSuffix(name, "_text") && name != "opt_text":
			continue // drawn with their fields, or derived
		case rapid.IntRange(0, 2).Draw(t, name+" left out") == 0:
			continue
		case fd.IsMap():
			for range rapid.IntRange(0, 3).Draw(t, name) {
				key := protoreflect.ValueOfString(rapid.String().Draw(t, name+" key")).MapKey()
				m.Mutable(fd).Map().Set(key, value(t, fd.MapValue(), m.Mutable(fd).Map().NewValue, depth))
			}
		case fd.IsList():
			for range rapid.IntRange(0, 3).Draw(t, name) {
				m.Mutable(fd).List().Append(value(t, fd, m.Mutable(fd).List().NewElement, depth))
			}
		case fd.Message() != nil && !sourcevalue.IsTimestamp(fd) && depth == 0:
		case sourcevalue.EnteredOf(fd) != nil && fd.ContainingOneof() == nil && rapid.Bool().Draw(t, name+" entered"):
			text := decimals.Draw(t, name)
			if fd.Kind() == protoreflect.Uint32Kind {
				text = strings.TrimPrefix(text, "-")
			}
			m.Set(sourcevalue.EnteredOf(fd), protoreflect.ValueOfString(text))
		case sourcevalue.TextOf(fd) != nil && fd.ContainingOneof() == nil && rapid.Bool().Draw(t, name+" text"):
			zone := time.FixedZone("", 60*rapid.IntRange(-600, 840).Draw(t, "offset"))
			text := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, name), 0).In(zone).Format(time.RFC3339)
			m.Set(sourcevalue.TextOf(fd), protoreflect.ValueOfString(text))
		default:
			m.Set(fd, value(t, fd, func() protoreflect.Value { return m.NewField(fd) }, depth))
		}
	}
}

func value(t *rapid.T, fd protoreflect.FieldDescriptor, empty func() protoreflect.Value, depth int) protoreflect.Value {
	name := string(fd.Name())
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, name))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.String().Draw(t, name))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOf(rapid.Byte()).Draw(t, name))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.IntRange(0, fd.Enum().Values().Len()-1).Draw(t, name)))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(rapid.Float32Range(1e-20, 1e20).Draw(t, name))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(rapid.Float64Range(-1e20, -1e-20).Draw(t, name))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, name))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, name))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, name))
	case protoreflect.MessageKind:
		v := empty()
		if sourcevalue.IsTimestamp(fd) {
			sourcevalue.SetTime(v.Message(), time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, name), rapid.Int64Range(0, 999999999).Draw(t, "nanos")))
		} else if depth > 0 {
			fill(t, v.Message(), depth-1)
		}
		return v
	default:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, name))
	}
}

func TestRoundTrip(t *testing.T) {
	for _, name := range []protoreflect.Name{"Kinds", "Upload", "Batch"} {
		t.Run(string(name), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := empty(name)
				fill(t, m, 2)
				if found := sourcevalue.Complete(m); found != nil {
					t.Fatalf("%v: %s", m, lines(found))
				}
				checkRoundTrip(t, m)
			})
		})
	}
}

// checkRoundTrip holds that a completed message comes back from its JSON and
// that its JSON says what protojson would say.
func checkRoundTrip(t interface{ Fatalf(string, ...any) }, m *dynamicpb.Message) {
	body := wirejson.Encode(m)
	if !json.Valid(body) || !utf8.Valid(body) {
		t.Fatalf("no JSON: %s", body)
	}
	back := dynamicpb.NewMessage(m.Descriptor())
	if found := wirejson.Decode(body, back); found != nil {
		t.Fatalf("%s\nrefused: %s", body, lines(found))
	}
	if found := sourcevalue.Complete(back); found != nil || !proto.Equal(m, back) {
		t.Fatalf("%s\ngot  %v\nwant %v\n%s", body, back, m, lines(found))
	}
	if again := wirejson.Encode(back); !bytes.Equal(body, again) {
		t.Fatalf("other bytes the second time:\n%s\n%s", body, again)
	}
	theirs := dynamicpb.NewMessage(m.Descriptor())
	if err := protojson.Unmarshal(body, theirs); err != nil || !proto.Equal(m, theirs) {
		t.Fatalf("%s\nprotojson reads %v, %v", body, theirs, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, ``, `null`, `{"a":1`, "{\"text\":\"\xff\"}", `{"text":"\ud83d\ude00\u0000"}`, `{"inner":{"inner":{"numbers":[1,2,null]}}}`,
		`{"i32":1,"f32":2.5,"u64":18446744073709551615,"flag":true,"raw":"/wA=","state":"ACTIVE","opt":0,"units":["CELSIUS"],"times":["2026-03-01T08:30:00+08:00"]}`,
		`{"labels":{"a":"b"},"pressures":{"x":{"systolic":100.67,"systolic_entered":"100.67"}},"dates":{"d":"1970-01-01T00:00:01Z"},"amount":2.50}`,
		`{"start_time":"2026-03-01T08:30:00.5+08:00","count":-0.4,"count_entered":"1e30","words":null}`,
		`{"amount":1e-5,"amount_entered":"0.00001","amount_rounded":true}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m := empty("Kinds")
		found := wirejson.Decode(body, m)
		for _, v := range found {
			if v.Field == "" || v.Rule == "" || v.Message == "" || !utf8.ValidString(v.Field+v.Message) {
				t.Fatalf("%q: a bad violation: %q", body, v)
			}
			// encoding/json lets other bytes than UTF-8 and half surrogate pairs through.
			if v.Rule == "body.malformed" && json.Valid(body) && utf8.Valid(body) && !bytes.Contains(body, []byte(`\u`)) {
				t.Fatalf("%q is JSON, but: %s", body, v.Message)
			}
		}
		if found != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is no JSON and was accepted", body)
		}
		if sourcevalue.Complete(m) == nil {
			checkRoundTrip(t, m)
		}
	})
}

// The vitals of one upload, as a device sends and as the server answers them.
const vitalsBody = `{"patient_id":"demo-001","measurement_time":"2026-03-01T08:30:00.12+08:00","blood_pressure":{"systolic":121,"diastolic":79},` +
	`"temperature":{"value":37.2,"unit":"FAHRENHEIT"},"client_record_id":"0198f3b2-6a1c-7c1e-9d53-0a5f1f6f3a11"}`

func BenchmarkDecode(b *testing.B) {
	m := empty("Upload")
	b.Run("wirejson", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if wirejson.Decode([]byte(vitalsBody), m) != nil {
				b.Fatal("refused")
			}
		}
	})
	b.Run("protojson", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := protojson.Unmarshal([]byte(vitalsBody), m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	m := empty("Upload")
	if wirejson.Decode([]byte(vitalsBody), m) != nil || sourcevalue.Complete(m) != nil {
		b.Fatal("refused")
	}
	b.Run("wirejson", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			dst = wirejson.AppendEncode(dst[:0], m)
		}
	})
	b.Run("protojson", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		var err error
		for b.Loop() {
			if dst, err = (protojson.MarshalOptions{UseProtoNames: true}).MarshalAppend(dst[:0], m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
