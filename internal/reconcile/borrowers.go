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
	// Quota is how many agents it may have at once; 0 = any number.
	Quota int
	// Labels are those of its nodes, where a loan asks for none.
	Labels []string
}

// Borrowers are all of them, with what was seen of their nodes last. They are shared by everything that lends.
type Borrowers struct {
	mu   sync.Mutex
	all  map[string]Borrower
	seen map[string]*nodeLook
}

// nodeLook is what one look at a borrower saw of its nodes.
type nodeLook struct {
	mu    sync.Mutex // held while it is looked at, so that those who come meanwhile share it
	at    time.Time
	nodes map[string]jenkins.Agent
	err   error
}

// NewBorrowers returns one that knows nobody yet.
func NewBorrowers() *Borrowers {
	return &Borrowers{all: map[string]Borrower{}, seen: map[string]*nodeLook{}}
}

// Apply says who they are. Loans of one that is gone end like those of one that does not answer.
func (b *Borrowers) Apply(all map[string]Borrower) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = all
	clear(b.seen)
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

// nodeAge is how old a look at a borrower's nodes may be. All loans share one request for all of its nodes, however
// many there are.
const nodeAge = 400 * time.Millisecond

// changed has the next look at the borrower of a loan be a new one.
func (b *Borrowers) changed(l *loan.Loan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.seen, l.To.Controller)
}

// look says what the borrower shows of a loan's node.
func (b *Borrowers) look(ctx context.Context, l *loan.Loan) loan.Borrower {
	client, err := b.client(l)
	if err != nil {
		return loan.Borrower{At: time.Now(), Problem: err.Error()}
	}
	b.mu.Lock()
	seen := b.seen[l.To.Controller]
	if seen == nil {
		seen = &nodeLook{}
		b.seen[l.To.Controller] = seen
	}
	b.mu.Unlock()
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if now := time.Now(); now.Sub(seen.at) > nodeAge {
		seen.at = now
		fleet, err := client.Fleet(ctx)
		if seen.err = err; err == nil {
			seen.nodes = make(map[string]jenkins.Agent, len(fleet.Agents))
			for _, a := range fleet.Agents {
				seen.nodes[a.Name] = a
			}
		}
	}
	if seen.err != nil {
		return loan.Borrower{At: seen.at, Problem: seen.err.Error()}
	}
	a, there := seen.nodes[l.Node.Name]
	return loan.Borrower{At: seen.at, Answers: true, There: there, Online: there && !a.Offline, Idle: there && a.Idle}
}
