// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"net/url"
	"strings"
)

func queueGroups() []group {
	return []group{{name: "queue", behaviours: []behaviour{
		{"a build is 201 with the item's URL, and waits out its quiet period", quietPeriod},
		{"a buildable item says what it lacks", whyTexts},
		{"an item without a suitable node is stuck", stuckItem},
		{"the listing shows label expression and parameters", queueListing},
		{"a second request is merged into the queued item", mergedBuilds},
		{"requests with other parameters are items of their own", parametersSeparate},
		{"cancelling is 204, and a cancelled item stays readable without executable", cancelItem},
		{"cancelling what has left is 500, an unknown item 404", cancelLeft},
		{"delay is seconds with a unit and milliseconds without", delayUnits},
	}}, {name: "starting builds", behaviours: []behaviour{
		{"a disabled job is 409 until it is enabled", disabledJob},
		{"a job without parameters refuses buildWithParameters with 400", notParameterised},
		{"a job with parameters wants them as json for build", parametersAsJSON},
		{"missing parameters take defaults, unknown ones are ignored, doubled ones are 500", parameterDefaults},
	}}}
}

func (p *probe) cancel(id int) answer {
	p.Helper()
	return p.post(fmt.Sprintf("/queue/cancelItem?id=%d", id), nil)
}

// waiting creates a job that can never start and puts it into the queue.
func (p *probe) waiting() (job string, id int) {
	p.Helper()
	_, job = p.job(jobSpec{label: p.unique("l")})
	id = p.schedule(job)
	p.until("buildable", func() bool { return p.item(id).Buildable })
	return job, id
}

func quietPeriod(p *probe) {
	name, job := p.job(jobSpec{label: p.unique("l"), quiet: 30})
	a := p.post(job+"/build", nil)
	p.mustBe("POST build", a, 201)
	id := p.itemID(a)
	i := p.item(id)
	p.equal("_class", i.Class, "hudson.model.Queue$WaitingItem")
	p.contains("why", i.why(), "In the quiet period. Expires in ")
	p.equal("id", i.ID, id)
	p.equal("url", i.URL, fmt.Sprintf("queue/item/%d/", id))
	p.equal("task", i.Task.Name, name)
	p.holds(i.Timestamp > i.InQueueSince && i.InQueueSince > 0, "timestamp", "after inQueueSince", i.Timestamp)
	p.equal("blocked and buildable", [2]bool{i.Blocked, i.Buildable}, [2]bool{})
	p.status("cancel", p.cancel(id), 204)
}

func whyTexts(p *probe) {
	label := p.unique("l")
	_, job := p.job(jobSpec{label: label})
	id := p.schedule(job)
	// The text is made at each maintenance run, hence until and not equal.
	says := func(what, text string) {
		p.Helper()
		p.until(what+": "+text, func() bool { return strings.Contains(p.item(id).why(), text) })
	}
	says("no node", "There are no nodes with the label ‘"+label+"’")
	first, path := p.node(nodeSpec{labels: label})
	says("one node", "‘"+first+"’ is offline")
	p.node(nodeSpec{labels: label})
	says("two nodes", "All nodes of label ‘"+label+"’ are offline")
	p.mustBe("remove label", p.setLabels(path, ""), 200)
	p.status("cancel", p.cancel(id), 204)
}

func stuckItem(p *probe) {
	_, id := p.waiting()
	i := p.item(id)
	p.equal("_class", i.Class, "hudson.model.Queue$BuildableItem")
	p.equal("stuck", i.Stuck, true)
	p.equal("pending", i.Pending, false)
	p.holds(i.BuildableStartMilliseconds > 0, "buildableStartMilliseconds", "a time", i.BuildableStartMilliseconds)
	p.status("cancel", p.cancel(id), 204)
}

func queueListing(p *probe) {
	label := p.unique("l")
	name, job := p.job(jobSpec{label: label, strings: []string{"P"}})
	id := p.itemID(p.post(job+"/buildWithParameters?delay=0sec", url.Values{"P": {"a b"}}))
	list := readJSON[struct{ Items []item }](p, "/queue/api/json?tree=items[id,params,task[name,labelExpression,url]]")
	found := false
	for _, i := range list.Items {
		if i.ID != id {
			continue
		}
		found = true
		p.equal("task", i.Task.Name, name)
		p.equal("labelExpression", i.Task.LabelExpression, label)
		p.equal("params", i.Params, "\nP=a b")
		p.holds(strings.HasSuffix(i.Task.URL, job+"/"), "task url", "ends in "+job+"/", i.Task.URL)
	}
	p.equal("item is listed", found, true)
	plain := readJSON[map[string]any](p, fmt.Sprintf("/queue/item/%d/api/json", id))
	task, _ := plain["task"].(map[string]any)
	p.equal("task _class at depth 0", task["_class"], any("hudson.model.FreeStyleProject"))
	p.equal("task name at depth 0", task["name"], any(name))
	p.status("cancel", p.cancel(id), 204)
}

