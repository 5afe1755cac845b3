// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
)

func (c *cli) tokenCommand() *cobra.Command {
	return noun("token", "Manage who may use the daemon's API", `Manage the tokens with which people and programs use the daemon's API. The first one
is made when the daemon first starts, and lies in its data directory. All of these
need the role admin.`, c.tokenCreateCommand(), c.tokenListCommand(), c.tokenRevokeCommand())
}

func (c *cli) tokenCreateCommand() *cobra.Command {
	var o connection
	role, file, borrower := "viewer", "", ""
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token",
		Long: `Make a token and print it: it cannot be seen again. Its name stands in the audit trail
with everything that is done with it.

  borrower  asks for loans, and sees and returns its own (--borrower)
  viewer    looks
  operator  gives orders: clean, hold, release, quarantine, pause
  admin     does everything`,
		Example: "  pitcrew token create nightly-report --role viewer\n  pitcrew token create anna --role operator --file ~/.pitcrew-token",
		Args:    one("name"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			return c.createToken(ctx, d, api.TokenRequest{Name: args[0], Role: role, Borrower: borrower}, file)
		}),
	}
	choose(cmd, &role, "role", "what it may do", "borrower", "viewer", "operator", "admin")
	cmd.Flags().StringVar(&borrower, "borrower", "", "whose loans it is for, with --role borrower")
	cmd.Flags().StringVar(&file, "file", "", "write it to this new file, for you alone, and do not print it")
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) createToken(ctx context.Context, d *daemon, r api.TokenRequest, file string) error {
	if (r.Borrower != "") != (r.Role == "borrower") {
		return usage("--borrower goes with --role borrower, and that role needs it")
	}
	out := c.out
	if file != "" { // before the token is made: it could not be had again
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("write token: %w", err)
		}
		defer f.Close()
		out = f
	}
	name := r.Name
	made, err := d.CreateToken(ctx, r)
	if err != nil {
		if file != "" {
			_ = os.Remove(file) // it is empty
		}
		if client.IsConflict(err) {
			return fmt.Errorf("there is a token %s already: revoke it, or take another name", name)
		}
		return err
	}
	if _, err := fmt.Fprintln(out, made.Secret); err != nil {
		return fmt.Errorf("the token %s is made, but could not be written; revoke it: %w", name, err)
	}
	if f, ok := out.(*os.File); ok && file != "" {
		if err := f.Sync(); err != nil {
			return fmt.Errorf("the token %s is made, but could not be written; revoke it: %w", name, err)
		}
	}
	fmt.Fprintf(c.err, "Token %s may do what the role %s may. Use it as %s, or with --token-file.\n", made.Name, made.Role, envToken)
	return nil
}

func (c *cli) tokenListCommand() *cobra.Command {
	var o connection
	var f format
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tokens, without their secrets",
		Args:  none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			found, err := d.Tokens(ctx)
			if err != nil || f.structured() {
				return orElse(err, func() error { return c.print(f, found) })
			}
			return c.showTokens(found, f)
		}),
	}
	f.flag(cmd, formatTable, formatJSON, formatYAML, formatName)
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) showTokens(found []api.Token, f format) error {
	rows := make([][]string, len(found))
	var names strings.Builder
	for i, t := range found {
		rows[i] = []string{t.Name, t.Role, stamp(t.Created)}
		names.WriteString(t.Name + "\n")
	}
	text := names.String()
	if f.value == formatTable {
		text = tabular([]string{"NAME", "ROLE", "CREATED"}, rows, c.width())
	}
	_, err := io.WriteString(c.out, text)
	return err
}

func (c *cli) tokenRevokeCommand() *cobra.Command {
	var o connection
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Revoke a token, at once",
		Args:  one("name"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			err := d.RevokeToken(ctx, args[0])
			if client.IsNotFound(err) {
				return fmt.Errorf("there is no token %s; \"pitcrew token list\" lists them", args[0])
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(c.err, "Token %s is revoked.\n", args[0])
			return nil
		}),
	}
	o.flags(cmd, usualTimeout)
	return cmd
}
