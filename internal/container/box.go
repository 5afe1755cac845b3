// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

const (
	// createWithin bounds the making of a container, which is not cut short: an engine goes on with it, and what it makes would appear
	// after we have looked.
	createWithin = time.Minute
	removeTries  = 100 // at an error that may be because of what else the engine does with the container just then
	stopSeconds  = 1   // what an engine grants before it kills; nothing in there is worth more
	lookAgain    = 100 * time.Millisecond
	drainWithin  = 5 * time.Second // of the log, after the container's end
	endWithin    = 3 * time.Second // of a container in which nothing can be done, until its engine knows
	lifeEvery    = time.Second     // looks at a container whose wait was cut off
)

// box is a controller in a container.
type box struct {
	spec   Spec
	tail   *tail
	engine *engine
	name   string
	home   string
	// volumes are the names of those that were made, or begun to be.
	volumes []string

	silence context.CancelFunc // ends the goroutines of observe
	logged  chan struct{}      // closed when the log has ended; nil before observe
	ended   chan struct{}      // closed when the container has; nil before observe
	how     error              // it ended; valid after that
}

func newBox(s Spec, t *tail) *box {
	var unique [6]byte
	_, _ = rand.Read(unique[:])
	return &box{spec: s, tail: t, name: "pitcrew-" + hex.EncodeToString(unique[:]), silence: func() {}}
}

func (b *box) launch(ctx context.Context) (string, error) {
	var err error
	if b.engine, err = openEngine(ctx, b.spec.Image.Engine, b.spec.Image.AnswerWithin); err != nil {
		return "", err
	}
	host, _ := b.spec.bound()
	if ip := net.ParseIP(host); !b.engine.here && b.spec.Image.Network == "" && (ip.IsLoopback() || ip.IsUnspecified()) {
		return "", fmt.Errorf("engine %s is on another machine: name the address of that machine to bind to, or a network", b.engine.DaemonHost())
	}
	image, err := b.engine.provide(ctx, b.spec.Image)
	if err != nil {
		return "", err
	}
	b.home = image.home
	if err := b.create(ctx, image); err != nil {
		return "", err
	}
	if err := b.begin(ctx); err != nil {
		return "", err
	}
	b.observe(ctx)
	url, err := b.address(ctx)
	if err == nil && b.spec.AdvertiseURL == "" && !b.spec.Seed.Bare {
		err = b.put(ctx, map[string][]byte{urlFile: urlContent(url)})
	}
	if err != nil {
		return "", errors.Join(b.endSoon(ctx), err)
	}
	return url, nil
}

// begin seeds the container and starts it.
func (b *box) begin(ctx context.Context) error {
	ctx, cancel := b.engine.bound(ctx)
	defer cancel()
	seed := b.spec.Seed.files(b.spec.AdvertiseURL)
	err := b.put(ctx, seed)
	if errdefs.IsNotFound(err) {
		err = b.putNew(ctx, seed)
	}
	if err != nil {
		return err
	}
	if _, err := b.engine.ContainerStart(ctx, b.name, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("start container %s: %w", b.name, err)
	}
	return nil
}

// create makes the container and its volumes, labelled from their first moment on.
func (b *box) create(ctx context.Context, image imageFacts) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("create container: %w", context.Cause(ctx))
	}
	port, host, err := b.ports()
	if err != nil {
		return err
	}
	java, err := javaOpts(image.java, b.spec.JavaOptions)
	if err != nil {
		return err
	}
	limits, stop := b.spec.Image.Limits, stopSeconds
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), createWithin)
	defer cancel()
	mounts, err := b.makeVolumes(whole, image.volumes)
	if err != nil {
		return err
	}
	made, err := b.engine.ContainerCreate(whole, client.ContainerCreateOptions{
		Name: b.name,
		Config: &api.Config{
			Image: image.id, Env: []string{"JAVA_OPTS=" + java}, StopTimeout: &stop,
			Labels:       b.labels(),
			ExposedPorts: network.PortSet{port: {}},
		},
		HostConfig: &api.HostConfig{
			NetworkMode:  api.NetworkMode(b.spec.Image.Network),
			PortBindings: host,
			Mounts:       mounts,
			Resources: api.Resources{
				Memory: limits.Memory, NanoCPUs: int64(limits.CPUs * 1e9), PidsLimit: &limits.PIDs,
			},
			SecurityOpt: []string{"no-new-privileges"},
		},
	})
	if err != nil {
		return fmt.Errorf("create container from image %s: %w", image.id, err)
	}
	for _, warning := range made.Warnings {
		fmt.Fprintf(b.tail, "pitcrew: the engine warns: %s\n", warning)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("create container: %w", context.Cause(ctx))
	}
	return nil
}

