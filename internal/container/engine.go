// SPDX-License-Identifier: Apache-2.0

package container

import (
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

const pingWithin = 10 * time.Second

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
}

// openEngine returns the first engine that answers, of the one that is named or of those that may be there.
func openEngine(ctx context.Context, named string) (*engine, error) {
	places := Sockets()
	if named != "" {
		if filepath.IsAbs(named) {
			named = "unix://" + named
		}
		places = []string{named}
	}
	var tried []string
	for _, place := range places {
		e, err := dialEngine(ctx, place)
		if err == nil {
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
