// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// defaultQuiet is the global quiet period.
const defaultQuiet = 5 * time.Second

// buildJob is /build: for a parameterised job it needs a form with json.
func (c *call) buildJob(jb *job) {
	if !c.mayBuild(jb) {
		return
	}
	if len(jb.conf.params) == 0 {
		it, _ := c.schedule(jb, nil)
		c.queued(it, http.StatusCreated)
		return
	}
	text := c.field("json")
	if text == "" {
		c.refuse(http.StatusBadRequest, "This page expects a form submission")
		return
	}
	params, err := paramsFromForm(jb, text, c.r)
	if err != nil {
		c.refuse(http.StatusBadRequest, "Nothing is submitted")
		return
	}
	it, merged := c.schedule(jb, params)
	if merged {
		c.redirect(jb.path())
		return
	}
	c.queued(it, http.StatusCreated)
}

// buildWithParameters takes query and form fields: unknown ones are ignored, missing
// ones take their defaults, one given twice is an error.
func (c *call) buildWithParameters(jb *job) {
	if !c.mayBuild(jb) {
		return
	}
	if len(jb.conf.params) == 0 {
		c.refuse(http.StatusBadRequest, jb.name+" is not parameterized")
		return
	}
	params, ok := c.paramsFromFields(jb)
	if !ok {
		c.oops()
		return
	}
	it, merged := c.schedule(jb, params)
	if merged && c.j.version.since(308) {
		c.queued(it, http.StatusSeeOther)
		return
	}
	c.queued(it, http.StatusCreated)
}

// mayBuild checks token, method, permission and whether the job can be built at all.
func (c *call) mayBuild(jb *job) bool {
	if given := c.r.URL.Query().Get("token"); given != "" && jb.conf.token != "" {
		if given != jb.conf.token {
			c.refuse(http.StatusForbidden, "Invalid token provided.")
			return false
		}
	} else {
		if !c.isPOST() || !c.allowedOn(JobBuild, jb) {
			return false
		}
	}
	c.j.mu.Lock()
	buildable := jb.buildable()
	c.j.mu.Unlock()
	if !buildable {
		c.refuse(http.StatusConflict, jb.fullDisplayName()+" is not buildable")
	}
	return buildable
}

func (c *call) schedule(jb *job, params []param) (*item, bool) {
	quiet := jb.quietPeriod()
	if text := c.field("delay"); text != "" {
		if d, ok := parseDelay(text); ok {
			quiet = d
		}
	}
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return c.j.scheduleItem(jb, quiet, params, []buildCause{userIDCause(c.who.id())})
}

func (jb *job) quietPeriod() time.Duration {
	if jb.conf.quiet != nil {
		return *jb.conf.quiet
	}
	return defaultQuiet
}

// parseDelay is jenkins.util.TimeDuration: a bare number is milliseconds, and all is
// truncated to seconds.
func parseDelay(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	unit := time.Millisecond
	for _, suffix := range []string{"secs", "sec"} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = strings.TrimSpace(rest), time.Second
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false
	}
	return (time.Duration(n) * unit).Truncate(time.Second), true
}

// queued answers with the item's URL, built from the request's own host.
func (c *call) queued(it *item, status int) {
	c.w.Header().Set("Location", c.base()+"queue/item/"+itoa64(it.id)+"/")
	c.w.WriteHeader(status)
}

func (c *call) paramsFromFields(jb *job) ([]param, bool) {
	values := c.r.URL.Query()
	if formEncoded(c.r) {
		if err := c.r.ParseMultipartForm(maxBody); err != nil && err != http.ErrNotMultipart { //nolint:errorlint // sentinel
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
	defer f.Close() //nolint:errcheck // read only
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
