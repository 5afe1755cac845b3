// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

// maxLoanLog bounds what is read of a loan's console: the program's own words are few, those of the borrowed program are
// passed on.
const maxLoanLog = 4 << 20

// loanParameter is the parameter by which a build is known to be of a loan.
const loanParameter = "PITCREW_LOAN"

// handOver starts the program that holds the loan, as a build on the lender's agent. The intention is stored before the
// request that starts it: after a crash in between, the build is looked for before another is made.
func (l *Lender) handOver(ctx context.Context, c *Crew, one *loan.Loan) error {
	if !one.Held() {
		return l.handOverSSH(ctx, c, one)
	}
	if !one.Run.Intent.IsZero() {
		if found, err := l.findHanded(ctx, c, one); err != nil || found {
			return err
		}
	}
	job := one.Run.Job
	if err := c.prepareLoanJob(ctx, one); err != nil {
		return err
	}
	order, file, err := l.order(ctx, c, one)
	if err != nil {
		return err
	}
	look := c.look.Load()
	if look == nil {
		return errNotSeen
	}
	one.Run.Intent, one.Run.Session = time.Now(), look.Session
	if err := l.save(ctx, one, one.Run.Intent); err != nil {
		return err
	}
	queueID, err := c.Jenkins.Build(ctx, job, order, file)
	if err != nil {
		return building.of(job, err)
	}
	one.Run.QueueID, one.Run.Handed = queueID, time.Now()
	return l.save(ctx, one, one.Run.Handed)
}

// order is what one build of the job is told.
func (l *Lender) order(ctx context.Context, c *Crew, one *loan.Loan) (map[string]string, *jenkins.File, error) {
	order, jar, err := l.orderOf(ctx, c, one)
	if err != nil {
		return nil, nil, err
	}
	secret, err := l.access(ctx, one)
	if err != nil {
		return nil, nil, err
	}
	plain, passwords, err := order.Parameters(loanjob.Secrets{Nonce: one.Run.Nonce, Secret: secret})
	if err != nil {
		return nil, nil, err
	}
	maps.Copy(plain, passwords)
	return plain, &jenkins.File{Param: loanjob.FileParameter, Name: "agent.jar", Content: jar}, nil
}

// orderOf is what the program is told that nobody needs to keep from others, and the agent program that it runs.
func (l *Lender) orderOf(ctx context.Context, c *Crew, one *loan.Loan) (o loanjob.Order, jar []byte, err error) {
	p := l.lending(ctx, c, one)
	if p == nil {
		return o, nil, fmt.Errorf("the pool of %s lends nothing any more", one.Agent.Name)
	}
	url, certificates, err := l.address(one)
	if err != nil {
		return o, nil, err
	}
	if jar, err = l.jar(ctx, c, one, p); err != nil {
		return o, nil, err
	}
	sum := sha256.Sum256(jar)
	isolation := p.Isolation
	if one.Want.Isolated {
		isolation = loanjob.Required
	}
	return loanjob.Order{
		Agent: one.Agent.Name, Controller: one.Agent.Controller, Attempt: one.Run.Number,
		Loan: one.ID, URL: url, Node: one.Node.Name, Dir: one.Node.Dir, User: p.Account, Isolation: cmp.Or(isolation, loanjob.Preferred),
		JarSHA256: hex.EncodeToString(sum[:]), Limit: max(time.Until(l.limit(one)), time.Second), Attach: one.Lease.Attach,
		Certificate: certificates,
	}, jar, nil
}

// address is the root of the borrower as the agent reaches it, and what certificates it is to trust there.
func (l *Lender) address(one *loan.Loan) (url, certificates string, err error) {
	if one.To.Own() {
		return one.To.URL, one.To.CA, nil
	}
	client, err := l.Borrowers.client(one)
	if err != nil {
		return "", "", err
	}
	borrower, _ := l.Borrowers.Named(one.To.Controller)
	return cmp.Or(borrower.URL, client.URL()), borrower.Certificates, nil
}

// access is the secret of the loan's node.
func (l *Lender) access(ctx context.Context, one *loan.Loan) (string, error) {
	if one.To.Own() {
		return l.Store.LoanSecret(ctx, one.ID)
	}
	client, err := l.Borrowers.client(one)
	if err != nil {
		return "", err
	}
	return client.AgentSecret(ctx, one.Node.Name)
}

// jar is the agent program that is run for the borrower: the lender's own, or the borrower's where the configuration names
// it by its sum. A program of another trust zone is never run unseen.
func (l *Lender) jar(ctx context.Context, c *Crew, one *loan.Loan, p *Lending) ([]byte, error) {
	if len(p.Jars) > 0 && !one.To.Own() {
		client, err := l.Borrowers.client(one)
		if err != nil {
			return nil, err
		}
		jar, err := client.AgentJar(ctx)
		if err != nil {
			return nil, err
		}
		if sum := sha256.Sum256(jar); slices.Contains(p.Jars, hex.EncodeToString(sum[:])) {
			return jar, nil
		}
	}
	return c.Jenkins.AgentJar(ctx)
}

