// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/dockerapi"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// stock is what one engine has, while it is judged.
type stock struct {
	*containers
	all      []dockerapi.Container
	engine   *dockerapi.Engine
	socket   string
	pods     []dockerapi.Pod
	volumes  []dockerapi.Volume
	networks []dockerapi.Network
	images   []dockerapi.Image
	// details are of images that the engine was asked about one by one, by their identities.
	details map[string]dockerapi.Details
	// stay says of containers and pods that are owned why they stay all the same, going which go, by their identities.
	stay  map[string]string
	going map[string]bool
}

// inmate is something in an engine that is to go.
type inmate struct {
	spec.Residue
	wave   int
	remove func(context.Context) error
}

// Things go in this order; within a sort, one that others need goes after them.
const (
	waveContainers = iota * 1_000_000
	wavePods
	waveRest
	waveImages
	waveCache
)

// take asks for everything that the judgement needs.
func (s *stock) take(ctx context.Context) (err error) {
	if s.all, err = s.engine.Containers(ctx); err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	if s.pods, err = s.engine.Pods(ctx); err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	if s.volumes, err = s.engine.Volumes(ctx); err != nil {
		return fmt.Errorf("list volumes: %w", err)
	}
	if s.networks, err = s.engine.Networks(ctx); err != nil {
		return fmt.Errorf("list networks: %w", err)
	}
	if s.goal.Images == nil {
		return nil
	}
	if s.images, err = s.engine.Images(ctx); err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	return nil
}

// judge returns what is to go.
func (s *stock) judge(ctx context.Context) ([]inmate, error) {
	s.decide()
	all := slices.Concat(s.goingContainers(), s.goingPods(), s.goingVolumes(), s.goingNetworks())
	images, err := s.goingImages(ctx)
	if err != nil {
		return nil, err
	}
	cache, err := s.goingCache(ctx)
	return slices.Concat(all, images, cache), err
}

// note remarks on something that is owned and stays.
func (s *stock) note(kind, name, why string) {
	s.notes = append(s.notes, fmt.Sprintf("%s %s is left alone: %s", kind, shown(name), why))
}

func (s *stock) isOwned(name string, labels map[string]string) bool {
	return s.goal.All || s.owned.Labelled(labels) || s.owned.Named(name)
}

func (s *stock) isKept(name string) bool { return spec.Matches(s.goal.Keep, name) }

// decide settles which containers and pods go: those that are owned, but for what lives, is kept, or is needed by what
// stays.
func (s *stock) decide() {
	s.stay, s.going = map[string]string{}, map[string]bool{}
	s.guard(s.self())
	inPod := s.guardPods()
	for _, c := range s.all {
		s.going[c.ID] = s.stay[c.ID] == "" && (s.isOwned(c.Name, c.Labels) || inPod[c.ID])
	}
	for changed := true; changed; { // what stays makes others stay
		changed = s.needed()
		for _, p := range s.pods {
			changed = s.settle(p) || changed
		}
	}
}

// guard notes which containers have to survive whatever else is true of them.
func (s *stock) guard(self dwelling) {
	for _, c := range s.all {
		why := self.holds(c)
		switch {
		case why == "" && s.isKept(c.Name):
			why = byRecipe
		case why == "" && self.lost && s.goal.All && len(s.goal.Keep) == 0:
			why = "this program lives in a container itself and cannot tell in which; name that one in keep"
		}
		if why != "" {
			s.stay[c.ID] = why
		}
	}
}

const byRecipe = "the recipe keeps it"

// guardPods decides about pods: the rest of a pod stays with a container that has to survive. It returns the containers
// of those that are owned.
func (s *stock) guardPods() (owned map[string]bool) {
	owned = map[string]bool{}
	for _, p := range s.pods {
		s.going[p.ID] = s.isOwned(p.Name, p.Labels)
		why := ""
		if s.isKept(p.Name) {
			why = byRecipe
		}
		for _, c := range p.Contains {
			if w := s.stay[c.ID]; w != "" && w != byRecipe {
				why = "a container of it has to survive: " + w
			}
		}
		if why != "" {
			s.stay[p.ID], s.going[p.ID] = why, false
		}
		for _, c := range p.Contains {
			switch {
			case why != "" && s.stay[c.ID] == "":
				s.stay[c.ID] = "it is of pod " + p.Name + ", which stays"
			case s.going[p.ID]:
				owned[c.ID] = true
			}
		}
	}
	return owned
}

