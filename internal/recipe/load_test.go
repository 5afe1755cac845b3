// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryProblemOfARecipeIsReportedAtOnceWithItsPlace(t *testing.T) {
	t.Parallel()
	_, err := Parse("r.yaml", []byte(`version: 2
nam: x
places: [relative, /tmp, /tmp]
clean:
  - name: one
    comand: ls
    run: |
      ls
      if [[ -e x ]]; then source y; fi
    timeout: ten minutes
    retryDelay: 5s
  - name: one
    run: echo a
    file: missing.sh
  - name: two
    run: "true"
    when:
      labels: a && !a
      os: [linux, "!linux"]
      arch: []
      tools: [git, "!git"]
      root: yes please
  - run: echo (
  - name: three
    env: {PITCREW_NONCE: x, "a b": y}
    outcomes: {0: failed, 300: ok, 4: rebot}
    run: cat <<<x
    run: "true"
setup: []
verify:
  name: not a list
`), opener(nil))
	var got []string
	problems, _ := errors.AsType[Problems](err)
	for _, p := range problems {
		got = append(got, p.String())
	}
	want := []string{
		`r.yaml:1:1: $: the field "name" is missing`,
		`r.yaml:1:10: $.version: this program knows version 1 of the recipe language only, not 2`,
		`r.yaml:2:1: $.nam: unknown field "nam"; did you mean "name"?`,
		`r.yaml:3:10: $.places[0]: "relative" is no place: want an absolute path, or one that begins with a variable as in $TMPDIR`,
		`r.yaml:3:26: $.places[2]: /tmp is there twice`,
		`r.yaml:6:5: $.clean[0].comand: unknown field "comand"; did you mean "commands"?`,
		`r.yaml:9:10: $.clean[0].run: [[ ]] is bash, and this step runs under sh; rewrite it or set interpreter: bash`,
		`r.yaml:9:27: $.clean[0].run: source is bash, and this step runs under sh; rewrite it or set interpreter: bash`,
		`r.yaml:10:14: $.clean[0].timeout: "ten minutes" is no duration: write for example 90s, 10m or 1h30m`,
		`r.yaml:11:17: $.clean[0].retryDelay: without retries there is nothing to delay`,
		`r.yaml:12:5: $.clean[1]: run and file exclude each other: a step does one thing`,
		`r.yaml:12:11: $.clean[1].name: the step on line 5 is called "one" already`,
		`r.yaml:14:11: $.clean[1].file: missing.sh: no such file`,
		`r.yaml:18:15: $.clean[2].when.labels: can never hold: no set of labels satisfies a && !a`,
		`r.yaml:19:11: $.clean[2].when.os: can never hold: everything it asks for is negated as well`,
		`r.yaml:20:13: $.clean[2].when.arch: can never hold: the list is empty; leave it out if it does not matter`,
		`r.yaml:21:14: $.clean[2].when.tools: can never hold: asks for git and for its absence`,
		`r.yaml:22:13: $.clean[2].when.root: want true or false, not text`,
		`r.yaml:23:5: $.clean[3]: the field "name" is missing`,
		`r.yaml:23:10: $.clean[3].run: ` + "`foo(` must be followed by `)`",
		`r.yaml:25:11: $.clean[4].env.PITCREW_NONCE: names that begin with PITCREW_ are reserved`,
		`r.yaml:25:29: $.clean[4].env.a b: "a b" is no name of a variable: want letters, digits and '_'`,
		`r.yaml:26:19: $.clean[4].outcomes.0: a step that fails when it succeeds can never pass`,
		`r.yaml:26:27: $.clean[4].outcomes.300: "300" is no exit code: want a number from 0 to 255`,
		`r.yaml:26:39: $.clean[4].outcomes.4: "rebot" is no outcome: want one of ok, warned, failed, reconnect, reboot; did you mean "reboot"?`,
		`r.yaml:27:10: $.clean[4].run: <<< is bash, and this step runs under sh; rewrite it or set interpreter: bash`,
		`r.yaml:28:5: $.clean[4].run: the field is there twice`,
		`r.yaml:29:8: $.setup: the setup phase has no step; leave it out`,
		`r.yaml:31:3: $.verify: want a list, not a mapping`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	for _, p := range problems {
		if p.Line == 9 && p.Column == 10 && p.Excerpt != "   9 |       if [[ -e x ]]; then source y; fi\n                ^" {
			t.Errorf("excerpt:\n%s", p.Excerpt)
		}
	}
}

