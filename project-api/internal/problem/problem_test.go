package problem_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/fault"
	"clinsource/project-api/internal/problem"
)

// statuses is the table of the design, once more: every code that a fault may
// have.
var statuses = map[codes.Code]int{
	codes.Canceled: 499, codes.Unknown: 500, codes.InvalidArgument: 400, codes.DeadlineExceeded: 504, codes.NotFound: 404,
	codes.AlreadyExists: 409, codes.PermissionDenied: 403, codes.ResourceExhausted: 429, codes.FailedPrecondition: 400,
	codes.Aborted: 409, codes.OutOfRange: 400, codes.Unimplemented: 501, codes.Internal: 500, codes.Unavailable: 503,
	codes.DataLoss: 500, codes.Unauthenticated: 401,
}

func TestStatusOfEveryCode(t *testing.T) {
	for code := codes.Canceled; !strings.HasPrefix(code.String(), "Code("); code++ {
		want, ok := statuses[code]
		if !ok {
			t.Errorf("%s is not in the table", code)
		}
		if got := problem.Status(&fault.Error{Code: code, Reason: fault.ReasonInternal}); got != want {
			t.Errorf("%s is %d, want %d", code, got, want)
		}
	}
	for _, code := range []codes.Code{codes.OK, 17, 4711} { // No fault has these; whoever makes one made a mistake.
		if got := problem.Status(&fault.Error{Code: code}); got != http.StatusInternalServerError {
			t.Errorf("%s is %d", code, got)
		}
	}
}

// Where a reason says more than its code, the reason decides; no other does.
func TestStatusOfEveryReason(t *testing.T) {
	own := map[string]int{fault.ReasonBodyTooLarge: 413, fault.ReasonStorageFull: 507, fault.ReasonQuotaExceeded: 507, fault.ReasonMethodNotAllowed: 405, fault.ReasonHeadersTooLarge: 431}
	for reason := range fault.Reasons {
		for code, want := range statuses {
			if status, ok := own[reason]; ok {
				want = status
			}
			if got := problem.Status(&fault.Error{Code: code, Reason: reason}); got != want {
				t.Errorf("%s %s is %d, want %d", code, reason, got, want)
			}
		}
	}
}

func TestEveryReasonIsToldInBothLanguages(t *testing.T) {
	for reason, explained := range fault.Reasons {
		f := &fault.Error{Code: codes.Internal, Reason: reason, Message: "what happened"}
		en, zh := problem.Of(f, "en", "", "r1"), problem.Of(f, "zh", "", "r1")
		if en.Title != explained.Title || en.Detail != "what happened" {
			t.Errorf("%s in English: %+v", reason, en)
		}
		if zh.Title != explained.TitleZH || zh.Detail != explained.HelpZH || !hasChinese(zh.Title) || !hasChinese(zh.Detail) {
			t.Errorf("%s in Chinese: %+v", reason, zh)
		}
		if en.Type != "/docs/errors/"+reason || zh.Type != en.Type || en.Code != "Internal" || en.Reason != reason || en.RequestID != "r1" {
			t.Errorf("%s: %+v", reason, en)
		}
	}
}

// A newer service may give a reason that this gateway does not know: the
// document is whole all the same.
func TestAReasonOfTomorrow(t *testing.T) {
	f := &fault.Error{Code: codes.FailedPrecondition, Reason: "CONSENT_EXPIRED", Message: "the consent has expired"}
	for _, language := range []string{"en", "zh"} {
		p := problem.Of(f, language, "", "r1")
		if p.Status != 400 || p.Reason != "CONSENT_EXPIRED" || p.Title == "" || p.Detail != f.Message {
			t.Errorf("%s: %+v", language, p)
		}
	}
}

func hasChinese(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r >= 0x4e00 && r <= 0x9fff })
}

