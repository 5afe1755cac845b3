// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// choice is the value of a flag that takes one of a few words.
type choice struct {
	to      *string
	choices []string
}

// choose gives a command a flag that takes one of the choices. The word in to is the default.
func choose(cmd *cobra.Command, to *string, flag, text string, choices ...string) {
	cmd.Flags().Var(&choice{to, choices}, flag, text+": "+strings.Join(choices, ", "))
	complete(cmd, flag, choices...)
}

// Set takes one of the choices.
func (v *choice) Set(s string) error {
	if err := among(s, v.choices); err != nil {
		return err
	}
	*v.to = s
	return nil
}

func (v *choice) String() string { return *v.to }

// Type names the value in help.
func (v *choice) Type() string { return "word" }

// selection is the value of a flag that takes several of a few words, separated by commas or given
// one by one.
type selection struct {
	to      *[]string
	choices []string
}

// choosing gives a command a flag that takes any of the choices.
func choosing(cmd *cobra.Command, to *[]string, flag, text string, choices ...string) {
	cmd.Flags().Var(&selection{to, choices}, flag, text)
	complete(cmd, flag, choices...)
}

// Set adds some of the choices.
func (v *selection) Set(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		if err := among(word, v.choices); err != nil {
			return err
		}
		*v.to = append(*v.to, word)
	}
	return nil
}

func (v *selection) String() string { return strings.Join(*v.to, ",") }

// Type names the value in help.
func (v *selection) Type() string { return "words" }

func among(word string, choices []string) error {
	if slices.Contains(choices, word) {
		return nil
	}
	return fmt.Errorf("want %s", strings.Join(choices, ", "))
}

// atMost is the value of a flag with a number of lines to show.
type atMost struct{ to *int }

// limited gives a command the flag --limit.
func limited(cmd *cobra.Command, to *int, text string) {
	*to = usualLimit
	cmd.Flags().Var(atMost{to}, "limit", text)
}

// Set reads a number; less than none cannot be shown.
func (v atMost) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return fmt.Errorf("want a number from 0 on")
	}
	*v.to = int(n) // of 31 bits
	return nil
}

func (v atMost) String() string {
	if v.to == nil {
		return "0"
	}
	return strconv.Itoa(*v.to)
}

// Type names the value in help.
func (v atMost) Type() string { return "int" }
