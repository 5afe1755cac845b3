// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// Exit codes, also listed by `pitcrew help exit-codes`.
const (
	exitOK      = 0
	exitFailed  = 1 // the operation failed
	exitUsage   = 2 // the command line is wrong
	exitFound   = 3 // the operation worked, and what it looked for is not well (audit, check, doctor)
	exitNoReach = 4 // the daemon cannot be reached
	exitDenied  = 5 // the daemon refused the token, or its role
)

// streams are where a command reads and writes; tests give their own.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// exit gives err an exit code.
func exit(code int, err error) error { return &exitError{code: code, err: err} }

// run is the whole command; it returns the exit code.
func run(ctx context.Context, args []string, s streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(s.err, "pitcrew: "+text)
	}
	var coded *exitError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitFailed
}

// newRoot assembles the command line.
func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "pitcrew",
		Short: "Service Jenkins agents out of band",
		Long: `pitcrew cleans and sets up Jenkins agents between builds, proves the result, and only
then lets jobs have them. A failing cleanup fails nobody's build.

Begin with: pitcrew demo`,
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit(exitUsage, fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
	})
	root.AddCommand(demoCommand(), serveCommand(), versionCommand())
	return root
}

// defaultConfig is where the configuration is looked for.
func defaultConfig() string {
	if path := os.Getenv("PITCREW_CONFIG"); path != "" {
		return path
	}
	return "/etc/pitcrew/pitcrew.yaml"
}
