// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// place puts files where they have to be, and gives back what was there before to those that nobody places any more.
type place struct {
	goal   spec.Place
	here   Here
	before backups
	known  map[string]kept // what is kept, as the last look saw it
}

func newPlace(s spec.Spec, here Here) Step {
	return &place{goal: *s.Place, here: here, before: newBackups()}
}

// Look finds the files that are not as they have to be, in the order of the recipe, and then those to be given back.
func (p *place) Look(ctx context.Context) ([]Deviation, error) {
	var err error
	if p.known, err = p.before.all(); err != nil {
		return nil, err
	}
	var found []Deviation
	for _, f := range p.goal.Files {
		what, err := p.differs(ctx, f)
		if ctx.Err() != nil {
			return nil, stopped(ctx)
		}
		d := Deviation{Residue: spec.Residue{Kind: "file", ID: f.Path, What: what}}
		if err != nil {
			d.Stays = err.Error()
		}
		if what != "" || err != nil {
			found = append(found, d)
		}
	}
	var back []Deviation
	for path, k := range p.known {
		if k.Recipe == p.goal.Recipe && !slices.Contains(p.goal.All, path) {
			back = append(back, Deviation{Residue: spec.Residue{Kind: "file", ID: path, What: "the recipe places it no longer"}})
		}
	}
	slices.SortFunc(back, func(a, b Deviation) int { return strings.Compare(b.ID, a.ID) }) // what is in a directory first
	return append(found, back...), nil
}

// differs says what is not as it has to be, or why that cannot be told or mended.
func (p *place) differs(ctx context.Context, f spec.Placed) (string, error) {
	if f.State == spec.PlaceRestored {
		if _, changed := p.known[f.Path]; changed {
			return "it is not as it was before a recipe placed it", nil
		}
		return "", nil
	}
	s, err := openSpot(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		if f.State == spec.PlaceAbsent {
			return "", nil
		}
		return "it is not there", nil // the directory may be placed by the same step
	}
	if err != nil {
		return "", err
	}
	defer s.close()
	there, err := s.see()
	if err != nil {
		return "", err
	}
	switch wants := map[spec.Placing]string{spec.PlaceFile: isFile, spec.PlaceDirectory: isDirectory}[f.State]; {
	case there.Type == wants && wants == isNothing:
		return "", nil
	case there.Type == isDirectory && wants != isDirectory, there.Type == isOther,
		wants == isDirectory && there.Type != isDirectory && there.Type != isNothing:
		return "", fmt.Errorf("there is a %s in its place", strings.Replace(there.Type, isOther, "device, pipe or socket", 1))
	case there.Type == isNothing:
		return "it is not there", nil
	case wants == isNothing:
		return "it is there", nil
	case there.Type != wants:
		return "it is a " + there.Type, nil
	}
	return p.detail(ctx, f, s, there)
}

// detail compares content, owner and mode.
func (p *place) detail(ctx context.Context, f spec.Placed, s spot, there thing) (string, error) {
	want, err := p.want(ctx, f, there)
	if err != nil {
		return "", err
	}
	var differs []string
	note := func(differ bool, format string, args ...any) {
		if differ {
			differs = append(differs, fmt.Sprintf(format, args...))
		}
	}
	if f.State == spec.PlaceFile {
		content, err := p.content(f)
		if err != nil {
			return "", err
		}
		same := there.size == int64(len(content))
		if same {
			if same, err = s.holds(content); err != nil {
				return "", err
			}
		}
		note(!same, "its content differs")
	}
	note(there.Mode != want.Mode, "it has mode %04o, not %04o", there.Mode, want.Mode)
	note(there.UID != want.UID, "it belongs to user %d, not %d", there.UID, want.UID)
	note(there.GID != want.GID, "it belongs to group %d, not %d", there.GID, want.GID)
	return strings.Join(differs, "; "), nil
}

// want is how the file has to look: as the recipe says, else as it does, else as one that we make.
func (p *place) want(ctx context.Context, f spec.Placed, there thing) (thing, error) {
	want := thing{Mode: 0o644, UID: os.Geteuid(), GID: os.Getegid()}
	if f.State == spec.PlaceDirectory {
		want.Mode = 0o755
	}
	if there.Type == isFile || there.Type == isDirectory {
		want = there
	}
	var err error
	if f.Mode != "" {
		mode, err := strconv.ParseUint(f.Mode, 8, 12)
		if err != nil {
			return want, Final{fmt.Errorf("mode %s: %w", f.Mode, err)}
		}
		want.Mode = uint32(mode)
	}
	if f.Owner != "" {
		if want.UID, err = p.here.number(ctx, passwd, f.Owner); err != nil {
			return want, err
		}
	}
	if f.Group != "" {
		want.GID, err = p.here.number(ctx, group, f.Group)
	}
	if there.Type == isFile && (want.UID != there.UID || want.GID != there.GID) {
		want.disown(f.Mode != "")
	}
	want.Capability = "" // it was given to what the file held
	return want, err
}

// disown takes from a file that goes to somebody else what the one before him has given away: set-user-ID and set-group-ID as chown(2) does,
// the ACL, and with it the mode of the group, which is then the most that the ACL gives anybody (acl(5)). A mode that is said stays.
func (t *thing) disown(said bool) {
	if !said {
		t.Mode &^= unix.S_ISUID | unix.S_ISGID
		if t.ACL != "" {
			t.Mode &^= unix.S_IRWXG
		}
	}
	t.ACL = ""
}

func (p *place) content(f spec.Placed) ([]byte, error) {
	if !f.Template {
		return []byte(f.Content), nil
	}
	text, err := spec.Fill(f.Content, p.here.fact)
	return []byte(text), err
}

// Mend does what is to be done to each file.
func (p *place) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	for i, d := range found {
		if ctx.Err() != nil {
			errs[i] = stopped(ctx)
			continue
		}
		at := slices.IndexFunc(p.goal.Files, func(f spec.Placed) bool { return f.Path == d.ID })
		if at < 0 || p.goal.Files[at].State == spec.PlaceRestored {
			errs[i] = p.restore(p.known[d.ID])
			continue
		}
		errs[i] = p.put(ctx, p.goal.Files[at])
	}
	return errs
}

func (p *place) restore(k kept) error {
	s, err := openSpot(k.Path)
	if errors.Is(err, fs.ErrNotExist) && k.Was.Type == isNothing {
		return p.before.forget(k.Path)
	}
	if err != nil {
		return err
	}
	defer s.close()
	return p.before.giveBack(k, s)
}

// put keeps what is there, unless that has been done before, and puts in its place what has to be there.
func (p *place) put(ctx context.Context, f spec.Placed) error {
	s, err := openSpot(f.Path)
	if err != nil {
		return err
	}
	defer s.close()
	there, err := s.look()
	if err != nil {
		return err
	}
	want, err := p.want(ctx, f, there)
	if err != nil {
		return err
	}
	content, err := p.content(f)
	if err != nil {
		return err
	}
	if _, done := p.known[f.Path]; !done {
		if err := p.before.keep(kept{Path: f.Path, Recipe: p.goal.Recipe, Was: there}, s); err != nil {
			return err
		}
	}
	switch f.State {
	case spec.PlaceDirectory:
		return s.directory(want)
	case spec.PlaceAbsent:
		return s.remove(false)
	case spec.PlaceFile, spec.PlaceRestored:
	}
	return s.write(bytes.NewReader(content), want)
}
