// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// root is the gate's address, below that of its controller.
const root = "/pitcrew-gate"

// ErrAbsent says that no gate answers on the controller: none is loaded, or its file failed to compile or to run.
var ErrAbsent = errors.New("no gate is loaded")

// UnusableError is the answer of a gate that must not be used as it is.
type UnusableError struct {
	Reason string
	Heard  bool // it was the gate that answered, and not something in its place
}

func (e *UnusableError) Error() string { return "the gate cannot be used: " + e.Reason }

// State is what the ledger says of an agent.
type State string

// The states of the ledger.
const (
	Unknown State = "unknown" // nothing was proved since the gate was loaded, or it is not so any more
	Claimed State = "claimed" // an attempt has it
	Clean   State = "clean"   // granted, and not used as far as the ledger goes: see Drift
	Used    State = "used"    // a real build began on it
	Held    State = "held"    // kept out
)

// Agent is what the gate knows of one agent.
type Agent struct {
	State   State  `json:"state"`
	Attempt int64  `json:"attempt"` // the newest that it was claimed for; 0 = none since the gate was loaded
	Item    int64  `json:"item"`    // queue id of the build that used it
	Build   string `json:"build"`   // address of that build; "" while there is none, and of a gate that does not tell
	Why     string `json:"why"`     // it is unknown
	// Drift is what changed since the grant, "" if nothing has: a state Clean with a drift lets nothing through. It is one
	// of computer, class, connection, executors, busy, label, "fault" if that cannot be told, and "gone" for an agent that
	// does not exist.
	Drift string `json:"drift"`
}

// Open reports whether the gate would let a build start on the agent.
func (a Agent) Open() bool { return a.State == Clean && a.Drift == "" }

// Head is in every answer.
type Head struct {
	Protocol int       `json:"protocol"`
	Version  string    `json:"version"` // of pitcrew that the file came with
	Hook     string    `json:"hook"`    // what registered it: "init script", "console", "console, and init script", or "deleted script"
	Session  string    `json:"session"` // of the ledger: another one means that it was emptied
	Seq      int64     `json:"seq"`     // of the newest event
	Labels   [3]string `json:"labels"`  // cleanable, dirty, clean
	Owner    string    `json:"owner"`   // the daemon that it serves, "" = none yet
}

// AtBoot reports whether the gate will be there when Jenkins starts the next time.
func (h Head) AtBoot() bool { return h.Hook != "console" && h.Hook != hookDeleted }

// SinceBoot reports whether the gate has been there since Jenkins started.
func (h Head) SinceBoot() bool { return h.Hook == "init script" || h.Hook == hookDeleted }

// hookDeleted is that of an init script whose file is gone by now.
const hookDeleted = "deleted script"

// Status is the whole ledger, as far as the user may see the agents' configuration.
type Status struct {
	Head
	Asked  int64            `json:"asked"`  // questions of the queue, since it was registered
	Vetoed int64            `json:"vetoed"` // of them, answered with no
	Failed int64            `json:"failed"` // faults of its own
	Fault  string           `json:"fault"`  // the newest of them
	Agents map[string]Agent `json:"agents"` // those that are the gate's, by name
}

// Client speaks with the gate of one controller.
type Client struct {
	jenkins *jenkins.Client
	labels  Labels
}

// NewClient returns a client. Labels are those that the gate must have been loaded for.
func NewClient(j *jenkins.Client, labels Labels) *Client { return &Client{j, labels} }

// Status reads the ledger: one request. The error is [ErrAbsent] or [*UnusableError] where the controller answered and
// the gate is of no use, and that of the request otherwise.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	err := c.jenkins.Ask(ctx, "read gate", root+"/status", nil, &s)
	if err := c.judge(s.Head, err); err != nil {
		return nil, err
	}
	return &s, nil
}

// judge tells a gate that cannot be used from a controller that cannot be asked.
func (c *Client) judge(h Head, err error) error {
	if e, ok := errors.AsType[*jenkins.Error](err); ok && e.Kind == jenkins.KindNotFound {
		return ErrAbsent
	} else if ok && e.Status != 0 && e.Kind != jenkins.KindUnauthorized && !passing(e) {
		return &UnusableError{Reason: err.Error()}
	}
	want := [3]string{c.labels.Cleanable, c.labels.Dirty, c.labels.Clean}
	switch {
	case err != nil:
		return err
	case h.Protocol != Protocol:
		return &UnusableError{fmt.Sprintf("it is of pitcrew %s and speaks protocol %d, this is protocol %d: install the gate of this pitcrew", h.Version, h.Protocol, Protocol), h.Protocol > 0}
	case h.Labels != want:
		return &UnusableError{fmt.Sprintf("it was made for the labels %q, and the configuration says %q: install it anew", h.Labels, want), true}
	}
	return nil
}

// passing reports whether an error is the word of a proxy, or of a Jenkins that is just ending or overloaded, and so says
// nothing of the gate. A 500 is the gate's own, which has failed.
func passing(e *jenkins.Error) bool {
	return e.Kind == jenkins.KindRetryable && e.Status >= http.StatusBadRequest && e.Status != http.StatusInternalServerError
}

// Claim asks for an agent, for one attempt.
type Claim struct {
	Agent   string `json:"agent"`
	Attempt int64  `json:"attempt"`
	Job     string `json:"job,omitempty"`     // full name of the job that may run on it; "" = none, it is over SSH
	Renew   bool   `json:"renew,omitempty"`   // the attempt goes on, in a new session of the agent
	Offline bool   `json:"offline,omitempty"` // it need not be connected
}

