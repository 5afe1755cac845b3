// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// makeVolumes makes the volumes that an image wants, and says where they go. What an engine makes for that itself has neither name nor
// label: one that dies between the volume and the container leaves what nobody could tell from others' volumes.
func (b *box) makeVolumes(ctx context.Context, paths []string) ([]mount.Mount, error) {
	mounts := make([]mount.Mount, len(paths))
	for i, path := range paths {
		name := fmt.Sprintf("%s-%d", b.name, i)
		b.volumes = append(b.volumes, name)
		if _, err := b.engine.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name, Labels: b.labels()}); err != nil {
			return nil, fmt.Errorf("create volume for %s: %w", path, err)
		}
		mounts[i] = mount.Mount{Type: mount.TypeVolume, Source: name, Target: path}
	}
	return mounts, nil
}

// removeVolumes removes the volumes of a container that is gone.
func (e *engine) removeVolumes(ctx context.Context, names []string) error {
	var errs []error
	for _, name := range names {
		if _, err := e.VolumeRemove(ctx, name, client.VolumeRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("remove volume %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// sweepVolumes removes the volumes of dead owners, after their containers.
func (e *engine) sweepVolumes(ctx context.Context, l Leftovers, me process, now time.Time) (removed []string, err error) {
	all, cancel := e.bound(ctx)
	defer cancel()
	found, err := e.VolumeList(all, client.VolumeListOptions{Filters: make(client.Filters).Add("label", ownerLabel)})
	if err != nil {
		return nil, fmt.Errorf("list volumes of ephemeral controllers: %w", err)
	}
	for i := range found.Items {
		v := &found.Items[i]
		label, ours := v.Labels[ownerLabel]
		made, unknown := time.Parse(time.RFC3339, v.CreatedAt)
		age := now.Sub(made)
		if unknown != nil {
			age = 0 // young: it stays
		}
		if !ours || !l.goes(me.fateOf(parseProcess(label), e.here), age) {
			continue
		}
		if failed := e.removeVolumes(ctx, []string{v.Name}); failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		removed = append(removed, "volume "+v.Name)
	}
	return removed, err
}
