// SPDX-License-Identifier: Apache-2.0

package gatemodel

import (
	"context"
	"sync"
	"time"
)

// boxLimit is how many events are kept.
const boxLimit = 10000

// longestWait bounds how long a request for events waits.
const longestWait = 30 * time.Second

// field is one field of an object in an answer, a text or a number.
type field struct {
	name  string
	value any
}

// event is a hint for the daemon, which reads the whole ledger whenever it has missed one.
type event struct {
	seq    int64
	agent  string
	fields []field
}

// box holds the newest events. It has a lock of its own: whoever waits for an event holds no other.
type box struct {
	mu   sync.Mutex
	list []event
	last int64
	news chan struct{} // closed at the next event
}

func (b *box) sequence() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

func (g *Gate) tell(what, agent string, more ...field) {
	b := &g.ledger.box
	fields := append([]field{{"event", what}, {"agent", agent}, {"at", g.jenkins.Now().UnixMilli()}}, more...)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	b.list = append(b.list, event{seq: b.last, agent: agent, fields: append(fields, field{"seq", b.last})})
	if len(b.list) >= 2*boxLimit {
		b.list = append(make([]event, 0, 2*boxLimit), b.list[len(b.list)-boxLimit:]...)
	}
	close(b.news)
	b.news = make(chan struct{})
}

// after returns the events after a number, and false if some of them are gone or were never there; while there are none it
// returns what is closed at the next one.
func (b *box) after(since int64) (found []event, known bool, news <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	since = max(since, -1)
	kept := b.list[max(0, len(b.list)-boxLimit):]
	if since > b.last || len(kept) > 0 && kept[0].seq > since+1 {
		return nil, false, b.news
	}
	return kept[max(0, len(kept)-int(b.last-since)):], true, b.news
}

// await is after, waiting so long for the first one.
func (b *box) await(ctx context.Context, since int64, wait time.Duration) (found []event, known bool) {
	timer := time.NewTimer(min(max(wait, 0), longestWait))
	defer timer.Stop()
	for {
		found, known, news := b.after(since)
		if len(found) > 0 || since < b.sequence() {
			return found, known
		}
		select {
		case <-news:
		case <-timer.C:
			return found, known
		case <-ctx.Done():
			return found, known
		}
	}
}
