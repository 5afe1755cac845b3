// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"net/url"
	"strings"
)

func nodeGroups() []group {
	return []group{{name: "nodes", behaviours: []behaviour{
		{"the form creates a node, answers 302 and refuses a second of that name with 400", createByForm},
		{"an XML document creates a node, answers 200 and the query's name wins", createByXML},
		{"a node is copied by mode=copy", copyNode},
		{"a deleted node is gone at once", deleteNode},
		{"names with forbidden characters are 400", forbiddenNames},
		{"names with spaces, quotes, parentheses and non-ASCII work percent-encoded", oddNames},
		{"a plus in a path is a plus", plusIsPlus},
		{"node names are case-sensitive", nodeCase},
		{"a node that never connected is offline without a cause", neverConnected},
		{"the built-in node answers to two names and has no config.xml", builtInNode},
	}}, {name: "node documents", behaviours: []behaviour{
		{"config.xml has an XML 1.1 prologue", prologue},
		{"HEAD, PUT and DELETE of config.xml are 400", otherMethods},
		{"posting a document answers 200 without a body and changes nothing else", roundTrip},
		{"prologue 1.0 and no prologue are accepted", otherPrologues},
		{"broken XML and foreign roots are 500", brokenXML},
		{"unknown elements are dropped", unknownElements},
		{"text that looks like a label element survives elsewhere in the document", lookAlikes},
		{"control characters need references and an XML 1.1 prologue", controlCharacters},
		{"a changed name renames the node", renameNode},
		{"the form of a node's page replaces its labels and keeps its offline mark", submitForm},
		{"more executors appear at once", moreExecutors},
		{"zero executors make the computer vanish", zeroExecutors},
	}}}
}

func createByForm(p *probe) {
	name, path := p.node(nodeSpec{labels: "a b", description: "rack 3"})
	c := p.computer(path)
	p.equal("displayName", c.DisplayName, name)
	p.equal("jnlpAgent", c.JnlpAgent, true)
	p.equal("launchSupported", c.LaunchSupported, false)
	p.equal("numExecutors", c.NumExecutors, 1)
	document := p.document(path)
	p.contains("document", document, "<name>"+name+"</name>")
	p.contains("document", document, "<mode>EXCLUSIVE</mode>")
	p.contains("document", document, "<description>rack 3</description>")
	p.contains("document", document, `<launcher class="hudson.slaves.JNLPLauncher">`)
	p.status("again", p.post("/computer/doCreateItem", nodeSpec{name: name}.form()), 400)
}

// stripProlog is the document without its first line, ready to be another node's.
func stripProlog(document string) string {
	if strings.HasPrefix(document, "<?xml") {
		_, document, _ = strings.Cut(document, "?>")
	}
	return strings.TrimLeft(document, "\n")
}

func createByXML(p *probe) {
	_, path := p.node(nodeSpec{labels: "x"})
	document := p.document(path)
	other := p.unique("n")
	p.deleteAtEnd(computerPath(other))
	create := "/computer/createItem?name=" + url.QueryEscape(other)
	p.status("without Content-Type", p.send("POST", create, "", document), 400)
	a := p.postXML(create, document)
	p.mustBe("create", a, 200)
	p.equal("body", a.body, "")
	p.contains("document of the new node", p.document(computerPath(other)), "<name>"+other+"</name>")
	again := p.postXML(create, document)
	p.status("again", again, 400)
	p.equal("X-Error", again.header.Get("X-Error"), "Node '"+other+"' already exists")
}

func copyNode(p *probe) {
	name, _ := p.node(nodeSpec{labels: "copied"})
	other := p.unique("n")
	p.deleteAtEnd(computerPath(other))
	query := url.Values{"name": {other}, "mode": {"copy"}, "from": {name}}.Encode()
	p.mustBe("copy", p.post("/computer/createItem?"+query, nil), 302)
	p.equal("labels", labelString(p.document(computerPath(other))), "copied")
}

func deleteNode(p *probe) {
	_, path := p.node(nodeSpec{})
	p.status("doDelete", p.post(path+"/doDelete", nil), 302)
	p.status("api", p.get(path+"/api/json"), 404)
	p.status("config.xml", p.get(path+"/config.xml"), 404)
	p.status("doDelete again", p.post(path+"/doDelete", nil), 404)
}

