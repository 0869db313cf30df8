package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"clinsource/internal/auth"
	"clinsource/internal/devcert"
	"clinsource/internal/ident"
)

const (
	certDir   = "certs/dev"
	issuerKey = certDir + "/issuer.key"
)

// runToken prints a development token and nothing else.
func runToken(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("token", flag.ContinueOnError)
	subject := flags.String("sub", "", "who the token speaks for (required)")
	role := flags.String("role", "", "admin, investigator, coordinator, data-manager, monitor, partner, device or patient (required)")
	project := flags.String("project", "", "the project (required for every role but admin)")
	var sites list
	flags.Var(&sites, "site", "a site; may be given several times, or with commas; none means all sites")
	patient := flags.String("patient", "", "for the role patient: whose records are their own")
	ttl := flags.Duration("ttl", time.Hour, "how long it is valid")
	if err := flags.Parse(args); err != nil {
		return err
	}
	grant := auth.Grant{Role: auth.Role(*role), Project: *project, Sites: sites, Patient: *patient}
	if err := checkGrant(*subject, grant, *ttl); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if _, err := devcert.Ensure(certDir, time.Now()); err != nil {
		return err
	}
	token, err := auth.Issue(issuerKey, *subject, []auth.Grant{grant}, *ttl)
	if err != nil {
		return err
	}
	fmt.Println(token)
	return nil
}

func checkGrant(subject string, g auth.Grant, ttl time.Duration) error {
	var check ident.Checker
	check.Optional("--project", g.Project)
	check.Optional("--patient", g.Patient)
	for _, s := range g.Sites {
		check.Optional("--site", s)
	}
	switch {
	case check.Err() != nil:
		return check.Err()
	case subject == "":
		return errors.New("--sub is required: who the token speaks for")
	case !auth.KnownRole(g.Role):
		return fmt.Errorf("--role %q is not a role", g.Role)
	case g.Project == "" && g.Role != auth.Admin:
		return errors.New("--project is required for every role but admin")
	case g.Role == auth.Patient && g.Patient == "":
		return errors.New("--patient is required for the role patient")
	case ttl <= 0:
		return errors.New("--ttl must be positive")
	}
	return nil
}

// list is a flag that may be given several times, or with commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(v string) error {
	for _, s := range strings.Split(v, ",") {
		if s == "" {
			return errors.New("an empty name")
		}
		*l = append(*l, s)
	}
	return nil
}
