// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func self() process {
	p := process{machine: machineID(), pid: os.Getpid()}
	if boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		p.boot = strings.TrimSpace(string(boot))
	}
	if space, err := os.Readlink("/proc/self/ns/pid"); err == nil { // pid:[4026531836]
		p.space = strings.Trim(strings.TrimPrefix(space, "pid:"), "[]")
	}
	p.start, _ = startOf(p.pid)
	return p
}

// startOf is the time at which a process started, in clock ticks since the boot. One that is dead and only not yet reaped does not run.
func startOf(pid int) (start uint64, runs bool) {
	s, err := readStat(pid)
	if err != nil || s.state == "Z" || s.state == "X" {
		return 0, false
	}
	return s.start, true
}

// stat is what proc(5) has of a process.
type stat struct {
	state string
	group int
	start uint64
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	// The second field is the name in parentheses, and may hold any of both.
	end := strings.LastIndexByte(string(text), ')')
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) < 20 {
		return stat{}, fmt.Errorf("stat of process %d: unexpected form", pid)
	}
	group, err := strconv.Atoi(fields[2])
	if err != nil {
		return stat{}, fmt.Errorf("stat of process %d: %w", pid, err)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("stat of process %d: %w", pid, err)
	}
	return stat{state: fields[0], group: group, start: start}, nil
}

// oursAlone says whether a directory is one that nobody but us can have made or written to.
func oursAlone(info fs.FileInfo) bool {
	sys, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && info.Mode().Perm()&0o077 == 0 && int64(sys.Uid) == int64(os.Geteuid())
}
