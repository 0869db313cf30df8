package logic

import (
	"context"

	"clinsource/internal/auth"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/svc"
)

// ListSitesLogic does one ListSites call.
type ListSitesLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListSitesLogic makes the logic of one call.
func NewListSitesLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListSitesLogic {
	return &ListSitesLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListSites lists the sites that the caller may see.
func (l *ListSitesLogic) ListSites(in *subjectpb.ListSitesRequest) (*subjectpb.ListSitesResponse, error) {
	scope, p, err := listIn(l.ctx, l.svcCtx, auth.Sites, in)
	if err != nil {
		return nil, err
	}
	list, next, err := l.svcCtx.Registry.Sites(l.ctx, scope, p)
	if err != nil {
		return nil, err
	}
	resp := &subjectpb.ListSitesResponse{NextPageToken: next}
	for _, site := range list {
		resp.Sites = append(resp.Sites, siteOut(site))
	}
	return resp, nil
}
