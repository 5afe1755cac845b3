// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"
)

func (c *cli) completionCommand() *cobra.Command {
	scripts := map[string]func(*cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(c.out, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(c.out) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(c.out, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(c.out) },
	}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print what makes your shell complete commands",
		Long: `Print the script that makes your shell complete commands, flags and the names of
agents; those are asked of the daemon each time.`,
		Example: `  source <(pitcrew completion bash)
  pitcrew completion bash > /etc/bash_completion.d/pitcrew
  pitcrew completion zsh > "${fpath[1]}/_pitcrew"
  pitcrew completion fish > ~/.config/fish/completions/pitcrew.fish
  pitcrew completion powershell | Out-String | Invoke-Expression`,
		Args:      one("shell"),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			generate, ok := scripts[args[0]]
			if !ok {
				return usage("%q is none of the shells bash, zsh, fish, powershell", args[0])
			}
			return generate(cmd.Root())
		},
	}
}
