// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const feed = `<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Jenkins:linux-7 (all builds)</title>
<link rel="alternate" type="text/html" href="http://ci/computer/linux-7/"/><updated>2026-11-22T10:00:00Z</updated>
<author><name>Jenkins Server</name></author><id>urn:uuid:903deee0-7bfa-11db-9fe1-0800200c9a66</id>
<entry><title>team » app #12 (broken since build #11)</title><link rel="alternate" type="text/html" href="http://ci/job/team/job/app/12/"/>
<id>tag:hudson.dev.java.net,2026:http://ci/job/team/job/app/12/</id><published>2026-11-22T10:00:00Z</published><updated>2026-11-22T10:00:00Z</updated></entry>
<entry><title>bell&#7; #3 (stable)</title><link href="http://ci/job/bell/3/"/><updated>2026-11-21T09:00:00+01:00</updated></entry>
<entry><title>no build</title><link href="http://ci/"/></entry>
<entry><title>no time #4</title><link href="http://ci/job/x/4/"/><published>yesterday</published></entry>
</feed>`

func TestAFeedTellsWhatRanOnAnAgent(t *testing.T) {
	t.Parallel()
	want := []FeedBuild{
		{Job: "team/app", Number: 12, URL: "http://ci/job/team/job/app/12/", At: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Title: "team » app #12 (broken since build #11)"},
		{Job: "bell", Number: 3, URL: "http://ci/job/bell/3/", At: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), Title: "bellxxxx #3 (stable)"},
		{Job: "x", Number: 4, URL: "http://ci/job/x/4/", Title: "no time #4"},
	}
	got, err := clientOf(t, answering(200, feed, "Content-Type", "application/atom+xml;charset=UTF-8")).AgentBuilds(t.Context(), "linux-7", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
		t.Error(diff)
	}
}

func TestAFeedIsReadNoFurtherThanAskedFor(t *testing.T) {
	t.Parallel()
	var read counted
	long := roundTrip(func(*http.Request) (*http.Response, error) {
		entry := feed[strings.Index(feed, "<entry><title>team"):strings.Index(feed, "<entry><title>bell")]
		older := strings.ReplaceAll(entry, "2026-11-22T10", "2026-11-20T10")
		read.r = strings.NewReader(strings.Replace(feed, entry, entry+strings.Repeat(older, 5000), 1))
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(&read)}, nil
	})
	since := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	got, err := clientWith(t, Options{Transport: long}, nil).AgentBuilds(t.Context(), "linux-7", since)
	if err != nil || len(got) != 1 || got[0].Number != 12 {
		t.Errorf("got %+v, %v", got, err)
	}
	if read.n > 32<<10 {
		t.Errorf("%d bytes were read", read.n)
	}
}

func TestABrokenFeedGivesWhatCouldBeReadAndAnError(t *testing.T) {
	t.Parallel()
	half := feed[:strings.Index(feed, "<entry><title>no build")]
	got, err := clientOf(t, answering(200, half)).AgentBuilds(t.Context(), "linux-7", time.Time{})
	if err == nil || len(got) != 2 {
		t.Errorf("cut off: %d builds, %v", len(got), err)
	}
	for name, body := range map[string]string{
		"empty": "", "a page": "<html><body>Sign in</body></html>", "json": "{}", "another document": "<rss><channel/></rss>",
	} {
		if got, err := clientOf(t, answering(200, body)).AgentBuilds(t.Context(), "linux-7", time.Time{}); err == nil || len(got) != 0 {
			t.Errorf("%s: %d builds, %v", name, len(got), err)
		}
	}
	got, err = clientOf(t, answering(200, `<feed xmlns="http://www.w3.org/2005/Atom"></feed>`)).AgentBuilds(t.Context(), "linux-7", time.Time{})
	if err != nil || len(got) != 0 {
		t.Errorf("no builds: %d builds, %v", len(got), err)
	}
	synctest.Test(t, func(t *testing.T) {
		if _, err := clientOf(t, answering(404, "")).AgentBuilds(t.Context(), "linux-7", time.Time{}); !IsNotFound(err) {
			t.Errorf("gone: %v", err)
		}
	})
}

func FuzzFeed(f *testing.F) {
	f.Add(feed)
	f.Add(`<feed><entry><link href="/job/a/1"/></entry>`)
	f.Fuzz(func(t *testing.T, doc string) {
		builds, _ := parseFeed([]byte(doc))
		for _, b := range builds {
			if b.Job == "" || b.Number <= 0 || strings.ContainsAny(b.Title, "\n\r\x1b") {
				t.Fatalf("impossible build %+v", b)
			}
		}
	})
}
