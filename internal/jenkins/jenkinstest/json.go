// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"strconv"
	"unicode/utf8"
)

// object writes one exported bean. Getters of properties that the pruner does not
// select are never called, as in Stapler.
type object struct {
	w     *exportWriter
	p     pruner
	first bool
}

// exportWriter collects the answer and knows who asks.
type exportWriter struct {
	buf  []byte
	j    *Jenkins
	who  *principal
	lang locale
	base string // root URL as the request sees it, with a slash at its end
	free []*object
}

// begin opens an object; class is written unless it is "".
func (w *exportWriter) begin(p pruner, class string) *object {
	var o *object
	if n := len(w.free); n > 0 {
		o, w.free = w.free[n-1], w.free[:n-1]
	} else {
		o = new(object)
	}
	*o = object{w: w, p: p, first: true}
	w.buf = append(w.buf, '{')
	if class != "" {
		o.key("_class")
		w.str(class)
	}
	return o
}

// end closes the object, which must not be used any more.
func (o *object) end() {
	o.w.buf = append(o.w.buf, '}')
	o.w.free = append(o.w.free, o)
}

func (o *object) key(name string) {
	if !o.first {
		o.w.buf = append(o.w.buf, ',')
	}
	o.first = false
	o.w.buf = append(append(append(o.w.buf, '"'), name...), '"', ':')
}

// Str, Int, Bool and Raw write properties of the default visibility.

func (o *object) Str(name string, get func() string) { o.str(name, 1, get) }

func (o *object) str(name string, visibility int, get func() string) {
	if _, ok := o.p.property(name, visibility); ok {
		o.key(name)
		o.w.str(get())
	}
}

// OptStr writes null where get has no value.
func (o *object) OptStr(name string, get func() (string, bool)) {
	if _, ok := o.p.property(name, 1); !ok {
		return
	}
	o.key(name)
	if s, has := get(); has {
		o.w.str(s)
	} else {
		o.w.null()
	}
}

func (o *object) Int(name string, get func() int64) { o.int(name, 1, get) }

func (o *object) int(name string, visibility int, get func() int64) {
	if _, ok := o.p.property(name, visibility); ok {
		o.key(name)
		o.w.buf = strconv.AppendInt(o.w.buf, get(), 10)
	}
}

func (o *object) Bool(name string, get func() bool) { o.bool(name, 1, get) }

func (o *object) bool(name string, visibility int, get func() bool) {
	if _, ok := o.p.property(name, visibility); ok {
		o.key(name)
		o.w.buf = strconv.AppendBool(o.w.buf, get())
	}
}

// Obj writes a nested object, null if write is nil-valued: get returns the class and the
// function that writes the fields.
func (o *object) Obj(name string, visibility int, inline bool, get func() (class string, fields func(*object))) {
	p, ok := o.p.property(name, visibility)
	if !ok {
		return
	}
	o.key(name)
	class, fields := get()
	if fields == nil {
		o.w.null()
		return
	}
	in := o.w.begin(p.nested(inline), class)
	fields(in)
	in.end()
}

// List writes an array of n objects. An element whose export panics is left out,
// silently (org.kohsuke.stapler.export.Property#writeBuffered).
func (o *object) List(name string, visibility int, inline bool, n func() int, elem func(i int, w *exportWriter, p pruner)) {
	p, ok := o.p.property(name, visibility)
	if !ok {
		return
	}
	o.key(name)
	o.w.list(p.nested(inline), n(), elem)
}

func (w *exportWriter) list(p pruner, n int, elem func(i int, w *exportWriter, p pruner)) {
	w.buf = append(w.buf, '[')
	start := len(w.buf)
	from, to := p.bounds(n)
	for i := from; i < to; i++ {
		mark := len(w.buf)
		if mark > start {
			w.buf = append(w.buf, ',')
		}
		if !w.try(func() { elem(i, w, p) }) {
			w.buf = w.buf[:mark]
		}
	}
	w.buf = append(w.buf, ']')
}

// try reports whether f ran without panic.
func (w *exportWriter) try(f func()) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			w.j.log.Warn("export failed, element left out", "err", r)
		}
	}()
	f()
	return true
}

func (w *exportWriter) null() { w.buf = append(w.buf, "null"...) }

const hexDigits = "0123456789abcdef"

// str appends a JSON string.
func (w *exportWriter) str(s string) {
	w.buf = append(w.buf, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= firstPrintable && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			w.buf = append(append(w.buf, s[from:i]...), "\ufffd"...)
		} else {
			w.buf = appendEscape(append(w.buf, s[from:i]...), c)
		}
		i++
		from = i
	}
	w.buf = append(append(w.buf, s[from:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default:
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
}
