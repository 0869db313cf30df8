// vitals-rpc keeps the vital signs of a trial's subjects: it judges what devices
// and people send, stores it once and for good, and lists it.
package main

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/grpc"

	"clinsource/internal/auth"
	"clinsource/internal/config"
	"clinsource/internal/rpcserver"
	"clinsource/internal/selfcheck"
	auditpb "clinsource/proto/audit"
	vitalspb "clinsource/proto/vitals"
	vitalsconfig "clinsource/vitals-rpc/internal/config"
	"clinsource/vitals-rpc/internal/server"
	"clinsource/vitals-rpc/internal/svc"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vitals-rpc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var c vitalsconfig.Config
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
		vitalspb.RegisterVitalsServiceServer(g, server.NewVitalsServiceServer(svcCtx))
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