// settle has a pod stay that has a container that stays, and the container that holds a pod together with it.
func (s *stock) settle(p dockerapi.Pod) (changed bool) {
	if s.going[p.ID] {
		for _, c := range p.Contains {
			if c.ID != p.InfraID && !s.going[c.ID] {
				s.going[p.ID], changed = false, true
				s.stay[p.ID] = "a container in it stays"
			}
		}
	}
	if !s.going[p.ID] && s.going[p.InfraID] {
		s.going[p.InfraID], changed = false, true
	}
	return changed
}

// needed has containers stay that those which stay share something with.
func (s *stock) needed() (changed bool) {
	for _, c := range s.all {
		if s.going[c.ID] || len(c.Uses) == 0 {
			continue
		}
		for _, other := range s.all {
			if s.going[other.ID] && slices.ContainsFunc(c.Uses, means(other)) {
				s.going[other.ID], changed = false, true
				s.stay[other.ID] = "container " + c.Name + " needs it"
			}
		}
	}
	return changed
}

// means returns what says whether a text means the container: by its name or identity.
func means(c dockerapi.Container) func(string) bool {
	return func(text string) bool {
		return text == c.Name || len(text) >= shortID && strings.HasPrefix(c.ID, text)
	}
}

func (s *stock) goingContainers() []inmate {
	var all []inmate
	podded := map[string]bool{}
	for _, p := range s.pods {
		for _, c := range p.Contains {
			podded[c.ID] = podded[c.ID] || s.going[p.ID]
		}
	}
	depths := s.depths()
	for _, c := range s.all {
		switch why := s.stay[c.ID]; {
		case !s.going[c.ID] && why != "" && why != byRecipe && s.isOwned(c.Name, c.Labels):
			s.note("container", c.Name, why)
		case !s.going[c.ID], podded[c.ID]: // a pod goes with its containers
		default:
			r := spec.Residue{Kind: "container", ID: title(c.Name, c.ID), What: strings.TrimSpace(c.State + " " + c.ImageName)}
			r.Age, r.Culprit = s.age(c.Created), culpritOf(c)
			all = append(all, inmate{r, waveContainers + depths[c.ID], func(ctx context.Context) error { return s.engine.RemoveContainer(ctx, c.ID) }})
		}
	}
	slices.SortStableFunc(all, func(a, b inmate) int { return a.wave - b.wave })
	return all
}

// depths returns of each container how many others have to go one after the other before it.
func (s *stock) depths() map[string]int {
	depths := map[string]int{}
	for range s.all { // a chain is no longer than that, and a circle ends there
		changed := false
		for _, c := range s.all {
			for _, other := range s.all {
				if len(c.Uses) > 0 && depths[other.ID] <= depths[c.ID] && slices.ContainsFunc(c.Uses, means(other)) {
					depths[other.ID], changed = depths[c.ID]+1, true
				}
			}
		}
		if !changed {
			break
		}
	}
	return depths
}

// title is how a thing is called that has a name and an identity; the latter tells it from a later one of the same name.
func title(name, id string) string {
	id = id[:min(len(id), shortID)]
	if name == "" || name == id {
		return id
	}
	return name + " (" + id + ")"
}

// age is how long ago something was made, 0 if that is not known.
func (s *stock) age(made time.Time) spec.Seconds {
	if made.Unix() <= 0 {
		return 0
	}
	return spec.Seconds(max(0, s.now().Sub(made)) / time.Second)
}

