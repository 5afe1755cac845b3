// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pitcrew-ci/pitcrew/internal/api/client"
)

// explain turns an error of the daemon, or of the way to it, into one that says what to do. It is
// the only place that decides about exit codes of requests.
func (d *daemon) explain(err error) error {
	var coded *exitError
	var refused *client.Error
	switch {
	case err == nil, errors.As(err, &coded), errors.Is(err, context.Canceled):
		return err
	case client.IsUnreachable(err):
		return exit(exitNoReach, errors.New(d.unreachable(err)))
	case client.IsUnauthorized(err):
		return exit(exitDenied, errors.New(d.unauthorized()))
	case client.IsForbidden(err):
		return exit(exitDenied, fmt.Errorf("%w\nAn admin makes a token with that role: pitcrew token create NAME --role ROLE", err))
	case errors.As(err, &refused) && refused.Status == http.StatusUnprocessableEntity:
		return exit(exitUsage, err)
	}
	return err
}

// fieldOf is the annotation of a flag that names the field of the API that it sets, where the flag is not called as the field is.
const fieldOf = "pitcrew_field"

// sets says which field of the API a flag sets.
func sets(cmd *cobra.Command, flag, field string) {
	cmd.Flags().Lookup(flag).Annotations = map[string][]string{fieldOf: {field}}
}

// typed is what a field of the API is called on the command line, where nobody has typed such a field.
func typed(cmd *cobra.Command, field string) string {
	if flag := flagOf(cmd, field); flag != "" {
		return "--" + flag
	}
	_, name, _ := strings.Cut(field, ".") // such as body or query before it
	return name
}

// flagOf is the flag of a command that sets a field of the API, such as body.to.key, if possible one that was given; "" if none does.
func flagOf(cmd *cobra.Command, field string) string {
	var flag *pflag.Flag
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if slices.Contains(f.Annotations[fieldOf], field) && (flag == nil || f.Changed && !flag.Changed) {
			flag = f
		}
	})
	if flag != nil {
		return flag.Name
	}
	if f := cmd.Flags().Lookup(field[strings.LastIndex(field, ".")+1:]); f != nil && f.Annotations[fieldOf] == nil && f.Annotations[connectionFlag] == nil {
		return f.Name
	}
	return ""
}

func (d *daemon) unreachable(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens at " + d.url + "\nStart the daemon with \"pitcrew serve\", or say where it is with --server or " + envServer + "."
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("no answer from %s within %s\nThe daemon, or the way to it, is overloaded or broken; --timeout waits longer.", d.url, d.timeout)
	}
	if request, ok := errors.AsType[*url.Error](err); ok { // the address was said already
		err = request.Err
	}
	return fmt.Sprintf("no answer from %s: %v\nCheck the address (--server or %s) and whether the daemon runs.", d.url, err, envServer)
}

func (d *daemon) unauthorized() string {
	if d.token == "" {
		return d.url + " wants a token: " + d.noToken
	}
	return fmt.Sprintf("%s does not know the token from %s: it may have been revoked, or belong to another daemon", d.url, d.token)
}
