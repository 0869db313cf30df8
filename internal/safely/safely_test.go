package safely

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"clinsource/internal/fault"
)

func TestDo(t *testing.T) {
	ctx := context.Background()
	if n, err := Do(ctx, func() (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	own := errors.New("own")
	if _, err := Do(ctx, func() (int, error) { return 0, own }); !errors.Is(err, own) {
		t.Errorf("%v", err)
	}
	_, err := Do(ctx, func() (int, error) { panic("secret") })
	if f := fault.From(err); f.Code != codes.Internal || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
