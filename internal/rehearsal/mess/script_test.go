// SPDX-License-Identifier: Apache-2.0

package mess

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testID = "k7f3q9x2m1"

func TestScriptRefusesWhatItCannotCarry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		makers []Maker
		id     string
	}{
		"a short id":          {All(), "abc"},
		"an id of the shell":  {All(), "abcdefgh;id"},
		"an id with a line":   {All(), "abcdefgh\n"},
		"no makers":           {nil, testID},
		"an unknown maker":    {[]Maker{{Name: "files-other"}}, testID},
		"a maker a 2nd time":  {[]Maker{all[0], all[0]}, testID},
		"a maker as a script": {[]Maker{{Name: "x; id"}}, testID},
	} {
		if text, err := Script(c.makers, c.id); err == nil {
			t.Errorf("%s: gives %d bytes, want an error", name, len(text))
		}
	}
}

func TestEveryMakerHasItsFunctionAndEveryNeedAWord(t *testing.T) {
	t.Parallel()
	for _, m := range All() {
		if !strings.Contains(makePart, "\nmake_"+strings.ReplaceAll(m.Name, "-", "_")+"() {") {
			t.Errorf("%s has no function", m.Name)
		}
		for _, n := range m.Needs {
			if !regexp.MustCompile(`(?m)^\t\t` + words[n] + `\) `).MatchString(makePart) {
				t.Errorf("%s needs %s, which the program does not look for", m.Name, n)
			}
		}
	}
}

func TestReadWantsOneLineForEachMaker(t *testing.T) {
	t.Parallel()
	makers := all[:2]
	got, err := Read([]byte("noise\r\nmess files-tree removed a, b\r\nmess files-names gone\n"), makers)
	want := []Line{{"files-tree", Removed, "a, b"}, {"files-names", Gone, ""}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, log := range []string{
		"", "mess files-tree made\n", "mess files-tree made\nmess files-tree made\nmess files-names made\n",
		"mess files-tree made\nmess files-names fine\n", "mess files-tree made\nmess files-names made\nmess loop made\n",
	} {
		if got, err := Read([]byte(log), makers); err == nil {
			t.Errorf("%q: %v, want an error", log, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("mess files-tree made\nmess files-names LEFT x\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		if lines, err := Read(log, all[:2]); err == nil && len(lines) != 2 {
			t.Errorf("%q: %v", log, lines)
		}
	})
}

// TestDocsNameEveryMaker holds the table in the documentation to the makers.
func TestDocsNameEveryMaker(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/rehearsal.md")
	if err != nil {
		t.Fatal(err)
	}
	if table := Table(); !strings.Contains(string(text), table) {
		t.Errorf("docs/rehearsal.md lacks this table:\n%s", table)
	}
}
