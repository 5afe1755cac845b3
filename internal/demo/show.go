// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-ci/pitcrew/internal/app"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// show is one run of the demo.
type show struct {
	Options
	dir, cookie string
	clean       string // how the recipe cleans: byScrub or byShell
	fleet       []agentPlan
	out, in     *track // out of band, in band
	app         *app.App
	began       time.Time
	cleanups    cleanups
}

// The agents of both controllers have the same names; these marks keep their processes apart.
const (
	outMark = ".out-of-band"
	inMark  = ".in-band"
)

func newShow(o Options) (*show, error) {
	dir, err := makeDir()
	if err != nil {
		return nil, err
	}
	return &show{Options: o, dir: dir, cookie: rand.Text(), clean: cleaning(), fleet: plannedFleet(o.Agents)}, nil
}

// run shows it. What it started has ended when it returns, but for processes that escaped their
// build, and the directory is still there.
func (s *show) run(ctx context.Context) (_ Summary, err error) {
	defer func() { err = errors.Join(err, s.closeTracks()) }()
	if err := s.open(ctx); err != nil {
		if ctx.Err() != nil {
			return Summary{Agents: s.Agents}, nil // ended before there was anything to show
		}
		return Summary{}, err
	}
	s.began = time.Now()
	if s.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, s.began.Add(s.For))
		defer cancel()
	}
	if s.Begun != nil {
		s.Begun(s.where())
	}
	return s.play(ctx)
}

// play runs the daemon beside the orders. The daemon ends last, so that the last summary is whole.
func (s *show) play(ctx context.Context) (Summary, error) {
	g, alive := errgroup.WithContext(context.WithoutCancel(ctx))
	serving, stop := context.WithCancel(alive)
	defer stop()
	g.Go(func() error { return s.app.Run(serving) })
	var last Summary
	g.Go(func() (err error) {
		defer stop()
		last, err = s.follow(ctx, alive)
		return err
	})
	err := g.Wait()
	return last, err
}

// follow opens the fleet to users once it is in service, gives both controllers the same orders at the same times, and
// tells how it goes, until ctx ends. It returns the last summary. When alive ends first, the daemon's error says why.
func (s *show) follow(ctx, alive context.Context) (Summary, error) {
	next := trace(s.Seed, s.fleet)
	o := next()
	var opened time.Time
	var due <-chan time.Time // of the order o, once the fleet is open
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-alive.Done():
			return Summary{}, nil
		case <-ctx.Done():
			return s.summary(alive)
		case <-due:
			if err := errors.Join(s.out.place(o), s.in.place(o)); err != nil {
				return Summary{}, err
			}
			o = next()
			due = time.After(time.Until(opened.Add(o.at)))
		case now := <-ticker.C:
			sum, err := s.tick(alive)
			if err != nil {
				return Summary{}, err
			}
			if opened.IsZero() && (sum.Clean >= s.healthy() || now.Sub(s.began) >= s.patience()) {
				opened = now
				due = time.After(o.at)
			}
		}
	}
}

// healthy is the number of agents that nothing keeps from becoming clean at once.
func (s *show) healthy() int {
	n := 0
	for _, a := range s.fleet {
		if !a.sick && !a.flaky {
			n++
		}
	}
	return n
}

// patience is how long users are kept out at most: they come to a fleet that is in service, and not while all of its
// agents are cleaned for the first time.
func (s *show) patience() time.Duration {
	const most = 20 * time.Second
	if s.For > 0 {
		return min(most, s.For/2)
	}
	return most
}

func (s *show) tick(ctx context.Context) (Summary, error) {
	sum, err := s.summary(ctx)
	if err != nil && ctx.Err() == nil {
		return sum, err
	}
	if err == nil && s.Tick != nil {
		s.Tick(sum)
	}
	return sum, nil
}

func (s *show) where() Where {
	w := Where{Page: "http://" + s.app.Addr().String() + "/", Jenkins: s.out.url, Dir: s.dir, Agents: s.Agents, Shell: s.clean == byShell}
	for _, a := range s.fleet {
		switch {
		case a.sick:
			w.Sick++
		case a.flaky:
			w.Flaky++
		}
	}
	return w
}

// open starts both controllers and sets the daemon up.
func (s *show) open(ctx context.Context) error {
	outDir, inDir := filepath.Join(s.dir, "out-of-band"), filepath.Join(s.dir, "in-band")
	if err := errors.Join(os.Mkdir(outDir, 0o700), os.Mkdir(inDir, 0o700)); err != nil {
		return fmt.Errorf("make the demo's directories: %w", err)
	}
	recipeFile := filepath.Join(s.dir, "recipe.yaml")
	if _, err := writeRecipe(recipeFile, filepath.Join(outDir, "own"), s.cookie+outMark, s.clean); err != nil {
		return err
	}
	first, err := s.inBandStep(filepath.Join(inDir, "own"))
	if err != nil {
		return err
	}
	s.out, err = newTrack(ctx, trackSpec{
		root: outDir, cookie: s.cookie + outMark, seed: s.Seed, fleet: s.fleet,
		labels: hygiene.DefaultNames.Cleanable, wants: hygiene.DefaultNames.Clean + " && ",
	})
	if err != nil {
		return err
	}
	s.in, err = newTrack(ctx, trackSpec{root: inDir, cookie: s.cookie + inMark, seed: s.Seed, fleet: s.fleet, first: first})
	if err != nil {
		return err
	}
	return s.openApp(ctx, recipeFile)
}

// inBandStep compiles the recipe for the other controller and returns the lines by which a job
// cleans its agent itself. Where that fails the build has failed, and its order waits no longer.
func (s *show) inBandStep(dir string) (string, error) {
	program, err := writeRecipe(filepath.Join(s.dir, "in-band.yaml"), dir, s.cookie+inMark, s.clean)
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, "in-band.sh")
	if err := os.WriteFile(path, program.Text, 0o600); err != nil {
		return "", fmt.Errorf("write the in-band program: %w", err)
	}
	return `sh ` + path + ` --by-hand --agent "$NODE_NAME" || { echo ` + failedFirst + ` >"` + filepath.Join(dir, "first") + `/$ORDER"; exit 1; }`, nil
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
