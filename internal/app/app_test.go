// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/app"
	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// daemon is an app that runs in this process.
type daemon struct {
	*app.App
	t     *testing.T
	url   string
	stop  context.CancelFunc
	ended chan error
	log   *logBuffer
}

// logBuffer keeps what is logged, at every level.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	news *signal // nil where nobody waits for lines
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.news != nil {
		b.news.raise()
	}
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// new sets a daemon up, and returns why that fails.
func (s *site) new(log io.Writer) (*app.App, error) {
	holder, err := config.NewHolder(s.path("pitcrew.yaml"))
	if err != nil {
		return nil, err
	}
	return app.New(s.t.Context(), app.Options{
		Config: holder, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
}

// run runs a daemon until the test ends, or end is called.
func (s *site) run() *daemon {
	s.t.Helper()
	d := &daemon{t: s.t, ended: make(chan error, 1), log: &logBuffer{}}
	var err error
	d.App, err = s.new(d.log)
	must(s.t, err)
	d.url = "http://" + d.Addr().String()
	var ctx context.Context
	ctx, d.stop = context.WithCancel(context.Background())
	go func() { d.ended <- d.Run(ctx) }()
	s.t.Cleanup(func() {
		d.end()
		if s.t.Failed() {
			s.t.Logf("the daemon said:\n%s", d.log)
		}
	})
	return d
}

func (d *daemon) end() {
	d.t.Helper()
	if d.stop == nil {
		return
	}
	d.stop()
	d.stop = nil
	if err := <-d.ended; err != nil {
		d.t.Errorf("the daemon ended with %v", err)
	}
}

// committed waits until the store holds n events of a type.
func (d *daemon) committed(kind hygiene.EventType, n int) []hygiene.Event {
	d.t.Helper()
	news, stop := d.Store().WatchEvents()
	defer stop()
	ctx, cancel := context.WithTimeout(d.t.Context(), waitLimit)
	defer cancel()
	for {
		events, err := d.Store().Events(ctx, store.EventFilter{Types: []hygiene.EventType{kind}, Limit: 1000})
		must(d.t, err)
		if len(events) >= n {
			return events
		}
		select {
		case <-news:
		case <-ctx.Done():
			d.t.Fatalf("%d events %s, want %d", len(events), kind, n)
		}
	}
}

// get asks the API, as the bearer of the first token.
func (d *daemon) get(path string) (int, string) {
	d.t.Helper()
	return d.ask(http.MethodGet, path, "")
}

func (d *daemon) ask(method, path, body string) (int, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, strings.NewReader(body))
	must(d.t, err)
	token, err := os.ReadFile(filepath.Join(filepath.Dir(d.Store().Path()), app.TokenFile))
	must(d.t, err)
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	must(d.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(d.t, err)
	return resp.StatusCode, string(text)
}

func TestWhatIsWrongAtTheStartIsSaidWithWhatToDo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil func(*site)
		want  []string
	}{
		"the port is in use": {func(s *site) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(s.t, err)
			s.t.Cleanup(func() { _ = l.Close() })
			s.edit("127.0.0.1:0", l.Addr().String())
		}, []string{"listen on 127.0.0.1:", "in use", "change api.listen"}},
		"the data directory cannot be made": {func(s *site) {
			s.write("data", "a file")
		}, []string{"make data directory", "set data in the configuration"}},
		"the database is none": {func(s *site) {
			must(s.t, os.Mkdir(s.path("data"), 0o700))
			s.write("data/pitcrew.db", strings.Repeat("not a database ", 1000))
		}, []string{"pitcrew.db"}},
		"the recipe is bad": {func(s *site) {
			s.write("recipe.yaml", "version: 1\nname: test\nclean:\n  - name: sweep\n    runs: true\n")
		}, []string{"recipe test", "recipe.yaml:5", "runs"}},
		"the recipe is missing": {func(s *site) {
			must(s.t, os.Remove(s.path("recipe.yaml")))
		}, []string{"recipe test", "no such file"}},
		"the certificate is none": {func(s *site) {
			s.write("c.pem", "nothing")
			s.edit("api:", "api:\n  tls: {cert: c.pem, key: c.pem}")
		}, []string{"api.tls", "c.pem"}},
		"the configuration has a mistake": {func(s *site) {
			s.edit("poll: 100ms", "pole: 100ms")
		}, []string{"pitcrew.yaml:", "pole", "poll"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, siteSpec{})
			test.spoil(s)
			a, err := s.new(t.Output())
			if err == nil {
				_ = a
				t.Fatal("it started")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestADataDirectoryThatOthersMayWriteToIsSaid(t *testing.T) {
	t.Parallel()
	for mode, said := range map[os.FileMode]bool{0o777: true, 0o770: true, 0o755: false} {
		s := newSite(t, siteSpec{})
		must(t, os.Mkdir(s.path("data"), 0o700))
		must(t, os.Chmod(s.path("data"), mode))
		d := s.run()
		if got := strings.Contains(d.log.String(), "others may write to the data directory"); got != said {
			t.Errorf("mode %o: said %t, want %t", mode, got, said)
		}
		d.end()
	}
}

func TestTheFirstTokenIsForTheDaemonsUserAlone(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*site){
		"in a directory that others may read": func(*site) {},
		"in the place of one that others may read": func(s *site) {
			must(s.t, os.WriteFile(s.path("data/"+app.TokenFile), []byte("of an earlier database"), 0o600))
			must(s.t, os.Chmod(s.path("data/"+app.TokenFile), 0o644)) // whatever the umask is
		},
	} {
		s := newSite(t, siteSpec{})
		must(t, os.Mkdir(s.path("data"), 0o700))
		must(t, os.Chmod(s.path("data"), 0o755))
		prepare(s)
		d := s.run()
		info, err := os.Stat(s.path("data/" + app.TokenFile))
		must(t, err)
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s: its mode is %o", name, mode)
		}
		if status, text := d.get("/api/v1/doctor"); status != http.StatusOK {
			t.Errorf("%s: it is answered with %d: %s", name, status, text)
		}
		d.end()
	}
}

func TestASecondDaemonOnTheSameFileIsToldWhoHoldsIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{})
	s.run()
	_, err := s.new(t.Output())
	locked, ok := errors.AsType[*store.LockedError](err)
	if !ok || locked.PID != os.Getpid() || locked.Owner != "test" {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("%q does not name the process", err)
	}
}

