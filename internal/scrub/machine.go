// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Machine says what the machine is and how it fares. What could not be learnt is empty or 0.
type Machine struct {
	System  string `json:"system"`            // as Go calls it: linux
	OS      string `json:"os,omitempty"`      // the ID of os-release: debian
	Version string `json:"version,omitempty"` // its VERSION_ID: 12
	Kernel  string `json:"kernel,omitempty"`  // its release: 6.1.0-18-amd64
	Arch    string `json:"arch"`              // as Go calls it: amd64

	Hostname string `json:"hostname,omitempty"`
	ID       string `json:"id,omitempty"`     // the same until the machine is installed anew
	BootID   string `json:"bootId,omitempty"` // another after each boot
	// Container is what the machine is made of if it is a container: docker, podman, lxc, or what else it calls itself.
	Container string `json:"container,omitempty"`
	UID       int    `json:"uid"` // who looks; -1 where users have no numbers
	Root      bool   `json:"root"`

	CPUs   int       `json:"cpus"`
	Load   []float64 `json:"load,omitempty"` // over 1, 5 and 15 minutes
	Memory Memory    `json:"memory,omitzero"`
	Disks  []Volume  `json:"disks"`
}

// Memory is that of the machine, in bytes.
type Memory struct {
	Bytes     int64 `json:"bytes"`
	BytesFree int64 `json:"bytesFree"` // what programs could have without swapping
}

// Volume is the room on the file system that holds a path.
type Volume struct {
	Path      string `json:"path"`
	Bytes     int64  `json:"bytes"`
	BytesFree int64  `json:"bytesFree"` // for users without privileges
	// Inodes are 0 on file systems that do not count them.
	Inodes     int64 `json:"inodes,omitempty"`
	InodesFree int64 `json:"inodesFree,omitempty"`
}

// ThisMachine looks at the machine, and at the room of paths and of its root. It changes nothing and
// needs no right.
func ThisMachine(paths []string) Machine {
	m := machineBelow("/")
	m.Hostname, _ = os.Hostname()
	m.UID = os.Getuid()
	m.Root = m.UID == 0
	m.Disks = volumes(append([]string{string(filepath.Separator)}, paths...))
	return m
}

// machineBelow learns what files below root tell. It reads them where Linux has them; elsewhere there are none.
func machineBelow(root string) Machine {
	text := func(path string) string {
		b, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	first := func(paths ...string) string {
		for _, p := range paths {
			if t := text(p); t != "" {
				return t
			}
		}
		return ""
	}
	m := Machine{
		System: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Kernel: text("proc/sys/kernel/osrelease"),
		ID: first("etc/machine-id", "var/lib/dbus/machine-id", "sys/class/dmi/id/product_uuid"), BootID: text("proc/sys/kernel/random/boot_id"),
		Load: load(text("proc/loadavg")), Memory: memory(text("proc/meminfo")),
	}
	m.OS, m.Version = idAndVersion(first("etc/os-release", "usr/lib/os-release"))
	m.Container = container(root, text)
	return m
}

// idAndVersion reads ID and VERSION_ID as os-release(5) spells them.
func idAndVersion(text string) (id, version string) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			id = value
		case "VERSION_ID":
			version = value
		}
	}
	return id, version
}

// container asks the marks that the engines leave: podman and docker files, systemd what it was started in.
func container(root string, text func(string) string) string {
	there := func(path string) bool {
		_, err := os.Lstat(filepath.Join(root, path))
		return err == nil
	}
	switch {
	case there("run/.containerenv"):
		return "podman"
	case there(".dockerenv"):
		return "docker"
	}
	return text("run/systemd/container")
}

// load reads the averages that /proc/loadavg begins with.
func load(text string) []float64 {
	fields := strings.Fields(text)
	if len(fields) < 3 {
		return nil
	}
	out := make([]float64, 3)
	for i := range out {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil || !(v >= 0 && v < 1e9) {
			return nil
		}
		out[i] = v
	}
	return out
}

// memory reads /proc/meminfo. Kernels before 3.14 do not tell what is available.
func memory(text string) (m Memory) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 53)
		if err != nil || kib < 0 || kib > 1<<43 {
			continue
		}
		switch key {
		case "MemTotal":
			m.Bytes = kib << 10
		case "MemAvailable":
			m.BytesFree = kib << 10
		}
	}
	return m
}

// volumes are the rooms of paths that are there, each once.
func volumes(paths []string) []Volume {
	out := []Volume{}
	slices.Sort(paths)
	for _, p := range slices.Compact(paths) {
		r, err := roomAt(p)
		if err != nil {
			continue
		}
		v := Volume{Path: p, Bytes: r.allBytes, BytesFree: r.bytes}
		if r.countsInodes {
			v.Inodes, v.InodesFree = r.allInodes, r.inodes
		}
		out = append(out, v)
	}
	return out
}
