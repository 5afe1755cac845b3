// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

const (
	// heartbeat keeps proxies from closing a quiet stream, and ends one whose client is gone or
	// whose token was revoked.
	heartbeat = 15 * time.Second
	// writeLimit bounds how long a client may take to accept what is sent to it.
	writeLimit = 10 * time.Second
	// watchBatch is how many events are read at once.
	watchBatch = 500
)

// fromNow asks for events that are yet to come.
const fromNow = -1

type watchInput struct {
	strict
	EventSelect
	After       int64 `query:"after" default:"-1" minimum:"-1" doc:"Begin with the event after this ID; -1: with the next one that happens"`
	LastEventID int64 `header:"Last-Event-ID" default:"-1" minimum:"-1" doc:"Goes before the parameter after; browsers send it when they come back"`
}

func (s *Server) watchRoute() {
	o := operation{
		id: "watchEvents", method: http.MethodGet, path: "/events/watch", role: store.Viewer, tag: "events",
		summary: "Watch events as they happen",
		detail: "Server-sent events: the id is the event's ID, the data the event as JSON. Who comes back with the " +
			"last ID misses nothing that is still stored; with one that is not reached yet, as after the restoration of a backup, " +
			"it begins with the next event.",
	}
	op := o.describe()
	op.Middlewares = huma.Middlewares{s.require(o.role)}
	op.Responses = map[string]*huma.Response{"200": {
		Description: "A stream that ends with the daemon, or with the token",
		Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{
			Type: huma.TypeString, Description: "Server-sent events; what follows \"data: \" is an Event of this document as JSON",
		}}},
	}}
	huma.Register(s.api, op, func(ctx context.Context, in *watchInput) (*huma.StreamResponse, error) {
		w, err := s.watch(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, o.id, err)
		}
		return &huma.StreamResponse{Body: w.serve}, nil
	})
}

// watcher is one stream.
type watcher struct {
	s      *Server
	filter store.EventFilter // After moves along
}

// watch prepares a stream. Where it begins is settled before the client hears of it.
func (s *Server) watch(ctx context.Context, in *watchInput) (*watcher, error) {
	filter, err := in.filter()
	if err != nil {
		return nil, err
	}
	filter.Limit, filter.After = watchBatch, in.After
	if in.LastEventID != fromNow {
		filter.After = in.LastEventID
	}
	newest, err := s.newestEvent(ctx)
	if err != nil {
		return nil, err
	}
	if filter.After == fromNow || filter.After > newest { // of a store whose backup this is: it would take days to get there again
		filter.After = newest
	}
	return &watcher{s: s, filter: filter}, nil
}

// newestEvent returns the ID of the newest event, 0 before the first.
func (s *Server) newestEvent(ctx context.Context) (int64, error) {
	newest, err := s.Store.Events(ctx, store.EventFilter{Newest: true, Limit: 1})
	if err != nil || len(newest) == 0 {
		return 0, err
	}
	return newest[0].ID, nil
}

// serve writes until the client leaves, its token is revoked, or the daemon stops.
func (w *watcher) serve(hc huma.Context) {
	r, rw := humago.Unwrap(hc)
	poked, stop := w.s.Store.WatchEvents()
	defer stop()
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	out := stream{w: rw, control: http.NewResponseController(rw)}
	// An ID without data is kept by clients: one that comes back before its first event misses nothing.
	if out.send(fmt.Sprintf("retry: 2000\nid: %d\n\n", w.filter.After)) != nil {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		if err := w.sendNew(r.Context(), out); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-w.s.ended:
			return
		case _, open := <-poked:
			if !open {
				return
			}
		case <-beat.C:
			if _, err := w.s.identify(r); err != nil || out.send(": still here\n\n") != nil {
				return
			}
		}
	}
}

// sendNew sends everything that was stored since the last call.
func (w *watcher) sendNew(ctx context.Context, out stream) error {
	for {
		events, err := w.s.Store.Events(ctx, w.filter)
		if err != nil {
			if ctx.Err() == nil {
				w.s.Logger.ErrorContext(ctx, "events could not be read for a watch", "err", err)
			}
			return err
		}
		for _, e := range events {
			data, err := json.Marshal(eventOf(e))
			if err != nil {
				return err
			}
			if err := out.send(fmt.Sprintf("id: %d\ndata: %s\n\n", e.ID, data)); err != nil {
				return err
			}
			w.filter.After = e.ID
		}
		if len(events) < w.filter.Limit {
			return nil
		}
	}
}

// stream sends each message at once.
type stream struct {
	w       io.Writer
	control *http.ResponseController
}

func (s stream) send(text string) error {
	// Not every writer has deadlines; without one a client that reads nothing ends with its connection.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeLimit))
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}
