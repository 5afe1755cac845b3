// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
)

// asked runs a command against a server; only what it says about trouble is returned.
func asked(ctx context.Context, server string, env map[string]string, args ...string) (code int, said string) {
	var out, errs bytes.Buffer
	c := &cli{streams: streams{in: strings.NewReader(""), out: &out, err: &errs}, now: time.Now, getenv: func(name string) string {
		if name == envServer {
			return server
		}
		return env[name]
	}}
	return c.run(ctx, args), errs.String()
}

// What can only be a slip is said as one, and nobody is asked.
func TestSlipsInTheConnectionAreToldAsSuch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token string
		flags []string
		says  string
	}{
		"a time without unit":    {"", []string{"--timeout", "5"}, "unit missing: write 5s, 5m, 5h or 5d"},
		"a time below zero":      {"", []string{"--timeout", "-5s"}, `"--timeout"`},
		"no time":                {"", []string{"--timeout", "0s"}, `"--timeout"`},
		"an address without how": {"", []string{"--server", "127.0.0.1:8473"}, "want http://host:port"},
		"half of two tokens":     {"canary\ncanary", nil, envToken + " holds no token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, said := asked(t.Context(), "http://127.0.0.1:1", map[string]string{envToken: c.token}, append([]string{"agents"}, c.flags...)...)
			if code != exitUsage || !strings.Contains(said, c.says) || strings.Contains(said, "canary") {
				t.Errorf("exit code %d, want %d with %q in %q", code, exitUsage, c.says, said)
			}
		})
	}
}

func TestTroubleSaysWhatToDo(t *testing.T) {
	t.Parallel()
	answer := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body)) // the client may be gone
		}
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		env    map[string]string
		flags  []string
		code   int
		says   []string
	}{
		{
			"a token is wanted", answer(http.StatusUnauthorized, "application/problem+json", `{"status":401,"detail":"this needs a token"}`), nil, nil,
			exitDenied,
			[]string{"wants a token: set PITCREW_TOKEN, or give --token-file FILE"},
		},
		{
			"the token is refused", answer(http.StatusUnauthorized, "application/problem+json", `{"status":401,"detail":"nobody knows this token"}`),
			map[string]string{envToken: "canary"},
			nil,
			exitDenied,
			[]string{"does not know the token from PITCREW_TOKEN"},
		},
		{
			"the role is too low", answer(http.StatusForbidden, "application/problem+json", `{"status":403,"detail":"this needs the role admin; x has the role viewer"}`), nil, nil,
			exitDenied,
			[]string{"this needs the role admin; x has the role viewer", "with that role: pitcrew token create NAME --role ROLE"},
		},
		{
			"the request is wrong", answer(http.StatusUnprocessableEntity, "application/problem+json", `{"status":422,"detail":"no","errors":[{"message":"never closed","location":"query.labels"}]}`), nil, nil,
			exitUsage,
			[]string{"pitcrew: --labels: never closed"},
		},
		{
			"the daemon has trouble", answer(http.StatusInternalServerError, "application/problem+json", `{"status":500,"detail":"its log says why"}`), nil, nil,
			exitFailed,
			[]string{"its log says why"},
		},
		{
			"a proxy answers", answer(http.StatusBadGateway, "text/html", "<h1>Bad gateway</h1>"), nil, nil,
			exitFailed,
			[]string{"answered 502 Bad Gateway"},
		},
		{
			"something else listens there", answer(http.StatusOK, "text/html", "<h1>Hello</h1>"), nil, nil,
			exitFailed,
			[]string{"read answer of GET /agents"},
		},
		{
			"no answer in time", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil,
			[]string{"--timeout", "50ms"},
			exitNoReach,
			[]string{"within 50ms", "--timeout waits longer"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.answer)
			defer server.Close()
			code, said := asked(t.Context(), server.URL, c.env, append([]string{"agents"}, c.flags...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(said, want) {
					t.Errorf("want %q in %q", want, said)
				}
			}
			if strings.Contains(said, "canary") {
				t.Errorf("the token is shown: %q", said)
			}
		})
	}
}

// What the daemon refuses is named as it was typed.
func TestARefusalNamesTheFlagThatWasTyped(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"body.to.key": "--key", "body.to.kind": "--to", "body.to.url": "--url", "body.to.ca": "--ca", "body.to.labels": "--node-labels", "body.want.labels": "--labels",
		"body.want.agent": "--agent", "body.want.pool": "--pool", "body.want.wait": "--wait", "body.node": "--node", "body.secret": "--secret-file",
		"body.borrower": "--borrower", "body.count": "--count", "body.for": "--for", "body.config": "config", "body.to.controller": "to.controller", "body": "", "": "",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprintf(w, `{"status":422,"detail":"no","errors":[{"message":"is wrong","location":%q}]}`, field)
		}))
		code, said := asked(t.Context(), server.URL, nil, "loan", "request", "--borrower", "lab")
		server.Close()
		if want = strings.TrimPrefix(want+": is wrong", ": "); code != exitUsage || said != "pitcrew: "+want+"\n" {
			t.Errorf("%s: it ended with %d and said %q, want %q", field, code, said, want)
		}
	}
}

