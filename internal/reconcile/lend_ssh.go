// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// bySSH reports whether a loan from a pool goes over SSH: to a person always, else where the pool's cleanups do.
func (p *Pool) bySSH(to loan.Kind) bool {
	return to == loan.ToSSH || to == loan.ToController && p.Policy.Delivery == hygiene.BySSH
}

// handOverSSH starts the program over SSH, and returns when the borrower has the agent or the person the key. It goes on
// without us then. One whose start was not answered is ended first: whether it lives nobody knows.
func (l *Lender) handOverSSH(ctx context.Context, c *Crew, one *loan.Loan) error {
	if !one.Run.Intent.IsZero() {
		if _, err := l.remote(ctx, c, one, endOf(one.To.Kind)); err != nil {
			return err
		}
	}
	// By these it is found again, whatever becomes of the configuration.
	if p := l.pool(ctx, c, one); p != nil {
		if p.Lend != nil {
			one.Run.Account = p.Lend.Account
		}
		if p.Way != nil {
			one.Run.Way = p.Way(one.Agent.Name)
		}
	}
	starting, stop := context.WithCancel(ctx)
	defer stop()
	l.starting(one.ID, stop)
	defer l.starting(one.ID, nil)
	one.Run.Intent = time.Now()
	if err := l.save(ctx, one, one.Run.Intent); err != nil {
		return err
	}
	verb := loanjob.StartVerb
	if one.To.Kind == loan.ToSSH {
		verb = loanjob.GrantVerb
	}
	console, err := l.remote(starting, c, one, verb)
	if starting.Err() != nil && ctx.Err() == nil {
		return store.ErrConflict // it was returned meanwhile
	}
	if err != nil {
		return err
	}
	one.Run.Handed = time.Now()
	learn(&one.Run, console)
	switch {
	case console.Refusal != "" || console.Failure != nil || console.Ended != nil:
		return l.ended(ctx, one, "it ended at once", console)
	case console.Granted != "":
		target, err := l.target(ctx, c, one)
		if err != nil {
			return err
		}
		one.Run.Isolated, one.Run.Connected, one.Run.Login = true, true, one.Run.Account+"@"+target.Address
	}
	return l.save(ctx, one, one.Run.Handed)
}

// starting keeps what ends the start of a loan's program, and ends the one before.
func (l *Lender) starting(id string, stop context.CancelFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before := l.starts[id]; before != nil {
		before()
	}
	if delete(l.starts, id); stop != nil {
		l.starts[id] = stop
	}
}

// endOf is the verb that ends a loan.
func endOf(kind loan.Kind) loanjob.Verb {
	if kind == loan.ToSSH {
		return loanjob.RevokeVerb
	}
	return loanjob.EndVerb
}

// stopSSH ends the program over SSH, and has it proved.
func (l *Lender) stopSSH(ctx context.Context, c *Crew, one *loan.Loan) error {
	console, err := l.remote(ctx, c, one, endOf(one.To.Kind))
	if err != nil {
		return err
	}
	if console.Ended == nil && console.Refusal == "" {
		return errors.New("the machine did not say that the loan has ended")
	}
	return l.ended(ctx, one, "it was told to end", console)
}

// A program that is held by no build is asked every so often whether it lives, and sooner where the borrower shows its node
// offline: it may have ended, or the network between them.
const (
	followEvery   = 30 * time.Second
	followOffline = 2 * time.Second
)

// followSSH asks now and then whether the program lives.
func (l *Lender) followSSH(ctx context.Context, c *Crew, one *loan.Loan) error {
	if one.State != loan.Attached || one.To.Kind == loan.ToSSH {
		return nil
	}
	every := followEvery
	if !one.To.Own() && one.To.Kind == loan.ToController {
		if node := l.Borrowers.look(ctx, one); node.Answers && node.At.After(one.Attached) && !node.Online {
			every = followOffline
		}
	}
	if !l.itIsTime(one.ID, every) {
		return nil
	}
	console, err := l.remote(ctx, c, one, loanjob.StatusVerb)
	if err != nil || console.Alive == nil || *console.Alive {
		return err
	}
	return l.ended(ctx, one, "it ended on the machine", console)
}

// itIsTime reports whether something is due again for a loan that was last done so long ago.
func (l *Lender) itIsTime(id string, every time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.asked[id]) < every {
		return false
	}
	l.asked[id] = now
	return true
}

// remote runs the program with one verb on the agent's machine.
func (l *Lender) remote(ctx context.Context, c *Crew, one *loan.Loan, verb loanjob.Verb) (loanjob.Console, error) {
	text, err := l.carried(ctx, c, one, verb)
	if err != nil {
		return loanjob.Console{}, err
	}
	target, err := l.target(ctx, c, one)
	if err != nil {
		return loanjob.Console{}, err
	}
	log := sshexec.NewRecord(maxLoanLog)
	_, err = c.SSH.Run(ctx, target, text, map[string]string{"NODE_NAME": one.Agent.Name}, log)
	said, _ := log.Bytes()
	console, bad := loanjob.ReadConsole(said, one.Run.Nonce)
	return console, errors.Join(err, bad)
}

// target is how the machine of a loan's agent is reached: as its pool says, else as that said when the loan began.
func (l *Lender) target(ctx context.Context, c *Crew, one *loan.Loan) (sshexec.Target, error) {
	switch pool := l.pool(ctx, c, one); {
	case c == nil || c.SSH == nil:
	case pool != nil && pool.Target != nil:
		return pool.Target(one.Agent.Name)
	case one.Run.Way != "" && c.Reach != nil:
		return c.Reach(one.Run.Way, one.Agent.Name)
	}
	return sshexec.Target{}, fmt.Errorf("the pool of %s has no ssh settings: %w", one.Agent.Name, errNoBorrower)
}

// carried is the program with all that it needs for one verb. To look after a loan and to end it, it needs neither the borrower
// nor a pool that still lends.
func (l *Lender) carried(ctx context.Context, c *Crew, one *loan.Loan, verb loanjob.Verb) ([]byte, error) {
	secrets := loanjob.Secrets{Nonce: one.Run.Nonce}
	if one.To.Kind == loan.ToSSH {
		input, err := loanjob.Person{
			Agent: one.Agent.Name, Controller: one.Agent.Controller, Attempt: one.Run.Number, Loan: one.ID, User: one.Run.Account,
			Key: one.To.Key, Limit: max(time.Until(l.limit(one)), time.Second),
		}.Input(secrets)
		if err != nil {
			return nil, err
		}
		return loanjob.Carry(verb, input, nil)
	}
	if verb != loanjob.StartVerb {
		input, err := loanjob.Order{
			Agent: one.Agent.Name, Controller: one.Agent.Controller, Attempt: one.Run.Number, Loan: one.ID, Dir: one.Node.Dir, User: one.Run.Account,
		}.Known(secrets)
		if err != nil {
			return nil, err
		}
		return loanjob.Carry(verb, input, nil)
	}
	order, jar, err := l.orderOf(ctx, c, one)
	if err != nil {
		return nil, err
	}
	if secrets.Secret, err = l.access(ctx, one); err != nil {
		return nil, err
	}
	input, err := order.Input(secrets, loanjob.CarriedJar)
	if err != nil {
		return nil, err
	}
	return loanjob.Carry(verb, input, jar)
}

// limit is when the program ends the loan itself, whoever is dead.
func (l *Lender) limit(one *loan.Loan) time.Time { return one.Granted.Add(one.Lease.Max) }
