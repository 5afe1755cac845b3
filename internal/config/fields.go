// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// field is what the tags of a struct field say. The tags are constant, so that a mistake in them shows in any test.
type field struct {
	name     string
	index    []int
	typ      reflect.Type
	required bool
	initial  string // the default; "" if there is none
	enum     []string
	bounds   bounds
	restart  bool // a change takes effect at the next start only
}

// bounds are inclusive; nil means none.
type bounds struct{ min, max *float64 }

// fieldsOf lists the settings of a struct in order of declaration; those of embedded structs count as its own.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		switch {
		case sf.Anonymous:
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				fields = append(fields, f)
			}
		case sf.IsExported():
			fields = append(fields, newField(sf))
		}
	}
	return fields
}

func newField(sf reflect.StructField) field {
	name, _, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
	f := field{name: name, index: sf.Index, typ: sf.Type, restart: sf.Tag.Get("reload") == "restart"}
	for word := range strings.SplitSeq(sf.Tag.Get("jsonschema"), ",") {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "required":
			f.required = true
		case "default":
			f.initial = value
		case "enum":
			f.enum = append(f.enum, value)
		case "minimum":
			f.bounds.min = number(value)
		case "maximum":
			f.bounds.max = number(value)
		}
	}
	return f
}

func number(s string) *float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil
	}
	return &n
}

// check refuses a value outside of the enumeration or bounds.
func (f field) check(v reflect.Value) error {
	if len(f.enum) > 0 && v.Kind() == reflect.String && !slices.Contains(f.enum, v.String()) {
		return fmt.Errorf("%q is none of %s%s", v.String(), strings.Join(f.enum, ", "), didYouMean(v.String(), f.enum))
	}
	if !v.CanInt() && !v.CanFloat() || f.bounds == (bounds{}) {
		return nil
	}
	var n float64
	if v.CanInt() {
		n = float64(v.Int())
	} else {
		n = v.Float()
	}
	switch {
	case f.bounds.min != nil && n < *f.bounds.min:
		return fmt.Errorf("must be at least %v", *f.bounds.min)
	case f.bounds.max != nil && n > *f.bounds.max:
		return fmt.Errorf("must be at most %v", *f.bounds.max)
	}
	return nil
}

// setDefaults fills in the defaults of a struct and of the structs inside it; optional sections stay absent.
func setDefaults(v reflect.Value) error {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		var err error
		switch {
		case f.initial != "":
			err = setText(fv, f.initial)
		case isSection(f.typ):
			err = setDefaults(fv)
		}
		if err != nil {
			return fmt.Errorf("default of %s.%s: %w", v.Type(), f.name, err)
		}
	}
	return nil
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// isText reports types that are written as text although they are structs or the like.
func isText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textUnmarshaler) }

// isSection reports structs that are written as mappings.
func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct && !isText(t) }

// setText sets a scalar from its text.
func setText(v reflect.Value, text string) error {
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("want true or false")
		}
		v.SetBool(b)
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return errors.New("want a whole number")
		}
		v.SetInt(n)
	case v.CanFloat():
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return errors.New("want a number")
		}
		v.SetFloat(n)
	default:
		return fmt.Errorf("no text form for %s", v.Type())
	}
	return nil
}
