// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/dockerapi"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// goingImages returns the images that are to go, children before parents, and the names that are to go from images
// that others name too.
func (s *stock) goingImages(ctx context.Context) ([]inmate, error) {
	if s.goal.Images == nil {
		return nil, nil
	}
	candidates, all := s.candidates()
	chosen, err := s.chosen(ctx, candidates)
	if err != nil {
		return nil, err
	}
	depths := s.imageDepths(chosen)
	for _, i := range s.images {
		if !chosen[i.ID] {
			continue
		}
		r := spec.Residue{Kind: "image", ID: called(i), Bytes: i.Size, Age: s.age(time.Unix(i.Built, 0))}
		if len(i.Tags) > 1 {
			r.What = "also " + strings.Join(i.Tags[1:], ", ")
		}
		all = append(all, inmate{r, waveImages + depths[i.ID], func(ctx context.Context) error { return s.engine.RemoveImage(ctx, i) }})
	}
	slices.SortStableFunc(all, func(a, b inmate) int { return a.wave - b.wave })
	return all, nil
}

// called is the name of an image for a person.
func called(i dockerapi.Image) string {
	if names := slices.Concat(i.Tags, i.Digests); len(names) > 0 {
		name, _, _ := strings.Cut(names[0], "@")
		return title(name, i.ID)
	}
	return title("", i.ID)
}

// candidates returns the images of which nothing says that they have to stay, and the names that go from the others.
func (s *stock) candidates() (map[string]bool, []inmate) {
	going := map[string]bool{}
	var names []inmate
	for _, i := range s.images {
		tags := s.ownedTags(i)
		whole := s.goal.All || s.owned.Labelled(i.Labels) || len(i.Tags) > 0 && len(tags) == len(i.Tags)
		user, used := s.user(func(c dockerapi.Container) []string { return []string{c.Image} }, i.ID)
		switch {
		case !whole && len(tags) == 0, s.keepsImage(i):
		case used:
			s.note("image", called(i), "container "+user+" stays and is made of it")
		case whole:
			going[i.ID] = true
		default:
			for _, tag := range tags {
				r := spec.Residue{Kind: "tag", ID: tag, What: "others name the image too", Age: s.age(time.Unix(i.Built, 0))}
				names = append(names, inmate{r, waveImages, func(ctx context.Context) error { return s.engine.RemoveName(ctx, tag) }})
			}
		}
	}
	return going, names
}

func (s *stock) ownedTags(i dockerapi.Image) []string {
	return slices.DeleteFunc(slices.Clone(i.Tags), func(tag string) bool { return !s.owned.NamesImage(tag) })
}

// keepsImage reports whether the recipe keeps an image, by one of its names or its identity.
func (s *stock) keepsImage(i dockerapi.Image) bool {
	names := slices.Concat(i.Tags, i.Digests)
	return slices.ContainsFunc(s.keeps, func(r spec.Reference) bool {
		return r.Digest() == "sha256:"+i.ID || slices.ContainsFunc(names, r.Matches)
	})
}

// chosen returns those of the candidates that are too old, or go so that the rest finds room: the oldest first. What
// stays keeps what it was built from.
func (s *stock) chosen(ctx context.Context, candidates map[string]bool) (map[string]bool, error) {
	policy := s.goal.Images
	order, ages, err := s.oldestFirst(ctx, candidates)
	if err != nil {
		return nil, err
	}
	room, err := s.roomOfImages(ctx)
	if err != nil {
		return nil, err
	}
	chosen := map[string]bool{}
	for _, i := range order {
		old := policy.Older > 0 && ages[i.ID] >= policy.Older.Duration()
		if !old && room.excess <= 0 && policy.Older+spec.Seconds(policy.Size) > 0 {
			break
		}
		chosen[i.ID] = true
		room.without(i.ID)
	}
	return chosen, s.keepAncestors(ctx, chosen)
}

// keepAncestors takes from chosen what others are built from.
func (s *stock) keepAncestors(ctx context.Context, chosen map[string]bool) error {
	s.keepParents(chosen)
	if err := s.keepFoundations(ctx, chosen); err != nil {
		return err
	}
	s.keepParents(chosen)
	return nil
}

