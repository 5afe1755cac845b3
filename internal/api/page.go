// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// Page is a part of a list. Next is absent on the last one.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Give it as the parameter cursor to get the next page"`
}

// Paging chooses a part of a list. Parts neither repeat nor leave out what was there all the time,
// whatever comes and goes meanwhile.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"10000" default:"200" doc:"Most items on a page"`
	Cursor string `query:"cursor" doc:"The next of the page before"`
}

// A cursor names the last item of the page before. It is opaque, so that it can change. The mark tells it from other texts
// that are base64 by accident, behind which a list would seem to be empty.
const cursorMark = "after:"

func cursorAt(position string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorMark + position))
}

// position reads the cursor; "" is the beginning.
func (p Paging) position() (string, error) {
	if p.Cursor == "" {
		return "", nil
	}
	text, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	position, ok := strings.CutPrefix(string(text), cursorMark)
	if err != nil || !ok {
		return "", p.badCursor()
	}
	return position, nil
}

// number reads a cursor that was made of a number; 0 is the beginning.
func (p Paging) number() (int64, error) {
	text, err := p.position()
	if err != nil || text == "" {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, p.badCursor()
	}
	return n, nil
}

func (p Paging) badCursor() error {
	return invalid("query.cursor", "it is not the \"next\" of a page", p.Cursor)
}

// paged makes a page of items, of which there is one more than the limit when more follow.
func paged[R, T any](found []R, p Paging, convert func(R) T, position func(R) string) Page[T] {
	page := Page[T]{Items: make([]T, 0, min(len(found), p.Limit))}
	for i, r := range found {
		if i == p.Limit {
			page.Next = cursorAt(position(found[i-1]))
			break
		}
		page.Items = append(page.Items, convert(r))
	}
	return page
}

func byID(id int64) string { return strconv.FormatInt(id, 10) }
