// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// swap wants label to instead of from, and refuses if somebody took the agent out.
func swap(from, to string) func(NodeConfig) ([]string, error) {
	return func(n NodeConfig) ([]string, error) {
		if slices.Contains(n.Labels, "held") {
			return nil, errHeld
		}
		return append(slices.DeleteFunc(slices.Clone(n.Labels), func(l string) bool { return l == from }), to), nil
	}
}

var errHeld = errors.New("held by a person")

const (
	getNode  = "GET /jenkins/computer/linux-7/config.xml"
	postNode = "POST /jenkins/computer/linux-7/config.xml"
)

func TestAnEditReadsWritesReadsBackAndAsksTheScheduler(t *testing.T) {
	t.Parallel()
	n := newNode("cleanable  linux dirty")
	before := n.doc
	got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("dirty", "clean"))
	if err != nil {
		t.Fatal(err)
	}
	want := LabelEdit{
		Before: []string{"cleanable", "linux", "dirty"}, After: []string{"cleanable", "linux", "clean"},
		Written: true, Rounds: 1, Requests: 4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(strings.Replace(before, "linux dirty<", "linux clean<", 1), n.doc); diff != "" {
		t.Errorf("the document changed elsewhere:\n%s", diff)
	}
	requests := strings.Join([]string{getNode, postNode, getNode, "GET /jenkins/label/dirty/api/json?tree=nodes%5BnodeName%5D"}, "\n")
	if n.journal.String() != requests {
		t.Errorf("requests:\n%s", n.journal.String())
	}
}

func TestNothingIsWrittenIfNothingIsToChange(t *testing.T) {
	t.Parallel()
	for name, decide := range map[string]func(NodeConfig) ([]string, error){
		"said so":               func(NodeConfig) ([]string, error) { return nil, ErrNoChange },
		"same labels":           func(n NodeConfig) ([]string, error) { return n.Labels, nil },
		"same in other order":   func(NodeConfig) ([]string, error) { return []string{"clean", "cleanable"}, nil },
		"said so with wrapping": func(NodeConfig) ([]string, error) { return nil, fmt.Errorf("busy: %w", ErrNoChange) },
	} {
		n := newNode("cleanable clean")
		got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", decide)
		if err != nil || got.Written || got.Requests != 1 || n.journal.String() != getNode {
			t.Errorf("%s: %+v, %v\n%s", name, got, err, n.journal.String())
		}
	}
}

func TestADroppedEditIsDoneAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode("cleanable")
		posts := 0
		n.onPost = func(n *node, body string) int {
			if posts++; posts > 2 {
				n.doc = body
			}
			return 200 // dropped, and answered like the others
		}
		got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("", "dirty"))
		if err != nil || !got.Written || got.Rounds != 3 || got.Requests != 9 {
			t.Errorf("%+v, %v", got, err)
		}
		if !slices.Equal(n.labels(t), []string{"cleanable", "dirty"}) {
			t.Errorf("labels %q", n.labels(t))
		}
	})
}

func TestAnEditThatIsAlwaysLostGivesUpAsAConflict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode("cleanable")
		n.onPost = func(*node, string) int { return 200 }
		start := time.Now()
		got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("", "dirty"))
		if !errors.Is(err, ErrLostEdit) || !IsConflict(err) || got.Written || got.Rounds != editRounds {
			t.Errorf("%+v, %v", got, err)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("took %s", d)
		}
	})
}

func TestEachRoundDecidesOnFreshFacts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode("cleanable linux")
		n.onPost = func(n *node, _ string) int { // a person was faster
			n.doc = fmt.Sprintf(linux7, "cleanable linux held")
			return 200
		}
		got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("", "dirty"))
		if !errors.Is(err, errHeld) || got.Written || got.Rounds != 2 {
			t.Errorf("%+v, %v", got, err)
		}
		if !slices.Equal(n.labels(t), []string{"cleanable", "linux", "held"}) {
			t.Errorf("labels %q", n.labels(t))
		}
	})
}

func TestAnotherWritersChangeBesideOursIsNoLoss(t *testing.T) {
	t.Parallel()
	n := newNode("cleanable")
	n.onPost = func(n *node, body string) int {
		n.doc = strings.Replace(body, "<mode>NORMAL<", "<mode>EXCLUSIVE<", 1)
		return 200
	}
	got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("", "dirty"))
	if err != nil || !got.Written || !got.Foreign || got.Rounds != 1 || got.OfflineChanged {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestALabelAddedByAnotherWriterIsNotLostByTheNextRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode("cleanable")
		first := true
		n.onPost = func(n *node, body string) int {
			n.doc = body
			if first {
				n.doc, first = fmt.Sprintf(linux7, "cleanable gpu"), false
			}
			return 200
		}
		if _, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("", "dirty")); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(n.labels(t), []string{"cleanable", "gpu", "dirty"}) {
			t.Errorf("labels %q", n.labels(t))
		}
	})
}

