// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// NodeSpec describes an agent that is to be made.
type NodeSpec struct {
	Name        string
	Description string
	RemoteFS    string   // the agent's work directory on its machine
	Labels      []string // its own name needs no mention
	Executors   int      // at least 1
}

// ErrNameTaken says that there is an agent of that name already.
var ErrNameTaken = errors.New("an agent of that name exists")

// ErrNothingMade says that the controller does not let us make agents: there is nothing to delete.
var ErrNothingMade = errors.New("nothing was made")

// Classes of what an agent consists of that connects by itself and is wanted online always.
const (
	permanentClass = "hudson.slaves.DumbSlave"
	inboundClass   = "hudson.slaves.JNLPLauncher"
	alwaysClass    = "hudson.slaves.RetentionStrategy$Always"
)

// CreateInboundNode makes a permanent agent that connects by itself, in mode EXCLUSIVE, and looks whether it is what was
// asked for. A name that is taken is a conflict with [ErrNameTaken]; so is, without it, an agent that looks otherwise
// afterwards. It needs Agent/Create, and to see the agent Overall/Read. 2 requests.
//
// Jenkins looks for the name and adds the agent in two steps, the second of which replaces an agent of that name
// (jenkins.model.Nodes#addNode): two that make one name at once may both succeed. Take names that nobody else takes.
func (c *Client) CreateInboundNode(ctx context.Context, n NodeSpec) error {
	object := agentObject(n.Name)
	if _, err := computerPath(n.Name); err != nil {
		return invalid("create", object, err)
	}
	if n.Executors < 1 || n.RemoteFS == "" {
		return invalid("create", object, errors.New("an agent needs an executor and a work directory"))
	}
	// The page's own form, because a document is taken since Jenkins 2.539 only (hudson.model.ComputerSet#doCreateItem).
	err := asExists(c.post(ctx, "create", object, "/computer/doCreateItem", n.form()))
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			switch e.Kind { //nolint:exhaustive // of the others nobody can tell
			case KindConflict:
				e.Err = ErrNameTaken
			case KindUnauthorized, KindForbidden:
				e.Err = ErrNothingMade
			}
		}
		return err
	}
	a, err := c.Agent(ctx, n.Name)
	if err != nil {
		return err
	}
	if problem := n.differs(a); problem != "" {
		return &Error{Op: "create", Object: object, Kind: KindConflict, Err: errors.New(problem)}
	}
	return nil
}

// form is what Jenkins' own page submits (hudson.model.ComputerSet#doDoCreateItem).
func (n NodeSpec) form() url.Values {
	class := func(name string) map[string]string { return map[string]string{"stapler-class": name, "$class": name} }
	submission, err := json.Marshal(map[string]any{
		"name": n.Name, "nodeDescription": n.Description, "numExecutors": strconv.Itoa(n.Executors), "remoteFS": n.RemoteFS,
		"labelString": labelexpr.Join(n.Labels), "mode": "EXCLUSIVE", "type": permanentClass,
		"launcher": class(inboundClass), "retentionStrategy": class(alwaysClass),
		"nodeProperties": map[string]string{"stapler-class-bag": "true"},
	})
	if err != nil {
		panic(err) // texts only
	}
	return url.Values{"name": {n.Name}, "type": {permanentClass}, "json": {string(submission)}}
}

// differs says in what the agent is not what was asked for, as far as anybody may see it. An agent that nobody has
// connected yet has no executors.
func (n NodeSpec) differs(a Agent) string {
	switch {
	case a.Name != n.Name || a.BuiltIn:
		return fmt.Sprintf("what Jenkins shows by that name is agent %q", a.Name)
	case a.LaunchSupported:
		return "the new agent does not connect by itself"
	}
	for _, label := range n.Labels {
		if !slices.Contains(a.Labels, label) {
			return fmt.Sprintf("the new agent does not have the label %q", label)
		}
	}
	return ""
}

// DeleteNode deletes an agent, and looks whether it is gone; builds that run on it fail. Gone already is success. An
// agent that is there again is a conflict. It needs Agent/Delete. 3 requests.
func (c *Client) DeleteNode(ctx context.Context, name string) error {
	path, err := computerPath(name)
	if err != nil {
		return invalid("delete", agentObject(name), err)
	}
	err = c.post(ctx, "delete", agentObject(name), path+"/doDelete", nil)
	if err != nil && !IsNotFound(err) {
		return err
	}
	switch _, err = c.Agent(ctx, name); {
	case IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	return &Error{Op: "delete", Object: agentObject(name), Kind: KindConflict, Err: errors.New("it is there after its deletion")}
}
