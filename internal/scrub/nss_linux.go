// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// The databases of the machine's name service, which are also the names of the files that it asks first.
const (
	passwd = "passwd"
	group  = "group"
)

// entry asks the machine's name service for the line of a user or group, by its name: directory services know users that
// no file lists. Where there is no getent, the files are read; where the service asks them first, they are read before it is asked.
func (h Here) entry(ctx context.Context, database, name string) (fields []string, ok bool, err error) {
	if _, noNumber := strconv.Atoi(name); noNumber != nil && filesFirst(database) {
		text, _ := os.ReadFile("/etc/" + database) // getent says what is wrong with it
		if fields, ok = lineOf(text, name); ok {
			return fields, true, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	getent, err := h.tool("getent")
	if err != nil {
		text, err := os.ReadFile("/etc/" + database)
		fields, ok = lineOf(text, name)
		return fields, ok, err
	}
	text, err := getent.run(ctx, database, "--", name)
	if exit, failed := errors.AsType[Exit](err); failed && exit.Code == 2 { // nobody knows it
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("look up %s in %s: %w", name, database, err)
	}
	fields, ok = lineOf(text, name)
	if _, noNumber := strconv.Atoi(name); !ok && noNumber != nil { // it takes a number for a name, too
		return nil, false, fmt.Errorf("look up %s in %s: getent answers %q", name, database, oneLine(text))
	}
	return fields, ok, nil
}

// filesFirst reports whether the name service takes what the file says and asks no further: nsswitch.conf(5) names files first, and no
// other action for what they know.
func filesFirst(database string) bool {
	text, _ := os.ReadFile("/etc/nsswitch.conf")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), database+":"); ok {
			services := strings.Fields(strings.ReplaceAll(rest, "[", " ["))
			return len(services) > 0 && services[0] == "files" && (len(services) == 1 || services[1][0] != '[')
		}
	}
	return false
}

// lineOf returns the fields of the line that begins with name.
func lineOf(text []byte, name string) (fields []string, ok bool) {
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimRight(line, "\n"), ":")
		if fields[0] == name && len(fields) > 3 {
			return fields, true
		}
	}
	return nil, false
}

// number returns the number of a user or group that is given by name or by number.
func (h Here) number(ctx context.Context, database, name string) (int, error) {
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	fields, ok, err := h.entry(ctx, database, name)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("the machine knows no %s %s", map[string]string{passwd: "user", group: "group"}[database], name)
	}
	return strconv.Atoi(fields[2])
}
