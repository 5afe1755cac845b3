// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// Events yields the events that match, newest first.
func (c *Client) Events(ctx context.Context, q api.EventQuery) iter.Seq2[api.Event, error] {
	return pages[api.Event](ctx, c, "/events", values(q))
}

const (
	// silence is how long a watch may say nothing before its connection is taken for dead: the
	// server's heartbeat comes several times in it.
	silence = 50 * time.Second
	// comeBack is the pause before a watch connects again.
	comeBack = 2 * time.Second
)

// Watch yields events as they happen until ctx ends: those after the ID, or only new ones for -1.
// It connects again when the connection is lost, and misses nothing then. It ends after an error
// that trying again would not mend; until the first connection every error is one.
func (c *Client) Watch(ctx context.Context, q api.EventSelect, after int64) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		connected := false
		for ctx.Err() == nil {
			stream, err := c.connect(ctx, q, after)
			if err == nil {
				connected = true
				var more bool
				if after, more = stream.yield(after, yield); !more {
					return
				}
			} else if ctx.Err() == nil && (!connected || !IsPassing(err)) {
				yield(api.Event{}, err)
				return
			}
			pause(ctx, comeBack)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// eventStream is one connection of a watch.
type eventStream struct {
	body   io.ReadCloser
	alive  *time.Timer // cancels the request when it runs out
	cancel context.CancelFunc
}

func (c *Client) connect(ctx context.Context, q api.EventSelect, after int64) (*eventStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	query := values(q)
	query.Set("after", strconv.FormatInt(after, 10))
	alive := time.AfterFunc(silence, cancel)
	res, err := c.send(ctx, http.MethodGet, "/events/watch", query, nil) //nolint:bodyclose // the stream closes it
	if err != nil {
		alive.Stop()
		cancel()
		return nil, err
	}
	return &eventStream{body: res.Body, alive: alive, cancel: cancel}, nil
}

// yield passes events on until the connection is lost. It returns the ID of the last one, and
// whether more are wanted.
func (s *eventStream) yield(after int64, yield func(api.Event, error) bool) (int64, bool) {
	defer s.cancel()
	defer s.alive.Stop()
	defer s.body.Close()
	lines := bufio.NewScanner(s.body)
	lines.Buffer(nil, maxProblem)
	for lines.Scan() {
		s.alive.Reset(silence)
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			after = position(id, after) // the first one tells where the stream begins, before any event
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e api.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			yield(e, fmt.Errorf("read event: %w", err))
			return after, false
		}
		if !yield(e, nil) {
			return after, false
		}
	}
	return after, true
}

func position(id string, before int64) int64 {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil {
		return n
	}
	return before
}
