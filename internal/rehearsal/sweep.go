// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// Names of nodes begin with nodePrefix and the day that they are of.
const (
	nodePrefix = "pitcrew-rehearsal-"
	nodeDay    = "20060102"
)

// newNode is a name for a node that was never used before: a secret belongs to its name for ever.
func newNode(now time.Time) string {
	return nodePrefix + now.UTC().Format(nodeDay) + "-" + strings.ToLower(rand.Text())
}

var ofRehearsal = regexp.MustCompile(`^` + nodePrefix + `([0-9]{8})-[a-z2-7]{26}$`)

// strangeAfter is how old a node is that has no agent, and no loan that we know, before nobody is thought to want it: it may be that
// of another daemon's loan.
const strangeAfter = 48 * time.Hour

// sweep removes what rehearsals that were killed have left at a controller that is not ours alone: nodes whose loans are over, and their
// jobs. That it cannot is no reason not to rehearse.
func (r *Rehearsal) sweep(ctx context.Context) {
	if r.Controller != nil {
		return // it is new
	}
	if err := r.removeLeft(ctx); err != nil && ctx.Err() == nil {
		r.Say("leftovers of killed rehearsals: " + err.Error())
	}
}

func (r *Rehearsal) removeLeft(ctx context.Context) error {
	fleet, err := r.Jenkins.Fleet(ctx)
	if err != nil {
		return err
	}
	var alone []string // without an agent
	for _, a := range fleet.Agents {
		if ofRehearsal.MatchString(a.Name) && a.Offline {
			alone = append(alone, a.Name)
		}
	}
	if len(alone) == 0 {
		return nil
	}
	lent, err := r.Desk.Nodes(ctx)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(alone, func(node string) bool {
		over, known := lent[node]
		return known && !over || !known && !isStrange(node, time.Now())
	})
	if len(left) == 0 {
		return nil
	}
	jobs, err := r.jobsOf(ctx, left)
	if err != nil {
		return err
	}
	var errs []error
	for _, node := range left {
		if err := r.remove(ctx, node, jobs[node]); err != nil {
			errs = append(errs, err)
			continue
		}
		r.Say("removed what a killed rehearsal has left: node " + node)
	}
	return errors.Join(errs...)
}

func isStrange(node string, now time.Time) bool {
	day, err := time.Parse(nodeDay, ofRehearsal.FindStringSubmatch(node)[1])
	return err == nil && now.Sub(day) > strangeAfter
}

// jobsOf are the jobs of each of the nodes. They are looked for once, as a controller may have any number, and before any is removed: what
// is removed of one page of a list moves the next.
func (r *Rehearsal) jobsOf(ctx context.Context, nodes []string) (map[string][]string, error) {
	jobs := map[string][]string{}
	for j, err := range r.Jenkins.Jobs(ctx) {
		if err != nil {
			return nil, err
		}
		for _, node := range nodes {
			if strings.HasPrefix(j.FullName, node+"-") {
				jobs[node] = append(jobs[node], j.FullName)
			}
		}
	}
	return jobs, nil
}

// remove removes a node after its jobs, so that who is cut short in between finds it again. Others may be faster.
func (r *Rehearsal) remove(ctx context.Context, node string, jobs []string) error {
	for _, job := range jobs {
		if err := r.Jenkins.DeleteJob(ctx, job); err != nil && !jenkins.IsNotFound(err) {
			return fmt.Errorf("remove job %s: %w", job, err)
		}
	}
	return r.Jenkins.DeleteNode(ctx, node)
}
