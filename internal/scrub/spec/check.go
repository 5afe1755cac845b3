// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"math"
	"path"
	"reflect"
	"strings"
	"time"
)

// check refuses what no recipe is compiled to, and what would not mean what it seems to: below an age of less than nothing everything is
// old, and a pattern that is none keeps nothing.
func (g Goal) check() error {
	if err := checkNumbers("", reflect.ValueOf(g)); err != nil {
		return err
	}
	patterns := map[string][]string{}
	if g.Containers != nil {
		patterns["containers.keep"] = g.Containers.Keep
	}
	if g.VMs != nil {
		patterns["vms.keep"] = g.VMs.Keep
	}
	if g.Files != nil {
		patterns["files.keep"], patterns["files.names"] = g.Files.Keep, g.Files.Names
	}
	if g.Logs != nil {
		patterns["logs.keep"] = g.Logs.Keep
	}
	if g.Users != nil {
		patterns["users.keep"] = g.Users.Keep
	}
	for at, all := range patterns {
		for _, p := range all {
			if _, err := path.Match(p, ""); err != nil {
				return fmt.Errorf("%s: %q: %w", at, p, err)
			}
		}
	}
	return nil
}

// longest is how many seconds a time.Duration can hold.
const longest = Seconds(math.MaxInt64 / time.Second)

// checkNumbers looks at all numbers in v, which is at a place that is named for people.
func checkNumbers(at string, v reflect.Value) error {
	switch kind := v.Kind(); {
	case kind == reflect.Pointer:
		if !v.IsNil() {
			return checkNumbers(at, v.Elem())
		}
	case kind == reflect.Struct:
		for f, field := range v.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if err := checkNumbers(strings.TrimPrefix(at+"."+name, "."), field); err != nil {
				return err
			}
		}
	case kind == reflect.Slice:
		for i := range v.Len() {
			if err := checkNumbers(fmt.Sprintf("%s[%d]", at, i), v.Index(i)); err != nil {
				return err
			}
		}
	case v.CanInt():
		if v.Int() < 0 {
			return fmt.Errorf("%s: %d: want 0 or more", at, v.Int())
		}
		if s, is := reflect.TypeAssert[Seconds](v); is && s > longest {
			return fmt.Errorf("%s: %d: want at most %d seconds", at, s, longest)
		}
	}
	return nil
}
