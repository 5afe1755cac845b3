// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// secretOf is the inbound secret of a name: the same for ever, also after the node
// was deleted and made again (hudson.slaves.SlaveComputer#getJnlpMac).
func (j *Jenkins) secretOf(name string) string {
	mac := hmac.New(sha256.New, []byte(j.secretKey))
	mac.Write([]byte(name))
	return hex.EncodeToString(mac.Sum(nil))
}

// AgentInfo describes an agent to the owner of its process; ErrNoSuchAgent if no node
// of that name has a computer.
func (j *Jenkins) AgentInfo(name string) (AgentInfo, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.fleet.computers[name]
	if c == nil || c.builtIn() || j.nodeOf(c) == nil {
		return AgentInfo{}, fmt.Errorf("agent %q: %w", name, ErrNoSuchAgent)
	}
	return j.agentInfo(c), nil
}

func (j *Jenkins) agentInfo(c *computer) AgentInfo {
	n := j.nodeOf(c)
	return AgentInfo{Name: c.name, RemoteFS: n.remoteFS, Secret: j.secretOf(c.name), Inbound: n.inbound(), Online: c.link != nil}
}

// Connect puts an inbound agent's link into service, as jenkins.slaves.DefaultJnlpSlaveReceiver
// does. It refuses with ErrNotServing, ErrNoSuchAgent, ErrBadSecret, ErrNotInbound or,
// for a second connection of a connected name, ErrAlreadyOnline; the refused
// link is left to the caller.
func (j *Jenkins) Connect(name, secret string, link AgentLink) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.life.phase != phaseUp {
		return fmt.Errorf("connect %q: %w", name, ErrNotServing)
	}
	c := j.fleet.computers[name]
	switch {
	case c == nil || c.builtIn() || j.nodeOf(c) == nil:
		return fmt.Errorf("connect %q: %w", name, ErrNoSuchAgent)
	case !hmac.Equal([]byte(secret), []byte(j.secretOf(name))):
		return fmt.Errorf("connect %q: %w", name, ErrBadSecret)
	case !j.nodeOf(c).inbound():
		return fmt.Errorf("connect: %s is %w", name, ErrNotInbound)
	case c.link != nil:
		return fmt.Errorf("connect: %s is %w", name, ErrAlreadyOnline)
	}
	j.online(c, link)
	return nil
}

// online gives the computer a channel and watches for its end.
func (j *Jenkins) online(c *computer, link AgentLink) {
	j.fleet.lastChannel++
	c.link, c.channel, c.lostCause, c.launching = link, j.fleet.lastChannel, nil, false
	c.idleSince = time.Now()
	j.noteAgent(EntryOnline, c, "")
	j.onConnection(c)
	j.scheduleMaintenance()
	j.spawn(func() { j.watch(c, link) })
}

// watch marks the computer offline when its connection is lost.
func (j *Jenkins) watch(c *computer, link AgentLink) {
	select {
	case <-link.Done():
	case <-j.ctx.Done():
		return
	}
	pause(j.ctx, j.timing().Notice)
	j.mu.Lock()
	defer j.mu.Unlock()
	if c.link == link {
		j.unlink(c, &offlineCause{class: causeTermination, at: time.Now()})
	}
}

// unlink takes the channel away and closes it.
func (j *Jenkins) unlink(c *computer, cause *offlineCause) {
	link := c.link
	c.link, c.lostCause = nil, cause
	j.noteAgent(EntryOffline, c, cause.reason(english))
	link.Close(cause.reason(english))
	j.onConnection(c)
	j.scheduleMaintenance()
}
