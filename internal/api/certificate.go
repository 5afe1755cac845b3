// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Certificate says how clean an agent was when a build took it.
type Certificate struct {
	Build      string    `json:"build" doc:"URL of the build"`
	Controller string    `json:"controller"`
	Agent      string    `json:"agent"`
	Pool       string    `json:"pool,omitempty"`
	Cleaned    time.Time `json:"cleaned" doc:"When the agent was granted clean"`
	Used       time.Time `json:"used" doc:"When the build took that, by the controller's clock, as far as it was seen"`
	Attempt    int64     `json:"attempt" doc:"Number, among those of the agent, of the attempt that cleaned it"`
	AttemptID  int64     `json:"attempt_id" doc:"Of that attempt among those of all agents"`
	Recipe     string    `json:"recipe"`
	Revision   string    `json:"revision" doc:"Content address of the compiled recipe"`
	Ran        string    `json:"ran" enum:"cleanup,verify" doc:"All phases of the recipe, or the verify phase alone: the agent was cleaned before, and nothing ran on it since"`
	Depth      string    `json:"depth,omitempty" enum:"light,standard,deep"`
	Delivery   string    `json:"delivery" enum:"job,ssh"`
	By         string    `json:"by,omitempty" doc:"URL of the build that ran the recipe"`
	Proof      string    `json:"proof" doc:"Why the agent was believed"`
	// Contaminated is not empty where the build, as is known by now, started on an agent that something else had used.
	Contaminated string `json:"contaminated,omitempty" doc:"Why the certificate is void: what is known by now of what ran on the agent before the build"`
}

// CertificateQuery names a build.
type CertificateQuery struct {
	strict
	Build string `query:"build" required:"true" doc:"URL of the build, as Jenkins shows it" example:"https://ci.example.org/job/app/7/"`
}

func (s *Server) certificateRoutes() {
	register(s, operation{
		id: "listCertificates", method: http.MethodGet, path: "/certificates", role: store.Viewer, tag: "builds",
		summary: "Say how clean the agents were that a build took",
		detail:  "One certificate for each agent. There is none for a build that took no clean agent, or whose cleanup is older than the retention.",
	}, s.listCertificates)
}

func (s *Server) listCertificates(ctx context.Context, q *CertificateQuery) (*answer[Page[Certificate]], error) {
	build, err := buildURL(q.Build)
	if err != nil {
		return nil, err
	}
	found, err := s.Store.UsedBy(ctx, build)
	if err != nil {
		return nil, err
	}
	out := []Certificate{}
	for _, r := range found {
		c := certificateOf(build, r)
		runs, err := s.Store.Builds(ctx, store.BuildFilter{Agent: r.Agent, URL: build, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(runs) > 0 && runs[0].Contaminated {
			c.Contaminated = runs[0].Reason
		}
		out = append(out, c)
	}
	return answered(Page[Certificate]{Items: out}, nil)
}

// buildURL is the address of a build as Jenkins reports it, of whatever page of it was pasted.
func buildURL(text string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "", invalid("query.build", "want the address of a build, such as https://ci.example.org/job/app/7/", text)
	}
	u.RawQuery, u.Fragment = "", ""
	path := strings.TrimRight(u.EscapedPath(), "/")
	parts := strings.Split(path, "/")
	for i := len(parts) - 1; i > 1; i-- { // .../job/NAME/NUMBER, below which its pages are
		if isNumber(parts[i]) && parts[i-2] == "job" {
			parts = parts[:i+1]
			break
		}
	}
	return u.Scheme + "://" + u.Host + strings.Join(parts, "/") + "/", nil
}

func isNumber(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

func certificateOf(build string, r store.AttemptRecord) Certificate {
	t := r.Attempt
	c := Certificate{
		Build: build, Controller: string(t.Agent.Controller), Agent: t.Agent.Name, Pool: t.Pool,
		Cleaned: utc(t.Ended), Used: utc(t.Lost), Attempt: t.Number, AttemptID: r.ID,
		Recipe: t.Recipe, Revision: t.Revision, Ran: string(t.Need), Depth: string(t.Depth), Delivery: string(t.Delivery), By: t.Run.URL,
		Proof: "all phases of the recipe ran on the agent, and its verify phase found it as it has to be",
	}
	if t.Need == hygiene.NeedVerify {
		c.Proof = "the verify phase of the recipe found the agent as it has to be, and nothing was known to have run there since it was cleaned"
	}
	return c
}