// labels tell whose the container and its volumes are.
func (b *box) labels() map[string]string {
	return map[string]string{ownerLabel: b.spec.Owner.String(), runLabel: b.spec.Owner.Run}
}

// ports are the one inside, and what it is bound to outside unless the container has a network of its own.
func (b *box) ports() (network.Port, network.PortMap, error) {
	port, err := network.ParsePort(strconv.Itoa(b.spec.Image.Port))
	if err != nil || b.spec.Image.Network != "" {
		return port, nil, err
	}
	host, fixed := b.spec.bound()
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return port, nil, fmt.Errorf("bind %q: %w", b.spec.Bind, err)
	}
	return port, network.PortMap{port: {{HostIP: ip, HostPort: fixed}}}, nil
}

// javaOpts is the variable by which the official image gets options for the Java machine. It splits them as a shell would.
func javaOpts(own string, more []string) (string, error) {
	all := []string{}
	if own != "" {
		all = append(all, own)
	}
	for _, option := range append([]string{"-Djenkins.install.runSetupWizard=false"}, more...) {
		if strings.ContainsAny(option, " \t\r\n'\"\\") {
			return "", fmt.Errorf("java option %q: an image cannot be given one with white space or quotes", option)
		}
		all = append(all, option)
	}
	return strings.Join(all, " "), nil
}

// address waits until the engine says where the container can be reached.
func (b *box) address(ctx context.Context) (string, error) {
	ctx, cancel := b.engine.bound(ctx)
	defer cancel()
	found, err := b.engine.ContainerInspect(ctx, b.name, client.ContainerInspectOptions{})
	if err != nil {
		return "", fmt.Errorf("look at container %s: %w", b.name, err)
	}
	port, _, err := b.ports()
	if err != nil {
		return "", err
	}
	settings := found.Container.NetworkSettings
	if settings == nil {
		return "", fmt.Errorf("container %s has no network", b.name)
	}
	if b.spec.Image.Network != "" {
		for _, end := range settings.Networks {
			if end != nil && end.IPAddress.IsValid() {
				return root(end.IPAddress.String(), port.Port()), nil
			}
		}
		return "", fmt.Errorf("container %s has no address in network %s", b.name, b.spec.Image.Network)
	}
	for _, bound := range settings.Ports[port] {
		if host, _ := b.spec.bound(); bound.HostPort != "" {
			return root(reachable(host), bound.HostPort), nil
		}
	}
	return "", fmt.Errorf("container %s: its port %s was not published", b.name, port)
}

// remove kills the container and removes it with its volumes, and returns when the engine knows it no more.
func (b *box) remove(ctx context.Context) error {
	if b.engine == nil {
		return nil
	}
	err := b.engine.remove(ctx, b.name)
	if err == nil {
		err = b.engine.removeVolumes(ctx, b.volumes)
	}
	b.silence()
	if b.ended != nil {
		<-b.logged
		<-b.ended
	}
	return errors.Join(err, b.engine.Close())
}

// remove removes a container of ours, if it is there.
func (e *engine) remove(ctx context.Context, id string) error {
	_, _ = e.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"}) // does not run, or is gone
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for try := 1; ; try++ {
		_, err := e.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		passes := errdefs.IsNotFound(err) || errdefs.IsConflict(err) || try < removeTries && !client.IsErrConnectionFailed(err)
		if err != nil && !passes {
			return fmt.Errorf("remove container %s: %w", id, err)
		}
		_, seen := e.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		if errdefs.IsNotFound(seen) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove container %s: it is still there: %w", id, errors.Join(context.Cause(ctx), err))
		case <-tick.C:
		}
	}
}
