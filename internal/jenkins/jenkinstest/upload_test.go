// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const (
	multipartType = "multipart/form-data; boundary=B"
	payload       = "\x00\x01data\r\nmore"
)

// part is one part of a form; disposition follows "form-data; ".
func part(disposition, content string, header ...string) string {
	return "--B\r\nContent-Disposition: form-data; " + disposition + "\r\n" + strings.Join(append(header, ""), "\r\n") + "\r\n" + content + "\r\n"
}

// multipartBuild posts parts to a job's page.
func (b *bench) multipartBuild(page string, parts ...string) answer {
	b.t.Helper()
	return b.do("POST", "/job/p/"+page+"?delay=0sec", strings.Join(parts, "")+"--B--\r\n", "Content-Type", multipartType)
}

// inWorkshop runs f on a controller with one agent and a job that takes a file and a word; got are the steps that ran.
func inWorkshop(t *testing.T, spec JobSpec, f func(b *bench, got *[]Step)) {
	t.Helper()
	var got []Step
	opts := Options{Execute: func(_ context.Context, s Step) StepResult { got = append(got, s); return StepResult{} }}
	inBubble(t, opts, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		spec.Name, spec.Label = "p", "x"
		if spec.Params == nil {
			spec.Params = []ParamSpec{{Name: "payload.bin", Kind: paramFile}, {Name: "A", Default: "d"}}
		}
		b.job(spec)
		f(b, &got)
	})
}

func TestFileParameterReachesTheWorkspace(t *testing.T) {
	file := part(`name="payload.bin"; filename="up.bin"`, payload)
	byReference := func(file string) string {
		return part(`name="json"`, `{"parameter":[{"name":"payload.bin","file":`+file+`},{"name":"A","value":"v"}]}`)
	}
	for name, c := range map[string]struct {
		page  string
		parts []string
		word  string
	}{
		"fields":                      {"buildWithParameters", []string{part(`name="A"`, "v"), file}, "v"},
		"the last part counts":        {"buildWithParameters", []string{part(`name="A"`, "u"), part(`name="payload.bin"; filename="x"`, "x"), file, part(`name="A"`, "v")}, "v"},
		"a field that names UTF-8":    {"buildWithParameters", []string{file, part(`name="A"`, "grö", "Content-Type: text/plain; charset=UTF-8")}, "grö"},
		"a field that names nothing":  {"buildWithParameters", []string{file, part(`name="A"`, "grö")}, "gr\u00c3\u00b6"},
		"a form names a part":         {"build", []string{byReference(`"file0"`), part(`name="file0"; filename="up.bin"`, payload)}, "v"},
		"a form names it by a number": {"build", []string{byReference(`7`), part(`name="7"; filename="C:\\dir\\up.bin"`, payload)}, "v"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, JobSpec{}, func(b *bench, got *[]Step) {
				a := b.multipartBuild(c.page, c.parts...)
				b.expect(http.StatusCreated, a, "multipart")
				settle()
				if len(*got) != 1 || len((*got)[0].Files) != 1 || (*got)[0].Files[0].Name != "payload.bin" || string((*got)[0].Files[0].Data) != payload {
					t.Fatalf("steps: %+v", *got)
				}
				b.want((*got)[0].Params["A"], c.word, "field beside the file")
				b.want((*got)[0].Env["payload.bin"], "up.bin", "variable of the file")
				b.want(b.get(200, "/job/p/1/parameters/parameter/payload.bin/payload.bin").body, payload, "copy kept with the build")
				console := b.get(200, "/job/p/1/consoleText").body
				b.want(strings.Contains(console, "\nCopying file to payload.bin\n"), true, console)
			})
		})
	}
}

func TestFileThatDoesNotComeIsLeftOut(t *testing.T) {
	for name, parts := range map[string][]string{
		"wrong name":       {part(`name="payload"; filename="up.bin"`, payload)},
		"no file name":     {part(`name="payload.bin"`, payload)},
		"nothing of it":    {part(`name="A"`, "v")},
		"a field after it": {part(`name="payload.bin"; filename="up.bin"`, payload), part(`name="payload.bin"`, "x")},
		"file not chosen":  {part(`name="payload.bin"; filename=""`, "")},
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, JobSpec{}, func(b *bench, got *[]Step) {
				b.expect(http.StatusCreated, b.multipartBuild("buildWithParameters", parts...), "multipart")
				settle()
				if len(*got) != 1 || len((*got)[0].Files) != 0 {
					t.Fatalf("steps: %+v", *got)
				}
				b.get(http.StatusNotFound, "/job/p/1/parameters/parameter/payload.bin/payload.bin")
			})
		})
	}
}

