// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const formJSON = `{"name":"ignored","nodeDescription":"on loan","numExecutors":"1","remoteFS":"/srv/loan","labelString":"cleanable dirty","mode":"EXCLUSIVE",
 "type":"hudson.slaves.DumbSlave","launcher":{"stapler-class":"hudson.slaves.JNLPLauncher","$class":"hudson.slaves.JNLPLauncher"},
 "retentionStrategy":{"stapler-class":"hudson.slaves.RetentionStrategy$Always"},"nodeProperties":{"stapler-class-bag":"true"}}`

func TestAgentIsCreatedByForm(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		form := url.Values{"name": {"loan-42"}, "type": {"hudson.slaves.DumbSlave"}, "json": {formJSON}}
		a := b.post(http.StatusFound, "/computer/doCreateItem", form)
		b.want(a.header.Get("Location"), "http://ci.example/computer/", "location")
		c := b.json("/computer/loan-42/api/json")
		b.want(dig(c, "offline"), true, "never connected")
		b.want(dig(c, "offlineCause"), nil, "cause of a never-connected agent")
		b.want(dig(c, "offlineCauseReason"), "", "reason")
		b.want(b.j.Labels("loan-42"), "cleanable dirty", "labels")

		again := b.post(http.StatusBadRequest, "/computer/doCreateItem", form)
		b.want(again.header.Get("X-Error"), "", "X-Error with typographic quotes is missing")
		b.get(http.StatusNotFound, "/computer/doCreateItem")
		b.post(http.StatusBadRequest, "/computer/doCreateItem", url.Values{"name": {"x"}})
		b.post(http.StatusBadRequest, "/computer/doCreateItem", url.Values{"name": {"a/b"}, "json": {formJSON}})
	})
}

func TestSubmittedFormOfAnAgentReplacesAllButItsOfflineMark(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable dirty"})
		b.post(302, "/computer/a1/changeOfflineCause", url.Values{"offlineMessage": {"away"}})
		b.get(http.StatusNotFound, "/computer/a1/configSubmit")
		b.post(http.StatusBadRequest, "/computer/a1/configSubmit", nil)
		submit := func(status int, replacements ...string) {
			b.t.Helper()
			b.post(status, "/computer/a1/configSubmit", url.Values{"json": {strings.NewReplacer(replacements...).Replace(formJSON)}})
		}
		submit(http.StatusBadRequest, "ignored", "a/1")
		submit(http.StatusBadRequest, "ignored", "a1", `"numExecutors":"1"`, `"numExecutors":"0"`)
		submit(http.StatusInternalServerError, `"name":"ignored",`, "")
		submit(http.StatusFound, "ignored", "a1", "cleanable dirty", "cleanable clean")
		b.want(b.j.Labels("a1"), "cleanable clean", "labels as they stood on the page")
		b.want(b.json("/computer/a1/api/json", "offlineCauseReason"), "away", "the mark")
	})
}

func TestSubmittingTheFormOfAnAgentAsksForThePermissionFirst(t *testing.T) {
	users := []User{admin, {Name: "bob", Tokens: []string{"11bb"}, Permissions: []Permission{Read, AgentConnect}}}
	inBubble(t, Options{Security: Security{Users: users}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		a := b.as("bob", "11bb").post(http.StatusForbidden, "/computer/a1/configSubmit", nil)
		b.want(a.header.Get("X-Required-Permission"), "hudson.model.Computer.Configure", "permission")
	})
}

func TestAgentIsCreatedByXML(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		doc := b.config("a1")
		a := b.postXML(http.StatusOK, "/computer/createItem?name=a2", doc)
		b.want(a.body, "", "body")
		b.want(b.j.Labels("a2"), "x", "the name of the query wins over the one in the body")
		taken := b.postXML(http.StatusBadRequest, "/computer/createItem?name=a2", doc)
		b.want(taken.header.Get("X-Error"), "Node 'a2' already exists", "X-Error")
		none := b.expect(400, b.do("POST", "/computer/createItem?name=a3", doc), "no content type")
		b.want(none.header.Get("X-Error"), "No mode given", "X-Error")
		b.post(http.StatusFound, "/computer/createItem?name=a4&mode=copy&from=a1", nil)
		b.want(b.j.Labels("a4"), "x", "copied labels")
	})
}

func TestXMLCreationNeeds2539(t *testing.T) {
	inBubble(t, Options{Version: "2.528.1"}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		b.postXML(http.StatusBadRequest, "/computer/createItem?name=a2", b.config("a1"))
	})
}

func TestMethodsOfTheCollectionShadowAgents(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "new"})
		b.get(http.StatusNotFound, "/computer/new/api/json")
	})
}

func TestSecretBelongsToTheNameForEver(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		first := b.get(200, "/computer/a1/jenkins-agent.jnlp")
		b.want(first.header.Get("Content-Type"), "application/x-java-jnlp-file", "content type")
		b.post(302, "/computer/a1/doDelete", nil)
		b.get(404, "/computer/a1/jenkins-agent.jnlp")
		b.agent(AgentSpec{Name: "a1"})
		b.want(b.get(200, "/computer/a1/slave-agent.jnlp").body, first.body, "after delete and recreate")
		b.as("", "").get(http.StatusForbidden, "/computer/a1/jenkins-agent.jnlp")
		b.as("", "").get(http.StatusOK, "/computer/a1/jenkins-agent.jnlp?encrypt=true")
	})
}
