// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// command is a command of a script, as far as its text tells.
type command struct {
	// name is that of the program, without directories and without what only runs it, such as sudo.
	name string
	args []*syntax.Word
	// before are the words in front of the name, when another program runs it.
	before []*syntax.Word
	// inputs are the files that it reads as its standard input.
	inputs []*syntax.Word
	// sudoAsks is set if sudo runs it and may ask for a password.
	sudoAsks bool
}

// runner is a program that runs another: how many words of its own it takes before that one's name, and the letters of
// its options whose value is the next word.
type runner struct {
	words  int
	valued string
}

var runners = map[string]runner{
	"sudo": {0, "CDghpRrTtUu"}, "timeout": {1, "ks"}, "nice": {0, "n"}, "ionice": {0, "cnp"}, "env": {0, "CSu"}, "xargs": {0, "aEdILnPs"},
	"nohup": {}, "setsid": {}, "exec": {0, "a"}, "command": {}, "builtin": {}, "time": {0, "fo"}, "busybox": {}, "doas": {0, "aCu"},
	"flock": {1, "Ew"}, "chroot": {1, ""}, "nsenter": {0, "tSG"}, "unshare": {0, "RSG"}, "systemd-run": {0, "CEHMpu"},
}

// commandOf returns the command of a statement, the zero value if it is none.
func commandOf(s *syntax.Stmt) command {
	call, ok := s.Cmd.(*syntax.CallExpr)
	if !ok {
		return command{}
	}
	c := commandOfWords(call.Args)
	for _, r := range s.Redirs {
		if r.Op == syntax.RdrIn {
			c.inputs = append(c.inputs, r.Word)
		}
	}
	return c
}

