// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"iter"
	"reflect"
)

// leaves lists the values of all settings with their paths, in order of declaration. A list of values that are no
// sections is one leaf, and so is an optional section that is absent.
func leaves(c *Config) iter.Seq2[string, reflect.Value] {
	return func(yield func(string, reflect.Value) bool) {
		walkLeaves(reflect.ValueOf(c).Elem(), "", yield)
	}
}

func walkLeaves(v reflect.Value, path string, yield func(string, reflect.Value) bool) bool {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return walkLeaves(v.Elem(), path, yield)
	case isSection(v.Type()):
		for _, f := range fieldsOf(v.Type()) {
			if !walkLeaves(v.FieldByIndex(f.index), join(path, f.name), yield) {
				return false
			}
		}
		return true
	case v.Kind() == reflect.Slice && isSection(v.Type().Elem()):
		for i := range v.Len() {
			if !walkLeaves(v.Index(i), fmt.Sprintf("%s[%d]", path, i), yield) {
				return false
			}
		}
		return true
	default:
		return yield(path, v)
	}
}