func TestFormThatNamesWhatIsNotThereIsAnError(t *testing.T) {
	file := part(`name="file0"; filename="up.bin"`, payload)
	for name, form := range map[string]string{
		"no such part":      `{"name":"payload.bin","file":"file1"}`,
		"a field":           `{"name":"payload.bin","file":"A"}`,
		"no reference":      `{"name":"payload.bin"}`,
		"no such parameter": `{"name":"other","file":"file0"}`,
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, JobSpec{}, func(b *bench, got *[]Step) {
				b.expect(http.StatusInternalServerError, b.multipartBuild("build", part(`name="json"`, `{"parameter":[`+form+`]}`), part(`name="A"`, "v"), file), "form")
				settle()
				if len(*got) != 0 {
					t.Errorf("steps: %+v", *got)
				}
			})
		})
	}
}

func TestRequestsWithFilesAreNeverMerged(t *testing.T) {
	inWorkshop(t, JobSpec{Quiet: 3600e9}, func(b *bench, _ *[]Step) {
		file := part(`name="payload.bin"; filename="up.bin"`, payload)
		send := func() string {
			a := b.do("POST", "/job/p/buildWithParameters", file+"--B--\r\n", "Content-Type", multipartType)
			b.expect(http.StatusCreated, a, "multipart")
			return itemID(a)
		}
		first, second := send(), send()
		if first == second {
			t.Errorf("both are item %s", first)
		}
		b.want(b.json("/queue/item/"+first+"/api/json", "params"), "\npayload.bin=up.bin\nA=d", "params")
	})
}

func TestFileThatWouldLeaveTheWorkspaceFailsTheBuild(t *testing.T) {
	for _, name := range []string{"../evil", "a/../../evil", "/etc/evil", `..\evil`} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, JobSpec{Params: []ParamSpec{{Name: name, Kind: paramFile}}}, func(b *bench, got *[]Step) {
				b.expect(http.StatusCreated, b.multipartBuild("buildWithParameters", part(`name="`+strings.ReplaceAll(name, `\`, `\\`)+`"; filename="x"`, "x")), name)
				settle()
				b.want(b.json("/job/p/1/api/json", "result"), "FAILURE", name)
				if len(*got) != 0 {
					t.Errorf("steps: %+v", *got)
				}
			})
		})
	}
}

func TestCopiesOfFilesGoWithTheirBuilds(t *testing.T) {
	inWorkshop(t, JobSpec{KeepBuilds: 2}, func(b *bench, _ *[]Step) {
		for n := range 5 {
			b.expect(http.StatusCreated, b.multipartBuild("buildWithParameters", part(`name="payload.bin"; filename="up.bin"`, payload)), fmt.Sprint(n))
			settle()
			b.want(b.j.KeptFiles("p"), int64(min(n+1, 2)*len(payload)), "bytes kept")
		}
		b.get(http.StatusNotFound, "/job/p/1/parameters/parameter/payload.bin/payload.bin")
		b.get(http.StatusOK, "/job/p/5/parameters/parameter/payload.bin/payload.bin")
	})
}

func TestFileOfAQueuedBuildSurvivesARestartSince529(t *testing.T) {
	for version, want := range map[string]string{"2.528.3": "FAILURE", "2.541.3": "SUCCESS"} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, Options{Version: version}, func(b *bench) {
				b.job(JobSpec{Name: "p", Label: "x", Params: []ParamSpec{{Name: "payload.bin", Kind: paramFile}}})
				b.expect(http.StatusCreated, b.multipartBuild("buildWithParameters", part(`name="payload.bin"; filename="up.bin"`, payload)), "multipart")
				settle()
				if err := b.j.Restart(b.t.Context(), RestartNow); err != nil {
					t.Fatal(err)
				}
				settle()
				b.agent(AgentSpec{Name: "a1", Labels: "x"})
				settle()
				b.want(b.json("/job/p/1/api/json", "result"), want, version)
			})
		})
	}
}