func mergedBuilds(p *probe) {
	job, id := p.waiting()
	again := p.post(job+"/build?delay=0sec", nil)
	p.status("build again", again, 201)
	p.equal("item", p.itemID(again), id)
	p.status("cancel", p.cancel(id), 204)

	_, job = p.job(jobSpec{label: p.unique("l"), strings: []string{"P"}})
	one := p.post(job+"/buildWithParameters?delay=0sec", url.Values{"P": {"same"}})
	p.status("buildWithParameters", one, 201)
	two := p.post(job+"/buildWithParameters?delay=0sec", url.Values{"P": {"same"}})
	p.status("buildWithParameters again", two, 303)
	p.equal("item", p.itemID(two), p.itemID(one))
	p.status("cancel", p.cancel(p.itemID(one)), 204)
}

func parametersSeparate(p *probe) {
	_, job := p.job(jobSpec{label: p.unique("l"), strings: []string{"P"}})
	ids := map[int]bool{}
	for _, value := range []string{"one", "two"} {
		a := p.post(job+"/buildWithParameters?delay=0sec", url.Values{"P": {value}})
		p.status("with "+value, a, 201)
		ids[p.itemID(a)] = true
	}
	p.equal("items", len(ids), 2)
	for id := range ids {
		p.status("cancel", p.cancel(id), 204)
	}
}

func cancelItem(p *probe) {
	_, id := p.waiting()
	a := p.cancel(id)
	p.status("cancel", a, 204)
	i := p.item(id)
	p.equal("_class", i.Class, "hudson.model.Queue$LeftItem")
	p.equal("cancelled", i.Cancelled != nil && *i.Cancelled, true)
	p.equal("executable", i.Executable == nil, true)
	p.equal("why", i.Why == nil, true)
}

func cancelLeft(p *probe) {
	_, id := p.waiting()
	p.status("cancel", p.cancel(id), 204)
	p.status("cancel what has left", p.cancel(id), 500)
	p.status("cancel what never was", p.cancel(999999999), 404)
}

func delayUnits(p *probe) {
	for delay, class := range map[string]string{
		"30sec": "hudson.model.Queue$WaitingItem", "30secs": "hudson.model.Queue$WaitingItem",
		"30000": "hudson.model.Queue$WaitingItem", "30": "hudson.model.Queue$BuildableItem",
	} {
		_, job := p.job(jobSpec{label: p.unique("l")})
		a := p.post(job+"/build?delay="+delay, nil)
		p.mustBe("delay="+delay, a, 201)
		id := p.itemID(a)
		p.until("delay="+delay+" is a "+class, func() bool { return p.item(id).Class == class })
		p.status("cancel", p.cancel(id), 204)
	}
}

func disabledJob(p *probe) {
	_, job := p.job(jobSpec{label: p.unique("l")})
	p.status("disable", p.post(job+"/disable", nil), 302)
	p.status("build", p.post(job+"/build?delay=0sec", nil), 409)
	p.status("enable", p.post(job+"/enable", nil), 302)
	a := p.post(job+"/build?delay=0sec", nil)
	p.status("build", a, 201)
	p.status("cancel", p.cancel(p.itemID(a)), 204)
}

func notParameterised(p *probe) {
	_, job := p.job(jobSpec{label: p.unique("l")})
	p.status("buildWithParameters", p.post(job+"/buildWithParameters?delay=0sec", url.Values{"P": {"x"}}), 400)
}

func parametersAsJSON(p *probe) {
	_, job := p.job(jobSpec{label: p.unique("l"), strings: []string{"P"}})
	p.status("build without json", p.post(job+"/build?delay=0sec", nil), 400)
	form := url.Values{"json": {`{"parameter":[{"name":"P","value":"v"}]}`}}
	a := p.post(job+"/build?delay=0sec", form)
	p.mustBe("build with json", a, 201)
	p.equal("params", p.item(p.itemID(a)).Params, "\nP=v")
	p.status("cancel", p.cancel(p.itemID(a)), 204)
}

func parameterDefaults(p *probe) {
	_, job := p.job(jobSpec{label: p.unique("l"), strings: []string{"P"}})
	a := p.post(job+"/buildWithParameters?delay=0sec", url.Values{"UNKNOWN": {"x"}})
	p.mustBe("unknown only", a, 201)
	p.equal("params", p.item(p.itemID(a)).Params, "\nP=default")
	p.status("cancel", p.cancel(p.itemID(a)), 204)
	p.status("doubled", p.post(job+"/buildWithParameters?delay=0sec", url.Values{"P": {"a", "b"}}), 500)
}
