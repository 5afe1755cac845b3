// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

// Borrower is somebody whom agents are lent to.
type Borrower struct {
	// Client reaches its controller; nil = it makes and deletes its nodes itself, or is a person.
	Client *jenkins.Client
	// URL is its root as agents reach it; "" = that of the client.
	URL string
	// Certificates are those of the authorities that agents are to trust there, in PEM; "" = those that their Java trusts.
	Certificates string
	// Quota is how many agents it may have at once; 0 = any number.
	Quota int
	// Labels are those of its nodes, where a loan asks for none.
	Labels []string
}

// Borrowers are all of them, with what was seen of their nodes last. They are shared by everything that lends.
type Borrowers struct {
	mu    sync.Mutex
	all   map[string]Borrower
	seen  map[string]*nodeLook // newest that has ended, by borrower
	under map[string]*nodeLook // that is under way
}

// nodeLook is what one look at a borrower saw of its nodes.
type nodeLook struct {
	at    time.Time
	nodes map[string]jenkins.Agent
	err   error
	done  chan struct{} // closed when the rest is known
}

// NewBorrowers returns one that knows nobody yet.
func NewBorrowers() *Borrowers {
	return &Borrowers{all: map[string]Borrower{}, seen: map[string]*nodeLook{}, under: map[string]*nodeLook{}}
}

// Apply says who they are. Loans of one that is gone end like those of one that does not answer.
func (b *Borrowers) Apply(all map[string]Borrower) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = all
	clear(b.seen)
	clear(b.under)
}

// Named returns one of them.
func (b *Borrowers) Named(name string) (Borrower, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, ok := b.all[name]
	return found, ok
}

// quotas are those of all that have one.
func (b *Borrowers) quotas() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]int{}
	for name, one := range b.all {
		if one.Quota > 0 {
			out[name] = one.Quota
		}
	}
	return out
}

// client returns the client of the borrower that a loan is to.
func (b *Borrowers) client(l *loan.Loan) (*jenkins.Client, error) {
	one, ok := b.Named(l.To.Controller)
	if !ok || one.Client == nil {
		return nil, fmt.Errorf("borrower %q is not in the configuration any more, or has no address there: %w", l.To.Controller, errNoBorrower)
	}
	return one.Client, nil
}

var errNoBorrower = errors.New("no such borrower")

const (
	// nodeAge is how old a look at a borrower's nodes may be. All loans share one request for all of its nodes, however
	// many there are.
	nodeAge = 400 * time.Millisecond
	// failAge is how long a borrower that did not answer is left alone. What is to be done there fails at once meanwhile:
	// its loans would keep everybody busy waiting otherwise.
	failAge = 5 * time.Second
	// lookTime bounds one look.
	lookTime = 10 * time.Second
)

// changed has the next look at the borrower of a loan be a new one, unless it did not answer.
func (b *Borrowers) changed(l *loan.Loan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.under, l.To.Controller)
	if old := b.seen[l.To.Controller]; old != nil && old.err == nil {
		delete(b.seen, l.To.Controller)
	}
}

// look says what the borrower shows of a loan's node. Who comes while it is being looked at gets what was seen before.
func (b *Borrowers) look(ctx context.Context, l *loan.Loan) loan.Borrower {
	client, err := b.client(l)
	if err != nil {
		return loan.Borrower{At: time.Now(), Problem: err.Error()}
	}
	seen := b.begin(ctx, l.To.Controller, client)
	select {
	case <-seen.done:
	case <-ctx.Done():
		return loan.Borrower{At: time.Now(), Problem: ctx.Err().Error()}
	}
	if seen.err != nil {
		return loan.Borrower{At: seen.at, Problem: seen.err.Error()}
	}
	a, there := seen.nodes[l.Node.Name]
	return loan.Borrower{At: seen.at, Answers: true, There: there, Online: there && !a.Offline, Idle: there && a.Idle}
}

// begin returns the newest look at a borrower, and begins one if that is old.
func (b *Borrowers) begin(ctx context.Context, name string, client *jenkins.Client) *nodeLook {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, under := b.seen[name], b.under[name]
	switch {
	case old != nil && old.fresh(time.Now()):
		return old
	case under == nil:
		under = &nodeLook{at: time.Now(), done: make(chan struct{})}
		b.under[name] = under
		go b.ask(context.WithoutCancel(ctx), name, client, under)
		return under
	case old != nil:
		return old
	}
	return under
}

// fresh reports whether the look need not be repeated yet.
func (n *nodeLook) fresh(now time.Time) bool {
	age := nodeAge
	if n.err != nil {
		age = failAge
	}
	return now.Sub(n.at).Abs() <= age
}

// ask does the one request of a look.
func (b *Borrowers) ask(ctx context.Context, name string, client *jenkins.Client, n *nodeLook) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	fleet, err := client.Fleet(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.err = err; err == nil {
		n.nodes = make(map[string]jenkins.Agent, len(fleet.Agents))
		for _, a := range fleet.Agents {
			n.nodes[a.Name] = a
		}
	} else {
		n.at = time.Now() // from here on it is left alone
	}
	if b.under[name] == n {
		delete(b.under, name)
		b.seen[name] = n
	}
	close(n.done)
}

// silent says why a borrower is left alone for the moment, nil if it is not.
func (b *Borrowers) silent(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if seen := b.seen[name]; seen != nil && seen.err != nil && seen.fresh(time.Now()) {
		return seen.err
	}
	return nil
}
