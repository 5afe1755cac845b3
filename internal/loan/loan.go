// SPDX-License-Identifier: Apache-2.0

package loan

import "time"

// Loan is what is stored about one loan of one agent. A request for several is several of them,
// with one Request.
type Loan struct {
	ID       string `json:"id"`
	Request  string `json:"request,omitempty"`  // that it was asked for with; loans of one request are of one borrower
	Borrower string `json:"borrower,omitempty"` // whose quota it counts against
	By       string `json:"by,omitempty"`       // who asked: the name of a token
	Want     Want   `json:"want"`
	To       Target `json:"to"`
	Lease    Lease  `json:"lease"`

	State State     `json:"state"`
	Since time.Time `json:"since,omitzero"` // when State was entered
	// Reason is why it is in State, in words.
	Reason string `json:"reason,omitempty"`
	// Cause is what ended it, from [Returning] on, and in [Expired] and [Failed].
	Cause Cause `json:"cause,omitempty"`

	Requested time.Time `json:"requested,omitzero"`
	Granted   time.Time `json:"granted,omitzero"`    // zero until an agent was chosen
	Attached  time.Time `json:"attached,omitzero"`   // zero until the borrower had the agent
	Renewed   time.Time `json:"renewed,omitzero"`    // the borrower's newest sign of life
	Until     time.Time `json:"until,omitzero"`      // when the term ends; zero until granted
	IdleSince time.Time `json:"idle_since,omitzero"` // since when nothing runs at the borrower; zero = something does, or nobody knows
	Returned  time.Time `json:"returned,omitzero"`   // when the return began; zero = it has not
	Ended     time.Time `json:"ended,omitzero"`      // when a final state was entered

	Agent Agent `json:"agent"` // chosen one; zero while waiting
	Run   Run   `json:"run"`
	Node  Node  `json:"node"`
	// Marked: our offline mark was set on the agent, and is to be lifted with its return.
	Marked bool `json:"marked"`
	// Told is what people were told of already, so that each is said once.
	Told Told `json:"told"`

	Version int64 `json:"-"` // of the stored row; 0 = not stored
}

// Agent names the agent of the lender.
type Agent struct {
	Controller string `json:"controller,omitempty"`
	Name       string `json:"name,omitempty"`
}

// Want says which agent will do.
type Want struct {
	Labels string `json:"labels,omitempty"` // label expression; "" = any
	Pool   string `json:"pool,omitempty"`   // "" = any that lends
	Agent  string `json:"agent,omitempty"`  // controller/agent or agent; "" = any
	// Isolated: only where the borrowed program runs under an account of its own.
	Isolated bool `json:"isolated,omitempty"`
	// Patience is how long the borrower waits for an agent; 0 = for as long as it takes.
	Patience time.Duration `json:"patience,omitempty"`
}

// Kind says whom an agent is lent to.
type Kind string

// The kinds of target.
const (
	// ToController lends to another Jenkins, or to another node of the same one.
	ToController Kind = "controller"
	// ToHold keeps the agent out of everybody's use for a person.
	ToHold Kind = "hold"
	// ToSSH gives a person a login as the loan account.
	ToSSH Kind = "ssh"
)

// Target is whom the agent is lent to.
type Target struct {
	Kind Kind `json:"kind"`
	// Controller is the borrower's name in the configuration. "" with [ToController] means that the
	// borrower makes and deletes the node itself, and has told URL, Node.Name and its secret.
	Controller string   `json:"controller,omitempty"`
	URL        string   `json:"url,omitempty"`    // the borrower's root
	CA         string   `json:"ca,omitempty"`     // what agents are to trust there, in PEM; "" = what their Java trusts
	Labels     []string `json:"labels,omitempty"` // of the node at the borrower
	Key        string   `json:"key,omitempty"`    // public key of the person, with [ToSSH]
}

// Own reports whether the borrower makes and deletes the node itself.
func (t Target) Own() bool { return t.Kind == ToController && t.Controller == "" }

