// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

type broken struct{ writes int }

func (b *broken) Write([]byte) (int, error) {
	b.writes++
	return 0, errors.New("no space left")
}

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	token := NewToken()
	var out strings.Builder
	tail := newTail(&out, token)
	var all strings.Builder
	for i := range 100 {
		fmt.Fprintf(&all, "line %d\r\n", i)
	}
	fmt.Fprintf(&all, "the token is %s, they say\nSEVERE: %s\n%s\nno end", token, bootFailed, strings.Repeat("x", 5000))
	for text := all.String(); text != ""; { // in pieces of all sizes
		n := min(len(text), 7+len(text)%50)
		if written, err := tail.Write([]byte(text[:n])); written != n || err != nil {
			t.Fatal(written, err)
		}
		text = text[n:]
	}
	if out.String() != all.String() {
		t.Error("the log was not passed on as it is")
	}
	lines := strings.Split(tail.text(), "\n")
	if len(lines) != tailLines+1 || lines[0] != "line 63" || lines[37] != "the token is ***, they say" || len(lines[39]) != tailWidth || lines[40] != "no end" {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
	if !tail.saw(bootFailed) || tail.saw(portTaken) {
		t.Error("it has not seen what it was told, or what it was not")
	}
}

func TestTailDoesNotStallForALogThatNobodyTakes(t *testing.T) {
	t.Parallel()
	out := &broken{}
	tail := newTail(out, "")
	for range 3 {
		if n, err := tail.Write([]byte("x\n")); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if out.writes != 1 || tail.text() != "x\nx\nx" {
		t.Errorf("%d writes, %q", out.writes, tail.text())
	}
}

func TestOwnerIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	me := self()
	if got := parseProcess(me.String()); got != me {
		t.Errorf("got %+v, want %+v", got, me)
	}
	for _, label := range []string{"", "x", "a/b/c/d/e", "a/b/c/1/2/3", "a/b/c/1 /2", "a/b/c/01/2", "a/b/c/-1/2"} {
		if got := me.fateOf(parseProcess(label), true); got != unknown {
			t.Errorf("%q: fate %d, want unknown", label, got)
		}
	}
}

// A socket may lead to the engine of a clone, whose machine id is ours.
func TestAnotherBootElsewhereIsNotJudged(t *testing.T) {
	t.Parallel()
	me := process{machine: "m", boot: "b", space: "s", pid: 1, start: 2}
	before := process{machine: "m", boot: "a", space: "s", pid: 1, start: 2}
	if here, there := me.fateOf(before, true), me.fateOf(before, false); here != dead || there != unknown {
		t.Errorf("here %d, there %d", here, there)
	}
	if got := (process{machine: "", boot: "b", space: "s"}).fateOf(process{boot: "a", space: "s", pid: 1, start: 2}, true); got != unknown {
		t.Errorf("of a machine without an id: %d", got)
	}
}

func TestTokensAreOfTheFormThatJenkinsTakes(t *testing.T) {
	t.Parallel()
	one, two := NewToken(), NewToken()
	if !goodToken.MatchString(string(one)) || one == two {
		t.Error("a token is malformed, or comes twice")
	}
}

func TestStreamsDoNotCutEachOthersLines(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	tail := newTail(&out, "")
	stdout, stderr := lines{to: tail}, lines{to: tail}
	for _, piece := range []struct {
		to   *lines
		text string
	}{{&stdout, "on std"}, {&stderr, "on stderr\non std"}, {&stdout, "out\nno "}, {&stderr, "err\n"}, {&stdout, "end"}, {&stderr, strings.Repeat("x", maxLine+1)}} {
		if n, err := piece.to.Write([]byte(piece.text)); n != len(piece.text) || err != nil {
			t.Fatal(n, err)
		}
	}
	stdout.flush()
	stderr.flush()
	if want := "on stderr\non stdout\non stderr\n" + strings.Repeat("x", maxLine+1) + "no end"; out.String() != want {
		t.Errorf("got %.100q", out.String())
	}
}
