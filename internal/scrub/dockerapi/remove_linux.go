// SPDX-License-Identifier: Apache-2.0

package dockerapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/unixhttp"
)

// remove deletes what is at target; what is not there is removed.
func (e *Engine) remove(ctx context.Context, target string) error {
	if _, err := e.do(ctx, "DELETE", target); err != nil && !gone(err) {
		return err
	}
	return nil
}

// RemoveContainer kills a container and removes it with the volumes that were made for it and have no name.
func (e *Engine) RemoveContainer(ctx context.Context, id string) error {
	at := e.prefix + "/containers/" + unixhttp.Escape(id)
	// Podman would wait ten seconds for a first process to heed TERM, which most do not. One that is not running is
	// not killed, and that is no error.
	_, killing := e.do(ctx, "POST", at+"/kill")
	err := e.remove(ctx, at+"?force=1&v=1")
	if refused, ok := err.(Refusal); ok && refused.Status == 409 && strings.Contains(refused.Message, "in progress") { //nolint:errorlint // of ours, not wrapped
		return e.await(ctx, at+"/json")
	}
	if err != nil && killing != nil && ctx.Err() == nil {
		if refused, ok := killing.(Refusal); !ok || refused.Status != 409 { //nolint:errorlint // as above
			err = fmt.Errorf("%w; nor was it killed: %w", err, killing)
		}
	}
	return err
}

// While somebody else removes something, it is looked for this often and so long.
const (
	between = 100 * time.Millisecond
	longest = 30 * time.Second
)

// await returns when there is nothing at target any more.
func (e *Engine) await(ctx context.Context, target string) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	for {
		if _, err := e.do(ctx, "GET", target); gone(err) {
			return nil
		}
		timer := time.NewTimer(between)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("its removal is in progress and does not end: %w", ctx.Err())
		}
	}
}

// RemovePod kills a pod and removes it with its containers.
func (e *Engine) RemovePod(ctx context.Context, id string) error {
	at := e.libpod + "/pods/" + unixhttp.Escape(id)
	_, _ = e.do(ctx, "POST", at+"/kill?signal=SIGKILL") // what it did not do, the removal will
	return e.remove(ctx, at+"?force=true")
}

// RemoveVolume removes a volume that no container uses.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	return e.remove(ctx, e.prefix+"/volumes/"+unixhttp.Escape(name))
}

// RemoveNetwork removes a network that no container is on.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	return e.remove(ctx, e.prefix+"/networks/"+unixhttp.Escape(id))
}

// RemoveName takes a name off an image; with its last name the image goes.
func (e *Engine) RemoveName(ctx context.Context, name string) error {
	return e.remove(ctx, e.image(name))
}

// image is the target that removes an image. Its parents stay: nobody has said that they may go.
func (e *Engine) image(name string) string {
	return e.prefix + "/images/" + unixhttp.Escape(name) + "?noprune=1"
}

// RemoveImage removes an image that no container and no other image needs: its names first, since an engine removes
// none by its identity that several repositories name.
func (e *Engine) RemoveImage(ctx context.Context, i Image) error {
	for _, tag := range i.Tags {
		if err := e.RemoveName(ctx, tag); err != nil {
			return err
		}
	}
	if len(i.Digests) > 1 {
		for _, digest := range i.Digests {
			if err := e.RemoveName(ctx, digest); err != nil {
				return err
			}
		}
	}
	return e.remove(ctx, e.image(i.ID))
}

// PruneCache removes from the build cache what was not used for so long, until it holds no more than so many bytes.
func (e *Engine) PruneCache(ctx context.Context, unused time.Duration, keep int64) error {
	query := "?all=1"
	if unused > 0 {
		filter, err := json.Marshal(map[string]map[string]bool{"until": {unused.String(): true}})
		if err != nil {
			return err
		}
		query += "&filters=" + unixhttp.Escape(string(filter))
	}
	if keep > 0 {
		query += "&keep-storage=" + strconv.FormatInt(keep, 10)
	}
	_, err := e.do(ctx, "POST", e.prefix+"/build/prune"+query)
	return err
}