// Run is the program that holds the loan on the lender's agent.
type Run struct {
	Number  int64     `json:"number,omitempty"` // fencing token at the lender's gate, above all of the agent's attempts
	Nonce   string    `json:"nonce,omitempty"`  // proves that the console is of this loan
	Job     string    `json:"job,omitempty"`    // full name of the job whose build holds it; "" = none does
	SSH     bool      `json:"ssh,omitempty"`    // the program is started over SSH, and nothing holds the executor
	Way     string    `json:"way,omitempty"`    // how its machine is reached, by the word of the pool that lent it; without secrets
	QueueID int64     `json:"queue_id,omitempty"`
	Build   int64     `json:"build,omitempty"`
	URL     string    `json:"url,omitempty"`
	Session string    `json:"session,omitempty"`  // of the lender's controller, when it was handed over
	Shut    time.Time `json:"shut,omitzero"`      // dirty was written and read back
	Intent  time.Time `json:"intent,omitzero"`    // a hand-over was begun; zero = none
	Handed  time.Time `json:"handed,omitzero"`    // and was answered
	Ended   time.Time `json:"ended,omitzero"`     // the program is known to have ended
	Says    string    `json:"says,omitempty"`     // how it ended
	Refused bool      `json:"refused,omitempty"`  // before it started anything
	Stopped bool      `json:"stopped,omitempty"`  // its build was, which ends before the program can say its last word
	EndedBy Cause     `json:"ended_by,omitempty"` // what ended it, where it told
	Login   string    `json:"login,omitempty"`    // account@address:port where a person may log in
	// Connected: the program has told that the borrower has the agent.
	Connected bool `json:"connected,omitempty"`
	// Trouble is what the borrowed program printed last that sounds like some; anybody may have written it.
	Trouble string `json:"trouble,omitempty"`
	// Account is what the program runs as, as it says; Isolated that it is not the lender's own.
	Account  string `json:"account,omitempty"`
	Isolated bool   `json:"isolated,omitempty"`
	Proof    string `json:"proof,omitempty"` // what proves that nothing of it lives; "" = nothing does yet
}

// Begun reports whether a program may have been started on the agent.
func (r Run) Begun() bool { return !r.Intent.IsZero() }

// Node is the agent's node at the borrower.
type Node struct {
	Name string `json:"name,omitempty"` // fresh: a secret belongs to its name for ever (jenkins-reference 5.1)
	Dir  string `json:"dir,omitempty"`  // remote root directory
	Made bool   `json:"made,omitempty"` // its creation was begun
	Gone bool   `json:"gone,omitempty"` // it was deleted, and looked for in vain
	// Owed: the borrower did not answer; the deletion is tried until it does.
	Owed bool `json:"owed,omitempty"`
}

// Owing reports whether a node is left at the borrower that is ours to delete.
func (n Node) Owing() bool { return n.Made && !n.Gone }

// Told is what people were told of a loan.
type Told struct {
	Overrun bool `json:"overrun,omitempty"`
	Lost    bool `json:"lost,omitempty"`
}

// Cause is what ended a loan.
type Cause string

// The causes. They are part of the API and the metrics and do not change.
const (
	ByReturn   Cause = "returned"    // by somebody's word, of either side
	ByTerm     Cause = "expired"     // term or hard maximum
	BySilence  Cause = "silent"      // the borrower gave no sign of life for its TTL
	ByIdle     Cause = "idle"        // nothing ran on it for the idle limit
	ByRecall   Cause = "called back" // idle while the lender is short
	ByAbort    Cause = "aborted"     // the program at the lender's agent ended, or was stopped
	ByDeletion Cause = "node gone"   // the node at the borrower was deleted or disconnected
	ByLender   Cause = "withdrawn"   // the agent left the lender's or our care
	ByTimeout  Cause = "not attached"
	ByRefusal  Cause = "refused" // by the borrower, the lender or the machine
	ByPatience Cause = "no agent"
)

// Causes lists all of them.
var Causes = []Cause{
	ByReturn, ByTerm, BySilence, ByIdle, ByRecall, ByAbort, ByDeletion, ByLender, ByTimeout, ByRefusal, ByPatience,
}

// Failure reports whether a loan that ended so gave the borrower nothing.
func (l Loan) Failure() bool { return l.Attached.IsZero() }

// Held reports whether a build of ours holds the executor of the agent, so that nothing else starts there. Where none does
// the offline mark alone keeps others off, and comes first.
func (l Loan) Held() bool { return l.To.Kind == ToController && !l.Run.SSH }

// Active reports whether the loan has an agent, or is bringing one back.
func (l Loan) Active() bool {
	return l.State == Granted || l.State == Attached || l.State == Returning
}

// Over reports whether the loan is in a final state. A node may still be owed.
func (l Loan) Over() bool { return l.State.Final() }