// culpritOf returns the build that made a container, by the variables that Jenkins gives to builds: many are handed on
// to containers, as variables or labels.
func culpritOf(c dockerapi.Container) *spec.Culprit {
	if by := culprit([]byte(strings.Join(c.Env, "\x00"))); by != nil {
		return by
	}
	return labelled(c.Labels)
}

func labelled(labels map[string]string) *spec.Culprit {
	job := labels["JOB_NAME"]
	if job == "" {
		return nil
	}
	number, _ := strconv.ParseInt(labels["BUILD_NUMBER"], 10, 64)
	return &spec.Culprit{Job: job, Build: number, By: "label"}
}

// culprit returns the build that made what containers use: by labels of its own, or else by those of a container.
func (s *stock) culprit(labels map[string]string, uses func(dockerapi.Container) bool) *spec.Culprit {
	by := labelled(labels)
	for _, c := range s.all {
		if by == nil && uses(c) {
			by = culpritOf(c)
		}
	}
	return by
}

func (s *stock) goingPods() []inmate {
	var all []inmate
	for _, p := range s.pods {
		switch why := s.stay[p.ID]; {
		case s.going[p.ID]:
			r := spec.Residue{Kind: "pod", ID: title(p.Name, p.ID), What: fmt.Sprintf("%d containers", len(p.Contains)), Age: s.age(p.Created)}
			for _, c := range s.all {
				if by := culpritOf(c); by != nil && slices.ContainsFunc(p.Contains, func(m dockerapi.Member) bool { return m.ID == c.ID }) {
					r.Culprit = by
				}
			}
			all = append(all, inmate{r, wavePods, func(ctx context.Context) error { return s.engine.RemovePod(ctx, p.ID) }})
		case why != "" && why != byRecipe && s.isOwned(p.Name, p.Labels):
			s.note("pod", p.Name, why)
		}
	}
	return all
}

// user returns the name of a container that stays and uses something, by the names that use returns.
func (s *stock) user(use func(dockerapi.Container) []string, names ...string) (string, bool) {
	for _, c := range s.all {
		if !s.going[c.ID] && slices.ContainsFunc(use(c), func(used string) bool { return used != "" && slices.Contains(names, used) }) {
			return c.Name, true
		}
	}
	return "", false
}

func (s *stock) goingVolumes() []inmate {
	var all []inmate
	for _, v := range s.volumes {
		if !s.isOwned(v.Name, v.Labels) || s.isKept(v.Name) {
			continue
		}
		if user, used := s.user(func(c dockerapi.Container) []string { return c.Volumes }, v.Name); used {
			s.note("volume", v.Name, "container "+user+" stays and uses it")
			continue
		}
		r := spec.Residue{Kind: "volume", ID: v.Name, Age: s.since(v.CreatedAt)}
		r.Culprit = s.culprit(v.Labels, func(c dockerapi.Container) bool { return slices.Contains(c.Volumes, v.Name) })
		all = append(all, inmate{r, waveRest, func(ctx context.Context) error { return s.engine.RemoveVolume(ctx, v.Name) }})
	}
	return all
}

func (s *stock) goingNetworks() []inmate {
	var all []inmate
	for _, n := range s.networks {
		if !s.isOwned(n.Name, n.Labels) || s.isKept(n.Name) {
			continue
		}
		if user, used := s.user(func(c dockerapi.Container) []string { return c.Networks }, n.Name, n.ID); used {
			s.note("network", n.Name, "container "+user+" stays and is on it")
			continue
		}
		r := spec.Residue{Kind: "network", ID: title(n.Name, n.ID), Age: s.since(n.Created)}
		r.Culprit = s.culprit(n.Labels, func(c dockerapi.Container) bool {
			return slices.Contains(c.Networks, n.Name) || slices.Contains(c.Networks, n.ID)
		})
		all = append(all, inmate{r, waveRest, func(ctx context.Context) error { return s.engine.RemoveNetwork(ctx, n.ID) }})
	}
	return all
}

func (s *stock) since(text string) spec.Seconds {
	made, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0
	}
	return s.age(made)
}
