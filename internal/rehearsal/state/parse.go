// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	sentinel = "PITCREW-STATE-"
	begin    = sentinel + "BEGIN"
	end      = sentinel + "END"

	maxBody  = 32 << 20
	maxLines = 20000 // of a section: the program sends no more, and with so many it is not whole
)

// Parse finds the state with nonce in a log. Exactly one must be there, whole: it is an error if a line that begins like
// a sentinel is another's, and if a line cannot be understood.
func Parse(log []byte, nonce string) (State, error) {
	lines, err := frame(log, nonce)
	if err != nil {
		return State{}, err
	}
	r := reading{items: map[name][]string{}, unread: map[Kind]string{}, counts: map[string]int{}}
	for i, line := range lines {
		section, text, ok := strings.Cut(line, "\t")
		if !ok {
			return State{}, fmt.Errorf("state, line %d: %.80q has no section", i+1, line)
		}
		read, known := sections[section]
		if !known {
			return State{}, fmt.Errorf("state, line %d: the section %.40q is not known", i+1, section)
		}
		r.counts[section]++
		if err := read(&r, text); err != nil {
			return State{}, fmt.Errorf("state, line %d: %s %.200q: %w", i+1, section, text, err)
		}
	}
	return r.state(), nil
}

// frame returns the lines between the sentinels.
func frame(log []byte, nonce string) ([]string, error) {
	if nonce == "" {
		return nil, fmt.Errorf("read a state: no nonce to know it by")
	}
	var lines []string
	size, began, ended := 0, false, false
	for raw := range bytes.Lines(log) {
		line := strings.TrimRight(string(raw), "\r\n")
		switch {
		case !strings.HasPrefix(line, sentinel):
			if began && !ended {
				lines = append(lines, line)
				if size += len(line); size > maxBody {
					return nil, fmt.Errorf("read a state: it has more than %d bytes", maxBody)
				}
			}
		case line == begin+" "+nonce && !began:
			began = true
		case line == end+" "+nonce+" "+strconv.Itoa(len(lines)) && began && !ended:
			ended = true
		default:
			return nil, fmt.Errorf("read a state: %.80q is not the sentinel that is due", line)
		}
	}
	if !ended {
		return nil, fmt.Errorf("read a state: it did not end (begun: %v)", began)
	}
	return lines, nil
}

type name struct {
	kind Kind
	key  string
}

// reading is a state while its lines are read.
type reading struct {
	items  map[name][]string
	unread map[Kind]string
	counts map[string]int // lines by section
	apk    string         // the package that the next version is of
}

func (r *reading) add(kind Kind, key, value string) {
	n := name{kind, clean(key)}
	r.items[n] = append(r.items[n], clean(value))
}

// clean makes text of others fit to be shown and to stand in JSON.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func (r *reading) state() State {
	s := State{Items: []Item{}, Unread: r.unread}
	for section, n := range r.counts {
		if kind, bounded := bounds[section]; bounded && n >= maxLines {
			s.Unread[kind] = fmt.Sprintf("there are %d or more of them, too many to compare", maxLines)
		}
	}
	for n, values := range r.items {
		slices.Sort(values)
		s.Items = append(s.Items, Item{n.kind, n.key, strings.Join(slices.Compact(values), ", ")})
	}
	slices.SortFunc(s.Items, order)
	return s
}

func order(a, b Item) int {
	return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(a.Key, b.Key))
}

// bounds are the kinds that are not whole if their section has as many lines as the program sends at most.
var bounds = map[string]Kind{
	"dpkg": Package, "rpm": Package, "apk": Package, "pacman": Package, "units": Service, "unitfiles": Service, "openrc": Service,
	"mountinfo": Mount, "passwd": User, "group": Group, "file": File, "link": File, "digest": File,
	"tcp": Port, "tcp6": Port, "udp": Port, "udp6": Port, "unix": Port,
}
