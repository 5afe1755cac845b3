// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// links bounds how many links a path may lead through, as the kernel does.
const links = 40

// spelled returns o with its paths as the kernel spells them: where /home is a link to /export/home, only the latter is
// ever told. A path that leads to what nobody may own is refused.
func spelled(o spec.Ownership) (spec.Ownership, error) {
	paths := make([]string, len(o.Paths))
	for i, p := range o.Paths {
		paths[i] = spell(p)
		if paths[i] == p {
			continue
		}
		if problems := (spec.Ownership{Paths: paths[i : i+1]}).Check(); len(problems) > 0 {
			return o, fmt.Errorf("owned path %s leads elsewhere: %w", p, errors.Join(problems...))
		}
	}
	o.Paths = paths
	return o, nil
}

// spell follows the links in p that nobody but root can have put there. Others stand as they are: what they lead to is
// not owned, and nothing that the kernel tells of is ever below them.
func spell(p string) string {
	at, rest := "/", strings.TrimPrefix(p, "/")
	for seen := 0; rest != "" && seen < links; {
		name, after, _ := strings.Cut(rest, "/")
		to, err := os.Readlink(path.Join(at, name)) // not lstat, which would ask a server
		switch {
		case errors.Is(err, unix.EINVAL): // no link
			at, rest = path.Join(at, name), after
			continue
		case err != nil, !rootsOwn(at, path.Join(at, name)):
			return path.Join(at, rest)
		}
		seen++
		if !path.IsAbs(to) {
			to = path.Join(at, to)
		}
		at, rest = "/", strings.Trim(path.Join(to, after), "/")
	}
	return path.Join(at, rest)
}

// rootsOwn reports whether only root can have put link into dir.
func rootsOwn(dir, link string) bool {
	var d, l unix.Stat_t
	if unix.Lstat(dir, &d) != nil || unix.Lstat(link, &l) != nil {
		return false
	}
	const othersWrite = unix.S_IWGRP | unix.S_IWOTH
	return d.Uid == 0 && l.Uid == 0 && (d.Mode&othersWrite == 0 || d.Mode&unix.S_ISVTX != 0)
}
