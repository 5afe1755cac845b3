// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// restartGroups disturb everybody on the controller, and so run alone.
func restartGroups() []group {
	return []group{{name: "restart", disposable: true, agent: &agentSpec{labels: "pool"}, behaviours: []behaviour{
		{"quieting down keeps items in the queue and is undone", quietDown},
		{"a reload keeps the session, the agents and their marks", reload},
		{"a restart changes the session, forgets left items and keeps the queue", restart},
	}}}
}

func (p *probe) session() string {
	p.Helper()
	return p.get("/api/json?tree=mode").header.Get("X-Jenkins-Session")
}

// bootPatience bounds the start of a controller. It waits five seconds before it begins.
const bootPatience = 3 * time.Minute

// untilReady waits for an answer of a controller that has come up, and of another run than the one before.
func (p *probe) untilReady(before string) {
	p.Helper()
	ready := p.within(bootPatience, func() bool {
		a, err := p.suite.wire.send(p.ctx, request{method: "GET", path: "/api/json?tree=mode"})
		if err != nil || a.status != 200 {
			return false
		}
		session := a.header.Get("X-Jenkins-Session")
		return session != "" && session != before
	})
	if !ready {
		p.differs("controller", "is ready within "+bootPatience.String(), "is not")
		p.FailNow()
	}
}

func quietDown(p *probe) {
	p.status("GET", p.get("/quietDown"), 405)
	p.status("POST", p.post("/quietDown", nil), 302)
	root := func() bool {
		return readJSON[struct{ QuietingDown bool }](p, "/api/json?tree=quietingDown").QuietingDown
	}
	p.equal("quietingDown", root(), true)
	_, job := p.job(jobSpec{label: p.agent.name, shell: "true"})
	id := p.schedule(job)
	p.until("why", func() bool { return strings.Contains(p.item(id).why(), "Jenkins is about to shut down") })
	p.status("cancel", p.post("/cancelQuietDown", nil), 302)
	p.equal("quietingDown", root(), false)
	p.finish(job, p.number(id))
	p.untilIdle()
}

func reload(p *probe) {
	before := p.session()
	_, path := p.node(nodeSpec{labels: "kept"})
	p.mustBe("mark", p.post(path+"/changeOfflineCause", message("kept")), 302)
	p.status("reload", p.post("/reload", nil), 302)
	p.untilReady("")
	p.equal("session", p.session(), before)
	p.equal("reason", p.computer(path).OfflineCauseReason, "kept")
	p.equal("agent is offline", p.computer(p.agent.path).Offline, false)
}

func restart(p *probe) {
	before := p.session()
	name, path := p.node(nodeSpec{labels: "kept"})
	p.mustBe("mark", p.post(path+"/changeOfflineCause", message("kept")), 302)
	_, job := p.job(jobSpec{label: name, strings: []string{"P"}})
	queued := p.itemID(p.post(job+"/buildWithParameters?delay=0sec", url.Values{"P": {"one"}}))
	_, gone := p.waiting()
	p.status("cancel", p.cancel(gone), 204)

	answer := p.post("/restart", nil)
	if answer.status != 302 && p.suite.target.Lasting { // hudson.lifecycle.RestartNotSupportedException
		p.status("cancel", p.cancel(queued), 204)
		p.skip(fmt.Sprintf("this controller cannot be restarted from outside: status %d", answer.status))
	}
	p.mustBe("restart", answer, 302)
	p.untilReady(before)
	p.status("left item", p.get(fmt.Sprintf("/queue/item/%d/api/json", gone)), 404)
	p.equal("params of the queued item", p.item(queued).Params, "\nP=one")
	c := p.computer(path)
	p.equal("reason", c.OfflineCauseReason, "kept")
	p.equal("temporarilyOffline", c.TemporarilyOffline, true)
	p.equal("labels", labelString(p.document(path)), "kept")
	p.agent.waitOnline(p)
	p.status("cancel", p.cancel(queued), 204)
}
