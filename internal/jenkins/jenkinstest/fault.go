// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault makes matching requests go wrong. Its effects apply in the order of its fields;
// zero fields have none.
type Fault struct {
	// Method and Path select requests: Path is a path.Match pattern for the decoded path,
	// context path included, with a trailing "/**" for everything below; both match
	// everything if empty. Match decides alone if it is set.
	Method string
	Path   string
	Match  func(*http.Request) bool

	Skip        int     // let so many matching requests pass first
	Count       int     // then hit so many; 0 means all
	Probability float64 // of hitting each; 0 means certain

	Before  func(*http.Request) // runs before the request is served
	Latency time.Duration       // before serving
	Status  int                 // answered instead of serving, with an HTML page
	Refuse  bool                // the connection is reset before the request is served
	Drop    bool                // a POST is answered 200 without effect

	Truncate int  // cut the body after so many bytes; the answer looks complete
	Break    int  // reset the connection after so many bytes of the body
	Lose     bool // serve, then reset the connection without an answer
	After    func(*http.Request)
	Restart  RestartMode // with Restarts: restart once the request is served
	Restarts bool
}

// faults are the active ones.
type faults struct {
	mu   sync.Mutex
	rand *rand.Rand
	list []*activeFault
}

type activeFault struct {
	Fault
	seen, hits int
}

func (f *faults) init(seed uint64) { f.rand = rand.New(rand.NewPCG(seed, 0x6a656e6b)) } //nolint:gosec // reproducible on purpose

// Inject activates a fault until remove is called or its Count is used up.
func (j *Jenkins) Inject(f Fault) (remove func()) {
	a := &activeFault{Fault: f}
	j.faults.mu.Lock()
	defer j.faults.mu.Unlock()
	j.faults.list = append(j.faults.list, a)
	return func() {
		j.faults.mu.Lock()
		defer j.faults.mu.Unlock()
		j.faults.list = slices.DeleteFunc(j.faults.list, func(x *activeFault) bool { return x == a })
	}
}

// take returns the first fault that hits the request.
func (f *faults) take(r *http.Request) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, a := range f.list {
		if !a.matches(r) {
			continue
		}
		if a.seen++; a.seen <= a.Skip || a.Probability > 0 && f.rand.Float64() >= a.Probability {
			continue
		}
		a.hits++
		if a.Count > 0 && a.hits >= a.Count {
			f.list = slices.Delete(f.list, i, i+1)
		}
		return &a.Fault
	}
	return nil
}

func (f *Fault) matches(r *http.Request) bool {
	if f.Match != nil {
		return f.Match(r)
	}
	if f.Method != "" && f.Method != r.Method {
		return false
	}
	if f.Path == "" {
		return true
	}
	if below, ok := strings.CutSuffix(f.Path, "/**"); ok {
		return strings.HasPrefix(r.URL.Path, below+"/")
	}
	ok, err := path.Match(f.Path, r.URL.Path)
	return ok && err == nil
}

// before applies what happens instead of serving; nil means the request is answered.
func (f *Fault) before(w http.ResponseWriter, r *http.Request) *Fault {
	if f.Before != nil {
		f.Before(r)
	}
	pause(r.Context(), f.Latency)
	switch {
	case f.Refuse:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		if f.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		htmlPage(w, f.Status, http.StatusText(f.Status), "injected")
		return nil
	case f.Drop && r.Method == http.MethodPost:
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return f
}

// wrap records the answer if it must be damaged.
func (f *Fault) wrap(w http.ResponseWriter) http.ResponseWriter {
	if f.Truncate == 0 && f.Break == 0 && !f.Lose {
		return w
	}
	return &recorded{recorder: recorder{header: http.Header{}}, out: w}
}

type recorded struct {
	recorder
	out http.ResponseWriter
}

// after applies what happens once the request was served.
func (f *Fault) after(j *Jenkins, w http.ResponseWriter, r *http.Request) {
	if f.After != nil {
		f.After(r)
	}
	if f.Restarts {
		j.spawn(func() {
			if err := j.Restart(context.WithoutCancel(r.Context()), f.Restart); err != nil {
				j.log.InfoContext(r.Context(), "restart was interrupted", "err", err)
			}
		})
	}
	if rec, ok := w.(*recorded); ok {
		rec.damage(f)
	}
}

// damage passes on as much of the recorded answer as the fault lets through.
func (rec *recorded) damage(f *Fault) {
	if f.Lose {
		panic(http.ErrAbortHandler)
	}
	rec.WriteHeader(http.StatusOK)
	h, body := rec.out.Header(), rec.body
	maps.Copy(h, rec.sent)
	if f.Truncate > 0 && f.Truncate < len(body) {
		body = body[:f.Truncate]
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	rec.out.WriteHeader(rec.status)
	if f.Break > 0 && f.Break < len(body) {
		_, _ = rec.out.Write(body[:f.Break]) // about to be broken
		if fl, ok := rec.out.(http.Flusher); ok {
			fl.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	_, _ = rec.out.Write(body) // the client went away
}

// LoseQueueItem makes a queued item vanish without trace.
func (j *Jenkins) LoseQueueItem(id int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	it := j.queue.byID[id]
	if it == nil || it.stage == stagePending {
		return false
	}
	j.queue.leave(it)
	delete(j.queue.byID, id)
	j.queue.left = without(j.queue.left, it)
	return true
}

// StallQueueItem leaves an item in the queue for ever, though executors are free.
func (j *Jenkins) StallQueueItem(id int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	it := j.queue.byID[id]
	if it != nil {
		it.stalled = true
	}
	return it != nil
}

// DeleteBuild removes the record of a build.
func (j *Jenkins) DeleteBuild(job string, number int) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	jb := j.root.find(job)
	if jb == nil {
		return false
	}
	b := jb.build(number)
	if b != nil {
		jb.remove(b)
	}
	return b != nil
}
