// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// between returns what stands in s after the first prefix and before the suffix that comes next.
func between(s, prefix, suffix string) string {
	_, s, _ = strings.Cut(s, prefix)
	s, _, _ = strings.Cut(s, suffix)
	return s
}

func TestCredentials(t *testing.T) {
	cases := []struct {
		name, user, secret string
		header             string
		status             int
	}{
		{"token", "ada", "11aa", "", 200},
		{"password", "ada", "correct horse", "", 200},
		{"user names ignore case", "ADA", "11aa", "", 200},
		{"wrong secret", "ada", "nope", "", 401},
		{"unknown user", "eve", "11aa", "", 401},
		{"scheme in another case", "", "", "bAsIc YWRhOjExYWE=", 200},
		{"malformed", "", "", "Basic !!!", 401},
		{"no colon", "", "", "Basic YWRh", 401},
		{"another scheme is no offer", "", "", "Bearer x", 403},
		{"anonymous", "", "", "", 403},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, Options{}, func(b *bench) {
				var headers []string
				if c.header != "" {
					headers = []string{"Authorization", c.header}
				}
				a := b.as(c.user, c.secret).do("GET", "/api/json", "", headers...)
				b.expect(c.status, a, "GET")
				if c.status == 401 {
					b.want(a.header.Get("WWW-Authenticate"), `Basic realm="Jenkins"`, "challenge")
				}
				if c.status == 403 {
					b.want(a.header.Get("X-Required-Permission"), "hudson.model.Hudson.Read", "X-Required-Permission")
					b.want(a.header.Get("X-You-Are-Authenticated-As"), "anonymous", "X-You-Are-Authenticated-As")
					b.want(a.header.Get("X-Jenkins-Session"), b.j.Session(), "anonymous 403 carries the session")
				}
			})
		})
	}
}

func TestSecretMayContainColons(t *testing.T) {
	users := []User{{Name: "u", Password: "a:b:c", Admin: true}}
	inBubble(t, Options{Security: Security{Users: users}}, func(b *bench) {
		b.as("u", "a:b:c").get(200, "/api/json")
	})
}

func TestWrongCredentialsAreNotTreatedAsAnonymous(t *testing.T) {
	inBubble(t, Options{Security: Security{Users: []User{admin}, Anonymous: []Permission{Read}}}, func(b *bench) {
		b.as("", "").get(200, "/computer/api/json")
		b.as("ada", "wrong").get(401, "/computer/api/json")
		b.want(b.as("", "").json("/whoAmI/api/json", "anonymous"), true, "whoAmI")
		b.want(b.json("/whoAmI/api/json", "name"), "ada", "whoAmI")
	})
}

func TestAlwaysReadablePaths(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		anonymous := b.as("", "")
		for path, status := range map[string]int{"/login": 200, "/whoAmI/api/json": 200, "/health/": 200, "/health": 302, "/tcpSlaveAgentListener/": 404, "/queue/api/json": 403, "/": 403} {
			b.want(anonymous.do("GET", path, "").status, status, path)
		}
		b.want(anonymous.get(200, "/login").header.Get("X-Jenkins"), DefaultVersion, "X-Jenkins of the login page")
	})
}

func TestCrumbIsNeededWithoutAPIToken(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		const path = "/computer/a1/toggleOffline"
		b.post(302, path, nil) // API token
		p := b.as("ada", "correct horse")
		refused := p.post(http.StatusForbidden, path, nil)
		b.want(strings.Contains(refused.body, "No valid crumb was included in the request"), true, "message")

		issued := p.get(200, "/crumbIssuer/api/json")
		crumb := p.json("/crumbIssuer/api/json?tree=crumbRequestField", "crumbRequestField")
		b.want(crumb, "Jenkins-Crumb", "field")
		cookie := between(issued.header.Get("Set-Cookie"), "", ";")
		if !strings.HasPrefix(cookie, "JSESSIONID.") || len(between(cookie, "", "=")) != len("JSESSIONID.")+8 {
			t.Errorf("cookie %q", cookie)
		}
		value := between(issued.body, `"crumb":"`, `"`)
		status := func(headers ...string) int { return p.do("POST", path, "", headers...).status }
		b.want(status("Jenkins-Crumb", value), 403, "crumb without its session")
		b.want(status("Cookie", cookie), 403, "session without crumb")
		b.want(status("Cookie", cookie, "Jenkins-Crumb", value), 302, "both")
		b.want(status("Cookie", cookie, "Jenkins-Crumb", value), 302, "it stays valid")
		b.want(p.do("POST", path+"?Jenkins-Crumb="+value, "", "Cookie", cookie).status, 302, "crumb in the query")
		b.want(b.do("POST", path, "", "Cookie", cookie).status, 302, "a session without login does not spoil a token")
		if err := b.j.Restart(b.t.Context(), RestartNow); err != nil {
			t.Fatal(err)
		}
		b.want(status("Cookie", cookie, "Jenkins-Crumb", value), 403, "after a restart")
	})
}

