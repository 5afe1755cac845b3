// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package config

import "os/exec"

// killGroup does nothing: there are no process groups here, and the end of the context ends cmd alone.
func killGroup(*exec.Cmd) {}
