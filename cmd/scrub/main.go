// SPDX-License-Identifier: Apache-2.0

// Command scrub does the steps of a recipe on the agent's machine. Recipe programs carry it; people can call it by hand
// to see what a step would do.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

const usage = `scrub does one step of a recipe on this machine.

usage: scrub run SPEC      mend what deviates from the step's goal, and look again
       scrub plan SPEC     say what would be mended; change nothing
       scrub verify SPEC   fail if anything deviates; change nothing
       scrub inspect [SPEC]
                           print as one JSON object what the machine is and what each step
                           would find; SPEC may hold several steps. Needs no rights: what
                           it may not see it leaves out, or says so
       scrub serve DIR     for a recipe's program, which has its steps below DIR: do those
                           that standard input asks for, one after the other

SPEC is a file that a recipe's program holds, or - for standard input. What was found is
printed for people. With --result DIR it is also written to DIR/result as one line of JSON,
and to DIR/reason why the goal is not reached. With --prefixed after it each line that is
printed begins with "| ", and DIR/tail gets the end of them without that. scrub --version
prints the version it speaks.

exit codes: 0 the goal is reached (or the plan is printed), 1 it is not,
            2 the command line or the step is wrong, 3 there is nothing here to look after,
            4 the goal is reached, and the agent sees it once it has reconnected
`

// The exit codes.
const (
	reached   = 0
	unmet     = 1
	wrong     = 2
	absent    = 3
	reconnect = 4
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(serve(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	code, err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintf(os.Stderr, "scrub: %s\n", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) (int, error) {
	c, err := parse(args)
	switch {
	case errors.Is(err, errHelp):
		fmt.Fprint(out, usage)
		return reached, nil
	case errors.Is(err, errVersion):
		fmt.Fprintf(out, "scrub, specs of version %d\n", spec.Version)
		return reached, nil
	case err != nil:
		return wrong, fmt.Errorf("%w (scrub --help says how)", err)
	case c.inspect:
		return c.inspection(ctx, in, out)
	}
	return c.do(ctx, in, out)
}

// do does the step and prints as it is wanted.
func (c command) do(ctx context.Context, in io.Reader, out io.Writer) (int, error) {
	if !c.prefixed {
		return c.step(ctx, in, out)
	}
	l := &lines{w: out}
	code, err := c.step(ctx, in, l)
	if err != nil {
		fmt.Fprintf(l, "scrub: %s\n", err)
	}
	return code, c.write("tail", l.tail)
}

// step does the step and says what came of it.
func (c command) step(ctx context.Context, in io.Reader, out io.Writer) (int, error) {
	s, err := c.spec(in)
	if err != nil {
		return wrong, err
	}
	step, err := scrub.New(s, scrub.HereFromEnvironment())
	if err != nil {
		return wrong, err
	}
	result, _ := scrub.Reach(ctx, s.Kind(), step, c.mode)
	err = c.keep(result) // before anything is said: who listens may have gone, and saying so ends this process
	say(out, result)
	if err != nil {
		return unmet, err
	}
	return code(result), nil
}

// code is the exit code that says what became of the step.
func code(r spec.Result) int {
	switch r.State {
	case spec.Unmet:
		return unmet
	case spec.Skipped:
		return absent
	case spec.Unchanged, spec.Changed, spec.Planned:
	}
	if r.Reconnect {
		return reconnect
	}
	return reached
}

// command is a command line.
type command struct {
	mode         scrub.Mode
	file, result string
	inspect      bool
	// prefixed needs a result.
	prefixed bool
}

var errHelp, errVersion = errors.New("help"), errors.New("version")

var verbs = map[string]scrub.Mode{"run": scrub.Do, "plan": scrub.Plan, "verify": scrub.Judge, "inspect": scrub.Plan}

func parse(args []string) (command, error) {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		return command{}, errHelp
	}
	if args[0] == "--version" {
		return command{}, errVersion
	}
	mode, ok := verbs[args[0]]
	if !ok {
		return command{}, fmt.Errorf("no verb %q", args[0])
	}
	c := command{mode: mode, inspect: args[0] == "inspect"}
	for rest := args[1:]; len(rest) > 0; rest = rest[1:] {
		switch {
		case rest[0] == "--result" && len(rest) > 1 && !c.inspect:
			c.result, rest = rest[1], rest[1:]
		case rest[0] == "--prefixed" && c.result != "":
			c.prefixed = true
		case c.file == "" && (rest[0] == "-" || rest[0][:min(1, len(rest[0]))] != "-"):
			c.file = rest[0]
		default:
			return command{}, fmt.Errorf("%q is one argument too many", rest[0])
		}
	}
	if c.file == "" && !c.inspect {
		return command{}, errors.New("no file with a step")
	}
	return c, nil
}

// spec reads the step.
func (c command) spec(in io.Reader) (spec.Spec, error) { return read(c.file, in, spec.Read) }

// read reads a file, or in where the file is called -.
func read[T any](file string, in io.Reader, how func(io.Reader) (T, error)) (T, error) {
	if file == "-" {
		return how(in)
	}
	f, err := os.Open(file)
	if err != nil {
		var none T
		return none, err
	}
	defer f.Close()
	return how(f)
}

// keep writes the result where the caller wants it.
func (c command) keep(r spec.Result) error {
	if c.result == "" {
		return nil
	}
	line, err := r.Line()
	if err != nil {
		return err
	}
	return errors.Join(c.write("result", line), c.write("reason", []byte(r.Reason)))
}

func (c command) write(name string, text []byte) error {
	return os.WriteFile(filepath.Join(c.result, name), text, 0o600) //nolint:gosec // the caller says where
}