// The article's own words.
func TestTheArticlesWords(t *testing.T) {
	fields := func(names ...string) *fault.Error {
		var bad []fault.Violation
		for _, name := range names {
			bad = append(bad, fault.Violation{Field: name, Rule: "r", Message: "m"})
		}
		return fault.InvalidFields(bad)
	}
	unknown := fault.DeadlineExceeded("late")
	unknown.Reason = fault.ReasonOutcomeUnknown
	for _, c := range []struct {
		fault       *fault.Error
		about, want string
	}{
		{fault.DeadlineExceeded("late"), "reports", "获取患者报告超时，请稍后重试"},
		{fault.DeadlineExceeded("late"), "vitals", "获取生命体征超时，请稍后重试"},
		{fault.DeadlineExceeded("late"), "subjects", "获取受试者信息超时，请稍后重试"},
		{fault.DeadlineExceeded("late"), "images", "获取影像超时，请稍后重试"},
		{fault.DeadlineExceeded("late"), "medications", "获取用药记录超时，请稍后重试"},
		{fault.DeadlineExceeded("late"), "", "请求超时，请稍后重试。"},
		{unknown, "vitals", "未能确认是否已保存；请使用相同的 client_record_id 重新发送。"}, // A write: nothing was to be fetched.
		{fault.Denied(fault.ReasonNoGrant, "no"), "reports", "权限不足，请联系管理员。"},
		{fault.Denied(fault.ReasonRoleForbids, "no"), "", "权限不足，请联系管理员。"},
		{fields("patient_id"), "vitals", "请求参数错误，请检查 patient_id 字段。"},
		{fields("a", "b"), "", "请求参数错误，请检查 a、b 字段。"},
		{fields("a", "b", "a", "b"), "", "请求参数错误，请检查 a、b 字段。"}, // Two rules of one field.
		{fields("a", "a", "b", "c", "d", "e", "f"), "", "请求参数错误，请检查 a、b、c、d、e 字段。"},
		{fault.Unavailable(fault.ReasonUnavailable, "away", time.Second), "reports", "服务暂时不可用，请稍后重试。"},
	} {
		if got := problem.DetailZH(c.fault, c.about); got != c.want {
			t.Errorf("%v about %q: %s, want %s", c.fault, c.about, got, c.want)
		}
	}
}

func TestChinese(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "*": false, "en": false, "de": false, "zh": true, "ZH": true, "zh-CN": true, "zh-Hant-TW": true, "zhx": false,
		"zh-CN,zh;q=0.9,en;q=0.8": true, "en-US,en;q=0.9,zh;q=0.8": false, "en;q=0.5,zh;q=0.6": true, "zh;q=0.5, en;q=0.6": false,
		"zh,en": true, "en,zh": false, "en;q=0.7,zh;q=0.7": false, "de,zh;q=0.1": true, "de, en;q=0.2, zh;q=0.1": false,
		"zh;q=0": false, "zh;q=0,en;q=0": false, "zh;q=0.000,en;q=0.001": false, " zh ; q=0.9 , en ; q=0.8": true,
		"zh;q=x": false, "zh;q=NaN": false, "zh;q=": false, "zh;q=-1": false, ";q=1": false, ",,zh": true, "zh;Q=0.3,en;Q=0.2": true,
	} {
		if got := problem.Chinese(header); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

// write sends a problem on top of what a handler had begun to say.
func write(t *testing.T, f *fault.Error, language string) (*http.Response, problem.Problem) {
	t.Helper()
	w := httptest.NewRecorder()
	for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Content-Digest"} {
		w.Header().Set(name, "1")
	}
	w.Header().Set("Content-Type", "application/dicom")
	w.Header().Set("Cache-Control", "max-age=60")
	w.Header().Set("X-Request-Id", "r1")
	w.Header().Set("Allow", "GET")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/projects", nil)
	r.Header.Set("Accept-Language", language)
	status := problem.Write(w, r, f, "reports", "r1")
	resp := w.Result()
	defer resp.Body.Close()
	if resp.StatusCode != status {
		t.Errorf("sent %d, said %d", resp.StatusCode, status)
	}
	var p problem.Problem
	decoder := json.NewDecoder(resp.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		t.Error(err)
	}
	if p.Status != status {
		t.Errorf("the document says %d, the answer %d", p.Status, status)
	}
	return resp, p
}

