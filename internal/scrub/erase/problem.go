// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"
)

// Kind is the sort of reason for which something stays.
type Kind int

// The reasons for which something stays.
const (
	Failed   Kind = iota + 1 // the system refused, see Err
	Denied                   // this process lacks the right; Owner and Mode are those of what is in the way
	Mount                    // something is mounted there, or it is a file system of its own: a bind mount of the same one counts too
	Linked                   // a flag forbids removal, and the file has other names that may lie outside, see Options.Linked
	Refilled                 // somebody puts things into it as fast as they are removed, see By
	Moved                    // it was renamed out of the tree meanwhile: what had not been removed by then stays, wherever it is now
	Changed                  // it is not any more what the policy had selected
	Busy                     // it is in use
)

// Problem is why one name stays. Names above it stay because of it and have no problem of their own.
type Problem struct {
	Path  string // below the path that the tree was opened by; any bytes
	Kind  Kind
	Err   error       // the system's error, or nil
	Owner uint32      // Denied: the user that it belongs to
	Mode  fs.FileMode // Denied: type and permissions
	By    []Process   // Refilled, Busy: processes seen at work below the path, where that can be told
	Note  string      // more words, such as where it was moved to
}

// Process is one that is at work in a directory.
type Process struct {
	PID   int
	Owner uint32
	Name  string
}

// Error says in one line what stays and why.
func (p Problem) Error() string {
	text := quote(p.Path) + " stays: " + p.reason()
	if p.Err != nil {
		text += ": " + explain(p.Err)
	}
	if p.Note != "" {
		text += ": " + p.Note
	}
	var by []string
	for _, b := range p.By {
		by = append(by, fmt.Sprintf("process %d (%s) of user %d", b.PID, quote(b.Name), b.Owner))
	}
	if len(by) > 0 {
		text += ", seen at work there: " + strings.Join(by, ", ")
	}
	return text
}

// Unwrap gives the system's error.
func (p Problem) Unwrap() error { return p.Err }

func (p Problem) reason() string {
	switch p.Kind {
	case Denied:
		return fmt.Sprintf("no right to remove it: owner %d, mode %s", p.Owner, p.Mode)
	case Mount:
		return "something is mounted there, or it is a file system of its own"
	case Linked:
		return "it is immutable or append-only and has other names, which may lie outside"
	case Refilled:
		return "it is filled again as fast as it is emptied"
	case Moved:
		return "it was moved out of the tree while it was being removed"
	case Changed:
		return "it is not any more what was selected"
	case Busy:
		return "it is in use"
	case Failed:
	}
	return "the system refuses"
}

// words tell what an error of the system means for a removal.
var words = []struct {
	errno syscall.Errno
	text  string
}{
	{syscall.EBUSY, "the kernel or another process has it in use"},
	{syscall.ETXTBSY, "it is the program of a running process, or a swap file"},
	{syscall.EPERM, "forbidden by its owner, a flag, or a rule of the system"},
	{syscall.EACCES, "no permission"},
	{syscall.EROFS, "the file system is read-only"},
	{syscall.ENOSPC, "the file system is full: it needs room even for removing"},
	{syscall.EDQUOT, "the quota is used up: it needs room even for removing"},
	{syscall.EIO, "the disk or the file system is damaged or unreachable"},
	{syscall.EMFILE, "this process may not open any more files"},
	{syscall.ENFILE, "the system has no more open files to give"},
	{syscall.ENOMEM, "the kernel is out of memory"},
	{syscall.ESTALE, "the file server does not know it any more"},
	{syscall.ELOOP, "a symbolic link"},
}

// explain gives an error's own text with what it means.
func explain(err error) string {
	for _, w := range words {
		if errors.Is(err, w.errno) {
			return err.Error() + " (" + w.text + ")"
		}
	}
	return err.Error()
}

// longest is how much of a path is shown: a deep tree's would fill the report.
const longest = 4096

// quote makes any bytes fit to be printed; plain paths stay as they are.
func quote(path string) string {
	if len(path) > longest {
		cut := len(path) - longest
		path = path[:longest/2] + "[" + strconv.Itoa(cut) + " more bytes]" + path[len(path)-longest/2:]
	}
	plain := func(r rune) bool { return r == utf8.RuneError || r == '"' || !strconv.IsPrint(r) }
	if path == "" || !utf8.ValidString(path) || strings.ContainsFunc(path, plain) {
		return strconv.Quote(path)
	}
	return path
}
