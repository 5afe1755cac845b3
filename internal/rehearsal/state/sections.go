// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// errForm is a line that is not as its tool writes it.
var errForm = errors.New("is not of the form that is due")

// sections are the readers of the lines, by section.
var sections = map[string]func(*reading, string) error{
	"dpkg": pair(Package), "rpm": pair(Package), "pacman": pair(Package), "apk": apk,
	"units": unit, "unitfiles": unitFile, "openrc": openrc,
	"mountinfo": mountinfo, "passwd": passwd, "group": group,
	"file": file, "link": link, "digest": digest,
	"tcp": port("tcp"), "tcp6": port("tcp"), "udp": port("udp"), "udp6": port("udp"), "unix": unix,
	"fact": fact, "unread": unread,
}

// pair reads "KEY VALUE".
func pair(kind Kind) func(*reading, string) error {
	return func(r *reading, text string) error {
		key, value, ok := strings.Cut(strings.TrimSpace(text), " ")
		if !ok || key == "" {
			return errForm
		}
		r.add(kind, key, strings.Join(strings.Fields(value), " "))
		return nil
	}
}

// apk reads two lines of the database of Alpine: "P:name", then "V:version".
func apk(r *reading, text string) error {
	switch tag, value, _ := strings.Cut(text, ":"); {
	case tag == "P":
		r.apk = value
	case tag == "V" && r.apk != "":
		r.add(Package, r.apk, value)
		r.apk = ""
	default:
		return errForm
	}
	return nil
}

// unit reads "UNIT LOAD ACTIVE SUB DESCRIPTION"; a mark stands before those that have failed, unless --plain took it.
func unit(r *reading, text string) error {
	f := strings.Fields(strings.TrimLeft(text, "●*× "))
	if len(f) < 4 {
		return errForm
	}
	if f[1] != "not-found" { // only mentioned by others
		r.add(Service, f[0], f[2]+" ("+f[3]+")")
	}
	return nil
}

// unitFile reads "UNIT STATE PRESET"; older ones lack the preset.
func unitFile(r *reading, text string) error {
	f := strings.Fields(text)
	if len(f) < 2 {
		return errForm
	}
	r.add(Service, f[0], f[1])
	return nil
}

// openrc reads "NAME  [  STATE TIME  ]" below lines that name a runlevel.
func openrc(r *reading, text string) error {
	service, status, ok := strings.Cut(text, "[")
	if ok {
		words := strings.Fields(strings.TrimRight(strings.TrimSpace(status), "]"))
		if len(words) == 0 || strings.TrimSpace(service) == "" {
			return errForm
		}
		r.add(Service, strings.TrimSpace(service), words[0]) // what follows is since when
	}
	return nil
}

// mountinfo reads a line as in proc(5).
func mountinfo(r *reading, text string) error {
	left, right, ok := strings.Cut(text, " - ")
	l, f := strings.Fields(left), strings.Fields(right)
	if !ok || len(l) < 6 || len(f) < 2 {
		return errForm
	}
	value := f[0] + " " + octal(f[1]) + " " + l[5]
	if l[3] != "/" {
		value += " of " + octal(l[3])
	}
	r.add(Mount, octal(l[4]), value)
	return nil
}

// octal undoes the escapes of the kernel's tables.
func octal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func passwd(r *reading, text string) error {
	f := strings.Split(text, ":")
	if len(f) != 7 || f[1] != "" {
		return errForm
	}
	r.add(User, f[0], fmt.Sprintf("%s:%s, home %s, shell %s", f[2], f[3], f[5], f[6]))
	return nil
}

func group(r *reading, text string) error {
	f := strings.Split(text, ":")
	if len(f) != 4 || f[1] != "" {
		return errForm
	}
	members := strings.Split(f[3], ",")
	slices.Sort(members)
	r.add(Group, f[0], strings.TrimSuffix(f[2]+", members "+strings.Join(members, " "), ", members "))
	return nil
}

// path undoes the %xx of names.
func path(s string) (string, error) {
	if strings.HasPrefix(s, "%") {
		raw, err := hex.DecodeString(strings.ReplaceAll(s, "%", ""))
		if err != nil || len(raw)*3 != len(s) {
			return "", errForm
		}
		s = string(raw)
	}
	if !strings.HasPrefix(s, "/") || strings.ContainsRune(s, 0) {
		return "", errForm
	}
	return s, nil
}

// types are those of st_mode, as in inode(7).
var types = map[uint64]string{0o14: "socket", 0o12: "link", 0o10: "file", 0o6: "block device", 0o4: "directory", 0o2: "character device", 0o1: "pipe"}

// file reads "MODE(hex) UID:GID SIZE NAME".
func file(r *reading, text string) error {
	f := strings.SplitN(text, " ", 4)
	if len(f) != 4 {
		return errForm
	}
	mode, err := strconv.ParseUint(f[0], 16, 32)
	kind, known := types[mode>>12]
	at, pathErr := path(f[3])
	if err != nil || !known || pathErr != nil {
		return errForm
	}
	value := fmt.Sprintf("%s %04o of %s", kind, mode&0o7777, f[1])
	if kind == "file" {
		value += ", " + f[2] + " bytes"
	}
	r.add(File, at, value)
	return nil
}

func link(r *reading, text string) error {
	target, at, ok := strings.Cut(text, " ")
	raw, err := hex.DecodeString(strings.ReplaceAll(target, "%", ""))
	name, pathErr := path(at)
	if !ok || err != nil || pathErr != nil {
		return errForm
	}
	r.add(File, name, "to "+string(raw))
	return nil
}

func digest(r *reading, text string) error {
	sum, at, ok := strings.Cut(text, "  ")
	name, err := path(at)
	if raw, hexErr := hex.DecodeString(sum); !ok || err != nil || hexErr != nil || len(raw) != 32 {
		return errForm
	}
	r.add(File, name, "sha256 "+sum[:16])
	return nil
}

// port reads a line of /proc/net/tcp and its kin: "SL: LOCAL REMOTE STATE QUEUES TIMER RETRANSMITS UID ...".
func port(protocol string) func(*reading, string) error {
	return func(r *reading, text string) error {
		f := strings.Fields(text)
		if len(f) < 8 {
			return errForm
		}
		at, err := address(f[1])
		if err != nil {
			return err
		}
		r.add(Port, protocol+" "+at.String(), "of user "+f[7])
		return nil
	}
}

// address reads one of the kernel: 32-bit words in the order of a little-endian machine, and the port.
func address(s string) (netip.AddrPort, error) {
	host, number, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(number, 16, 16)
	if err != nil || portErr != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, errForm
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a, uint16(n)), nil
}

// unix reads a line of /proc/net/unix: "NUM REFS PROTOCOL FLAGS TYPE STATE INODE PATH"; one without a path has no name.
func unix(r *reading, text string) error {
	f := strings.Fields(text)
	if len(f) < 7 {
		return errForm
	}
	if len(f) > 7 {
		r.add(Port, "unix "+strings.Join(f[7:], " "), "listens")
	}
	return nil
}

func fact(r *reading, text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return errForm
	}
	r.add(Fact, key, value)
	return nil
}

func unread(r *reading, text string) error {
	kind, why, ok := strings.Cut(text, " ")
	if !ok || !slices.Contains(kinds, Kind(kind)) {
		return errForm
	}
	r.unread[Kind(kind)] = clean(why)
	return nil
}
