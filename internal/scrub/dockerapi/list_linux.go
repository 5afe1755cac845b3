// SPDX-License-Identifier: Apache-2.0

package dockerapi

import (
	"context"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/unixhttp"
)

// Container is a container in any state.
type Container struct {
	ID, Name string
	Labels   map[string]string
	Env      []string
	Created  time.Time
	// Image is the identity of its image, ImageName what it was asked for by.
	Image, ImageName string
	// State is created, running, paused, restarting, removing, exited or dead. PID is its first process as the machine
	// of the engine numbers it, 0 if there is none.
	State string
	PID   int
	// Uses are identities or names of other containers whose namespaces or volumes it has.
	Uses []string
	// Volumes are the names of those it has mounted, Networks names and identities of those it is on.
	Volumes, Networks []string
}

// Containers returns all containers.
func (e *Engine) Containers(ctx context.Context) ([]Container, error) {
	var list []listed
	if err := e.get(ctx, e.prefix+"/containers/json?all=1", &list); err != nil {
		return nil, err
	}
	all := make([]Container, 0, len(list))
	for _, l := range list {
		c := l.container()
		err := e.inspect(ctx, &c)
		switch {
		case gone(err):
			continue
		case err != nil && ctx.Err() != nil:
			return nil, err
		}
		all = append(all, c) // one whose state is too broken to be told has to go all the same, by what the list says
	}
	return all, nil
}

// listed is a container as lists tell of it.
type listed struct {
	ID              string `json:"Id"`
	Names           []string
	Labels          map[string]string
	Created         int64
	ImageID, Image  string
	State           string
	HostConfig      struct{ NetworkMode string }
	Mounts          []mount
	NetworkSettings struct{ Networks networks }
}

type mount struct{ Type, Name string }

type networks map[string]struct{ NetworkID string }

func (n networks) names() []string {
	var all []string
	for name, network := range n {
		all = append(all, name, network.NetworkID)
	}
	return all
}

func (l listed) container() Container {
	c := Container{
		ID: l.ID, Labels: l.Labels, Created: time.Unix(l.Created, 0), Image: bare(l.ImageID), ImageName: l.Image,
		State: l.State, Volumes: volumes(l.Mounts), Networks: l.NetworkSettings.Networks.names(),
	}
	for _, name := range l.Names { // others are links to it, as /other/name
		if name = strings.TrimPrefix(name, "/"); c.Name == "" || !strings.Contains(name, "/") {
			c.Name = name
		}
	}
	return c
}

func volumes(mounts []mount) []string {
	var all []string
	for _, m := range mounts {
		if m.Type == "volume" {
			all = append(all, m.Name)
		}
	}
	return all
}

// inspect adds what only the engine's word on one container tells.
func (e *Engine) inspect(ctx context.Context, c *Container) error {
	var i struct {
		State struct {
			Status string
			Pid    int
		}
		Image  string
		Config struct {
			Image  string
			Env    []string
			Labels map[string]string
		}
		HostConfig struct {
			NetworkMode, IpcMode, PidMode string
			VolumesFrom, Links            []string
		}
		Mounts          []mount
		NetworkSettings struct{ Networks networks }
	}
	if err := e.get(ctx, e.prefix+"/containers/"+unixhttp.Escape(c.ID)+"/json", &i); err != nil {
		return err
	}
	c.State, c.PID, c.Env = i.State.Status, i.State.Pid, i.Config.Env
	if i.Image != "" {
		c.Image = bare(i.Image)
	}
	if c.Labels == nil {
		c.Labels = i.Config.Labels
	}
	c.Volumes = append(c.Volumes, volumes(i.Mounts)...)
	c.Networks = append(c.Networks, i.NetworkSettings.Networks.names()...)
	h := i.HostConfig
	for _, mode := range []string{h.NetworkMode, h.IpcMode, h.PidMode} {
		if other, ok := strings.CutPrefix(mode, "container:"); ok {
			c.Uses = append(c.Uses, other)
		} else if mode != "" {
			c.Networks = append(c.Networks, mode)
		}
	}
	for _, from := range append(h.VolumesFrom, h.Links...) { // name:ro, /name:/alias
		other, _, _ := strings.Cut(strings.TrimPrefix(from, "/"), ":")
		c.Uses = append(c.Uses, other)
	}
	return nil
}

// Pod is a group of containers of Podman.
type Pod struct {
	ID       string `json:"Id"`
	Name     string
	Labels   map[string]string
	Created  time.Time
	InfraID  string   `json:"InfraId"` // the container that holds its namespaces, "" if it has none
	Contains []Member `json:"Containers"`
}

// Member is a container of a pod.
type Member struct {
	ID string `json:"Id"`
}