// keepParents goes by what the engine tells of an image's parent.
func (s *stock) keepParents(chosen map[string]bool) {
	for changed := true; changed; {
		changed = false
		for _, i := range s.images {
			if !chosen[i.ID] && chosen[i.Parent] {
				delete(chosen, i.Parent)
				changed = true
			}
		}
	}
}

// keepFoundations goes by layers: of what BuildKit or a build without a cache has made no engine tells the parent.
func (s *stock) keepFoundations(ctx context.Context, chosen map[string]bool) error {
	if len(chosen) == 0 {
		return nil
	}
	there := map[string]bool{}
	for _, i := range s.images {
		there[i.ID] = true
	}
	var stay [][]string
	for _, i := range s.images {
		if chosen[i.ID] || there[i.Parent] { // its layers begin with those of its parent
			continue
		}
		d, err := s.detailsOf(ctx, i)
		if err != nil {
			return err
		}
		stay = append(stay, d.Layers)
	}
	for _, i := range s.images {
		if len(stay) == 0 || !chosen[i.ID] {
			continue
		}
		d, err := s.detailsOf(ctx, i)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(stay, func(layers []string) bool { return standsOn(layers, d.Layers) }) {
			delete(chosen, i.ID)
		}
	}
	return nil
}

// standsOn reports whether layers are those below and more. Of two images with the same ones neither is known to be the older.
func standsOn(layers, below []string) bool {
	return len(below) > 0 && len(below) < len(layers) && slices.Equal(layers[:len(below)], below)
}

// detailsOf asks the engine once.
func (s *stock) detailsOf(ctx context.Context, i dockerapi.Image) (dockerapi.Details, error) {
	if d, asked := s.details[i.ID]; asked {
		return d, nil
	}
	d, err := s.engine.Details(ctx, i.ID)
	if err != nil {
		return d, fmt.Errorf("image %s: %w", called(i), err)
	}
	s.details[i.ID] = d
	return d, nil
}

// oldestFirst orders candidates by how long ago they were built, or where the engine tells and a policy asks, pulled or
// named.
func (s *stock) oldestFirst(ctx context.Context, candidates map[string]bool) ([]dockerapi.Image, map[string]time.Duration, error) {
	ages := map[string]time.Duration{}
	var order []dockerapi.Image
	for _, i := range s.images {
		if !candidates[i.ID] {
			continue
		}
		order = append(order, i)
		ages[i.ID] = s.now().Sub(time.Unix(i.Built, 0))
		if s.goal.Images.Older == 0 && s.goal.Images.Size == 0 {
			continue
		}
		d, err := s.detailsOf(ctx, i)
		if err != nil {
			return nil, nil, err
		}
		ages[i.ID] = min(ages[i.ID], s.now().Sub(d.Tagged))
	}
	slices.SortStableFunc(order, func(a, b dockerapi.Image) int { return cmp.Compare(ages[b.ID], ages[a.ID]) })
	return order, ages, nil
}

// imageRoom is the room that images take. They share layers from the lowest up, so that those with the same lowest one hold together,
// beside what each holds for itself, at least what any of them shares.
type imageRoom struct {
	excess int64            // how much more it is than the policy wants
	own    map[string]int64 // what an image holds that no other does
	lowest map[string]string
	shared map[string]int64 // what those with a lowest layer share
	left   map[string]int   // how many there are of them
}

// without counts what is free once an image has gone.
func (r *imageRoom) without(id string) {
	r.excess -= r.own[id]
	if lowest := r.lowest[id]; lowest != "" {
		if r.left[lowest]--; r.left[lowest] == 0 {
			r.excess -= r.shared[lowest]
		}
	}
}

