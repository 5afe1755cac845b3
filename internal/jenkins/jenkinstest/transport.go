// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"syscall"
)

// Transport returns a round tripper that calls the controller in memory. It opens no
// socket and may be used inside a testing/synctest bubble. A request whose context
// ends fails at once; its handler goes on, as a server's does, until it notices.
func (j *Jenkins) Transport() http.RoundTripper { return memory{j} }

type memory struct{ j *Jenkins }

// listening is false while no process is there to accept connections.
func (j *Jenkins) listening() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.life.phase != phaseDown && j.life.phase != phaseClosed
}

// RoundTrip calls the handler on a goroutine of its own.
func (m memory) RoundTrip(req *http.Request) (*http.Response, error) {
	in, err := m.request(req)
	if err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	done := make(chan any, 1)
	listening := m.j.listening() && m.j.spawn(func() {
		defer func() { done <- recover() }()
		m.j.ServeHTTP(rec, in)
	})
	if !listening {
		return nil, fmt.Errorf("dial tcp %s: %w", req.URL.Host, syscall.ECONNREFUSED)
	}
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case aborted := <-done:
		return response(req, rec, aborted)
	}
}

// request copies a client's request into a server's.
func (m memory) request(req *http.Request) (*http.Request, error) {
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "192.0.2.1:1234"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	in.Body = http.NoBody
	if req.Body != nil {
		data, err := io.ReadAll(req.Body)
		if err = errors.Join(err, req.Body.Close()); err != nil {
			return nil, fmt.Errorf("read request body: %w", err)
		}
		in.Body = io.NopCloser(bytes.NewReader(data))
		in.ContentLength = int64(len(data))
	}
	return in, nil
}

// response turns what was recorded into what a client sees. An aborted handler is a
// reset connection, in the middle of the body if some of it was written.
func response(req *http.Request, rec *httptest.ResponseRecorder, aborted any) (*http.Response, error) {
	if aborted != nil && aborted != http.ErrAbortHandler { //nolint:errorlint // a panic value
		panic(aborted)
	}
	if aborted != nil && rec.Body.Len() == 0 {
		return nil, fmt.Errorf("read tcp %s: %w", req.URL.Host, syscall.ECONNRESET)
	}
	resp := rec.Result()
	resp.Request = req
	resp.ContentLength = int64(rec.Body.Len())
	if aborted != nil {
		if n, err := strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64); err == nil {
			resp.ContentLength = n
		}
		resp.Body = io.NopCloser(io.MultiReader(rec.Body, brokenReader{}))
	}
	return resp, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
