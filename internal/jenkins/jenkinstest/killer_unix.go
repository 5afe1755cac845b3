// SPDX-License-Identifier: Apache-2.0

//go:build unix

package jenkinstest

import (
	"errors"
	"os/exec"
	"syscall"
)

// ownGroup makes the command lead a process group, out of reach of the terminal's Ctrl-C.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// signal sends a signal to a process; one that is gone already is no error.
func signal(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
