// issuer is an OIDC issuer as a process of its own, for scenarios that start it
// late, rotate its keys, and kill it. It signs whatever it is asked to: it stands
// in for an identity provider in tests and nowhere else.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"clinsource/internal/auth/issuertest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "issuer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("issuer", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8444", "address")
	cert := flags.String("cert", "", "certificate, PEM")
	key := flags.String("key", "", "its key, PEM")
	if err := flags.Parse(args); err != nil {
		return err
	}
	issuer, err := issuertest.New("https://"+*listen, jose.RS256)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: *listen, Handler: issuer, ReadHeaderTimeout: 5 * time.Second}
	return server.ListenAndServeTLS(*cert, *key)
}
