// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

func (c *cli) loanShowCommand() *cobra.Command {
	var o connection
	var f format
	cmd := &cobra.Command{
		Use:     "show LOAN",
		Short:   "Show one loan",
		Long:    "Show one loan: who has which agent, until when, and what became of it.",
		Example: "  pitcrew loan show k3v9q2mxwd",
		Args:    one("loan"), ValidArgsFunction: c.offerLoans(&o),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			l, err := d.Loan(ctx, args[0])
			switch {
			case err != nil:
				return noLoan(args[0], err)
			case f.structured():
				return c.print(f, l)
			}
			_, err = io.WriteString(c.out, c.loan(&l))
			return err
		}),
	}
	f.flag(cmd, formatText, formatJSON, formatYAML)
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) loan(l *api.Loan) string {
	left := ""
	if l.NodeLeft {
		left = c.paint(red, "still at the borrower; its deletion is tried until it is gone")
	}
	isolated := l.Account
	switch {
	case l.Isolated:
		isolated += ", an account of its own"
	case l.Account != "" && !l.Attached.IsZero(): // before, nobody has looked whose it is
		isolated += ", the account of the lender's agent"
	}
	return describe([]fact{
		{"Loan", l.ID},
		{"State", c.loanState(l) + ", for " + c.since(l.Since)},
		{"Why", l.Reason},
		{"Ended by", l.Cause},
		{"Borrower", l.Borrower + ", asked for by " + l.By},
		{"To", loanTarget(l)},
		{"Wants", wanted(&l.Want)},
		{"Agent", lentAgent(l)},
		{"Node", strings.TrimSpace(l.Node + " " + left)},
		{"Runs as", isolated},
		{"Log in", login(l)},
		{"Held by", l.Build},
		{"Requested", c.moment(l.Requested)},
		{"Granted", c.moment(l.Granted)},
		{"Attached", c.moment(l.Attached)},
		{"Idle since", c.moment(l.IdleSince)},
		{"Ends", strings.TrimSuffix(c.moment(l.Ends)+": "+l.EndsBy, ": ")},
		{"Returned", c.moment(l.Returned)},
		{"Over", c.moment(l.Ended)},
	}, c.width())
}

// loanList is how loans are listed.
func (c *cli) loanList() listing[api.Loan] {
	return listing[api.Loan]{none: "No loans.", table: c.loanTable, name: func(l api.Loan) string { return l.ID }}
}

func (c *cli) loanTable(loans []api.Loan, wide bool, width int) string {
	rows := make([][]string, len(loans))
	for i := range loans {
		l := &loans[i]
		row := []string{l.ID, l.Borrower, c.loanState(l), c.since(l.Since), dash(lentAgent(l))}
		if wide {
			row = append(row, dash(l.Node), dash(wanted(&l.Want)), dash(l.By), dash(stamp(l.Ends)), dash(l.Cause))
		}
		rows[i] = append(row, oneLine(l.Reason))
	}
	head := []string{"LOAN", "BORROWER", "STATE", "FOR", "AGENT"}
	if wide {
		head = append(head, "NODE", "WANTS", "BY", "ENDS", "ENDED BY")
	}
	head = append(head, "WHY")
	spare(head, rows, "AGENT", width)
	return tabular(head, rows, width)
}

func (c *cli) loanState(l *api.Loan) string {
	switch loan.State(l.State) {
	case loan.Attached:
		return c.paint(green, l.State)
	case loan.Failed:
		return c.paint(red, l.State)
	case loan.Waiting, loan.Granted, loan.Returning:
		return c.paint(cyan, l.State)
	case loan.Cleaned, loan.Expired:
	}
	if l.NodeLeft {
		return c.paint(red, l.State+", owed")
	}
	return l.State
}

// login is the command by which a person gets to the machine.
func login(l *api.Loan) string {
	if l.Login == "" || l.State != string(loan.Attached) {
		return ""
	}
	return "ssh ssh://" + l.Login
}

func lentAgent(l *api.Loan) string {
	if l.Agent == "" {
		return ""
	}
	return fullName(l.Controller, l.Agent)
}

func loanTarget(l *api.Loan) string {
	switch {
	case l.To.Kind == string(loan.ToHold):
		return "nobody: it is kept for " + l.Borrower
	case l.To.Kind == string(loan.ToSSH):
		return "a person, who may log in as " + dash(l.Account)
	case l.To.URL != "":
		return l.To.URL
	}
	return l.To.Controller
}

func wanted(w *api.LoanWant) string {
	var parts []string
	for _, p := range []struct{ name, value string }{{"pool ", w.Pool}, {"labels ", w.Labels}, {"agent ", w.Agent}} {
		if p.value != "" {
			parts = append(parts, p.name+p.value)
		}
	}
	if w.Isolated {
		parts = append(parts, "an account of its own")
	}
	return strings.Join(parts, ", ")
}

// offerLoans lets the shell offer loans that are not over.
func (c *cli) offerLoans(o *connection) cobra.CompletionFunc {
	return func(cmd *cobra.Command, taken []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), offerLimit)
		defer cancel()
		d, ok := c.offering(o)
		if !ok {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, err := d.Loans(ctx, "", false, 0)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for i := range found {
			if !slices.Contains(taken, found[i].ID) {
				names = append(names, found[i].ID+"\t"+found[i].Borrower+", "+found[i].State)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
