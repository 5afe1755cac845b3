// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"
)

// users knows the numbers of the owned users.
type users struct {
	names map[int]string
}

// find learns the numbers of users by asking the machine's name service: directory services know users that no file
// lists. A user whom the machine does not know owns nothing.
func (u *users) find(ctx context.Context, names []string) error {
	if u.names != nil {
		return nil
	}
	found := make(map[int]string, len(names))
	for _, name := range names {
		uid, ok, err := userNumber(ctx, name)
		if err != nil {
			return fmt.Errorf("look up user %s: %w", name, err)
		}
		if ok && uid == 0 {
			return fmt.Errorf("owned user %s is root by another name: all that keeps the machine alive would be owned", name)
		}
		if ok {
			found[uid] = name
		}
	}
	u.names = found
	return nil
}

func (u *users) owned(uid int) bool {
	_, ok := u.names[uid]
	return ok
}

// numbers returns the numbers of the owned users, in order.
func (u *users) numbers() []uint32 {
	var all []uint32
	for uid := range u.names {
		all = append(all, uint32(uid)) //nolint:gosec // user numbers have 32 bits
	}
	slices.Sort(all)
	return all
}

// name returns the name of an owned user, and the number of another.
func (u *users) name(uid int) string {
	if name, ok := u.names[uid]; ok {
		return name
	}
	return strconv.Itoa(uid)
}

// userNumber asks getent, and the files where there is none. The exit code 2 of getent says that nobody knows the name.
func userNumber(ctx context.Context, name string) (uid int, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "getent", "passwd", "--", name).Output()
	switch exit, failed := errors.AsType[*exec.ExitError](err); {
	case err == nil:
		return parsePasswd(name, out)
	case failed && exit.ExitCode() == 2:
		return 0, false, nil
	case !errors.Is(err, exec.ErrNotFound):
		return 0, false, err
	}
	known, err := user.Lookup(name)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	uid, err = strconv.Atoi(known.Uid)
	return uid, err == nil, err
}

// parsePasswd reads one line of passwd(5).
func parsePasswd(name string, line []byte) (uid int, ok bool, err error) {
	fields := strings.Split(string(bytes.TrimRight(line, "\n")), ":")
	if len(fields) < 4 || fields[0] != name {
		return 0, false, fmt.Errorf("getent answers %q", line)
	}
	uid, err = strconv.Atoi(fields[2])
	return uid, err == nil, err
}
