// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"cmp"
	"fmt"
	"path"
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
	if by := path.Base(interpreterOf(script)[0]); !slices.Contains(shellNames, by) {
		return nil, fmt.Errorf("line 1, column 1: it is for %s", by)
	}
	var h habits
	if err := h.search(script); err != nil {
		return nil, err
	}
	slices.SortStableFunc(h.found, func(a, b Habit) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return h.found, nil
}

// shellNames are programs that read scripts of a shell.
var shellNames = []string{"sh", "ash", "bash", "busybox", "dash", "ksh", "ksh93", "mksh", "rbash", "yash", "zsh"}

// habits is a search.
type habits struct {
	found []Habit
	// outer is the command whose text is searched, nil for a script of its own.
	outer syntax.Node
	depth int // of texts in texts
}

func (h *habits) search(script string) error {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(script), "")
	if err != nil {
		f := findingOf(err)
		return fmt.Errorf("line %d, column %d: %s", f.line, f.column, f.msg)
	}
	h.ending(file, script)
	syntax.Walk(file, func(n syntax.Node) bool {
		if n != nil {
			h.node(n)
		}
		return true
	})
	return nil
}

func (h *habits) add(n syntax.Node, instead spec.Kind, why string) {
	var b strings.Builder
	_ = syntax.NewPrinter(syntax.SingleLine(true)).Print(&b, n) // a parsed node can be printed
	text := strings.Join(strings.Fields(b.String()), " ")
	if limit := 60; len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	place := n.Pos()
	if h.outer != nil {
		place = h.outer.Pos()
	}
	h.found = append(h.found, Habit{int(place.Line()), int(place.Col()), text, why, instead})
}

func (h *habits) node(n syntax.Node) {
	switch n := n.(type) {
	case *syntax.BinaryCmd:
		h.binary(n)
	case *syntax.Stmt:
		if call, is := n.Cmd.(*syntax.CallExpr); is {
			c := commandOf(n)
			h.command(call, c)
			if text, is := c.hereScript(n.Redirs); is {
				h.inner(call, text)
			}
		}
	case *syntax.ForClause:
		if each, is := n.Loop.(*syntax.WordIter); is && (command{args: each.Items}).asksForNumbers() && kills(n.Do, each.Name.Value) {
			h.add(n, spec.KindProcesses, reused)
		}
	}
}

// kills reports whether statements kill what a variable says.
func kills(all []*syntax.Stmt, variable string) bool {
	found := false
	for _, s := range all {
		syntax.Walk(s, func(n syntax.Node) bool {
			if inner, is := n.(*syntax.Stmt); is {
				c := commandOf(inner)
				found = found || c.does("kill") && slices.ContainsFunc(c.args, func(w *syntax.Word) bool { return holds(w, variable) })
			}
			return !found
		})
	}
	return found
}

// holds reports whether a word has in it the value of a variable.
func holds(w *syntax.Word, variable string) bool {
	return slices.ContainsFunc(flat(w.Parts), func(p syntax.WordPart) bool {
		of, is := p.(*syntax.ParamExp)
		return is && of.Param != nil && of.Param.Value == variable
	})
}

// binary judges what two commands do together.
func (h *habits) binary(n *syntax.BinaryCmd) {
	right := commandOf(n.Y)
	if n.Op == syntax.OrStmt {
		switch {
		case right.does("true", ":"):
			h.add(n, "", "a failure is hidden: what was not removed is called clean. Let the step fail, or say onFailure: warn")
		case right.does("exit", "return") && right.argument("0") && !asks(n.X):
			h.add(n, "", "a failure is hidden, and what was to follow is called clean without being done. Let the step fail, or say onFailure: warn")
		}
	}
	if n.Op != syntax.Pipe && n.Op != syntax.PipeAll {
		return
	}
	if right.readsScript() {
		if script, is := fed(n.X); is {
			h.inner(n, script)
		}
	}
	left := pipeline(n.X)
	switch find := slices.IndexFunc(left, func(c command) bool { return c.does("find", "ls") }); {
	case right.does("kill"), readsAndKills(n.Y):
		h.add(n, spec.KindProcesses, reused)
	case find < 0 || !right.does("rm", "rmdir"):
		if looseInPipe(left, right) {
			h.add(n, spec.KindMounts, looseMounts)
		}
	case !right.through('0', "--null") && !right.through('d', "--delimiter"):
		h.add(n, spec.KindFiles, "names with blanks or line ends become other names")
	case right.does("rm") && left[find].does("find"):
		if why := straying(left[find], right.recursive()); why != "" {
			h.add(n, spec.KindFiles, why)
		}
	}
}

const reused = "numbers of processes are used again: what is killed may be another process by then"

// readsAndKills reports whether a statement is a loop that reads a variable and kills what it says.
func readsAndKills(s *syntax.Stmt) bool {
	loop, is := s.Cmd.(*syntax.WhileClause)
	if !is || len(loop.Cond) == 0 {
		return false
	}
	read := commandOf(loop.Cond[len(loop.Cond)-1])
	return read.does("read") && slices.ContainsFunc(read.args, func(w *syntax.Word) bool {
		name := literal(w)
		return name != "" && kills(loop.Do, name)
	})
}

const looseMounts = "matches parts of other mount points too: /var/tmp/foo is in /var/tmp/foobar"

// command judges one command, n, and the commands that it runs.
func (h *habits) command(n syntax.Node, c command) {
	for _, r := range habitRules {
		if slices.Contains(r.names, c.name) && r.is(c) {
			h.add(n, r.instead, r.why)
		}
	}
	if c.sudoAsks {
		h.add(n, "", "sudo may wait for a password until the time limit; say sudo -n")
	}
	if c.does("find") {
		if why := strayingDeletion(c); why != "" {
			h.add(n, spec.KindFiles, why)
		}
		for _, run := range runByFind(c) {
			h.command(n, run)
		}
	}
	h.text(n, c.script())
}