// prepareLoanJob makes sure that the job is exactly what we write, tied to the loan's agent.
func (c *Crew) prepareLoanJob(ctx context.Context, one *loan.Loan) error {
	job, spec := one.Run.Job, loanjob.Spec{Name: one.Run.Job, Agent: one.Agent.Name, Controller: string(c.id), Owner: c.Owner}
	want, err := loanjob.RenderXML(spec)
	if err != nil {
		return err
	}
	have, err := c.Jenkins.JobConfig(ctx, job)
	if err != nil && !jenkins.IsNotFound(err) {
		return reading.of(job, err)
	}
	if same, err := loanjob.Same(have, spec); have != nil && (same || err != nil) {
		return err
	}
	switch owner, _ := loanjob.Owner(have); {
	case have == nil:
		err = creating.of(job, c.Jenkins.CreateJob(ctx, job, want))
	case owner != c.Owner:
		return fmt.Errorf("job %s exists and was not made by this pitcrew; rename or delete it", job)
	default:
		err = configuring.of(job, c.Jenkins.UpdateJob(ctx, job, want))
	}
	if err != nil {
		return err
	}
	back, err := c.Jenkins.JobConfig(ctx, job)
	if err != nil {
		return reading.of(job, err)
	}
	if same, err := loanjob.Same(back, spec); err != nil || !same {
		return errors.Join(err, fmt.Errorf("write job %s: %w", job, errDropped))
	}
	return nil
}

// findHanded looks for the build of a hand-over that was begun and not answered.
func (l *Lender) findHanded(ctx context.Context, c *Crew, one *loan.Loan) (bool, error) {
	queue, err := c.Jenkins.Queue(ctx)
	if err != nil {
		return false, err
	}
	for _, item := range queue.Items {
		if item.Job == one.Run.Job && slices.Contains(strings.Split(item.Params, "\n"), loanParameter+"="+one.ID) {
			one.Run.QueueID, one.Run.Handed = item.ID, time.Now()
			return true, l.save(ctx, one, one.Run.Handed)
		}
	}
	builds, err := c.Jenkins.RecentBuilds(ctx, one.Run.Job)
	if err != nil && !jenkins.IsNotFound(err) {
		return false, err
	}
	for _, b := range builds {
		if b.Params[loanParameter] == one.ID {
			one.Run.QueueID, one.Run.Build, one.Run.URL, one.Run.Handed = b.QueueID, b.Number, b.URL, time.Now()
			return true, l.save(ctx, one, one.Run.Handed)
		}
	}
	return false, nil
}

// follow learns how far the program is that holds the loan.
func (l *Lender) follow(ctx context.Context, c *Crew, one *loan.Loan) error {
	run := &one.Run
	if c == nil || run.Handed.IsZero() || !run.Ended.IsZero() || one.Over() {
		return nil
	}
	if !one.Held() {
		return l.followSSH(ctx, c, one)
	}
	if run.Build == 0 {
		if err := l.followQueued(ctx, c, one); err != nil || run.Build == 0 {
			return err
		}
	}
	if one.State == loan.Attached && c.holds(one) {
		return nil // the polls tell when it has ended
	}
	build, err := c.Jenkins.BuildInfo(ctx, run.Job, run.Build)
	if jenkins.IsNotFound(err) {
		return l.ended(ctx, one, "its build was deleted", loanjob.Console{})
	}
	if err != nil || build.Building && one.State != loan.Granted {
		return err
	}
	text, _, err := c.Jenkins.ConsoleText(ctx, run.Job, run.Build, maxLoanLog)
	if err != nil && !jenkins.IsNotFound(err) {
		return err
	}
	console, err := loanjob.ReadConsole(text, run.Nonce)
	switch {
	case err != nil && build.Building:
		return err // it proves nothing, least of all that the program has ended
	case err != nil:
		return l.ended(ctx, one, "its console is not to be trusted: "+err.Error(), loanjob.Console{})
	case !build.Building:
		if e := console.Ended; e != nil && e.Reason == loanjob.AgentEnded && build.Result == "ABORTED" {
			e.Reason = loanjob.Stopped // Jenkins ends the processes of a build that is stopped in any order
		}
		run.Stopped = build.Result == "ABORTED" && console.Ended == nil
		says := fmt.Sprintf("its build ended %s", build.Result)
		if console == (loanjob.Console{}) {
			says += " before its program said a word: its console tells why" // the machine had no room for it, perhaps
		}
		return l.ended(ctx, one, says, console)
	}
	if (console.Started != nil) == (run.Account != "") && console.Connected == run.Connected && console.Trouble == run.Trouble {
		return nil
	}
	learn(run, console)
	return l.save(ctx, one, time.Now())
}

// holds reports whether the newest look shows the build that holds a loan.
func (c *Crew) holds(one *loan.Loan) bool {
	if c == nil {
		return false
	}
	look, run := c.look.Load(), &one.Run
	return look != nil && look.At.After(run.Handed) && look.Session == run.Session && slices.ContainsFunc(look.Agents[one.Agent.Name].Running, func(e jenkins.Executable) bool {
		return e.Job == run.Job && e.Number == run.Build
	})
}

