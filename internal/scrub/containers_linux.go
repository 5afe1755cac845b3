// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/dockerapi"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// containers takes what is owned out of the container engines of the machine.
type containers struct {
	goal  spec.Containers
	owned spec.Ownership
	keeps []spec.Reference // of the goal's policy for images
	usual []string         // the sockets to look for if the goal names none
	self  func() dwelling
	now   func() time.Time
	notes []string
	// silent are engines that did not answer in time: they are not asked again.
	silent map[string]error
	// told is what engines had at the last look at which they answered, by their sockets.
	told map[string][]Deviation
	// known is how to remove what the last look found, by the key of its deviation.
	known map[string]removing
}

// removing is how one thing goes. Things of one wave do not need each other; waves go one after the other.
type removing struct {
	wave int
	do   func(context.Context) error
}

func newContainers(s spec.Spec, _ Here) Step {
	c := &containers{
		goal: *s.Containers, owned: s.Owned, usual: usualSockets(), self: selfInContainers, now: time.Now,
		silent: map[string]error{}, told: map[string][]Deviation{}, known: map[string]removing{},
	}
	if c.goal.Images != nil {
		for _, keep := range c.goal.Images.Keep {
			r, _ := spec.ParseReference(keep) // spec.Read has refused what is none
			c.keeps = append(c.keeps, r)
		}
	}
	return c
}

// usualSockets are where engines listen: Docker, Podman as root, Podman of the user that we are.
func usualSockets() []string {
	all := []string{"/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"}
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), fmt.Sprintf("/run/user/%d", os.Getuid())} {
		if filepath.IsAbs(dir) {
			all = append(all, filepath.Join(dir, "podman/podman.sock"), filepath.Join(dir, "docker.sock"))
		}
	}
	return all
}

// Notes returns remarks on what the last look saw and leaves alone.
func (c *containers) Notes() []string { return c.notes }

// Look asks each engine for what it has. An engine that does not tell does not keep the others from being cleaned.
func (c *containers) Look(ctx context.Context) ([]Deviation, error) {
	sockets, err := c.sockets()
	if err != nil {
		return nil, err
	}
	c.notes = nil
	clear(c.known)
	var found []Deviation
	barred := 0
	for _, socket := range sockets {
		things, err := c.lookAt(ctx, socket)
		_, told := c.told[socket]
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("%w, and the engine at %s has not answered", stopped(ctx), socket)
		case errors.Is(err, fs.ErrPermission) && len(c.goal.Sockets) == 0 && !told:
			barred++
			c.notes = append(c.notes, fmt.Sprintf("the engine at %s does not serve this user; it is left alone", socket))
		case err != nil:
			found = append(found, Deviation{Residue: spec.Residue{Kind: "engine", ID: socket}, Stays: err.Error()})
			found = append(found, c.untold(socket)...)
		default:
			var there []Deviation
			for _, t := range things {
				there = append(there, c.deviation(t, socket, len(sockets) > 1))
			}
			c.told[socket] = there
			found = append(found, there...)
		}
	}
	if barred == len(sockets) {
		return nil, Absent{Reason: "no container engine serves this user: not allowed to use " + strings.Join(sockets, ", ")}
	}
	return found, nil
}

// untold is what an engine had before it ceased to answer. That it does not show it any more proves nothing.
func (c *containers) untold(socket string) []Deviation {
	all := slices.Clone(c.told[socket])
	for i := range all {
		all[i].Stays = "whether it is gone is not known: the engine does not tell any more"
	}
	return all
}

// deviation makes what is found known by a name that tells it from that of another engine.
func (c *containers) deviation(t inmate, socket string, several bool) Deviation {
	t.ID = shown(t.ID)
	if several {
		t.ID = socket + ": " + t.ID
	}
	d := Deviation{Residue: t.Residue}
	c.known[d.key()] = removing{t.wave, t.remove}
	return d
}

// sockets returns those that exist, each engine once: one may have several names.
func (c *containers) sockets() ([]string, error) {
	wanted := c.goal.Sockets
	if len(wanted) == 0 {
		wanted = c.usual
	}
	var there []string
	var seen []identity
	for _, socket := range wanted {
		var s unix.Stat_t
		err := unix.Stat(socket, &s)
		id := identity{uint64(s.Dev), s.Ino} //nolint:unconvert // 32 bits on some platforms
		_, told := c.told[socket]
		switch {
		case err != nil && told: // an engine that was there at an earlier look
			there = append(there, socket)
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
		case errors.Is(err, fs.ErrPermission) && len(c.goal.Sockets) == 0: // of a directory of somebody else
		case err != nil:
			return nil, fmt.Errorf("look at %s: %w", socket, err)
		case !slices.Contains(seen, id):
			seen = append(seen, id)
			there = append(there, socket)
		}
	}
	if len(there) == 0 {
		return nil, Absent{Reason: "no container engine is here: none of the sockets " + strings.Join(wanted, ", ") + " exists"}
	}
	return there, nil
}

// lookAt returns what is to go of one engine.
func (c *containers) lookAt(ctx context.Context, socket string) ([]inmate, error) {
	if err := c.silent[socket]; err != nil {
		return nil, err
	}
	things, err := c.ask(ctx, socket)
	if errors.Is(err, dockerapi.ErrSilent) {
		c.silent[socket] = err
	}
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		err = errors.New("nobody listens at the socket: start the engine, or remove the socket if there is none any more")
	}
	return things, err
}

func (c *containers) ask(ctx context.Context, socket string) ([]inmate, error) {
	engine, err := dockerapi.Open(ctx, socket)
	if err != nil {
		return nil, err
	}
	s := stock{containers: c, engine: engine, socket: socket, details: map[string]dockerapi.Details{}}
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	return s.judge(ctx)
}

// hands are how many things are removed at once.
const hands = 4

// Mend removes in waves what was found.
func (c *containers) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	waves := map[int][]int{}
	for i, d := range found {
		wave := c.known[d.key()].wave
		waves[wave] = append(waves[wave], i)
	}
	for _, wave := range slices.Sorted(maps.Keys(waves)) {
		var group sync.WaitGroup
		free := make(chan struct{}, hands)
		for _, i := range waves[wave] {
			free <- struct{}{}
			group.Go(func() {
				defer func() { <-free }()
				errs[i] = c.remove(ctx, found[i])
			})
		}
		group.Wait()
	}
	return errs
}

func (c *containers) remove(ctx context.Context, d Deviation) error {
	r, ok := c.known[d.key()]
	if !ok || ctx.Err() != nil {
		return ctx.Err()
	}
	return r.do(ctx)
}
