// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"cmp"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// goals are the fields that give a step a goal for scrub to reach.
func (d *decoder) goals(s *stepSource) []field {
	goal := func(kind spec.Kind, read func(g *spec.Goal, path string, n ast.Node)) field {
		return field{string(kind), func(path string, n ast.Node) {
			s.bodies = append(s.bodies, string(kind))
			s.Goal = &spec.Goal{}
			read(s.Goal, path, n)
		}}
	}
	return []field{
		goal(spec.KindProcesses, d.processes),
		goal(spec.KindContainers, d.containers),
		goal(spec.KindVMs, d.vms),
		goal(spec.KindNetwork, d.network),
		goal(spec.KindMounts, d.mounts),
		goal(spec.KindLoops, d.loops),
		goal(spec.KindFiles, d.fileGoal),
		goal(spec.KindPackages, d.packages),
		goal(spec.KindJournal, d.journal),
		goal(spec.KindLogs, d.logs),
		goal(spec.KindUsers, d.userHomes),
		goal(spec.KindCron, d.cron),
		goal(spec.KindIPC, d.ipc),
		goal(spec.KindDisk, d.disk),
		goal(spec.KindPlace, d.place),
		goal(spec.KindAccounts, d.accounts),
		goal(spec.KindServices, d.services),
		goal(spec.KindSysctl, d.sysctl),
		goal(spec.KindModules, d.modules),
		goal(spec.KindCommands, d.commands),
		goal(spec.KindMount, d.mount),
		goal(spec.KindKVM, d.kvm),
		goal(spec.KindReach, d.reach),
		goal(spec.KindTime, d.time),
		goal(spec.KindEngine, d.engine),
	}
}

// options reads the fields of a goal. A goal without any is written "{}" or left empty.
func (d *decoder) options(path string, n ast.Node, fields []field) {
	if _, empty := n.(*ast.NullNode); !empty {
		d.mapping(path, n, fields)
	}
}

func (d *decoder) processes(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Processes{Cookies: true}
	g.Processes = goal
	d.options(path, n, []field{
		{"cookies", func(path string, n ast.Node) { goal.Cookies, _ = d.boolean(path, n) }},
		{"keep", d.texts(&goal.Keep, func(name string) string {
			if name == "" || strings.Contains(name, "/") {
				return "want the name of a program, without directories"
			}
			if strings.ContainsAny(name, "*?[") && name != "[" { // which is a program
				return "want the whole name of a program; patterns are not meant here"
			}
			return ""
		})},
		{"grace", func(path string, n ast.Node) { goal.Grace = d.seconds(path, n) }},
	})
}

func (d *decoder) mounts(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Mounts{}
	g.Mounts = goal
	d.options(path, n, []field{
		{"roots", func(path string, n ast.Node) { goal.Roots, _ = d.boolean(path, n) }},
		{"keep", d.texts(&goal.Keep, absolute)},
	})
}

func (d *decoder) loops(g *spec.Goal, path string, n ast.Node) {
	g.Loops = &spec.Loops{}
	d.options(path, n, nil)
}

func (d *decoder) fileGoal(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Files{}
	g.Files = goal
	d.options(path, n, []field{
		{"paths", d.texts(&goal.Paths, func(p string) string {
			if why := absolute(p); why != "" || d.recipe.Owned.Holds(p) {
				return why
			}
			return "it is not owned; add it, or a directory above it, to \"owns\""
		})},
		{"shared", d.texts(&goal.Shared, func(p string) string { return cmp.Or(absolute(p), spec.NotShared(p)) })},
		{"names", d.texts(&goal.Names, func(p string) string { return cmp.Or(pattern(p), spec.TooLoose(p)) })},
		{"keep", d.texts(&goal.Keep, pattern)},
		{"older", func(path string, n ast.Node) { goal.Older = d.seconds(path, n) }},
		{"size", func(path string, n ast.Node) { goal.Size = d.bytes(path, n) }},
		{"pressure", func(path string, n ast.Node) { goal.Pressure = d.bytes(path, n) }},
	})
}

func (d *decoder) disk(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Disk{}
	g.Disk = goal
	d.options(path, n, []field{
		{"paths", d.texts(&goal.Paths, absolute)},
		{"bytesFree", func(path string, n ast.Node) { goal.BytesFree = d.bytes(path, n) }},
		{"inodesFree", func(path string, n ast.Node) { goal.InodesFree = int64(d.count(path, n, math.MaxInt32)) }},
	})
	switch {
	case len(goal.Paths) == 0:
		d.fail(n, path, "the field \"paths\" is missing: whose room is to be judged?")
	case goal.BytesFree == 0 && goal.InodesFree == 0:
		d.fail(n, path, "neither bytesFree nor inodesFree is there: any room would do")
	}
}

// texts reads a list of texts into to; why says what is wrong with one.
func (d *decoder) texts(to *[]string, why func(string) string) func(path string, n ast.Node) {
	return func(path string, n ast.Node) {
		d.list(path, n, func(path string, n ast.Node) {
			text, ok := d.text(path, n)
			if !ok {
				return
			}
			if why := why(text); why != "" {
				d.fail(n, path, "%q: %s", text, why)
				return
			}
			if slices.Contains(*to, text) {
				d.fail(n, path, "%s is there twice", text)
				return
			}
			*to = append(*to, text)
		})
	}
}

func absolute(p string) string {
	switch {
	case !path.IsAbs(p):
		return "want an absolute path"
	case path.Clean(p) != p:
		return "want it clean, as " + strconv.Quote(path.Clean(p))
	}
	return ""
}

func pattern(p string) string {
	_, err := path.Match(p, "")
	switch {
	case p == "" || strings.Contains(p, "/"):
		return "want the pattern of one name, without directories"
	case err != nil:
		return "it is no pattern; a [ wants its ]"
	}
	return ""
}

// seconds reads a duration; days may be written too, as in 14d.
func (d *decoder) seconds(path string, n ast.Node) spec.Seconds {
	text, ok := d.scalar(path, n)
	if days, is := strings.CutSuffix(text, "d"); ok && is {
		v, err := strconv.Atoi(days)
		if err != nil || v < 0 || v > 3650 {
			d.fail(n, path, "%s: want at most 3650 whole days", text)
			return 0
		}
		return spec.Seconds(v) * 24 * 60 * 60
	}
	return spec.Seconds(d.duration(path, n, 0, 3650*24*time.Hour) / time.Second)
}

var units = []struct {
	suffix string
	bytes  int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}}

// bytes reads an amount of room, as 10GB or 512MiB.
func (d *decoder) bytes(path string, n ast.Node) int64 {
	text, ok := d.scalar(path, n)
	if !ok {
		return 0
	}
	for _, unit := range units {
		digits, is := strings.CutSuffix(text, unit.suffix)
		if !is {
			continue
		}
		v, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err == nil && v > 0 && v <= math.MaxInt64/unit.bytes {
			return v * unit.bytes
		}
	}
	d.fail(n, path, "%q is no amount of room: write for example 10GB or 512MiB", text)
	return 0
}
