// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxCulprits is how many processes are named for one problem.
const maxCulprits = 3

// busy gives processes whose working directory, or an open file of theirs, is in the directory. It sees those that it has the right to
// see, and of those the ones that have something open at this moment.
func busy(fd int) (found []Process) {
	path, ok := whereIs(fd)
	if !ok {
		return nil
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, p := range all {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() || !worksIn(pid, path) {
			continue
		}
		if found = append(found, describe(pid)); len(found) == maxCulprits {
			break
		}
	}
	return found
}

func worksIn(pid int, path string) bool {
	proc := "/proc/" + strconv.Itoa(pid)
	if leads(proc+"/cwd", path) {
		return true
	}
	open, _ := filepath.Glob(proc + "/fd/*")
	for _, link := range open {
		if leads(link, path) {
			return true
		}
	}
	return false
}

func leads(link, path string) bool {
	target, err := os.Readlink(link)
	return err == nil && (target == path || strings.HasPrefix(target, path+"/"))
}

func describe(pid int) Process {
	p := Process{PID: pid}
	var st unix.Stat_t
	if err := unix.Stat("/proc/"+strconv.Itoa(pid), &st); err == nil {
		p.Owner = st.Uid
	}
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err == nil {
		p.Name = strings.TrimSpace(string(name))
	}
	return p
}
