// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// vms removes virtual machines, networks and volumes of libvirt.
type vms struct {
	goal  spec.VMs
	owned spec.Ownership
	here  Here
	now   func() time.Time
	virsh virsh
	// known is what the last look found, by kind and name; machines are named by what cannot be mistaken.
	known map[string]guest
}

// guest is something that libvirt is to remove: one of its fields is set.
type guest struct {
	domain  domain
	network string
	volume  volume
}

func newVMs(s spec.Spec, here Here) Step {
	v := &vms{goal: *s.VMs, owned: s.Owned, here: here, now: time.Now}
	if v.goal.URI == "" {
		v.goal.URI = "qemu:///system"
	}
	return v
}

// The kinds of what libvirt has.
const (
	aVM      = "vm"
	aNetwork = "vm-network"
	aVolume  = "vm-volume"
)

// Look finds machines first: networks and volumes are used by them.
func (v *vms) Look(ctx context.Context) ([]Deviation, error) {
	t, err := v.here.tool("virsh")
	if err != nil {
		return nil, err
	}
	v.virsh, v.known = virsh{t, v.goal.URI}, map[string]guest{}
	if err := v.virsh.answers(ctx); err != nil {
		return nil, err
	}
	domains, err := v.virsh.domains(ctx)
	if err != nil {
		return nil, err
	}
	var found []Deviation
	var staying []domain
	for _, d := range domains {
		if !v.meant(d.name) {
			staying = append(staying, d)
			continue
		}
		found = append(found, v.found(aVM, d.name+" "+d.uuid, d.state, "", guest{domain: d}))
	}
	networks, err := v.networks(ctx, staying)
	if err != nil || !v.goal.Volumes {
		return append(found, networks...), err
	}
	volumes, err := v.volumes(ctx, staying)
	return slices.Concat(found, networks, volumes), err
}

// meant reports whether what has this name is to go.
func (v *vms) meant(name string) bool {
	return (v.goal.All || v.owned.Named(name)) && !spec.Matches(v.goal.Keep, name)
}

func (v *vms) found(kind, id, what, stays string, about guest) Deviation {
	d := Deviation{spec.Residue{Kind: kind, ID: shown(id), What: what}, stays}
	v.known[d.key()] = about
	return d
}

func (v *vms) networks(ctx context.Context, staying []domain) ([]Deviation, error) {
	names, err := v.virsh.lines(ctx, "net-list", "--all", "--name")
	if err != nil {
		return nil, err
	}
	var found []Deviation
	for _, name := range names {
		name = strings.TrimRight(name, " ")
		if name == "default" || !v.meant(name) {
			continue
		}
		stays := ""
		if i := slices.IndexFunc(staying, func(d domain) bool { return slices.Contains(d.networks, name) }); i >= 0 {
			stays = fmt.Sprintf("machine %s, which stays, is connected to it", shown(staying[i].name))
		}
		found = append(found, v.found(aNetwork, name, "network of libvirt", stays, guest{network: name}))
	}
	return found, nil
}

// volumes finds those that are owned, each before what it is made from.
func (v *vms) volumes(ctx context.Context, staying []domain) ([]Deviation, error) {
	owned, err := spelled(v.owned)
	if err != nil {
		return nil, err
	}
	all, err := v.virsh.volumes(ctx)
	if err != nil {
		return nil, err
	}
	goes := func(one volume) bool {
		return (v.meant(one.name) || owned.Holds(one.path)) && !spec.Matches(v.goal.Keep, one.name)
	}
	why := whyStays(all, goes, v.used(ctx, all, staying))
	var found []Deviation
	for _, one := range childrenFirst(all) {
		if goes(one) {
			d := v.found(aVolume, one.path, "volume "+shown(one.name)+" of pool "+shown(one.pool), why[one.path], guest{volume: one})
			d.Bytes = one.bytes
			if !one.written.IsZero() {
				d.Age = spec.Seconds(max(0, v.now().Sub(one.written)) / time.Second)
			}
			found = append(found, d)
		}
	}
	return found, nil
}

// used are the files that machines which stay use, each with the reason for which it stays. If it cannot be told what a
// disk outside the pools is made from, every volume may be it.
func (v *vms) used(ctx context.Context, all []volume, staying []domain) map[string]string {
	why := map[string]string{}
	for _, d := range staying {
		for _, disk := range d.disks {
			why[disk] = fmt.Sprintf("machine %s, which stays, uses it", shown(d.name))
			if slices.ContainsFunc(all, func(one volume) bool { return one.path == disk }) {
				continue
			}
			chain, err := v.here.chain(ctx, disk)
			for _, file := range chain {
				why[file] = why[disk]
			}
			for _, one := range all {
				if err != nil && why[one.path] == "" {
					why[one.path] = fmt.Sprintf("it is not known what %s of machine %s is made from: %s", shown(disk), shown(d.name), err)
				}
			}
		}
	}
	return why
}

