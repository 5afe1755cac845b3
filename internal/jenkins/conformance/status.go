// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

func statusGroups() []group {
	return []group{{name: "status and headers", behaviours: []behaviour{
		{"API answers carry version, session and security headers", apiHeaders},
		{"configuration documents and empty answers carry no session header", noSessionHeader},
		{"wrong credentials are 401 even for readable pages", wrongCredentials},
		{"anonymous without permission is 403, never 401 or a redirect", anonymousIs403},
		{"login, whoAmI and agent.jar need no credentials", alwaysReadable},
		{"whoAmI names the user of the token", whoAmI},
		{"agent.jar has a Last-Modified that conditional requests honour", agentJarCaching},
		{"GET on an action is 405 with Allow POST", getOnAction},
		{"GET on a verb-annotated method is 404", getOnVerbMethod},
		{"GET on restart shows a page and restarts nothing", getOnRestart},
		{"unknown objects are 404", unknownObjects},
		{"a semicolon in the raw URI is 400", semicolon},
		{"a malformed tree or depth is 500", malformedTree},
		{"a form submission without json is 400", formWithoutJSON},
		{"pages redirect to the trailing slash, API paths do not", trailingSlash},
		{"a POST by token needs no crumb, an anonymous one is 403", crumbByToken},
		{"a POST by password needs the crumb of its own session", crumbByPassword},
		{"tree selects, ranges and ignores unknown names", treeRules},
		{"depth 0 shows labels but neither executors nor causes", depthZero},
	}}}
}

var eightHex = regexp.MustCompile(`^[0-9a-f]{8}$`)

func apiHeaders(p *probe) {
	a := p.get("/computer/api/json?tree=displayName")
	p.status("GET", a, 200)
	p.holds(strings.HasPrefix(a.header.Get("X-Jenkins"), "2."), "X-Jenkins", "a version", a.header.Get("X-Jenkins"))
	session := a.header.Get("X-Jenkins-Session")
	p.holds(eightHex.MatchString(session), "X-Jenkins-Session", "8 hex digits", session)
	p.equal("X-Content-Type-Options", a.header.Get("X-Content-Type-Options"), "nosniff")
	p.equal("X-Frame-Options", a.header.Get("X-Frame-Options"), "deny")
	contentType := strings.ToLower(strings.ReplaceAll(a.header.Get("Content-Type"), " ", ""))
	p.equal("Content-Type", contentType, "application/json;charset=utf-8")
	p.equal("session of another answer", p.get("/queue/api/json?tree=items[id]").header.Get("X-Jenkins-Session"), session)
}

func noSessionHeader(p *probe) {
	_, path := p.node(nodeSpec{})
	p.equal("on config.xml", p.get(path+"/config.xml").header.Values("X-Jenkins-Session"), []string(nil))
	a := p.post(path+"/toggleOffline", nil)
	p.equal("on 302", a.header.Values("X-Jenkins-Session"), []string(nil))
}

func wrongCredentials(p *probe) {
	bad := p.suite.wire.as(p.suite.target.User, "wrong")
	for _, path := range []string{"/api/json?tree=mode", "/login"} {
		a := p.sendBy(bad, "GET", path, "", "")
		p.status(path, a, 401)
		p.equal("WWW-Authenticate", a.header.Get("WWW-Authenticate"), `Basic realm="Jenkins"`)
	}
}

func anonymousIs403(p *probe) {
	a := p.sendBy(p.suite.wire.as("", ""), "GET", "/computer/api/json", "", "")
	if a.status == 200 && p.suite.target.Lasting {
		p.skip("this controller lets everybody read")
	}
	p.status("anonymous", a, 403)
	p.holds(a.header.Get("X-Jenkins") != "", "X-Jenkins", "present", "absent")
	p.holds(a.header.Get("X-Jenkins-Session") != "", "X-Jenkins-Session", "present", "absent")
	p.equal("X-You-Are-Authenticated-As", a.header.Get("X-You-Are-Authenticated-As"), "anonymous")
	p.equal("X-Required-Permission", a.header.Get("X-Required-Permission"), "hudson.model.Hudson.Read")
	p.contains("page", a.body, "/login?from=")
}

