// SPDX-License-Identifier: Apache-2.0

//go:build unix

package config

import (
	"os/exec"
	"syscall"
)

// killGroup makes the end of cmd's context end what cmd started as well.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
