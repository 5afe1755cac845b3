// SPDX-License-Identifier: Apache-2.0

package thirdparty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// python is Debian's: another one earlier on PATH does not see Debian's modules.
const python = "/usr/bin/python3"

// Set once by TestMain.
var (
	controller *testbed.Controller
	absent     error // why there is no controller to test with
)

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	ctx := context.Background()
	controller, err = testbed.Open(ctx, "pc3rd")
	if errors.Is(err, testbed.ErrNoJDK) && os.Getenv("CI") == "" {
		absent = err
		return m.Run(), nil
	}
	if err != nil {
		return 1, err
	}
	code = m.Run()
	return code, controller.Close(ctx)
}

// start returns the root of the controller and the name of an agent that steps run on.
func start(t *testing.T) (root, agent string) {
	t.Helper()
	if absent != nil {
		t.Skip(absent)
	}
	return controller.URL, controller.Agent(t.Context(), t, testbed.NodeSpec{Name: controller.Unique("linux"), Labels: "pool"}).Name
}

// need skips the test, or fails it in CI, unless the probe command succeeds.
func need(t *testing.T, debianPackage string, probe ...string) {
	t.Helper()
	if err := exec.CommandContext(t.Context(), probe[0], probe[1:]...).Run(); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed", debianPackage)
	}
	t.Skipf("%s is not installed", debianPackage)
}

// run executes a command in a clean environment and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestPythonJenkinsWorksAsOnARealController(t *testing.T) {
	t.Parallel()
	need(t, "python3-jenkins", python, "-c", "import jenkins")
	for _, kind := range []string{"by API token", "by password and crumb"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			root, agent := start(t)
			secret := controller.Token
			if kind != "by API token" {
				if secret = controller.Password; secret == "" {
					t.Skip("PITCREW_TEST_JENKINS_PASSWORD is not set")
				}
			}
			out := run(t, python, "testdata/python_jenkins.py", root, controller.User, secret, agent, controller.Unique("pj"))
			if !strings.Contains(out, "all right") {
				t.Errorf("output: %s", out)
			}
		})
	}
}

// jobBuilder runs jenkins-jobs with a configuration for root.
func jobBuilder(t *testing.T, root string, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jenkins_jobs.ini")
	text := fmt.Sprintf("[job_builder]\nallow_duplicates=False\n\n[jenkins]\nuser=%s\npassword=%s\nurl=%s\nquery_plugins_info=False\n",
		controller.User, controller.Token, root)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return run(t, "/usr/bin/jenkins-jobs", append([]string{"--conf", file, "--ignore-cache"}, args...)...)
}

func TestJobBuilderCreatesUpdatesAndDeletesJobs(t *testing.T) {
	t.Parallel()
	need(t, "jenkins-job-builder", "/usr/bin/jenkins-jobs", "--version")
	root, agent := start(t)
	stem := controller.Unique("jjb")
	template, err := os.ReadFile("testdata/jobs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("jjb-", stem+"-", "linux-7", agent).Replace(string(template))
	rendered := filepath.Join(t.TempDir(), "jobs.yaml")
	if err := os.WriteFile(rendered, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	jobBuilder(t, root, "update", rendered)
	controller.RemoveJob(t.Context(), t, stem+"-1")
	controller.RemoveJob(t.Context(), t, stem+"-2")
	for _, job := range []string{stem + "-1", stem + "-2"} {
		config := get(t, root+"/job/"+job+"/config.xml")
		if !strings.Contains(config, "<assignedNode>"+agent+"</assignedNode>") {
			t.Errorf("%s is not tied to its agent: %s", job, config)
		}
	}
	console := build(t, root, stem+"-1", "PITCREW_AGENT=mine")
	if want := `agent=mine "quoted" <&> {braces}`; !strings.Contains(console, want) {
		t.Errorf("console lacks %q: %s", want, console)
	}
	changed := filepath.Join(t.TempDir(), "changed.yaml")
	text = strings.ReplaceAll(text, "made by Jenkins Job Builder", "made again")
	if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	jobBuilder(t, root, "update", changed)
	if config := get(t, root+"/job/"+stem+"-2/config.xml"); !strings.Contains(config, "made again") {
		t.Errorf("second update did not arrive: %s", config)
	}
	jobBuilder(t, root, "delete", "--path", changed, stem+"-1", stem+"-2")
	for _, job := range []string{stem + "-1", stem + "-2"} {
		if status := statusOf(t, root+"/job/"+job+"/api/json"); status != http.StatusNotFound {
			t.Errorf("deleted job %s answers %d, want 404", job, status)
		}
	}
}

// request sends a request as user and returns the status and the body of the answer.
func request(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(controller.User, controller.Token)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	status, _ := request(t, http.MethodGet, url)
	return status
}

func get(t *testing.T, url string) string {
	t.Helper()
	_, body := request(t, http.MethodGet, url)
	return body
}

// build runs the job and returns its console.
func build(t *testing.T, root, job, query string) string {
	t.Helper()
	status, _ := request(t, http.MethodPost, root+"/job/"+job+"/buildWithParameters?delay=0sec&"+query)
	if status != http.StatusCreated {
		t.Fatalf("build of %s answers %d, want 201", job, status)
	}
	return firstConsole(t, root, job)
}

// firstConsole waits for the end of a job's first build and returns its log.
func firstConsole(t *testing.T, root, job string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // an agent's first build loads classes from the controller
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if statusOf(t, root+"/job/"+job+"/1/api/json") == http.StatusOK {
			var b struct{ Building bool }
			if err := json.Unmarshal([]byte(get(t, root+"/job/"+job+"/1/api/json?tree=building")), &b); err != nil {
				t.Fatal(err)
			}
			if !b.Building {
				return get(t, root+"/job/"+job+"/1/consoleText")
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("build of %s did not end", job)
		case <-ticker.C:
		}
	}
}