func alwaysReadable(p *probe) {
	anonymous := p.suite.wire.as("", "")
	for _, path := range []string{"/login", "/whoAmI/api/json", "/jnlpJars/agent.jar"} {
		p.status(path, p.sendBy(anonymous, "GET", path, "", ""), 200)
	}
}

func whoAmI(p *probe) {
	me := readJSON[struct {
		Anonymous, Authenticated bool
		Name                     string
		Authorities              []string
	}](p, "/whoAmI/api/json")
	p.equal("anonymous", me.Anonymous, false)
	p.equal("authenticated", me.Authenticated, true)
	p.equal("name", strings.ToLower(me.Name), strings.ToLower(p.suite.target.User))
	p.holds(len(me.Authorities) > 0, "authorities", "at least one", me.Authorities)
}

func agentJarCaching(p *probe) {
	first := p.get("/jnlpJars/agent.jar")
	p.status("GET", first, 200)
	p.holds(strings.HasPrefix(first.body, "PK"), "body", "a jar", len(first.body))
	modified := first.header.Get("Last-Modified")
	_, err := http.ParseTime(modified)
	p.holds(err == nil, "Last-Modified", "a date", modified)
	again, err := p.suite.wire.send(p.ctx, request{
		method: "GET", path: "/jnlpJars/agent.jar", header: map[string]string{"If-Modified-Since": modified},
	})
	p.holds(err == nil && again.status == 304, "conditional GET", "304", again.status)
}

func getOnAction(p *probe) {
	_, path := p.node(nodeSpec{})
	_, job := p.job(jobSpec{label: "none"})
	for _, action := range []string{path + "/toggleOffline", path + "/doDelete", job + "/build", "/quietDown"} {
		a := p.get(action)
		p.status(action, a, 405)
		p.equal("Allow of "+action, a.header.Get("Allow"), "POST")
	}
}

func getOnVerbMethod(p *probe) {
	p.status("GET doCreateItem", p.get("/computer/doCreateItem"), 404)
}

func getOnRestart(p *probe) {
	before := p.get("/api/json?tree=mode").header.Get("X-Jenkins-Session")
	p.status("GET restart", p.get("/restart"), 200)
	p.status("GET safeRestart", p.get("/safeRestart"), 200)
	p.equal("session", p.get("/api/json?tree=mode").header.Get("X-Jenkins-Session"), before)
}

func unknownObjects(p *probe) {
	name := url.PathEscape(p.unique("none"))
	for _, path := range []string{
		"/computer/" + name + "/api/json", "/computer/" + name + "/config.xml", "/job/" + name + "/api/json",
		"/job/" + name + "/config.xml", "/queue/item/999999999/api/json",
	} {
		p.status(path, p.get(path), 404)
	}
	p.status("POST doDelete", p.post("/computer/"+name+"/doDelete", nil), 404)
	p.status("POST build", p.post("/job/"+name+"/build", nil), 404)
}

func semicolon(p *probe) { p.status("GET /computer;x/", p.get("/computer;x/api/json"), 400) }

func malformedTree(p *probe) {
	p.status("unbalanced tree", p.get("/computer/api/json?tree=computer%5BdisplayName"), 500)
	p.status("depth=x", p.get("/computer/api/json?depth=x"), 500)
}

func formWithoutJSON(p *probe) {
	form := url.Values{"name": {p.unique("n")}, "type": {"hudson.slaves.DumbSlave"}}
	p.status("doCreateItem without json", p.post("/computer/doCreateItem", form), 400)
}

func trailingSlash(p *probe) {
	_, path := p.node(nodeSpec{})
	a := p.get(path)
	p.status(path, a, 302)
	p.holds(strings.HasSuffix(a.header.Get("Location"), path+"/"), "Location", "ends in "+path+"/", a.header.Get("Location"))
	p.status("api", p.get(path+"/api/json?tree=idle"), 200)
}

