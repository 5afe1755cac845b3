// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// ErrNotOurMark says that the agent is marked offline by somebody else, whose mark is neither replaced nor lifted.
var ErrNotOurMark = errors.New("marked offline by somebody else")

// SetOffline marks an agent temporarily offline with a message by which we know our mark again: plain ASCII words, for
// Jenkins escapes the rest. Builds that run go on. Done already is success; the mark of somebody else is a conflict
// with [ErrNotOurMark]. It needs Agent/Disconnect. 2 requests, 1 if the mark is set.
//
// hudson.model.Computer#doChangeOfflineCause sets, where doToggleOffline flips.
func (c *Client) SetOffline(ctx context.Context, agent, message string) error {
	a, path, err := c.lookAt(ctx, "set offline mark", agent)
	if err != nil {
		return err
	}
	if a.TemporarilyOffline {
		if isMark(a.OfflineReason, message) {
			return nil
		}
		return notOurs("set offline mark", agent, a)
	}
	return c.post(ctx, "set offline mark", agentObject(agent), path+"/changeOfflineCause", url.Values{"offlineMessage": {message}})
}

// LiftOffline takes our own mark, known by its message, off an agent. An agent without a mark is success; the mark of
// somebody else is a conflict with [ErrNotOurMark]. It needs Agent/Connect. 1 request if there is nothing to do, else 3.
//
// Jenkins can only flip a mark. If another hand lifts it between our look and our flip, we set it again: with our own
// message, so that it is known and lifted in a second round.
func (c *Client) LiftOffline(ctx context.Context, agent, ourMessage string) error {
	a, path, err := c.lookAt(ctx, "lift offline mark", agent)
	if err != nil {
		return err
	}
	for range 3 {
		if !a.TemporarilyOffline {
			return nil
		}
		if !isMark(a.OfflineReason, ourMessage) {
			return notOurs("lift offline mark", agent, a)
		}
		err := c.post(ctx, "lift offline mark", agentObject(agent), path+"/toggleOffline", url.Values{"offlineMessage": {ourMessage}})
		if err != nil {
			return err
		}
		if a, err = c.Agent(ctx, agent); err != nil {
			return err
		}
	}
	if !a.TemporarilyOffline {
		return nil
	}
	return &Error{
		Op: "lift offline mark", Object: agentObject(agent), Kind: KindConflict, RetryAfter: time.Second,
		Err: errors.New("the mark is there again after every flip"),
	}
}

func (c *Client) lookAt(ctx context.Context, op, agent string) (Agent, string, error) {
	path, err := computerPath(agent)
	if err != nil {
		return Agent{}, "", invalid(op, agentObject(agent), err)
	}
	a, err := c.Agent(ctx, agent)
	return a, path, err
}

func notOurs(op, agent string, a Agent) error {
	return &Error{
		Op: op, Object: agentObject(agent), Kind: KindConflict,
		Err: fmt.Errorf("%w: %s", ErrNotOurMark, oneLine(a.OfflineReason)),
	}
}

// isMark compares a reason with the message that was sent. "Disconnected by NAME : " is stripped by Jenkins from its
// own words in the language of the request, and stays where it does not recognise them
// (jenkins.agents.IOfflineCause#getReason).
func isMark(reason, message string) bool {
	reason, message = strings.TrimSpace(reason), strings.TrimSpace(message)
	return reason == message || strings.HasPrefix(reason, "Disconnected by ") && strings.HasSuffix(reason, " : "+message)
}

// Disconnect closes the connection of an agent, which breaks the builds on it: one request. The agent is disconnected
// some time after the answer. It needs Agent/Disconnect.
func (c *Client) Disconnect(ctx context.Context, agent, message string) error {
	path, err := computerPath(agent)
	if err != nil {
		return invalid("disconnect", agentObject(agent), err)
	}
	return c.post(ctx, "disconnect", agentObject(agent), path+"/doDisconnect", url.Values{"offlineMessage": {message}})
}

// Launch asks the controller to launch an agent: one request. The launch goes on after the answer; a connected agent is
// left alone. An agent that connects by itself is only marked by it as failed to launch, so ask [Agent.LaunchSupported]
// before. It needs Agent/Connect.
func (c *Client) Launch(ctx context.Context, agent string) error {
	path, err := computerPath(agent)
	if err != nil {
		return invalid("launch", agentObject(agent), err)
	}
	return c.post(ctx, "launch", agentObject(agent), path+"/launchSlaveAgent", nil)
}
