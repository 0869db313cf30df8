// project-api is the HTTPS gateway of clinsource: clinical apps call it, it calls
// the services, each under its own budget, and answers in JSON. It stores nothing.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/proc"
	"github.com/zeromicro/go-zero/core/prometheus"
	"github.com/zeromicro/go-zero/rest"

	"clinsource/internal/config"
	"clinsource/internal/mtls"
	"clinsource/internal/selfcheck"
	"clinsource/internal/telemetry"
	gateway "clinsource/project-api/internal/config"
	"clinsource/project-api/internal/handler"
	"clinsource/project-api/internal/svc"
)

//go:embed openapi.yaml
var openapi []byte

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "project-api:", err)
		os.Exit(1)
	}
}

// Bounds of a connection that no config changes; a request's own are the budgets'.
const (
	headersWithin  = 10 * time.Second
	keepAliveFor   = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	forceQuitAfter = 10 * time.Second
)

func run(args []string) error {
	var c gateway.Config
	checkOnly, err := config.FromArgs(args, &c)
	if err != nil {
		return err
	}
	if config.HealthAsked(args) {
		return selfcheck.Gateway(context.Background(), c.RestConf)
	}
	if err := c.Policy.Load(); err != nil {
		return err
	}
	certificate, err := mtls.NewEdge(c.CertFile, c.KeyFile)
	if err != nil {
		return err
	}
	if err := telemetry.Start(c.Name, c.Traces, c.Telemetry); err != nil {
		return err
	}
	svcCtx, err := svc.NewServiceContext(c)
	if err != nil || checkOnly {
		return err
	}
	c.Middlewares = rest.MiddlewaresConf{} // What go-zero's would do, package handler does.
	c.CpuThreshold, c.Timeout, c.MaxBytes = 0, 0, 0
	c.Telemetry.Disabled = true // Package telemetry's.
	server, err := rest.NewServer(c.RestConf,
		rest.WithTLSConfig(certificate.TLSConfig()),
		rest.WithNotFoundHandler(handler.NotFound()),
		rest.WithNotAllowedHandler(handler.NotAllowed()))
	if err != nil {
		return err
	}
	logx.DisableStat()
	prometheus.Enable()
	report := handler.Register(server, svcCtx, handler.Pages{OpenAPI: openapi})
	report(context.Background())
	proc.AddWrapUpListener(handler.Leave)
	keeping, stop := context.WithCancel(context.Background())
	defer stop()
	go c.Policy.Keep(keeping)
	proc.SetTimeToForceQuit(forceQuitAfter)
	server.StartWithOpts(func(s *http.Server) {
		s.Handler = handler.Edge(s.Handler)
		s.ReadHeaderTimeout, s.IdleTimeout, s.MaxHeaderBytes = headersWithin, keepAliveFor, maxHeaderBytes
		s.ReadTimeout, s.WriteTimeout = 0, 0 // Each route sets its own.
	})
	return telemetry.Stop(context.Background())
}
