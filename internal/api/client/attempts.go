// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"io"
	"iter"
	"net/http"
	"strconv"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// Attempts yields the attempts that match, newest first.
func (c *Client) Attempts(ctx context.Context, q api.AttemptQuery) iter.Seq2[api.Attempt, error] {
	return pages[api.Attempt](ctx, c, "/attempts", values(q))
}

// Attempt returns an attempt, by its ID, with what its program reported.
func (c *Client) Attempt(ctx context.Context, id int64) (api.AttemptDetail, error) {
	return get[api.AttemptDetail](ctx, c, where("attempts", strconv.FormatInt(id, 10)), nil)
}

// AttemptLog copies the end of an attempt's output. An attempt of which none is kept is not found.
func (c *Client) AttemptLog(ctx context.Context, id int64, to io.Writer) error {
	res, err := c.send(ctx, http.MethodGet, where("attempts", strconv.FormatInt(id, 10), "log"), nil, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(to, io.LimitReader(res.Body, maxAnswer))
	return err
}

// Builds yields the real builds that match, newest first.
func (c *Client) Builds(ctx context.Context, q api.BuildQuery) iter.Seq2[api.Build, error] {
	return pages[api.Build](ctx, c, "/builds", values(q))
}
