// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxRecipe = 1 << 20 // bytes of a recipe file
	maxFile   = 8 << 20 // bytes of a carried file
	maxSteps  = 200
)

// Opener reads a file that a recipe mentions. path is slash-separated, relative and clean, and does not begin with
// "..". It fails with an error fit for a person.
type Opener func(path string) (File, error)

// Load reads and checks the recipe file at path, and the files it mentions, which must lie in its directory or below.
// The error is Problems if the recipe is at fault.
func Load(path string) (*Recipe, error) {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		if inner, ok := errors.AsType[*fs.PathError](err); ok { // it would name a part of the path again
			err = inner.Err
		}
		return nil, &unreadable{path, err}
	}
	defer dir.Close()
	file, err := open(dir, filepath.Base(path), maxRecipe)
	if err != nil {
		return nil, &unreadable{path, err}
	}
	return Parse(path, file.Content, func(path string) (File, error) { return open(dir, path, maxFile) })
}

// unreadable is a recipe file that is not there, or not to be read.
type unreadable struct {
	path string
	err  error
}

func (e *unreadable) Error() string { return "read recipe " + e.path + ": " + e.err.Error() }
func (e *unreadable) Unwrap() error { return e.err }

// Check returns everything that is wrong with the recipe file at path; a file that cannot be read is one problem.
func Check(path string) []Problem {
	_, err := Load(path)
	var problems Problems
	switch {
	case err == nil:
		return nil
	case errors.As(err, &problems):
		return problems
	default:
		if e, ok := errors.AsType[*unreadable](err); ok { // the problem names the file itself
			err = fmt.Errorf("read recipe: %w", e.err)
		}
		return []Problem{{File: path, Msg: err.Error(), Unread: true}}
	}
}

// Parse reads and checks recipe data called name; open reads the files it mentions. The error is Problems.
// A byte order mark, as editors on Windows write it, is skipped.
func Parse(name string, data []byte, open Opener) (*Recipe, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	d := &decoder{
		document: document{source: newSource(filepath.Base(name), name, data)},
		open:     open,
		recipe:   &Recipe{Places: defaultPlaces(), RebootCommand: defaultReboot, Platforms: []string{"linux/amd64"}},
	}
	if d.characters(data) {
		if root := d.root(data); root != nil {
			d.whole(root)
		}
	}
	if len(d.problems) > 0 {
		d.problems.sort(name)
		return nil, d.problems
	}
	return d.recipe, nil
}

func defaultPlaces() []string {
	return []string{"$TMPDIR", "/tmp", "/var/tmp", "$WORKSPACE", "/dev/shm"}
}

const defaultReboot = "shutdown -r now || reboot"

// open reads regular file path in dir, at most limit bytes. A symbolic link must stay inside dir.
func open(dir *os.Root, path string, limit int64) (File, error) {
	// A look first: opening a named pipe would wait for its other end.
	info, err := dir.Stat(filepath.FromSlash(path))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return File{}, errors.New("no such file")
	case err != nil:
		return File{}, plain(err)
	case !info.Mode().IsRegular():
		return File{}, fmt.Errorf("not a regular file but %s", kindOfFile(info))
	case info.Size() > limit:
		return File{}, fmt.Errorf("%d bytes is too large; the limit is %d", info.Size(), limit)
	}
	f, err := dir.Open(filepath.FromSlash(path))
	if err != nil {
		return File{}, plain(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return File{}, plain(err)
	case int64(len(content)) > limit:
		return File{}, fmt.Errorf("grew beyond the limit of %d bytes", limit)
	}
	return File{Path: path, Content: content, Executable: info.Mode()&0o111 != 0}, nil
}

// plain strips operation and path, which the problem names already.
func plain(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		if strings.Contains(e.Err.Error(), "escapes") {
			return errors.New("leads out of the recipe's directory")
		}
		return e.Err
	}
	return err
}

func kindOfFile(info os.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return "a directory"
	case mode&os.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&os.ModeSocket != 0:
		return "a socket"
	default:
		return "a device"
	}
}
