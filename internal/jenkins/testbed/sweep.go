// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Sweep removes all that bears the prefix: queued items, jobs with their builds, nodes.
// What is gone already is success.
func (c *Controller) Sweep(ctx context.Context) error {
	left, err := c.left(ctx)
	for _, path := range left {
		err = errors.Join(err, c.remove(ctx, path))
	}
	return err
}

// left are the requests that remove what is there.
func (c *Controller) left(ctx context.Context) ([]string, error) {
	var queue struct {
		Items []struct {
			ID   int64
			Task struct{ Name string }
		}
	}
	var root struct{ Jobs []struct{ Name string } }
	var fleet struct {
		Computer []struct{ DisplayName string }
	}
	err := errors.Join(
		c.read(ctx, "/queue/api/json?tree=items[id,task[name]]", &queue),
		c.read(ctx, "/api/json?tree=jobs[name]", &root),
		c.read(ctx, "/computer/api/json?tree=computer[displayName]", &fleet),
	)
	var paths []string
	for _, i := range queue.Items {
		if c.made(i.Task.Name) {
			paths = append(paths, fmt.Sprintf("/queue/cancelItem?id=%d", i.ID))
		}
	}
	for _, j := range root.Jobs {
		if c.made(j.Name) {
			paths = append(paths, JobPath(j.Name)+"/doDelete")
		}
	}
	for _, n := range fleet.Computer {
		if c.made(n.DisplayName) {
			paths = append(paths, NodePath(n.DisplayName)+"/doDelete")
		}
	}
	return paths, err
}

func (c *Controller) made(name string) bool {
	return c.Prefix != "" && strings.HasPrefix(name, c.Prefix+"-")
}

// remove sends the request of a removal. An item that just left the queue is 500.
func (c *Controller) remove(ctx context.Context, path string) error {
	a, err := c.Send(ctx, Request{Method: http.MethodPost, Path: path})
	if err != nil {
		return fmt.Errorf("POST %s: %w", path, err)
	}
	done := a.Status < 400 || a.Status == http.StatusNotFound || strings.HasPrefix(path, "/queue/")
	if !done {
		return fmt.Errorf("POST %s: status %d: %s", path, a.Status, a.Excerpt())
	}
	return nil
}

// NodePath is the address of a node below the root.
func NodePath(name string) string { return "/computer/" + url.PathEscape(name) }

// JobPath is the address of a job at the root.
func JobPath(name string) string { return "/job/" + url.PathEscape(name) }
