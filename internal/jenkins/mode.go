// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// ModeExclusive keeps jobs without a label expression away from an agent; ModeNormal does not.
const (
	ModeExclusive = "EXCLUSIVE"
	ModeNormal    = "NORMAL"
)

// SetExclusive puts an agent into mode EXCLUSIVE: 1 request if it is, else 3. Only an explicit command of the operator
// may call it. It needs Agent/Configure.
func (c *Client) SetExclusive(ctx context.Context, agent string) error {
	return c.SetMode(ctx, agent, ModeExclusive)
}

// SetMode sets the mode of an agent: 1 request if it is so, else 3. Only an explicit command of the operator may call it.
func (c *Client) SetMode(ctx context.Context, agent, mode string) error {
	if mode != ModeExclusive && mode != ModeNormal {
		return invalid("set mode", agentObject(agent), fmt.Errorf("no such mode: %q", mode))
	}
	return c.setText(ctx, "set mode", agent, "mode", mode)
}

// SetExecutors sets the number of executors of an agent: 1 request if it is so, else 3. Only an explicit command of the
// operator may call it. Executors that are busy stay until their builds end. Zero is refused: such an agent has no
// address any more, and only a script could bring it back.
func (c *Client) SetExecutors(ctx context.Context, agent string, n int) error {
	if n < 1 {
		return invalid("set executors", agentObject(agent), errors.New("at least one executor is needed"))
	}
	return c.setText(ctx, "set executors", agent, "numExecutors", strconv.Itoa(n))
}

// setText replaces the text of one child of the root and reads it back. Unlike labels, these fields belong to the
// operator, who has just asked for it: a lost edit is reported, not repeated.
func (c *Client) setText(ctx context.Context, op, agent, field, value string) error {
	path, err := computerPath(agent)
	if err != nil {
		return invalid(op, agentObject(agent), err)
	}
	n, err := c.NodeConfig(ctx, agent)
	if err != nil {
		return err
	}
	if present, err := n.text(field); err == nil && present == value {
		return nil
	}
	doc, err := spliceText(n.doc, n.outline, field, escaped(value))
	if err != nil {
		return invalid(op, agentObject(agent), err)
	}
	if err := c.postXML(ctx, op, agentObject(agent), path+"/config.xml", "", doc); err != nil {
		return err
	}
	after, err := c.NodeConfig(ctx, agent)
	if err != nil {
		return err
	}
	if present, err := after.text(field); err != nil || present != value {
		return &Error{Op: op, Object: agentObject(agent), Kind: KindConflict, Err: fmt.Errorf("%s was %q when read back", field, present)}
	}
	return nil
}
