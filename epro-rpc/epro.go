// epro-rpc keeps what a trial's patients answer to questionnaires: it judges
// each report by the rules that hold for every questionnaire, stores it once and
// for good, and lists it.
package main

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/grpc"

	eproconfig "clinsource/epro-rpc/internal/config"
	"clinsource/epro-rpc/internal/server"
	"clinsource/epro-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/config"
	"clinsource/internal/rpcserver"
	"clinsource/internal/selfcheck"
	auditpb "clinsource/proto/audit"
	epropb "clinsource/proto/epro"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "epro-rpc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var c eproconfig.Config
	checkOnly, err := config.FromArgs(args, &c)
	if err != nil {
		return err
	}
	if err := c.Check(); err != nil {
		return err
	}
	if config.HealthAsked(args) {
		return selfcheck.Service(ctx, c.Config)
	}
	if err := c.SubjectRpc.Check(); err != nil {
		return fmt.Errorf("SubjectRpc: %w", err)
	}
	var svcCtx *svc.ServiceContext // Opened below; the server registers it when it starts.
	s, err := rpcserver.New(c.Config, func(g *grpc.Server) {
		epropb.RegisterEproServiceServer(g, server.NewEproServiceServer(svcCtx))
		auditpb.RegisterAuditServiceServer(g, svcCtx.AuditServer())
	}, auth.AccountSourceFunc(func(ctx context.Context, issuer, sub string) (auth.Account, error) {
		return svcCtx.Accounts.Account(ctx, issuer, sub)
	}))
	if err != nil || checkOnly {
		return err
	}
	if svcCtx, err = svc.NewServiceContext(ctx, c, s.Etcd()); err != nil {
		return err
	}
	return s.Start(svcCtx)
}
