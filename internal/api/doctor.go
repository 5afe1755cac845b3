// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// Doctor is everything that a support engineer would ask for. It holds no secrets.
type Doctor struct {
	At          time.Time          `json:"at"`
	Version     Version            `json:"version"`
	Started     time.Time          `json:"started"`
	Platform    string             `json:"platform" example:"linux/amd64"`
	Process     DoctorProcess      `json:"process"`
	Store       DoctorStore        `json:"store"`
	Health      Health             `json:"health"`
	Counts      Counts             `json:"counts"`
	Alerts      []Alert            `json:"alerts"`
	Pools       []Pool             `json:"pools"`
	Pauses      []Pause            `json:"pauses"`
	Controllers []DoctorController `json:"controllers"`
}

// DoctorProcess is the daemon as its machine sees it.
type DoctorProcess struct {
	Host       string `json:"host"`
	PID        int    `json:"pid"`
	UID        int    `json:"uid"`
	CPUs       int    `json:"cpus"`
	Goroutines int    `json:"goroutines"`
	HeapBytes  uint64 `json:"heap_bytes"`
}

// DoctorStore is the daemon's memory.
type DoctorStore struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes" doc:"Its log of writes included"`
	Epoch  string `json:"epoch" doc:"Changes when a backup is restored"`
	Starts int64  `json:"starts" doc:"How often it was opened"`
}

// DoctorController is a controller with what is wrong there.
type DoctorController struct {
	ControllerState
	Session  string    `json:"session,omitempty" doc:"Changes when the controller restarts"`
	Slots    []Slot    `json:"slots"`
	Findings []Finding `json:"findings"`
}

// Finding is one result of the checks of a controller.
type Finding struct {
	Level   string `json:"level" enum:"ok,note,warn,fail"`
	Topic   string `json:"topic"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty" doc:"What to do"`
}

type doctorInput struct {
	strict
	Controller string `query:"controller" doc:"Only check this controller"`
	Jobs       bool   `query:"jobs" doc:"Also look at all jobs, which takes long"`
}

func (s *Server) doctor(ctx context.Context, in *doctorInput) (*answer[Doctor], error) {
	now := time.Now()
	o, err := s.overview(ctx, now)
	if err != nil {
		return nil, err
	}
	d := Doctor{
		At: o.At, Version: s.Version, Started: o.Started, Platform: runtime.GOOS + "/" + runtime.GOARCH, Process: process(),
		Store:  DoctorStore{Path: s.Store.Path(), Bytes: storeSize(s.Store.Path()), Epoch: s.Store.Epoch(), Starts: s.Store.Starts()},
		Health: healthOf(s.unhealthy(ctx, now)), Counts: o.Counts, Alerts: o.Alerts, Pools: o.Pools,
	}
	if d.Pauses, err = s.pauses(ctx, now); err != nil {
		return nil, err
	}
	if err := s.takeSurvey(ctx); err != nil {
		return nil, err
	}
	defer s.endSurvey()
	d.Controllers, err = s.examine(ctx, in, o.Controllers)
	return answered(d, err)
}

func process() DoctorProcess {
	host, _ := os.Hostname() // a machine without a name shows none
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return DoctorProcess{
		Host: host, PID: os.Getpid(), UID: os.Getuid(), CPUs: runtime.NumCPU(),
		Goroutines: runtime.NumGoroutine(), HeapBytes: memory.HeapAlloc,
	}
}

func storeSize(path string) int64 {
	var total int64
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(path + suffix); err == nil {
			total += info.Size()
		}
	}
	return total
}

// examine checks controllers beside each other: one that does not answer must not hold up the rest.
func (s *Server) examine(ctx context.Context, in *doctorInput, states []ControllerState) ([]DoctorController, error) {
	out := []DoctorController{}
	for _, state := range states {
		if in.Controller == "" || in.Controller == state.Name {
			out = append(out, DoctorController{ControllerState: state})
		}
	}
	if in.Controller != "" && len(out) == 0 {
		return nil, noController(in.Controller)
	}
	errs := make([]error, len(out))
	var all sync.WaitGroup
	for i := range out {
		all.Go(func() { errs[i] = s.examineOne(ctx, &out[i], in.Jobs) })
	}
	all.Wait()
	return out, errors.Join(errs...)
}

func (s *Server) examineOne(ctx context.Context, d *DoctorController, jobs bool) error {
	c, ok := s.controller(d.Name)
	if !ok {
		return noController(d.Name) // taken out of the configuration a moment ago
	}
	v := c.View()
	if v.Look != nil {
		d.Session = v.Look.Session
	}
	slots, err := s.Store.Slots(ctx, c.ID)
	if err != nil {
		return err
	}
	d.Slots = each(slots, slotOf)
	d.Findings = each(c.Jenkins.Check(ctx, jenkins.CheckOptions{
		Names: labelexpr.Names(v.Labels), Folder: v.Folder, SkipJobs: !jobs, Owns: v.owns,
	}), findingOf)
	clones, err := s.clones(ctx, c.ID)
	d.Findings = append(d.Findings, clones...)
	if v.Look != nil {
		d.Findings = append(d.Findings, each(ownDirs(ctx, c.Jenkins, v), findingOf)...)
	}
	return err
}

// clones tells of agents, some of them a controller's, on machines that bear one machine id.
func (s *Server) clones(ctx context.Context, id hygiene.ControllerID) ([]Finding, error) {
	agents, err := s.Store.Agents(ctx, "")
	var found []Finding
	for _, c := range hygiene.FindClones(agents) {
		if !slices.ContainsFunc(c.Agents, func(a hygiene.AgentID) bool { return a.Controller == id }) {
			continue
		}
		found = append(found, Finding{
			Level: "warn", Topic: "machines",
			Message: fmt.Sprintf("agents %s report one machine id, %s, and are proved to be on several machines: clones of one image", someOf(c.Agents), c.Machine),
			Remedy:  "Give each machine an id of its own (rm /etc/machine-id && systemd-machine-id-setup): where it cannot be told that two of them are two, cleanups wait for builds of the other.",
		})
	}
	return found, err
}

// someOf names the first few agents.
func someOf(ids []hygiene.AgentID) string {
	const few = 5
	names := make([]string, 0, few)
	for _, id := range ids[:min(few, len(ids))] {
		names = append(names, id.String())
	}
	text := strings.Join(names, ", ")
	if more := len(ids) - few; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func findingOf(f jenkins.Finding) Finding {
	return Finding{Level: string(f.Level), Topic: f.Topic, Message: f.Message, Remedy: f.Remedy}
}
