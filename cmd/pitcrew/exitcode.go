// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes. They are part of the command line: scripts depend on them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitFound       = 3
	exitNoReach     = 4
	exitDenied      = 5
	exitInterrupted = 130
)

// exitCodes says what each means, for help and documentation.
var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitOK, "It worked. For commands that look, all is well."},
	{exitFailed, "It did not work; the message says why."},
	{exitUsage, "The command line or the configuration file is wrong; nothing was done."},
	{exitFound, "It worked, and what it found is not well: problems in a file, jobs without protection, a cleanup that failed, a doctor's finding."},
	{exitNoReach, "The daemon cannot be reached, or does not answer in time."},
	{exitDenied, "The daemon refused the token, or wants one, or the token's role is too low."},
	{exitInterrupted, "Interrupted by Ctrl-C or SIGTERM. Where a command runs until it is interrupted, that is no failure: 0. A second one ends it at once, by the signal."},
}

// exitError is an error with an exit code of its own. One without text ends the command silently.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// exit gives err an exit code.
func exit(code int, err error) error { return &exitError{code: code, err: err} }

// usage is a mistake on the command line.
func usage(format string, args ...any) error { return exit(exitUsage, fmt.Errorf(format, args...)) }

// errSilent ends a command that has already said everything.
var errSilent = errors.New("")

// notWell ends a command that worked, and whose output shows what is not well.
var notWell = exit(exitFound, errSilent)

// codeOf is the exit code of a command that ended with err.
func codeOf(err error) int {
	var coded *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// exitCodesTopic is help without a command.
func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("pitcrew ends with one of these codes:\n\n")
	for _, c := range exitCodes {
		lines := strings.Split(wrap(c.meaning, helpWidth-6), "\n")
		fmt.Fprintf(&b, "%5d %s\n", c.code, strings.Join(lines, "\n      "))
	}
	b.WriteString("\n" + wrap("\"pitcrew recipe run\" ends with the code of the recipe's program: 0 unless the cleanup failed (1), "+
		"was refused (78), or found no place to unpack itself (74).", helpWidth))
	return &cobra.Command{Use: "exit-codes", Short: "The exit codes of all commands", Long: b.String()}
}