// Pods returns all pods; other engines than Podman have none.
func (e *Engine) Pods(ctx context.Context) ([]Pod, error) {
	if e.libpod == "" {
		return nil, nil
	}
	var all []Pod
	err := e.get(ctx, e.libpod+"/pods/json", &all)
	return all, err
}

// Volume is a volume with a name.
type Volume struct {
	Name      string
	Labels    map[string]string
	CreatedAt string // RFC 3339; engines before 2016 do not tell
}

// Volumes returns all volumes.
func (e *Engine) Volumes(ctx context.Context) ([]Volume, error) {
	var list struct{ Volumes []Volume }
	err := e.get(ctx, e.prefix+"/volumes", &list)
	return list.Volumes, err
}

// Network is a network.
type Network struct {
	ID      string `json:"Id"`
	Name    string
	Scope   string // local, or swarm for what belongs to a cluster
	Labels  map[string]string
	Created string // as CreatedAt of Volume
	Ingress bool
}

// builtin are the networks that engines make for themselves.
var builtin = map[string]bool{"bridge": true, "host": true, "none": true, "podman": true, "docker_gwbridge": true, "ingress": true}

// Networks returns the networks that somebody made on this machine.
func (e *Engine) Networks(ctx context.Context) ([]Network, error) {
	var list, made []Network
	err := e.get(ctx, e.prefix+"/networks", &list)
	for _, n := range list {
		if !builtin[n.Name] && !n.Ingress && (n.Scope == "local" || n.Scope == "") {
			made = append(made, n)
		}
	}
	return made, err
}

// Image is an image, with names or without.
type Image struct {
	ID string `json:"Id"`
	// Parent is the identity of the image that it was built from, where the engine tells.
	Parent string `json:"ParentId"`
	// Tags are names as registry/repository:tag, Digests as registry/repository@sha256:...
	Tags    []string `json:"RepoTags"`
	Digests []string `json:"RepoDigests"`
	Labels  map[string]string
	// Built is when it was built, in seconds since 1970; Size is what its layers hold, Shared what of that others hold
	// too or -1 if that is not known.
	Built  int64 `json:"Created"`
	Size   int64
	Shared int64 `json:"SharedSize"`
}

// Images returns all images, those between builds included.
func (e *Engine) Images(ctx context.Context) ([]Image, error) {
	var all []Image
	err := e.get(ctx, e.prefix+"/images/json?all=1", &all)
	for i := range all {
		all[i].tidy()
	}
	return all, err
}

// none is how engines write that an image has no name.
const none = "<none>"

func (i *Image) tidy() {
	i.ID, i.Parent = bare(i.ID), bare(i.Parent)
	i.Tags, i.Digests = named(i.Tags), named(i.Digests)
}

func named(names []string) []string {
	var all []string
	for _, name := range names {
		if !strings.Contains(name, none) {
			all = append(all, name)
		}
	}
	return all
}

// bare takes the name of the digest off an identity: engines write it in some of their answers only.
func bare(id string) string { return strings.TrimPrefix(id, "sha256:") }

// Details is what an engine tells of one image only.
type Details struct {
	// Tagged is when it was last pulled or given a name; the zero time where the engine does not tell.
	Tagged time.Time
	// Layers are the digests of its layers, the lowest first.
	Layers []string
}

// Details returns nothing of an image that is gone.
func (e *Engine) Details(ctx context.Context, id string) (Details, error) {
	var i struct {
		Metadata struct{ LastTagTime time.Time }
		RootFS   struct{ Layers []string }
	}
	err := e.get(ctx, e.prefix+"/images/"+unixhttp.Escape(id)+"/json", &i)
	if gone(err) {
		err = nil
	}
	return Details{i.Metadata.LastTagTime, i.RootFS.Layers}, err
}

// Usage is what an engine says of the room that it takes.
type Usage struct {
	// Layers is what all images hold together, 0 if it is not told; Images have Shared set.
	Layers int64 `json:"LayersSize"`
	Images []Image
	Cache  []CacheRecord `json:"BuildCache"`
}

// CacheRecord is one record of a build cache.
type CacheRecord struct {
	ID string
	// Parent is of engines before API 1.42, Parents of later ones.
	Parent     string
	Parents    []string
	InUse      bool
	Size       int64
	CreatedAt  time.Time
	LastUsedAt *time.Time
}

// What Usage can be asked about; engines before API 1.42 tell everything, whatever they are asked.
const (
	OfImages     = "image"
	OfBuildCache = "build-cache"
)

// Usage asks for the room that things take.
func (e *Engine) Usage(ctx context.Context, of string) (Usage, error) {
	var u Usage
	err := e.get(ctx, e.prefix+"/system/df?type="+of, &u)
	for i := range u.Images {
		u.Images[i].tidy()
	}
	return u, err
}
