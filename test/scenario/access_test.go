package scenario

import (
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"clinsource/internal/auth"
)

// within is the bound in which a change of access counts everywhere.
const within = 5 * time.Second

// tokenless is a user by the development issuer whose token brings no grant.
func tokenless(t *testing.T, sub string, grants ...auth.Grant) *api {
	t.Helper()
	issued, err := auth.Issue(certs+"/issuer.key", sub, grants, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &api{token: issued, http: &http.Client{Transport: transport()}}
}

// becomes asks until the answer has the status, and says how long that took.
func becomes(t *testing.T, a *api, path string, status int) time.Duration {
	t.Helper()
	begun := time.Now()
	for {
		r := a.get(t, path)
		took := time.Since(begun)
		if r.status == status {
			return took
		}
		if took > within {
			t.Fatalf("%s answers %d after %v, want %d", path, r.status, took, status)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A grant counts in every service without a new token, its revocation too, and a
// disabled account is refused everywhere, whatever its token claims.
//
// Shows R24.
func TestGrantsCountEverywhereWithinSeconds(t *testing.T) {
	w := newWorld(t)
	s := w.full(t, "s1")
	boss := as(t, "--role", "admin")
	sub := fresh("auth0|a/b:") + "@hospital.example"
	user := tokenless(t, sub)
	paths := []string{w.path, w.path + "/subjects"}
	for _, kind := range []string{"vitals", "images", "reports", "medications"} {
		paths = append(paths, s.path+"/"+kind)
	}
	everywhere := func(what string, a *api, status int) {
		t.Helper()
		begun := time.Now()
		var slowest time.Duration
		for _, path := range paths {
			slowest = max(slowest, becomes(t, a, path, status))
		}
		if took := time.Since(begun); took > within {
			t.Errorf("%s counts everywhere after %v", what, took)
		}
		t.Logf("%s: the last path after %v", what, slowest)
	}
	everywhere("nothing", user, 403)
	grant := object{"sub": sub, "role": "monitor", "project_id": w.project, "site_ids": []string{"s1"}}
	given := w.admin.post(t, "/v1/grants", grant).want(t, 201)["grant"].(object)
	everywhere("a grant", user, 200)
	if again := w.admin.post(t, "/v1/grants", grant); again.status != 200 {
		t.Errorf("the same grant again: %d", again.status)
	}
	w.admin.send(t, http.MethodDelete, "/v1/grants/"+given["grant_id"].(string), nil).want(t, 200)
	everywhere("its revocation", user, 403)
	w.admin.post(t, "/v1/grants", grant).want(t, 201)
	everywhere("a grant anew", user, 200)

	account := "/v1/accounts/" + url.PathEscape(sub)
	claims := tokenless(t, sub, auth.Grant{Role: auth.Investigator, Project: w.project})
	boss.send(t, http.MethodPost, account+":disable", nil).want(t, 201)
	everywhere("disabling the account", user, 403)
	everywhere("disabling the account, of a token that claims a role", claims, 403)
	if r := claims.get(t, w.path); r.problem(t) != "ACCOUNT_DISABLED" {
		t.Errorf("the reason is %s", r.problem(t))
	}
	boss.post(t, account+":enable", object{"reason": "back"}).want(t, 201)
	everywhere("enabling it", user, 200)

	review := w.admin.get(t, "/v1/grants?include_revoked=true&project_id="+w.project).want(t, 200)["grants"].([]any)
	if len(review) != 2 || review[0].(object)["revoked_by"] != "tester" || review[1].(object)["granted_by"] != "tester" {
		t.Errorf("the review of access says %v", review)
	}
	for _, path := range []string{account, account + ":drop", "/v1/accounts/a/b:disable"} {
		if r := boss.send(t, http.MethodPost, path, strings.NewReader("{}")); r.status != 404 {
			t.Errorf("POST %s: %d", path, r.status)
		}
	}
}

// While the registry hangs, whom it has spoken of goes on as it said last; a
// stranger is refused, because they may be disabled, unless a development token
// brings its own grant.
func TestAccessWhileTheRegistryHangs(t *testing.T) {
	w := newWorld(t)
	s := w.full(t, "s1")
	known, stranger := fresh("known"), fresh("stranger")
	for _, sub := range []string{known, stranger} {
		w.admin.post(t, "/v1/grants", object{"sub": sub, "role": "monitor", "project_id": w.project}).want(t, 201)
	}
	path := s.path + "/vitals"
	becomes(t, tokenless(t, known), path, 200)
	for range 40 { // Every replica hears of it.
		tokenless(t, known).get(t, path).want(t, 200)
	}
	theSuite.signal(t, "subject-rpc", syscall.SIGSTOP)
	defer theSuite.signal(t, "subject-rpc", syscall.SIGCONT)
	time.Sleep(2100 * time.Millisecond) // What was asked is due to be asked anew.
	for range 20 {
		tokenless(t, known).get(t, path).want(t, 200)
	}
	tokenless(t, stranger).get(t, path).want(t, 503)
	tokenless(t, fresh("claims"), auth.Grant{Role: auth.Monitor, Project: w.project}).get(t, path).want(t, 200)
	theSuite.signal(t, "subject-rpc", syscall.SIGCONT)
	becomes(t, tokenless(t, stranger), path, 200)
}
