// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"syscall"

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
