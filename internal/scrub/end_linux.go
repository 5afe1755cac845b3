// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

const (
	// sweeps bounds how often the machine is looked at for what a dying process started.
	sweeps = 50
	// dying is how long a process may take to die of KILL.
	dying = 5 * time.Second
	// every is the pause between two looks at processes without a descriptor.
	every = 20 * time.Millisecond
)

// victim is a process that is to end. Its descriptor, where the kernel has such, is of this very process, whatever
// becomes of its number.
type victim struct {
	procfs.Stat
	fd int // -1 if there is none
}

// Mend asks the processes to end, and ends those that have not after the grace time. Those are stopped before they are
// killed, all that appeared meanwhile included: what is stopped cannot start another.
func (p *processes) Mend(ctx context.Context, found []Deviation) []error {
	var asked []victim
	for _, d := range found {
		asked = append(asked, p.victim(p.known[d.ID]))
	}
	for _, v := range asked {
		_ = p.signal(v, unix.SIGTERM)
		_ = p.signal(v, unix.SIGCONT)
	}
	p.await(ctx, asked, cmp.Or(p.goal.Grace.Duration(), defaultGrace))
	rest, thaw := p.stopAll(ctx)
	for _, v := range rest {
		_ = p.signal(v, unix.SIGKILL)
	}
	thaw() // a cgroup-v1 lets nothing die in the cold
	p.await(ctx, rest, dying)
	release(rest)
	errs := make([]error, len(asked))
	for i, v := range asked {
		errs[i] = p.alive(v)
	}
	release(asked)
	return errs
}

// victim takes hold of a process.
func (p *processes) victim(s procfs.Stat) victim {
	fd, err := unix.PidfdOpen(s.PID, 0)
	if err != nil {
		return victim{s, -1} // before Linux 5.3, or gone
	}
	return victim{s, fd}
}

func release(all []victim) {
	for _, v := range all {
		if v.fd >= 0 {
			_ = unix.Close(v.fd)
		}
	}
}

// signal sends a signal to v unless its number has been given to another process. Without a descriptor there is an
// instant between looking and sending; the kernel hands out all other numbers before it uses one again.
func (p *processes) signal(v victim, signal unix.Signal) error {
	if now, ok := p.proc.Stat(v.PID); !ok || now.Start != v.Start {
		return unix.ESRCH
	}
	if v.fd >= 0 {
		return unix.PidfdSendSignal(v.fd, signal, nil, 0)
	}
	return unix.Kill(v.PID, signal)
}

// stopAll stops every process that has to go, each as soon as it is seen, until a whole look finds no new one. Owned control
// groups are frozen in between; thaw ends that.
func (p *processes) stopAll(ctx context.Context) (all []victim, thaw func()) {
	thaw = func() {}
	leaving := map[int]bool{}
	stopped := map[[2]uint64]bool{}
	for sweep := range sweeps {
		j, err := p.judge()
		if err != nil || ctx.Err() != nil {
			break
		}
		fresh := false
		err = j.each(func(s procfs.Stat, l *leftover) {
			if l.stays != "" {
				return
			}
			if id := [2]uint64{uint64(s.PID), s.Start}; !stopped[id] { //nolint:gosec // numbers of processes are positive
				v := p.victim(s)
				_ = p.signal(v, unix.SIGSTOP) // what is gone already needs none, what refuses is named at the end
				stopped[id], fresh = true, true
				leaving[s.PID] = true
				all = append(all, v)
			}
		})
		if err != nil || !fresh {
			break
		}
		if sweep == 0 {
			thaw = freeze(p.owned.Cgroups, leaving)
		}
	}
	return all, thaw
}

// await returns when all have ended, or the limit or ctx has.
func (p *processes) await(ctx context.Context, all []victim, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pause := time.NewTicker(every)
	defer pause.Stop()
	for _, v := range all {
		for !p.ended(v) {
			if v.fd >= 0 && ctx.Err() == nil {
				continue // it has been waited for
			}
			select {
			case <-ctx.Done():
				return
			case <-pause.C:
			}
		}
	}
}

// ended reports whether v has ended; it waits a moment for one that it has a descriptor of.
func (p *processes) ended(v victim) bool {
	if v.fd < 0 {
		return p.gone(v)
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLIN}}, int(every.Milliseconds())) //nolint:gosec // descriptors are small
	return n > 0 && err == nil
}

func (p *processes) gone(v victim) bool {
	now, ok := p.proc.Stat(v.PID)
	return !ok || now.Start != v.Start || now.Zombie()
}

// alive returns why v is still there, nil if it is not.
func (p *processes) alive(v victim) error {
	if p.gone(v) {
		return nil
	}
	now, _ := p.proc.Stat(v.PID)
	err := p.signal(v, 0)
	switch {
	case errors.Is(err, unix.EPERM):
		uid, _ := p.proc.UID(now)
		return Final{fmt.Errorf("%s, state %c: it belongs to user %s, and this needs root", now.Name, now.State, p.users.name(uid))}
	case errors.Is(err, unix.ESRCH):
		return nil
	case err != nil:
		return err
	}
	why := fmt.Sprintf("%s survived KILL in state %c", now.Name, now.State)
	if uid, ok := p.proc.UID(now); ok {
		why = fmt.Sprintf("%s of user %s survived KILL in state %c", now.Name, p.users.name(uid), now.State)
	}
	if channel := p.proc.WaitChannel(v.PID); channel != "" {
		why += ", waiting in " + channel
	}
	return Final{errors.New(why)}
}
