// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ground is the directory of one set-up's files, one for each agent.
type ground string

// buildScript is the shell step of a real build: it says that it has begun, and takes between 50 ms and about so long.
func (g ground) buildScript(longestMS int) string {
	return fmt.Sprintf("#!/bin/sh\necho \"build $JOB_NAME $BUILD_NUMBER\" >>'%s'/\"$NODE_NAME\"\nsleep \"$(printf '0.%%03d' $((BUILD_NUMBER * 37 %% %d + 50)))\"\n",
		g, max(longestMS-50, 1))
}

// cleanScript is the shell step of a cleanup.
func (g ground) cleanScript(seconds float64) string {
	return fmt.Sprintf("#!/bin/sh\nsleep %.2f\necho clean >>'%s'/\"$NODE_NAME\"\n", seconds, g)
}

// cleaned says that an agent has been cleaned.
func (g ground) cleaned(agent string) error {
	f, err := os.OpenFile(filepath.Join(string(g), agent), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString("clean\n"); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// tally is what the files of some agents tell.
type tally struct {
	builds, contaminated, cleanings int
	perJob                          map[string]int
	examples                        []string // of contaminated builds
}

// count reads the files of some agents; an agent without one was not used.
func (g ground) count(agents []string) (tally, error) {
	all := tally{perJob: map[string]int{}}
	for _, agent := range agents {
		text, err := os.ReadFile(filepath.Join(string(g), agent))
		if err != nil && !os.IsNotExist(err) {
			return all, err
		}
		all.add(agent, string(text))
	}
	return all, nil
}

// add counts the lines of one agent. A build before the first cleaning is contaminated, too: nothing was proved.
func (t *tally) add(agent, text string) {
	clean, before := false, "nothing was cleaned before"
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "clean" {
			clean = true
			t.cleanings++
			continue
		}
		t.builds++
		if word := strings.Fields(line); len(word) == 3 {
			t.perJob[word[1]]++
		}
		if !clean {
			t.contaminated++
			t.examples = append(t.examples, fmt.Sprintf("%s: %s after: %s", agent, line, before))
		}
		clean, before = false, line
	}
}

func TestABuildIsContaminatedWhenAnotherStandsBetweenItAndTheCleaning(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][3]int{ // builds, contaminated, cleanings
		"":                                     {0, 0, 0},
		"clean\nbuild j 1\nclean\nbuild j 2\n": {2, 0, 2},
		"clean\nbuild j 1\nbuild j 2\nclean\nbuild j 3\n": {3, 1, 2},
		"clean\nbuild j 1\nbuild j 2\nbuild k 1\n":        {3, 2, 1},
		"build j 1\nclean\nclean\nbuild j 2\n":            {2, 1, 2},
	} {
		g := ground(t.TempDir())
		if err := os.WriteFile(filepath.Join(string(g), "a"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := g.count([]string{"a", "never used"})
		if err != nil || [3]int{got.builds, got.contaminated, got.cleanings} != want || len(got.examples) != want[1] {
			t.Errorf("%q: builds, contaminated, cleanings %d %d %d, want %v; %v %v", text, got.builds, got.contaminated, got.cleanings, want, got.examples, err)
		}
	}
}