// followQueued learns which build the queued item became.
func (l *Lender) followQueued(ctx context.Context, c *Crew, one *loan.Loan) error {
	run := &one.Run
	item, err := c.Jenkins.QueueItem(ctx, run.QueueID)
	switch {
	case jenkins.IsNotFound(err):
		found, err := l.findHanded(ctx, c, one)
		if err != nil || found {
			return err
		}
		return l.ended(ctx, one, "the controller lost its queued build", loanjob.Console{Refusal: "never started"})
	case err != nil:
		return err
	case item.Cancelled:
		return l.ended(ctx, one, "its queued build was cancelled", loanjob.Console{Refusal: "never started"})
	case item.Executable == nil:
		return nil
	}
	run.Build, run.URL = item.Executable.Number, item.Executable.URL
	return l.save(ctx, one, time.Now())
}

// ended stores that the program has ended, and what it said last.
func (l *Lender) ended(ctx context.Context, one *loan.Loan, says string, console loanjob.Console) error {
	run := &one.Run
	run.Ended, run.Says = time.Now(), says
	learn(run, console)
	switch e := console.Ended; {
	case console.Refusal != "":
		run.Refused, run.Says, run.Proof = true, says+": "+console.Refusal, "nothing was started"
	case console.Failure != nil:
		run.Refused, run.Says, run.Proof = true, "it could not be set up: "+console.Failure.Reason, "what it had set up was undone"
	case e != nil:
		run.Says, run.EndedBy = endingOf(e, run.Trouble)
		if e.Left > 0 {
			run.Says += fmt.Sprintf("; %d of its processes could not be ended", e.Left)
		} else {
			run.Proof = "the program looked: nothing of the loan is left"
		}
	case console.Started != nil && run.Stopped:
		run.Says, run.EndedBy = endings[loanjob.Stopped], endedBy[loanjob.Stopped]
	case console.Started != nil:
		run.Says = says + " without its program's last word"
	}
	return l.save(ctx, one, run.Ended)
}

// endingOf says for people why a program ended, and what ended the loan with it. trouble is what its agent program printed.
func endingOf(e *loanjob.Ended, trouble string) (says string, by loan.Cause) {
	const signalled, signals = 128, 64 // shells add the number of the signal
	switch n := e.Code - signalled; {
	case e.Reason == loanjob.AgentEnded && n > 0 && n <= signals:
		return fmt.Sprintf("its agent program was ended by signal %d on the agent's machine", n), loan.ByAbort
	case e.Reason == loanjob.NotConnected:
		return endings[e.Reason] + said(trouble), endedBy[e.Reason]
	}
	return endings[e.Reason], endedBy[e.Reason]
}

// said quotes what an agent program printed.
func said(trouble string) string {
	if trouble == "" {
		return ""
	}
	return fmt.Sprintf(": its agent program said %q", trouble)
}

// endings says for people why a program ended.
var endings = map[loanjob.Reason]string{
	loanjob.Stopped: "its build was stopped", loanjob.AgentEnded: "the borrower let it go: the node was deleted or disconnected, or the borrower died",
	loanjob.NotConnected: "it never connected to the borrower", loanjob.LenderGone: "the lender's agent ended",
	loanjob.LimitReached: "it reached its limit", loanjob.Asked: "it was told to end",
}

// endedBy are the causes behind the reasons of a program.
var endedBy = map[loanjob.Reason]loan.Cause{
	loanjob.Stopped: loan.ByAbort, loanjob.AgentEnded: loan.ByDeletion, loanjob.NotConnected: loan.ByTimeout,
	loanjob.LenderGone: loan.ByAbort, loanjob.LimitReached: loan.ByTerm, loanjob.Asked: loan.ByReturn,
}

// learn takes over what the program has told of itself.
func learn(run *loan.Run, console loanjob.Console) {
	if console.Started != nil {
		run.Account, run.Isolated = console.Started.User, console.Started.Isolated
	}
	run.Connected = run.Connected || console.Connected
	run.Trouble = console.Trouble
}

// stop ends the program on the lender's agent, or takes it out of the queue.
func (l *Lender) stop(ctx context.Context, c *Crew, one *loan.Loan) error {
	run := &one.Run
	if !one.Held() {
		return l.stopSSH(ctx, c, one)
	}
	if run.Handed.IsZero() { // whether it was handed over nobody has told
		found, err := l.findHanded(ctx, c, one)
		if err != nil {
			return err
		}
		if !found {
			return l.ended(ctx, one, "it was never handed over", loanjob.Console{Refusal: "never started"})
		}
	}
	if run.Build != 0 {
		err := c.Jenkins.StopBuild(ctx, run.Job, run.Build)
		if err == nil || jenkins.IsNotFound(err) {
			return errParting // it is looked at again soon
		}
		return err
	}
	err := c.Jenkins.CancelQueueItem(ctx, run.QueueID)
	if err != nil && !jenkins.IsNotFound(err) && !jenkins.IsConflict(err) {
		return err
	}
	return errParting
}

// errParting says that the program was told to end, and that it takes a moment.
var errParting = errors.New("the program was told to end")
