package auth

import (
	"context"
	"time"

	"clinsource/internal/fault"
)

// Account is what the registry knows of a user.
type Account struct {
	Disabled bool
	Grants   []Grant
}

// AccountSource tells what the registry knows.
type AccountSource interface {
	Account(ctx context.Context, issuer, subject string) (Account, error)
}

// AccountSourceFunc is AccountSource as a function.
type AccountSourceFunc func(ctx context.Context, issuer, subject string) (Account, error)

// Account implements AccountSource.
func (f AccountSourceFunc) Account(ctx context.Context, issuer, subject string) (Account, error) {
	return f(ctx, issuer, subject)
}

// Resolve gives the verified user what is stored of them: their grants, or a
// refusal if their account is disabled. While nothing can be known of an account,
// its user is refused as Unavailable, because who was disabled would come back
// otherwise. A development token that brings grants of its own goes on: it is what
// a suite is run with before anything is stored in it.
func Resolve(ctx context.Context, accounts AccountSource, u *User) (*User, error) {
	a, err := accounts.Account(ctx, u.Issuer, u.Subject)
	switch {
	case err != nil && ctx.Err() == nil && u.Issuer == DevIssuer && len(u.Grants) > 0:
		return u, nil
	case err != nil:
		return nil, err
	case a.Disabled:
		return nil, fault.Denied(fault.ReasonAccountDisabled, "the account is disabled; an admin may enable it again")
	case len(a.Grants) == 0:
		return u, nil
	}
	grants := append(make([]Grant, 0, len(u.Grants)+len(a.Grants)), u.Grants...)
	for _, g := range a.Grants {
		if g.Until.IsZero() || time.Now().Before(g.Until) { // The answer may be older than its end.
			grants = append(grants, g)
		}
	}
	return &User{Issuer: u.Issuer, Subject: u.Subject, Grants: grants}, nil
}
