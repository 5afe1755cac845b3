// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"
)

// upload is a part of a multipart form that came with a file name.
type upload struct {
	name string // of the file, without directories
	data []byte
}

// readUploads reads a multipart form as Stapler does (org.kohsuke.stapler.RequestImpl#parseMultipartFormData): of parts
// with one name the last counts, and a part is a file if it has a file name. Fields become those of r. A form that
// cannot be read has none of either.
func readUploads(r *http.Request) map[string]upload {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		return nil
	}
	r.PostForm, r.Form = url.Values{}, r.URL.Query()
	form, err := r.MultipartReader()
	if err != nil {
		return nil
	}
	files := map[string]upload{}
	for left := int64(maxBody); ; {
		part, err := form.NextPart()
		if err != nil {
			return files
		}
		data, err := io.ReadAll(io.LimitReader(part, left))
		if left -= int64(len(data)); err != nil || left <= 0 {
			return files
		}
		name := part.FormName()
		delete(files, name)
		r.PostForm.Del(name)
		if file, ok := fileName(part.Header.Get("Content-Disposition")); ok {
			files[name] = upload{name: file, data: data}
			continue
		}
		text := string(inUTF8(data, part.Header.Get("Content-Type")))
		r.PostForm.Set(name, text)
		r.Form.Set(name, text)
	}
}

// fileName returns the file name of a part, which may be empty, and whether it has one.
func fileName(disposition string) (string, bool) {
	_, params, err := mime.ParseMediaType(disposition)
	name, ok := params["filename"]
	if err != nil || !ok {
		return "", false
	}
	if name == "" {
		return "", true
	}
	return path.Base(strings.ReplaceAll(name, `\`, "/")), true
}

// inUTF8 is text that came without a character set, or with UTF-8. Without one a part of a form is read as Latin-1, the
// worst of what versions of commons-fileupload do (org.apache.commons.fileupload2.core.DiskFileItem#DEFAULT_CHARSET), and so
// is a body that is read as text (jakarta.servlet.ServletRequest#getReader).
func inUTF8(data []byte, contentType string) []byte {
	if _, params, err := mime.ParseMediaType(contentType); err == nil && strings.EqualFold(params["charset"], "utf-8") {
		return data
	}
	if !bytes.ContainsFunc(data, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return data
	}
	text := make([]rune, len(data))
	for i, b := range data {
		text[i] = rune(b)
	}
	return []byte(string(text))
}
