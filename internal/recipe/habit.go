// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// Habit is something that cleanup scripts do and that goes wrong on real machines.
type Habit struct {
	Line, Column int
	// Command is the command as it stands in the script, in one line.
	Command string
	// Why says what goes wrong.
	Why string
	// Instead is the kind of goal that does the same and looks again; "" if a change to the script is all it takes.
	Instead spec.Kind
}

// Habits returns the dangerous habits of a shell script in the order of its lines. The error says where the script
// cannot be read as one, with line and column.
func Habits(script string) ([]Habit, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(script), "")
	if err != nil {
		f := findingOf(err)
		return nil, fmt.Errorf("line %d, column %d: %s", f.line, f.column, f.msg)
	}
	var h habits
	syntax.Walk(file, func(n syntax.Node) bool {
		if n != nil {
			h.node(n)
		}
		return true
	})
	slices.SortStableFunc(h.found, func(a, b Habit) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return h.found, nil
}

// habits is a search.
type habits struct{ found []Habit }

func (h *habits) add(n syntax.Node, instead spec.Kind, why string) {
	var b strings.Builder
	_ = syntax.NewPrinter(syntax.SingleLine(true)).Print(&b, n) // a parsed node can be printed
	text := strings.Join(strings.Fields(b.String()), " ")
	if limit := 60; len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	h.found = append(h.found, Habit{int(n.Pos().Line()), int(n.Pos().Col()), text, why, instead})
}

func (h *habits) node(n syntax.Node) {
	switch n := n.(type) {
	case *syntax.BinaryCmd:
		h.binary(n)
	case *syntax.CallExpr:
		h.call(n)
	}
}

// binary judges what two commands do together.
func (h *habits) binary(n *syntax.BinaryCmd) {
	left, right := commandOf(n.X), commandOf(n.Y)
	switch {
	case n.Op == syntax.OrStmt && right.does("true", ":"):
		h.add(n, "", "a failure is hidden: what was not removed is called clean. Let the step fail, or say onFailure: warn")
	case n.Op != syntax.Pipe && n.Op != syntax.PipeAll:
	case right.does("grep", "egrep", "fgrep") && (left.does("mount", "findmnt") || left.argument("/proc/mounts", "/proc/self/mounts", "/etc/mtab")):
		if !anchored(right) {
			h.add(n, spec.KindMounts, looseMounts)
		}
	case right.does("kill"):
		h.add(n, spec.KindProcesses, "numbers of processes are used again: what is killed may be another process by then")
	case right.does("rm", "rmdir") && left.does("find", "ls") && !right.through('0', "--null"):
		h.add(n, spec.KindFiles, "names with blanks or line ends become other names")
	}
}

const looseMounts = "matches parts of other mount points too: /var/tmp/foo is in /var/tmp/foobar"

// call judges one command.
func (h *habits) call(n *syntax.CallExpr) {
	c := commandOfCall(n)
	for _, r := range habitRules {
		if slices.Contains(r.names, c.name) && r.is(c) {
			h.add(n, r.instead, r.why)
		}
	}
	if c.sudoAsks {
		h.add(n, "", "sudo may wait for a password until the time limit; say sudo -n")
	}
}

// habitRule says what is wrong with a use of commands.
type habitRule struct {
	names   []string
	is      func(command) bool
	instead spec.Kind
	why     string
}

func always(command) bool { return true }

var habitRules = []habitRule{
	{
		[]string{"umount"},
		func(c command) bool { return c.flag('l', "--lazy") }, spec.KindMounts,
		"a lazy unmount only hides what is mounted: busy files and loop devices stay, and are met again later",
	},
	{
		[]string{"pkill", "pgrep"},
		func(c command) bool { return c.flag('f', "--full") }, spec.KindProcesses,
		"matches any part of a command line: the agent, an editor or this very script may be what it ends",
	},
	{
		[]string{"killall", "killall5"},
		always, spec.KindProcesses,
		"ends processes of everybody on the machine that have this name",
	},
	{
		[]string{"kill"},
		command.substituted, spec.KindProcesses,
		"numbers of processes are used again: what is killed may be another process by then",
	},
	{
		[]string{"rm"},
		command.bare, spec.KindFiles,
		"an unquoted variable is split and expanded: with a blank in it, or empty, something else is removed",
	},
	{
		[]string{"rm"},
		command.emptied, spec.KindFiles,
		"if the variable is empty, this begins at /: write ${NAME:?}",
	},
	{
		[]string{"rm"},
		func(c command) bool { return c.recursive() && c.argument("/tmp/*", "/var/tmp/*", "/dev/shm/*") }, spec.KindFiles,
		"others have things there: private directories of running services, sockets, other agents' files",
	},
	{
		[]string{"rm"},
		func(c command) bool { return c.recursive() && c.argument("*", "./*", ".", "./") }, spec.KindFiles,
		"removes what happens to be in the current directory, also when the cd before it failed",
	},
	{
		[]string{"rm", "unlink"},
		command.lockFile, spec.KindPackages,
		"another package manager may be at work: wait for its lock, never remove it",
	},
	{
		[]string{"grep", "egrep", "fgrep"},
		func(c command) bool {
			return c.argument("/proc/mounts", "/proc/self/mounts", "/etc/mtab") && !anchored(c)
		},
		spec.KindMounts, looseMounts,
	},
	{
		[]string{"grep", "egrep", "fgrep", "awk", "cut"},
		func(c command) bool { return c.argument("/etc/passwd") }, spec.KindUsers,
		"users of a directory service are not in this file, and a name is part of other names: ask getent passwd NAME",
	},
	{
		[]string{"losetup"},
		func(c command) bool { return c.flag('D', "--detach-all") }, spec.KindLoops,
		"detaches devices of everybody on the machine",
	},
	{
		[]string{"dmsetup"},
		func(c command) bool { return c.argument("remove_all") }, spec.KindLoops,
		"removes devices of everybody on the machine, those of container engines too",
	},
	{
		[]string{"docker", "podman"},
		func(c command) bool { return c.argument("prune") || c.substituted() }, spec.KindContainers,
		"takes everybody's: the container that the agent lives in, images that are kept on purpose",
	},
	{
		[]string{"virsh"},
		func(c command) bool { return c.argument("--remove-all-storage") }, spec.KindVMs,
		"deletes volumes that back those of others",
	},
	{
		[]string{"set"},
		func(c command) bool { return c.argument("+e") }, "",
		"failures are hidden from here on: what was not removed is called clean",
	},
}