// roomOfImages asks the engine what its images hold. Not every one tells what they hold together.
func (s *stock) roomOfImages(ctx context.Context) (imageRoom, error) {
	r := imageRoom{own: map[string]int64{}, lowest: map[string]string{}, shared: map[string]int64{}, left: map[string]int{}}
	if s.goal.Images.Size == 0 {
		return r, nil
	}
	usage, err := s.engine.Usage(ctx, dockerapi.OfImages)
	if err != nil {
		return r, fmt.Errorf("ask what images hold: %w", err)
	}
	if usage.Layers > 0 && usage.Layers <= s.goal.Images.Size {
		return r, nil
	}
	total := int64(0)
	for _, i := range usage.Images {
		d, err := s.detailsOf(ctx, i)
		if err != nil {
			return r, err
		}
		shared := max(0, i.Shared)
		r.own[i.ID] = i.Size - shared
		total += r.own[i.ID]
		if len(d.Layers) == 0 {
			continue
		}
		lowest := d.Layers[0]
		r.lowest[i.ID] = lowest
		r.left[lowest]++
		total += max(0, shared-r.shared[lowest])
		r.shared[lowest] = max(r.shared[lowest], shared)
	}
	r.excess = max(total, usage.Layers) - s.goal.Images.Size
	return r, nil
}

// imageDepths returns of each image how many others have to go one after the other before it.
func (s *stock) imageDepths(chosen map[string]bool) map[string]int {
	depths := map[string]int{}
	for range s.images { // a chain is no longer than that
		changed := false
		for _, i := range s.images {
			if chosen[i.ID] && i.Parent != "" && depths[i.Parent] <= depths[i.ID] {
				depths[i.Parent], changed = depths[i.ID]+1, true
			}
		}
		if !changed {
			break
		}
	}
	return depths
}

// goingCache returns the build cache as one thing, if something in it is to go.
func (s *stock) goingCache(ctx context.Context) ([]inmate, error) {
	policy := s.goal.BuildCache
	if policy == nil || !s.goal.All {
		return nil, nil
	}
	usage, err := s.engine.Usage(ctx, dockerapi.OfBuildCache)
	if err != nil {
		return nil, fmt.Errorf("ask what the build cache holds: %w", err)
	}
	bytes, what := s.stale(usage.Cache)
	if what == "" {
		return nil, nil
	}
	r := spec.Residue{Kind: "build cache", ID: "of builds", What: what, Bytes: bytes}
	return []inmate{{r, waveCache, func(ctx context.Context) error {
		var byAge, bySize error
		if policy.Older > 0 || policy.Size == 0 {
			byAge = s.engine.PruneCache(ctx, policy.Older.Duration(), 0)
		}
		if policy.Size > 0 {
			bySize = s.engine.PruneCache(ctx, 0, policy.Size)
		}
		return errors.Join(byAge, bySize)
	}}}, nil
}

// stale weighs the records that are to go and says why; "" if none is. Of those in use or young, and of what they were
// made from, none can go.
func (s *stock) stale(records []dockerapi.CacheRecord) (bytes int64, why string) {
	policy := s.goal.BuildCache
	used := staying(records, func(r dockerapi.CacheRecord) bool { return r.InUse })
	young := staying(records, func(r dockerapi.CacheRecord) bool {
		last := r.CreatedAt
		if r.LastUsedAt != nil {
			last = *r.LastUsedAt
		}
		limited := policy.Older > 0 || policy.Size > 0
		return r.InUse || limited && (policy.Older == 0 || s.now().Sub(last) < policy.Older.Duration())
	})
	old := 0
	var total, free int64
	for _, r := range records {
		switch {
		case !young[r.ID]:
			old++
			bytes += r.Size
			continue
		case !used[r.ID]:
			free += r.Size
		}
		total += r.Size
	}
	if excess := min(total-policy.Size, free); policy.Size > 0 && excess > 0 {
		return bytes + excess, fmt.Sprintf("holds more than %d MB", policy.Size/1e6)
	}
	if old > 0 {
		why = fmt.Sprintf("%d records", old)
	}
	return bytes, why
}

// staying returns the records for which stays is true, and those that such were made from.
func staying(records []dockerapi.CacheRecord, stays func(dockerapi.CacheRecord) bool) map[string]bool {
	all := map[string]bool{}
	for _, r := range records {
		all[r.ID] = stays(r)
	}
	for changed := true; changed; {
		changed = false
		for _, r := range records {
			for _, parent := range append(r.Parents, r.Parent) {
				if all[r.ID] && parent != "" && !all[parent] {
					all[parent], changed = true, true
				}
			}
		}
	}
	return all
}
