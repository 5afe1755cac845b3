// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"net/url"
	"slices"
	"strings"
)

func labelGroups() []group {
	return []group{{name: "labels", behaviours: []behaviour{
		{"the label string keeps order and spacing, the parsed labels collapse", labelStringKept},
		{"the node's own name is a label", selfLabel},
		{"a quoted label is one label", quotedLabel},
		{"an added label and a removed one are seen by the scheduler at once", positiveLabels},
		{"expressions of positive labels follow at once", positiveExpressions},
		{"an expression with a negation goes stale", staleNegation},
		{"a label that no node has is empty, not missing", unknownLabel},
		{"a label shows mode and executors of its nodes", labelShowsMode},
		{"an empty label string is an empty element", emptyLabels},
	}}, {name: "lost updates", behaviours: []behaviour{
		{"the last of two writers wins", lastWriterWins},
		{"parallel creations of one name succeed or are 400", parallelCreates},
	}}}
}

func (p *probe) assigned(path string) []string {
	p.Helper()
	var names []string
	for _, l := range p.computer(path).AssignedLabels {
		names = append(names, l.Name)
	}
	slices.Sort(names)
	return names
}

func labelStringKept(p *probe) {
	name, path := p.node(nodeSpec{})
	p.mustBe("set", p.setLabels(path, "z  a z\tb"), 200)
	p.equal("label string", labelString(p.document(path)), "z  a z\tb")
	want := []string{"a", "b", name, "z"}
	slices.Sort(want)
	p.equal("assignedLabels", p.assigned(path), want)
}

func selfLabel(p *probe) {
	name, path := p.node(nodeSpec{})
	p.equal("assignedLabels", p.assigned(path), []string{name})
	p.equal("nodes of the label", p.labelNodes(name), []string{name})
}

func quotedLabel(p *probe) {
	stem := p.unique("l")
	name, path := p.node(nodeSpec{labels: `"` + stem + ` two" ` + stem})
	want := []string{name, stem, stem + " two"}
	slices.Sort(want)
	p.equal("assignedLabels", p.assigned(path), want)
	p.equal("nodes of the quoted label", p.labelNodes(`"`+stem+` two"`), []string{name})
}

func positiveLabels(p *probe) {
	label := p.unique("l")
	name, path := p.node(nodeSpec{})
	p.equal("before", p.labelNodes(label), []string{})
	p.mustBe("add", p.setLabels(path, label), 200)
	p.equal("added", p.labelNodes(label), []string{name})
	p.mustBe("remove", p.setLabels(path, "other"), 200)
	p.equal("removed", p.labelNodes(label), []string{})
}

func positiveExpressions(p *probe) {
	a, b := p.unique("l"), p.unique("l")
	name, path := p.node(nodeSpec{labels: a})
	both := a + "&&" + b
	p.equal("before", p.labelNodes(both), []string{})
	p.mustBe("add", p.setLabels(path, a+" "+b), 200)
	p.equal("added", p.labelNodes(both), []string{name})
	p.equal("alternative", p.labelNodes(a+"||none"), []string{name})
	p.mustBe("remove", p.setLabels(path, b), 200)
	p.equal("removed", p.labelNodes(both), []string{})
}

// staleNegation only asks for what is certain: right after the edit the negated
// expression still lists the node, unless the five-minute sweep fell between.
func staleNegation(p *probe) {
	a, b := p.unique("l"), p.unique("l")
	name, path := p.node(nodeSpec{labels: a})
	expression := a + "&&!" + b
	stale := func() bool {
		p.mustBe("remove", p.setLabels(path, a), 200)
		p.equal("before", p.labelNodes(expression), []string{name})
		p.mustBe("add", p.setLabels(path, a+" "+b), 200)
		p.equal("positive label", p.labelNodes(b), []string{name})
		return slices.Equal(p.labelNodes(expression), []string{name})
	}
	seen := stale()
	if !seen { // the sweep fell between; it does not do so twice
		seen = stale()
	}
	p.holds(seen, expression, "still lists the node after the edit", "follows at once")
}

func unknownLabel(p *probe) { p.equal("nodes", p.labelNodes(p.unique("none")), []string{}) }

func labelShowsMode(p *probe) {
	label := p.unique("l")
	name, _ := p.node(nodeSpec{labels: label, executors: 2})
	got := readJSON[struct {
		Nodes []struct {
			NodeName, Mode string
			NumExecutors   int
		}
		Offline bool
	}](p, labelPath(label)+"/api/json?tree=nodes[nodeName,mode,numExecutors],offline")
	p.equal("offline", got.Offline, true)
	p.equal("nodes", len(got.Nodes), 1)
	if len(got.Nodes) == 1 {
		p.equal("name", got.Nodes[0].NodeName, name)
		p.equal("mode", got.Nodes[0].Mode, "EXCLUSIVE")
		p.equal("executors", got.Nodes[0].NumExecutors, 2)
	}
}

func emptyLabels(p *probe) {
	_, path := p.node(nodeSpec{labels: "x"})
	p.mustBe("clear", p.setLabels(path, ""), 200)
	p.contains("document", p.document(path), "<label></label>")
	document := strings.Replace(p.document(path), "<label></label>", "<label/>", 1)
	p.status("self-closing", p.postXML(path+"/config.xml", document), 200)
	p.contains("document", p.document(path), "<label></label>")
}

func lastWriterWins(p *probe) {
	_, path := p.node(nodeSpec{})
	first, second := p.document(path), p.document(path)
	p.status("first", p.postXML(path+"/config.xml", withLabels(first, "one")), 200)
	p.status("second", p.postXML(path+"/config.xml", withLabels(second, "two")), 200)
	p.equal("labels", labelString(p.document(path)), "two")
}

func parallelCreates(p *probe) {
	_, path := p.node(nodeSpec{})
	document := p.document(path)
	name := p.unique("n")
	p.deleteAtEnd(computerPath(name))
	statuses := make(chan int, 4)
	for range cap(statuses) {
		go func() {
			a, err := p.suite.wire.send(p.ctx, request{
				method: "POST", path: "/computer/createItem?name=" + url.QueryEscape(name),
				header: map[string]string{"Content-Type": "application/xml"}, body: document,
			})
			if err != nil {
				a.status = -1
			}
			statuses <- a.status
		}()
	}
	var got []int
	for range cap(statuses) {
		got = append(got, <-statuses)
	}
	// Nothing in Jenkins makes them exclude each other, and hardly ever do two succeed.
	others := slices.DeleteFunc(slices.Clone(got), func(s int) bool { return s == 200 })
	p.holds(len(others) < len(got) && !slices.ContainsFunc(others, func(s int) bool { return s != 400 }),
		"statuses", "200 at least once, else 400", got)
}
