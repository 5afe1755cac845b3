// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// submitNode is the save button of an agent's page (hudson.model.Computer#doConfigSubmit).
// The configuration is made anew from the form, labels included, as they stood when the
// page was opened; only the offline mark is the present one. GET does not find it, and
// the permission is asked for before the form is looked at.
func (c *call) submitNode(comp *computer) {
	if c.r.Method != http.MethodPost || comp.builtIn() {
		c.notFound()
		return
	}
	if !c.allowed(AgentConfigure) {
		return
	}
	n, ok := c.submittedNode(comp)
	if !ok {
		return
	}
	c.j.mu.Lock()
	previous := c.j.nodeOf(comp)
	taken := n.name != comp.name && c.j.fleet.nodes[n.name] != nil
	if previous != nil {
		n.cause = previous.cause
	}
	c.j.mu.Unlock()
	switch {
	case previous == nil:
		c.oops()
	case taken:
		c.failure("Agent called ‘" + n.name + "’ already exists")
	default:
		c.j.replaceNode(c.r.Context(), previous, n, c.who.id())
		c.redirect("computer/" + pathEscape(n.name) + "/")
	}
}

// submittedNode reads the form; false after answering. Properties of the node, which a
// browser sends along and we do not understand, stay as they are.
func (c *call) submittedNode(comp *computer) (*node, bool) {
	text := c.field("json")
	if text == "" {
		c.refuse(http.StatusBadRequest, "This page expects a form submission")
		return nil, false
	}
	var form struct {
		Name         *string
		NumExecutors *json.RawMessage
	}
	doc, err := nodeDocFromForm("", text)
	if err != nil || json.Unmarshal([]byte(text), &form) != nil || form.Name == nil || form.NumExecutors == nil {
		c.oops()
		return nil, false
	}
	if problem := checkGoodName(doc.value("name")); problem != "" {
		c.failure(problem)
		return nil, false
	}
	if executors, err := strconv.Atoi(doc.value("numExecutors")); err != nil || executors < 1 {
		c.failure("Invalid agent configuration for " + comp.name + ". Invalid # of executors.")
		return nil, false
	}
	c.j.mu.Lock()
	if previous := c.j.nodeOf(comp); previous != nil {
		doc.keep(previous.doc, "nodeProperties")
	}
	c.j.mu.Unlock()
	n, err := nodeFromDoc(doc)
	if err != nil {
		c.oops()
		return nil, false
	}
	return n, true
}

// keep takes the child of that name over from another document.
func (e *element) keep(from *element, name string) {
	for i, own := range e.children {
		for _, other := range from.children {
			if own.name == name && other.name == name {
				e.children[i] = other.clone()
			}
		}
	}
}
