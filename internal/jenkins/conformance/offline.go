// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"net/url"
	"strings"
)

func offlineGroups() []group {
	return []group{{name: "offline marks", behaviours: []behaviour{
		{"toggleOffline flips", toggleFlips},
		{"changeOfflineCause sets, again and again", changeCauseSets},
		{"the cause names the user, the reason only the message", causeAndReason},
		{"a posted document replaces the offline mark, both ways", documentReplacesMark},
		{"reasons are localised by Accept-Language", localisedReason},
	}}}
}

func message(text string) url.Values { return url.Values{"offlineMessage": {text}} }

func toggleFlips(p *probe) {
	_, path := p.node(nodeSpec{})
	p.status("first", p.post(path+"/toggleOffline", message("one")), 302)
	c := p.computer(path)
	p.equal("temporarilyOffline", c.TemporarilyOffline, true)
	p.equal("reason", c.OfflineCauseReason, "one")
	p.status("second", p.post(path+"/toggleOffline", message("two")), 302)
	c = p.computer(path)
	p.equal("temporarilyOffline", c.TemporarilyOffline, false)
	p.equal("reason", c.OfflineCauseReason, "")
}

func changeCauseSets(p *probe) {
	_, path := p.node(nodeSpec{})
	for _, text := range []string{"one", "two", "two"} {
		p.status(text, p.post(path+"/changeOfflineCause", message(text)), 302)
		c := p.computer(path)
		p.equal("temporarilyOffline", c.TemporarilyOffline, true)
		p.equal("reason", c.OfflineCauseReason, text)
	}
}

func causeAndReason(p *probe) {
	_, path := p.node(nodeSpec{})
	p.mustBe("set", p.post(path+"/changeOfflineCause", message("back soon")), 302)
	c := readJSON[computer](p, path+"/api/json?tree=offlineCause[description,timestamp],offlineCauseReason")
	if c.OfflineCause == nil {
		p.differs("offlineCause", "an object", "null")
		return
	}
	p.equal("_class", c.OfflineCause.Class, "hudson.slaves.OfflineCause$UserCause")
	p.holds(strings.HasPrefix(c.OfflineCause.Description, "Disconnected by "), "description", "Disconnected by ...", c.OfflineCause.Description)
	p.holds(strings.HasSuffix(c.OfflineCause.Description, " : back soon"), "description", "... : back soon", c.OfflineCause.Description)
	p.equal("reason", c.OfflineCauseReason, "back soon")
}

func documentReplacesMark(p *probe) {
	_, path := p.node(nodeSpec{})
	online := p.document(path)
	p.mustBe("set", p.post(path+"/changeOfflineCause", message("mine")), 302)
	offline := p.document(path)
	p.contains("document", offline, `<temporaryOfflineCause class="hudson.slaves.OfflineCause$UserCause"`)
	p.mustBe("POST the older document", p.postXML(path+"/config.xml", online), 200)
	p.equal("temporarilyOffline", p.computer(path).TemporarilyOffline, false)
	p.mustBe("POST the later document", p.postXML(path+"/config.xml", offline), 200)
	c := p.computer(path)
	p.equal("temporarilyOffline", c.TemporarilyOffline, true)
	p.equal("reason", c.OfflineCauseReason, "mine")
}

func localisedReason(p *probe) {
	name, _ := p.node(nodeSpec{})
	_, job := p.job(jobSpec{label: name})
	id := p.schedule(job)
	p.until("buildable", func() bool { return p.item(id).Buildable })
	path := "/queue/api/json?tree=items[id,why]"
	german, err := p.suite.wire.send(p.ctx, request{method: "GET", path: path, header: map[string]string{"Accept-Language": "de"}})
	p.holds(err == nil, "GET", "an answer", err)
	p.contains("German", german.body, name+" ist offline")
	p.contains("English", p.get(path).body, "‘"+name+"’ is offline")
}
