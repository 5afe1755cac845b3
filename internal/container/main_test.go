// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pitcrew-ci/pitcrew/internal/container"
)

// part has this program play a part instead of running tests: that of a process which owns a controller, by the Spec in the variable.
const part = "PITCREW_TEST_CONTAINER_OWNER"

// waitLimit bounds every wait of these tests for something that is sure to come.
const waitLimit = 2 * time.Minute

func TestMain(m *testing.M) {
	if spec := os.Getenv(part); spec != "" {
		own(spec)
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(fakeDir)
		os.Exit(code)
	}))
}

// own starts a controller, says where it is, and lives until its input ends, or it is killed.
func own(spec string) {
	var s container.Spec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	c, err := container.Start(context.Background(), s)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(c.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// owner is another process that owns a controller.
type owner struct {
	cmd *exec.Cmd
	url string
}

// startOwner returns when the controller of the other process is ready.
func startOwner(t *testing.T, s container.Spec) owner {
	t.Helper()
	s.Owner, s.Log = container.Owner{}, nil
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe")
	c.Env = append(os.Environ(), part+"="+string(text))
	var wrong strings.Builder
	c.Stderr = &wrong
	_, err = c.StdinPipe() // stays open while we live
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = c.Wait()
		t.Fatalf("the owner says nothing: %v\n%s", err, wrong.String())
	}
	return owner{cmd: c, url: strings.TrimSpace(line)}
}

// kill kills the process, which gets no chance to do anything.
func (o owner) kill(t *testing.T) {
	t.Helper()
	if err := o.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = o.cmd.Wait()
}

var fakeDir string // holds fake

// fake is the program of testdata/jenkins, static.
var fake = sync.OnceValues(func() (string, error) {
	var err error
	if fakeDir, err = os.MkdirTemp("", "pitcrew-fake-"); err != nil {
		return "", err
	}
	program := filepath.Join(fakeDir, "jenkins")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, "./testdata/jenkins")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build testdata/jenkins: %w\n%s", err, out)
	}
	return program, nil
})

// eventually waits for a condition that is sure to come.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("still not so: %s", what)
		case <-tick.C:
		}
	}
}

// get asks a controller, as somebody or as nobody.
func get(t *testing.T, c *container.Controller, path, user, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// status is what the controller answers to a request for its front page.
func status(t *testing.T, c *container.Controller, user, token string) int {
	t.Helper()
	got, _ := get(t, c, "/api/json", user, token)
	return got
}

// ask is what the controller answers its user.
func ask(t *testing.T, c *container.Controller, path string) string {
	t.Helper()
	got, body := get(t, c, path, c.User(), string(c.Token()))
	if got != http.StatusOK {
		t.Errorf("%s: %d", path, got)
	}
	return body
}

// start starts a controller that is removed at the end of the test.
func start(t *testing.T, s container.Spec) *container.Controller {
	t.Helper()
	c, err := container.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return c
}

// serves checks that a controller lets its user in and nobody else.
func serves(t *testing.T, c *container.Controller) {
	t.Helper()
	if got := status(t, c, c.User(), string(c.Token())); got != http.StatusOK {
		t.Errorf("with the token %s answers %d", c.URL(), got)
	}
	if got := status(t, c, "", ""); got != http.StatusForbidden {
		t.Errorf("to anonymous readers %s answers %d, want 403", c.URL(), got)
	}
	if got := status(t, c, c.User(), string(container.NewToken())); got != http.StatusUnauthorized {
		t.Errorf("with another token %s answers %d, want 401", c.URL(), got)
	}
}

// stopped ends a controller and checks that Done and Err say so.
func stopped(t *testing.T, c *container.Controller) {
	t.Helper()
	for range 2 { // the second time there is nothing left to do
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	select {
	case <-c.Done():
	default:
		t.Error("it was stopped, and is not done")
	}
	if err := c.Err(); err != nil {
		t.Errorf("it was stopped, and says that it died: %v", err)
	}
}

// dies waits for the end of a controller that dies and returns what it says.
func dies(t *testing.T, c *container.Controller) error {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(waitLimit):
		t.Fatal("nobody has seen that it died")
	}
	if c.Err() == nil {
		t.Fatal("it died, and there is no error")
	}
	return c.Err()
}

// log is a writer for the log of a controller.
type log struct {
	mu   sync.Mutex
	text strings.Builder
	told func(line string)
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told != nil {
		l.told(string(p))
	}
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
