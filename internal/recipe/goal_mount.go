// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

var (
	fsType      = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
	mountOption = regexp.MustCompile(`^[^,\s\x00]+$`)
	ofFstab     = regexp.MustCompile(`^(defaults|auto|noauto|nofail|_netdev|users?|nousers?|owner|group|loop(=.*)?|x-.*|comment=.*)$`)
)

// vital are directories over which nothing can be mounted: the machine would lose itself.
var vital = []string{"/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var", "/var/lib"}

// sourceless are types of file systems that are made of nothing.
var sourceless = []string{
	"binfmt_misc", "bpf", "cgroup2", "configfs", "debugfs", "devpts", "hugetlbfs", "mqueue", "overlay", "proc", "ramfs", "sysfs", "tmpfs", "tracefs",
}

// mount reads the list of what has to be mounted.
func (d *decoder) mount(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Mount{}
	g.Mount = goal
	d.list(path, n, func(path string, n ast.Node) {
		w := d.wantedMount(path, n)
		if slices.ContainsFunc(goal.Wanted, func(o spec.WantedMount) bool { return o.Target == w.Target }) {
			d.fail(n, path, "something is to be mounted at %s already", w.Target)
			return
		}
		goal.Wanted = append(goal.Wanted, w)
	})
	d.something(path, n, len(goal.Wanted))
}

func (d *decoder) wantedMount(path string, n ast.Node) spec.WantedMount {
	var w spec.WantedMount
	there := d.mapping(path, n, []field{
		{"source", func(path string, n ast.Node) {
			if w.Source, _ = d.text(path, n); strings.ContainsFunc(w.Source, func(r rune) bool { return r < ' ' }) || strings.HasPrefix(w.Source, "-") {
				d.fail(n, path, "%q: want a device, a directory, or what the file system calls its server", w.Source)
			}
		}},
		{"target", func(path string, n ast.Node) {
			w.Target, _ = d.text(path, n)
			if why := absolute(w.Target); why != "" {
				d.fail(n, path, "%q: %s", w.Target, why)
			} else if slices.Contains(vital, w.Target) {
				d.fail(n, path, "the machine needs what is at %s; mount below it", w.Target)
			}
		}},
		{"type", func(path string, n ast.Node) { w.Type = d.matching(path, n, fsType, "a type of file systems, as nfs") }},
		{"options", d.texts(&w.Options, optionOfMount)},
		{"replace", func(path string, n ast.Node) { w.Replace, _ = d.boolean(path, n) }},
	})
	if !isMapping(n) {
		return w
	}
	if !there["target"] {
		d.fail(n, path, "the field \"target\" is missing")
	}
	d.finishMount(path, n, w, there["type"])
	return w
}

// optionOfMount says what is wrong with an option.
func optionOfMount(o string) string {
	switch {
	case !mountOption.MatchString(o):
		return "want one option, without commas or blanks"
	case ofFstab.MatchString(o):
		return "this is for /etc/fstab; here it means nothing"
	case o == "remount" || o == "move":
		return "the goal is that something is mounted, not a change; leave it out"
	case strings.HasPrefix(o, "password=") || strings.HasPrefix(o, "pass="):
		return "a recipe is no secret, and neither are options: have credentials in a file on the machine"
	}
	return ""
}

// finishMount judges the fields of a wanted mount together.
func (d *decoder) finishMount(path string, n ast.Node, w spec.WantedMount, typed bool) {
	for _, option := range w.Options {
		other := "no" + option
		if option == "ro" {
			other = "rw"
		}
		if slices.Contains(w.Options, other) {
			d.fail(n, path, "%s and %s exclude each other", option, other)
		}
	}
	bind, _ := w.Bind()
	if !bind {
		switch {
		case !typed:
			d.fail(n, path, "the field \"type\" is missing; or say bind in \"options\" to show a directory at a second place")
		case w.Source == "" && !slices.Contains(sourceless, w.Type):
			d.fail(n, path, "the field \"source\" is missing")
		}
		return
	}
	switch {
	case w.Type != "":
		d.fail(n, path, "a bind mount has the type of what it shows; leave \"type\" out")
	case absolute(w.Source) != "":
		d.fail(n, path, "the source of a bind mount, %q: %s", w.Source, absolute(w.Source))
	case w.Source == w.Target:
		d.fail(n, path, "%s would show at its own place", w.Source)
	}
	for _, option := range w.Options {
		if !slices.Contains(append(spec.MountFlags(), "bind", "rbind"), option) {
			d.fail(n, path, "a bind mount takes no %s: that belongs to the file system it shows. Want of %s", option, strings.Join(spec.MountFlags(), ", "))
		}
	}
}