func TestLoggedInSessionSpoilsTheToken(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		session := b.as("", "").do("GET", "/nowhere", "", "Cookie", "").header // 403 without session
		b.want(session.Get("Set-Cookie"), "", "no session for a refused page")
		issuer := b.as("ada", "correct horse").get(200, "/crumbIssuer/api/json")
		cookie := between(issuer.header.Get("Set-Cookie"), "", ";")
		crumb := between(issuer.body, `"crumb":"`, `"`)
		form := url.Values{"j_username": {"ada"}, "j_password": {"correct horse"}}
		login := b.as("ada", "correct horse").do("POST", "/j_spring_security_check", form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Cookie", cookie, "Jenkins-Crumb", crumb)
		loggedIn := between(login.header.Get("Set-Cookie"), "", ";")
		a := b.do("POST", "/computer/a1/toggleOffline", "", "Cookie", loggedIn)
		b.expect(http.StatusForbidden, a, "token and a session that is logged in")
	})
}

func TestNoSecurityIgnoresCredentialsButWantsCrumbs(t *testing.T) {
	inBubble(t, Options{Security: Security{Users: []User{}}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		b.as("eve", "wrong").get(200, "/api/json")
		b.want(b.as("eve", "x").json("/whoAmI/api/json", "name"), "anonymous", "name")
		b.as("ada", "11aa").post(http.StatusForbidden, "/computer/a1/toggleOffline", nil)
		root := b.json("/api/json" + query("useSecurity,useCrumbs"))
		b.want(dig(root, "useSecurity"), false, "useSecurity")
		b.want(dig(root, "useCrumbs"), true, "useCrumbs")
	})
	t.Run("without crumbs", func(t *testing.T) {
		inBubble(t, Options{Security: Security{Users: []User{}, NoCrumbs: true}}, func(b *bench) {
			b.agent(AgentSpec{Name: "a1"})
			b.post(302, "/computer/a1/toggleOffline", nil)
			b.get(404, "/crumbIssuer/api/json")
		})
	})
}

func TestEachActionNeedsItsPermission(t *testing.T) {
	reader := []Permission{Read, JobRead}
	cases := []struct {
		method, path string
		need         Permission
		status       int
	}{
		{"GET", "/computer/a1/config.xml", AgentExtendedRead, 200},
		{"GET", "/computer/a1/config.xml", AgentConfigure, 200},
		{"POST", "/computer/a1/doDelete", AgentDelete, 302},
		{"POST", "/computer/a1/toggleOffline", AgentDisconnect, 302},
		{"POST", "/computer/a1/changeOfflineCause", AgentDisconnect, 302},
		{"POST", "/computer/marked/toggleOffline", AgentConnect, 302},
		{"POST", "/computer/marked/toggleOffline", AgentDisconnect, 302},
		{"POST", "/computer/a1/doDisconnect", AgentDisconnect, 302},
		{"POST", "/computer/a1/launchSlaveAgent", AgentConnect, 200},
		{"GET", "/computer/a1/jenkins-agent.jnlp", AgentConnect, 200},
		{"POST", "/computer/createItem?name=n&mode=copy&from=a1", AgentCreate, 302},
		{"POST", "/createItem?name=n&mode=copy&from=j", JobCreate, 302},
		{"GET", "/job/j/config.xml", JobExtendedRead, 200},
		{"GET", "/job/j/config.xml", JobConfigure, 200},
		{"POST", "/job/j/disable", JobConfigure, 302},
		{"POST", "/job/j/doDelete", JobDelete, 302},
		{"POST", "/job/j/build", JobBuild, 201},
		{"POST", "/job/j/1/stop", JobCancel, 302},
		{"POST", "/job/j/1/submitDescription", RunUpdate, 302},
		{"POST", "/job/j/1/doDelete", RunDelete, 302},
		{"POST", "/quietDown", Manage, 302},
		{"POST", "/scriptText", Administer, 200},
	}
	for _, c := range cases {
		t.Run(c.method+" "+c.path+" "+string(c.need), func(t *testing.T) {
			users := []User{admin, {Name: "without", Tokens: []string{"t"}, Permissions: reader}, {Name: "with", Tokens: []string{"t"}, Permissions: append(reader, c.need)}}
			inBubble(t, Options{Security: Security{Users: users}}, func(b *bench) {
				b.agent(AgentSpec{Name: "a1", Labels: "x"})
				b.agent(AgentSpec{Name: "marked"}).MarkOffline("bob", "x")
				b.job(JobSpec{Name: "j", Label: "x"})
				b.start("j")
				settle()
				a := b.as("without", "t").do(c.method, c.path, "")
				b.expect(http.StatusForbidden, a, "without")
				b.want(a.header.Get("X-Required-Permission") != "", true, "X-Required-Permission")
				b.want(a.header.Get("X-You-Are-Authenticated-As"), "without", "X-You-Are-Authenticated-As")
				b.expect(c.status, b.as("with", "t").do(c.method, c.path, ""), "with")
			})
		})
	}
}

