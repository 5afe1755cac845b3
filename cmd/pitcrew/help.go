// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"sync"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is what help fits into, on whatever terminal.
const helpWidth = 80

// helpTemplate is short enough to be read: what it does, how it is called, examples, then flags.
const helpTemplate = `{{prose (or .Long .Short)}}
{{if or .Runnable .HasSubCommands}}
Usage:
  {{useLine .}}
{{end}}{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{range $group := .Groups}}
{{$group.Title}}
{{range $.Commands}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}  {{rpad .Name 11}} {{.Short}}
{{end}}{{end}}{{end}}{{if and .HasAvailableSubCommands (not .Groups)}}
Commands:
{{range .Commands}}{{if .IsAvailableCommand}}  {{rpad .Name 11}} {{.Short}}
{{end}}{{end}}{{end}}{{with ownFlags .}}
Flags:
{{.}}
{{end}}{{with connectionFlags .}}
Connection to the daemon:
{{.}}
{{end}}{{if .HasHelpSubCommands}}
Topics:
{{range .Commands}}{{if .IsAdditionalHelpTopicCommand}}  {{rpad .Name 11}} {{.Short}}
{{end}}{{end}}{{end}}{{if .HasAvailableSubCommands}}
More: {{.CommandPath}} COMMAND --help
{{end}}`

// templateFuncs adds the functions of the help template, which cobra keeps for all commands of the process.
var templateFuncs = sync.OnceFunc(func() {
	cobra.AddTemplateFunc("useLine", useLine)
	cobra.AddTemplateFunc("ownFlags", func(cmd *cobra.Command) string { return flagUsages(cmd, false) })
	cobra.AddTemplateFunc("connectionFlags", func(cmd *cobra.Command) string { return flagUsages(cmd, true) })
	cobra.AddTemplateFunc("prose", prose)
})

// helpful sets the templates for root and all below it.
func helpful(root *cobra.Command) {
	templateFuncs()
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(helpTemplate)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(helpCommand(root))
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { _ = cmd.Usage() })
	root.SetUsageFunc(root.UsageFunc())
}

// helpCommand shows the help of a command or topic. Unlike cobra's own it refuses unknown ones.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND...]", Short: "Help about a command or topic", GroupID: groupDaemon,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if cmd, _, err := root.Find(args); err == nil {
				for _, sub := range cmd.Commands() {
					if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
						names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usage("there is no command or topic %q\nSee pitcrew --help", strings.Join(args, " "))
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

func useLine(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND [flags]"
	}
	return cmd.UseLine()
}

// connectionFlag marks the flags that say how to reach the daemon: they are the same everywhere and
// stand apart in help.
const connectionFlag = "pitcrew_connection"

func flagUsages(cmd *cobra.Command, connection bool) string {
	chosen := pflag.NewFlagSet("", pflag.ContinueOnError)
	chosen.SortFlags = false
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, is := f.Annotations[connectionFlag]; is == connection && (connection || f.Name != "help") {
			chosen.AddFlag(f)
		}
	})
	return strings.TrimRight(chosen.FlagUsagesWrapped(helpWidth), "\n")
}

// prose fits text written in paragraphs into the width of help; lines that are indented stay as they are.
func prose(text string) string {
	var out, paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			out = append(out, wrap(strings.Join(paragraph, " "), helpWidth))
			paragraph = nil
		}
	}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line == "" || strings.HasPrefix(line, " ") {
			flush()
			out = append(out, line)
			continue
		}
		paragraph = append(paragraph, line)
	}
	flush()
	return strings.Join(out, "\n")
}

// wrap breaks each line of text into lines of at most width columns, between words.
func wrap(s string, width int) string {
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		taken := 0
		var b strings.Builder
		for word := range strings.FieldsSeq(line) {
			size := text.StringWidthWithoutEscSequences(word)
			switch {
			case taken == 0:
			case taken+1+size > width:
				b.WriteByte('\n')
				taken = 0
			default:
				b.WriteByte(' ')
				taken++
			}
			b.WriteString(word)
			taken += size
		}
		out = append(out, b.String())
	}
	return strings.Join(out, "\n")
}
