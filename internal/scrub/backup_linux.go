// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// keeping is where root's scrub keeps what was there before files were placed.
const keeping = "/var/lib/pitcrew-scrub"

// kept is what was at a path before a recipe came.
type kept struct {
	Path   string `json:"path"`
	Recipe string `json:"recipe"` // which recipe placed something there first
	Was    thing  `json:"was"`
}

// backups is a directory of what was. Nobody but us can write to it. Each thing is a note, which counts, and beside it,
// written before, the content of a file.
type backups struct{ dir string }

func newBackups() backups {
	if os.Geteuid() == 0 {
		return backups{keeping}
	}
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		return backups{filepath.Join(home, ".local/state/pitcrew-scrub")}
	}
	return backups{}
}

// open makes sure that the directory is there and ours alone.
func (b backups) open() error {
	if b.dir == "" {
		return Final{errors.New("HOME says nowhere to keep what is there now")}
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("keep what is there now: %w", err)
	}
	return b.ours()
}

func (b backups) ours() error {
	var st unix.Stat_t
	if err := unix.Lstat(b.dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&(unix.S_IWGRP|unix.S_IWOTH) != 0 {
		return Final{fmt.Errorf("%s has to be a directory that nobody else can write to, for what is kept in it", b.dir)}
	}
	return nil
}

// file returns the path that something about p is kept at.
func (b backups) file(p, suffix string) string {
	h := fnv.New128a()
	_, _ = h.Write([]byte(p)) // never fails
	return filepath.Join(b.dir, fmt.Sprintf("%x.%s", h.Sum(nil), suffix))
}

// all returns everything that is kept.
func (b backups) all() (map[string]kept, error) {
	all := map[string]kept{}
	if b.dir == "" {
		return all, nil
	}
	entries, err := os.ReadDir(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = b.ours()
	}
	if err != nil {
		return nil, fmt.Errorf("look at what was there before a recipe came: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		at := filepath.Join(b.dir, e.Name())
		text, err := os.ReadFile(at)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another run gave it back meanwhile
		}
		var k kept
		if err == nil {
			err = json.Unmarshal(text, &k)
		}
		if err != nil {
			return nil, fmt.Errorf("%s, which says what to give back, cannot be read: %w", at, err)
		}
		all[k.Path] = k
	}
	return all, nil
}

// keep notes what is at a path, with its content.
func (b backups) keep(k kept, s spot) error {
	if err := b.open(); err != nil {
		return err
	}
	if k.Was.Type == isFile {
		f, err := s.open()
		if err != nil {
			return fmt.Errorf("keep what is there now: %w", err)
		}
		defer f.Close()
		// Whose it is and what it holds have to be of one and the same file: in a user's directory another can take its place.
		if k.Was, err = seen(f); err != nil {
			return err
		}
		if err := b.write(b.file(k.Path, "was"), f); err != nil {
			return err
		}
	}
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return b.write(b.file(k.Path, "json"), bytes.NewReader(text))
}

func (b backups) write(at string, content io.Reader) error {
	s, err := openSpot(at)
	if err != nil {
		return err
	}
	defer s.close()
	return s.write(content, mine())
}

// mine is how what is kept looks.
func mine() thing { return thing{Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()} }

// giveBack makes what is at a path what it was, and then forgets it. What could never be placed may refuse to be given back, too.
func (b backups) giveBack(k kept, s spot) error {
	if !b.isThere(k, s) {
		if err := b.put(k, s); err != nil {
			return err
		}
	}
	return b.forget(k.Path)
}

// isThere reports whether what is at a path is what was there.
func (b backups) isThere(k kept, s spot) bool {
	there, err := s.look()
	k.Was.size = there.size // which is not noted
	if err != nil || there != k.Was {
		return false
	}
	if there.Type != isFile {
		return true
	}
	content, err := os.ReadFile(b.file(k.Path, "was"))
	if err != nil {
		return false
	}
	same, err := s.holds(content)
	return err == nil && same
}

func (b backups) forget(p string) error {
	return errors.Join(os.Remove(b.file(p, "json")), ignore(os.Remove(b.file(p, "was")), fs.ErrNotExist))
}

func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

func (b backups) put(k kept, s spot) error {
	there, err := s.see()
	if err != nil {
		return err
	}
	folder := there.Type == isDirectory
	if folder != (k.Was.Type == isDirectory) && there.Type != isNothing && k.Was.Type != isNothing {
		return Final{fmt.Errorf("a %s is in the place of the %s that was there", there.Type, k.Was.Type)}
	}
	switch k.Was.Type {
	case isFile:
		f, err := os.Open(b.file(k.Path, "was"))
		if err != nil {
			return Final{fmt.Errorf("what was there is lost: %w", err)}
		}
		defer f.Close()
		return s.write(f, k.Was)
	case isDirectory:
		return s.directory(k.Was)
	case isLink:
		return s.link(k.Was)
	}
	err = s.remove(folder)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		return Final{errors.New("it was not there before, and holds something now")}
	}
	return err
}
