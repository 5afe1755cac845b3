// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"errors"
	"io"
	"net/http"
	"strings"
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
	"config.xml": (*call).nodeConfig, "doDelete": (*call).doDelete, "toggleOffline": (*call).toggleOffline,
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
	_, _ = c.w.Write(doc) //nolint:errcheck // the client went away
}

// body reads what was posted; false after answering.
func (c *call) body() ([]byte, bool) {
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		c.refuse(http.StatusBadRequest, "unreadable body")
		return nil, false
	}
	return data, true
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
	n, err := nodeFromXML(data)
	if err != nil {
		c.oops()
		return
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
		if a := c.j.machines[comp.name]; a != nil && !a.dead && !a.lonely && comp.cfg.inbound() {
			c.j.spawn(a.comeBack)
		}
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

// createByForm is doCreateItem: GET does not find it.
func (c *call) createByForm() {
	if c.r.Method != http.MethodPost {
		c.notFound()
		return
	}
	if !c.allowed(AgentCreate) {
		return
	}
	if c.field("json") == "" {
		c.refuse(http.StatusBadRequest, "This page expects a form submission")
		return
	}
	doc, err := nodeDocFromForm(c.field("name"), c.field("json"))
	if err != nil {
		c.oops()
		return
	}
	if err := c.addNode(doc, "Agent called ‘"+doc.value("name")+"’ already exists"); err == nil {
		c.redirect("computer/")
	}
}

// createByXML is createItem, since 2.539; with mode=copy it copies.
func (c *call) createByXML() {
	if !c.isPOST() || !c.allowed(AgentCreate) {
		return
	}
	if c.field("mode") == "copy" {
		c.copyNode()
		return
	}
	ct := c.r.Header.Get("Content-Type")
	if !c.j.version.since(539) || !strings.HasPrefix(ct, "application/xml") && !strings.HasPrefix(ct, "text/xml") {
		c.failure("No mode given")
		return
	}
	data, ok := c.body()
	if !ok {
		return
	}
	n, err := nodeFromXML(data)
	if err != nil {
		c.oops()
		return
	}
	name := c.r.URL.Query().Get("name")
	n.doc.setValue("name", name)
	if err := c.addNode(n.doc, "Node '"+name+"' already exists"); err == nil {
		c.empty(http.StatusOK)
	}
}

func (c *call) copyNode() {
	name, from := c.field("name"), c.field("from")
	c.j.mu.Lock()
	source := c.j.fleet.nodes[from]
	c.j.mu.Unlock()
	if source == nil || from == "" {
		c.failure("No such agent: " + from)
		return
	}
	doc := source.doc.clone()
	doc.setValue("name", name)
	if err := c.addNode(doc, "Agent called ‘"+name+"’ already exists"); err == nil {
		c.redirect("computer/" + pathEscape(name) + "/configure")
	}
}

// addNode checks the name and adds the node, answering errors itself.
func (c *call) addNode(doc *element, exists string) error {
	n, err := nodeFromDoc(doc)
	if err != nil {
		c.oops()
		return err
	}
	if problem := checkGoodName(n.name); problem != "" {
		c.failure(problem)
		return errBadName
	}
	c.j.mu.Lock()
	taken := c.j.fleet.nodes[n.name] != nil
	if !taken {
		c.j.createNode(n, c.who.id())
	}
	c.j.mu.Unlock()
	if taken {
		c.failure(exists)
		return errConflict
	}
	return nil
}

var errNoForm = errors.New("malformed form submission")
