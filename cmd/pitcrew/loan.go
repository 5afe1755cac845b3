// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

func (c *cli) loanCommand() *cobra.Command {
	return noun("loan", "Lend agents to another Jenkins, or to a person", `Lend agents to another Jenkins, or to a person, for a limited time. An agent on loan
is dirty and offline at its own controller until it is back and the recipe of its
pool has proved it clean again.

Pools lend their agents where the configuration says so (pools[].loans), to the
borrowers that it names. A borrower's token may do all of these with its own loans.`,
		c.loanRequestCommand(), c.loanListCommand(), c.loanShowCommand(), c.loanReturnCommand(), c.loanRenewCommand())
}

// asking for a loan.
type loanRequest struct {
	api.LoanRequest
	lasts, ttl, idle, wait lasting
	labels                 []string
	key, secretFile, ca    string
	detached               bool
}

func (c *cli) loanRequestCommand() *cobra.Command {
	var o connection
	var f format
	var r loanRequest
	r.To.Kind = string(loan.ToController)
	cmd := &cobra.Command{
		Use:   "request",
		Short: "Ask for agents, and wait until the borrower has them",
		Long: `Ask for agents, and wait until the borrower has them. The borrower with the fewest
agents comes first, then the one that has waited longest. Interrupted while it waits,
the command takes the request back.

Where the configuration has an address of the borrower, pitcrew makes a node there
for each agent, and deletes it at the end. Otherwise make one yourself, for inbound
agents by WebSocket, and give its address, name and secret.

  --to controller  another Jenkins has the agent
  --to hold        nobody has it: a person wants it left alone
  --to ssh         a person may log in to its machine, as the account for loans`,
		Example: `  pitcrew loan request --borrower staging --labels 'el9 && kvm' --for 2h
  pitcrew loan request --borrower people --agent el9-7 --to hold --for 1h
  pitcrew loan request --url https://jenkins.test/ --node lent-1 \
      --secret-file node.secret`,
		Args: none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			if err := r.complete(); err != nil {
				return err
			}
			// Who closes the terminal waits for nothing any more. What was asked for before can be taken back when its name is known.
			ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
			defer stop()
			loans, err := d.RequestLoans(context.WithoutCancel(ctx), r.LoanRequest)
			if err == nil && !r.detached {
				loans, err = c.awaitLoans(ctx, d, loans)
			}
			if len(loans) == 0 {
				return err
			}
			return errors.Join(c.loanList().show(c, loans, f), err)
		}),
	}
	cmd.Flags().StringVar(&r.Borrower, "borrower", "", "who borrows (default: whose token it is)")
	cmd.Flags().IntVarP(&r.Count, "count", "n", 1, "how many agents")
	cmd.Flags().StringVar(&r.Want.Pool, "pool", "", "only agents of this pool")
	cmd.Flags().StringVar(&r.Want.Labels, "labels", "", "only agents whose labels satisfy this label expression")
	cmd.Flags().StringVar(&r.Want.Agent, "agent", "", "only this agent")
	cmd.Flags().BoolVar(&r.Want.Isolated, "isolated", false, "only where the borrowed program runs under an account of its own")
	choose(cmd, &r.To.Kind, "to", "whom to", string(loan.ToController), string(loan.ToHold), string(loan.ToSSH))
	cmd.Flags().Var(&r.lasts, "for", "how long, such as 90m or 8h (default: as the pool has it)")
	cmd.Flags().Var(&r.wait, "wait", "how long to wait for an agent (default: for as long as it takes)")
	cmd.Flags().Var(&r.ttl, "ttl", "end it when the borrower has given no sign of life for so long")
	cmd.Flags().Var(&r.idle, "idle", "end it when nothing has run on it for so long")
	cmd.Flags().StringSliceVar(&r.labels, "node-labels", nil, "labels of the node at the borrower (default: as configured)")
	cmd.Flags().StringVar(&r.To.URL, "url", "", "root address of the borrower, where you have made the node")
	cmd.Flags().StringVar(&r.Node, "node", "", "name of that node")
	cmd.Flags().StringVar(&r.secretFile, "secret-file", "", "file with the secret of that node")
	cmd.Flags().StringVar(&r.ca, "ca", "", "file with the certificates that the agent is to trust there (default: what its Java trusts)")
	cmd.Flags().StringVar(&r.key, "key", "", "file with the public key that may log in, for --to ssh")
	cmd.Flags().BoolVar(&r.detached, "no-wait", false, "do not wait until the borrower has them")
	sets(cmd, "to", "body.to.kind")
	sets(cmd, "node-labels", "body.to.labels")
	sets(cmd, "secret-file", "body.secret")
	sets(cmd, "labels", "body.want.labels")
	c.offerForAgent(cmd, &o)
	f.flag(cmd, listFormats...)
	o.flags(cmd, usualTimeout)
	refuseEmpty(cmd)
	return cmd
}

