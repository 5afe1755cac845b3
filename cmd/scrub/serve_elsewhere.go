// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import (
	"fmt"
	"os"
)

// serve is for recipe programs, which carry scrub for Linux only.
func serve([]string) int {
	fmt.Fprintln(os.Stderr, "scrub: serve exists on Linux only")
	return wrong
}
