// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestABuildIsQueuedTheWayItsParametersNeed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		params map[string]string
		file   *File
		path   string
		check  func(*http.Request) bool
	}{
		{"without parameters", nil, nil, "/jenkins/job/team/job/app/build", func(r *http.Request) bool { return r.ContentLength == 0 }},
		{"with parameters", map[string]string{"AGENT": "b ü&c", "N": "1"}, nil, "/jenkins/job/team/job/app/buildWithParameters", func(r *http.Request) bool {
			return r.PostFormValue("AGENT") == "b ü&c" && r.PostFormValue("N") == "1" && !strings.Contains(r.URL.RawQuery, "AGENT")
		}},
		{"with a file", map[string]string{"AGENT": "größe"}, &File{Param: "PROGRAM", Name: "p.sh", Content: []byte("#!/bin/sh\n\x00")}, "/jenkins/job/team/job/app/buildWithParameters", func(r *http.Request) bool {
			f, h, err := r.FormFile("PROGRAM")
			if err != nil {
				return false
			}
			content, _ := io.ReadAll(f)
			return h.Filename == "p.sh" && string(content) == "#!/bin/sh\n\x00" && r.PostFormValue("AGENT") == "größe" && r.ContentLength > 0
		}},
	} {
		c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != tt.path || r.URL.RawQuery != "delay=0sec" || !tt.check(r) {
				t.Errorf("%s: %s %v", tt.name, r.URL, r.Form)
			}
			answering(201, "", "Location", "http://internal:8080/queue/item/4711/")(w, r)
		})
		if id, err := c.Build(t.Context(), "team/app", tt.params, tt.file); id != 4711 || err != nil {
			t.Errorf("%s: got %d, %v", tt.name, id, err)
		}
	}
}

func TestAFieldBesideAFileSaysHowItIsEncoded(t *testing.T) {
	t.Parallel()
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		form, err := r.MultipartReader()
		if err != nil {
			t.Fatal(err)
		}
		part, err := form.NextPart()
		if err != nil || part.FormName() != "AGENT" || part.FileName() != "" || part.Header.Get("Content-Type") != "text/plain; charset=UTF-8" {
			t.Errorf("%v, first part %v", err, part.Header)
		}
		answering(201, "", "Location", "http://ci/queue/item/1/")(w, r)
	})
	if _, err := c.Build(t.Context(), "app", map[string]string{"AGENT": "größe"}, &File{Param: "P", Name: "p"}); err != nil {
		t.Error(err)
	}
}

func TestABuildWithAFileIsSentOnce(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789abcde\n"), 1<<17)
	for name, status := range map[string]int{"redirected": 307, "moved": 301, "busy": 503, "oops": 500, "forbidden": 403} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requests := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				f, _, err := r.FormFile("P")
				if err != nil {
					t.Error(err)
				} else if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes arrived, %v", len(got), err)
				}
				answering(status, "", "Location", "/elsewhere")(w, r)
			}))
			defer srv.Close()
			var sent int64
			c, err := New(Options{URL: srv.URL, User: "pit", Token: fixed(canary), Observe: func(call Call) { sent += call.BytesOut }})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Build(t.Context(), "app", map[string]string{"A": "b"}, &File{Param: "P", Name: "p.sh", Content: content}); err == nil {
				t.Error("no error")
			}
			if requests != 1 || sent < int64(len(content)) {
				t.Errorf("%d requests, %d bytes sent", requests, sent)
			}
		})
	}
}

func TestAFileThatIsTooLargeIsRefusedBeforeAnyRequest(t *testing.T) {
	t.Parallel()
	c := clientOf(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	_, err := c.Build(t.Context(), "app", nil, &File{Param: "P", Name: "p.sh", Content: make([]byte, maxFile+1)})
	if KindOf(err) != KindPermanent || !strings.Contains(err.Error(), "the limit is 67108864") {
		t.Errorf("got %v", err)
	}
}

func TestABuildThatIsNotNewIsNotMistakenForOne(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		status   int
		location string
		id       int64
		kind     Kind
		is       error
	}{
		{"merged", 303, "http://ci/jenkins/queue/item/9/", 9, KindConflict, ErrMerged},
		{"disabled", 409, "", 0, KindConflict, nil},
		{"declined by a plugin", 302, ".", 0, KindConflict, nil},
		{"no such parameters", 400, "", 0, KindPermanent, nil},
		{"no place", 201, "", 0, KindRetryable, nil},
		{"odd place", 201, "http://ci/queue/item/x/", 0, KindRetryable, nil},
		{"to a login", 302, "/jenkins/login?from=x", 0, KindUnauthorized, nil},
	} {
		id, err := clientOf(t, answering(tt.status, "", "Location", tt.location)).Build(t.Context(), "j", nil, nil)
		if id != tt.id || err == nil || KindOf(err) != tt.kind || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: got %d, %v of kind %s", tt.name, id, err, KindOf(err))
		}
	}
}

