// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// checkScript checks the text of a script as far as its interpreter is known.
func (d *decoder) checkScript(s script) {
	if i := strings.Index("\n"+s.text, "\n"+sentinel); i >= 0 {
		d.failScript(s, 1+strings.Count(s.text[:i], "\n"), 1, "lines that begin with %s are reserved for the report", sentinel)
	}
	switch path.Base(s.interpreter[0]) {
	case "sh", "dash", "ash", "bash", "ksh", "mksh":
		d.checkShell(s)
	}
}

// checkShell reports syntax errors, and for a plain sh everything that only bash understands: a script tried on one
// agent, where sh is bash, must not fail on the next, where it is dash or busybox.
func (d *decoder) checkShell(s script) {
	if strings.HasPrefix(s.text, "\ufeff") {
		d.failScript(s, 1, 1, "byte order mark: a shell takes it for part of the first command, which is not run then; save the script without it")
		return
	}
	if i := strings.IndexAny(s.text, "\x00\r"); i >= 0 {
		what := "carriage return: a shell takes it for part of the last word"
		if s.text[i] == 0 {
			what = "NUL byte: this is no script"
		}
		start := strings.LastIndex(s.text[:i], "\n") + 1
		d.failScript(s, 1+strings.Count(s.text[:i], "\n"), i-start+1, "%s", what)
		return
	}
	var found []finding
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(s.text), "")
	switch {
	case err != nil:
		found = append(found, findingOf(err))
	case plainSh(s.interpreter[0]):
		found = bashisms(file)
		// The walk knows the constructs people use; the strict parser may know more, but stops at the first.
		_, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(s.text), "")
		if f := findingOf(err); err != nil && !slices.ContainsFunc(found, func(o finding) bool { return o.line == f.line }) {
			found = append(found, f)
		}
	}
	for _, f := range found {
		d.failScript(s, f.line, f.column, "%s", f.msg)
	}
}

func plainSh(interpreter string) bool {
	return slices.Contains([]string{"sh", "dash", "ash"}, path.Base(interpreter))
}

// finding is a problem at a line and column of a script.
type finding struct {
	line, column int
	msg          string
}

func findingAt(pos syntax.Pos, msg string) finding {
	return finding{int(pos.Line()), int(pos.Col()), msg}
}

func findingOf(err error) finding {
	if e, ok := errors.AsType[syntax.ParseError](err); ok {
		return findingAt(e.Pos, e.Text)
	}
	if e, ok := errors.AsType[syntax.LangError](err); ok {
		return findingAt(e.Pos, e.Feature+": not in sh, which this step runs under; rewrite it or set interpreter: bash")
	}
	return finding{line: 1, column: 1, msg: "not a shell script"}
}

// bashisms returns the places of file that a POSIX shell does not understand, in order.
func bashisms(file *syntax.File) []finding {
	var found []finding
	syntax.Walk(file, func(n syntax.Node) bool {
		if n == nil {
			return true
		}
		if what := bashism(n); what != "" {
			found = append(found, findingAt(n.Pos(), what+" is bash, and this step runs under sh; rewrite it or set interpreter: bash"))
		}
		return true
	})
	return found
}

