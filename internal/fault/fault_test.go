package fault_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"clinsource/internal/fault"
)

// seen is what of a fault a caller can see.
type seen struct {
	Code            codes.Code
	Reason, Message string
	Violations      []fault.Violation
	RetryAfter      time.Duration
}

func see(e *fault.Error) seen {
	return seen{e.Code, e.Reason, e.Message, e.Violations, e.RetryAfter}
}

// allCodes are the codes of gRPC, OK included.
func allCodes() []codes.Code {
	var all []codes.Code
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		all = append(all, c)
	}
	return all
}

func TestFromOfForeignStatusCoversEveryCode(t *testing.T) {
	const foreign = "dial tcp 10.1.2.3:9101: secret"
	for _, code := range append(allCodes(), 99) {
		t.Run(code.String(), func(t *testing.T) {
			f := fault.From(statusError{status.New(code, foreign)})
			if f.Code == codes.OK || f.Code == codes.Unknown || f.Code > codes.Unauthenticated {
				t.Errorf("it becomes %s, which no service may answer", f.Code)
			}
			want := code
			if code == codes.OK || code == codes.Unknown || code == 99 {
				want = codes.Internal
			}
			if f.Code != want {
				t.Errorf("it becomes %s, want %s", f.Code, want)
			}
			if _, ok := fault.Reasons[f.Reason]; !ok {
				t.Errorf("its reason %q is not in the table", f.Reason)
			}
			if f.Message == "" || strings.Contains(f.Message, "secret") {
				t.Errorf("its message is %q; the foreign text must not show", f.Message)
			}
		})
	}
}

// statusError carries any status, OK too, as some library's error would.
type statusError struct{ st *status.Status }

func (e statusError) Error() string              { return e.st.String() }
func (e statusError) GRPCStatus() *status.Status { return e.st }

func TestFrom(t *testing.T) {
	ours := fault.Denied(fault.ReasonNoGrant, "no grant")
	wire := ours.GRPCStatus().Err()
	cases := map[string]struct {
		err  error
		want seen
	}{
		"ours":                {ours, see(ours)},
		"ours, wrapped":       {fmt.Errorf("step of patient p-1: %w", ours), see(ours)},
		"from the wire":       {wire, see(ours)},
		"wire, wrapped":       {fmt.Errorf("step of patient p-1: %w", wire), see(ours)},
		"wire, joined":        {errors.Join(errors.New("p-1"), wire), see(ours)},
		"foreign, wrapped":    {fmt.Errorf("p-1: %w", status.Error(codes.NotFound, "p-1")), seen{Code: codes.NotFound, Reason: fault.ReasonRecordNotFound, Message: "there is no such thing"}},
		"deadline":            {fmt.Errorf("p-1: %w", context.DeadlineExceeded), seen{Code: codes.DeadlineExceeded, Reason: fault.ReasonTimeout, Message: "the time for this call ran out; send it again"}},
		"cancelled":           {context.Canceled, seen{Code: codes.Canceled, Reason: fault.ReasonCanceled, Message: "the caller left"}},
		"anything":            {errors.New("p-1"), see(fault.Internal(nil))},
		"status nil":          {statusError{}, see(fault.Internal(nil))},
		"made without a code": {&fault.Error{Message: "p-1"}, see(fault.Internal(nil))},
		"made with Unknown":   {&fault.Error{Code: codes.Unknown, Message: "p-1"}, see(fault.Internal(nil))},
		"away gets advice":    {status.Error(codes.Unavailable, "x"), seen{Code: codes.Unavailable, Reason: fault.ReasonUnavailable, Message: "the service is away for now; back off and send again", RetryAfter: time.Second}},
		"made in a goroutine": {fault.Internal(errors.New("p-1")), see(fault.Internal(nil))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := fault.From(c.err)
			if diff := cmp.Diff(c.want, see(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if strings.Contains(got.GRPCStatus().String(), "p-1") {
				t.Errorf("the cause shows in the status: %s", got.GRPCStatus())
			}
			if !errors.Is(got, c.err) && got.Code == codes.Internal && got.Unwrap() == nil {
				t.Error("the cause is lost to the log")
			}
		})
	}
	if fault.From(nil) != nil {
		t.Error("nil does not stay nil")
	}
}

func TestForeignErrorInfoIsNotOurs(t *testing.T) {
	st, err := status.New(codes.Unavailable, "at 10.0.0.1").WithDetails(&errdetails.ErrorInfo{Reason: "THEIRS", Domain: "example.org"})
	if err != nil {
		t.Fatal(err)
	}
	if f := fault.From(st.Err()); f.Reason != fault.ReasonUnavailable || strings.Contains(f.Message, "10.0.0.1") {
		t.Errorf("another domain's reason or text was taken: %v", f)
	}
}

func TestDetailsOutliveBadBytes(t *testing.T) {
	f := fault.Invalid(fault.ReasonFieldInvalid, "bad \xff", fault.Violation{Field: "\xff", Rule: "r", Message: "\xc3("})
	got := fault.From(f.GRPCStatus().Err())
	if got.Reason != fault.ReasonFieldInvalid || len(got.Violations) != 1 {
		t.Errorf("a byte that is no UTF-8 cost the details: %+v", got)
	}
}

func TestEveryInvalidArgumentCarriesBadRequest(t *testing.T) {
	for _, d := range fault.Invalid(fault.ReasonBodyInvalid, "no JSON").GRPCStatus().Details() {
		if _, ok := d.(*errdetails.BadRequest); ok {
			return
		}
	}
	t.Error("there is no BadRequest in the details")
}

func TestInvalidFieldsNamesFirstAndCountsRest(t *testing.T) {
	v := fault.Violation{Field: "name", Message: "is required"}
	for want, violations := range map[string][]fault.Violation{
		"the request breaks a rule":                  nil,
		"name: is required":                          {v},
		"name: is required (and 2 more, see errors)": {v, v, v},
		"name must be short":                         {{Field: "name", Message: "name must be short"}},
	} {
		if got := fault.InvalidFields(violations); got.Message != want || got.Code != codes.InvalidArgument {
			t.Errorf("%d violations give %q, want %q", len(violations), got.Message, want)
		}
	}
}
