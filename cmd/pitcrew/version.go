// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// version is what this binary was built from, as the Go toolchain recorded it.
func version() api.Version {
	v := api.Version{Version: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	return v
}

func (c *cli) versionCommand() *cobra.Command {
	var f format
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Long: `Print the version of this program. "pitcrew doctor" also shows that of the
daemon.`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			v := version()
			if f.structured() {
				return c.print(f, v)
			}
			_, err := fmt.Fprintf(c.out, "pitcrew %s %s %s/%s %s\n", v.Version, v.Commit, runtime.GOOS, runtime.GOARCH, v.Go)
			return err
		},
	}
	f.flag(cmd, formatText, formatJSON, formatYAML)
	return cmd
}
