// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Options are what the API works with.
type Options struct {
	Store       *store.Store
	Controllers func() []Controller // those serviced now; asked for each request
	Anonymous   store.Role          // what a request without a token may do; "" = nothing
	Version     Version
	Started     time.Time    // of the daemon; zero means when the server was made
	Metrics     http.Handler // nil: there is no /metrics

	Lend     LoanDesk    // nil: nothing is lent
	Rollouts RolloutDesk // nil: nothing is rolled out

	Reload func(ctx context.Context, actor string) error // nil: the configuration cannot be read again
	Config func() (string, error)                        // the configuration in force, without secrets; nil: it cannot be shown

	Logger *slog.Logger // nil: nothing is logged
}

// Version says what runs.
type Version struct {
	Version string `json:"version" doc:"Version of the daemon" example:"0.1.0"`
	Commit  string `json:"commit,omitempty" doc:"Commit that it was built from"`
	Go      string `json:"go,omitempty" doc:"Version of Go that it was built with"`
}

// Server answers API requests. Make it with [New].
type Server struct {
	Options
	mux     *http.ServeMux
	api     huma.API
	spec    specification
	ended   chan struct{} // closed when streams must end
	end     func()
	surveys chan struct{} // held during a survey of a whole controller
}

// New returns a server that is ready.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	s := &Server{Options: o, mux: http.NewServeMux(), ended: make(chan struct{}), surveys: make(chan struct{}, 1)}
	s.end = sync.OnceFunc(func() { close(s.ended) })
	s.api = huma.NewAPI(humaConfig(o.Version), humago.NewAdapter(s.mux, ""))
	s.routes()
	s.spec = describe(s.api.OpenAPI())
	s.mux.HandleFunc("GET /api/openapi.json", s.spec.json)
	s.mux.HandleFunc("GET /api/openapi.yaml", s.spec.yaml)
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	if o.Metrics != nil {
		s.mux.Handle("GET /metrics", o.Metrics)
	}
	s.mux.HandleFunc("/", s.noRoute)
	return s
}

// routes registers every operation, one file per noun.
func (s *Server) routes() {
	s.agentRoutes()
	s.orderRoutes()
	s.eventRoutes()
	s.attemptRoutes()
	s.buildRoutes()
	s.certificateRoutes()
	s.residueRoutes()
	s.controllerRoutes()
	s.gateRoutes()
	s.poolRoutes()
	s.pauseRoutes()
	s.slotRoutes()
	s.loanRoutes()
	s.rolloutRoutes()
	s.offerRoutes()
	s.auditRoutes()
	s.planRoutes()
	s.overviewRoutes()
	s.tokenRoutes()
	s.daemonRoutes()
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	rec := &recorder{ResponseWriter: w}
	began := time.Now()
	defer s.finish(rec, r, began)
	s.mux.ServeHTTP(rec, r)
}

// EndStreams ends all watches, which otherwise would keep the HTTP server from shutting down. It
// is meant for [http.Server.RegisterOnShutdown]; their clients come back and resume.
func (s *Server) EndStreams() { s.end() }

func (s *Server) controllers() []Controller {
	if s.Controllers == nil {
		return nil
	}
	return s.Controllers()
}
