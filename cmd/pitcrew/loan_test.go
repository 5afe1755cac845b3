// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
)

// restarting is a daemon with one loan, which does not answer from one time to another.
type restarting struct {
	began    time.Time
	from, to time.Duration
	lasts    time.Duration
	signs    []time.Duration // of life that it got, after it began
	returned []string
}

func (d *restarting) away() error {
	at := time.Since(d.began)
	switch {
	case at >= d.from && at < (d.from+d.to)/2:
		return &client.UnreachableError{URL: "http://daemon.test", Err: errors.New("connection refused")}
	case at >= d.from && at < d.to:
		return &client.Error{Status: http.StatusServiceUnavailable}
	}
	return nil
}

func (d *restarting) answers(state string) (api.Loan, error) {
	return api.Loan{ID: "l1", State: state, Reason: "because"}, d.away()
}

func (d *restarting) Loan(context.Context, string) (api.Loan, error) {
	if time.Since(d.began) >= d.lasts {
		return d.answers("attached")
	}
	return d.answers("waiting")
}

func (d *restarting) RenewLoan(context.Context, string, api.LoanRenewal) (api.Loan, error) {
	l, err := d.answers("attached")
	if at := time.Since(d.began); at >= d.lasts {
		return l, &client.Error{Status: http.StatusConflict}
	} else if err == nil {
		d.signs = append(d.signs, at)
	}
	return l, err
}

func (d *restarting) ReturnLoan(_ context.Context, id, _ string) (api.Loan, error) {
	if id == "unknown" {
		return api.Loan{}, &client.Error{Status: http.StatusNotFound}
	}
	d.returned = append(d.returned, id)
	return api.Loan{ID: id, State: "returning"}, nil
}

func silentCLI(err *bytes.Buffer) *cli {
	return &cli{streams: streams{in: strings.NewReader(""), out: err, err: err}, getenv: func(string) string { return "" }, now: time.Now}
}

func TestALoanThatIsWatchedOutlivesARestartOfTheDaemon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		d := &restarting{began: time.Now(), from: 20 * time.Second, to: 80 * time.Second, lasts: 3 * time.Minute}
		if err := silentCLI(&said).keepLoan(t.Context(), d, api.Loan{ID: "l1", State: "attached"}); err != nil {
			t.Error(err)
		}
		if last := d.signs[len(d.signs)-1]; last < 170*time.Second {
			t.Errorf("the last sign of life came after %s", last)
		}
		if got := said.String(); strings.Count(got, "gets no sign of life") != 1 || !strings.Contains(got, "Loan l1 is ") {
			t.Errorf("it said %q", got)
		}
	})
}

func TestWhoWaitsForALoanWaitsForTheDaemonAsWell(t *testing.T) {
	t.Parallel()
	throughARestart(t, func(t *testing.T, c *cli, d *restarting) (well bool, err error) {
		t.Helper()
		loans, err := c.awaitLoans(t.Context(), d, []api.Loan{{ID: "l1", State: "waiting"}})
		return err == nil && loans[0].State == "attached", err
	})
}

// throughARestart waits for what a daemon has after 90 seconds, which does not answer in between: for a minute, which is to go well, and
// for good, which is to be an error in time.
func throughARestart(t *testing.T, wait func(*testing.T, *cli, *restarting) (well bool, err error)) {
	t.Helper()
	for name, tc := range map[string]struct {
		until time.Duration // that the daemon does not answer
		ok    bool
	}{"it restarts": {time.Minute, true}, "it does not come back": {time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var said bytes.Buffer
				d := &restarting{began: time.Now(), from: 20 * time.Second, to: tc.until, lasts: 90 * time.Second}
				if well, err := wait(t, silentCLI(&said), d); well != tc.ok || (err == nil) != tc.ok {
					t.Errorf("after %s: %t, %v; it said %q", time.Since(d.began), well, err, said.String())
				}
				if took := time.Since(d.began); took > 150*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// brief is a daemon whose loan ends three seconds after the newest sign of life, and in a minute anyway.
type brief struct {
	restarting
	last time.Time
}

func (d *brief) RenewLoan(context.Context, string, api.LoanRenewal) (api.Loan, error) {
	now := time.Now()
	if now.Sub(d.last) >= 3*time.Second || now.Sub(d.began) > time.Minute {
		return api.Loan{}, &client.Error{Status: http.StatusConflict}
	}
	d.last = now
	return api.Loan{ID: "l1", State: "attached", Ends: now.Add(3 * time.Second)}, nil
}

func TestALoanThatIsWatchedIsNeverSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		now := time.Now()
		d := &brief{restarting: restarting{began: now}, last: now}
		if err := silentCLI(&said).keepLoan(t.Context(), d, api.Loan{ID: "l1", State: "attached", Ends: now.Add(3 * time.Second)}); err != nil {
			t.Error(err)
		}
		if lasted := d.last.Sub(now); lasted < 59*time.Second {
			t.Errorf("it was silent after %s", lasted)
		}
	})
}

func TestWhoIsInterruptedIsToldWhatBecomesOfEachLoan(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	d := &restarting{began: time.Now()}
	_, err := silentCLI(&said).awaitLoans(ctx, d, []api.Loan{
		{ID: "l1", State: "attached", Controller: "ci", Agent: "el9-7"},
		{ID: "l2", State: "waiting"},
		{ID: "l3", State: "granted"},
		{ID: "l4", State: "failed"},
		{ID: "unknown", State: "waiting"},
	})
	if codeOf(err) != exitInterrupted || !strings.Contains(err.Error(), "loan unknown is not taken back: ") || !slices.Equal(d.returned, []string{"l2", "l3"}) {
		t.Errorf("returned were %q, %v", d.returned, err)
	}
	want := "Loan l1 goes on: the borrower has ci/el9-7. \"pitcrew loan return l1\" ends it.\nLoan l2 is taken back.\nLoan l3 is taken back.\n"
	if got := said.String(); got != want {
		t.Errorf("it said %q, want %q", got, want)
	}
}