func crumbByToken(p *probe) {
	_, path := p.node(nodeSpec{})
	p.status("by token", p.post(path+"/changeOfflineCause", url.Values{"offlineMessage": {"x"}}), 302)
	anonymous := p.suite.wire.as("", "")
	p.status("anonymous", p.sendBy(anonymous, "POST", path+"/toggleOffline", "", ""), 403)
}

func crumbByPassword(p *probe) {
	if p.suite.target.Password == "" {
		p.skip("needs a password beside the token")
	}
	_, path := p.node(nodeSpec{})
	w := p.suite.wire.as(p.suite.target.User, p.suite.target.Password)
	action := path + "/changeOfflineCause"
	bare := p.sendBy(w, "POST", action, "", "")
	p.status("without crumb", bare, 403)
	p.contains("page", bare.body, "No valid crumb was included in the request")

	issued := p.sendBy(w, "GET", "/crumbIssuer/api/json", "", "")
	p.mustBe("GET crumb", issued, 200)
	var crumb struct {
		Class                    string `json:"_class"`
		Crumb, CrumbRequestField string
	}
	p.holds(json.Unmarshal([]byte(issued.body), &crumb) == nil, "crumb", "JSON", issued.text())
	p.equal("_class", crumb.Class, "hudson.security.csrf.DefaultCrumbIssuer")
	p.equal("field", crumb.CrumbRequestField, "Jenkins-Crumb")
	var cookies []string
	for _, c := range (&http.Response{Header: issued.header}).Cookies() {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	header := map[string]string{"Jenkins-Crumb": crumb.Crumb}
	without, err := w.send(p.ctx, request{method: "POST", path: action, header: header})
	p.holds(err == nil && without.status == 403, "crumb without its session", "403", without.status)
	header["Cookie"] = strings.Join(cookies, "; ")
	with, err := w.send(p.ctx, request{method: "POST", path: action, header: header})
	p.holds(err == nil && with.status == 302, "crumb with its session", "302", with.status)
}

func treeRules(p *probe) {
	name, _ := p.node(nodeSpec{})
	all := readJSON[map[string]any](p, "/computer/api/json?tree=computer[displayName,nonsense]")
	list, _ := all["computer"].([]any)
	p.holds(len(list) >= 2, "computer", "at least the built-in node and ours", len(list))
	seen := false
	for _, c := range list {
		object, _ := c.(map[string]any)
		_, hasIdle := object["idle"]
		_, hasClass := object["_class"]
		p.equal("unselected idle", hasIdle, false)
		p.equal("_class", hasClass, true)
		seen = seen || object["displayName"] == name
	}
	p.equal("our node is listed", seen, true)
	ranged := readJSON[map[string]any](p, "/computer/api/json?tree=computer[displayName]%7B0,1%7D")
	first, _ := ranged["computer"].([]any)
	p.equal("length of {0,1}", len(first), 1)
	star := readJSON[map[string]any](p, computerPath(name)+"/api/json?tree=*")
	p.equal("* selects offline", star["offline"], any(true))
}

func depthZero(p *probe) {
	name, path := p.node(nodeSpec{labels: "one"})
	p.mustBe("changeOfflineCause", p.post(path+"/changeOfflineCause", url.Values{"offlineMessage": {"away"}}), 302)
	c := readJSON[map[string]any](p, path+"/api/json")
	p.equal("executors", c["executors"], any([]any{map[string]any{}}))
	p.equal("offlineCause", c["offlineCause"], any(map[string]any{"_class": "hudson.slaves.OfflineCause$UserCause"}))
	labels, _ := c["assignedLabels"].([]any)
	p.holds(len(labels) == 2, "assignedLabels", "one and "+name, labels)
	for _, l := range labels {
		object, _ := l.(map[string]any)
		p.holds(object["name"] == name || object["name"] == "one", "label", "its name is shown", l)
	}
}
