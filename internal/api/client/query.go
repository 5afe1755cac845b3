// SPDX-License-Identifier: Apache-2.0

package client

import (
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// values spells the parameters of a query by the tags that the server reads them with, so that the
// two cannot come apart. Zero values are left out: they are the defaults.
func values(query any) url.Values {
	out := url.Values{}
	addValues(out, reflect.ValueOf(query))
	return out
}

func addValues(out url.Values, v reflect.Value) {
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		if field.Anonymous {
			addValues(out, value)
			continue
		}
		if name := field.Tag.Get("query"); name != "" && !value.IsZero() {
			out.Set(name, spell(value.Interface()))
		}
	}
}

func spell(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case []string:
		return strings.Join(v, ",")
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	}
	return ""
}

// wanted takes the limit out of a query and puts a page's in; it returns how many items are wanted
// in all, -1 for all that there are.
func wanted(query url.Values) int {
	n, err := strconv.Atoi(query.Get("limit"))
	if err != nil || n <= 0 {
		n = -1
	}
	size := pageSize
	if n > 0 {
		size = min(n, pageSize)
	}
	query.Set("limit", strconv.Itoa(size))
	return n
}
