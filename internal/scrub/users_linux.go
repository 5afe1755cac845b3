// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// users knows the numbers of the owned users.
type users struct {
	names   map[int]string
	unknown []string // owned users whom the machine does not know
}

// find learns the numbers of users by asking the machine's name service. A user whom the machine does not know owns nothing. An account of
// the system is refused unless it is named as one: what the machine itself runs would be owned.
func (u *users) find(ctx context.Context, here Here, owned spec.Ownership) error {
	if u.names != nil {
		return nil
	}
	u.unknown = nil
	found := make(map[int]string, len(owned.Users)+len(owned.SystemUsers))
	for i, name := range slices.Concat(owned.Users, owned.SystemUsers) {
		fields, ok, err := here.entry(ctx, passwd, name)
		if err != nil {
			return fmt.Errorf("look up user %s: %w", name, err)
		}
		if !ok {
			u.unknown = append(u.unknown, name)
			continue
		}
		uid, err := strconv.Atoi(fields[2])
		if err != nil {
			return fmt.Errorf("look up user %s: its number is %q", name, fields[2])
		}
		if uid == 0 {
			return fmt.Errorf("owned user %s is root by another name: all that keeps the machine alive would be owned", name)
		}
		if i < len(owned.Users) {
			if err := ofPeople(name, uid); err != nil {
				return err
			}
		}
		found[uid] = name
	}
	u.names = found
	return nil
}

// The numbers of accounts that are none of people (login.defs(5)): below firstUID, unless the machine says otherwise, and that of nobody,
// whom services and servers of files share.
const firstUID, nobody = 1000, 65534

// ofPeople refuses an account of the system. The one that the agent runs as is CI's own, whatever its number.
func ofPeople(name string, uid int) error {
	first, err := firstOfPeople()
	switch {
	case err != nil:
		return fmt.Errorf("cannot tell whether the owned user %s is an account of the system: %w", name, err)
	case uid == nobody:
		return fmt.Errorf("owned user %s is nobody (%d), whom services share: name it in systemUsers if all that it runs is of CI", name, uid)
	case uid < first && uid != agentUser():
		return fmt.Errorf("owned user %s is an account of the system (%d, below UID_MIN %d): name it in systemUsers if all that it runs is of CI", name, uid, first)
	}
	return nil
}

// firstOfPeople is the least number that the machine gives to people.
func firstOfPeople() (int, error) {
	text, err := os.ReadFile("/etc/login.defs")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "UID_MIN" {
			return strconv.Atoi(fields[1])
		}
	}
	return firstUID, nil
}

// notes names the owned users whom the machine does not know: a wrong name owns nothing, which would pass for all being well.
func (u *users) notes() []string {
	notes := make([]string, len(u.unknown))
	for i, name := range u.unknown {
		notes[i] = fmt.Sprintf("owned user %s is not known here", shown(name))
	}
	return notes
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
