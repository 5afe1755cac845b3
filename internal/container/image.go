// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// imageFacts are what we need to know of an image.
type imageFacts struct {
	id   string
	home string // JENKINS_HOME
	java string // its own JAVA_OPTS
	// volumes are the directories that it wants volumes for.
	volumes []string
}

// provide has the engine have the image, and looks at it.
func (e *engine) provide(ctx context.Context, i Image) (imageFacts, error) {
	name := i.Name
	if i.Archive != "" {
		loaded, err := e.load(ctx, i.Archive)
		switch {
		case err != nil:
			return imageFacts{}, fmt.Errorf("load archive %s: %w", i.Archive, err)
		case name == "" && len(loaded) != 1:
			return imageFacts{}, fmt.Errorf("archive %s holds %d images (%s): name the one to use", i.Archive, len(loaded), strings.Join(loaded, ", "))
		case name == "":
			name = loaded[0]
		}
	}
	facts, err := e.look(ctx, name)
	if errdefs.IsNotFound(err) && i.Pull && i.Archive == "" {
		if err := e.pull(ctx, name); err != nil {
			return imageFacts{}, fmt.Errorf("pull image %s: %w", name, err)
		}
		facts, err = e.look(ctx, name)
	}
	if errdefs.IsNotFound(err) {
		return imageFacts{}, fmt.Errorf("engine %s has no image %s: pull it, or give an archive of it", e.DaemonHost(), name)
	}
	return facts, err
}

func (e *engine) look(ctx context.Context, name string) (imageFacts, error) {
	ctx, cancel := e.bound(ctx)
	defer cancel()
	found, err := e.ImageInspect(ctx, name)
	if err != nil {
		return imageFacts{}, fmt.Errorf("look at image %s: %w", name, err)
	}
	facts := imageFacts{id: found.ID, home: "/var/jenkins_home"}
	if found.Config == nil {
		return facts, nil
	}
	facts.volumes = slices.Sorted(maps.Keys(found.Config.Volumes))
	for _, variable := range found.Config.Env {
		switch key, value, _ := strings.Cut(variable, "="); key {
		case "JENKINS_HOME":
			facts.home = value
		case "JAVA_OPTS":
			facts.java = value
		}
	}
	return facts, nil
}

func (e *engine) pull(ctx context.Context, name string) error {
	answer, err := e.ImagePull(ctx, name, client.ImagePullOptions{})
	if err != nil {
		return err
	}
	return errors.Join(answer.Wait(ctx), answer.Close())
}

// load returns the names of the images in the archive, or their digests where they have no name.
func (e *engine) load(ctx context.Context, archive string) (names []string, err error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	answer, err := e.ImageLoad(ctx, file, client.ImageLoadWithQuiet(true))
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	for lines := json.NewDecoder(answer); ; {
		var line struct{ Stream, Error string }
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF):
			return names, nil
		case err != nil:
			return nil, fmt.Errorf("read the engine's answer: %w", err)
		case line.Error != "":
			return nil, errors.New(line.Error)
		}
		// Docker: one line "Loaded image: NAME" or "Loaded image ID: DIGEST" for each. Podman: "Loaded image: NAME,NAME".
		for said := range strings.Lines(line.Stream) {
			if what, list, ok := strings.Cut(strings.TrimSpace(said), ": "); ok && strings.HasPrefix(what, "Loaded image") {
				names = append(names, strings.Split(list, ",")...)
			}
		}
	}
}
