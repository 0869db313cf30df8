package page_test

import (
	"encoding/base64"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"clinsource/internal/fault"
	"clinsource/internal/page"
)

func TestSize(t *testing.T) {
	for size, want := range map[int32]int{0: 50, 1: 1, 50: 50, 1000: 1000, 1001: 1000, math.MaxInt32: 1000} {
		r, err := page.Parse(size, "", "list")
		if err != nil || r.Size != want || r.Limit() != want+1 || r.After != nil {
			t.Errorf("page_size %d gives %+v, %v; want %d", size, r, err, want)
		}
	}
	for _, size := range []int32{-1, math.MinInt32} {
		_, err := page.Parse(size, "", "list")
		refused(t, err, fault.ReasonFieldInvalid, "page_size")
	}
}

func refused(t *testing.T, err error, reason, field string) {
	t.Helper()
	f := fault.From(err)
	if f == nil || f.Code != codes.InvalidArgument || f.Reason != reason || len(f.Violations) != 1 || f.Violations[0].Field != field {
		t.Errorf("the answer is %+v, want InvalidArgument %s for %s", f, reason, field)
	}
}

// token makes the token of the page that ends with the cursor.
func token(t *testing.T, c page.Cursor, scope ...string) string {
	t.Helper()
	r, err := page.Parse(1, "", scope...)
	if err != nil {
		t.Fatal(err)
	}
	rows, next := page.Trim(r, []page.Cursor{c, c}, func(c page.Cursor) page.Cursor { return c })
	if len(rows) != 1 || next == "" {
		t.Fatalf("a page of 1 of 2 rows is %d rows, token %q", len(rows), next)
	}
	return next
}

func TestTokenKeepsItsPlace(t *testing.T) {
	for _, c := range []page.Cursor{
		{}, {At: 1, ID: "a"}, {At: -1, ID: "before 1970"}, {At: math.MaxInt64, ID: strings.Repeat("x", 64)}, {At: math.MinInt64, ID: "p/温度"},
	} {
		r, err := page.Parse(10, token(t, c, "list", "p"), "list", "p")
		if err != nil || r.After == nil || *r.After != c {
			t.Errorf("%+v comes back as %+v, %v", c, r.After, err)
		}
	}
}

func TestTokenIsBoundToItsRequest(t *testing.T) {
	mine := token(t, page.Cursor{At: 7, ID: "r"}, "vitals", "demo")
	for _, scope := range [][]string{{"vitals", "other"}, {"images", "demo"}, {"vitals"}, {"vitals", "demo", ""}, {"vitalsdemo"}, {}} {
		_, err := page.Parse(1, mine, scope...)
		refused(t, err, fault.ReasonPageTokenInvalid, "page_token")
	}
}

func TestGarbageIsRefused(t *testing.T) {
	mine := token(t, page.Cursor{At: 7, ID: "r"}, "list")
	raw, err := base64.RawURLEncoding.DecodeString(mine)
	if err != nil {
		t.Fatal(err)
	}
	again := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	for name, bad := range map[string]string{
		"not base64": "!", "padded": mine + "==", "empty of bytes": "A", "short": again(raw[:15]), "only binding": again(raw[:8]),
		"not UTF-8": again(append(slices.Clone(raw), 0xff)), "NUL": again(append(slices.Clone(raw), 0)),
		"huge": again(append(slices.Clone(raw), make([]byte, 1<<20)...)), "standard alphabet": "+/+/" + mine,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := page.Parse(1, bad, "list")
			refused(t, err, fault.ReasonPageTokenInvalid, "page_token")
		})
	}
	for bit := range 64 {
		changed := slices.Clone(raw)
		changed[bit/8] ^= 1 << (bit % 8)
		if _, err := page.Parse(1, again(changed), "list"); err == nil {
			t.Errorf("the binding with bit %d changed is taken", bit)
		}
	}
}

func TestTrimOnTheEdge(t *testing.T) {
	r, err := page.Parse(3, "", "list")
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) page.Cursor { return page.Cursor{At: int64(i)} }
	for n := range 4 {
		if rows, next := page.Trim(r, make([]int, n), at); len(rows) != n || next != "" {
			t.Errorf("%d rows on a page of 3: %d rows, next %q", n, len(rows), next)
		}
	}
	rows, next := page.Trim(r, []int{1, 2, 3, 4}, at)
	following, err := page.Parse(3, next, "list")
	if err != nil || len(rows) != 3 || following.After.At != 3 {
		t.Errorf("4 rows on a page of 3: %v, next after %+v, %v", rows, following.After, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("", "list")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAA", "list")
	f.Add("bm90IGEgdG9rZW4gb2YgdGhpcyBsaXN0", "a\x00b")
	f.Fuzz(func(t *testing.T, tok, scope string) {
		r, err := page.Parse(1, tok, scope)
		switch {
		case err != nil && (r.After != nil || fault.From(err).Code != codes.InvalidArgument):
			t.Errorf("refused with %v and a cursor %+v", err, r.After)
		case err == nil && tok != "":
			_, next := page.Trim(r, []page.Cursor{*r.After, {}}, func(c page.Cursor) page.Cursor { return c })
			if next != strings.NewReplacer("\r", "", "\n", "").Replace(tok) {
				t.Errorf("a taken token %q is %q when made anew", tok, next)
			}
		}
	})
}
