// dicom-rpc keeps the DICOM images of a trial's subjects: it takes a file as a
// stream, looks at its structure, stores it bit by bit, and gives it back.
package main

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/grpc"

	dicomconfig "clinsource/dicom-rpc/internal/config"
	"clinsource/dicom-rpc/internal/server"
	"clinsource/dicom-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/config"
	"clinsource/internal/disk"
	"clinsource/internal/rpcserver"
	"clinsource/internal/selfcheck"
	auditpb "clinsource/proto/audit"
	dicompb "clinsource/proto/dicom"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dicom-rpc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var c dicomconfig.Config
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
		dicompb.RegisterDicomServiceServer(g, server.NewDicomServiceServer(svcCtx))
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
	disk.Watch("image files", c.ImageDir)
	return s.Start(svcCtx)
}
