// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
)

// Holder holds the configuration in effect and replaces it when the file was edited. Its methods may be called from
// several goroutines.
type Holder struct {
	path    string
	current atomic.Pointer[Config]
	reload  sync.Mutex // one reload at a time; guards nothing else
}

// Change says what a reload changed, by the paths of the settings. A list that grew or shrank is one change.
type Change struct {
	Applied []string // in effect now
	Restart []string // in effect after a restart only; until then the old value stays
}

// NewHolder loads the file at path.
func NewHolder(path string) (*Holder, error) {
	c, err := Load(path)
	if err != nil {
		return nil, err
	}
	return HolderOf(path, c), nil
}

// HolderOf starts with a configuration that was loaded from path, or made otherwise; [Holder.Reload] reads path.
func HolderOf(path string, c *Config) *Holder {
	h := &Holder{path: path}
	h.current.Store(c)
	return h
}

// Current returns the configuration in effect. It never changes; ask again for the next decision.
func (h *Holder) Current() *Config { return h.current.Load() }

// Reload loads the file again. If it is bad, or check does not accept what would be in effect, the old configuration
// stays and the error says why. A nil check accepts everything.
func (h *Holder) Reload(check func(*Config) error) (Change, error) {
	h.reload.Lock()
	defer h.reload.Unlock()
	next, err := Load(h.path)
	if err != nil {
		return Change{}, fmt.Errorf("keep the old configuration: %w", err)
	}
	change := compare(h.Current(), next)
	if check != nil {
		if err := check(next); err != nil {
			return Change{}, fmt.Errorf("keep the old configuration: %w", err)
		}
	}
	h.current.Store(next)
	return change, nil
}

// compare lists what differs and gives next the old value of every setting that a restart is needed for.
func compare(old, next *Config) Change {
	var change Change
	change.section(reflect.ValueOf(old).Elem(), reflect.ValueOf(next).Elem(), "", false)
	return change
}

func (c *Change) section(old, next reflect.Value, path string, restart bool) {
	for _, f := range fieldsOf(old.Type()) {
		c.value(old.FieldByIndex(f.index), next.FieldByIndex(f.index), join(path, f.name), restart || f.restart)
	}
}

func (c *Change) value(old, next reflect.Value, path string, restart bool) {
	switch {
	case reflect.DeepEqual(old.Interface(), next.Interface()):
	case isSection(old.Type()):
		c.section(old, next, path, restart)
	case old.Kind() == reflect.Slice && isSection(old.Type().Elem()) && sameNames(old, next):
		for i := range old.Len() {
			c.section(old.Index(i), next.Index(i), fmt.Sprintf("%s[%d]", path, i), restart)
		}
	case restart:
		next.Set(old)
		c.Restart = append(c.Restart, path)
	default:
		c.Applied = append(c.Applied, path)
	}
}

// sameNames reports whether two lists of sections have the same names in the same order, so that they can be compared
// one by one.
func sameNames(old, next reflect.Value) bool {
	return slices.Equal(sectionNames(old), sectionNames(next))
}

func sectionNames(list reflect.Value) []string {
	var all []string
	for i := range list.Len() {
		all = append(all, list.Index(i).FieldByName("Name").String())
	}
	return all
}
