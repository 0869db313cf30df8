package rpcclient

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"clinsource/internal/fault"
)

// fairTime is what a server must have been given before its silence says
// something about it rather than about its caller's haste.
const fairTime = 400 * time.Millisecond

// isAnswer says whether an error shows that a server was there and decided: any
// code but those that also mean that nobody was, and of those one that carries
// our own reason. A timeout is none, whoever noticed it first.
func isAnswer(err error) bool {
	switch st := status.Convert(err); st.Code() {
	case codes.DeadlineExceeded, codes.Canceled:
		return false
	case codes.Unavailable:
		for _, d := range st.Details() {
			if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == fault.Domain {
				return true
			}
		}
		return false
	}
	return true
}

// isSilence says whether an error means that nobody was there, or that nobody
// answered though there was time to.
func isSilence(err error, took time.Duration) bool {
	switch status.Code(err) {
	case codes.Unavailable:
		return !isAnswer(err)
	case codes.DeadlineExceeded:
		return took >= fairTime
	}
	return false
}