// deepest is how many texts in texts are read.
const deepest = 5

// text judges what a command has another shell run. Words are what that shell reads, with blanks between them.
func (h *habits) text(n syntax.Node, words []*syntax.Word) {
	if len(words) == 0 {
		return
	}
	script, known := said(words)
	if !known {
		h.add(n, "", "what another shell runs here is known only when it runs, and was not searched: look for such habits in it yourself")
		return
	}
	h.inner(n, script)
}

// inner judges a script that a command has another shell run.
func (h *habits) inner(n syntax.Node, script string) {
	inner := habits{outer: n, depth: h.depth + 1}
	if h.outer != nil {
		inner.outer = h.outer
	}
	if h.depth == deepest || inner.search(script) != nil {
		h.add(n, "", "what another shell runs here cannot be read as a script, and was not searched: look for such habits in it yourself")
		return
	}
	h.found = append(h.found, inner.found...)
}

// ending judges the end of a script that goes on after failures.
func (h *habits) ending(file *syntax.File, script string) {
	if len(file.Stmts) < 2 {
		return
	}
	last := file.Stmts[len(file.Stmts)-1]
	if c := commandOf(last); c.does("true", ":") && len(c.args)+len(last.Redirs) == 0 && !stopsAtFailure(file, script) {
		h.add(last.Cmd, "", "the script succeeds whatever happened in it: what was not removed is called clean. Say set -e at its beginning, and leave this away")
	}
}

// stopsAtFailure reports whether a script says somewhere that its first failure ends it.
func stopsAtFailure(file *syntax.File, script string) bool {
	first, _, _ := strings.Cut(script, "\n")
	_, options, _ := strings.Cut(first, " -")
	stops := strings.HasPrefix(first, "#!") && strings.Contains(options, "e")
	syntax.Walk(file, func(n syntax.Node) bool {
		if s, is := n.(*syntax.Stmt); is {
			c := commandOf(s)
			stops = stops || c.does("set") && (c.flag('e', "") || c.flag('o', "") && c.argument("errexit"))
		}
		return !stops
	})
	return stops
}

// habitRule says what is wrong with a use of commands.
type habitRule struct {
	names   []string
	is      func(command) bool
	instead spec.Kind
	why     string
}

// goesOn reports whether a set has the script go on after failures.
func goesOn(c command) bool {
	return c.argument("+o") && c.argument("errexit") || slices.ContainsFunc(c.args, func(w *syntax.Word) bool {
		return strings.HasPrefix(literal(w), "+") && strings.Contains(literal(w), "e")
	})
}

const (
	lazy    = "a lazy unmount only hides what is mounted: busy files and loop devices stay, and are met again later"
	flushed = "takes everybody's rules: those of the container engine, and those that keep others out"
)

var habitRules = []habitRule{
	{
		[]string{"umount"},
		func(c command) bool { return c.flag('l', "--lazy") }, spec.KindMounts,
		lazy,
	},
	{
		[]string{"fusermount", "fusermount3"},
		func(c command) bool { return c.flag('z', "") }, spec.KindMounts, lazy,
	},
	{
		[]string{"pkill", "pgrep"},
		func(c command) bool { return c.flag('f', "--full") }, spec.KindProcesses,
		"matches any part of a command line: the agent, an editor or this very script may be what it ends",
	},
	{
		[]string{"pkill"},
		func(c command) bool { return !c.flag('f', "--full") && !c.selective() }, spec.KindProcesses,
		"matches any part of a name, of processes of everybody on the machine",
	},
	{
		[]string{"killall", "killall5"},
		func(c command) bool { return c.name == "killall5" || !c.flag('u', "--user") }, spec.KindProcesses,
		"ends processes of everybody on the machine that have this name",
	},
	{
		[]string{"fuser"},
		func(c command) bool { return c.kills() && !c.wholeMount() }, spec.KindProcesses,
		"ends whoever uses it, whosever process that is: a service, a person's shell, the agent",
	},
	{
		[]string{"fuser"},
		func(c command) bool { return c.kills() && c.wholeMount() }, spec.KindMounts,
		"ends everybody who uses anything of that file system: where the path is no mount point, that is the one around it",
	},
	{
		[]string{"kill"},
		command.asksForNumbers, spec.KindProcesses, reused,
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
		[]string{"grep", "egrep", "fgrep", "awk", "gawk", "mawk", "nawk", "sed"},
		loose, spec.KindMounts, looseMounts,
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
		func(c command) bool {
			return c.argument("prune") || c.argument("reset") || c.substituted() || slices.ContainsFunc(c.before, func(w *syntax.Word) bool { return literal(w) == "xargs" })
		}, spec.KindContainers,
		"takes everybody's: the container that the agent lives in, images that are kept on purpose",
	},
	{
		[]string{"iptables", "ip6tables"},
		func(c command) bool { return c.flag('F', "--flush") && !c.names('F', "--flush") }, spec.KindNetwork, flushed,
	},
	{
		[]string{"nft"},
		func(c command) bool { return c.argument("flush") && c.argument("ruleset") }, spec.KindNetwork, flushed,
	},
	{
		[]string{"virsh"},
		func(c command) bool { return c.argument("--remove-all-storage") }, spec.KindVMs,
		"deletes volumes that back those of others",
	},
	{
		[]string{"set"},
		goesOn, "",
		"failures are hidden from here on: what was not removed is called clean",
	},
}