func TestAFileThatIsNoRecipeIsOneProblem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"empty":             {"", "the recipe is empty"},
		"comment only":      {"# x\n", "the recipe is empty"},
		"a list":            {"- x\n", "want a mapping of version"},
		"text":              {"hello\n", "want a mapping of version"},
		"broken":            {"a: [1\nb: 2\n", "r.yaml:"},
		"two documents":     {recipeOf("- {name: a, run: ls}\n") + "---\na: 1\n", "a recipe is one YAML document"},
		"carriage returns":  {strings.ReplaceAll(recipeOf("- {name: a, run: ls}\n"), "\n", "\r\n"), "r.yaml:1:11: carriage return"},
		"a tab":             {"version: 1\nclean:\n\t- name: a\n", "r.yaml:3:1: the line begins with a tab: YAML wants blanks"},
		"control character": {"version: 1\nname: a\x1bb\n", "r.yaml:2:8: control character U+001B"},
		"line end of XML":   {"version: 1\nname: aé\u2028b\n", "r.yaml:2:10: control character U+2028"},
		"not UTF-8":         {"version: 1\nname: a\xff\n", "not UTF-8"},
		"an anchor":         {"version: 1\nname: &a x\n", "an anchor or alias"},
		"a merge":           {"version: 1\n<<: {name: x}\n", "merge keys are no part"},
		"a sentinel":        {recipeOf("- name: a\n  run: |\n    cat <<x\n    PITCREW-REPORT-BEGIN 1\n    x\n"), "r.yaml:7:7: $.clean[0].run: lines that begin with PITCREW-REPORT- are reserved"},
		"no proof":          {"version: 1\nname: a\nclean: [{name: a, run: ls}]\n", `the field "verify" is missing`},
		"nothing to do":     {"version: 1\nname: a\nverify: [{name: a, run: ls}]\n", "neither clean nor setup"},
		"number as text":    {"version: 1\nname: 5\n", "want text; put 5 in quotes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("r.yaml", []byte(c.text), opener(nil))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Parse: %v\nwant %q in it", err, c.want)
			}
			if problems, _ := errors.AsType[Problems](err); name == "carriage returns" && len(problems) != 1 {
				t.Errorf("%d problems, want one: %v", len(problems), err)
			}
		})
	}
}

func TestBashismsAreFoundOnlyWhereShRuns(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"function f { :; }": "the word function", "a=(1 2)": "an array", "echo ${a[1]}": "an array",
		"[ a == b ]": "[ with ==", "ls &>x": "&>", "ls <(ls)": "process substitution", "echo ${a:1:2}": "${...:from:length}",
		"echo ${a//b/c}": "${.../from/to}", "echo ${a^^}": "${...^^}", "echo ${!a}": "${!...}", "a+=b": "+=",
		"((a++))": "(( ))", "for ((i=0;i<3;i++)); do :; done": "for (( ))", "echo $'a'": "$'...'", "ls |& cat": "|&",
		"declare a": "declare", "let a=1": "let", "set -o pipefail": "set -o pipefail", "read -p x y": "read with options",
		"echo $RANDOM": "$RANDOM", "select x in a; do :; done": "select", "trap x ERR": "trap ERR", "echo !(a)": "extended pattern",
		`rm -rf "$d"/{a,b}`: "{a,b}", "for i in {1..3}; do :; done": "{a,b}", "echo -e x": "echo -e", "echo -ne x": "echo -ne",
	} {
		_, err := Parse("r.yaml", []byte(recipeOf("- name: a\n  run: |\n    "+script+"\n")), opener(nil))
		if err == nil || !strings.Contains(err.Error(), "r.yaml:6:") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s under sh: %v; want %q", script, err, want)
		}
		if _, err := Parse("r.yaml", []byte(recipeOf("- name: a\n  interpreter: bash\n  run: |\n    "+script+"\n")), opener(nil)); err != nil {
			t.Errorf("%s under bash: %v", script, err)
		}
	}
	for _, script := range []string{
		"local a; [ a = b ] && . ./x", "echo ${a:-b} ${a#x} ${#a} $((1+2))", "f() { return 1; }", "export A=b", "cat <<-x\n\tx",
		"command -v x >/dev/null 2>&1 || exit 0", "for i in 1 2; do echo $i; done; case $x in a|b) ;; *) ;; esac",
		"echo {} '{a,b}' x{a} a=${a:-{b,c}}; find . -exec ls {} +; echo -n -e; x={a,b}; echo -extra",
	} {
		text := strings.ReplaceAll(script, "\n", "\n    ")
		if _, err := Parse("r.yaml", []byte(recipeOf("- name: a\n  run: |\n    "+text+"\n")), opener(nil)); err != nil {
			t.Errorf("%s is plain sh: %v", script, err)
		}
	}
}

