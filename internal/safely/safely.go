// Package safely runs work on goroutines of its own making without a panic there
// ending the process: net/http and the gRPC interceptors only catch the panics of
// the goroutine that they started themselves.
package safely

import (
	"context"
	"runtime/debug"

	"github.com/zeromicro/go-zero/core/logx"

	"clinsource/internal/callinfo"
	"clinsource/internal/fault"
)

// Do calls f. If f panics the stack is logged with the request's id, and the
// answer is Internal; the panic's value, which may hold data, goes nowhere.
func Do[T any](ctx context.Context, f func() (T, error)) (out T, err error) {
	defer func() {
		if recover() != nil {
			logx.Errorw("panic", logx.Field("request_id", callinfo.RequestID(ctx)), logx.Field("stack", string(debug.Stack())))
			err = fault.Internal(nil)
		}
	}()
	return f()
}