// bashism returns what n is, in words, if only bash knows it, else "".
func bashism(n syntax.Node) string {
	switch n := n.(type) {
	case *syntax.TestClause:
		return "[[ ]]"
	case *syntax.ArithmCmd:
		return "(( ))"
	case *syntax.FuncDecl:
		return when(n.RsrvWord, "the word function")
	case *syntax.ArrayExpr:
		return "an array"
	case *syntax.ProcSubst:
		return "process substitution"
	case *syntax.CoprocClause:
		return "coproc"
	case *syntax.LetClause:
		return "let"
	case *syntax.ExtGlob:
		return "an extended pattern"
	case *syntax.CStyleLoop:
		return "for (( ))"
	case *syntax.ForClause:
		if loop, ok := n.Loop.(*syntax.WordIter); ok && slices.ContainsFunc(loop.Items, expandsBraces) {
			return braces
		}
		return when(n.Select, "select")
	case *syntax.DeclClause:
		return when(slices.Contains([]string{"declare", "typeset", "nameref"}, n.Variant.Value), n.Variant.Value)
	case *syntax.SglQuoted:
		return when(n.Dollar, "$'...'")
	case *syntax.DblQuoted:
		return when(n.Dollar, `$"..."`)
	case *syntax.BinaryCmd:
		return when(n.Op == syntax.PipeAll, "|&")
	case *syntax.CaseItem:
		return when(n.Op != syntax.Break, n.Op.String())
	case *syntax.Redirect:
		return when(slices.Contains(bashRedirects, n.Op), n.Op.String())
	case *syntax.Assign:
		return when(n.Append, "+=")
	case *syntax.ParamExp:
		return bashExpansion(n)
	case *syntax.CallExpr:
		return bashCommand(n)
	}
	return ""
}

var bashRedirects = []syntax.RedirOperator{syntax.RdrAll, syntax.AppAll, syntax.WordHdoc}

func when(holds bool, what string) string {
	if holds {
		return what
	}
	return ""
}

func bashExpansion(n *syntax.ParamExp) string {
	switch {
	case n.Excl:
		return "${!...}"
	case n.Index != nil:
		return "an array"
	case n.Slice != nil:
		return "${...:from:length}"
	case n.Repl != nil:
		return "${.../from/to}"
	case n.Exp != nil && slices.Contains(bashExpansions, n.Exp.Op):
		return "${..." + n.Exp.Op.String() + "}"
	case n.Param != nil && slices.Contains([]string{"RANDOM", "SECONDS", "BASHPID", "FUNCNAME", "UID", "EUID"}, n.Param.Value):
		return "$" + n.Param.Value
	}
	return ""
}

var bashExpansions = []syntax.ParExpOperator{
	syntax.UpperFirst, syntax.UpperAll, syntax.LowerFirst, syntax.LowerAll, syntax.OtherParamOps,
}

// braces is what sh takes for a name: rm -r /srv/{a,b} removes nothing there, and succeeds with -f.
const braces = "{a,b}"

// expandsBraces reports whether bash would make several words of one. Only the words of commands and loops are.
func expandsBraces(w *syntax.Word) bool {
	split := &syntax.Word{Parts: slices.Clone(w.Parts)}
	syntax.SplitBraces(split)
	return slices.ContainsFunc(split.Parts, func(p syntax.WordPart) bool {
		_, ok := p.(*syntax.BraceExp)
		return ok
	})
}

// echoOption is an option that dash prints: it knows -n only.
var echoOption = regexp.MustCompile(`^-[neE]*[eE][neE]*$`)

// bashCommand recognises commands that sh does not have, and options and operators that its builtins do not know.
func bashCommand(n *syntax.CallExpr) string {
	if len(n.Args) == 0 {
		return ""
	}
	if slices.ContainsFunc(n.Args, expandsBraces) {
		return braces
	}
	words := make([]string, len(n.Args))
	for i, w := range n.Args {
		words[i] = w.Lit()
	}
	switch name := words[0]; name {
	case "source", "shopt", "pushd", "popd", "mapfile", "readarray", "disown", "compgen", "complete", "enable":
		return name
	case "[", "test":
		return when(slices.Contains(words, "=="), name+" with ==")
	case "set":
		return when(slices.Contains(words, "pipefail"), "set -o pipefail")
	case "echo":
		if len(words) > 1 && echoOption.MatchString(words[1]) {
			return "echo " + words[1]
		}
	case "printf":
		return when(len(words) > 1 && words[1] == "-v", "printf -v")
	case "read":
		return when(len(words) > 1 && strings.HasPrefix(words[1], "-") && words[1] != "-r", "read with options other than -r")
	case "trap":
		last := words[len(words)-1]
		return when(slices.Contains([]string{"ERR", "DEBUG", "RETURN"}, last), "trap "+last)
	}
	return ""
}
