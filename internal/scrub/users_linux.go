// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"fmt"
	"slices"
	"strconv"
)

// users knows the numbers of the owned users.
type users struct {
	names map[int]string
}

// find learns the numbers of users by asking the machine's name service. A user whom the machine does not know owns nothing.
func (u *users) find(ctx context.Context, here Here, names []string) error {
	if u.names != nil {
		return nil
	}
	found := make(map[int]string, len(names))
	for _, name := range names {
		fields, ok, err := here.entry(ctx, passwd, name)
		if err != nil {
			return fmt.Errorf("look up user %s: %w", name, err)
		}
		if !ok {
			continue
		}
		uid, err := strconv.Atoi(fields[2])
		if err != nil {
			return fmt.Errorf("look up user %s: its number is %q", name, fields[2])
		}
		if uid == 0 {
			return fmt.Errorf("owned user %s is root by another name: all that keeps the machine alive would be owned", name)
		}
		found[uid] = name
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
