// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package jenkinstest

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup does nothing: process groups are known to unix only.
func ownGroup(*exec.Cmd) {}

// signal ends a process whatever the signal: without signals there is no gentler way. One
// that is gone already is no error.
func signal(pid int, _ syscall.Signal) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil //nolint:nilerr // it is found no more
	}
	if err := p.Kill(); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
