package ident_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"clinsource/internal/fault"
	"clinsource/internal/ident"
)

func TestValid(t *testing.T) {
	for _, id := range []string{"a", "demo-001", "A.b_C-9", "...", "-", strings.Repeat("x", 64)} {
		if !ident.Valid(id) {
			t.Errorf("%q is refused", id)
		}
	}
	for _, id := range []string{
		"", ".", "..", strings.Repeat("x", 65), "a b", "a/b", "a:b", "é", "病人", "a\x00", "a\n", "%41", "a?b", "ａ", "\xff",
	} {
		if ident.Valid(id) {
			t.Errorf("%q is taken", id)
		}
	}
}

func TestCheckerNamesEveryField(t *testing.T) {
	var c ident.Checker
	if err := c.Err(); err != nil {
		t.Errorf("nothing was checked and it says %v", err)
	}
	c.Required("ok", "demo")
	c.Optional("none", "")
	c.Text("fits", "四字", 6)
	if err := c.Err(); err != nil {
		t.Errorf("all is right and it says %v", err)
	}
	c.Required("absent", "")
	c.Required("malformed", "a secret/")
	c.Optional("optional", "..")
	c.Text("long", "abcdefg", 6)
	c.Text("nul", "a\x00", 6)
	c.Text("bytes", "\xff", 6)
	f := fault.From(c.Err())
	want := []string{
		"absent identifier.required", "malformed identifier.malformed", "optional identifier.malformed",
		"long text.too_long", "nul text.malformed", "bytes text.malformed",
	}
	if f.Code != codes.InvalidArgument || len(f.Violations) != len(want) {
		t.Fatalf("the violations are %v", f.Violations)
	}
	for i, v := range f.Violations {
		if v.Field+" "+v.Rule != want[i] || v.Message == "" || strings.Contains(v.Message, "secret") {
			t.Errorf("violation %d is %+v, want %s", i, v, want[i])
		}
	}
}
