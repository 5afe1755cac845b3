// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// File is the value of a file parameter.
type File struct {
	Param   string // name of the parameter
	Name    string // of the file, as the build sees it in its description
	Content []byte
}

// Build puts a build of a job into the queue, without quiet period, and returns the id of its queue item: one request.
// A job without parameters is built with neither params nor file. It needs Job/Build.
//
// If the queue holds an item of that job with the same parameters, Jenkins merges the two: the id is that item's, and
// err is a conflict with [ErrMerged]; seen by status 303 since Jenkins 2.308 and never for a job without parameters.
// Otherwise [IsConflict] means that the job cannot be built just now, because it is disabled.
func (c *Client) Build(ctx context.Context, job string, params map[string]string, file *File) (queueID int64, err error) {
	path, err := jobPath(job)
	if err != nil {
		return 0, invalid("build", jobObject(job), err)
	}
	r := request{
		op: "build", object: jobObject(job), method: http.MethodPost, path: path + "/build", query: "delay=0sec",
		also:  []int{http.StatusSeeOther},                   // merged
		kinds: map[int]Kind{http.StatusFound: KindConflict}, // a plugin declined it
	}
	if len(params) > 0 || file != nil {
		r.path = path + "/buildWithParameters"
	}
	if r.body, r.contentType, err = encodeParams(params, file); err != nil {
		return 0, invalid("build", jobObject(job), err)
	}
	merged := false
	err = c.do(ctx, r, func(r *reply) error {
		merged = r.status == http.StatusSeeOther
		var ok bool
		if queueID, ok = queueIDOf(r.header.Get("Location")); !ok {
			return errors.New("answer names no queue item")
		}
		return nil
	})
	if err == nil && merged {
		err = &Error{Op: "build", Object: jobObject(job), Status: http.StatusSeeOther, Kind: KindConflict, Err: ErrMerged}
	}
	return queueID, err
}

// encodeParams makes the body of a form, in a stable order.
func encodeParams(params map[string]string, file *File) (body []byte, contentType string, err error) {
	if file == nil {
		form := url.Values{}
		for k, v := range params {
			form.Set(k, v)
		}
		return []byte(form.Encode()), formType, nil
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if err := w.WriteField(name, params[name]); err != nil {
			return nil, "", fmt.Errorf("encode parameter %s: %w", name, err)
		}
	}
	part, err := w.CreateFormFile(file.Param, file.Name)
	if err == nil {
		_, err = part.Write(file.Content)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, "", fmt.Errorf("encode file: %w", err)
	}
	return b.Bytes(), w.FormDataContentType(), nil
}

// queueIDOf reads the id out of .../queue/item/17/. What stands before may be a name of the controller that only it
// knows.
func queueIDOf(location string) (int64, bool) {
	_, rest, found := strings.Cut(location, "queue/item/")
	if !found {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, "/")
	id, err := strconv.ParseInt(digits, 10, 64)
	return id, err == nil && id > 0
}