// chain returns the files that a disk image is made from, itself first. What is no file is made from nothing.
func (h Here) chain(ctx context.Context, disk string) ([]string, error) {
	if info, err := os.Stat(disk); err != nil || !info.Mode().IsRegular() {
		return nil, nil //nolint:nilerr // a machine whose disk is gone uses none, and a device has no chain
	}
	t, err := h.tool("qemu-img")
	if err != nil {
		return nil, err
	}
	out, err := t.run(ctx, "info", "--force-share", "--backing-chain", "--output=json", disk)
	if err != nil {
		return nil, err
	}
	var images []struct {
		Filename string `json:"filename"`
	}
	if err := json.Unmarshal(out, &images); err != nil {
		return nil, fmt.Errorf("qemu-img: %w", err)
	}
	files := make([]string, len(images))
	for i, image := range images {
		files[i] = real(image.Filename)
	}
	return files, nil
}

// whyStays says of volumes by their path why they are not to be removed: something that stays uses them, as why says
// already, or another volume that stays is made from them, over any number of steps.
func whyStays(all []volume, goes func(volume) bool, why map[string]string) map[string]string {
	for range all { // each round follows one step of a chain at least
		for _, one := range all {
			if one.backing != "" && why[one.backing] == "" && (!goes(one) || why[one.path] != "") {
				why[one.backing] = fmt.Sprintf("volume %s, which stays, is made from it", shown(one.path))
			}
		}
	}
	return why
}

// childrenFirst orders volumes so that each stands before what it is made from.
func childrenFirst(all []volume) []volume {
	byPath := make(map[string]volume, len(all))
	for _, one := range all {
		byPath[one.path] = one
	}
	depth := func(one volume) int {
		n := 0
		for ok := true; ok && n <= len(all); n++ { // a file can name itself as what it is made from
			one, ok = byPath[one.backing]
		}
		return n
	}
	return slices.SortedStableFunc(slices.Values(all), func(a, b volume) int { return depth(b) - depth(a) })
}

// Mend removes in the order found. A machine that could not be removed keeps what it uses.
func (v *vms) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	inUse := sync.OnceValues(func() ([]domain, error) { return v.virsh.domains(ctx) })
	for i, d := range found {
		about := v.known[d.key()]
		switch d.Kind {
		case aVM:
			errs[i] = v.endMachine(ctx, about.domain)
		case aNetwork:
			errs[i] = v.removeNetwork(ctx, about.network)
		case aVolume:
			errs[i] = v.removeVolume(ctx, about.volume, inUse)
		}
	}
	return errs
}

// endMachine stops a machine and has libvirt forget it; one that was only created is forgotten when it stops.
func (v *vms) endMachine(ctx context.Context, d domain) error {
	stop := v.virsh.do(ctx, "destroy", d.uuid)
	forget := v.virsh.do(ctx, "undefine", d.uuid, "--managed-save", "--snapshots-metadata", "--checkpoints-metadata", "--nvram")
	if exit, ok := errors.AsType[Exit](forget); ok && strings.Contains(exit.Said, "checkpoints-metadata") { // before libvirt 5.6
		forget = v.virsh.do(ctx, "undefine", d.uuid, "--managed-save", "--snapshots-metadata", "--nvram")
	}
	if forget == nil || noSuch(forget) {
		return nil
	}
	return errors.Join(stop, forget)
}

// removeNetwork stops a network and has libvirt forget it. That it was not active is no reason not to forget it.
func (v *vms) removeNetwork(ctx context.Context, name string) error {
	stop := v.virsh.do(ctx, "net-destroy", name)
	forget := v.virsh.do(ctx, "net-undefine", name)
	if forget == nil || noSuch(forget) {
		return nil
	}
	return errors.Join(stop, forget)
}

func (v *vms) removeVolume(ctx context.Context, one volume, inUse func() ([]domain, error)) error {
	domains, err := inUse()
	if err != nil {
		return err
	}
	for _, d := range domains {
		if slices.Contains(d.disks, one.path) {
			return fmt.Errorf("machine %s uses it", shown(d.name))
		}
	}
	return v.virsh.do(ctx, "vol-delete", "--pool", one.pool, one.name)
}
