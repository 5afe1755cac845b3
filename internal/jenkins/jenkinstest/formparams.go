// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
)

// paramsFromFields reads parameters from query and form fields.
func (c *call) paramsFromFields(jb *job) ([]param, bool) {
	values := c.r.URL.Query()
	if formEncoded(c.r) {
		if err := c.r.ParseMultipartForm(maxBody); err != nil && !errors.Is(err, http.ErrNotMultipart) {
			return nil, false
		}
		for k, v := range c.r.PostForm {
			values[k] = append(values[k], v...)
		}
	}
	var params []param
	for _, d := range jb.conf.params {
		if d.Kind == paramFile {
			if p, ok := filePart(d, c.r); ok {
				params = append(params, p)
			}
			continue
		}
		switch given := values[d.Name]; len(given) {
		case 0:
			params = append(params, d.value(d.Default))
		case 1:
			params = append(params, d.value(given[0]))
		default:
			return nil, false
		}
	}
	return params, true
}

// filePart reads an uploaded file parameter.
func filePart(d ParamSpec, r *http.Request) (param, bool) {
	if r.MultipartForm == nil || len(r.MultipartForm.File[d.Name]) == 0 {
		return param{}, false
	}
	h := r.MultipartForm.File[d.Name][0]
	f, err := h.Open()
	if err != nil {
		return param{}, false
	}
	defer f.Close() // read only
	data, err := io.ReadAll(f)
	return param{kind: paramFile, name: d.Name, value: h.Filename, file: data}, err == nil
}

// formParam is one entry of a build form's json.
type formParam struct {
	Name   string `json:"name"`
	Value  any    `json:"value"`
	Label  string `json:"label"`
	Labels any    `json:"labels"`
	File   string `json:"file"`
}

// paramsFromForm reads {"parameter":[{"name":..., "value":...}]}; a single parameter may
// stand without the list.
func paramsFromForm(jb *job, text string, r *http.Request) ([]param, error) {
	var form struct {
		Parameter json.RawMessage `json:"parameter"`
	}
	if err := json.Unmarshal([]byte(text), &form); err != nil {
		return nil, err
	}
	var list []formParam
	if err := json.Unmarshal(form.Parameter, &list); err != nil {
		var one formParam
		if json.Unmarshal(form.Parameter, &one) != nil {
			return nil, err
		}
		list = []formParam{one}
	}
	given := map[string]formParam{}
	for _, f := range list {
		given[f.Name] = f
	}
	var params []param
	for _, d := range jb.conf.params {
		f, has := given[d.Name]
		switch {
		case d.Kind == paramFile && has:
			d2 := d
			if f.File != "" {
				d2.Name = f.File
			}
			if p, ok := filePart(d2, r); ok {
				p.name = d.Name
				params = append(params, p)
			}
		case d.Kind == paramFile:
		case has:
			params = append(params, d.value(f.text()))
		default:
			params = append(params, d.value(d.Default))
		}
	}
	return params, nil
}

func (f formParam) text() string {
	for _, v := range []any{f.Value, f.Labels, f.Label} {
		switch x := v.(type) {
		case string:
			if x != "" {
				return x
			}
		case bool:
			return strconv.FormatBool(x)
		case float64:
			return strconv.FormatFloat(x, 'f', -1, 64)
		case []any:
			if len(x) > 0 {
				if s, ok := x[0].(string); ok {
					return s
				}
			}
		}
	}
	return ""
}
