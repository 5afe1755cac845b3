// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// File is the value of a file parameter.
type File struct {
	Param   string // name of the parameter
	Name    string // of the file, as people see it in the queue and in the build
	Content []byte // not changed and not copied, at most maxFile bytes
}

// maxFile bounds what is sent with a build, in bytes. Jenkins keeps it with the build, and sends it on to the agent.
const maxFile = 64 << 20

// Build puts a build of a job into the queue, without quiet period, and returns the id of its queue item: one request.
// A job without parameters is built with neither params nor file. It needs Job/Build.
//
// Jenkins takes no notice of a file whose parameter the job does not have, and builds a job without a file that is
// missing (hudson.model.FileParameterDefinition#createValue).
//
// Parameters go in the body, never in the address; no error repeats a value of 16 bytes or more, which may be a password.
//
// If the queue holds an item of that job with the same parameters, Jenkins merges the two: the id is that item's, and
// err is a conflict with [ErrMerged]; seen by status 303 since Jenkins 2.308 and never for a job without parameters. With
// a file nothing is merged: no two files are equal (hudson.model.FileParameterValue#equals).
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
		// Which parameters are passwords is the job's to know: an answer that repeats what was sent tells of none that
		// could be one.
		secrets: lengthy(params),
	}
	if len(params) > 0 || file != nil {
		r.path = path + "/buildWithParameters"
	}
	if r.contentType, err = r.encode(params, file); err != nil {
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

// secretLength is what the value of a secret has at least, in bytes.
const secretLength = 16

// lengthy returns the values that could be secrets, the longest first: one may be part of another.
func lengthy(params map[string]string) []string {
	values := slices.DeleteFunc(slices.Collect(maps.Values(params)), func(v string) bool { return len(v) < secretLength })
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return values
}

// encode makes the body of a form, in a stable order.
func (r *request) encode(params map[string]string, file *File) (contentType string, err error) {
	if file == nil {
		form := url.Values{}
		for k, v := range params {
			form.Set(k, v)
		}
		r.body = []byte(form.Encode())
		return formType, nil
	}
	if len(file.Content) > maxFile {
		return "", fmt.Errorf("file %s has %d bytes, the limit is %d", file.Name, len(file.Content), maxFile)
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if err := writeField(w, name, params[name]); err != nil {
			return "", fmt.Errorf("encode parameter %s: %w", name, err)
		}
	}
	_, err = w.CreateFormFile(file.Param, file.Name)
	head := b.Len()
	if err := errors.Join(err, w.Close()); err != nil {
		return "", fmt.Errorf("encode file: %w", err)
	}
	r.body, r.more = b.Bytes()[:head], [][]byte{file.Content, b.Bytes()[head:]}
	return w.FormDataContentType(), nil
}

// writeField adds a field that says how it is encoded: one that does not is read in a character set of the server's
// choice (org.apache.commons.fileupload2.core.DiskFileItem#getCharset).
func writeField(w *multipart.Writer, name, value string) error {
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="` + inQuotes.Replace(name) + `"`},
		"Content-Type":        {"text/plain; charset=UTF-8"},
	})
	if err == nil {
		_, err = io.WriteString(part, value)
	}
	return err
}

var inQuotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

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
