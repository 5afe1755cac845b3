// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// JobConfig returns the stored configuration of a job: one request. It needs Job/ExtendedRead or Job/Configure.
func (c *Client) JobConfig(ctx context.Context, job string) ([]byte, error) {
	path, err := jobPath(job)
	if err != nil {
		return nil, invalid("read configuration", jobObject(job), err)
	}
	return c.getBytes(ctx, "read configuration", jobObject(job), path+"/config.xml", false)
}

// CreateJob creates a job: one request. [IsConflict] if there is one of that name; names differ in more than case.
// Folders on the way must exist. It needs Job/Create there.
func (c *Client) CreateJob(ctx context.Context, job string, xml []byte) error {
	if _, err := jobPath(job); err != nil {
		return invalid("create", jobObject(job), err)
	}
	folder, name := "", job
	if i := strings.LastIndexByte(job, '/'); i >= 0 {
		folder, _ = jobPath(job[:i]) // a part of what was checked above
		name = job[i+1:]
	}
	err := c.postXML(ctx, "create", jobObject(job), folder+"/createItem", url.Values{"name": {name}}.Encode(), xml)
	return asExists(err)
}

// asExists makes a conflict of the refusal of a name that is taken: hudson.model.Failure is always a 400, told apart by
// its text alone.
func asExists(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest && strings.Contains(e.Excerpt, "already exists") {
		e.Kind = KindConflict
	}
	return err
}

// UpdateJob replaces the configuration of a job: one request. Builds that run keep the old one. It needs Job/Configure.
func (c *Client) UpdateJob(ctx context.Context, job string, xml []byte) error {
	path, err := jobPath(job)
	if err != nil {
		return invalid("write configuration", jobObject(job), err)
	}
	return c.postXML(ctx, "write configuration", jobObject(job), path+"/config.xml", "", xml)
}

// DeleteJob deletes a job with its builds; those that run are aborted: one request. It needs Job/Delete.
func (c *Client) DeleteJob(ctx context.Context, job string) error {
	return c.postJob(ctx, "delete", job, "/doDelete")
}

// EnableJob lets a job be built: one request. It needs Job/Configure.
func (c *Client) EnableJob(ctx context.Context, job string) error {
	return c.postJob(ctx, "enable", job, "/enable")
}

// DisableJob lets no more builds of a job start: one request. It needs Job/Configure.
func (c *Client) DisableJob(ctx context.Context, job string) error {
	return c.postJob(ctx, "disable", job, "/disable")
}

func (c *Client) postJob(ctx context.Context, op, job, action string) error {
	path, err := jobPath(job)
	if err != nil {
		return invalid(op, jobObject(job), err)
	}
	return c.post(ctx, op, jobObject(job), path+action, nil)
}
