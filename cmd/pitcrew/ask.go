// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// interactive reports whether there is a person to ask.
func (c *cli) interactive() bool { return isTerminal(c.in) && isTerminal(c.err) }

// confirm asks the user whether to go on; where nobody can be asked, the flag --yes must have said so.
func (c *cli) confirm(ctx context.Context, question string) error {
	if !c.interactive() {
		return usage("nobody can be asked here: say --yes")
	}
	answer, err := newQuestioner(c.in, c.err).ask(ctx, question+" [y/N]", "")
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return exit(exitFailed, fmt.Errorf("not done"))
	}
	return nil
}

// questioner asks a person one thing after another.
type questioner struct {
	in  *bufio.Reader
	out io.Writer
}

func newQuestioner(in io.Reader, out io.Writer) *questioner {
	return &questioner{in: bufio.NewReader(in), out: out}
}

// ask returns the answer, or what is offered for an empty one. It ends with ctx, as Ctrl-C does that,
// and takes Ctrl-D for the same.
func (q *questioner) ask(ctx context.Context, question, offered string) (string, error) {
	if offered != "" {
		question += " [" + offered + "]"
	}
	fmt.Fprint(q.out, question+" ")
	line, err := q.line(ctx)
	if err != nil {
		fmt.Fprintln(q.out)
		return "", err
	}
	if line = strings.TrimSpace(line); line == "" {
		return offered, nil
	}
	return line, nil
}

// line reads one line. When ctx ends first, the read goes on and nobody waits for it: a read of a
// terminal cannot be called off, and the program is about to end.
func (q *questioner) line(ctx context.Context) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := q.in.ReadString('\n')
		read <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", exit(exitInterrupted, errSilent)
	case r := <-read:
		if errors.Is(r.err, io.EOF) { // Ctrl-D
			return "", exit(exitInterrupted, errSilent)
		}
		return r.line, r.err
	}
}
