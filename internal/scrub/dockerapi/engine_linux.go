// SPDX-License-Identifier: Apache-2.0

package dockerapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/unixhttp"
)

// Engine is a container engine that listens at a socket.
type Engine struct {
	http unixhttp.Client
	// prefix begins every path, libpod those of Podman's own; the latter is "" for other engines.
	prefix, libpod string
}

// limit is how much one answer may be: the list of fifty thousand containers has that many bytes.
const limit = 64 << 20

// patience is how long an engine may take to tell something. It is short: an engine that hangs is to be found out
// before the time of the step is over.
const patience = time.Minute

// spoken is the version of the API whose answers are known; engines older than that are asked in theirs.
const spoken = "1.44"

// Open learns what the engine behind a socket speaks. Podman tells that when it is greeted; asked for its version, it
// runs half a dozen programs first.
func Open(ctx context.Context, socket string) (*Engine, error) {
	e := &Engine{http: unixhttp.Client{Socket: socket, Limit: limit}}
	greeting, err := e.ask(ctx, "/_ping")
	if err != nil {
		return nil, err
	}
	version := greeting.Header["api-version"]
	if podman := greeting.Header["libpod-api-version"]; isVersion(podman) {
		e.libpod = "/v" + podman + "/libpod"
	}
	if !isVersion(version) || older(spoken, version) && e.libpod == "" {
		if version, err = e.common(ctx); err != nil {
			return nil, err
		}
	}
	e.prefix = "/v" + version
	return e, nil
}

// common returns the version to ask an engine in that does not tell its own when greeted, or speaks newer ones than we
// know: ours as long as it still does.
func (e *Engine) common(ctx context.Context) (string, error) {
	var v struct {
		APIVersion    string `json:"ApiVersion"`
		MinAPIVersion string
	}
	if err := e.get(ctx, "/version", &v); err != nil {
		return "", err
	}
	switch {
	case !isVersion(v.APIVersion):
		return "", fmt.Errorf("it answers as no container engine does: version of its API %q", v.APIVersion)
	case older(v.APIVersion, spoken):
		return v.APIVersion, nil
	case isVersion(v.MinAPIVersion) && older(spoken, v.MinAPIVersion):
		return v.MinAPIVersion, nil
	}
	return spoken, nil
}

func isVersion(v string) bool {
	return v != "" && len(v) < 20 && !strings.ContainsFunc(v, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
}

// older compares versions like 1.9 and 1.41.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		if c := cmp.Compare(part(as, i), part(bs, i)); c != 0 {
			return c < 0
		}
	}
	return false
}

func part(version []string, i int) int {
	if i >= len(version) {
		return 0
	}
	n, _ := strconv.Atoi(version[i])
	return n
}

// Refusal is an engine's word that it does not do something.
type Refusal struct {
	Status  int
	Message string
}

func (r Refusal) Error() string {
	return fmt.Sprintf("the engine refuses (%d): %s", r.Status, r.Message)
}

// gone reports whether the engine does not have what was asked for.
func gone(err error) bool {
	r, ok := errors.AsType[Refusal](err)
	return ok && r.Status == 404
}

// get reads what is at target into to.
func (e *Engine) get(ctx context.Context, target string, to any) error {
	answer, err := e.ask(ctx, target)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer.Body, to); err != nil {
		return fmt.Errorf("%s: what the engine answers makes no sense: %w", target, err)
	}
	return nil
}

// ask asks for what an engine can tell at once.
func (e *Engine) ask(ctx context.Context, target string) (unixhttp.Response, error) {
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := e.do(short, "GET", target)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return answer, ErrSilent
	}
	return answer, err
}

// ErrSilent says that an engine takes longer to tell something than anybody waits.
var ErrSilent = fmt.Errorf("the engine has not answered within %s", patience)

// do sends a request and returns the answer.
func (e *Engine) do(ctx context.Context, method, target string) (unixhttp.Response, error) {
	return e.send(ctx, method, target, nil)
}

// send is do with a body of JSON.
func (e *Engine) send(ctx context.Context, method, target string, body []byte) (unixhttp.Response, error) {
	answer, err := e.http.Send(ctx, method, target, body)
	switch {
	case err != nil:
		return answer, fmt.Errorf("%s %s: %w", method, target, err)
	case answer.Status >= 300:
		return answer, Refusal{answer.Status, message(answer.Body)}
	}
	return answer, nil
}

// message returns the reason in an answer that refuses.
func message(body []byte) string {
	var m struct{ Message string }
	if json.Unmarshal(body, &m) != nil || m.Message == "" {
		m.Message = string(body)
	}
	const most = 500
	return strings.ToValidUTF8(strings.TrimSpace(m.Message[:min(len(m.Message), most)]), "")
}
