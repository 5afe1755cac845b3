// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// conf is a configuration file of our own in one of the system's directories for such. Each line sets one thing, named by
// what is left of the value; lines that others of our steps wrote stay.
type conf struct {
	path string
	// key is what a line is about, "" for one that is about nothing.
	key func(line string) string
}

const confHeader = "# Kept by pitcrew.\n"

func (c conf) lines() ([]string, error) {
	text, err := os.ReadFile(c.path)
	if err := ignore(err, fs.ErrNotExist); err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), nil
}

// lacks returns those of the wanted lines that are not there.
func (c conf) lacks(want []string) ([]string, error) {
	lines, err := c.lines()
	there := map[string]bool{}
	for _, line := range lines {
		there[line] = true
	}
	var lacks []string
	for _, line := range want {
		if !there[line] {
			lacks = append(lacks, line)
		}
	}
	return lacks, err
}

// set has the wanted lines take the place of those about the same things.
func (c conf) set(want []string) error {
	lines, err := c.lines()
	if err != nil {
		return err
	}
	about := map[string]bool{}
	for _, line := range want {
		about[c.key(line)] = true
	}
	var text strings.Builder
	text.WriteString(confHeader)
	for _, line := range lines {
		if key := c.key(line); key != "" && !about[key] {
			text.WriteString(line + "\n")
		}
	}
	for _, line := range want {
		text.WriteString(line + "\n")
	}
	if err := os.MkdirAll(path.Dir(c.path), 0o755); err != nil { //nolint:gosec // a directory of the system
		return err
	}
	return c.write(strings.NewReader(text.String()))
}

func (c conf) write(text io.Reader) error {
	s, err := openSpot(c.path)
	if err != nil {
		return err
	}
	defer s.close()
	return s.write(text, thing{Mode: 0o644, UID: os.Geteuid(), GID: os.Getegid()})
}

// denied marks errors that another try would meet again.
func denied(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return Final{err}
	}
	return err
}
