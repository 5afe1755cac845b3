// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
)

func (c *cli) backupCommand() *cobra.Command {
	var o connection
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the daemon's database while it works",
		Long: `Copy the daemon's database to a new file on the daemon's machine, while it works. The
copy is whole and consistent. To restore it, stop the daemon and put the copy in the
place of pitcrew.db: every agent is then cleaned again, because nobody knows what
happened since.`,
		Example: "  pitcrew backup /var/backups/pitcrew-$(date +%F).db",
		Args:    one("file"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			if !filepath.IsAbs(args[0]) {
				return usage("want an absolute path, not %s: the file is written by the daemon, on its machine", args[0])
			}
			b, err := d.Backup(ctx, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(c.err, "%s is written: %s.\n", b.Path, bytesText(b.Bytes))
			return nil
		}),
	}
	o.flags(cmd, patientTimeout)
	return cmd
}