func TestNoHeaderIsLeftOver(t *testing.T) {
	resp, p := write(t, fault.Internal(nil), "")
	document, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	length := len(document) + len("\n")
	want := http.Header{
		"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}, "Vary": {"Accept-Language"},
		"X-Request-Id": {"r1"}, "Allow": {"GET"},
		"Content-Length": {strconv.Itoa(length)}, // The document's own.
	}
	if got := fmt.Sprint(resp.Header); got != fmt.Sprint(want) {
		t.Errorf("got  %s\nwant %v", got, want)
	}
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		fault  *fault.Error
		status int
		want   string
	}{
		{fault.Unavailable(fault.ReasonUnavailable, "away", 0), 503, "1"},
		{fault.Unavailable(fault.ReasonUnavailable, "away", time.Millisecond), 503, "1"},
		{fault.Unavailable(fault.ReasonOverloaded, "full", 1500*time.Millisecond), 503, "2"},
		{fault.Exhausted(fault.ReasonOverloaded, "full", 0), 429, "1"},
		{fault.Exhausted(fault.ReasonOverloaded, "full", 2*time.Second), 429, "2"},
		{fault.Exhausted(fault.ReasonStorageFull, "full", time.Minute), 507, "60"},
		{fault.DeadlineExceeded("late"), 504, ""},
		{fault.Internal(nil), 500, ""},
		{fault.NotFound(fault.ReasonRouteNotFound, "none"), 404, ""},
	} {
		resp, _ := write(t, c.fault, "")
		if got := resp.Header.Get("Retry-After"); resp.StatusCode != c.status || got != c.want {
			t.Errorf("%v: %d after %q, want %d after %q", c.fault, resp.StatusCode, got, c.status, c.want)
		}
	}
}

func TestUnauthenticatedAsksForABearerToken(t *testing.T) {
	for _, f := range []*fault.Error{fault.Unauthenticated(fault.ReasonTokenMissing, "none"), fault.Unauthenticated(fault.ReasonTokenInvalid, "expired")} {
		if resp, _ := write(t, f, ""); resp.StatusCode != 401 || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%v: %d, WWW-Authenticate %q", f, resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
		}
	}
	if resp, _ := write(t, fault.Denied(fault.ReasonNoGrant, "no"), ""); resp.Header.Get("WWW-Authenticate") != "" {
		t.Error("a token does not help who is denied")
	}
}

func TestTheDocument(t *testing.T) {
	f := fault.InvalidFields([]fault.Violation{{Field: "systolic", Rule: "range", Message: "must be 30 to 300"}})
	_, en := write(t, f, "en")
	_, zh := write(t, f, "zh-CN,en;q=0.5")
	if en.Title != "The request breaks a rule" || en.Detail != "systolic: must be 30 to 300" || en.Code != "InvalidArgument" || en.RequestID != "r1" {
		t.Errorf("in English: %+v", en)
	}
	if zh.Title != "请求参数错误" || zh.Detail != "请求参数错误，请检查 systolic 字段。" || zh.Reason != en.Reason || zh.Type != en.Type {
		t.Errorf("in Chinese: %+v", zh)
	}
	for _, p := range []problem.Problem{en, zh} {
		if len(p.Errors) != 1 || p.Errors[0] != (problem.Field{Field: "systolic", Rule: "range", Message: "must be 30 to 300"}) {
			t.Errorf("errors %v", p.Errors)
		}
	}
	body, err := json.Marshal(problem.Of(fault.Internal(nil), "", "", ""))
	if err != nil || !strings.Contains(string(body), `"errors":[]`) {
		t.Errorf("no field is wrong: %s, %v", body, err)
	}
}
