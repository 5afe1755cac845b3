// SPDX-License-Identifier: Apache-2.0

package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// ErrNoEngine says that no container engine answers. The error tells where it was looked for.
var ErrNoEngine = errors.New("no container engine answers")

const (
	pingWithin          = 10 * time.Second
	defaultAnswerWithin = time.Minute
)

// Sockets are the places where an engine is looked for when the spec names none: DOCKER_HOST alone if that is set, with DOCKER_CERT_PATH
// and DOCKER_TLS_VERIFY; else the sockets of Docker and Podman that run as root, and then those of the user's own.
func Sockets() []string {
	if host := os.Getenv(client.EnvOverrideHost); host != "" {
		return []string{host}
	}
	runtime := os.Getenv("XDG_RUNTIME_DIR")
	if runtime == "" {
		runtime = fmt.Sprintf("/run/user/%d", os.Getuid())
	}
	return []string{
		"unix:///var/run/docker.sock", "unix:///run/podman/podman.sock",
		"unix://" + filepath.Join(runtime, "podman/podman.sock"), "unix://" + filepath.Join(runtime, "docker.sock"),
	}
}

// engine is a client of one.
type engine struct {
	*client.Client
	// here says that its containers run on this machine, as far as a socket can tell.
	here bool
	// within is how long it may take to answer.
	within time.Duration
}

// bound bounds one question to an engine that answers no more: it may well answer to a ping then.
func (e *engine) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, e.within, fmt.Errorf("engine %s gives no answer within %s", e.DaemonHost(), e.within))
}

// openEngine returns the first engine that answers, of the one that is named or of those that may be there. Within is how long it may
// take for each answer from then on.
func openEngine(ctx context.Context, named string, within time.Duration) (*engine, error) {
	places := Sockets()
	if named != "" {
		if !strings.Contains(named, "://") {
			socket, err := filepath.Abs(named)
			if err != nil {
				return nil, err
			}
			named = "unix://" + socket
		}
		places = []string{named}
	}
	var tried []string
	for _, place := range places {
		e, err := dialEngine(ctx, place)
		if err == nil {
			e.within = cmp.Or(within, defaultAnswerWithin)
			return e, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("look for a container engine: %w", context.Cause(ctx))
		}
		tried = append(tried, place+" ("+err.Error()+")")
	}
	return nil, fmt.Errorf("%w; tried %s. Start one, or name its socket", ErrNoEngine, strings.Join(tried, ", "))
}

func dialEngine(ctx context.Context, place string) (*engine, error) {
	socket, here := strings.CutPrefix(place, "unix://")
	if here {
		if _, err := os.Stat(socket); err != nil { // the client's own words for it name neither
			return nil, errors.Unwrap(err)
		}
	}
	c, err := client.New(client.WithTLSClientConfigFromEnv(), client.WithHost(place), client.WithAPIVersionFromEnv())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, pingWithin)
	defer cancel()
	if _, err := c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &engine{Client: c, here: here}, nil
}