func TestAWrongLoanKeepsNoOtherOnLoan(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	d := &restarting{}
	err := silentCLI(&said).returnLoans(t.Context(), d, []string{"l1", "unknown", "l2"}, "")
	if err == nil || !strings.Contains(err.Error(), `no loan "unknown"`) || !slices.Equal(d.returned, []string{"l1", "l2"}) {
		t.Errorf("returned were %q, %v", d.returned, err)
	}
}

func TestALoanWithoutAnEndShowsNone(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	if shown := silentCLI(&said).loanTable([]api.Loan{{ID: "l1", State: "waiting", Reason: "because"}}, true, 0); strings.Contains(shown, "0001") {
		t.Errorf("it shows\n%s", shown)
	}
}

// What goes on now is listed as a whole: a script that returns what is listed must not leave the rest on loan.
func TestAllLoansThatAreNotOverAreListed(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{"": "1000", "--all": "30", "--limit 7": "7", "--all --limit 200": "200"} {
		var got string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.URL.Query().Get("limit")
			fmt.Fprint(w, `{"items":[]}`)
		}))
		code, said := asked(t.Context(), server.URL, nil, append([]string{"loan", "list"}, strings.Fields(args)...)...)
		server.Close()
		if code != 0 || got != want {
			t.Errorf("loan list %s: it asked for %s, want %s (%s)", args, got, want, said)
		}
	}
}

// What a script makes of a variable that nobody has set is not any agent, nor any address.
func TestFlagsThatSayNothingAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"loan", "request", "--borrower", "lab", "--agent", "", "--pool="}, {"rehearse", "cleanup.yaml", "--image", "jenkins", "--bind", "", "--ref", ""},
	} {
		code, said := asked(t.Context(), "http://daemon.test", nil, args...)
		if want := map[string]string{"loan": "--agent, --pool", "rehearse": "--bind, --ref"}[args[0]]; code != exitUsage || said != "pitcrew: nothing is given with "+want+": give a value, or leave it out\n" {
			t.Errorf("%q: %d: %s", args, code, said)
		}
	}
}

func TestLessThanOneAgentIsNoRequest(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, -1} {
		if err := (&loanRequest{LoanRequest: api.LoanRequest{Count: n}}).complete(); err == nil || !strings.HasPrefix(err.Error(), "--count ") {
			t.Errorf("%d agents: %v", n, err)
		}
	}
}

// A file that is named and says nothing must not be taken for none: the request would be another one.
func TestAFileWithoutASecretIsNoRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, says string }{
		"empty": {" \n", "empty is empty"},
		"image": {strings.Repeat("x", mostOfFile+1), "image is larger than 64 KiB"},
		"long":  {strings.Repeat("x", mostOfFile), ""},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for flag, r := range map[string]*loanRequest{"--secret-file": {secretFile: file}, "--key": {key: file}} {
			r.Count = 1
			err := r.complete()
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.HasPrefix(err.Error(), flag+": ") || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%s %s: %v, want %q", flag, name, err, c.says)
			}
		}
		if err := (&loanRequest{LoanRequest: api.LoanRequest{Count: 1}, ca: file}).complete(); err == nil || !strings.HasPrefix(err.Error(), "--ca: "+file+": no certificate") {
			t.Errorf("--ca %s: %v", name, err)
		}
	}
}

func TestWhoseAnAccountIsIsToldWhenItIsKnown(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for want, l := range map[string]api.Loan{
		"ci-loan\n":                                  {ID: "l1", Account: "ci-loan"},
		"ci-loan, an account of its own\n":           {ID: "l1", Account: "ci-loan", Isolated: true, Attached: at},
		"jenkins, the account of the lender's agent": {ID: "l1", Account: "jenkins", Attached: at},
	} {
		var said bytes.Buffer
		if shown := silentCLI(&said).loan(&l); !strings.Contains(shown, want) {
			t.Errorf("it shows\n%s, want %q", shown, want)
		}
	}
}

// A loan is named by its number: of a long name of its agent some is enough on a terminal, and what is read by programs is whole.
func TestAListOfLoansFitsTheTerminal(t *testing.T) {
	t.Parallel()
	const agent = "el9-builder-0007.west.lab.example.org"
	loans := []api.Loan{
		{ID: "k3v9q2mxwd", Borrower: "staging", State: "attached", Controller: "production", Agent: agent, Since: noon, Reason: "online at the borrower as pitcrew-loan-7"},
		{ID: "a3v9q2mxwd", Borrower: "staging", State: "waiting", Since: noon, Reason: "asked for by ann"},
	}
	c := silentCLI(&bytes.Buffer{})
	c.now = func() time.Time { return noon.Add(time.Hour) }
	for line := range strings.Lines(c.loanTable(loans, false, 80)) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if got := c.loanTable(loans, false, 80); !strings.Contains(got, "production/el9-builder-0") || !strings.Contains(got, "  online at t…") {
		t.Errorf("what is left is\n%s", got)
	}
	for _, whole := range []string{c.loanTable(loans, false, 0), c.loanTable(loans, true, 0), c.loanTable(loans, false, 200)} {
		if !strings.Contains(whole, "production/"+agent+"  ") || !strings.Contains(whole, loans[0].Reason) {
			t.Errorf("there was room for all of\n%s", whole)
		}
	}
}
