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
