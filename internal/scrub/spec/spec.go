// SPDX-License-Identifier: Apache-2.0

// Package spec holds what the recipe compiler and scrub say to each other: what a step has to reach, and what became of
// it.
//
// A Spec is one step as data. It names a goal ("none of these processes is there"), never a command, so that it can be
// planned, done twice, and judged by looking. A Result is what scrub found and did about it. Both travel as JSON; a
// reader refuses what it does not know, because a rule that an older scrub overlooks could have been the one that kept
// something alive.
//
// Nothing here touches the machine.
package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// Version is the version of specs and results that this package reads and writes.
const Version = 1

// Kind is the kind of a step: what it looks after. It is the name of its field in Goal.
type Kind string

// The kinds, in the order of Goal.
const (
	KindProcesses  Kind = "processes"
	KindContainers Kind = "containers"
	KindVMs        Kind = "vms"
	KindNetwork    Kind = "network"
	KindMounts     Kind = "mounts"
	KindLoops      Kind = "loops"
	KindFiles      Kind = "files"
	KindPackages   Kind = "packages"
	KindJournal    Kind = "journal"
	KindLogs       Kind = "logs"
	KindUsers      Kind = "users"
	KindCron       Kind = "cron"
	KindIPC        Kind = "ipc"
	KindDisk       Kind = "disk"
	KindPlace      Kind = "place"
	KindAccounts   Kind = "accounts"
	KindServices   Kind = "services"
	KindSysctl     Kind = "sysctl"
	KindModules    Kind = "modules"
	KindCommands   Kind = "commands"
	KindMount      Kind = "mount"
	KindKVM        Kind = "kvm"
	KindReach      Kind = "reach"
	KindTime       Kind = "time"
	KindEngine     Kind = "engine"
)

// Kinds returns all kinds in the order in which they run.
func Kinds() []Kind { return slices.Clone(kinds) }

// CleanKinds returns those of the clean phase: all up to the judgement of disks.
func CleanKinds() []Kind { return slices.Clone(kinds[:slices.Index(kinds, KindDisk)+1]) }

// Cleans reports whether k takes away what does not belong. Other kinds ask that something is there or is so: what
// they find is no residue.
func (k Kind) Cleans() bool { return !slices.Contains(kinds[len(CleanKinds()):], k) }

// judging are kinds that make nothing, in whatever phase.
var judging = []Kind{KindDisk, KindCommands, KindKVM, KindReach, KindTime}

// Judges reports whether k makes nothing: it proves that something is so.
func (k Kind) Judges() bool { return slices.Contains(judging, k) }

// NeedsRoot reports whether k looks after things that only root may see or change on an ordinary machine.
func (k Kind) NeedsRoot() bool { return slices.Contains(rootKinds, k) }

// rootKinds leave out what may well be the agent's own: its processes, its files, engines it has access to.
var rootKinds = []Kind{
	KindNetwork, KindMounts, KindLoops, KindPackages, KindJournal, KindLogs, KindUsers, KindCron, KindPlace, KindAccounts,
	KindServices, KindSysctl, KindModules, KindMount,
}

// Spec is one step. Exactly one of the fields named after kinds is set.
type Spec struct {
	Version int `json:"version"`
	// Name is the step's name in the recipe.
	Name  string    `json:"name"`
	Owned Ownership `json:"owned"`
	Goal
}

