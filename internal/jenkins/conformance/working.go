// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"slices"
	"strings"
)

// workingGroups are about what happens to an agent while it works.
func workingGroups() []group {
	return []group{{name: "working agents", agent: &agentSpec{labels: "pool"}, behaviours: []behaviour{
		{"posting the document spares the connection and the running build", editWhileBusy},
		{"lowering executors spares the busy one", fewerExecutors},
		{"a job for a busy agent says that it waits for an executor", waitForExecutor},
		{"variables of the node reach its builds", nodeVariables},
		{"a build that is discarded makes room but the last success stays", discardedBuilds},
	}}, {name: "agents taken away", behaviours: []behaviour{
		{"renaming a node ends its connection and its build", renameWhileBusy},
		{"deleting a node ends its connection and its build", deleteWhileBusy},
	}}, {name: "awkward labels of jobs", behaviours: []behaviour{
		{"a node name with parentheses is a label, quoted or not", awkwardNodeName},
	}}}
}

func editWhileBusy(p *probe) {
	job, number, release := p.held(jobSpec{label: p.agent.name})
	for _, labels := range []string{"pool dirty", "", "pool"} {
		p.status("set labels", p.setLabels(p.agent.path, labels), 200)
		p.equal("offline", p.computer(p.agent.path).Offline, false)
	}
	p.equal("building", p.build(job, number).Building, true)
	release()
	p.equal("result", p.finish(job, number).result(), "SUCCESS")
	p.equal("connection was lost", strings.Contains(p.agent.process.Output(), "Terminated"), false)
	p.untilIdle()
}

// setExecutors posts the node's document with another number of executors.
func (p *probe) setExecutors(from, to string) {
	p.Helper()
	document := strings.Replace(p.document(p.agent.path), "<numExecutors>"+from+"<", "<numExecutors>"+to+"<", 1)
	p.mustBe("set executors", p.postXML(p.agent.path+"/config.xml", document), 200)
}

func fewerExecutors(p *probe) {
	p.setExecutors("1", "3")
	job, number, release := p.held(jobSpec{label: p.agent.name})
	p.setExecutors("3", "1")
	p.until("one executor", func() bool { return len(p.computer(p.agent.path).Executors) == 1 })
	p.equal("it is the busy one", p.computer(p.agent.path).Executors[0].Idle, false)
	release()
	p.equal("result", p.finish(job, number).result(), "SUCCESS")
	p.untilIdle()
	p.equal("executors", len(p.computer(p.agent.path).Executors), 1)
}

func waitForExecutor(p *probe) {
	job, number, release := p.held(jobSpec{label: p.agent.name})
	_, other := p.job(jobSpec{label: p.agent.name, shell: "true"})
	id := p.schedule(other)
	p.until("why", func() bool {
		return strings.Contains(p.item(id).why(), "Waiting for next available executor on ‘"+p.agent.name+"’")
	})
	i := p.item(id)
	p.equal("buildable", i.Buildable, true)
	p.equal("stuck", i.Stuck, false)
	release()
	p.finish(job, number)
	p.finish(other, p.number(id))
	p.untilIdle()
}

func nodeVariables(p *probe) {
	before := p.document(p.agent.path)
	property := `<nodeProperties>
    <hudson.slaves.EnvironmentVariablesNodeProperty>
      <envVars serialization="custom">
        <unserializable-parents/>
        <tree-map>
          <default>
            <comparator class="java.lang.String$CaseInsensitiveComparator"/>
          </default>
          <int>1</int>
          <string>RACK</string>
          <string>number 3</string>
        </tree-map>
      </envVars>
    </hudson.slaves.EnvironmentVariablesNodeProperty>
  </nodeProperties>`
	changed := strings.Replace(before, "<nodeProperties/>", property, 1)
	p.mustBe("set variables", p.postXML(p.agent.path+"/config.xml", changed), 200)
	_, job := p.job(jobSpec{label: p.agent.name, shell: "#!/bin/sh\necho \"rack:$RACK\"\n"})
	_, console := p.run(job)
	p.equal("RACK", lines(console, "rack:"), []string{"number 3"})
	p.untilIdle()
	p.mustBe("take back", p.postXML(p.agent.path+"/config.xml", before), 200)
}

func discardedBuilds(p *probe) {
	_, job := p.job(jobSpec{label: p.agent.name, keep: 2, shell: "test $BUILD_NUMBER = 1"})
	for _, want := range []string{"SUCCESS", "FAILURE", "FAILURE", "FAILURE"} {
		b, _ := p.run(job)
		p.equal("result", b.result(), want)
		p.untilIdle()
	}
	var numbers []int
	p.until("builds 4, 3 and 1 remain", func() bool {
		numbers = nil
		for _, b := range readJSON[struct{ Builds []build }](p, job+"/api/json?tree=builds[number]").Builds {
			numbers = append(numbers, b.Number)
		}
		return slices.Equal(numbers, []int{4, 3, 1})
	})
	p.status("a discarded build", p.get(job+"/2/api/json"), 404)
}

func renameWhileBusy(p *probe) {
	p.agent = p.startAgent(agentSpec{})
	p.agent.waitOnline(p)
	job, number, release := p.held(jobSpec{label: p.agent.name})
	defer release()
	other := p.unique("a")
	p.deleteAtEnd(computerPath(other))
	document := strings.Replace(p.document(p.agent.path), "<name>"+p.agent.name+"<", "<name>"+other+"<", 1)
	p.mustBe("rename", p.postXML(p.agent.path+"/config.xml", document), 200)
	p.equal("result", p.finish(job, number).result(), "FAILURE")
	p.until("end of the connection", func() bool { return strings.Contains(p.agent.process.Output(), "before retry") })
	p.equal("offline under the new name", p.computer(computerPath(other)).Offline, true)
	p.until("old name is gone", func() bool { return p.get(p.agent.path+"/api/json").status == 404 })
}

func deleteWhileBusy(p *probe) {
	p.agent = p.startAgent(agentSpec{arguments: []string{"-noReconnect"}})
	p.agent.waitOnline(p)
	job, number, release := p.held(jobSpec{label: p.agent.name})
	defer release()
	p.mustBe("delete", p.post(p.agent.path+"/doDelete", nil), 302)
	p.status("config.xml", p.get(p.agent.path+"/config.xml"), 404)
	p.equal("result", p.finish(job, number).result(), "FAILURE")
	p.until("end of the process", func() bool { return !p.agent.process.Alive() })
	p.until("gone", func() bool { return p.get(p.agent.path+"/api/json").status == 404 })
}

func awkwardNodeName(p *probe) {
	name, _ := p.node(nodeSpec{name: p.unique("n") + " (rack 3)"})
	for _, label := range []string{`"` + name + `"`, name} {
		_, job := p.job(jobSpec{label: label})
		got := readJSON[struct{ LabelExpression string }](p, job+"/api/json?tree=labelExpression")
		p.equal("labelExpression", got.LabelExpression, `"`+name+`"`)
		id := p.schedule(job)
		p.until("why", func() bool { return strings.Contains(p.item(id).why(), "‘"+name+"’ is offline") })
		p.status("cancel", p.cancel(id), 204)
	}
}
