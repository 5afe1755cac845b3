// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fact returns the value of one of the facts of package spec. One that is not known here is an error: a file with a gap
// would be placed otherwise.
func (h Here) fact(name string) (value string, err error) {
	switch name {
	case "agent":
		value = h.Agent
	case "controller":
		value = h.Controller
	case "cpus":
		value = strconv.Itoa(runtime.NumCPU())
	case "hostname":
		value, err = os.Hostname()
	case "memoryMB":
		var info unix.Sysinfo_t
		err = unix.Sysinfo(&info)
		value = strconv.FormatUint(info.Totalram*uint64(info.Unit)>>20, 10)
	case "arch", "kernel":
		var u unix.Utsname
		err = unix.Uname(&u)
		value = unix.ByteSliceToString(u.Machine[:])
		if name == "kernel" {
			value = unix.ByteSliceToString(u.Release[:])
		}
	case "os":
		value = osRelease("ID")
	case "osVersion":
		value = osRelease("VERSION_ID")
	case "user":
		if value = os.Getenv("USER"); value == "" {
			value = strconv.Itoa(os.Getuid())
		}
	default:
		return "", fmt.Errorf("this scrub knows no fact %s", name)
	}
	if err == nil && value == "" {
		err = errors.New("it is not known here")
	}
	return value, err
}

// osRelease returns a field of os-release(5), "" if it is not there.
func osRelease(field string) string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		text, _ = os.ReadFile("/usr/lib/os-release")
	}
	for line := range bytes.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(string(line)), field+"="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return ""
}
