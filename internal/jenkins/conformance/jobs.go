// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"net/url"
	"strings"
)

func jobGroups() []group {
	return []group{{name: "jobs", behaviours: []behaviour{
		{"a job is created by 200 without a body, a second of that name is 400", createJob},
		{"creating needs a content type and well-formed XML", createJobBadly},
		{"a job's document is replaced by POST and nothing else", jobDocument},
		{"a job's document is kept as it was posted until Jenkins saves the job", storedDocument},
		{"a job's document is read in the character set that the header names, in Latin-1 without one", documentCharset},
		{"what XML 1.1 takes for a line end becomes one, and raw control characters are 500", lineEnds},
		{"job names are case-insensitive", jobCase},
		{"a deleted job is gone", deleteJob},
		{"a job shows its label expression as it was written, and null without one", labelOfJob},
	}}}
}

func createJob(p *probe) {
	name := p.unique("j")
	p.deleteAtEnd(jobPath(name))
	create := "/createItem?name=" + url.QueryEscape(name)
	a := p.postXML(create, jobSpec{label: "x"}.xml())
	p.mustBe("create", a, 200)
	p.equal("body", a.body, "")
	p.status("again", p.postXML(create, jobSpec{label: "x"}.xml()), 400)
	p.status("again in capitals", p.postXML("/createItem?name="+strings.ToUpper(name), jobSpec{label: "x"}.xml()), 400)
}

func createJobBadly(p *probe) {
	name := p.unique("j")
	p.deleteAtEnd(jobPath(name))
	create := "/createItem?name=" + url.QueryEscape(name)
	p.status("without content type", p.send("POST", create, "", jobSpec{}.xml()), 400)
	p.status("cut off", p.postXML(create, jobSpec{}.xml()[:100]), 500)
	p.status("forbidden name", p.postXML("/createItem?name="+url.QueryEscape(name+"/x"), jobSpec{}.xml()), 400)
	p.status("the job", p.get(jobPath(name)+"/api/json"), 404)
}

func jobDocument(p *probe) {
	_, job := p.job(jobSpec{label: "x", shell: "echo one"})
	a := p.postXML(job+"/config.xml", strings.Replace(p.document(job), "echo one", "echo two", 1))
	p.mustBe("POST", a, 200)
	p.equal("body", a.body, "")
	p.contains("document", p.document(job), "echo two")
	p.contains("document", p.document(job), "<assignedNode>x</assignedNode>")
	p.status("cut off", p.postXML(job+"/config.xml", "<project><broken"), 500)
	p.status("another root", p.postXML(job+"/config.xml", "<slave/>"), 500)
	p.status("PUT", p.send("PUT", job+"/config.xml", "application/xml", ""), 400)
	p.status("HEAD", p.send("HEAD", job+"/config.xml", "", ""), 400)
}

func storedDocument(p *probe) {
	name := p.unique("j")
	p.deleteAtEnd(jobPath(name))
	posted := strings.Replace(jobSpec{label: "x", shell: `echo "it's"`}.xml(), "  <description>", "  <!-- ours -->\n\n  <description>", 1)
	p.mustBe("create", p.postXML("/createItem?name="+url.QueryEscape(name), posted), 200)
	kept := p.document(jobPath(name))
	p.contains("kept", kept, "<!-- ours -->\n\n  <description>")
	p.contains("kept", kept, `<command>echo "it's"</command>`)
	p.mustBe("disable", p.post(jobPath(name)+"/disable", nil), 302)
	p.mustBe("enable", p.post(jobPath(name)+"/enable", nil), 302)
	saved := p.document(jobPath(name))
	p.holds(!strings.Contains(saved, "<!--"), "saved", "without comments", saved)
	p.contains("saved", saved, "<command>echo &quot;it&apos;s&quot;</command>")
	p.contains("saved", saved, "<?xml version='1.1' encoding='UTF-8'?>\n<project>\n")
}

// documentCharset: when a job is created it is the document that tells its character set, and when it is replaced the header.
func documentCharset(p *probe) {
	named := func(owner string) string {
		return strings.Replace(jobSpec{label: "x"}.xml(), ">conformance<", ">"+owner+"<", 1)
	}
	name := p.unique("j")
	p.deleteAtEnd(jobPath(name))
	create := "/createItem?name=" + url.QueryEscape(name)
	p.mustBe("create", p.send("POST", create, "application/xml", named("größe ✓")), 200)
	p.contains("created", p.document(jobPath(name)), ">größe ✓<")
	config := jobPath(name) + "/config.xml"
	p.mustBe("UTF-8", p.send("POST", config, "application/xml; charset=utf-8", named("maß ✓")), 200)
	p.contains("UTF-8", p.document(jobPath(name)), ">maß ✓<")
	p.mustBe("no character set", p.send("POST", config, "application/xml", named("größe")), 500)
	p.mustBe("no character set", p.send("POST", config, "application/xml", named("für")), 200)
	p.contains("read without one", p.document(jobPath(name)), ">fÃ¼r<")
}

func lineEnds(p *probe) {
	const marked = "#!/bin/sh\n# aXb\n"
	_, job := p.job(jobSpec{label: "x", shell: strings.Replace(marked, "X", "\u2028", 1)})
	p.contains("line separator", p.document(job), "# a\nb")
	p.mustBe("next line", p.postXML(job+"/config.xml", jobSpec{label: "x", shell: strings.Replace(marked, "X", "\u0085", 1)}.xml()), 200)
	p.contains("next line", p.document(job), "# a\nb")
	p.status("raw C1", p.postXML(job+"/config.xml", jobSpec{label: "x", shell: strings.Replace(marked, "X", "\u0080", 1)}.xml()), 500)
}

func jobCase(p *probe) {
	name, _ := p.job(jobSpec{label: "x"})
	got := readJSON[struct{ Name string }](p, jobPath(strings.ToUpper(name))+"/api/json?tree=name")
	p.equal("name", got.Name, name)
}

func deleteJob(p *probe) {
	_, job := p.job(jobSpec{label: "x"})
	p.status("doDelete", p.post(job+"/doDelete", nil), 302)
	p.status("api", p.get(job+"/api/json"), 404)
}

// labelOfJob: null says two opposite things, that the job may run anywhere and that it
// is tied to the built-in node (hudson.model.AbstractProject#getAssignedLabelString).
func labelOfJob(p *probe) {
	read := func(j jobSpec) *string {
		_, job := p.job(j)
		return readJSON[struct{ LabelExpression *string }](p, job+"/api/json?tree=labelExpression").LabelExpression
	}
	tied := read(jobSpec{label: "a && !b"})
	p.holds(tied != nil && *tied == "a && !b", "labelExpression", "a && !b", tied)
	p.equal("labelExpression of a roaming job is null", read(jobSpec{roam: true}) == nil, true)
	p.equal("labelExpression of a job without label is null", read(jobSpec{}) == nil, true)
}