const buildAnswer = `{"_class":"hudson.model.FreeStyleBuild","actions":[{"_class":"hudson.model.CauseAction"},{},
 {"_class":"hudson.model.ParametersAction","parameters":[{"_class":"hudson.model.StringParameterValue","name":"PITCREW_ATTEMPT","value":"17"},
 {"_class":"hudson.model.BooleanParameterValue","name":"DEEP","value":true},{"name":"FILE"}]}],
 "building":false,"builtOn":"linux-7","description":null,"duration":1500,"number":12,"queueId":4711,"result":"SUCCESS","timestamp":1700000000000,"url":"http://ci/job/x/12/"}`

func TestABuildTellsWhereItRanAndWithWhat(t *testing.T) {
	t.Parallel()
	got, err := clientOf(t, answering(200, buildAnswer)).BuildInfo(t.Context(), "x", 12)
	if err != nil {
		t.Fatal(err)
	}
	want := Build{
		Job: "x", Number: 12, QueueID: 4711, Result: "SUCCESS", BuiltOn: "linux-7", BuiltOnKnown: true,
		Timestamp: time.UnixMilli(1700000000000), Duration: 1500 * time.Millisecond, URL: "http://ci/job/x/12/",
		Params: map[string]string{"PITCREW_ATTEMPT": "17", "DEEP": "true", "FILE": ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for body, known := range map[string]bool{
		`{"number":12,"builtOn":"","building":true}`:   true, // the built-in node
		`{"number":12,"builtOn":null,"building":true}`: false,
		`{"number":12,"building":true}`:                false, // a Pipeline
	} {
		b, err := clientOf(t, answering(200, body)).BuildInfo(t.Context(), "x", 12)
		if err != nil || b.BuiltOnKnown != known || b.BuiltOn != "" || !b.Building {
			t.Errorf("%s: %+v, %v", body, b, err)
		}
	}
	if _, err := clientOf(t, answering(200, `{}`)).BuildInfo(t.Context(), "x", 12); err == nil {
		t.Error("an answer about nothing was taken for the build")
	}
	list, err := clientOf(t, answering(200, `{"builds":[`+buildAnswer+`,{"number":11,"queueId":4700}]}`)).RecentBuilds(t.Context(), "x")
	if err != nil || len(list) != 2 || list[0].QueueID != 4711 || list[1].Number != 11 || list[1].Job != "x" {
		t.Errorf("recent builds: %+v, %v", list, err)
	}
}

func TestTheEndOfAConsoleIsKept(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("noise\n", 10000) + "report\n"
	for _, tt := range []struct {
		limit     int
		want      string
		truncated bool
	}{
		{len(text), text, false},
		{len(text) + 1, text, false},
		{7, "report\n", true},
		{len(text) - 1, text[1:], true},
		{0, "\n", true},
	} {
		got, truncated, err := clientOf(t, answering(200, text)).ConsoleText(t.Context(), "x", 1, tt.limit)
		if err != nil || string(got) != tt.want || truncated != tt.truncated {
			t.Errorf("limit %d: %d bytes, truncated %t, %v", tt.limit, len(got), truncated, err)
		}
	}
}

func TestProgressGoesOnWhereJenkinsSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		start      int64
		body       string
		size, more string
		chunk      string
		next       int64
		goesOn     bool
	}{
		{"not begun", 0, "", "0", "true", "", 0, true},
		{"running", 10, "abc\n", "14", "true", "abc\n", 14, true},
		{"running, with half a line counted but not sent", 10, "abc\n", "20", "true", "abc\n", 20, true},
		{"ended", 14, "end", "17", "", "end", 17, false},
		{"log began again", 100, "new\n", "4", "true", "new\n", 4, true},
		{"no size", 10, "abc", "", "true", "abc", 13, true},
		{"size is nonsense", 10, "abc", "-5", "yes", "abc", 13, false},
		{"size is too large to be true", 10, "abc", "99999999999999999999", "", "abc", 13, false},
		{"notes are hidden", 0, "\x1b[8mha:////4abc==\x1b[0mStarted by user\n", "40", "", "Started by user\n", 40, false},
		{"before the beginning", -7, "a", "1", "", "a", 1, false},
	} {
		var query string
		c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
			query = r.URL.RawQuery
			answering(200, tt.body, "X-Text-Size", tt.size, "X-More-Data", tt.more)(w, r)
		})
		chunk, next, more, err := c.ProgressiveText(t.Context(), "x", 1, tt.start)
		if err != nil || string(chunk) != tt.chunk || next != tt.next || more != tt.goesOn {
			t.Errorf("%s: %q next %d more %t, %v (%s)", tt.name, chunk, next, more, err, query)
		}
	}
}

func FuzzProgressive(f *testing.F) {
	f.Add(int64(0), "abc", "3", "true")
	f.Add(int64(-1), "\x1b[8mha:x\x1b[0m", "9223372036854775807", "")
	f.Add(int64(9223372036854775807), "abc", "", "")
	f.Fuzz(func(t *testing.T, start int64, body, size, more string) {
		h := http.Header{}
		h.Set("X-Text-Size", size)
		h.Set("X-More-Data", more)
		c := clientWith(t, Options{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
		})}, nil)
		chunk, next, goesOn, err := c.ProgressiveText(t.Context(), "x", 1, start)
		if err != nil {
			t.Fatal(err)
		}
		if next < 0 || len(chunk) > len(body) || goesOn != (more == "true") {
			t.Fatalf("chunk of %d, next %d, more %t", len(chunk), next, goesOn)
		}
	})
}
