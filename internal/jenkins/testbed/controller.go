// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// Controller is the controller under test.
type Controller struct {
	URL   string // root address, without trailing slash
	User  string // may administer agents and jobs
	Token string // API token of User
	// Password of User; "" if it is not known.
	Password string
	// Real: the environment named it. It may have agents, jobs and users of its own.
	Real bool
	// Restartable: nobody else uses it, and it may be restarted and quieted down.
	Restartable bool
	// Prefix begins the name of everything that is made here.
	Prefix string
	// Home is its home directory, on this machine; "" if it is not known.
	Home string

	client  *http.Client
	serial  atomic.Int64
	dir     string               // of files that live as long as the controller is open
	jar     string               // its agent.jar
	end     func()               // of a controller of our own
	fake    *jenkinstest.Jenkins // a controller of our own
	restart string               // command
}

// The variables that name a controller.
const (
	envURL      = "PITCREW_TEST_JENKINS_URL"
	envUser     = "PITCREW_TEST_JENKINS_USER"
	envToken    = "PITCREW_TEST_JENKINS_TOKEN"    //nolint:gosec // the name of a variable
	envPassword = "PITCREW_TEST_JENKINS_PASSWORD" //nolint:gosec // the name of a variable
	envRestart  = "PITCREW_TEST_JENKINS_RESTART"
	envHome     = "PITCREW_TEST_JENKINS_HOME"

	envRestartCommand = "PITCREW_TEST_JENKINS_RESTART_CMD"
)

// secondURL names the second controller, where two are needed.
const (
	secondURL   = "PITCREW_TEST_JENKINS2_URL"
	secondUser  = "PITCREW_TEST_JENKINS2_USER"
	secondToken = "PITCREW_TEST_JENKINS2_TOKEN" //nolint:gosec // the name of a variable
)

// OpenSecond returns a second controller beside one that [Open] returned: the one that the environment names; else, beside
// a real one, that one again, and beside one of our own another. Close it, too.
func OpenSecond(ctx context.Context, first *Controller, stem string) (*Controller, error) {
	c := &Controller{URL: strings.TrimRight(os.Getenv(secondURL), "/"), User: os.Getenv(secondUser), Token: os.Getenv(secondToken), Real: true}
	switch {
	case c.URL != "" && (c.User == "" || c.Token == ""):
		return nil, fmt.Errorf("%s is set: set %s and %s as well", secondURL, secondUser, secondToken)
	case c.URL == "" && first.Real:
		c.URL, c.User, c.Token = first.URL, first.User, first.Token
	case c.URL == "":
		var err error
		if c, err = start(ctx, nil); err != nil {
			return nil, err
		}
	}
	return c.ready(ctx, stem)
}

// FromEnvironment returns the controller that the environment names, or nil.
func FromEnvironment() (*Controller, error) {
	c := &Controller{
		URL: strings.TrimRight(os.Getenv(envURL), "/"), User: os.Getenv(envUser), Token: os.Getenv(envToken),
		Password: os.Getenv(envPassword), Restartable: os.Getenv(envRestart) == "1", Real: true,
		Home: os.Getenv(envHome), restart: os.Getenv(envRestartCommand),
	}
	switch {
	case c.URL == "":
		return nil, nil //nolint:nilnil // there is none, and that is no error
	case c.User == "" || c.Token == "":
		return nil, fmt.Errorf("%s is set: set %s and %s as well", envURL, envUser, envToken)
	}
	return c, nil
}

// Open returns the controller that the environment names, or starts one. stem begins
// its prefix. What bend does is done to the options of one that is started. Close it.
func Open(ctx context.Context, stem string, bend ...func(*jenkinstest.Options)) (*Controller, error) {
	c, err := FromEnvironment()
	if err != nil {
		return nil, err
	}
	if c == nil {
		if c, err = start(ctx, bend); err != nil {
			return nil, err
		}
	}
	return c.ready(ctx, stem)
}

// ready prepares a controller for use.
func (c *Controller) ready(ctx context.Context, stem string) (_ *Controller, err error) {
	c.Prefix = fmt.Sprintf("%s-%06x", stem, rand.N(1<<24)) //nolint:gosec // a name, no secret
	c.client = &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.dir, err = os.MkdirTemp("", "pitcrew-testbed-"); err == nil {
		err = c.fetchJar(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}

// fetchJar loads the controller's agent program, which needs no credentials.
func (c *Controller) fetchJar(ctx context.Context) error {
	a, err := c.Send(ctx, Request{Method: http.MethodGet, Path: "/jnlpJars/agent.jar", Anonymous: true})
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", a.Status, a.Excerpt())
	}
	if err == nil {
		c.jar = filepath.Join(c.dir, "agent.jar")
		err = os.WriteFile(c.jar, []byte(a.Body), 0o600)
	}
	if err != nil {
		return fmt.Errorf("load agent.jar of the controller: %w", err)
	}
	return nil
}

// Close removes what was left behind, and ends a controller of our own. The error says
// what could not be removed.
func (c *Controller) Close(ctx context.Context) error {
	var err error
	if c.Real && c.client != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		err = c.Sweep(ctx)
	}
	if c.end != nil {
		c.end()
	}
	if c.dir != "" {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

// Unique returns a name for something that is made.
func (c *Controller) Unique(stem string) string {
	return fmt.Sprintf("%s-%s%d", c.Prefix, stem, c.serial.Add(1))
}

// Request is sent as it is told, without the manners of a client: no redirects, no
// cookies, no retries.
type Request struct {
	Method, Path string // Path is escaped already, and below the root
	ContentType  string
	Body         string
	Anonymous    bool
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Excerpt is the beginning of the body, for a message.
func (a Answer) Excerpt() string {
	text := strings.Join(strings.Fields(a.Body), " ")
	return text[:min(len(text), 300)]
}

// inQuery escapes what a strict container refuses in a query (RFC 3986, 3.4).
var inQuery = strings.NewReplacer("[", "%5B", "]", "%5D", "{", "%7B", "}", "%7D", "|", "%7C", " ", "%20", `"`, "%22")

// Send sends a request as the controller's user.
func (c *Controller) Send(ctx context.Context, r Request) (Answer, error) {
	path, query, hasQuery := strings.Cut(r.Path, "?")
	if hasQuery {
		path += "?" + inQuery.Replace(query)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, c.URL+path, strings.NewReader(r.Body))
	if err != nil {
		return Answer{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Accept-Language", "en")
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	if !r.Anonymous {
		req.SetBasicAuth(c.User, c.Token)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return Answer{}, fmt.Errorf("read answer: %w", err)
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: string(body)}, nil
}

// read decodes the JSON answer to GET path into v.
func (c *Controller) read(ctx context.Context, path string, v any) error {
	a, err := c.Send(ctx, Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("GET %s: status %d: %s", path, a.Status, a.Excerpt())
	}
	if err := json.Unmarshal([]byte(a.Body), v); err != nil {
		return fmt.Errorf("GET %s: %w: %s", path, err, a.Excerpt())
	}
	return nil
}
