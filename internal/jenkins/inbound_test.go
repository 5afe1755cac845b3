// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// hidden stands for a secret that a controller tells.
const hidden = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2"

// file is an agent's file with these arguments.
func file(arguments ...string) string {
	return "<jnlp><application-desc><argument>" + strings.Join(arguments, "</argument><argument>") + "</argument></application-desc></jnlp>"
}

func TestTheSecretOfAnAgentIsInNoError(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"refused with it":         answering(403, file(hidden, "a"), "X-Error", hidden),
		"broken with it":          answering(500, "<h1>Oops</h1><p>"+hidden, "Content-Type", "text/html"),
		"another agent's":         answering(200, file(hidden, "b")),
		"without a name":          answering(200, file(hidden)),
		"cut off":                 answering(200, "<jnlp><application-desc><argument>"+hidden),
		"with a broken entity":    answering(200, "<jnlp><application-desc><argument>&"+hidden+";</argument>"),
		"in a character set":      answering(200, `<?xml version="1.0" encoding="`+hidden+`"?>`+file("x", "a")),
		"a page":                  answering(200, "<html>"+hidden, "Content-Type", "text/html"),
		"too large":               answering(200, hidden+strings.Repeat(" ", maxAgentFile)),
		"not one":                 answering(200, file("@"+hidden, "a")),
		"moved":                   answering(302, hidden, "Location", "/elsewhere?secret="+hidden),
		"not found, both of them": answering(404, file(hidden, "a")),
	} {
		var seen []Call
		c := clientWith(t, Options{User: "pit", Token: fixed(canary), Observe: func(call Call) { seen = append(seen, call) }}, answer)
		secret, err := c.AgentSecret(t.Context(), "a")
		if err == nil || secret != "" {
			t.Errorf("%s: %q and %v, want an error alone", name, secret, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, seen, err); strings.Contains(text, hidden[:16]) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestTheAgentProgramIsAnArchiveOfBoundedSize(t *testing.T) {
	t.Parallel()
	var asked journal
	jar := "PK\x03\x04 rest"
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		asked.add(r)
		answering(200, jar)(w, r)
	})
	if got, err := c.AgentJar(t.Context()); string(got) != jar || err != nil || asked.String() != "GET /jenkins/jnlpJars/agent.jar" {
		t.Errorf("%q, %v after %s", got, err, asked.String())
	}
	jar = "<html>sign in"
	if _, err := c.AgentJar(t.Context()); KindOf(err) != KindPermanent {
		t.Errorf("a page: %v", err)
	}
	jar = "PK\x03\x04" + strings.Repeat("x", maxAgentJar)
	if got, err := c.AgentJar(t.Context()); !errors.Is(err, ErrTooLarge) || got != nil {
		t.Errorf("too large: %d bytes, %v", len(got), err)
	}
}

func TestAPasswordParameterIsInNoAddressAndNoError(t *testing.T) {
	t.Parallel()
	params := map[string]string{"PITCREW_NONCE": hidden, "LONGER": hidden + "-and-more", "PITCREW_ATTEMPT": "17"}
	for _, upload := range []*File{nil, {Param: "P", Name: "p"}} {
		var calls []Call
		c := clientWith(t, Options{User: "pit", Token: fixed(canary), Observe: func(call Call) { calls = append(calls, call) }},
			func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.String(), hidden) || r.PostFormValue("PITCREW_NONCE") != hidden {
					t.Errorf("asked for %s", r.URL)
				}
				answering(400, "<p>17 is no value for "+r.FormValue("LONGER")+", "+hidden+"</p>", "Content-Type", "text/html")(w, r)
			})
		_, err := c.Build(t.Context(), "app", params, upload)
		text := fmt.Sprintf("%v %+v", err, calls)
		if err == nil || strings.Contains(text, hidden) || strings.Contains(text, "-and-more") || !strings.Contains(text, "17 is no value") {
			t.Errorf("%s", text)
		}
	}
}