// Goal is what a step of one kind has to reach. Its fields stand in the order in which goals of the clean phase run,
// whatever the order of the recipe: who uses a thing goes before the thing.
type Goal struct {
	Processes  *Processes  `json:"processes,omitempty"`
	Containers *Containers `json:"containers,omitempty"`
	VMs        *VMs        `json:"vms,omitempty"`
	Network    *Network    `json:"network,omitempty"`
	Mounts     *Mounts     `json:"mounts,omitempty"`
	Loops      *Loops      `json:"loops,omitempty"`
	Files      *Files      `json:"files,omitempty"`
	Packages   *Packages   `json:"packages,omitempty"`
	Journal    *Journal    `json:"journal,omitempty"`
	Logs       *Logs       `json:"logs,omitempty"`
	Users      *Users      `json:"users,omitempty"`
	Cron       *Cron       `json:"cron,omitempty"`
	IPC        *IPC        `json:"ipc,omitempty"`
	Disk       *Disk       `json:"disk,omitempty"`
	// From here on nothing is taken away: these are for the setup and verify phases, where steps run as they stand.
	Place    *Place    `json:"place,omitempty"`
	Accounts *Accounts `json:"accounts,omitempty"`
	Services *Services `json:"services,omitempty"`
	Sysctl   *Sysctl   `json:"sysctl,omitempty"`
	Modules  *Modules  `json:"modules,omitempty"`
	Commands *Commands `json:"commands,omitempty"`
	Mount    *Mount    `json:"mount,omitempty"`
	KVM      *KVM      `json:"kvm,omitempty"`
	Reach    *Reach    `json:"reach,omitempty"`
	Time     *Time     `json:"time,omitempty"`
	Engine   *Engine   `json:"engine,omitempty"`
}

// kinds are the names of Goal's fields.
var kinds = func() []Kind {
	var all []Kind
	for f := range reflect.TypeFor[Goal]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		all = append(all, Kind(name))
	}
	return all
}()

// Kinds returns the kinds of which g has a goal, in the order in which they run.
func (g Goal) Kinds() []Kind {
	var there []Kind
	for i, v := range reflect.ValueOf(g).Fields() {
		if !v.IsNil() {
			there = append(there, kinds[i.Index[0]])
		}
	}
	return there
}

// Kind returns the kind of s, or "" if it has not exactly one.
func (s Spec) Kind() Kind {
	if kinds := s.Kinds(); len(kinds) == 1 {
		return kinds[0]
	}
	return ""
}

// Read reads one spec. It refuses unknown fields, another version, no or several goals, and ownership that Check
// refuses.
func Read(r io.Reader) (Spec, error) {
	d := json.NewDecoder(r)
	s, err := next(d)
	if err != nil {
		return Spec{}, fmt.Errorf("read spec: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Spec{}, errors.New("read spec: something follows it")
	}
	return s, nil
}

// ReadAll reads all specs that r holds one after the other, each as Read does.
func ReadAll(r io.Reader) ([]Spec, error) {
	d := json.NewDecoder(r)
	var all []Spec
	for d.More() {
		s, err := next(d)
		if err != nil {
			return nil, fmt.Errorf("read spec %d: %w", len(all)+1, err)
		}
		all = append(all, s)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read spec %d: it is no JSON object", len(all)+1)
	}
	return all, nil
}

func next(d *json.Decoder) (Spec, error) {
	var s Spec
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Spec{}, err
	}
	switch {
	case s.Version != Version:
		return Spec{}, fmt.Errorf("version %d; this scrub reads version %d", s.Version, Version)
	case s.Kind() == "":
		return Spec{}, fmt.Errorf("%d goals; want one", len(s.Kinds()))
	}
	if err := s.check(); err != nil {
		return Spec{}, err
	}
	if s.Containers != nil && s.Containers.Images != nil {
		for _, keep := range s.Containers.Images.Keep {
			if _, err := ParseReference(keep); err != nil {
				return Spec{}, fmt.Errorf("keep of images: %q: %w", keep, err)
			}
		}
	}
	if s.Files != nil {
		if err := s.Files.check(s.Owned); err != nil {
			return Spec{}, err
		}
	}
	if s.Place != nil {
		if err := s.Place.check(); err != nil {
			return Spec{}, err
		}
	}
	return s, errors.Join(s.Owned.Check()...)
}

// Encode returns s as one line of JSON, the same bytes for the same spec.
func (s Spec) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return nil, fmt.Errorf("encode spec %s: %w", s.Name, err)
	}
	return b.Bytes(), nil
}
