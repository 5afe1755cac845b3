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
	context.AfterFunc(ctx, stop) // whoever asks twice does not wait: the second ends the process as it is
	code := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// holdOut keeps a second Ctrl-C or SIGTERM from ending the process, until the returned function is called:
// for what has more to put back than may be left behind.
func holdOut() func() {
	unread := make(chan os.Signal, 1)
	signal.Notify(unread, os.Interrupt, syscall.SIGTERM)
	return func() { signal.Stop(unread) }
}
