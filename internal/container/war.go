// SPDX-License-Identifier: Apache-2.0

package container

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Names of what a war has on disk: a directory of its own, with the home in it and a record of whose it is and which process it has.
const (
	warPrefix  = "pitcrew-controller-"
	recordFile = "owner.json"
)

// record is what a sweep needs to know.
type record struct {
	Owner   string `json:"owner"`
	Run     string `json:"run,omitempty"`
	Process string `json:"process,omitempty"` // java, when it was started
}

// war is a controller in a process of this machine.
type war struct {
	spec Spec
	tail *tail
	dir  string
	run  *child // nil until it was started
}

func newWar(s Spec, t *tail) *war { return &war{spec: s, tail: t} }

func (w *war) launch(ctx context.Context) (string, error) {
	java, err := exec.LookPath(w.spec.War.Java)
	if err != nil {
		return "", fmt.Errorf("find java: %w", err)
	}
	file, err := filepath.Abs(w.spec.War.File)
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil {
		return "", fmt.Errorf("look at war: %w", err)
	}
	host, port := w.spec.bound()
	if port, err = freePort(ctx, host, port); err != nil {
		return "", err
	}
	if err := w.makeDir(); err != nil {
		return "", err
	}
	url := root(reachable(host), port)
	advertised := w.spec.AdvertiseURL
	if advertised == "" {
		advertised = url
	}
	home := filepath.Join(w.dir, "home")
	if err := plant(home, w.spec.Seed.files(advertised)); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("start java: %w", context.Cause(ctx))
	}
	c := exec.Command(java, slices.Concat( //nolint:noctx // it outlives the start; remove ends it
		[]string{"-DJENKINS_HOME=" + home, "-Djenkins.install.runSetupWizard=false", "-Djava.awt.headless=true", "-Djava.io.tmpdir=" + filepath.Join(w.dir, "tmp")},
		w.spec.JavaOptions,
		[]string{"-jar", file, "--httpListenAddress=" + host, "--httpPort=" + port, "--webroot=" + filepath.Join(w.dir, "war")},
	)...)
	c.Dir, c.Env, c.Stdout, c.Stderr, c.WaitDelay = w.dir, w.environment(home), w.tail, w.tail, drainWithin
	if w.run, err = startChild(c); err != nil {
		return "", fmt.Errorf("start java: %w", err)
	}
	if err := w.record(w.run.process.String()); err != nil {
		return "", err
	}
	return url, nil
}

// makeDir makes the directory that only we can read, and says whose it is before anything else is in it.
func (w *war) makeDir() error {
	dir, err := filepath.Abs(w.spec.War.Dir)
	if err == nil {
		w.dir, err = os.MkdirTemp(dir, warPrefix)
	}
	if err != nil {
		return fmt.Errorf("make home of the controller: %w", err)
	}
	return errors.Join(w.record(""), os.Mkdir(filepath.Join(w.dir, "tmp"), 0o700))
}

func (w *war) record(process string) error {
	text, err := json.Marshal(record{Owner: w.spec.Owner.String(), Run: w.spec.Owner.Run, Process: process})
	file := filepath.Join(w.dir, recordFile)
	if err == nil {
		err = os.WriteFile(file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fmt.Errorf("record owner of the controller: %w", err)
	}
	return nil
}

// environment is little: whatever is in it can be read by all that runs in Jenkins.
func (w *war) environment(home string) []string {
	env := []string{"HOME=" + home, "LC_ALL=C.UTF-8", "TMPDIR=" + filepath.Join(w.dir, "tmp")}
	for _, name := range []string{"PATH", "JAVA_HOME", "TZ", "SystemRoot"} {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// plant writes the files of a seed into a home.
func plant(home string, files map[string][]byte) error {
	if err := os.Mkdir(home, 0o700); err != nil {
		return fmt.Errorf("make home of the controller: %w", err)
	}
	for name, text := range files {
		file := filepath.Join(home, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return fmt.Errorf("plant seed: %w", err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return fmt.Errorf("plant seed: %w", err)
		}
	}
	return nil
}

// freePort is one that nobody listens on now: the one that is wanted, or any if that is "". Somebody may before java does; see [errPortTaken].
func freePort(ctx context.Context, host, wanted string) (string, error) {
	address := net.JoinHostPort(host, cmp.Or(wanted, "0"))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case err != nil && wanted != "":
		return "", fmt.Errorf("%s is not free to listen on: %w", address, err)
	case err != nil:
		return "", fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

func (w *war) wait() error {
	how := w.run.wait()
	if w.tail.saw(portTaken) {
		return fmt.Errorf("%w: %w", errPortTaken, how)
	}
	return how
}

// remove kills java and all of its process group, and removes the directory.
func (w *war) remove(ctx context.Context) error {
	if w.run != nil {
		w.run.kill()
		select {
		case <-w.run.ended:
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of java: %w", context.Cause(ctx))
		}
	}
	if w.dir == "" {
		return nil
	}
	if err := os.RemoveAll(w.dir); err != nil {
		return fmt.Errorf("remove home of the controller: %w", err)
	}
	return nil
}

// emptyFor is how long a directory without a record stays: its owner may just be about to write that.
const emptyFor = time.Minute

// sweepHomes removes the homes of wars whose owner is dead, and ends their processes.
func sweepHomes(ctx context.Context, l Leftovers, me process, now time.Time) (removed []string, err error) {
	dir := l.Dir
	if dir == "" {
		dir = os.TempDir()
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("sweep homes of controllers: %w", err)
	}
	err = nil
	for _, entry := range entries {
		info, gone := entry.Info()
		if gone != nil || !strings.HasPrefix(entry.Name(), warPrefix) || !oursAlone(info) {
			continue // a name proves nothing: a record of somebody else's would have us kill what he likes
		}
		home := filepath.Join(dir, entry.Name())
		went, failed := sweepHome(ctx, home, l, me, now.Sub(info.ModTime()))
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("sweep %s: %w", home, failed))
		} else if went {
			removed = append(removed, "home "+home)
		}
	}
	return removed, err
}

func sweepHome(ctx context.Context, home string, l Leftovers, me process, age time.Duration) (went bool, err error) {
	text, err := os.ReadFile(filepath.Join(home, recordFile))
	if errors.Is(err, fs.ErrNotExist) && age > emptyFor {
		return os.Remove(home) == nil, nil // only if it is empty
	}
	var r record
	if err != nil || json.Unmarshal(text, &r) != nil || !l.goes(me.fateOf(parseProcess(r.Owner), true), age) {
		return false, nil //nolint:nilerr // what cannot be read cannot be judged, and stays
	}
	if java := parseProcess(r.Process); me.fateOf(java, true) == alive {
		if err := killGroup(ctx, java); err != nil {
			return false, err
		}
	}
	return true, os.RemoveAll(home)
}
