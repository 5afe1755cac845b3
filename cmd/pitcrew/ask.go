// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// interactive reports whether there is a person to ask.
func (c *cli) interactive() bool { return isTerminal(c.in) && isTerminal(c.err) }

// confirm asks the user whether to go on; where nobody can be asked, the flag --yes must have said so.
func (c *cli) confirm(question string) error {
	if !c.interactive() {
		return usage("nobody can be asked here: say --yes")
	}
	answer, err := newQuestioner(c.in, c.err).ask(question+" [y/N]", "")
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

// ask returns the answer, or what is offered for an empty one.
func (q *questioner) ask(question, offered string) (string, error) {
	if offered != "" {
		question += " [" + offered + "]"
	}
	fmt.Fprint(q.out, question+" ")
	line, err := q.in.ReadString('\n')
	if err != nil {
		fmt.Fprintln(q.out)
		if err == io.EOF { // Ctrl-D
			err = context.Canceled
		}
		return "", err
	}
	if line = strings.TrimSpace(line); line == "" {
		return offered, nil
	}
	return line, nil
}
