// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"sync/atomic"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// Options are what the page works with.
type Options struct {
	API    http.Handler // answers the page's questions, and all addresses that are not the page's
	Logger *slog.Logger // nil: nothing is logged
}

// site answers browsers.
type site struct {
	api        http.Handler
	log        *slog.Logger
	templates  *template.Template
	assets     string                   // digest of the static files, part of their addresses
	newest     atomic.Pointer[snapshot] // rendered last
	turn       chan struct{}            // held while one is rendered
	culprits   []culprit                // as they were at culpritsAt; whoever has the turn reads and writes them
	culpritsAt time.Time
}

// New returns the handler of everything that the daemon serves: the page, and behind it the API.
func New(o Options) http.Handler {
	s := &site{api: o.API, log: o.Logger, turn: make(chan struct{}, 1), assets: digest(staticFiles)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.templates = template.Must(template.ParseFS(templateFiles, "templates/*.html"))
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", s.page)
	pages.HandleFunc("GET /fleet", s.fragment)
	pages.HandleFunc("GET /login", s.loginForm)
	pages.HandleFunc("POST /login", s.login)
	pages.HandleFunc("POST /logout", s.logout)
	pages.HandleFunc("GET /static/{file}", s.static)
	guarded := http.NewCrossOriginProtection().Handler(guard(pages))
	all := http.NewServeMux()
	all.Handle("/", o.API)
	for _, own := range []string{"/{$}", "/fleet", "/login", "/logout", "/static/"} {
		all.Handle(own, guarded)
	}
	return all
}

// policy lets the page load nothing from elsewhere, and nothing load the page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// static serves files whose addresses change with them, so that browsers may keep them.
func (s *site) static(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("v") == s.assets {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeFileFS(w, r, staticFiles, path.Join("static", r.PathValue("file"))) //nolint:gosec // an embedded file system has nothing else
}

// digest names the content of a file tree.
func digest(files fs.FS) string {
	sum := sha256.New()
	// An embedded file system has no errors but those of a wrong name.
	_ = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		sum.Write(text)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil))[:12]
}

// snapshot is the fleet as it was rendered at a time. All who may look see the same.
type snapshot struct {
	at   time.Time
	took time.Duration // to make
	html template.HTML
}

const (
	// freshFor is how long a rendering serves all viewers: many must not cost much more than one.
	freshFor = 900 * time.Millisecond
	// restFor is how many times as long as it took to make a rendering it serves: the page of a large
	// fleet must not take more than a tenth of a core.
	restFor = 10
)

// fleet renders the fleet, with the rights of the request unless somebody's rendering is fresh.
func (s *site) fleet(r *http.Request) (*snapshot, error) {
	if found := s.fresh(); found != nil {
		return found, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
	if found := s.fresh(); found != nil {
		return found, nil
	}
	at := time.Now()
	data, err := s.gather(r)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := s.templates.ExecuteTemplate(&out, "fleet", data); err != nil {
		return nil, err
	}
	made := &snapshot{at: at, took: time.Since(at), html: template.HTML(out.String())} //nolint:gosec // it is what our own template rendered
	s.newest.Store(made)
	return made, nil
}

func (s *site) fresh() *snapshot {
	if found := s.newest.Load(); found != nil && time.Since(found.at) < max(freshFor, restFor*found.took) {
		return found
	}
	return nil
}
