package callinfo_test

import (
	"strings"
	"testing"

	"clinsource/internal/callinfo"
)

func TestRequestIDsFromOutside(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "A-z_09": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a\n": false, `a"`: false, "é": false, "a.b": false, "a\x00": false,
	} {
		if callinfo.ValidRequestID(id) != want {
			t.Errorf("%q: valid is %v", id, !want)
		}
	}
	first, second := callinfo.NewRequestID(), callinfo.NewRequestID()
	if first == second || !callinfo.ValidRequestID(first) {
		t.Errorf("the made ids are %q and %q", first, second)
	}
}

func TestEachValueHasItsOwnPlace(t *testing.T) {
	ctx := t.Context()
	if callinfo.RequestID(ctx) != "" || callinfo.Peer(ctx) != "" || callinfo.Authorization(ctx) != "" {
		t.Error("an empty context names a call")
	}
	ctx = callinfo.WithAuthorization(callinfo.WithPeer(callinfo.WithRequestID(ctx, "r"), "p"), "a")
	if callinfo.RequestID(ctx) != "r" || callinfo.Peer(ctx) != "p" || callinfo.Authorization(ctx) != "a" {
		t.Errorf("they come back as %q, %q, %q", callinfo.RequestID(ctx), callinfo.Peer(ctx), callinfo.Authorization(ctx))
	}
}