func TestADaemonEndsWellInTheMiddleOfACleanup(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{})
	d := s.run()
	d.committed(hygiene.EventClaimed, 1)
	d.end()
	d = s.run()
	d.committed(hygiene.EventGranted, 1)
	d.end() // goleak looks at what is left when all tests are over
	s.legal()
}

func TestADaemonForgetsWhatIsOlderThanItsRetention(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{config: func(text string) string { return text + "retention: {events: 30d}\n" }})
	must(t, os.Mkdir(s.path("data"), 0o700))
	db := s.open()
	for _, days := range []time.Duration{31, 29} {
		must(t, db.Append(t.Context(), time.Now().Add(-days*24*time.Hour), hygiene.Event{
			Type: hygiene.EventMarked, Actor: "pitcrew", Subject: "ci/linux-7", Reason: fmt.Sprintf("%d days ago", days),
		}))
	}
	must(t, db.Close())
	d := s.run()
	ticker := time.NewTicker(20 * time.Millisecond) // nothing tells of it but the log
	defer ticker.Stop()
	for limit := time.After(waitLimit); !strings.Contains(d.log.String(), `msg="old history was removed" events=1 `); {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatal("nothing was removed")
		}
	}
	if left := d.committed(hygiene.EventMarked, 1); len(left) != 1 || left[0].Reason != "29 days ago" {
		t.Errorf("it kept %+v", left)
	}
}

