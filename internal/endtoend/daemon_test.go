// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// daemon is `pitcrew serve` in a process of its own.
type daemon struct {
	*client.Client
	command *exec.Cmd
	ended   chan struct{}
	log     *journal
}

// journal is the log of a daemon.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// serve starts the daemon. It is stopped at the end of the test, and must end well; the
// jobs that it made are removed then.
func (s *scene) serve() {
	s.Helper()
	s.configure()
	s.Cleanup(s.removeJobs)
	s.startDaemon()
}

func (s *scene) startDaemon() {
	s.Helper()
	s.daemon = s.startFrom("pitcrew.yaml")
}

// startFrom starts a daemon with a configuration file of the scene. It takes the token of the scene's own.
func (s *scene) startFrom(file string) *daemon {
	s.Helper()
	d := &daemon{ended: make(chan struct{}), log: &journal{}}
	all := append(slices.Clone(s.under), program, "serve", "-c", s.file(file))
	d.command = exec.Command(all[0], all[1:]...)
	d.command.Stderr = d.log
	s.must(d.command.Start())
	go func() {
		defer close(d.ended)
		_ = d.command.Wait() // the status is read from ProcessState
	}()
	s.Cleanup(func() {
		s.stopDaemon(d)
		if s.Failed() {
			s.Logf("the daemon said:\n%s", d.log)
		}
	})
	s.await("the daemon serves", func() bool { return d.address() != "" || d.gone() })
	if d.gone() {
		s.Fatalf("the daemon ended: %s", d.log)
	}
	token, err := os.ReadFile(filepath.Join(s.dir, "data", "admin.token"))
	s.must(err)
	d.Client, err = client.New(client.Options{URL: "http://" + d.address(), Token: strings.TrimSpace(string(token))})
	s.must(err)
	return d
}

// stopDaemon stops the daemon as a service manager does.
func (s *scene) stopDaemon(d *daemon) {
	s.Helper()
	if d.gone() {
		return
	}
	_ = d.command.Process.Signal(syscall.SIGTERM) // it may just have ended
	select {
	case <-d.ended:
	case <-time.After(patience):
		_ = d.command.Process.Kill()
		<-d.ended
	}
	if !d.command.ProcessState.Success() {
		s.Errorf("the daemon ended with %s:\n%s", d.command.ProcessState, d.log)
	}
}

func (d *daemon) gone() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// address is where the daemon listens, "" before it does.
func (d *daemon) address() string {
	for line := range strings.Lines(d.log.String()) {
		var entry struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "pitcrew serves" {
			return entry.Address
		}
	}
	return ""
}

// pitcrew runs a command against the daemon, as a person does.
func (s *scene) pitcrew(arguments ...string) string {
	s.Helper()
	return s.pitcrewAs(filepath.Join(s.dir, "data", "admin.token"), arguments...)
}

// pitcrewAs is that with the token in a file.
func (s *scene) pitcrewAs(token string, arguments ...string) string {
	s.Helper()
	arguments = append(arguments, "--server", "http://"+s.daemon.address(), "--token-file", token)
	out, err := exec.CommandContext(s.ctx, program, arguments...).CombinedOutput()
	if err != nil {
		s.Fatalf("pitcrew %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

// removeJobs removes the slots and the owner's mark that the daemon made.
func (s *scene) removeJobs() {
	root := testbed.Read[struct{ Jobs []struct{ Name string } }](s.cleanupContext(), s, s.controller, "/api/json?tree=jobs[name]")
	for _, j := range root.Jobs {
		if strings.HasPrefix(j.Name, s.name+"-slot-") || strings.HasPrefix(j.Name, s.name+"-loan-") || j.Name == s.name+"-owner" {
			s.controller.Post(s.cleanupContext(), s, testbed.JobPath(j.Name)+"/doDelete", nil)
		}
	}
}

// life is what the API knows of an agent.
func (s *scene) life(a *testbed.Agent) api.AgentDetail {
	s.Helper()
	detail, err := s.daemon.Agent(s.ctx, "ci", a.Name)
	if client.IsNotFound(err) {
		return api.AgentDetail{}
	}
	s.must(err)
	return detail
}

// events are those of an agent, newest first.
func (s *scene) events(a *testbed.Agent, kinds ...string) []api.Event {
	s.Helper()
	var found []api.Event
	for e, err := range s.daemon.Events(s.ctx, api.EventQuery{EventSelect: api.EventSelect{Controller: "ci", Agent: a.Name, Type: kinds}}) {
		s.must(err)
		found = append(found, e)
	}
	return found
}

// told waits until there are n events of a kind about an agent, and returns them.
func (s *scene) told(a *testbed.Agent, kind string, n int) []api.Event {
	s.Helper()
	var found []api.Event
	s.await(kind+" of "+a.Name, func() bool {
		found = s.events(a, kind)
		return len(found) >= n
	})
	return found
}

// polled waits until the daemon has looked at the agent anew, twice.
func (s *scene) polled(a *testbed.Agent) {
	s.Helper()
	for range 2 {
		last := s.life(a).Decided
		s.await("another poll", func() bool { return s.life(a).Decided.After(last) })
	}
}

// contaminated are the URLs of the builds that are reported as such.
func (s *scene) contaminated() []string {
	s.Helper()
	var urls []string
	for b, err := range s.daemon.Builds(s.ctx, api.BuildQuery{Controller: "ci", Contaminated: true}) {
		s.must(err)
		urls = append(urls, b.URL)
	}
	slices.Sort(urls)
	return urls
}
