// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/app"
	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Options say what to show.
type Options struct {
	Seed   uint64
	Agents int           // of each controller; 1 to 200
	For    time.Duration // ends by itself then; 0 = when the context ends
	Listen string        // of the API and the page; "" = a free port of 127.0.0.1
	// Begun is told, once, where to look.
	Begun func(Where)
	// Tick is told how it goes, about once per second.
	Tick    func(Summary)
	Log     *slog.Logger
	Version api.Version
}

// Where is where to look at a running demo.
type Where struct {
	Page, Jenkins, Dir string
}

// setupSeconds is how long the recipe's setup step takes.
const setupSeconds = "1.5"

// The agents of both controllers have the same names; these marks keep their processes apart.
const (
	outMark = ".out-of-band"
	inMark  = ".in-band"
)

const (
	minAgents = 1
	maxAgents = 200
)

// Run shows the demo until ctx ends or Options.For is over, and returns what it showed. No process
// and no file of it is left behind.
func Run(ctx context.Context, o Options) (_ Summary, err error) {
	if o.Agents < minAgents || o.Agents > maxAgents {
		return Summary{}, fmt.Errorf("%d agents: want %d to %d", o.Agents, minAgents, maxAgents)
	}
	if runtime.GOOS != "linux" {
		return Summary{}, errors.New("the demo needs Linux: its cleanup finds processes in /proc")
	}
	dir, err := os.MkdirTemp("", "pitcrew-demo-")
	if err != nil {
		return Summary{}, fmt.Errorf("make a directory for the demo: %w", err)
	}
	cookie := rand.Text()
	defer func() { err = errors.Join(err, leaveNothing(dir, cookie)) }()
	s := &show{Options: o, dir: dir, cookie: cookie}
	return s.run(ctx)
}

// show is one run of the demo.
type show struct {
	Options
	dir, cookie string
	out, in     *track // out of band, in band
	app         *app.App
	began       time.Time
}

func (s *show) run(ctx context.Context) (Summary, error) {
	if s.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.For)
		defer cancel()
	}
	if err := s.open(ctx); err != nil {
		return Summary{}, errors.Join(err, s.closeTracks())
	}
	s.began = time.Now()
	if s.Begun != nil {
		s.Begun(Where{Page: "http://" + s.app.Addr().String() + "/", Jenkins: s.out.url, Dir: s.dir})
	}
	g, ctx := errgroup.WithContext(ctx)
	var last Summary
	g.Go(func() error { return s.app.Run(ctx) })
	g.Go(func() error { return s.drive(ctx) })
	g.Go(func() error {
		var err error
		last, err = s.watch(ctx)
		return err
	})
	err := g.Wait()
	return last, errors.Join(err, s.closeTracks())
}

// open starts both controllers and sets the daemon up.
func (s *show) open(ctx context.Context) error {
	fleet := plannedFleet(s.Agents)
	outDir, inDir := filepath.Join(s.dir, "out-of-band"), filepath.Join(s.dir, "in-band")
	if err := errors.Join(os.Mkdir(outDir, 0o700), os.Mkdir(inDir, 0o700)); err != nil {
		return fmt.Errorf("make the demo's directories: %w", err)
	}
	recipeFile := filepath.Join(s.dir, "recipe.yaml")
	if _, err := writeRecipe(recipeFile, filepath.Join(outDir, "own"), s.cookie+outMark, setupSeconds); err != nil {
		return err
	}
	prefix, err := s.inBandPrefix(filepath.Join(inDir, "own"))
	if err != nil {
		return err
	}
	if s.out, err = newTrack(ctx, outDir, "clean && %s", "", s.cookie+outMark, s.Seed, fleet, "cleanable"); err != nil {
		return err
	}
	if s.in, err = newTrack(ctx, inDir, "%s", prefix, s.cookie+inMark, s.Seed, fleet, ""); err != nil {
		return err
	}
	return s.openApp(ctx, recipeFile)
}

// inBandPrefix compiles the recipe for the other controller and returns the lines by which a job
// cleans its agent itself, as its first step.
func (s *show) inBandPrefix(dir string) (string, error) {
	program, err := writeRecipe(filepath.Join(s.dir, "in-band.yaml"), dir, s.cookie+inMark, setupSeconds)
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, "in-band.sh")
	if err := os.WriteFile(path, program.Text, 0o600); err != nil {
		return "", fmt.Errorf("write the in-band program: %w", err)
	}
	return "sh '" + path + "' --by-hand --agent \"$NODE_NAME\" || exit 1", nil
}

// settings of the demo's daemon: short times, so that something is to be seen.
const demoConfig = `version: 1
data: %s
owner: demo
api: {listen: "%s"}
log: {level: warn}
controllers:
- name: demo
  url: %s
  user: %s
  token: file:%s
  poll: 1s
  buildFeedEvery: 20s
  maxCleanups: %d
  requests: {perSecond: 1000}
recipes:
- {name: demo, file: %s}
pools:
- name: el7
  agents: el7
  recipe: demo
  backoff: {first: 3s, max: 15s}
  quarantine: {after: 3, nextLook: 10m}
  capacityFloor: 0
- name: el8
  agents: el8
  recipe: demo
  backoff: {first: 3s, max: 15s}
  quarantine: {after: 3, nextLook: 10m}
  capacityFloor: 0
- name: s390x
  agents: s390x
  recipe: demo
  backoff: {first: 3s, max: 15s}
  quarantine: {after: 3, nextLook: 10m}
  capacityFloor: 0
`

func (s *show) openApp(ctx context.Context, recipeFile string) error {
	listen := s.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	path, token := filepath.Join(s.dir, "pitcrew.yaml"), filepath.Join(s.dir, "token")
	if err := os.WriteFile(token, []byte(s.cookie+outMark+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the demo's token: %w", err)
	}
	text := fmt.Sprintf(demoConfig, filepath.Join(s.dir, "data"), listen, s.out.url, userName, token, max(2, s.Agents/2), recipeFile)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	holder, err := config.NewHolder(path)
	if err != nil {
		return fmt.Errorf("the demo's configuration: %w", err)
	}
	s.app, err = app.New(ctx, app.Options{
		Config: holder, Log: s.Log, Version: s.Version, Anonymous: store.Operator,
	})
	return err
}

func (s *show) closeTracks() error {
	var err error
	for _, t := range []*track{s.out, s.in} {
		if t != nil {
			err = errors.Join(err, t.close())
		}
	}
	return err
}

// drive gives both controllers the same orders at the same times.
func (s *show) drive(ctx context.Context) error {
	next := trace(s.Seed, s.Agents)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		o := next()
		timer.Reset(time.Until(s.began.Add(o.at)))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := errors.Join(s.out.place(o), s.in.place(o)); err != nil {
			return err
		}
	}
}

// watch computes the summary once per second, and the last one at the end.
func (s *show) watch(ctx context.Context) (Summary, error) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var sum Summary
	for {
		select {
		case <-ctx.Done():
			return sum, nil
		case <-ticker.C:
		}
		now, err := s.summary(ctx)
		if ctx.Err() != nil {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		sum = now
		if s.Tick != nil {
			s.Tick(sum)
		}
	}
}
