// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// brokenJar is an agent.jar that ends as soon as it is started.
func brokenJar(tb testing.TB) []byte {
	tb.Helper()
	var jar bytes.Buffer
	w := zip.NewWriter(&jar)
	manifest, err := w.Create("META-INF/MANIFEST.MF")
	if err == nil {
		_, err = manifest.Write([]byte("Manifest-Version: 1.0\r\nMain-Class: of.another.Version\r\n\r\n"))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return jar.Bytes()
}

// withJar is the borrower at another address, where it has an agent.jar of another version.
func (s *scene) withJar(jar []byte) (address string) {
	s.Helper()
	to, err := url.Parse(s.borrower.URL)
	s.must(err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, to.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/jnlpJars/agent.jar") {
			_, _ = w.Write(jar) // whoever has gone needs none
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	s.Cleanup(server.Close)
	return server.URL + to.Path
}

// borrower adds one that has a login, by its own address and token.
func (s *scene) lendsTo(name, address, token string) {
	s.Helper()
	s.write(name+".token", token)
	s.more += fmt.Sprintf("- name: %s\n  url: %s/\n  login: {user: %s, token: \"file:%s/%[1]s.token\"}\n", name, address, s.borrower.User, s.dir)
}

// ask asks for a loan without waiting for it.
func (s *scene) ask(arguments ...string) (id string) {
	s.Helper()
	return strings.TrimSpace(s.pitcrew(append([]string{"loan", "request", "--no-wait", "--for", "20m", "-o", "name"}, arguments...)...))
}

// TestALoanThatNeverComesAboutFailsAndTellsWhy has each cause on an agent of its own, all at once.
func TestALoanThatNeverComesAboutFailsAndTellsWhy(t *testing.T) {
	t.Parallel()
	s := lends(t)
	jar := brokenJar(t)
	sum := sha256.Sum256(jar)
	s.more = strings.Replace(s.more, "attach: 90s", "attach: 12s, agentJars: ["+hex.EncodeToString(sum[:])+"]", 1)
	s.lendsTo("older", s.withJar(jar), borrower.Token)
	s.lendsTo("stranger", borrower.URL, "11aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	own := func(node, secret string) []string {
		s.write(node+".secret", secret)
		return []string{"--borrower", "others", "--url", borrower.URL + "/", "--node", node, "--secret-file", filepath.Join(s.dir, node+".secret")}
	}
	misled, taken := borrower.Unique("misled"), borrower.Unique("taken")
	borrower.Node(s.ctx, s, testbed.NodeSpec{Name: misled, RemoteFS: "/tmp/" + misled})
	borrower.Agent(s.ctx, s, testbed.NodeSpec{Name: taken})
	secret, err := borrower.Secret(s.ctx, taken)
	s.must(err)
	cases := []struct {
		name, cause string
		why         []string // is told, each in other words
		to          []string
	}{
		{"the secret is wrong", "not attached", []string{"its agent program said"}, own(misled, strings.Repeat("0123456789abcdef", 4))},
		{"another agent has the name", "not attached", []string{"its agent program said"}, own(taken, secret)},
		{"the agent program is of another version", "not attached", []string{"it never connected", "of.another.Version"}, []string{"--borrower", "older"}},
		{"the borrower refuses the login", "refused", []string{"401"}, []string{"--borrower", "stranger"}},
	}
	agents := make([]*testbed.Agent, len(cases))
	for i := range agents {
		agents[i] = s.agent(fmt.Sprintf("-%d", i), "CLEANABLE")
	}
	s.serve()
	loans, before := make([]string, len(cases)), make([]int, len(cases))
	for i, a := range agents {
		s.awaitLabels(a, "CLEANABLE CLEAN")
		before[i] = s.cleanups(a)
	}
	for i, c := range cases {
		loans[i] = s.ask(append(c.to, "--agent", agents[i].Name)...)
	}
	for i, c := range cases {
		l := s.awaitLoan(loans[i], "failed")
		failed := s.told(agents[i], "loan.failed", 1)[0]
		show := strings.Join(strings.Fields(s.pitcrew("loan", "show", l.ID)), " ")
		for _, why := range c.why {
			if !strings.Contains(failed.Reason, why) || !strings.Contains(show, why) {
				t.Errorf("%s: told is %q, want %q; the command line says\n%s", c.name, failed.Reason, why, show)
			}
		}
		if l.Cause != c.cause || !strings.Contains(show, "Ended by "+c.cause) || !l.Attached.IsZero() || l.NodeLeft {
			t.Errorf("%s: it is %+v", c.name, l)
		}
		s.awaitLabels(agents[i], "CLEANABLE CLEAN")
		if n := s.cleanups(agents[i]) - before[i]; n != 1 {
			t.Errorf("%s: the agent was cleaned %d times since", c.name, n)
		}
		s.clear(l)
	}
}

// agentProgram is the process of the agent program that a loan has started.
func (s *scene) agentProgram(l api.Loan) (pid int) {
	s.Helper()
	if pid = s.findProgram(l); pid == 0 {
		s.Fatalf("loan %s has no agent program", l.ID)
	}
	return pid
}

func (s *scene) hasProgram(l api.Loan) bool {
	s.Helper()
	return s.findProgram(l) != 0
}

func (s *scene) findProgram(l api.Loan) (pid int) {
	s.Helper()
	for _, file := range bearing("PITCREW_LOAN=" + l.ID) {
		text, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline")) // it may have ended
		if strings.Contains(string(text), "\x00-noReconnect\x00") {
			one, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			s.must(err)
			return one
		}
	}
	return 0
}

// parent is the process that has started another.
func (s *scene) parent(pid int) (parent int) {
	s.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	s.must(err)
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	parent, err = strconv.Atoi(fields[1])
	s.must(err)
	return parent
}

// TestAProgramOfALoanThatIsKilledEndsIt kills the borrowed agent program, and on another agent what holds it there. What the borrower's
// builds have left ends with the loan in either case.
func TestAProgramOfALoanThatIsKilledEndsIt(t *testing.T) {
	t.Parallel()
	s := lends(t)
	victims := map[*testbed.Agent]func(api.Loan) int{
		s.agent("-program", "CLEANABLE"): s.agentProgram,
		s.agent("-holder", "CLEANABLE"):  func(l api.Loan) int { return s.parent(s.agentProgram(l)) },
	}
	s.serve()
	loans, before := map[*testbed.Agent]api.Loan{}, map[*testbed.Agent]int{}
	for a, victim := range victims {
		s.awaitLabels(a, "CLEANABLE CLEAN")
		before[a] = s.cleanups(a)
		loans[a] = s.awaitLoan(s.ask("--borrower", "staging", "--agent", a.Name), "attached")
		s.leave(loans[a])
		s.must(syscall.Kill(victim(loans[a]), syscall.SIGKILL))
	}
	for a, l := range loans {
		l = s.awaitLoan(l.ID, "cleaned")
		if returning := s.events(a, "loan.returning")[0]; l.Cause != "aborted" {
			t.Errorf("%s: it ended by %q: %s", a.Name, l.Cause, returning.Reason)
		}
		if got := s.nodeAt(l); got != 404 {
			t.Errorf("%s: its node at the borrower answers %d", a.Name, got)
		}
		s.awaitLabels(a, "CLEANABLE CLEAN")
		if n := s.cleanups(a) - before[a]; n != 1 {
			t.Errorf("%s was cleaned %d times since", a.Name, n)
		}
		s.clear(l)
	}
}

// straggler leaves a file in its workspace and a process that Jenkins does not end.
const straggler = `#!/bin/sh -e
BUILD_ID=dontKillMe setsid sh -c 'echo here >left; exec sleep 600' >/dev/null 2>&1 </dev/null &
while [ ! -s left ]; do sleep 0.1; done
`

// leave has a build of the borrower leave something behind on the agent of a loan.
func (s *scene) leave(l api.Loan) {
	s.Helper()
	name := s.borrower.Unique("job")
	s.borrower.Job(s.ctx, s, name, fmt.Sprintf(realJob, escaped(`"`+l.Node+`"`), escaped(straggler)))
	s.borrower.Post(s.ctx, s, testbed.JobPath(name)+"/build?delay=0sec", nil)
	s.await("the end of a build on the loan", func() bool {
		a, err := s.borrower.Send(s.ctx, testbed.Request{Method: "GET", Path: testbed.JobPath(name) + "/1/api/json?tree=result"})
		s.must(err)
		return strings.Contains(a.Body, "SUCCESS")
	})
}
