// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import "net/http"

func (c *call) doDelete(comp *computer) {
	switch {
	case !c.isPOST():
	case !c.allowed(AgentDelete):
	case comp.builtIn():
		c.refuse(http.StatusBadRequest, "the built-in node cannot be deleted")
	default:
		c.j.mu.Lock()
		c.j.deleteNode(comp, c.who.id())
		c.j.mu.Unlock()
		c.redirect("computer/")
	}
}

// toggleOffline flips the mark; it is not idempotent.
func (c *call) toggleOffline(comp *computer) {
	if !c.isPOST() {
		return
	}
	j := c.j
	j.mu.Lock()
	marked, gone := j.temporaryCause(comp) != nil, j.nodeOf(comp) == nil
	j.mu.Unlock()
	need := AgentDisconnect
	if marked {
		need = AgentConnect
	}
	if !c.allowed(need) {
		return
	}
	if gone {
		c.empty(http.StatusNotFound)
		return
	}
	cause := userCause(c.who.name, c.field("offlineMessage"))
	j.mu.Lock()
	if j.temporaryCause(comp) != nil {
		cause = nil
	}
	j.setTemporaryCause(comp, cause, c.who.id())
	j.mu.Unlock()
	c.redirect(comp.urlPath())
}

func (c *computer) urlPath() string {
	if c.builtIn() {
		return "computer/" + builtInURLName + "/"
	}
	return "computer/" + pathEscape(c.name) + "/"
}

func (c *call) changeOfflineCause(comp *computer) {
	if !c.isPOST() || !c.allowed(AgentDisconnect) {
		return
	}
	c.j.mu.Lock()
	c.j.setTemporaryCause(comp, userCause(c.who.name, c.field("offlineMessage")), c.who.id())
	c.j.mu.Unlock()
	c.redirect(comp.urlPath())
}

// doDisconnect closes the channel asynchronously; without one nothing is checked.
func (c *call) doDisconnect(comp *computer) {
	if !c.isPOST() {
		return
	}
	c.j.mu.Lock()
	connected := comp.link != nil && !comp.builtIn()
	c.j.mu.Unlock()
	if connected && !c.allowed(AgentDisconnect) {
		return
	}
	cause := userCause(c.who.name, c.field("offlineMessage"))
	c.j.mu.Lock()
	if comp.link != nil && !comp.builtIn() {
		c.j.unlink(comp, cause)
		c.j.invite(comp)
	}
	c.j.mu.Unlock()
	c.redirect(comp.urlPath())
}

// launchAgent starts a launch. An inbound agent cannot be launched: the attempt only
// leaves its mark as offline cause.
func (c *call) launchAgent(comp *computer) {
	if !c.isPOST() || !c.allowed(AgentConnect) {
		return
	}
	c.j.mu.Lock()
	connected := comp.link != nil
	switch {
	case connected:
	case comp.cfg.inbound():
		comp.lostCause = &offlineCause{class: causeLaunchFailed, at: terminated().at}
	default:
		c.j.launch(comp)
	}
	c.j.mu.Unlock()
	if connected {
		c.page("Already connected")
		return
	}
	c.redirect(comp.urlPath() + "log")
}
