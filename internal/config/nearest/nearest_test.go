package nearest

import "testing"

func TestOf(t *testing.T) {
	known := []string{"Timeout", "Tls", "ID", "CertFile", "CaFile", "ClientCaFile", "vitals.VitalsService"}
	for _, c := range []struct{ written, want string }{
		{"Timeuot", "Timeout"},                // neighbours swapped
		{"Timeot", "Timeout"},                 // dropped
		{"Timeoutt", "Timeout"},               // added
		{"timeouT", "Timeout"},                // case
		{"Tsl", "Tls"},                        // short word
		{"I", "ID"},                           // one of two letters
		{"aFile", "CaFile"},                   // first letter lost
		{"CeFile", "CaFile"},                  // one edit beats two
		{"Retries", ""},                       // nothing like it
		{"", ""},                              // nothing to go by
		{"vitals.VitalService", known[6]},     // a service
		{"vitals.v1.VitalsService", known[6]}, // three edits in a long word
	} {
		got, ok := Of(c.written, known)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("Of(%q) = %q, %v; want %q", c.written, got, ok, c.want)
		}
	}
}

func TestEditsIsSymmetric(t *testing.T) {
	words := []string{"", "a", "ab", "ba", "abc", "acb", "Timeout", "Timeuot", "CertFile", "KeyFile"}
	for _, a := range words {
		for _, b := range words {
			ab, ba := edits([]rune(a), []rune(b)), edits([]rune(b), []rune(a))
			if ab != ba || (ab == 0) != (a == b) {
				t.Errorf("edits(%q, %q) = %d, back %d", a, b, ab, ba)
			}
		}
	}
}
