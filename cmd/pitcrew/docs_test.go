// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/shell"
)

// shown are the blocks of commands that a page has.
var shown = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```$")

// substituted is what a shell runs first.
var substituted = regexp.MustCompile(`\$\([^)]*\)`)

// Nobody should have to find out by trial which flags a page forgot.
func TestCommandsInTheDocsAreWhole(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, page := range append(pages, filepath.Join("..", "..", "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shown.FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "pitcrew ") {
					checked++
					checkShown(t, filepath.Base(page), line)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d commands were found", checked)
	}
}

// checkShown does with a command line all that comes before it is run.
func checkShown(t *testing.T, page, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, " | ")
	line, _, _ = strings.Cut(line, " > ")
	args, err := shell.Fields(substituted.ReplaceAllString(line, "x"), func(string) string { return "x" })
	if err != nil {
		t.Errorf("%s: %s: %v", page, line, err)
		return
	}
	c, _ := testCLI()
	cmd, rest, err := c.root().Find(args[1:])
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil {
		t.Errorf("%s: %s: %v", page, line, err)
	} else if missing := missingFlags(cmd); len(missing) > 0 {
		t.Errorf("%s: %s: missing: %s", page, line, strings.Join(missing, ", "))
	}
}