func forbiddenNames(p *probe) {
	stem := p.unique("bad")
	for _, name := range []string{
		"", "..", stem + "/x", stem + "?x", stem + "*", stem + "%", stem + "!", stem + "@", stem + "#", stem + "$", stem + "^",
		stem + "&", stem + "|", stem + "<", stem + ">", stem + "[", stem + "]", stem + ":", stem + ";", stem + `\`, stem + "\x01", stem + ".",
	} {
		p.status("name "+name, p.post("/computer/doCreateItem", nodeSpec{name: name}.form()), 400)
	}
}

func oddNames(p *probe) {
	stem := p.unique("odd")
	for _, tail := range []string{" two words", " (rack 3)", ` "q" 'a'`, "-ü-日本", "=x,y~"} {
		name, path := p.node(nodeSpec{name: stem + tail, labels: "odd"})
		p.equal("displayName", p.computer(path).DisplayName, name)
		p.status("set labels", p.setLabels(path, "odd changed"), 200)
		p.equal("labels of "+name, labelString(p.document(path)), "odd changed")
	}
	escaped := "/computer/" + strings.ReplaceAll(url.PathEscape(stem+" (rack 3)"), "%28", "(")
	p.status("bare parentheses", p.get(escaped+"/api/json"), 200)
}

func plusIsPlus(p *probe) {
	name := p.unique("n") + "+x"
	p.node(nodeSpec{name: name})
	p.status("literal plus", p.get("/computer/"+name+"/api/json"), 200)
	p.status("encoded plus", p.get("/computer/"+strings.Replace(name, "+", "%2B", 1)+"/api/json"), 200)
	p.status("plus for a space", p.get("/computer/"+strings.Replace(name, "+", "%20", 1)+"/api/json"), 404)
}

func nodeCase(p *probe) {
	name, _ := p.node(nodeSpec{})
	p.status("upper case", p.get(computerPath(strings.ToUpper(name))+"/api/json"), 404)
}

func neverConnected(p *probe) {
	_, path := p.node(nodeSpec{})
	c := p.computer(path)
	p.equal("offline", c.Offline, true)
	p.equal("temporarilyOffline", c.TemporarilyOffline, false)
	p.equal("idle", c.Idle, true)
	p.equal("offlineCause", c.OfflineCause == nil, true)
	p.equal("offlineCauseReason", c.OfflineCauseReason, "")
}

func builtInNode(p *probe) {
	for _, path := range []string{"/computer/(built-in)", "/computer/%28built-in%29", "/computer/(master)"} {
		c := readJSON[computer](p, path+"/api/json")
		p.equal("_class", c.Class, "hudson.model.Hudson$MasterComputer")
		p.equal("displayName", c.DisplayName, "Built-In Node")
	}
	p.status("config.xml", p.get("/computer/(built-in)/config.xml"), 400)
	list := readJSON[struct{ Computer []computer }](p, "/computer/api/json?tree=computer[displayName]")
	p.equal("first of the list", list.Computer[0].DisplayName, "Built-In Node")
}

func prologue(p *probe) {
	_, path := p.node(nodeSpec{})
	a := p.get(path + "/config.xml")
	p.holds(strings.HasPrefix(a.header.Get("Content-Type"), "application/xml"), "Content-Type", "application/xml",
		a.header.Get("Content-Type"))
	first, _, _ := strings.Cut(a.body, "\n")
	p.equal("first line", first, `<?xml version="1.1" encoding="UTF-8"?>`)
}

func otherMethods(p *probe) {
	_, path := p.node(nodeSpec{})
	for _, method := range []string{"HEAD", "PUT", "DELETE"} {
		p.status(method, p.send(method, path+"/config.xml", "application/xml", ""), 400)
	}
}

func roundTrip(p *probe) {
	_, path := p.node(nodeSpec{labels: "  a   b ", description: "it's <b> & \"c\""})
	before := p.document(path)
	a := p.postXML(path+"/config.xml", before)
	p.status("POST", a, 200)
	p.equal("body", a.body, "")
	p.equal("document", p.document(path), before)
}

func otherPrologues(p *probe) {
	_, path := p.node(nodeSpec{labels: "x"})
	bare := stripProlog(p.document(path))
	p.status("1.0", p.postXML(path+"/config.xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"+withLabels(bare, "y")), 200)
	p.equal("labels", labelString(p.document(path)), "y")
	p.status("none", p.postXML(path+"/config.xml", withLabels(bare, "z")), 200)
	p.equal("labels", labelString(p.document(path)), "z")
}

func brokenXML(p *probe) {
	_, path := p.node(nodeSpec{})
	before := p.document(path)
	p.status("cut off", p.postXML(path+"/config.xml", before[:len(before)-20]), 500)
	p.status("not a node", p.postXML(path+"/config.xml", "<string>x</string>"), 500)
	p.equal("document", p.document(path), before)
}

func unknownElements(p *probe) {
	_, path := p.node(nodeSpec{labels: "x"})
	document := p.document(path)
	p.status("POST", p.postXML(path+"/config.xml",
		strings.Replace(document, "</slave>", "  <pitcrewUnknown>1</pitcrewUnknown>\n</slave>", 1)), 200)
	p.equal("document", p.document(path), document)
}

func lookAlikes(p *probe) {
	_, path := p.node(nodeSpec{labels: "real", description: "<label>clean</label>"})
	p.contains("description", p.document(path), "&lt;label&gt;clean&lt;/label&gt;")
	variables := `<nodeProperties>
    <hudson.slaves.EnvironmentVariablesNodeProperty>
      <envVars serialization="custom">
        <unserializable-parents/>
        <tree-map>
          <default>
            <comparator class="java.lang.String$CaseInsensitiveComparator"/>
          </default>
          <int>1</int>
          <string>label</string>
          <string>&lt;label&gt;dirty&lt;/label&gt;</string>
        </tree-map>
      </envVars>
    </hudson.slaves.EnvironmentVariablesNodeProperty>
  </nodeProperties>`
	document := strings.Replace(p.document(path), "<nodeProperties/>", variables, 1)
	p.mustBe("POST", p.postXML(path+"/config.xml", document), 200)
	after := p.document(path)
	p.contains("variables", after, "<string>&lt;label&gt;dirty&lt;/label&gt;</string>")
	p.mustBe("set labels", p.setLabels(path, "other"), 200)
	p.equal("everything but the label", withLabels(p.document(path), ""), withLabels(after, ""))
	p.equal("labels", labelString(p.document(path)), "other")
}

func controlCharacters(p *probe) {
	_, path := p.node(nodeSpec{description: "plain"})
	document := p.document(path)
	described := func(text string) string { return strings.Replace(document, ">plain<", ">"+text+"<", 1) }
	p.status("reference, 1.1", p.postXML(path+"/config.xml", described("a&#1;b")), 200)
	p.contains("description", p.document(path), "a&#x1;b")
	p.status("reference, 1.0", p.postXML(path+"/config.xml",
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"+stripProlog(described("a&#1;b"))), 500)
	p.status("raw byte", p.postXML(path+"/config.xml", described("a\x1bb")), 500)
}

func renameNode(p *probe) {
	name, path := p.node(nodeSpec{labels: "x"})
	other := p.unique("n")
	p.deleteAtEnd(computerPath(other))
	document := strings.Replace(p.document(path), "<name>"+name+"</name>", "<name>"+other+"</name>", 1)
	p.status("POST", p.postXML(path+"/config.xml", document), 200)
	p.status("old name", p.get(path+"/api/json"), 404)
	p.equal("new name", p.computer(computerPath(other)).DisplayName, other)
}

// submitForm is how a page that was opened long ago overwrites what happened since.
func submitForm(p *probe) {
	name, path := p.node(nodeSpec{labels: "before", description: "old"})
	p.mustBe("mark", p.post(path+"/changeOfflineCause", message("away")), 302)
	p.status("GET", p.get(path+"/configSubmit"), 404)
	p.status("without a form", p.post(path+"/configSubmit", nil), 400)
	form := nodeSpec{name: name, labels: "after", description: "new", remoteFS: "/nonexistent/" + name}.form()
	p.status("with a form", p.post(path+"/configSubmit", url.Values{"json": form["json"]}), 302)
	p.equal("labels", labelString(p.document(path)), "after")
	p.contains("document", p.document(path), "<description>new</description>")
	p.equal("reason", p.computer(path).OfflineCauseReason, "away")
}

func moreExecutors(p *probe) {
	_, path := p.node(nodeSpec{})
	document := strings.Replace(p.document(path), "<numExecutors>1<", "<numExecutors>3<", 1)
	p.status("POST", p.postXML(path+"/config.xml", document), 200)
	p.equal("executors", len(p.computer(path).Executors), 3)
}

func zeroExecutors(p *probe) {
	if p.suite.target.Lasting {
		p.skip("such a node cannot be deleted by HTTP any more")
	}
	_, path := p.node(nodeSpec{})
	document := strings.Replace(p.document(path), "<numExecutors>1<", "<numExecutors>0<", 1)
	p.status("POST", p.postXML(path+"/config.xml", document), 200)
	for _, tail := range []string{"/api/json", "/config.xml"} {
		p.status(tail, p.get(path+tail), 404)
	}
}