func commandOfWords(words []*syntax.Word) command {
	var c command
	for len(words) > 0 {
		c.name = path.Base(strings.TrimPrefix(literal(words[0]), `\`)) // that is, whatever alias there is
		r, ok := runners[c.name]
		if c.name == "runuser" && given(words[1:], 'u', "--user") { // otherwise it is a su
			r, ok = runner{0, "uGg"}, true
		}
		n := 1
		if ok {
			n += r.own(words[1:])
		}
		if own := words[1:n]; !ok || c.name == "command" && (given(own, 'v', "") || given(own, 'V', "")) {
			c.args = words[1:]
			return c
		}
		c.sudoAsks = c.sudoAsks || c.name == "sudo" && n < len(words) && !given(words[1:n], 'n', "--non-interactive")
		c.before = append(c.before, words[:n]...)
		words = words[n:]
	}
	return c
}

// pipeline returns the commands of a pipeline in their order, a zero value for what is no simple command.
func pipeline(s *syntax.Stmt) []command {
	if b, is := s.Cmd.(*syntax.BinaryCmd); is && (b.Op == syntax.Pipe || b.Op == syntax.PipeAll) {
		return append(pipeline(b.X), commandOf(b.Y))
	}
	return []command{commandOf(s)}
}

// asks reports whether a statement only asks something, so that its failure is an answer.
func asks(s *syntax.Stmt) bool {
	switch cmd := s.Cmd.(type) {
	case *syntax.TestClause, *syntax.ArithmCmd:
		return true
	case *syntax.BinaryCmd:
		return asks(cmd.Y) && (cmd.Op == syntax.Pipe || cmd.Op == syntax.PipeAll || asks(cmd.X))
	}
	c := commandOf(s)
	return c.does("test", "[", "command", "type", "which", "hash", "id", "getent", "grep", "egrep", "fgrep", "pgrep", "mountpoint", "findmnt", "cmp", "diff") ||
		c.does("systemctl") && c.argument("is-active", "is-enabled", "is-failed", "cat")
}

// own returns how many words in front of the program that is run are the runner's.
func (r runner) own(words []*syntax.Word) int {
	for n := 0; n < len(words); n++ {
		text := literal(words[n])
		switch {
		case strings.HasPrefix(text, "--"):
		case len(text) > 1 && text[0] == '-':
			if strings.ContainsRune(r.valued, rune(text[len(text)-1])) {
				n++
			}
		case strings.Contains(text, "="): // sudo and env set variables
		case r.words > 0:
			r.words--
		default:
			return n
		}
	}
	return len(words)
}

func (c command) does(names ...string) bool { return c.name != "" && slices.Contains(names, c.name) }

// flag reports whether an option is given, alone or among other letters.
func (c command) flag(letter rune, long string) bool { return given(c.args, letter, long) }

func given(words []*syntax.Word, letter rune, long string) bool {
	return slices.ContainsFunc(words, func(w *syntax.Word) bool {
		text := literal(w)
		return long != "" && (text == long || strings.HasPrefix(text, long+"=")) || strings.HasPrefix(text, "-") && !strings.HasPrefix(text, "--") && strings.ContainsRune(text, letter)
	})
}

// operand returns the first argument that is neither an option nor the value of one; valued are the letters of the options
// whose value is the next word. It is empty if there is none.
func (c command) operand(valued string) string {
	for n := 0; n < len(c.args); n++ {
		text := literal(c.args[n])
		if len(text) < 2 || text[0] != '-' {
			return text
		}
		if len(text) == 2 && strings.Contains(valued, text[1:]) {
			n++
		}
	}
	return ""
}

// names reports whether an option is followed by a word that is none: a name that it is about.
func (c command) names(letter rune, long string) bool {
	return slices.ContainsFunc(c.args[:max(len(c.args)-1, 0)], func(w *syntax.Word) bool {
		after := c.args[slices.Index(c.args, w)+1]
		return given([]*syntax.Word{w}, letter, long) && !strings.HasPrefix(literal(after), "-")
	})
}

// argument reports whether one of texts is a whole argument.
func (c command) argument(texts ...string) bool {
	return slices.ContainsFunc(c.args, func(w *syntax.Word) bool { return slices.Contains(texts, literal(w)) })
}

// through reports whether an option is given to what runs the command.
func (c command) through(letter rune, long string) bool { return given(c.before, letter, long) }

func (c command) recursive() bool { return c.flag('r', "--recursive") || c.flag('R', "--recursive") }

// substituted reports whether an argument is what another command prints.
func (c command) substituted() bool {
	return slices.ContainsFunc(c.args, func(w *syntax.Word) bool {
		return slices.ContainsFunc(w.Parts, func(p syntax.WordPart) bool { _, is := p.(*syntax.CmdSubst); return is })
	})
}

// asksForNumbers reports whether an argument is what another command prints, in quotes or not.
func (c command) asksForNumbers() bool {
	return slices.ContainsFunc(c.args, func(w *syntax.Word) bool {
		return slices.ContainsFunc(flat(w.Parts), func(p syntax.WordPart) bool { _, is := p.(*syntax.CmdSubst); return is })
	})
}

// selective reports whether a pkill chooses by more than a part of a name (pkill(1)). The name of a signal is no letters
// of options.
func (c command) selective() bool {
	return slices.ContainsFunc(c.args, func(w *syntax.Word) bool {
		text := literal(w)
		if strings.HasPrefix(text, "--") {
			name, _, _ := strings.Cut(text, "=")
			return slices.Contains([]string{"--exact", "--euid", "--uid", "--parent", "--session", "--pgroup", "--terminal", "--pidfile", "--ns", "--cgroup"}, name)
		}
		signal := len(text) > 2 && strings.Trim(text[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-") == ""
		return strings.HasPrefix(text, "-") && !signal && strings.ContainsAny(text, "xuUPsgtF")
	})
}

// kills reports whether a fuser ends what it finds.
func (c command) kills() bool { return c.flag('k', "--kill") }

// wholeMount reports whether a fuser looks for users of a whole file system.
func (c command) wholeMount() bool { return c.flag('m', "--mount") || c.flag('c', "") }

// bare reports whether an argument has a variable without quotes.
func (c command) bare() bool {
	return slices.ContainsFunc(c.args, func(w *syntax.Word) bool {
		return slices.ContainsFunc(w.Parts, func(p syntax.WordPart) bool { _, is := p.(*syntax.ParamExp); return is })
	})
}

// emptied reports whether a whole tree is removed whose path begins or ends with a quoted variable, so that an empty one
// leaves a directory above: "$x"/* and "/home/$x".
func (c command) emptied() bool {
	return c.recursive() && !c.bare() && slices.ContainsFunc(c.args, func(w *syntax.Word) bool {
		parts := flat(w.Parts)
		first, last := parts[0], parts[len(parts)-1]
		return len(parts) > 1 && (mayBeEmpty(first) && strings.HasPrefix(literalPart(parts[1]), "/") ||
			mayBeEmpty(last) && strings.HasSuffix(literalPart(parts[len(parts)-2]), "/"))
	})
}

// flat takes the parts of a word out of their quotes. What has none is not there.
func flat(parts []syntax.WordPart) []syntax.WordPart {
	var all []syntax.WordPart
	for _, p := range parts {
		if q, ok := p.(*syntax.DblQuoted); ok {
			all = append(all, flat(q.Parts)...)
			continue
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		all = append(all, &syntax.Lit{})
	}
	return all
}

func mayBeEmpty(p syntax.WordPart) bool {
	v, ok := p.(*syntax.ParamExp)
	if !ok || v.Exp == nil {
		return ok
	}
	return !slices.Contains([]syntax.ParExpOperator{syntax.ErrorUnset, syntax.ErrorUnsetOrNull, syntax.DefaultUnsetOrNull, syntax.AssignUnsetOrNull}, v.Exp.Op)
}

// lockFiles are where package managers say that they are at work.
var lockFiles = []string{
	"/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock", "/var/run/yum.pid", "/run/yum.pid",
	"/var/lib/rpm/.rpm.lock", "/var/run/zypp.pid", "/run/zypp.pid", "/lib/apk/db/lock",
}

func (c command) lockFile() bool {
	return c.argument(lockFiles...) || slices.ContainsFunc(c.args, func(w *syntax.Word) bool {
		return strings.HasPrefix(literal(w), "/var/lib/rpm/__db")
	})
}

// literal returns the text of a word, with a NUL byte where something is put in when it runs.
func literal(w *syntax.Word) string {
	var b strings.Builder
	for _, p := range w.Parts {
		b.WriteString(literalPart(p))
	}
	return b.String()
}

func literalPart(p syntax.WordPart) string {
	switch p := p.(type) {
	case *syntax.Lit:
		return p.Value
	case *syntax.SglQuoted:
		return p.Value
	case *syntax.DblQuoted:
		var b strings.Builder
		for _, inner := range p.Parts {
			b.WriteString(literalPart(inner))
		}
		return b.String()
	}
	return "\x00"
}
