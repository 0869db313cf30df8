// Package fault is the one error type of clinsource. A fault carries what a
// caller may know: a gRPC code to program against, a stable reason to branch
// on, a message that is safe to show, the fields that were wrong and when to
// try again. Its cause stays inside: it reaches the log and never the wire.
//
// A fault is a gRPC status (GRPCStatus), so a handler returns it as it is; its
// details travel as google.rpc.ErrorInfo, BadRequest and RetryInfo, and From
// reads them back on the other side. An error that is no fault becomes Internal
// with a fixed text: what nobody meant for a caller, no caller sees. Wrapping a
// fault with fmt.Errorf("%w") keeps it: From unwraps.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain is the ErrorInfo domain of every reason.
const Domain = "clinsource"

// Error is a refusal or failure that a caller may see.
type Error struct {
	Code       codes.Code
	Reason     string        // UPPER_SNAKE, from the table in reasons.go.
	Message    string        // English, safe to show: no patient data, no internals.
	Violations []Violation   // The offending fields, all of them.
	RetryAfter time.Duration // 0: no advice.
	cause      error
}

var _ error = (*Error)(nil)

// Error gives code, reason and message; the cause is not part of it.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %s", e.Code, e.Reason, e.Message)
}

// Unwrap gives the cause, for errors.Is and the log.
func (e *Error) Unwrap() error { return e.cause }

// Because attaches the cause and returns the same fault.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// GRPCStatus makes the fault a gRPC status with its details. Texts are made
// valid UTF-8 first: a single bad byte, echoed from a request, would cost all
// the details.
func (e *Error) GRPCStatus() *status.Status {
	st := status.New(e.Code, valid(e.Message))
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: e.Reason, Domain: Domain}}
	if e.Code == codes.InvalidArgument || len(e.Violations) > 0 {
		details = append(details, badRequest(e.Violations))
	}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	with, err := st.WithDetails(details...)
	if err != nil { // Only for code OK, which no constructor makes.
		return st
	}
	return with
}

func badRequest(violations []Violation) *errdetails.BadRequest {
	br := &errdetails.BadRequest{}
	for _, v := range violations {
		br.FieldViolations = append(br.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: valid(v.Field), Description: valid(v.Message), Reason: valid(v.Rule),
		})
	}
	return br
}

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// From makes a fault of any error: a fault or a wrapped one as it is, a gRPC
// status (wrapped or not) with its details, a context's end, and everything else
// as Internal. nil stays nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if !known(e.Code) {
			return Internal(err)
		}
		return e
	}
	// Not status.FromError: of a wrapped status it makes one whose message is
	// the wrapping text, which nobody meant for a caller.
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return fromStatus(s.GRPCStatus()).Because(err)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded("the time for this call ran out; send it again").Because(err)
	case errors.Is(err, context.Canceled):
		return Canceled().Because(err)
	}
	return Internal(err)
}

// known says whether a fault may have the code: OK is none, Unknown says nothing.
func known(code codes.Code) bool {
	_, ok := plainMessage[code]
	return ok
}

func fromStatus(st *status.Status) *Error {
	e := &Error{Code: st.Code(), Reason: reasonOf[st.Code()], Message: st.Message()}
	ours := false
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == Domain {
				e.Reason, ours = d.GetReason(), true
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Violations = append(e.Violations, Violation{Field: v.GetField(), Rule: v.GetReason(), Message: v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = d.GetRetryDelay().AsDuration()
		}
	}
	if !ours { // grpc's own status: its text may name addresses or internals.
		e.Message = plainMessage[e.Code]
		if e.Code == codes.Unavailable {
			e.RetryAfter = time.Second
		}
	}
	if !known(e.Code) || e.Reason == "" {
		e.Code, e.Reason, e.Message = codes.Internal, ReasonInternal, plainMessage[codes.Internal]
	}
	return e
}

// Invalid says that the request breaks rules; violations name each field.
func Invalid(reason, message string, violations ...Violation) *Error {
	return &Error{Code: codes.InvalidArgument, Reason: reason, Message: message, Violations: violations}
}

// InvalidFields is Invalid with the general reason and a message made of the
// violations, for requests that break field rules.
func InvalidFields(violations []Violation) *Error {
	message := "the request breaks a rule"
	if len(violations) > 0 {
		message = violations[0].Message
		if !strings.HasPrefix(message, violations[0].Field) {
			message = violations[0].Field + ": " + message
		}
	}
	if n := len(violations); n > 1 {
		message = fmt.Sprintf("%s (and %d more, see errors)", message, n-1)
	}
	return Invalid(ReasonFieldInvalid, message, violations...)
}

// Unauthenticated says that there is no valid token.
func Unauthenticated(reason, message string) *Error {
	return &Error{Code: codes.Unauthenticated, Reason: reason, Message: message}
}

// Denied says that the caller may not do this; no retry helps.
func Denied(reason, message string) *Error {
	return &Error{Code: codes.PermissionDenied, Reason: reason, Message: message}
}

// NotFound says that there is no such thing, or none that the caller may see.
func NotFound(reason, message string) *Error {
	return &Error{Code: codes.NotFound, Reason: reason, Message: message}
}

// Exists says that the id is taken by other content.
func Exists(reason, message string) *Error {
	return &Error{Code: codes.AlreadyExists, Reason: reason, Message: message}
}

// Aborted says that somebody else changed it meanwhile.
func Aborted(reason, message string) *Error {
	return &Error{Code: codes.Aborted, Reason: reason, Message: message}
}

// Precondition says that the state of something else forbids this.
func Precondition(reason, message string) *Error {
	return &Error{Code: codes.FailedPrecondition, Reason: reason, Message: message}
}

// Exhausted says that a bound is reached; retryAfter is when to try again.
func Exhausted(reason, message string, retryAfter time.Duration) *Error {
	return &Error{Code: codes.ResourceExhausted, Reason: reason, Message: message, RetryAfter: retryAfter}
}

// Unavailable says that a part is away for now.
func Unavailable(reason, message string, retryAfter time.Duration) *Error {
	return &Error{Code: codes.Unavailable, Reason: reason, Message: message, RetryAfter: retryAfter}
}

// DeadlineExceeded says that the time ran out.
func DeadlineExceeded(message string) *Error {
	return &Error{Code: codes.DeadlineExceeded, Reason: ReasonTimeout, Message: message}
}

// Canceled says that the caller left.
func Canceled() *Error {
	return &Error{Code: codes.Canceled, Reason: ReasonCanceled, Message: plainMessage[codes.Canceled]}
}

// Unimplemented says that this is not offered.
func Unimplemented(message string) *Error {
	return &Error{Code: codes.Unimplemented, Reason: ReasonUnimplemented, Message: message}
}

// DataLoss says that stored bytes are no longer what was stored.
func DataLoss(reason, message string) *Error {
	return &Error{Code: codes.DataLoss, Reason: reason, Message: message}
}

// Internal hides a cause that no caller can act on.
func Internal(cause error) *Error {
	return &Error{Code: codes.Internal, Reason: ReasonInternal, Message: plainMessage[codes.Internal], cause: cause}
}
