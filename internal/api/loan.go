// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

// Loan is one agent that is lent, or asked for.
type Loan struct {
	ID       string `json:"id" example:"k3v9q2mxwd"`
	Request  string `json:"request" doc:"The same for all loans that were asked for at once"`
	Borrower string `json:"borrower" example:"staging"`
	By       string `json:"by" doc:"Who asked"`

	State  string    `json:"state" enum:"waiting,granted,attached,returning,cleaned,expired,failed"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason" doc:"Why it is in this state"`
	Cause  string    `json:"cause,omitempty" enum:"returned,expired,silent,idle,called back,aborted,node gone,withdrawn,not attached,refused,no agent" doc:"What ended it"`

	Want LoanWant   `json:"want"`
	To   LoanTarget `json:"to"`

	Controller string `json:"controller,omitempty" doc:"Of the agent; absent while the loan waits"`
	Agent      string `json:"agent,omitempty"`
	Node       string `json:"node,omitempty" doc:"Name of the agent at the borrower"`
	NodeLeft   bool   `json:"node_left,omitempty" doc:"The borrower does not answer, and still has the node"`
	Account    string `json:"account,omitempty" doc:"What the borrowed program runs as"`
	Isolated   bool   `json:"isolated,omitempty" doc:"That is not the account of the lender's agent"`
	Login      string `json:"login,omitempty" doc:"ACCOUNT@ADDRESS:PORT where a person may log in" example:"pitcrew-loan@el9-7.example.org:22"`
	Build      string `json:"build,omitempty" doc:"Of the build that holds the agent at the lender"`

	Requested time.Time `json:"requested"`
	Granted   time.Time `json:"granted,omitzero"`
	Attached  time.Time `json:"attached,omitzero"`
	Ends      time.Time `json:"ends,omitzero" doc:"When it ends if nobody renews it"`
	EndsBy    string    `json:"ends_by,omitempty" doc:"Why then"`
	IdleSince time.Time `json:"idle_since,omitzero" doc:"Since when nothing has run on it at the borrower"`
	Returned  time.Time `json:"returned,omitzero" doc:"When its return began"`
	Ended     time.Time `json:"ended,omitzero"`
}

// LoanWant says which agent will do.
type LoanWant struct {
	Labels   string `json:"labels,omitempty" maxLength:"500" doc:"Jenkins label expression; absent: any" example:"el9 && kvm"`
	Pool     string `json:"pool,omitempty" maxLength:"63" doc:"Absent: any that lends"`
	Agent    string `json:"agent,omitempty" maxLength:"500" doc:"NAME or CONTROLLER/NAME; absent: any"`
	Isolated bool   `json:"isolated,omitempty" doc:"Only where the borrowed program runs under an account of its own"`
	Wait     string `json:"wait,omitempty" doc:"How long to wait for an agent, such as 10m; absent: for as long as it takes"`
}

// LoanTarget says whom the agent is lent to.
type LoanTarget struct {
	Kind       string   `json:"kind,omitempty" enum:"controller,hold,ssh" default:"controller" doc:"controller: another Jenkins; hold: nobody uses it but a person; ssh: that person gets a login"`
	Controller string   `json:"controller,omitempty" readOnly:"true" doc:"The borrower's controller, where pitcrew makes the node"`
	URL        string   `json:"url,omitempty" maxLength:"2000" doc:"Root address of a borrower that has made the node itself"`
	CA         string   `json:"ca,omitempty" maxLength:"200000" writeOnly:"true" doc:"Certificates, in PEM, of the authorities that agents are to trust at that address, and then no others"`
	Labels     []string `json:"labels,omitempty" maxItems:"50" doc:"Of the node at the borrower; absent: as configured"`
	Key        string   `json:"key,omitempty" maxLength:"4000" doc:"Public key that may log in, with ssh"`
}

// LoanRequest asks for agents.
type LoanRequest struct {
	Borrower string     `json:"borrower,omitempty" maxLength:"63" doc:"Who borrows; absent: whose token it is"`
	Count    int        `json:"count,omitempty" minimum:"1" maximum:"1000" default:"1"`
	Want     LoanWant   `json:"want,omitzero"`
	To       LoanTarget `json:"to,omitzero"`
	For      string     `json:"for,omitempty" doc:"How long, such as 2h; absent: as the pool has it" example:"2h"`
	TTL      string     `json:"ttl,omitempty" doc:"End it when the borrower has given no sign of life for so long"`
	Idle     string     `json:"idle,omitempty" doc:"End it when nothing has run on it for so long"`
	Node     string     `json:"node,omitempty" maxLength:"500" doc:"Name of the node that the borrower has made; goes with to.url and secret"`
	Secret   string     `json:"secret,omitempty" maxLength:"200" writeOnly:"true" doc:"Secret of that node. It is taken over TLS or from this machine only, and stored encrypted until it was used"`
}

// LoanRenewal is a sign of life of a borrower.
type LoanRenewal struct {
	For  string `json:"for,omitempty" doc:"Let it last so long from now; absent: it is a sign of life and no more" example:"1h"`
	Idle *bool  `json:"idle,omitempty" doc:"Whether nothing runs on the node, where only the borrower can see that"`
}

// loanOf is a loan as clients see it. What it waits for is known where loans are looked through, and stored nowhere.
func (s *Server) loanOf(l *loan.Loan) Loan {
	w := Loan{
		ID: l.ID, Request: l.Request, Borrower: l.Borrower, By: l.By, State: string(l.State), Since: utc(l.Since), Reason: l.Reason, Cause: string(l.Cause),
		Want: LoanWant{Labels: l.Want.Labels, Pool: l.Want.Pool, Agent: l.Want.Agent, Isolated: l.Want.Isolated},
		To:   LoanTarget{Kind: string(l.To.Kind), Controller: l.To.Controller, URL: l.To.URL, Labels: l.To.Labels, Key: l.To.Key},

		Controller: l.Agent.Controller, Agent: l.Agent.Name, Node: l.Node.Name, NodeLeft: l.Node.Owed && l.Node.Owing(),
		Account: l.Run.Account, Isolated: l.Run.Isolated, Login: l.Run.Login, Build: l.Run.URL,
		Requested: utc(l.Requested), Granted: utc(l.Granted), Attached: utc(l.Attached), IdleSince: utc(l.IdleSince), Returned: utc(l.Returned), Ended: utc(l.Ended),
	}
	if l.State == loan.Waiting && s.Lend != nil {
		w.Reason = cmp.Or(s.Lend.Waits(l.ID), w.Reason)
	}
	if l.Want.Patience > 0 {
		w.Want.Wait = l.Want.Patience.String()
	}
	if l.State == loan.Granted || l.State == loan.Attached {
		at, _, why := l.Ends()
		w.Ends, w.EndsBy = utc(at), why
	}
	return w
}
