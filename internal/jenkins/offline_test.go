// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"strings"
	"testing"
)

// toggled is an agent's offline mark as Jenkins keeps it: toggleOffline flips, changeOfflineCause sets.
type toggled struct {
	marked  bool
	reason  string
	journal journal
	after   func(*toggled) // plays another hand after each action of ours
	before  func(*toggled) // and before
}

func (m *toggled) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.journal.add(r)
	action := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if action == "json" {
		reason := html.EscapeString(html.EscapeString(m.reason))
		_, _ = fmt.Fprintf(w, `{"_class":"hudson.slaves.SlaveComputer","displayName":"a","offline":%t,"temporarilyOffline":%[1]t,"offlineCauseReason":%q}`, m.marked, reason)
		return
	}
	if m.before != nil {
		m.before(m)
	}
	message := r.FormValue("offlineMessage")
	switch action {
	case "changeOfflineCause":
		m.marked, m.reason = true, message
	case "toggleOffline":
		m.marked = !m.marked
		if m.reason = ""; m.marked {
			m.reason = message
		}
	default:
		http.NotFound(w, r)
		return
	}
	if m.after != nil {
		m.after(m)
	}
	w.WriteHeader(http.StatusFound)
}

const ours = "pitcrew cleanup 17"

func TestOfflineIsSetAndNeverFlipped(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		start    toggled
		conflict bool
		requests int
	}{
		{"online", toggled{}, false, 2},
		{"ours already", toggled{marked: true, reason: ours}, false, 1},
		{"ours already, with the words of Jenkins", toggled{marked: true, reason: "Disconnected by pit : " + ours}, false, 1},
		{"a person's", toggled{marked: true, reason: "do not touch <me>"}, true, 1},
	} {
		m := tt.start
		err := clientOf(t, m.ServeHTTP).SetOffline(t.Context(), "a", ours)
		if errors.Is(err, ErrNotOurMark) != tt.conflict || IsConflict(err) != tt.conflict || !tt.conflict && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if !m.marked || tt.conflict && (m.reason != tt.start.reason || !strings.Contains(err.Error(), m.reason)) {
			t.Errorf("%s: marked %t with %q, error %v", tt.name, m.marked, m.reason, err)
		}
		if strings.Contains(m.journal.String(), "toggle") || strings.Count(m.journal.String(), "\n")+1 != tt.requests {
			t.Errorf("%s: requests\n%s", tt.name, m.journal.String())
		}
	}
}

func TestOnlyOurMarkIsLifted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		start    toggled
		conflict bool
		marked   bool
		requests int
	}{
		{"ours", toggled{marked: true, reason: ours}, false, false, 3},
		{"none", toggled{}, false, false, 1},
		{"a person's", toggled{marked: true, reason: "mine"}, true, true, 1},
		{"a person's that mentions ours", toggled{marked: true, reason: "not " + ours}, true, true, 1},
	} {
		m := tt.start
		err := clientOf(t, m.ServeHTTP).LiftOffline(t.Context(), "a", ours)
		if errors.Is(err, ErrNotOurMark) != tt.conflict || !tt.conflict && err != nil || m.marked != tt.marked {
			t.Errorf("%s: %v, marked %t", tt.name, err, m.marked)
		}
		if strings.Count(m.journal.String(), "\n")+1 != tt.requests {
			t.Errorf("%s: requests\n%s", tt.name, m.journal.String())
		}
	}
}

func TestAFlipThatCrossedAnotherHandIsMended(t *testing.T) {
	t.Parallel()
	first := true
	m := toggled{marked: true, reason: ours, before: func(m *toggled) {
		if first { // a person lifts it just before we flip
			m.marked, first = false, false
		}
	}}
	if err := clientOf(t, m.ServeHTTP).LiftOffline(t.Context(), "a", ours); err != nil || m.marked {
		t.Errorf("%v, marked %t", err, m.marked)
	}
	m = toggled{marked: true, reason: ours, after: func(m *toggled) { m.marked, m.reason = true, "a person's" }}
	if err := clientOf(t, m.ServeHTTP).LiftOffline(t.Context(), "a", ours); !errors.Is(err, ErrNotOurMark) || !m.marked {
		t.Errorf("a person's new mark was fought: %v", err)
	}
	m = toggled{marked: true, reason: ours, after: func(m *toggled) { m.marked, m.reason = true, ours }}
	if err := clientOf(t, m.ServeHTTP).LiftOffline(t.Context(), "a", ours); !IsConflict(err) {
		t.Errorf("a mark that stays: %v", err)
	}
}

func TestModeAndExecutorsAreSetByTheSameSplice(t *testing.T) {
	t.Parallel()
	n := newNode("x")
	c := clientOf(t, n.ServeHTTP)
	before := n.doc
	for range 2 { // the second time there is nothing to do
		if err := c.SetExclusive(t.Context(), "linux-7"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetExecutors(t.Context(), "linux-7", 3); err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("<mode>NORMAL<", "<mode>EXCLUSIVE<", "<numExecutors>1<", "<numExecutors>3<").Replace(before)
	if n.doc != want || strings.Count(n.journal.String(), "POST") != 2 {
		t.Errorf("document:\n%s\nrequests:\n%s", n.doc, n.journal.String())
	}
	if err := c.SetExecutors(t.Context(), "linux-7", 0); KindOf(err) != KindPermanent {
		t.Errorf("zero executors: %v", err)
	}
	if err := c.SetMode(t.Context(), "linux-7", "SHARED"); KindOf(err) != KindPermanent {
		t.Errorf("unknown mode: %v", err)
	}
	n.onPost = func(*node, string) int { return 200 }
	if err := c.SetMode(t.Context(), "linux-7", ModeNormal); !IsConflict(err) {
		t.Errorf("dropped: %v", err)
	}
}
