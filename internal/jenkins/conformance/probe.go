// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	// patience bounds the wait for something that Jenkins does on its own time.
	patience = 40 * time.Second
	// look is the time between two looks at something that is waited for.
	look = 40 * time.Millisecond
	// shown bounds the text of a difference.
	shown = 300
)

// probe is what one behaviour has in hand.
type probe struct {
	*testing.T
	ctx       context.Context //nolint:containedctx // lives exactly as long as the test it belongs to
	suite     *suite
	behaviour string
	agent     *agent // of the group, nil without one
}

// unique returns a name for an object of this run.
func (p *probe) unique(stem string) string {
	p.suite.mu.Lock()
	defer p.suite.mu.Unlock()
	p.suite.serial++
	return fmt.Sprintf("%s-%s%d", p.suite.target.Prefix, stem, p.suite.serial)
}

// skip ends a behaviour that this controller does not allow to be checked.
func (p *probe) skip(reason string) {
	p.Helper()
	p.suite.skip(p.behaviour, reason)
	p.Skip(reason)
}

// equal records a difference unless got and want are deeply equal.
func (p *probe) equal(what string, got, want any) {
	p.Helper()
	if !reflect.DeepEqual(got, want) {
		p.differs(what, fmt.Sprintf("%#v", want), fmt.Sprintf("%#v", got))
	}
}

// holds records a difference unless ok.
func (p *probe) holds(ok bool, what, want string, got any) {
	p.Helper()
	if !ok {
		p.differs(what, want, fmt.Sprintf("%v", got))
	}
}

// contains records a difference unless text holds part.
func (p *probe) contains(what, text, part string) {
	p.Helper()
	p.holds(strings.Contains(text, part), what, "contains "+part, text)
}

func (p *probe) differs(what, want, got string) {
	p.Helper()
	p.suite.differ(difference{p.behaviour, what, excerpt(want), excerpt(got)})
	p.Errorf("%s: want %s, got %s", what, excerpt(want), excerpt(got))
}

func excerpt(s string) string {
	if len(s) > shown {
		return s[:shown] + "..."
	}
	return s
}

// until looks again and again until cond holds; if it never does, that is a
// difference and the behaviour ends.
func (p *probe) until(what string, cond func() bool) {
	p.Helper()
	if !p.within(patience, cond) {
		p.differs(what, "happens within "+patience.String(), "did not happen")
		p.FailNow()
	}
}

// within reports whether cond came true within limit.
func (p *probe) within(limit time.Duration, cond func() bool) bool {
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			return cond()
		case <-ticker.C:
		}
	}
	return true
}

// get, post and send make a request as the target's user; an error of the
// connection ends the behaviour.
func (p *probe) get(path string) answer { return p.send("GET", path, "", "") }

func (p *probe) post(path string, form url.Values) answer {
	return p.send("POST", path, "application/x-www-form-urlencoded", form.Encode())
}

func (p *probe) postXML(path, document string) answer {
	return p.send("POST", path, "application/xml; charset=UTF-8", document)
}

func (p *probe) send(method, path, contentType, body string) answer {
	p.Helper()
	return p.sendBy(p.suite.wire, method, path, contentType, body)
}

func (p *probe) sendBy(w *wire, method, path, contentType, body string) answer {
	p.Helper()
	header := map[string]string{}
	if contentType != "" {
		header["Content-Type"] = contentType
	}
	a, err := w.send(p.ctx, request{method: method, path: path, header: header, body: body})
	if err != nil {
		p.differs(method+" "+path, "an answer", err.Error())
		p.FailNow()
	}
	return a
}

// status records a difference unless a has the given status.
func (p *probe) status(what string, a answer, want int) {
	p.Helper()
	p.holds(a.status == want, what, fmt.Sprintf("status %d", want), fmt.Sprintf("status %d %s", a.status, a.text()))
}

// readJSON decodes the answer to GET path, which must be 200.
func readJSON[T any](p *probe, path string) T {
	p.Helper()
	var v T
	a := p.get(path)
	if a.status != 200 {
		p.differs("GET "+path, "status 200", fmt.Sprintf("status %d %s", a.status, a.text()))
		p.FailNow()
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		p.differs("GET "+path, "JSON", err.Error()+": "+a.text())
		p.FailNow()
	}
	return v
}

// mustBe ends the behaviour when a request of its preparation did not succeed.
func (p *probe) mustBe(what string, a answer, want int) {
	p.Helper()
	p.status(what, a, want)
	if a.status != want {
		p.FailNow()
	}
}
