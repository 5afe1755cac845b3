// SPDX-License-Identifier: Apache-2.0

package jenkins

import "context"

// SystemInfo is what a controller says about itself.
type SystemInfo struct {
	Version      string
	Session      string // as in [Fleet]
	URL          string // the root as configured there; empty if it is not
	QuietingDown bool   // nothing new starts, cleanups included
	UseSecurity  bool
	UseCrumbs    bool
}

// SystemInfo asks the controller about itself: one request.
func (c *Client) SystemInfo(ctx context.Context) (SystemInfo, error) {
	var w struct {
		URL          string `json:"url"`
		QuietingDown bool   `json:"quietingDown"`
		UseSecurity  bool   `json:"useSecurity"`
		UseCrumbs    bool   `json:"useCrumbs"`
	}
	header, err := c.getJSON(ctx, "read controller", "", "/api/json", tree("url,quietingDown,useSecurity,useCrumbs"), &w)
	if err != nil {
		return SystemInfo{}, err
	}
	return SystemInfo{
		Version: header.Get("X-Jenkins"), Session: sessionOf(header),
		URL: w.URL, QuietingDown: w.QuietingDown, UseSecurity: w.UseSecurity, UseCrumbs: w.UseCrumbs,
	}, nil
}

// Identity is whom the controller takes us for.
type Identity struct {
	Name          string
	Anonymous     bool
	Authenticated bool
	Authorities   []string
}

// WhoAmI asks whom the controller takes us for: one request. It needs no permission.
func (c *Client) WhoAmI(ctx context.Context) (Identity, error) {
	var w struct {
		Name          string   `json:"name"`
		Anonymous     bool     `json:"anonymous"`
		Authenticated bool     `json:"authenticated"`
		Authorities   []string `json:"authorities"`
	}
	_, err := c.getJSON(ctx, "check credentials", "", "/whoAmI/api/json", tree("name,anonymous,authenticated,authorities"), &w)
	return Identity(w), err
}
