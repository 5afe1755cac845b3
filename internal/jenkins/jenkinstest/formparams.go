// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// paramsFromFields reads parameters from query and form fields. A file that did not come is left out.
func (c *call) paramsFromFields(jb *job) ([]param, bool) {
	values := c.r.URL.Query()
	if formEncoded(c.r) {
		if err := c.r.ParseForm(); err != nil {
			return nil, false
		}
		for k, v := range c.r.PostForm {
			values[k] = append(values[k], v...)
		}
	}
	var params []param
	for _, d := range jb.conf.params {
		if d.Kind == paramFile {
			if f, ok := c.files[d.Name]; ok {
				params = append(params, f.param(d))
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

// param is the value of a file parameter.
func (u upload) param(d ParamSpec) param {
	return param{kind: paramFile, name: d.Name, value: u.name, file: u.data}
}

// formParam is one entry of a build form's json.
type formParam struct {
	Name   string `json:"name"`
	Value  any    `json:"value"`
	Label  string `json:"label"`
	Labels any    `json:"labels"`
	File   any    `json:"file"`
}

// errForm is an exception that a form causes: unlike one that is no form at all, it is a 500.
var errForm = errors.New("form cannot be bound")

// paramsFromForm reads {"parameter":[{"name":..., "value":...}]}; a single parameter may stand without the list. A file
// is named by its part of the form. Parameters that are not in the form have no value, and those that the job does not
// have, or whose file is missing, are an error (hudson.model.ParametersDefinitionProperty#_doBuild).
func (c *call) paramsFromForm(jb *job, text string) ([]param, error) {
	var form struct {
		Parameter json.RawMessage `json:"parameter"`
	}
	if err := json.Unmarshal([]byte(text), &form); err != nil || form.Parameter == nil {
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
	var params []param
	for _, f := range list {
		i := slices.IndexFunc(jb.conf.params, func(d ParamSpec) bool { return d.Name == f.Name })
		if i < 0 {
			return nil, errForm
		}
		d := jb.conf.params[i]
		if d.Kind != paramFile {
			params = append(params, d.value(f.text()))
			continue
		}
		u, ok := c.files[fmt.Sprint(f.File)]
		if !ok {
			return nil, errForm
		}
		params = append(params, u.param(d))
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
