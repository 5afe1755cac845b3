// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"bytes"
	"net/http"
)

// maxBody bounds what a request may post.
const maxBody = 64 << 20

// computerSetChild resolves the segment after /computer/: methods of the collection
// shadow agents of the same name.
func (c *call) computerSetChild() {
	if len(c.path) > 0 && c.path[0] == "computer" {
		c.next()
	}
	switch name := c.next(); name {
	case "doCreateItem":
		c.createByForm()
	case "createItem":
		c.createByXML()
	case "api", "new", "configure", "updateNow", "_script":
		c.notFound()
	default:
		c.computerPage(name)
	}
}

// computerPage is one computer and what lies below it.
func (c *call) computerPage(name string) {
	c.j.mu.Lock()
	comp := c.j.fleet.lookup(name)
	c.j.mu.Unlock()
	if comp == nil {
		c.notFound()
		return
	}
	if c.isAPI() {
		c.api(comp.class(), func(o *object) { c.j.exportComputer(o, comp) })
		return
	}
	if len(c.path) == 0 {
		c.slashPage(comp.displayName(c.lang), "computer/"+pathEscape(name)+"/")
		return
	}
	h := computerPages[c.path[0]]
	if h == nil || len(c.path) > 1 {
		c.notFound()
		return
	}
	h(c, comp)
}

var computerPages = map[string]func(*call, *computer){
	"config.xml": (*call).nodeConfig, "configSubmit": (*call).submitNode, "doDelete": (*call).doDelete, "toggleOffline": (*call).toggleOffline,
	"changeOfflineCause": (*call).changeOfflineCause, "doDisconnect": (*call).doDisconnect, "launchSlaveAgent": (*call).launchAgent,
	"jenkins-agent.jnlp": (*call).agentFile, "slave-agent.jnlp": (*call).agentFile, "log": (*call).logPage, "configure": (*call).logPage,
	"rssAll": (*call).computerFeed, "rssLatest": (*call).computerFeed, "rssFailed": (*call).computerFeed, "scriptText": (*call).agentScript,
}

func (c *call) logPage(*computer) { c.page("Log") }

// nodeConfig is config.xml: GET and POST, everything else is 400.
func (c *call) nodeConfig(comp *computer) {
	if comp.builtIn() {
		c.refuse(http.StatusBadRequest, "config.xml of the built-in node is not available")
		return
	}
	switch c.r.Method {
	case http.MethodGet:
		c.getNodeConfig(comp)
	case http.MethodPost:
		c.postNodeConfig(comp)
	default:
		c.refuse(http.StatusBadRequest, "")
	}
}

func (c *call) getNodeConfig(comp *computer) {
	if !c.allowed(AgentExtendedRead) {
		return
	}
	c.j.mu.Lock()
	n := c.j.nodeOf(comp)
	var doc []byte
	if n != nil {
		doc = n.document(c.j.version.since(482))
	}
	c.j.mu.Unlock()
	if n == nil {
		c.empty(http.StatusNotFound)
		return
	}
	if !c.who.can(AgentConfigure) {
		doc = redact(doc)
	}
	c.xml(doc)
}

func (c *call) xml(doc []byte) {
	c.w.Header().Set("Content-Type", "application/xml")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(doc) // the client went away
}

// body reads what was posted; false after answering.
func (c *call) body() ([]byte, bool) {
	data := bytes.NewBuffer(make([]byte, 0, min(max(0, c.r.ContentLength), maxBody)+bytes.MinRead))
	if _, err := data.ReadFrom(http.MaxBytesReader(c.w, c.r.Body, maxBody)); err != nil {
		c.refuse(http.StatusBadRequest, "unreadable body")
		return nil, false
	}
	return data.Bytes(), true
}

// postNodeConfig is Computer.updateByXml. A change that lost the race is dropped and
// answered 200 all the same.
func (c *call) postNodeConfig(comp *computer) {
	if !c.allowed(AgentConfigure) {
		return
	}
	c.j.mu.Lock()
	previous := c.j.nodeOf(comp)
	c.j.mu.Unlock()
	if previous == nil {
		c.empty(http.StatusNotFound)
		return
	}
	data, ok := c.body()
	if !ok {
		return
	}
	pause(c.r.Context(), c.j.timing().Parse)
	c.j.mu.Lock()
	n := previous.relabelled(data, c.j.version.since(482))
	c.j.mu.Unlock()
	if n == nil {
		var err error
		if n, err = nodeFromXML(data); err != nil {
			c.oops()
			return
		}
	}
	if n.class != previous.class {
		c.refuse(http.StatusBadRequest, "Node types do not match")
		return
	}
	if problem := checkGoodName(n.name); problem != "" {
		c.failure(problem)
		return
	}
	if !c.j.version.since(482) {
		n.cause = nil
	}
	c.j.replaceNode(c.r.Context(), previous, n, c.who.id())
	c.empty(http.StatusOK)
}
