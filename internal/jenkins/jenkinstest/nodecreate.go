// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"net/http"
	"strings"
)

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
