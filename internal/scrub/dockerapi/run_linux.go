// SPDX-License-Identifier: Apache-2.0

package dockerapi

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/unixhttp"
)

// Wish is a container to be made.
type Wish struct {
	// Image is the identity of its image.
	Image string
	// Run is run in place of what the image would run; nothing leaves that.
	Run []string
	// Network is the name of its network, or none.
	Network string
	// LabelKey and LabelValue are the label that it has.
	LabelKey, LabelValue string
}

var errNonsense = errors.New("what the engine answers makes no sense")

// Create makes a container, which does not run yet, and returns its identity.
func (e *Engine) Create(ctx context.Context, w Wish) (id string, err error) {
	type host struct{ NetworkMode string }
	order := struct {
		Image           string
		Entrypoint, Cmd []string `json:",omitempty"`
		Labels          map[string]string
		HostConfig      host
	}{Image: w.Image, Labels: map[string]string{w.LabelKey: w.LabelValue}, HostConfig: host{w.Network}}
	if len(w.Run) > 0 {
		order.Entrypoint, order.Cmd = w.Run[:1], w.Run[1:]
	}
	body, err := json.Marshal(order)
	if err != nil {
		return "", err
	}
	var made struct {
		ID string `json:"Id"`
	}
	answer, err := e.send(ctx, "POST", e.prefix+"/containers/create", body)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(answer.Body, &made); err != nil || made.ID == "" {
		return "", errNonsense
	}
	return made.ID, nil
}

// Start has a container run.
func (e *Engine) Start(ctx context.Context, id string) error {
	_, err := e.do(ctx, "POST", e.prefix+"/containers/"+unixhttp.Escape(id)+"/start")
	return err
}

// Wait returns the exit code of a container once it has ended.
func (e *Engine) Wait(ctx context.Context, id string) (code int, err error) {
	answer, err := e.do(ctx, "POST", e.prefix+"/containers/"+unixhttp.Escape(id)+"/wait")
	if err != nil {
		return 0, err
	}
	var end struct {
		StatusCode *int
		Error      *struct{ Message string }
	}
	err = json.Unmarshal(answer.Body, &end)
	switch {
	case err != nil || end.StatusCode == nil:
		return 0, errNonsense
	case end.Error != nil && end.Error.Message != "":
		return 0, errors.New(end.Error.Message)
	}
	return *end.StatusCode, nil
}

// mostOutput is how much a container may say.
const mostOutput = 1 << 20

// Output returns what a container without a terminal has said, of both sorts. It asks for no end of it: Podman 4 puts lines
// that were written in parts into another order then.
func (e *Engine) Output(ctx context.Context, id string) (string, error) {
	short := *e
	short.http.Limit = mostOutput
	answer, err := short.do(ctx, "GET", e.prefix+"/containers/"+unixhttp.Escape(id)+"/logs?stdout=1&stderr=1")
	if err != nil {
		return "", err
	}
	return said(answer.Body)
}

// said puts together what a container has said of the pieces in which an engine tells it. The last may be cut off.
func said(pieces []byte) (string, error) {
	var text strings.Builder
	for rest := pieces; len(rest) > 0; {
		// Eight bytes before each piece: which of the two it is of, nothing three times, and its length.
		const before = 8
		if len(rest) < before {
			return text.String(), errors.New("what the engine says a container has said is cut off")
		}
		length := int(min(binary.BigEndian.Uint32(rest[4:before]), mostOutput))
		rest = rest[before:]
		length = min(length, len(rest))
		text.Write(rest[:length])
		rest = rest[length:]
	}
	return text.String(), nil
}

// RemoveLabelled removes the containers that have a label, running or not.
func (e *Engine) RemoveLabelled(ctx context.Context, key, value string) error {
	filter, err := json.Marshal(map[string][]string{"label": {key + "=" + value}})
	if err != nil {
		return err
	}
	var list []listed
	if err := e.get(ctx, e.prefix+"/containers/json?all=1&filters="+unixhttp.Escape(string(filter)), &list); err != nil {
		return err
	}
	var errs []error
	for _, l := range list {
		if l.Labels[key] == value { // whatever the engine makes of a filter
			errs = append(errs, e.RemoveContainer(ctx, l.ID))
		}
	}
	return errors.Join(errs...)
}

// Pull fetches an image by a name with a tag or a digest.
func (e *Engine) Pull(ctx context.Context, name string) error {
	answer, err := e.do(ctx, "POST", e.prefix+"/images/create?fromImage="+unixhttp.Escape(name))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(answer.Body)) { // progress; a failure comes with status 200
		var step struct{ Error string }
		if json.Unmarshal([]byte(line), &step) == nil && step.Error != "" {
			return errors.New(message([]byte(step.Error)))
		}
	}
	return nil
}
