// SPDX-License-Identifier: Apache-2.0

// Package mountinfo reads the text of /proc/PID/mountinfo and says what follows from it: what is mounted on what, in
// which order it can be unmounted, what hides what, and what goes along.
//
// The text is all that is asked: nothing here touches a mount point, because one on a dead server would hang whoever
// looks at it.
package mountinfo

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Mount is one line of mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	// ID is unique as long as it is mounted. Parent is the mount that it is mounted on; the topmost is its own, or has
	// one that is not in the table.
	ID, Parent int
	// Device is the number of the file system as "major:minor". All mounts of one file system share it.
	Device string
	// Root is the directory of the file system that shows at Point. One that has been deleted ends with "//deleted".
	Root  string
	Point string
	// Shared is the peer group that mounting and unmounting in this mount is told to, Master the one that tells it; 0 for
	// none.
	Shared, Master int
	// Type is the type of the file system, as ext4 or fuse.sshfs. Source is what its owner calls it: any text.
	Type, Source string
	// Flags are the options of this mount, Options those of its file system. Of both, ro alone makes it read-only.
	Flags, Options string
}

var errLine = errors.New("not a line of mountinfo")

// Parse reads a whole table. A line that cannot be understood is an error: what is not known to be mounted could be
// what a deletion runs into.
func Parse(text []byte) ([]Mount, error) {
	var all []Mount
	for line := range bytes.Lines(text) {
		m, err := parseLine(strings.TrimSuffix(string(line), "\n"))
		if err != nil {
			return nil, fmt.Errorf("read mountinfo, line %d: %w", len(all)+1, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// The fields before the optional ones, and how many there are from the separator on.
const (
	fieldID = iota
	fieldParent
	fieldDevice
	fieldRoot
	fieldPoint
	fieldOptions
	fieldOptional
	tail = 4
)

// parseLine splits at each space, not at each run of them: a source may be empty.
func parseLine(line string) (Mount, error) {
	fields := strings.Split(line, " ")
	end := fieldOptional
	for ; end < len(fields) && fields[end] != "-"; end++ {
	}
	if len(fields) < end+tail {
		return Mount{}, errLine
	}
	m := Mount{
		Device: fields[fieldDevice], Root: Unescape(fields[fieldRoot]), Point: Unescape(fields[fieldPoint]), Flags: fields[fieldOptions],
		Type: Unescape(fields[end+1]), Source: Unescape(fields[end+2]), Options: Unescape(strings.Join(fields[end+3:], " ")),
	}
	var err error
	if m.ID, err = strconv.Atoi(fields[fieldID]); err != nil {
		return Mount{}, errLine
	}
	if m.Parent, err = strconv.Atoi(fields[fieldParent]); err != nil {
		return Mount{}, errLine
	}
	if !strings.HasPrefix(m.Point, "/") {
		return Mount{}, errLine
	}
	for _, field := range fields[fieldOptional:end] {
		name, value, _ := strings.Cut(field, ":")
		group, _ := strconv.Atoi(value)
		switch name {
		case "shared":
			m.Shared = group
		case "master":
			m.Master = group
		}
	}
	return m, nil
}

// Unescape turns each backslash with three octal digits into the byte that it stands for. The kernel writes space, tab,
// line end and backslash so, in some fields others too.
func Unescape(s string) string {
	at := strings.IndexByte(s, '\\')
	if at < 0 {
		return s
	}
	out := []byte(s[:at])
	for i := at; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out = append(out, byte(c))
				i += 3
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// Option returns the value of an option of the file system, as "1000" for user_id=1000.
func (m Mount) Option(name string) (value string, ok bool) {
	for option := range strings.SplitSeq(m.Options, ",") {
		if key, value, _ := strings.Cut(option, "="); key == name {
			return value, true
		}
	}
	return "", false
}
