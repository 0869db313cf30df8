package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"clinsource/internal/devcert"
)

// runCerts makes what the suite's launcher would make at its start, for those
// who start containers instead.
func runCerts(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("certs", flag.ContinueOnError)
	dir := flags.String("dir", "certs/dev", "folder of the development certificates")
	if err := flags.Parse(args); err != nil {
		return err
	}
	created, err := devcert.Ensure(*dir, time.Now())
	if err == nil && created {
		fmt.Println("made development certificates in " + *dir)
	}
	return err
}