// complete reads what the flags refer to.
func (r *loanRequest) complete() error {
	if r.Count < 1 {
		return usage("--count %d: want 1 or more", r.Count)
	}
	r.For, r.TTL, r.Idle, r.Want.Wait = orEmpty(r.lasts), orEmpty(r.ttl), orEmpty(r.idle), orEmpty(r.wait)
	r.To.Labels = r.labels
	for _, from := range []struct {
		flag, file string
		to         *string
		read       func(string) (string, error)
	}{{"secret-file", r.secretFile, &r.Secret, shortFile}, {"key", r.key, &r.To.Key, shortFile}, {"ca", r.ca, &r.To.CA, certificates}} {
		if from.file == "" {
			continue
		}
		text, err := from.read(from.file)
		if err != nil {
			return usage("--%s: %w", from.flag, err)
		}
		*from.to = text
	}
	return nil
}

// mostOfFile is more than a request with what is in a file may have.
const mostOfFile = 64 << 10

// shortFile reads the text in a file without what is blank around it. One without text is not the same as none that was named.
func shortFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostOfFile+1))
	if err != nil {
		return "", err
	}
	trimmed := strings.TrimSpace(string(text))
	switch {
	case len(text) > mostOfFile:
		return "", fmt.Errorf("%s is larger than %d KiB: it is another file", file, mostOfFile>>10)
	case trimmed == "":
		return "", fmt.Errorf("%s is empty", file)
	}
	return trimmed, nil
}

// orEmpty spells a time as the API takes it.
func orEmpty(l lasting) string {
	if l.Std() == 0 {
		return ""
	}
	return l.Std().String()
}

// loanPoll is how often loans that are waited for are looked at.
const loanPoll = 500 * time.Millisecond

// loanDesk is the part of a daemon that loans are waited for and kept at.
type loanDesk interface {
	Loan(ctx context.Context, id string) (api.Loan, error)
	RenewLoan(ctx context.Context, id string, r api.LoanRenewal) (api.Loan, error)
	ReturnLoan(ctx context.Context, id, reason string) (api.Loan, error)
}

// awaitLoans waits until the borrower has all agents, or none is to be expected any more. Interrupted, it takes back those
// that the borrower does not have.
func (c *cli) awaitLoans(ctx context.Context, d loanDesk, loans []api.Loan) ([]api.Loan, error) {
	p := c.newProgress()
	defer p.clear()
	answered := time.Now()
	for {
		there, over := 0, []string(nil)
		for i := range loans {
			switch l := &loans[i]; loan.State(l.State) {
			case loan.Attached:
				there++
			case loan.Expired, loan.Failed, loan.Cleaned, loan.Returning:
				over = append(over, fmt.Sprintf("loan %s: %s", l.ID, l.Reason))
			case loan.Waiting, loan.Granted:
				p.show(fmt.Sprintf("loan %s is %s: %s", l.ID, l.State, l.Reason))
			}
		}
		if there+len(over) == len(loans) {
			if len(over) > 0 {
				return loans, errors.New(strings.Join(over, "\n"))
			}
			return loans, nil
		}
		select {
		case <-ctx.Done():
			if err := c.takeBack(context.WithoutCancel(ctx), d, loans); err != nil {
				return nil, exit(exitInterrupted, err)
			}
			return nil, exit(exitInterrupted, errSilent)
		case <-time.After(loanPoll):
		}
		for i := range loans {
			l, err := d.Loan(ctx, loans[i].ID)
			switch {
			case err == nil:
				loans[i], answered = l, time.Now()
			case ctx.Err() != nil:
			case !client.IsPassing(err) || time.Since(answered) > restartTime:
				return loans, err
			}
		}
	}
}

// takeBack returns loans that nobody has yet, and then says what becomes of each: whoever read that may be gone.
func (c *cli) takeBack(ctx context.Context, d loanDesk, loans []api.Loan) error {
	ctx, cancel := context.WithTimeout(ctx, usualTimeout)
	defer cancel()
	var errs []error
	var said strings.Builder
	for i := range loans {
		l := &loans[i]
		switch loan.State(l.State) {
		case loan.Attached:
			fmt.Fprintf(&said, "Loan %s goes on: the borrower has %s. \"pitcrew loan return %[1]s\" ends it.\n", l.ID, lentAgent(l))
		case loan.Waiting, loan.Granted:
			_, err := d.ReturnLoan(ctx, l.ID, "taken back: the command that asked for it was interrupted")
			if err != nil {
				errs = append(errs, fmt.Errorf("loan %s is not taken back: %w", l.ID, err))
				continue
			}
			fmt.Fprintf(&said, "Loan %s is taken back.\n", l.ID)
		case loan.Returning, loan.Cleaned, loan.Expired, loan.Failed:
		}
	}
	fmt.Fprint(c.err, said.String())
	return errors.Join(errs...)
}

