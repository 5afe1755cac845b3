// SPDX-License-Identifier: Apache-2.0

package container

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// Labels of our containers.
const (
	ownerLabel = "io.github.pitcrew-ci.ephemeral.owner"
	runLabel   = "io.github.pitcrew-ci.ephemeral.run"
)

// Owner is the process that a controller belongs to: it has no right to live on when that is dead. Make it with [Self].
type Owner struct {
	Run     string // says to people what it is for, and decides nothing
	process process
}

// process names a process so that no other one, of whatever time, has the same name. On systems but Linux only the PID is known.
type process struct {
	machine string // digest of its id
	boot    string // of the kernel
	space   string // PID namespace; its number is good for one boot
	pid     int
	start   uint64 // clock ticks since the boot
}

// Self is the process that calls, with a name for what it does.
func Self(run string) Owner { return Owner{Run: run, process: self()} }

// String is the value of the label.
func (o Owner) String() string { return o.process.String() }

func (p process) String() string {
	return fmt.Sprintf("%s/%s/%s/%d/%d", p.machine, p.boot, p.space, p.pid, p.start)
}

// parseProcess reads what String wrote; anything else is nobody.
func parseProcess(label string) process {
	fields := strings.Split(label, "/")
	if len(fields) != 5 {
		return process{}
	}
	p := process{machine: fields[0], boot: fields[1], space: fields[2]}
	if _, err := fmt.Sscanf(fields[3]+" "+fields[4], "%d %d", &p.pid, &p.start); err != nil || p.String() != label {
		return process{}
	}
	return p
}

// fate is what can be told of an owner.
type fate int

const (
	unknown fate = iota // of another machine, another PID namespace, or not ours at all
	alive
	dead
)

// fateOf judges an owner. here says that what it owns lies on this machine for sure: a socket can lead to the engine of another one whose id
// is the same, as clones have it.
func (p process) fateOf(owner process, here bool) fate {
	switch {
	case owner.pid <= 0 || owner.start == 0 || owner.boot == "" || p.boot == "":
		return unknown
	case owner.boot != p.boot && here && owner.machine != "" && owner.machine == p.machine:
		return dead // the machine was started anew since
	case owner.boot != p.boot || owner.space != p.space || owner.space == "":
		return unknown
	}
	if start, runs := startOf(owner.pid); runs && start == owner.start {
		return alive
	}
	return dead
}

// machineID tells machines apart without giving their id away, as machine-id(5) asks.
func machineID() string {
	for _, file := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if id, err := os.ReadFile(file); err == nil && len(strings.TrimSpace(string(id))) >= 32 {
			sum := sha256.Sum256([]byte("pitcrew " + strings.TrimSpace(string(id))))
			return hex.EncodeToString(sum[:8])
		}
	}
	return ""
}
