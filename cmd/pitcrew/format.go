// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// The formats of output. Not every command has all of them.
const (
	formatText  = "text"
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatName  = "name"
)

// listFormats are those of commands that list things, the default first.
var listFormats = []string{formatTable, formatWide, formatJSON, formatYAML, formatName}

// format is what the flag --output says.
type format struct{ value string }

// flag gives a command the flag --output with its choices, the default first.
func (f *format) flag(cmd *cobra.Command, choices ...string) {
	f.value = choices[0]
	cmd.Flags().VarP(&choice{&f.value, choices}, "output", "o", "format: "+strings.Join(choices, ", "))
	complete(cmd, "output", choices...)
}

// structured reports whether the output is for programs.
func (f *format) structured() bool { return f.value == formatJSON || f.value == formatYAML }

// wide reports whether a table has all its columns.
func (f *format) wide() bool { return f.value == formatWide }

// print writes v as the format says, which must be a structured one.
func (c *cli) print(f format, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write %s: %w", f.value, err)
	}
	out := b.Bytes()
	if f.value == formatYAML {
		var err error
		if out, err = yaml.JSONToYAML(out); err != nil {
			return fmt.Errorf("write yaml: %w", err)
		}
	}
	_, err := c.out.Write(out)
	return err
}

// line writes v as one line of JSON.
func (c *cli) line(v any) error {
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// complete lets the shell offer the values of a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag does not exist, or has values already: a mistake in this program
	}
}
