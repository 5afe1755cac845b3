// SPDX-License-Identifier: Apache-2.0

// Command pitcrew services Jenkins agents out of band: it cleans and sets them up between builds,
// proves the result, and only then lets jobs have them.
//
// It is daemon and command line in one. The commands that look at agents or give orders are clients
// of the daemon's API and nothing more; those about recipes and the configuration file work on
// files, without a daemon. One file holds one noun of the command line.
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