func TestConnectPermissionShowsMonitorDataAndPath(t *testing.T) {
	ron := User{Name: "ron", Tokens: []string{"t"}, Permissions: []Permission{Read}}
	inBubble(t, Options{Security: Security{Users: []User{admin, ron}}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		c := b.as("ron", "t").json("/computer/a1/api/json")
		b.want(dig(c, "monitorData"), map[string]any{}, "monitorData")
		b.want(dig(c, "absoluteRemotePath"), nil, "absoluteRemotePath")
		b.want(b.json("/computer/a1/api/json", "absoluteRemotePath"), "/home/jenkins/a1", "with permission")
	})
}

func TestReaderWithoutConfigureGetsARedactedDocument(t *testing.T) {
	ron := User{Name: "ron", Tokens: []string{"t"}, Permissions: []Permission{Read, AgentExtendedRead}}
	inBubble(t, Options{Security: Security{Users: []User{admin, ron}}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		doc := strings.Replace(b.config("a1"), "<nodeProperties/>", "<nodeProperties><p><secret>{AQAAABAAAAAQ==}</secret></p></nodeProperties>", 1)
		b.postXML(200, "/computer/a1/config.xml", doc)
		b.want(strings.Contains(b.config("a1"), "AQAAABAAAAAQ"), true, "for those who may configure")
		b.want(strings.Contains(b.as("ron", "t").config("a1"), "AQAAABAAAAAQ"), false, "for others")
	})
}

func TestTokensAreMadeAndRevoked(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		base := "/user/ada/descriptorByName/jenkins.security.ApiTokenProperty/"
		a := b.post(200, base+"generateNewToken", url.Values{"newTokenName": {"n"}})
		field := func(name string) string {
			return strings.SplitN(strings.SplitN(a.body, `"`+name+`":"`, 2)[1], `"`, 2)[0]
		}
		fresh := b.as("ada", field("tokenValue"))
		fresh.get(200, "/api/json")
		b.post(200, base+"revoke", url.Values{"tokenUuid": {field("tokenUuid")}})
		fresh.get(401, "/api/json")
	})
}

func TestSemicolonAnywhereInTheURIIs400(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.get(400, "/api/json;x=1")
		b.get(400, "/api/json?tree=a;b")
	})
}

func TestAPIAnswersCarryTheIdentifyingHeaders(t *testing.T) {
	inBubble(t, Options{Version: "2.516.1"}, func(b *bench) {
		a := b.get(200, "/api/json")
		for name, want := range map[string]string{
			"X-Jenkins": "2.516.1", "X-Jenkins-Session": b.j.Session(), "X-Content-Type-Options": "nosniff", "X-Frame-Options": "deny",
			"Content-Type": "application/json;charset=utf-8",
		} {
			b.want(a.header.Get(name), want, name)
		}
	})
}