func TestAReloadOfABadConfigurationOrRecipeKeepsTheOldOneWhole(t *testing.T) {
	t.Parallel()
	bad := map[string]func(*site){
		"the configuration is bad": func(s *site) { s.edit("poll: 100ms", "pole: 100ms") },
		"the recipe is bad": func(s *site) {
			s.edit("poll: 100ms", "poll: 7s") // which must not take effect either
			s.write("recipe.yaml", "version: 1\nname: test\nclean:\n  - run: x\n    runs: y\n")
		},
		"a second controller cannot be": func(s *site) {
			s.edit("poll: 100ms", "poll: 7s")
			s.edit("recipes:", "- name: second\n  url: https://second.example.org/\n  user: x\n  token: env:NOWHERE\n  tls: {ca: /no/such/file}\nrecipes:")
		},
	}
	for name, spoil := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, siteSpec{})
			d := s.run()
			d.committed(hygiene.EventGranted, 1)
			before := d.Config.Current()
			_, shown := d.get("/api/v1/controllers")
			spoil(s)
			if err := d.Reload(t.Context(), "ann"); err == nil {
				t.Error("the reload succeeded")
			}
			if d.Config.Current() != before {
				t.Error("another configuration is in effect")
			}
			if _, now := d.get("/api/v1/controllers"); !sameControllers(now, shown) {
				t.Errorf("the controllers were\n%s\nand are\n%s", shown, now)
			}
			d.committed(hygiene.EventConfig, 1)
			s.jenkins.SaveLabels("linux-7", "cleanable el7", "ann") // asks for a cleanup
			d.committed(hygiene.EventGranted, 2)
		})
	}
}

// sameControllers compares what does not change from poll to poll.
func sameControllers(a, b string) bool {
	return strings.Count(a, `"name"`) == strings.Count(b, `"name"`) && strings.Contains(a, `7s`) == strings.Contains(b, `7s`)
}

func TestAReloadTakesWhatIsNew(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{})
	d := s.run()
	d.committed(hygiene.EventGranted, 1)
	s.write("recipe.yaml", strings.Replace(siteRecipe, "left-over", "other-left-over", 2))
	must(t, d.Reload(t.Context(), "ann"))
	must(t, d.Reload(t.Context(), "ann"))
	var said []string
	for _, e := range d.committed(hygiene.EventConfigTaken, 2) {
		said = append(said, e.Reason)
	}
	if diff := cmp.Diff([]string{"new revisions of recipes: test", "nothing changed, and no recipe"}, said); diff != "" {
		t.Errorf("what the reloads said (-want +got):\n%s", diff)
	}
	s.jenkins.SaveLabels("linux-7", "cleanable el7", "ann")
	d.committed(hygiene.EventGranted, 2)
	attempts, err := d.Store().Attempts(t.Context(), store.AttemptFilter{})
	must(t, err)
	if attempts[0].Revision == attempts[1].Revision {
		t.Error("the new recipe was not used")
	}

	// A changed connection ends one crew and begins another, on the same controller.
	s.write("second-token", siteToken)
	s.edit("/token", "/second-token")
	must(t, d.Reload(t.Context(), "ann"))
	s.jenkins.SaveLabels("linux-7", "cleanable el7", "ann")
	d.committed(hygiene.EventGranted, 3)

	// No controller, and back again.
	text, err := os.ReadFile(s.path("pitcrew.yaml"))
	must(t, err)
	from, to := strings.Index(string(text), "controllers:"), strings.Index(string(text), "recipes:")
	s.write("pitcrew.yaml", string(text[:from])+string(text[to:]))
	must(t, d.Reload(t.Context(), "ann"))
	if _, metrics := d.get("/metrics"); strings.Contains(metrics, "_timestamp_seconds{controller=") || strings.Contains(metrics, "pitcrew_agents{") {
		t.Errorf("an alarm about the age of a controller that is not serviced any more would never end:\n%s", metrics)
	}
	if _, agents := d.get("/api/v1/agents"); !strings.Contains(agents, "its controller is not in the configuration any more") {
		t.Errorf("the list of agents does not say that nobody services them:\n%s", agents)
	}
	s.write("pitcrew.yaml", string(text))
	must(t, d.Reload(t.Context(), "ann"))
	s.jenkins.SaveLabels("linux-7", "cleanable el7", "ann")
	d.committed(hygiene.EventGranted, 4)
	d.end()
	s.legal()
	for _, line := range []string{"recipes=[test]", "pitcrew ends", "pitcrew has ended"} {
		if !strings.Contains(d.log.String(), line) {
			t.Errorf("the log does not say %q", line)
		}
	}
}
