// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// Options say what to show.
type Options struct {
	Seed   uint64
	Agents int           // of each controller; 1 to 200
	For    time.Duration // ends by itself then; 0 = when the context ends
	Listen string        // loopback address of the API and the page; "" = a free port of 127.0.0.1
	// Begun is told, once, where to look.
	Begun func(Where)
	// Tick is told how it goes, about once per second.
	Tick    func(Summary)
	Log     *slog.Logger
	Version api.Version
}

// Where is where to look at a running demo, and what there is to see.
type Where struct {
	Page, Jenkins, Dir string
	// Agents of each controller; Sick ones never become clean, Flaky ones fail now and then.
	Agents, Sick, Flaky int
	// Shell is set where shell does what scrub is for, because this pitcrew was built without it.
	Shell bool
}

const (
	minAgents = 1
	maxAgents = 200
)

// Check reports the first option that cannot be shown.
func (o Options) Check() error {
	if o.Agents < minAgents || o.Agents > maxAgents {
		return fmt.Errorf("%d agents: want %d to %d", o.Agents, minAgents, maxAgents)
	}
	if o.For < 0 {
		return fmt.Errorf("for %s: want a time above zero, or 0 to go on until interrupted", o.For)
	}
	return checkListen(o.Listen)
}

// checkListen refuses addresses that others can reach: the demo lets everybody give orders.
func checkListen(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen on %q: %w; want an address as 127.0.0.1:8080", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("listen on %q: want an address of this machine only, as 127.0.0.1:8080: the demo asks nobody for a token", address)
	}
	return nil
}

// Run shows the demo until ctx ends or Options.For is over, and returns what it showed. No process
// and no file of it is left behind.
func Run(ctx context.Context, o Options) (_ Summary, err error) {
	if err := o.Check(); err != nil {
		return Summary{}, err
	}
	if runtime.GOOS != "linux" {
		return Summary{}, errors.New("the demo needs Linux: its cleanup finds processes in /proc")
	}
	s, err := newShow(o)
	if err != nil {
		return Summary{}, err
	}
	defer func() { err = errors.Join(err, leaveNothing(s.dir, s.cookie)) }()
	if err := checkFree(ctx, o.Listen); err != nil {
		return Summary{}, err
	}
	return s.run(ctx)
}

// checkFree finds a taken address before anything is started. The daemon's own words for it speak
// of a configuration file, which people have none of here.
func checkFree(ctx context.Context, address string) error {
	if address == "" {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(context.WithoutCancel(ctx), "tcp", address)
	if err != nil {
		return fmt.Errorf("%w; choose another address, or none to get a free port", err)
	}
	return l.Close()
}

// makeDir makes the demo's directory. Its path has no symbolic link in it, because processes are
// told by the directory that they work in, and no character that means something to a shell or to
// YAML, because it stands in scripts.
func makeDir() (string, error) {
	dir, err := os.MkdirTemp("", "pitcrew-demo-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the demo: %w", err)
	}
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err == nil && !plain(path) {
		err = fmt.Errorf("path %q has a character that scripts would have to quote; set TMPDIR to another directory", path)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("make a directory for the demo: %w", err), os.Remove(dir))
	}
	return path, nil
}

func plain(path string) bool {
	for _, r := range path {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r > 127
		switch r {
		case '/', '-', '_', '.', ',', '+', '@', '=', '~':
		default:
			if !letter {
				return false
			}
		}
	}
	return true
}