func TestAMarkOfflineThatCameAndWentIsReported(t *testing.T) {
	t.Parallel()
	const mark = `<temporaryOfflineCause class="hudson.slaves.OfflineCause$UserCause"><timestamp>1</timestamp></temporaryOfflineCause>`
	marked := func(doc string) string { return strings.Replace(doc, "<slave>", "<slave>"+mark, 1) }
	t.Run("set after our write", func(t *testing.T) {
		t.Parallel()
		n := newNode("cleanable")
		n.onPost = func(n *node, body string) int { n.doc = marked(body); return 200 }
		got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("", "dirty"))
		if err != nil || !got.Written || got.OfflineBefore || !got.OfflineAfter || !got.OfflineChanged {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("there all the time", func(t *testing.T) {
		t.Parallel()
		n := newNode("cleanable")
		n.doc = marked(n.doc)
		got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("", "dirty"))
		if err != nil || !got.OfflineBefore || !got.OfflineAfter || got.OfflineChanged || got.Foreign || !strings.Contains(n.doc, mark) {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("set while the decision was made", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			n := newNode("cleanable")
			decided := 0
			got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", func(c NodeConfig) ([]string, error) {
				if decided++; decided == 1 {
					time.Sleep(time.Second)
					n.doc = marked(n.doc)
				}
				return append(c.Labels, "dirty"), nil
			})
			if err != nil || !got.Written || !got.OfflineAfter || decided != 2 || !strings.Contains(n.doc, mark) {
				t.Errorf("%+v, %v, decided %d times", got, err, decided)
			}
		})
	})
}

func TestAnEditWithoutAnswerIsReadBackBeforeItIsCalledLost(t *testing.T) {
	t.Parallel()
	for _, status := range []int{500, 502, 404} {
		n := newNode("cleanable")
		n.onPost = func(n *node, body string) int { n.doc = body; return status }
		got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("", "dirty"))
		if err != nil || !got.Written {
			t.Errorf("%d although done: %+v, %v", status, got, err)
		}
	}
	n := newNode("cleanable")
	n.onPost = func(*node, string) int { return 500 }
	got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("", "dirty"))
	if !IsRetryable(err) || got.Written || got.Requests != 3 {
		t.Errorf("500 and not done: %+v, %v", got, err)
	}
	n = newNode("cleanable")
	n.onPost = func(*node, string) int { return 403 }
	got, err = clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("", "dirty"))
	if !IsForbidden(err) || got.Written || got.Requests != 2 {
		t.Errorf("403: %+v, %v", got, err)
	}
}

func TestAStaleSchedulerIsReported(t *testing.T) {
	t.Parallel()
	n := newNode("cleanable clean")
	n.cached = map[string]bool{"clean": true}
	got, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", func(NodeConfig) ([]string, error) { return []string{"cleanable"}, nil })
	if err != nil || !got.Written || !slices.Equal(got.Stale, []string{"clean"}) {
		t.Errorf("%+v, %v", got, err)
	}
	// The answer may also be missing; then it is better to believe the worse.
	broken := func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/label/") {
			w.WriteHeader(500)
			return
		}
		n.ServeHTTP(w, r)
	}
	got, err = clientOf(t, broken).EditLabels(t.Context(), "linux-7", func(NodeConfig) ([]string, error) { return nil, nil })
	if err != nil || !got.Written || !slices.Equal(got.Stale, []string{"cleanable"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAnAgentThatIsAbsentForAnInstantIsStillEdited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, asked := newNode("cleanable"), 0
		c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
			if asked++; asked == 1 || asked == 4 {
				http.NotFound(w, r)
				return
			}
			n.ServeHTTP(w, r)
		})
		got, err := c.EditLabels(t.Context(), "linux-7", swap("", "dirty"))
		if err != nil || !got.Written || got.Requests != 5 {
			t.Errorf("%+v, %v", got, err)
		}
		gone := clientOf(t, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
		got, err = gone.EditLabels(t.Context(), "linux-7", swap("", "dirty"))
		if !IsNotFound(err) || got.Requests != 2 {
			t.Errorf("gone: %+v, %v", got, err)
		}
	})
}

func TestNoDocumentIsPostedUnderAnotherName(t *testing.T) {
	t.Parallel()
	n := newNode("cleanable")
	n.doc = strings.Replace(n.doc, "<name>linux-7<", "<name>linux-8<", 1)
	_, err := clientOf(t, n.ServeHTTP).EditLabels(t.Context(), "linux-7", swap("", "dirty"))
	if !IsConflict(err) || !strings.Contains(err.Error(), "linux-8") || strings.Contains(n.journal.String(), "POST") {
		t.Errorf("%v\n%s", err, n.journal.String())
	}
}

func TestTheBuiltInNodeIsNeverWrittenTo(t *testing.T) {
	t.Parallel()
	c := clientOf(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s", r.Method, r.URL) })
	for _, name := range []string{"", "(built-in)", "(master)"} {
		_, edit := c.EditLabels(t.Context(), name, swap("", "dirty"))
		for what, err := range map[string]error{
			"edit": edit, "mode": c.SetExclusive(t.Context(), name), "executors": c.SetExecutors(t.Context(), name, 1),
			"offline": c.SetOffline(t.Context(), name, "x"), "online": c.LiftOffline(t.Context(), name, "x"),
			"disconnect": c.Disconnect(t.Context(), name, "x"), "launch": c.Launch(t.Context(), name),
		} {
			if !errors.Is(err, ErrBuiltIn) || KindOf(err) != KindPermanent {
				t.Errorf("%s of %q: %v", what, name, err)
			}
		}
	}
}

func TestTheRateLimiterDoesNotStandBetweenReadingAndWriting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode("cleanable")
		var times []time.Time
		n.onGet = func(*node) { times = append(times, time.Now()) }
		n.onPost = func(n *node, body string) int { n.doc = body; times = append(times, time.Now()); return 200 }
		c := clientWith(t, Options{RequestsPerSecond: 0.5, Burst: 2}, n.ServeHTTP)
		_, _ = c.NodeConfig(t.Context(), "linux-7") // takes from the burst
		if _, err := c.EditLabels(t.Context(), "linux-7", swap("", "dirty")); err != nil {
			t.Fatal(err)
		}
		if gap := times[2].Sub(times[1]); gap != 0 {
			t.Errorf("%s between reading and writing", gap)
		}
	})
}