// The parser that the check uses skips the mark, and no shell does.
func TestAByteOrderMarkBeforeAScriptIsRefused(t *testing.T) {
	t.Parallel()
	files := []File{{Path: "x.sh", Content: []byte("\ufeffset -e\n")}}
	for interpreter, wrong := range map[string]bool{"sh": true, "bash": true, "python3": false} {
		for step, at := range map[string]string{`run: "\ufeffset -e"`: "r.yaml:6:", "file: x.sh": "x.sh:1:1: "} {
			_, err := Parse("r.yaml", []byte(recipeOf("- name: a\n  interpreter: "+interpreter+"\n  "+step+"\n")), opener(files))
			if found := err != nil && strings.Contains(err.Error(), at) && strings.Contains(err.Error(), "byte order mark"); found != wrong {
				t.Errorf("%s under %s: %v", step, interpreter, err)
			}
		}
	}
}

func TestFilesMustBeRegularAndInsideTheRecipesDirectory(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	for _, f := range []string{filepath.Join(outside, "secret"), filepath.Join(dir, "fine")} {
		if err := os.WriteFile(f, []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link-out": filepath.Join(outside, "secret"), "link-in": "fine", "link-up": "../x", "dir-out": outside} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := exec.CommandContext(t.Context(), "mkfifo", filepath.Join(dir, "pipe")).Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "huge"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "huge"), maxFile+1); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "recipe.yaml")
	for file, want := range map[string]string{
		"fine": "", "link-in": "", "./fine": "", "../secret": "leads out", "link-out": "leads out", "link-up": "leads out",
		"dir-out/secret": "leads out", "pipe": "a named pipe", ".": "no file", "/etc/passwd": "no file", "huge": "too large", "none": "no such file",
		"sub/../../x": "leads out",
	} {
		if err := os.WriteFile(path, []byte(recipeOf("- name: a\n  carry: ['"+file+"']\n  run: ls\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		problems := Check(path)
		switch {
		case want == "" && len(problems) > 0:
			t.Errorf("%s: %v", file, problems)
		case want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Msg, want) || problems[0].Line != 5):
			t.Errorf("%s: %v, want %q", file, problems, want)
		}
	}
}

func TestTheInterpreterIsTakenFromTheScript(t *testing.T) {
	t.Parallel()
	for first, want := range map[string][]string{
		"echo": {"sh"}, "#!/bin/sh": {"sh"}, "#!/bin/bash -x": {"/bin/bash", "-x"}, "#!/usr/bin/env python3": {"python3"}, "#!/usr/bin/env -S perl -w": {"perl", "-w"}, "#! /bin/sh -e": {"sh", "-e"},
	} {
		r := parse(t, recipeOf("- {name: a, file: f}\n"), File{Path: "f", Content: []byte(first + "\n")})
		if diff := cmp.Diff(want, r.Steps[0].Interpreter); diff != "" {
			t.Errorf("%s (-want +got):\n%s", first, diff)
		}
	}
}

func TestAByteOrderMarkIsSkipped(t *testing.T) {
	t.Parallel()
	text := recipeOf("- {name: a, run: 'true'}\n")
	marked, plain := parse(t, "\ufeff"+text), parse(t, text)
	if diff := cmp.Diff(plain, marked); diff != "" {
		t.Errorf("the recipe differs (-plain +marked):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(recipeOf("- {name: a, run: ls}\n"))
	f.Add(recipeOf("- name: a\n  when: {labels: a -> b, os: linux}\n  env: {A: é}\n  run: |\n    [[ x ]]\n"))
	f.Add("a: &b [*b, !!x {<<: 1}]\n? - x\n: y\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse("r.yaml", []byte(text), opener(nil))
		if err != nil {
			problems, ok := errors.AsType[Problems](err)
			if !ok || len(problems) == 0 {
				t.Fatalf("not problems: %v", err)
			}
			return
		}
		p, err := r.Compile()
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range p.Text {
			if foreign(rune(b)) {
				t.Fatalf("the program holds byte %#x at %d", b, i)
			}
		}
	})
}

func TestARecipeThatIsNotThereIsNamedOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none.yaml"), filepath.Join(dir, "none", "none.yaml")} {
		problems := Check(path)
		if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), path+": read recipe: no such file") {
			t.Errorf("%s: %v", path, problems)
		}
		if _, err := Load(path); err == nil || strings.Count(err.Error(), "none.yaml") != 1 {
			t.Errorf("load: %v", err)
		}
	}
}