func TestEachOfSeveralRefusalsNamesTheFlag(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"status":422,"detail":"no","errors":[{"message":"is too long","location":"body.reason"}]}`)
	}))
	defer server.Close()
	if _, said := asked(t.Context(), server.URL, nil, "loan", "return", "l1", "l2", "-r", "x"); said != "pitcrew: --reason: is too long\n--reason: is too long\n" {
		t.Errorf("it says %q", said)
	}
}

// A rehearsal puts what the daemon refuses into its report, and other words around it: that is no reason to name what nobody has typed.
func TestARefusalThatIsQuotedNamesTheFlagThatWasTyped(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"status":422,"detail":"no","errors":[{"message":"is too long","location":"body.want.wait"}]}`)
	}))
	defer server.Close()
	c := silentCLI(&bytes.Buffer{})
	var o connection
	var wait time.Duration
	cmd := &cobra.Command{}
	cmd.Flags().DurationVar(&wait, "wait", 0, "")
	o.flags(cmd, usualTimeout)
	o.server = server.URL
	d, err := c.connect(&o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&deskOf{daemon: d}).Request(t.Context(), rehearsal.Ask{})
	if got := fmt.Sprintf("borrow: %v", err); got != "borrow: --wait: is too long" {
		t.Errorf("it says %q", got)
	}
}

// What a rehearsal asks for in the name of its user is named by the flags of rehearse.
func TestARefusalOfALoanNamesTheFlagsOfARehearsal(t *testing.T) {
	t.Parallel()
	cmd := silentCLI(&bytes.Buffer{}).rehearseCommand()
	for field, want := range map[string]string{
		"body.want.wait": "--wait", "body.for": "--for", "body.ttl": "--ttl", "body.borrower": "--borrower", "query.borrower": "--borrower",
		"body.to.url": "--advertise-url", "body.to.ca": "--controller-ca", "body.want.agent": "want.agent", "body.node": "node", "body": "",
	} {
		if got := typed(cmd, field); got != want {
			t.Errorf("%s is called %q, want %q", field, got, want)
		}
	}
	if err := cmd.Flags().Set("controller-url", "https://ci@jenkins.test/"); err != nil {
		t.Fatal(err)
	}
	if got := typed(cmd, "body.to.url"); got != "--controller-url" {
		t.Errorf("the address that was given is called %q", got)
	}
}

func TestInterruptedCommandsEndWith130(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel() // Ctrl-C while the daemon thinks
		<-r.Context().Done()
	}))
	defer server.Close()
	if code, said := asked(ctx, server.URL, nil, "agents"); code != exitInterrupted || said != "" {
		t.Errorf("exit code %d, said %q", code, said)
	}
}

func TestInterruptedWaitSaysThatTheCleanupGoesOn(t *testing.T) {
	t.Parallel()
	f := newFakeDaemon(t)
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs bytes.Buffer
	f.onLook(agentDetail, 2, cancel)
	code := f.run(ctx, streams{in: strings.NewReader(""), out: &out, err: &errs}, nil, "clean", "el9-1", "--wait")
	if code != exitInterrupted || !strings.Contains(errs.String(), "the cleanup goes on") {
		t.Errorf("exit code %d, said %q", code, errs.String())
	}
}

func TestATokenIsNotSentInClearToAnotherMachine(t *testing.T) {
	t.Parallel()
	token := map[string]string{envToken: "canary"}
	accepted := map[string]string{envToken: "canary", envPlain: "true"}
	dir := t.TempDir()
	file := filepath.Join(dir, "here.yaml")
	if err := os.WriteFile(file, []byte("version: 1\ndata: "+dir+"\napi: {listen: 192.0.2.1:9}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server  string
		env     map[string]string
		flags   []string
		refused bool
	}{
		"by http":                               {"http://192.0.2.1:9", token, nil, true},
		"by http to a name":                     {"http://pitcrew.invalid", token, nil, true},
		"by http, accepted by the flag":         {"http://192.0.2.1:9", token, []string{"--plain-http"}, false},
		"by http, accepted by the environment":  {"http://192.0.2.1:9", accepted, nil, false},
		"by https":                              {"https://192.0.2.1:9", token, nil, false},
		"without a token":                       {"http://192.0.2.1:9", nil, nil, false},
		"to this machine":                       {"http://127.8.9.1:9", token, nil, false},
		"to this machine, by IPv6":              {"http://[::1]:9", token, nil, false},
		"to the address of this machine's file": {"", token, []string{"-c", file}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // nothing is sent in either case
			code, said := asked(ctx, c.server, c.env, append([]string{"pauses"}, c.flags...)...)
			if got := code == exitUsage && strings.Contains(said, "could be read on the way"); got != c.refused {
				t.Errorf("refused: %v, want %v; code %d, said %q", got, c.refused, code, said)
			}
		})
	}
}

// The daemon's own token must not be sent to whoever is named on the command line.
func TestLocalTokenIsForTheLocalDaemonOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var sent []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"items":[]}`)) // the client may be gone
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write(tokenName, "secret\n")
	here := write("here.yaml", "version: 1\ndata: "+dir+"\napi: {listen: "+address+"}\n")
	elsewhere := write("elsewhere.yaml", "version: 1\ndata: "+dir+"\napi: {listen: 127.0.0.1:1}\n")
	asked(t.Context(), "", nil, "pauses", "-c", here)
	asked(t.Context(), server.URL, nil, "pauses", "-c", elsewhere)
	if len(sent) != 2 || sent[0] != "Bearer secret" || sent[1] != "" {
		t.Errorf("sent %q", sent)
	}
}
