package handler

import (
	"html/template"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/swaggest/swgui/v5emb"

	"clinsource/internal/fault"
)

// healthz says that the process is alive.
func healthz(c *call) error { return c.json(http.StatusOK, []byte(`{"status":"ok"}`)) }

// leaving is set when the process begins to stop.
var leaving atomic.Bool

// Leave makes /readyz fail, so that a balancer sends new callers elsewhere
// while those that are here get their answers.
func Leave() { leaving.Store(true) }

// readyz says whether the gateway can do its own part. It does not ask the
// services: one of them being away takes down one section, not the gateway.
func readyz(c *call) error {
	if leaving.Load() {
		return fault.Unavailable(fault.ReasonUnavailable, "the gateway is stopping", 0)
	}
	return healthz(c)
}

var swagger = v5emb.New("clinsource", "/openapi.yaml", "/docs/")

// docs shows the contract as a page, and serves what the page loads.
func docs(c *call) error {
	if !strings.HasPrefix(c.r.URL.Path, "/docs/") {
		http.Redirect(c.w, c.r, "/docs/", http.StatusMovedPermanently)
		return nil
	}
	page := &pageWriter{ResponseWriter: c.w}
	swagger.ServeHTTP(page, c.r)
	if page.missing {
		return fault.NotFound(fault.ReasonRouteNotFound, "there is no such page; /docs/ is the API")
	}
	return nil
}

// pageWriter keeps the file server's own 404, which is no problem document, off
// the wire.
type pageWriter struct {
	http.ResponseWriter
	missing bool
}

func (w *pageWriter) WriteHeader(status int) {
	if w.missing = status == http.StatusNotFound; !w.missing {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *pageWriter) Write(b []byte) (int, error) {
	if w.missing {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

func (s *routes) openapi(c *call) error {
	c.w.Header().Set("Content-Type", "application/yaml")
	_, _ = c.w.Write(s.page.OpenAPI) // The caller may have left.
	return nil
}

var explanation = template.Must(template.New("reason").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Reason}} - clinsource</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}code{background:#eee;padding:.1em .3em}</style></head>
<body><h1><code>{{.Reason}}</code></h1><h2>{{.Title}}</h2><p>{{.Help}}</p><h2 lang="zh">{{.TitleZH}}</h2><p lang="zh">{{.HelpZH}}</p>
<p><a href="/docs/">The API</a></p></body></html>
`))

// explain is the page that a problem's type leads to.
func explain(c *call) error {
	reason := c.vars["reason"]
	e, ok := fault.Reasons[reason]
	if !ok {
		return fault.NotFound(fault.ReasonRouteNotFound, "there is no such reason")
	}
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return explanation.Execute(c.w, struct {
		Reason string
		fault.Explanation
	}{reason, e})
}
