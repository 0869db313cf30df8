package handler

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	"clinsource/internal/fault"
	accesspb "clinsource/proto/access"
)

// accountPrefix begins the paths of accounts.
const accountPrefix = "/v1/accounts/"

// grantQuery is what a list of grants may be narrowed by.
var grantQuery = []string{"project_id", "sub", "include_revoked"}

// splitAccount takes the account out of /v1/accounts/{sub}:verb. The sub is an
// issuer's, percent-encoded, and may hold any character, an escaped slash too, which
// no other path may have. So it is read here, from the one segment as it was sent;
// the router, and whoever else looks at the path, sees a hyphen in its place. The
// last colon splits the verb off, because a sub may hold colons itself.
func splitAccount(r *http.Request, st *state) *http.Request {
	segment, ok := strings.CutPrefix(r.URL.EscapedPath(), accountPrefix)
	i := strings.LastIndexByte(segment, ':')
	if !ok || i < 0 || strings.Contains(segment, "/") {
		return r
	}
	sub, err := url.PathUnescape(segment[:i])
	verb, badVerb := url.PathUnescape(segment[i+1:])
	if err != nil || badVerb != nil || strings.ContainsAny(verb, "/:") {
		return r
	}
	st.account = sub
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = accountPrefix+"-:"+verb, ""
	return r
}

func createGrant(c *call) error {
	return create(c, &accesspb.CreateGrantRequest{}, c.svcCtx.AccessRpc.CreateGrant)
}

func listGrants(c *call) error {
	query := c.r.URL.Query()
	in := &accesspb.ListGrantsRequest{ProjectId: query.Get("project_id"), Sub: query.Get("sub")}
	switch query.Get("include_revoked") {
	case "", "false":
	case "true":
		in.IncludeRevoked = true
	default:
		return fault.Invalid(fault.ReasonQueryInvalid, "include_revoked must be true or false",
			fault.Violation{Field: "include_revoked", Rule: "query.boolean", Message: "must be true or false"})
	}
	return list(c, in, c.svcCtx.Budgets.Subjects, c.svcCtx.AccessRpc.ListGrants)
}

func revokeGrant(c *call) error {
	in := &accesspb.RevokeGrantRequest{}
	if err := c.bind(in); err != nil {
		return err
	}
	ctx, cancel := c.within(c.svcCtx.Budgets.Write)
	defer cancel()
	out, err := c.svcCtx.AccessRpc.RevokeGrant(ctx, in)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, out)
}

func takeEmergencyAccess(c *call) error {
	return create(c, &accesspb.TakeEmergencyAccessRequest{}, c.svcCtx.AccessRpc.TakeEmergencyAccess)
}

func disableAccount(c *call) error {
	c.ofAccount()
	return create(c, &accesspb.DisableAccountRequest{}, c.svcCtx.AccessRpc.DisableAccount)
}

func enableAccount(c *call) error {
	c.ofAccount()
	return create(c, &accesspb.EnableAccountRequest{}, c.svcCtx.AccessRpc.EnableAccount)
}

// ofAccount takes the account that splitAccount found. Such a request needs no body.
func (c *call) ofAccount() {
	c.vars["sub"] = c.state.account
	if c.r.ContentLength == 0 {
		c.r.Body = io.NopCloser(strings.NewReader("{}"))
	}
}