func (c *cli) loanListCommand() *cobra.Command {
	var o connection
	var f format
	var borrower string
	var all bool
	limit := 0
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List loans",
		Long:    "List loans that are not over, newest first, and those whose node is still at the borrower.",
		Example: "  pitcrew loan list\n  pitcrew loan list --all --borrower staging",
		Args:    none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			if limit == 0 {
				limit = mostLoans // what goes on now is listed as a whole
				if all {
					limit = usualLimit
				}
			}
			found, err := d.Loans(ctx, borrower, all, limit)
			if err != nil {
				return err
			}
			return c.loanList().show(c, found, f)
		}),
	}
	cmd.Flags().StringVar(&borrower, "borrower", "", "only loans of this borrower")
	cmd.Flags().BoolVar(&all, "all", false, "those that are over as well")
	cmd.Flags().Var(atMost{&limit}, "limit", fmt.Sprintf("most loans to list (default: %d of those that are not over, %d with --all)", mostLoans, usualLimit))
	f.flag(cmd, listFormats...)
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) loanReturnCommand() *cobra.Command {
	var o connection
	var reason string
	cmd := &cobra.Command{
		Use:     "return LOAN...",
		Short:   "Give agents back",
		Long:    "Give agents back, or take requests that wait out of the queue. What runs on them at the\nborrower is ended.",
		Example: "  pitcrew loan return k3v9q2mxwd",
		Args:    some("loan"), ValidArgsFunction: c.offerLoans(&o),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			return c.returnLoans(ctx, d, args, reason)
		}),
	}
	cmd.Flags().StringVarP(&reason, "reason", "r", "", "why, for the audit trail")
	o.flags(cmd, usualTimeout)
	return cmd
}

// returnLoans returns all of them that it can: one that is wrong keeps no other agent on loan.
func (c *cli) returnLoans(ctx context.Context, d loanDesk, ids []string, reason string) error {
	var errs []error
	for _, id := range ids {
		l, err := d.ReturnLoan(ctx, id, reason)
		if err != nil {
			errs = append(errs, noLoan(id, err))
			continue
		}
		fmt.Fprintf(c.err, "Loan %s is %s.\n", l.ID, l.State)
	}
	return errors.Join(errs...)
}

func (c *cli) loanRenewCommand() *cobra.Command {
	var o connection
	var l lasting
	var watch bool
	cmd := &cobra.Command{
		Use:   "renew LOAN",
		Short: "Let a loan last longer, or give a sign of life",
		Long: `Let a loan last longer from now, no longer than its pool allows. Without --for it is a
sign of life, for loans that end when the borrower gives none. With --watch that is
given until the loan ends, or until Ctrl-C.`,
		Example: "  pitcrew loan renew k3v9q2mxwd --for 2h\n  pitcrew loan renew k3v9q2mxwd --watch",
		Args:    one("loan"), ValidArgsFunction: c.offerLoans(&o),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			renewed, err := d.RenewLoan(ctx, args[0], api.LoanRenewal{For: orEmpty(l)})
			if err != nil {
				return noLoan(args[0], err)
			}
			fmt.Fprintf(c.err, "Loan %s ends %s: %s.\n", renewed.ID, c.moment(renewed.Ends), renewed.EndsBy)
			if watch {
				return c.keepLoan(ctx, d, renewed)
			}
			return nil
		}),
	}
	cmd.Flags().Var(&l, "for", "how long from now, such as 90m")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "give signs of life until it ends, or until Ctrl-C")
	o.flags(cmd, usualTimeout)
	return cmd
}

// lifeSign is how often a loan that is watched gets a sign of life, and soonestSign how soon where it ends before that without one.
const (
	lifeSign    = 5 * time.Second
	soonestSign = 500 * time.Millisecond
)

// keepLoan gives signs of life until the loan is over, or until ctx ends, which is no failure. A daemon that restarts gets the
// next one when it is back.
func (c *cli) keepLoan(ctx context.Context, d loanDesk, l api.Loan) error {
	p := c.newProgress()
	defer p.clear()
	silent := false
	for {
		p.show(fmt.Sprintf("loan %s is %s: %s", l.ID, l.State, l.Reason))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.nextSign(&l)):
		}
		renewed, err := d.RenewLoan(ctx, l.ID, api.LoanRenewal{})
		switch {
		case ctx.Err() != nil:
			return nil
		case client.IsConflict(err): // it is over
			if l, err = d.Loan(ctx, l.ID); err != nil {
				return err
			}
			p.clear()
			fmt.Fprintf(c.err, "Loan %s is %s: %s.\n", l.ID, l.State, harmless(l.Reason))
			return nil
		case client.IsPassing(err):
			if !silent {
				p.clear()
				fmt.Fprintf(c.err, "Loan %s gets no sign of life: %s. It is tried again.\n", l.ID, harmless(err.Error()))
			}
			silent = true
			continue
		case err != nil:
			return err
		}
		l, silent = renewed, false
	}
}

// nextSign is when a loan gets its next sign of life.
func (c *cli) nextSign(l *api.Loan) time.Duration {
	if l.Ends.IsZero() { // it waits
		return lifeSign
	}
	return min(lifeSign, max(soonestSign, l.Ends.Sub(c.now())/3))
}

// noLoan says what to do about a loan that is not there.
func noLoan(id string, err error) error {
	if client.IsNotFound(err) {
		return fmt.Errorf("there is no loan %q, or it is not yours; \"pitcrew loan list --all\" lists loans", id)
	}
	return err
}
