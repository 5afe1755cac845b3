// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// virsh asks libvirt by its own program: its protocol changes with its versions, that program's words hardly do.
type virsh struct {
	tool tool
	uri  string
}

// ask reads; it needs no right to change anything.
func (v virsh) ask(ctx context.Context, args ...string) (string, error) {
	out, err := v.tool.run(ctx, append([]string{"--readonly", "--quiet", "--connect", v.uri}, args...)...)
	return string(out), err
}

// do changes something.
func (v virsh) do(ctx context.Context, args ...string) error {
	_, err := v.tool.run(ctx, append([]string{"--quiet", "--connect", v.uri}, args...)...)
	return err
}

// answers returns an Absent error if no libvirt is there to answer, another if it does not let us in.
func (v virsh) answers(ctx context.Context) error {
	_, err := v.ask(ctx, "uri")
	exit, failed := errors.AsType[Exit](err)
	if failed && (strings.Contains(exit.Said, "No such file or directory") || strings.Contains(exit.Said, "Connection refused")) {
		return Absent{"no libvirt answers at " + v.uri + ": " + exit.Said}
	}
	return err
}

// lines asks for a list of names, one on each line.
func (v virsh) lines(ctx context.Context, args ...string) ([]string, error) {
	out, err := v.ask(ctx, args...)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(strings.Split(out, "\n"), func(s string) bool { return strings.TrimSpace(s) == "" }), nil
}

// domain is a virtual machine.
type domain struct {
	// uuid names it to virsh: a name may look like the number of another.
	uuid, name, state string
	disks, networks   []string
}

func (v virsh) domains(ctx context.Context) ([]domain, error) {
	uuids, err := v.lines(ctx, "list", "--all", "--uuid")
	if err != nil {
		return nil, err
	}
	var all []domain
	for _, uuid := range uuids {
		d, err := v.domain(ctx, strings.TrimSpace(uuid))
		if noSuch(err) {
			continue // it ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// part is what virsh is asked to say between what it says of a machine; said once more, by a name or a path, nothing of it
// is believed.
const part = "pitcrew-part"

// domain asks for all of a machine in one run of virsh, each of which takes tens of milliseconds.
func (v virsh) domain(ctx context.Context, uuid string) (domain, error) {
	out, err := v.ask(ctx, strings.Join([]string{
		"domstate " + uuid, "domblklist " + uuid, "domiflist " + uuid, "domname " + uuid,
	}, "; echo "+part+"; "))
	if err != nil {
		return domain{}, err
	}
	parts := strings.Split(out, part)
	if len(parts) != 4 {
		return domain{}, fmt.Errorf("what virsh says of machine %s cannot be read: %q", uuid, oneLine([]byte(out)))
	}
	d := domain{uuid: uuid, state: strings.TrimSpace(parts[0]), name: strings.Trim(parts[3], "\n")}
	for line := range strings.Lines(parts[1]) { // target, source
		if _, source, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			d.disks = append(d.disks, real(strings.TrimSpace(source)))
		}
	}
	for line := range strings.Lines(parts[2]) { // interface, type, source, model, address
		if f := strings.Fields(line); len(f) >= 5 && f[1] == "network" {
			d.networks = append(d.networks, strings.Join(f[2:len(f)-2], " "))
		}
	}
	return d, nil
}

// noSuch reports whether virsh says that what it is asked about is not there.
func noSuch(err error) bool {
	exit, ok := errors.AsType[Exit](err)
	return ok && (strings.Contains(exit.Said, "failed to get") || strings.Contains(exit.Said, "not found"))
}

// volume is a piece of storage in a pool of libvirt. Its paths are those of the files themselves, whatever links lead there.
type volume struct {
	pool, name, path, backing string
	bytes                     int64     // what it holds on the disk
	written                   time.Time // zero where libvirt does not tell
}

// volumes are those of the active pools.
func (v virsh) volumes(ctx context.Context) ([]volume, error) {
	pools, err := v.lines(ctx, "pool-list", "--name")
	if err != nil {
		return nil, err
	}
	var all []volume
	for _, pool := range pools {
		pool = strings.TrimRight(pool, " ")
		lines, err := v.lines(ctx, "vol-list", pool)
		if err != nil && !noSuch(err) {
			return nil, err
		}
		for _, line := range lines {
			one, err := v.volume(ctx, pool, line)
			if err != nil && !noSuch(err) {
				return nil, err
			}
			if err == nil {
				all = append(all, one)
			}
		}
	}
	return all, nil
}

// volume reads one line of a list: a name, blanks, and a path. Which blanks part them is what libvirt itself confirms.
func (v virsh) volume(ctx context.Context, pool, line string) (volume, error) {
	line = strings.TrimSpace(line)
	for i := strings.Index(line, " /"); i > 0; {
		one := volume{pool: pool, name: strings.TrimSpace(line[:i]), path: line[i+1:]}
		text, err := v.ask(ctx, "vol-dumpxml", "--pool", pool, one.name)
		if err == nil && element(text, "target", "path") == one.path {
			one.path, one.backing = real(one.path), real(element(text, "backingStore", "path"))
			one.bytes, one.written = allocated(text), written(text)
			return one, nil
		}
		next := strings.Index(line[i+1:], " /")
		if next < 0 {
			return volume{}, err
		}
		i += 1 + next
	}
	return volume{}, fmt.Errorf("virsh lists a volume of pool %s as %q: that cannot be read", pool, line)
}

// allocated reads from the description of a volume what it holds, 0 if that is not there.
func allocated(text string) int64 {
	_, text, _ = strings.Cut(text, "<allocation unit='bytes'>")
	text, _, _ = strings.Cut(text, "<")
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// written reads from the description of a volume when it was written for the last time: seconds since 1970, with a fraction.
func written(text string) time.Time {
	seconds, _, _ := strings.Cut(element(text, "timestamps", "mtime"), ".")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// real follows all links in a path, for comparing what leads to the same file; what is not there stays as it is.
func real(p string) string {
	if to, err := filepath.EvalSymlinks(p); p != "" && err == nil {
		return to
	}
	return p
}

// element returns the text of the first element inner inside the first element outer of an XML text that libvirt made, ""
// if there is none. Libvirt writes what it escapes as entities, and neither comments nor sections of its own.
func element(text, outer, inner string) string {
	_, text, _ = strings.Cut(text, "<"+outer+">")
	text, _, _ = strings.Cut(text, "</"+outer+">")
	_, text, found := strings.Cut(text, "<"+inner+">")
	text, _, closed := strings.Cut(text, "</"+inner+">")
	if !found || !closed {
		return ""
	}
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&amp;", "&").Replace(text)
}
