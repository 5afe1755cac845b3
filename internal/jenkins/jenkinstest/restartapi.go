// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"cmp"
	"net/http"
)

func (c *call) quietDown() {
	if c.isPOST() && c.allowed(Manage) {
		c.j.QuietDown(c.field("reason"))
		c.redirect("")
	}
}

func (c *call) cancelQuietDown() {
	if c.isPOST() && c.allowed(Manage) {
		c.j.CancelQuietDown()
		c.redirect("")
	}
}

func (c *call) restart()     { c.restartAs(RestartNow) }
func (c *call) safeRestart() { c.restartAs(RestartSafe) }

// restartAs answers first and restarts then; GET shows a confirmation page.
func (c *call) restartAs(mode RestartMode) {
	if !c.allowed(Manage) {
		return
	}
	if !c.isWrite() {
		c.page("Are you sure you want to restart Jenkins?")
		return
	}
	j := c.j
	j.spawn(func() {
		if err := j.Restart(j.ctx, mode); err != nil {
			j.log.Info("restart was interrupted", "err", err)
		}
	})
	c.redirect("")
}

func (c *call) isWrite() bool { return c.r.Method == http.MethodPost }

func (c *call) reload() {
	if c.isPOST() && c.allowed(Manage) {
		j := c.j
		j.setPhase(phaseReload)
		j.spawn(func() { j.Reload(j.ctx) })
		c.redirect("")
	}
}

// scriptText is the console: Options.Script plays it, for no Groovy runs here. Without a script it says nothing
// (jenkins.model.Jenkins#_doScript).
func (c *call) scriptText() {
	if !c.allowed(Administer) {
		return
	}
	script := c.parameter("script")
	output, status := "", http.StatusOK
	switch {
	case script == "":
	case !c.isPOST():
		return
	case c.j.opts.Script == nil:
		c.unscripted()
		return
	default:
		output, status = c.j.opts.Script(c.j, script)
	}
	c.w.Header().Set("Content-Type", "text/plain;charset=utf-8")
	c.w.WriteHeader(cmp.Or(status, http.StatusOK))
	_, _ = c.w.Write([]byte(output)) // the client went away
}

func (c *call) unscripted() {
	c.refuse(http.StatusInternalServerError, "unsupported: this controller runs no scripts")
}

// agentScript would run on the agent's Java machine.
func (c *call) agentScript(*computer) {
	if c.allowed(Administer) && c.isPOST() {
		c.unscripted()
	}
}
