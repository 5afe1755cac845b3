// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxFeed is the size of the largest feed that is read, some ten thousand builds.
const maxFeed = 8 << 20

// FeedBuild is a build in the feed of an agent.
type FeedBuild struct {
	Job    string // full name, from URL
	Number int64
	URL    string
	At     time.Time // when it started; zero if the feed does not say
	Title  string    // such as "app #12 (broken since build #11)"
}

// AgentBuilds returns the builds that ran on an agent, newest first, from its feed: one request, two if the agent is not
// there. The feed knows finished builds of FreeStyle kind that we may read, of the last seven days and ten in any case
// (hudson.util.RunList#newBuilds); it knows no Pipelines. It makes Jenkins load the records of these builds: ask once
// per cleanup, not per poll.
//
// On an error the builds read up to there are returned with it.
func (c *Client) AgentBuilds(ctx context.Context, agent string) ([]FeedBuild, error) {
	path, err := computerPath(agent)
	if err != nil {
		return nil, invalid("read builds", agentObject(agent), err)
	}
	var builds []FeedBuild
	err = lookTwice(ctx, func() error {
		return c.do(ctx, request{
			op: "read builds", object: agentObject(agent), method: http.MethodGet, path: path + "/rssAll", limit: maxFeed,
		}, func(r *reply) error {
			doc, readErr := io.ReadAll(r.body)
			var err error
			if builds, err = parseFeed(doc); readErr != nil {
				return readErr
			}
			return err
		})
	})
	return builds, err
}

// atomEntry is one build in a feed.
type atomEntry struct {
	Title string `xml:"title"`
	Links []struct {
		Href string `xml:"href,attr"`
	} `xml:"link"`
	Published string `xml:"published"`
	Updated   string `xml:"updated"`
}

// parseFeed reads an Atom feed. Entries that are no builds are skipped.
func parseFeed(doc []byte) ([]FeedBuild, error) {
	dec := xml.NewDecoder(bytes.NewReader(passedOffAs10(doc)))
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	var builds []FeedBuild
	root := ""
	for {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return builds, fmt.Errorf("feed: %w", err)
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if root == "" {
			root = start.Name.Local
		}
		if start.Name.Local != "entry" {
			continue
		}
		var e atomEntry
		if err := dec.DecodeElement(&e, &start); err != nil {
			return builds, fmt.Errorf("feed: %w", err)
		}
		if b, ok := e.build(); ok {
			builds = append(builds, b)
		}
	}
	if root != "feed" {
		return nil, fmt.Errorf("feed: root is <%s>", root)
	}
	return builds, nil
}

func (e *atomEntry) build() (FeedBuild, bool) {
	b := FeedBuild{Title: oneLine(e.Title)}
	for _, l := range e.Links {
		if b.Job, b.Number = parseBuildURL(l.Href); b.Number > 0 {
			b.URL = l.Href
			break
		}
	}
	for _, text := range []string{e.Published, e.Updated} {
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			b.At = at
			break
		}
	}
	return b, b.Job != "" && b.Number > 0
}
