// Package problem is how the gateway says no: one RFC 9457 problem document,
// application/problem+json, for every answer of 400 and above, in English or
// Chinese by Accept-Language. A fault's gRPC code decides the HTTP status by the
// one table here; its reason is what programs branch on.
package problem

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"clinsource/internal/fault"
)

// Problem is the document.
type Problem struct {
	Type      string  `json:"type"` // The page that explains the reason.
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Detail    string  `json:"detail"`
	Code      string  `json:"code"`   // gRPC code, for example "InvalidArgument".
	Reason    string  `json:"reason"` // Stable, for example "FIELD_INVALID".
	Errors    []Field `json:"errors"` // The offending fields; empty if none is.
	RequestID string  `json:"request_id"`
}

// Field is one offending field.
type Field struct {
	Field   string `json:"field"`
	Rule    string `json:"rule"`
	Message string `json:"message"`
}

// StatusClientClosed is the status logged for a caller who left; nobody sees it.
const StatusClientClosed = 499

// statusOf is the table of DESIGN 5.
var statusOf = map[codes.Code]int{
	codes.Canceled:           StatusClientClosed,
	codes.Unknown:            http.StatusInternalServerError,
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.Unauthenticated:    http.StatusUnauthorized,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.Aborted:            http.StatusConflict,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Internal:           http.StatusInternalServerError,
	codes.DataLoss:           http.StatusInternalServerError,
}

// statusOfReason is where a reason says more than its code.
var statusOfReason = map[string]int{
	fault.ReasonBodyTooLarge:     http.StatusRequestEntityTooLarge,
	fault.ReasonHeadersTooLarge:  http.StatusRequestHeaderFieldsTooLarge,
	fault.ReasonStorageFull:      http.StatusInsufficientStorage,
	fault.ReasonQuotaExceeded:    http.StatusInsufficientStorage,
	fault.ReasonMethodNotAllowed: http.StatusMethodNotAllowed,
}

// Status gives the HTTP status of a fault.
func Status(f *fault.Error) int {
	if status, ok := statusOfReason[f.Reason]; ok {
		return status
	}
	if status, ok := statusOf[f.Code]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// Of makes the document of a fault in the caller's language. about names what
// the call was about (a section's name), or "".
func Of(f *fault.Error, acceptLanguage, about, requestID string) Problem {
	p := Problem{
		Type: "/docs/errors/" + f.Reason, Status: Status(f), Detail: f.Message, Code: f.Code.String(),
		Reason: f.Reason, Errors: []Field{}, RequestID: requestID,
	}
	explained, known := fault.Reasons[f.Reason]
	if !known { // Of a service newer than this gateway.
		explained.Title, explained.TitleZH = http.StatusText(p.Status), http.StatusText(p.Status)
	}
	p.Title = explained.Title
	if Chinese(acceptLanguage) {
		p.Title, p.Detail = explained.TitleZH, DetailZH(f, about)
	}
	for _, v := range f.Violations {
		p.Errors = append(p.Errors, Field{Field: v.Field, Rule: v.Rule, Message: v.Message})
	}
	return p
}

// aboutZH names in Chinese what a call was about.
var aboutZH = map[string]string{
	"subjects": "受试者信息", "vitals": "生命体征", "images": "影像", "reports": "患者报告", "medications": "用药记录", "grants": "授权信息", "accounts": "账号信息",
}

// maxFieldsNamed bounds the fields that a sentence names.
const maxFieldsNamed = 5

// DetailZH says in Chinese what happened and the way out.
func DetailZH(f *fault.Error, about string) string {
	switch {
	case f.Code == codes.DeadlineExceeded && f.Reason == fault.ReasonTimeout && aboutZH[about] != "":
		return "获取" + aboutZH[about] + "超时，请稍后重试"
	case len(f.Violations) > 0:
		var fields []string
		for _, v := range f.Violations {
			if len(fields) < maxFieldsNamed && !slices.Contains(fields, v.Field) { // Several rules may have met one field.
				fields = append(fields, v.Field)
			}
		}
		return "请求参数错误，请检查 " + strings.Join(fields, "、") + " 字段。"
	}
	if explained, known := fault.Reasons[f.Reason]; known {
		return explained.HelpZH
	}
	return f.Message
}

// Chinese says whether the caller prefers Chinese to English. The first of the
// two with the greatest q counts; English if neither is asked for.
func Chinese(acceptLanguage string) bool {
	best, chinese := 0.0, false
	for _, item := range strings.Split(acceptLanguage, ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(item), ";")
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		q := 1.0
		if _, value, ok := strings.Cut(params, "="); ok {
			parsed, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil || math.IsNaN(parsed) {
				continue
			}
			q = parsed
		}
		if (primary == "zh" || primary == "en") && q > best {
			best, chinese = q, primary == "zh"
		}
	}
	return chinese
}

// Write sends the document and gives its status.
func Write(w http.ResponseWriter, r *http.Request, f *fault.Error, about, requestID string) int {
	p := Of(f, r.Header.Get("Accept-Language"), about, requestID)
	header := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Content-Digest"} {
		header.Del(name)
	}
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	header.Add("Vary", "Accept-Language")
	if f.RetryAfter > 0 || f.Code == codes.Unavailable || p.Status == http.StatusTooManyRequests {
		header.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(f.RetryAfter.Seconds())))))
	}
	if p.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="clinsource"`)
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = nil // It cannot happen: a struct of strings can be marshalled.
	}
	body = append(body, '\n')
	header.Set("Content-Length", strconv.Itoa(len(body))) // Whole at once, however long the handler still reads on.
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // The caller may have left.
	return p.Status
}
