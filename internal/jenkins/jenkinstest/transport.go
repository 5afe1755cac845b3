// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	rec := &recorder{header: http.Header{}}
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

// request makes a server's request of a client's. The two share headers and address, which neither changes.
func (m memory) request(req *http.Request) (*http.Request, error) {
	in := req.WithContext(req.Context())
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "192.0.2.1:1234"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	in.Body = http.NoBody
	if req.Body != nil {
		data := bytes.NewBuffer(make([]byte, 0, max(0, req.ContentLength)+bytes.MinRead))
		_, err := data.ReadFrom(req.Body)
		if err = errors.Join(err, req.Body.Close()); err != nil {
			return nil, fmt.Errorf("read request body: %w", err)
		}
		in.Body = io.NopCloser(data)
		in.ContentLength = int64(data.Len())
	}
	return in, nil
}

// recorder keeps an answer in memory.
type recorder struct {
	header, sent http.Header
	status       int
	body         []byte
}

// Header is what the handler sets; what it sets in a later one after WriteHeader is lost.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader fixes status and headers.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status, r.sent, r.header = status, r.header, http.Header{}
	}
}

// Write copies p.
func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.body = append(r.body, p...)
	return len(p), nil
}

// own is Write for a buffer that the handler gives away.
func (r *recorder) own(p []byte) {
	r.WriteHeader(http.StatusOK)
	r.body = p
}

// response turns what was recorded into what a client sees. An aborted handler is a
// reset connection, in the middle of the body if some of it was written.
func response(req *http.Request, rec *recorder, aborted any) (*http.Response, error) {
	if aborted != nil && aborted != http.ErrAbortHandler { //nolint:errorlint // a panic value
		panic(aborted)
	}
	if aborted != nil && len(rec.body) == 0 {
		return nil, fmt.Errorf("read tcp %s: %w", req.URL.Host, syscall.ECONNRESET)
	}
	rec.WriteHeader(http.StatusOK)
	resp := &http.Response{
		Status: strconv.Itoa(rec.status) + " " + http.StatusText(rec.status), StatusCode: rec.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: rec.sent, Request: req,
		ContentLength: int64(len(rec.body)), Body: io.NopCloser(bytes.NewReader(rec.body)),
	}
	if req.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	if aborted != nil {
		if n, err := strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64); err == nil {
			resp.ContentLength = n
		}
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(rec.body), brokenReader{}))
	}
	return resp, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
