// SPDX-License-Identifier: Apache-2.0

// Command pitcrew services Jenkins agents out of band: it cleans and sets them up between builds,
// proves the result, and only then lets jobs have them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}