// Ref names an agent, and the attempt that is known to be its newest.
type Ref struct {
	Agent   string `json:"agent"`
	Attempt int64  `json:"attempt,omitempty"`
}

// Owner is who asks. InsteadOf is the owner whose place it takes, "" for nobody's.
type Owner struct{ ID, InsteadOf string }

// Answer is what became of a request for one agent: "ok", or why not.
type Answer string

// The answers that a caller tells apart. Others are said as they are.
const (
	OK         Answer = "ok"
	Busy       Answer = "busy"       // something runs on it, or has only just ended
	Offline    Answer = "offline"    // it has no connection
	Connection Answer = "connection" // it has another one than when it was claimed
	Stale      Answer = "stale"      // the attempt is not the one that the ledger has
	Awaits     Answer = "awaits"     // a build of before the restart of Jenkins is queued to return to it
	Unmanaged  Answer = "unmanaged"  // it has not the label, and was never claimed
	Gone       Answer = "gone"       // there is no such agent

	permission Answer = "permission" // the user may not configure it
)

// Err returns an answer other than [OK] as an error: a missing permission as that of a request that Jenkins refuses for it.
func (a Answer) Err(verb, agent string) error {
	if a == OK {
		return nil
	}
	if a == permission {
		return &jenkins.Error{
			Op: verb + " by gate", Object: "agent " + strconv.Quote(agent), Kind: jenkins.KindForbidden, Permission: "Agent/Configure",
		}
	}
	return &RefusedError{verb, agent, a}
}

// RefusedError is a request that the gate did not grant.
type RefusedError struct {
	Verb, Agent string
	Answer      Answer
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("gate: %s %s: %s", e.Verb, strconv.Quote(e.Agent), e.Answer)
}

// Claim claims one agent: its label dirty is on when the answer is [OK].
func (c *Client) Claim(ctx context.Context, o Owner, claim Claim) (Answer, error) {
	return one(c.tell(ctx, "claim", o, []Claim{claim}))
}

// Grant declares an agent clean that the attempt has claimed, on the connection that it was claimed on.
func (c *Client) Grant(ctx context.Context, o Owner, r Ref) (Answer, error) {
	return one(c.tell(ctx, "grant", o, []Ref{r}))
}

// Revoke takes the cleanliness of agents, and our labels clean and dirty.
func (c *Client) Revoke(ctx context.Context, o Owner, r Ref) (Answer, error) {
	return one(c.tell(ctx, "revoke", o, []Ref{r}))
}

// Hold keeps an agent out, with the label dirty.
func (c *Client) Hold(ctx context.Context, o Owner, r Ref) (Answer, error) {
	return one(c.tell(ctx, "hold", o, []Ref{r}))
}

// Withdraw gives an agent back: the gate forgets it, and takes the labels clean and dirty off.
func (c *Client) Withdraw(ctx context.Context, o Owner, r Ref) (Answer, error) {
	return one(c.tell(ctx, "withdraw", o, []Ref{r}))
}

// answers are those to one request.
type answers struct {
	Head
	Results []struct {
		Agent  string `json:"agent"`
		Result Answer `json:"result"`
	} `json:"results"`
}

// tell sends one request for some agents.
func (c *Client) tell(ctx context.Context, verb string, o Owner, agents any) (answers, error) {
	var a answers
	text, err := json.Marshal(struct {
		Protocol  int    `json:"protocol"`
		Owner     string `json:"owner"`
		InsteadOf string `json:"insteadOf,omitempty"`
		Agents    any    `json:"agents"`
	}{Protocol, o.ID, o.InsteadOf, agents})
	if err != nil {
		return a, fmt.Errorf("%s by the gate: %w", verb, err)
	}
	err = c.jenkins.Tell(ctx, verb+" by gate", root+"/"+verb, url.Values{"request": {string(text)}}, &a)
	return a, c.judge(a.Head, err)
}

// one is the answer to a request for one agent.
func one(a answers, err error) (Answer, error) {
	if err == nil && len(a.Results) != 1 {
		err = &UnusableError{fmt.Sprintf("it gave %d answers for one agent", len(a.Results)), true}
	}
	if err != nil {
		return "", err
	}
	return a.Results[0].Result, nil
}

// Event is one of the gate's hints of what happened. Whoever has missed some reads the status instead.
type Event struct {
	Event string `json:"event"` // claimed, started, ended, granted, consumed, contaminated, returned, online, offline, changed, deleted, …
	Agent string `json:"agent"`
	Seq   int64  `json:"seq"`
}

// Events are what happened after some event.
type Events struct {
	Head
	Gap    bool    `json:"gap"` // some are missing, or the ledger is another one
	Events []Event `json:"events"`
}

// Events returns the events of a session after number since, and waits for the first as long as patience says, at most
// half of the time that a request may take: one request.
func (c *Client) Events(ctx context.Context, session string, since int64, patience time.Duration) (*Events, error) {
	wait := min(patience, c.jenkins.Timeout()/2)
	var e Events
	err := c.jenkins.Ask(ctx, "await events of gate", root+"/events", url.Values{
		"session": {session}, "since": {strconv.FormatInt(since, 10)}, "wait": {strconv.FormatInt(wait.Milliseconds(), 10)},
	}, &e)
	if err := c.judge(e.Head, err); err != nil {
		return nil, err
	}
	return &e, nil
}
