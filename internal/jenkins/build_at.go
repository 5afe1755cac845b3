// SPDX-License-Identifier: Apache-2.0

package jenkins

import "context"

// BuildAt returns the build with this address: one request. It needs Job/Read.
func (c *Client) BuildAt(ctx context.Context, address string) (Build, error) {
	job, number := parseBuildURL(address)
	if job == "" || number <= 0 {
		return Build{}, invalid("read", "build "+address, errShape)
	}
	return c.BuildInfo(ctx, job, number)
}
