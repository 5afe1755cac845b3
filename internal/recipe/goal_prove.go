// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

var (
	hostName    = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$`)
	networkName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
)

func (d *decoder) kvm(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.KVM{}
	g.KVM = goal
	d.options(path, n, []field{
		{"nested", func(path string, n ast.Node) { goal.Nested, _ = d.boolean(path, n) }},
	})
}

func (d *decoder) reach(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Reach{}
	g.Reach = goal
	d.options(path, n, []field{
		{"names", d.texts(&goal.Names, fits(hostName, "the name of a host"))},
		{"servers", func(path string, n ast.Node) {
			d.list(path, n, func(path string, n ast.Node) { goal.Servers = append(goal.Servers, d.endpoint(path, n)) })
		}},
		{"wait", func(path string, n ast.Node) {
			goal.Wait = spec.Seconds(d.duration(path, n, time.Second, 10*time.Minute) / time.Second)
		}},
		{"tries", func(path string, n ast.Node) {
			if goal.Tries = d.count(path, n, maxRetries); goal.Tries == 0 {
				d.fail(n, path, "want one try at least")
			}
		}},
		{"direct", func(path string, n ast.Node) { goal.Direct, _ = d.boolean(path, n) }},
	})
	d.something(path, n, len(goal.Names)+len(goal.Servers))
}

// endpoint reads a server: its URL, or a mapping with the answers that are right.
func (d *decoder) endpoint(path string, n ast.Node) spec.Endpoint {
	var e spec.Endpoint
	whole := n
	url := func(path string, n ast.Node) {
		text, ok := d.text(path, n)
		a, err := spec.ParseAddress(text)
		if e.URL = text; ok && err != nil {
			d.fail(n, path, "%q: %s", text, err)
		}
		switch {
		case !ok || err != nil:
		case a.Scheme == "ntp":
			d.fail(n, path, "servers of ntp are asked by the goal \"time\"")
		case a.Scheme == "tcp" && isMapping(whole):
			d.fail(n, path, "tcp answers with no status; write the URL alone")
		}
	}
	if !isMapping(n) {
		url(path, n)
		return e
	}
	there := d.mapping(path, n, []field{
		{"url", url},
		{"status", func(path string, n ast.Node) {
			d.list(path, n, func(path string, n ast.Node) {
				code := d.count(path, n, 599)
				if code < 200 {
					d.fail(n, path, "want a status of HTTP, as 401")
				}
				e.Status = append(e.Status, code)
			})
		}},
	})
	if !there["url"] {
		d.fail(n, path, "the field \"url\" is missing")
	}
	return e
}

func (d *decoder) time(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Time{}
	g.Time = goal
	d.options(path, n, []field{
		{"against", d.texts(&goal.Against, func(url string) string {
			a, err := spec.ParseAddress(url)
			switch {
			case err != nil:
				return err.Error()
			case a.Scheme == "tcp":
				return "a connection tells no time; want ntp://host, http://host/ or https://host/"
			}
			return ""
		})},
		{"within", func(path string, n ast.Node) {
			goal.Within = spec.Seconds(d.duration(path, n, time.Second, 24*time.Hour) / time.Second)
		}},
		{"synchronised", func(path string, n ast.Node) { goal.Synchronised, _ = d.boolean(path, n) }},
	})
	switch {
	case len(goal.Against) > 0 && goal.Within == 0:
		d.fail(n, path, "the field \"within\" is missing: by how much may the clock differ?")
	case len(goal.Against) == 0 && goal.Within > 0:
		d.fail(n, path, "the field \"against\" is missing: who knows the time?")
	}
	if !goal.Synchronised {
		d.something(path, n, len(goal.Against))
	}
}

func (d *decoder) engine(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Engine{}
	g.Engine = goal
	imageAt := n
	there := d.mapping(path, n, []field{
		{"sockets", d.texts(&goal.Sockets, absolute)},
		{"image", func(path string, n ast.Node) { imageAt = n; goal.Image, _ = d.text(path, n) }},
		{"run", func(path string, n ast.Node) {
			d.list(path, n, func(path string, n ast.Node) {
				word, _ := d.text(path, n)
				goal.Run = append(goal.Run, word)
			})
		}},
		{"says", func(path string, n ast.Node) { goal.Says, _ = d.text(path, n) }},
		{"network", func(path string, n ast.Node) {
			goal.Network = d.matching(path, n, networkName, "the name of a network, as bridge")
		}},
		{"wait", func(path string, n ast.Node) {
			goal.Wait = spec.Seconds(d.duration(path, n, time.Second, time.Hour) / time.Second)
		}},
		{"pull", func(path string, n ast.Node) { goal.Pull, _ = d.boolean(path, n) }},
	})
	switch _, _, err := goal.Wanted(); {
	case !isMapping(n):
	case !there["image"]:
		d.fail(n, path, "the field \"image\" is missing: what is to be run?")
	case err != nil:
		d.fail(imageAt, path+".image", "%q: %s", goal.Image, err)
	case goal.Pull && strings.HasPrefix(goal.Image, "sha256:"):
		d.fail(imageAt, path+".image", "a digest alone cannot be pulled; name its repository, as quay.io/ci/tools@sha256:...")
	}
}
