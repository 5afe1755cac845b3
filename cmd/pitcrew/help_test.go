// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// everyCommand calls f for each command that people see, in the order of help.
func everyCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
			everyCommand(sub, f)
		}
	}
}

func testCLI() (*cli, *bytes.Buffer) {
	var out bytes.Buffer
	return &cli{streams: streams{in: strings.NewReader(""), out: &out, err: &out}, getenv: func(string) string { return "" }}, &out
}

func TestHelpOfEveryCommandFits80Columns(t *testing.T) {
	t.Parallel()
	c, out := testCLI()
	var all strings.Builder
	everyCommand(c.root(), func(cmd *cobra.Command) {
		out.Reset()
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		if cmd.IsAdditionalHelpTopicCommand() {
			args = []string{"help", cmd.Name()}
		}
		if code := c.run(t.Context(), args); code != exitOK {
			t.Errorf("%s: exit code %d", args, code)
		}
		for line := range strings.Lines(out.String()) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > helpWidth {
				t.Errorf("%s: %d columns: %s", args, n, line)
			}
			if strings.HasSuffix(line, " \n") {
				t.Errorf("%s: blank at the end of %q", args, line)
			}
		}
		fmt.Fprintf(&all, "$ pitcrew %s\n%s\n", strings.Join(args, " "), out)
	})
	golden(t, filepath.Join("testdata", "help.txt"), all.String())
}

func TestEveryCommandSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	c, _ := testCLI()
	everyCommand(c.root(), func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: the short text %q should be a phrase without a full stop", cmd.CommandPath(), cmd.Short)
		}
		if cmd.Parent() != nil && cmd.Parent().Name() == "pitcrew" && cmd.GroupID == "" && !cmd.IsAdditionalHelpTopicCommand() {
			t.Errorf("%s is in no group of help", cmd.CommandPath())
		}
	})
}

func TestReferenceOfCommandsIsUpToDate(t *testing.T) {
	t.Parallel()
	c, _ := testCLI()
	var b strings.Builder
	b.WriteString("<!-- Made of the commands in cmd/pitcrew by: go test ./cmd/pitcrew -update; do not edit. -->\n\n# The command line\n")
	everyCommand(c.root(), func(cmd *cobra.Command) { b.WriteString(reference(cmd)) })
	golden(t, filepath.Join("..", "..", "docs", "cli.md"), b.String())
}

// reference is a command's part of the reference page.
func reference(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n", cmd.CommandPath())
	if cmd.IsAdditionalHelpTopicCommand() {
		b.Reset()
		fmt.Fprintf(&b, "\n## %s\n\n", cmd.Short)
	}
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	b.WriteString(markdown(long))
	if cmd.Runnable() {
		fmt.Fprintf(&b, "\n```\n%s\n```\n", useLine(cmd))
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n\n```sh\n%s\n```\n", outdented(cmd.Example))
	}
	if flags := flagUsages(cmd, false); flags != "" {
		fmt.Fprintf(&b, "\nFlags:\n\n```\n%s\n```\n", flags)
	}
	if flagUsages(cmd, true) != "" && cmd.Name() != "agents" {
		b.WriteString("\nFlags of the [connection](#pitcrew-agents): `--server`, `--token-file`, `--config`, `--plain-http`, `--timeout`.\n")
	} else if flags := flagUsages(cmd, true); flags != "" {
		fmt.Fprintf(&b, "\nConnection to the daemon, the same for all commands that ask it:\n\n```\n%s\n```\n", flags)
	}
	return b.String()
}

// markdown keeps indented lines as they are.
func markdown(text string) string {
	var b strings.Builder
	inside := false
	for paragraph := range strings.SplitSeq(prose(text), "\n\n") {
		for line := range strings.SplitSeq(paragraph, "\n") {
			if indented := strings.HasPrefix(line, "  "); indented != inside {
				b.WriteString("```\n")
				inside = indented
			}
			b.WriteString(line + "\n")
		}
		if inside {
			b.WriteString("```\n")
			inside = false
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func outdented(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}
