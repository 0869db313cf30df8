// subject-rpc keeps the registry of a suite (projects, sites, subjects and their
// withdrawal, and who may do what), tells the other services where a patient belongs, and keeps the
// medication records, under a contract of their own.
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
	accesspb "clinsource/proto/access"
	auditpb "clinsource/proto/audit"
	medicationpb "clinsource/proto/medication"
	subjectpb "clinsource/proto/subject"
	subjectconfig "clinsource/subject-rpc/internal/config"
	"clinsource/subject-rpc/internal/server"
	"clinsource/subject-rpc/internal/svc"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "subject-rpc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var c subjectconfig.Config
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
	var svcCtx *svc.ServiceContext // Opened below; the server registers it when it starts.
	s, err := rpcserver.New(c.Config, func(g *grpc.Server) {
		subjectpb.RegisterSubjectServiceServer(g, server.NewSubjectServiceServer(svcCtx))
		subjectpb.RegisterSubjectResolverServer(g, server.NewSubjectResolverServer(svcCtx))
		accesspb.RegisterAccessServiceServer(g, server.NewAccessServiceServer(svcCtx))
		accesspb.RegisterAccountResolverServer(g, server.NewAccountResolverServer(svcCtx))
		medicationpb.RegisterMedicationServiceServer(g, server.NewMedicationServiceServer(svcCtx))
		auditpb.RegisterAuditServiceServer(g, svcCtx.AuditServer())
		auditpb.RegisterAuditIntakeServer(g, svcCtx.AuditIntake())
	}, auth.AccountSourceFunc(func(ctx context.Context, issuer, sub string) (auth.Account, error) {
		return svcCtx.Accounts.Account(ctx, issuer, sub)
	}), rpcserver.WithoutToken(subjectpb.SubjectResolver_ResolveSubject_FullMethodName, accesspb.AccountResolver_ResolveAccount_FullMethodName,
		auditpb.AuditIntake_RecordRefusals_FullMethodName))
	if err != nil || checkOnly {
		return err
	}
	if svcCtx, err = svc.NewServiceContext(ctx, c, s.Etcd()); err != nil {
		return err
	}
	return s.Start(svcCtx)
}
