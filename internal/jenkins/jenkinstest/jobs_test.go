// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const plainJob = `<?xml version='1.1' encoding='UTF-8'?>
<project><description>d</description><assignedNode>clean</assignedNode><canRoam>false</canRoam><concurrentBuild>true</concurrentBuild>
<builders><hudson.tasks.Shell><command>#!/bin/sh
echo &quot;$A&quot;</command></hudson.tasks.Shell></builders></project>`

func TestJobIsCreatedUpdatedAndDeleted(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		a := b.postXML(http.StatusOK, "/createItem?name=Clean", plainJob)
		b.want(a.body, "", "body")
		b.postXML(http.StatusBadRequest, "/createItem?name=clean", plainJob)
		b.expect(400, b.do("POST", "/createItem?name=other", plainJob), "no content type")
		b.postXML(500, "/createItem?name=other", "<project>")
		b.postXML(500, "/createItem?name=other", "<nonsense/>")
		b.postXML(400, "/createItem?name=a%3Fb", plainJob)
		b.want(b.json("/job/CLEAN/api/json", "fullName"), "Clean", "names are looked up without regard to case")

		doc := b.get(200, "/job/Clean/config.xml").body
		if !strings.HasPrefix(doc, `<?xml version="1.1" encoding="UTF-8"?><project>`) || !strings.Contains(doc, `echo "$A"`) {
			t.Errorf("document as it was posted: %s", doc)
		}
		b.post(302, "/job/Clean/disable", nil)
		b.post(302, "/job/Clean/enable", nil)
		doc = b.get(200, "/job/Clean/config.xml").body
		if !strings.HasPrefix(doc, "<?xml version='1.1' encoding='UTF-8'?>\n<project>") || !strings.Contains(doc, "echo &quot;$A&quot;") {
			t.Errorf("document as it was saved: %s", doc)
		}
		b.postXML(200, "/job/Clean/config.xml", relabelJob(doc, "clean", "dirty"))
		b.want(b.json("/job/Clean/api/json", "labelExpression"), "dirty", "label")
		b.postXML(500, "/job/Clean/config.xml", "<flow-definition/>")
		b.expect(400, b.do("PUT", "/job/Clean/config.xml", doc), "PUT")
		b.post(302, "/job/Clean/doDelete", nil)
		b.get(404, "/job/Clean/api/json")
	})
}

// TestAJobIsTiedAsIfItsDocumentWereReadWhole posts documents one after another to one job, and each to a job of its own.
func TestAJobIsTiedAsIfItsDocumentWereReadWhole(t *testing.T) {
	on := func(label string) string { return strings.Replace(plainJob, ">clean<", ">"+label+"<", 1) }
	docs := []string{
		plainJob, on("a1"), on("a1"), on("'a 2'||b"), on("&quot;a 3&quot;"), on("a4"), on(""), on("a5"), on("<!-- no -->a6"), on(" a7 "), on("ä"),
		strings.Replace(on("a8"), "<description>d", "<description><![CDATA[<assignedNode>x</assignedNode>]]>", 1),
		strings.Replace(on("a9"), "<description>d", "<description><![CDATA[<assignedNode>y</assignedNode>]]>", 1),
		strings.Replace(on("b1"), "false", "true", 1), on("b2</assignedNode><assignedNode>b3"), on("b4"), on("b5</assignedNode><assignedNode>b3"),
	}
	inBubble(t, Options{}, func(b *bench) {
		b.postXML(200, "/createItem?name=one", plainJob)
		for i, doc := range docs {
			own := fmt.Sprintf("/job/own-%d", i)
			b.postXML(200, fmt.Sprintf("/createItem?name=own-%d", i), doc)
			for range i % 2 {
				b.get(200, "/job/one/config.xml") // or the document before was never shown
			}
			b.postXML(200, "/job/one/config.xml", doc)
			b.want(b.get(200, "/job/one/config.xml").body, b.get(200, own+"/config.xml").body, doc)
			b.want(b.json("/job/one/api/json", "labelExpression"), b.json(own+"/api/json", "labelExpression"), "label of "+doc)
			if i == 6 {
				b.post(302, "/job/one/disable", nil) // Jenkins itself writes the document
			}
		}
	})
}

func TestFoldersNestOnlyWithThePlugin(t *testing.T) {
	const folder = `<com.cloudbees.hudson.plugins.folder.Folder/>`
	inBubble(t, Options{}, func(b *bench) { b.postXML(500, "/createItem?name=a", folder) })
	t.Run("with plugin", func(t *testing.T) {
		inBubble(t, Options{Plugins: []string{PluginFolder}}, func(b *bench) {
			b.postXML(200, "/createItem?name=a", folder)
			b.postXML(200, "/job/a/createItem?name=b", folder)
			b.postXML(200, "/job/a/job/b/createItem?name=c%20d", plainJob)
			c := b.json("/job/a/job/b/job/c%20d/api/json")
			b.want(dig(c, "fullName"), "a/b/c d", "fullName")
			b.want(dig(c, "url"), "http://ci.example/job/a/job/b/job/c%20d/", "url")
			tree := b.json("/api/json" + query("jobs[name,_class,jobs[name,jobs[fullName]]]"))
			b.want(dig(tree, "jobs", 0, "_class"), folder[1:len(folder)-2], "class")
			b.want(dig(tree, "jobs", 0, "jobs", 0, "jobs", 0, "fullName"), "a/b/c d", "nested listing")
		})
	})
}

func TestDisabledJobAndUnsavedCopyAreNotBuildable(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.postXML(200, "/createItem?name=x", plainJob)
		b.post(302, "/job/x/disable", nil)
		b.post(http.StatusConflict, "/job/x/build", nil)
		b.post(302, "/job/x/enable", nil)
		b.post(http.StatusCreated, "/job/x/build", nil)
		b.post(302, "/createItem?name=y&mode=copy&from=x", nil)
		b.post(http.StatusConflict, "/job/y/build", nil)
		b.postXML(200, "/job/y/config.xml", b.get(200, "/job/y/config.xml").body)
		b.post(http.StatusCreated, "/job/y/build", nil)
	})
}

func TestBuildNeedsPOSTAndAFormForParameters(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.job(JobSpec{Name: "x", Label: "none"})
		b.job(JobSpec{Name: "p", Label: "none", Params: []ParamSpec{{Name: "A", Default: "d"}, {Name: "B"}}})
		got := b.expect(http.StatusMethodNotAllowed, b.do("GET", "/job/x/build", ""), "GET")
		b.want(got.header.Get("Allow"), "POST", "Allow")
		b.post(http.StatusBadRequest, "/job/x/buildWithParameters", nil)
		b.post(http.StatusBadRequest, "/job/p/build", nil)
		form := url.Values{"json": {`{"parameter":[{"name":"A","value":"v"}]}`}}
		first := b.post(http.StatusCreated, "/job/p/build?delay=0sec", form)
		settle()
		b.want(b.json("/queue/item/"+itemID(first)+"/api/json", "params"), "\nA=v", "params: what is not in the form has no value")
		merged := b.post(http.StatusFound, "/job/p/build?delay=0sec", form)
		b.want(merged.header.Get("Location"), "http://ci.example/job/p/", "a merged form submission names no item")
		b.post(http.StatusInternalServerError, "/job/p/buildWithParameters?A=1&A=2", nil)
		b.post(http.StatusCreated, "/job/p/buildWithParameters?unknown=1", nil)
	})
}

func TestLocationOfABuildNamesTheRequestsHost(t *testing.T) {
	inBubble(t, Options{RootURL: "https://public.example/ci/"}, func(b *bench) {
		b.job(JobSpec{Name: "x", Label: "none"})
		a := b.post(201, "/job/x/build", nil)
		b.want(a.header.Get("Location"), "http://ci.example/ci/queue/item/1/", "location")
		b.want(b.json("/api/json", "url"), "https://public.example/ci/", "url")
	})
}

func TestJobTokenAllowsGETAndAWrongOneIs403(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.postXML(200, "/createItem?name=x", "<project><authToken>s3</authToken></project>")
		b.get(http.StatusForbidden, "/job/x/build?token=wrong")
		b.get(http.StatusCreated, "/job/x/build?token=s3")
	})
}

func TestSecretParameterIsShownNowhere(t *testing.T) {
	var env string
	opts := Options{Execute: func(_ context.Context, s Step) StepResult { env = s.Env["PW"]; return StepResult{} }}
	inBubble(t, opts, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		b.job(JobSpec{Name: "p", Label: "x", Params: []ParamSpec{{Name: "PW", Kind: paramSecret}}})
		a := b.post(201, "/job/p/buildWithParameters?PW=hunter2&delay=0sec", nil)
		settle()
		b.want(env, "hunter2", "the build's environment")
		for _, path := range []string{"/job/p/1/api/json?depth=3", "/queue/item/" + itemID(a) + "/api/json?depth=3", "/job/p/1/consoleText"} {
			if strings.Contains(b.get(200, path).body, "hunter2") {
				t.Error(path + " shows the secret")
			}
		}
	})
}

func TestBuildDiscarderKeepsTheLastSuccessfulAndRunningBuilds(t *testing.T) {
	fail := false
	opts := Options{Execute: func(context.Context, Step) StepResult {
		if fail {
			return StepResult{Exit: 1}
		}
		return StepResult{}
	}}
	inBubble(t, opts, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		b.job(JobSpec{Name: "j", Label: "x", KeepBuilds: 3})
		for i := range 8 {
			fail = i > 1
			b.start("j")
			settle()
		}
		var numbers []int
		for _, x := range b.j.Builds("j") {
			numbers = append(numbers, x.Number)
		}
		b.want(numbers, []int{2, 6, 7, 8}, "builds kept")
	})
}

func TestBuildsListsTheNewestHundred(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		b.job(JobSpec{Name: "j", Label: "x"})
		for range 105 {
			b.start("j")
			settle()
		}
		list := b.json("/job/j/api/json"+query("builds[number,queueId,building,result,url]"), "builds").([]any)
		b.want(len(list), 100, "builds")
		b.want(dig(list, 0, "number"), 105, "newest first")
		b.want(dig(list, 0, "queueId"), 105, "queueId")
		b.want(len(b.json("/job/j/api/json"+query("allBuilds[number]"), "allBuilds").([]any)), 105, "allBuilds")
		b.want(b.json("/job/j/api/json", "allBuilds"), nil, "allBuilds at depth 0")
		b.want(b.json("/job/j/lastBuild/api/json", "number"), 105, "lastBuild")
		b.want(b.json("/job/j/lastCompletedBuild/api/json", "id"), "105", "lastCompletedBuild")
		b.get(404, "/job/j/106/api/json")
		b.want(fmt.Sprint(b.json("/job/j/api/json", "nextBuildNumber")), "106", "next number")
	})
}

func TestPostedJobIsKeptAsAnIdentityTransformationWritesIt(t *testing.T) {
	t.Parallel()
	for posted, want := range map[string]string{
		"<a><b></b><c/></a>":                                      `<?xml version="1.0" encoding="UTF-8"?><a><b/><c/></a>`,
		"<?xml version='1.1'?>\n <a> <!-- c --> </a>\n":           `<?xml version="1.1" encoding="UTF-8"?><a> <!-- c --> </a>`,
		"<a b='x &quot;'>&quot;&apos;&amp;&lt;&gt;&#27;</a>":      `<?xml version="1.0" encoding="UTF-8"?><a b='x &quot;'>"'&amp;&lt;&gt;&#27;</a>`,
		"<?xml version=\"1.1\"?><a>x\u2028y\u0085z\U0001F600</a>": "<?xml version=\"1.1\" encoding=\"UTF-8\"?><a>x\ny\nz&#128512;</a>",
		"<?xml version=\"1.0\"?><a>x\u2028y</a>":                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>x\u2028y</a>",
	} {
		if got := string(stored([]byte(posted))); got != want {
			t.Errorf("%q is kept as\n%q, want\n%q", posted, got, want)
		}
	}
}
