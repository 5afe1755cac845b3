// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/demo"
)

// demoProcess runs "pitcrew demo" as a process with a temporary directory of its own.
func demoProcess(t *testing.T, args ...string) (cmd *exec.Cmd, temp string) {
	t.Helper()
	temp = t.TempDir()
	cmd = exec.CommandContext(t.Context(), "pitcrew", append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	t.Cleanup(func() { wantNoTrace(t, temp) })
	return cmd, temp
}

// wantNoTrace fails when a demo left a file, or a process that has to do with its files.
func wantNoTrace(t *testing.T, temp string) {
	t.Helper()
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		dir := filepath.Dir(path)
		line, _ := os.ReadFile(path)
		env, _ := os.ReadFile(dir + "/environ")
		cwd, _ := os.Readlink(dir + "/cwd")
		if strings.HasPrefix(cwd, temp) || bytes.Contains(line, []byte(temp)) || bytes.Contains(env, []byte(temp+"/")) {
			t.Errorf("process %s is left in %s: %q", filepath.Base(dir), cwd, line)
		}
	}
}

func TestDemoPrintsOneObjectAndNothingElse(t *testing.T) {
	t.Parallel()
	cmd, _ := demoProcess(t, "--for", "3s", "-o", "json")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &errOut)
	}
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	var sum demo.Summary
	if err := decoder.Decode(&sum); err != nil {
		t.Fatal(err)
	}
	if sum.Agents != 10 {
		t.Errorf("got %+v, want 10 agents", sum)
	}
	if err := decoder.Decode(&sum); !errors.Is(err, io.EOF) || errOut.Len() > 0 {
		t.Errorf("after the object: %v; on standard error: %q; want nothing", err, &errOut)
	}
}

// A machine with nothing but its loopback, and a user without any right: the demo cleans all the same.
func TestDemoNeedsNeitherNetworkNorRoot(t *testing.T) {
	t.Parallel()
	alone := func(args ...string) []string {
		return append([]string{
			"--user", "--map-root-user", "--net", "sh", "-c",
			`ip link set lo up && exec unshare --user --map-user=65534 --map-group=65534 "$@"`, "sh",
		}, args...)
	}
	if out, err := exec.CommandContext(t.Context(), "unshare", alone("sh", "-c", "test $(id -u) = 65534")...).CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no namespaces can be had: %v: %s", err, out)
		}
		t.Skipf("needs namespaces: %v: %s; CI runs this test", err, out)
	}
	var sum demo.Summary
	for _, lasts := range []string{"6s", "1m"} { // the longer for a machine that has much else to do
		cmd, _ := demoProcess(t)
		cmd.Args = append([]string{"unshare"}, alone("pitcrew", "demo", "--agents", "2", "--for", lasts, "-o", "json")...)
		path, err := exec.LookPath("unshare")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path = path
		var errOut bytes.Buffer
		cmd.Stderr = &errOut
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, &errOut)
		}
		if err := json.Unmarshal(out, &sum); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if sum.Cleanups > 0 {
			break
		}
	}
	if sum.Cleanups == 0 || sum.CleanupFailures > 0 {
		t.Errorf("got %+v, want cleanups, and none that failed", sum)
	}
}

// However a demo is ended, it says what it has shown, succeeds, and is gone within seconds.
func TestDemoEndsWithin5SecondsOf(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{
		"Ctrl-C": syscall.SIGINT, "SIGTERM": syscall.SIGTERM, "a closed terminal": syscall.SIGHUP,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, _ := demoProcess(t, "--for", "2m")
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(pipe)
			var text strings.Builder
			var signalled time.Time
			for lines.Scan() {
				text.WriteString(lines.Text() + "\n")
				if strings.Contains(lines.Text(), "without pitcrew") && signalled.IsZero() { // the first line of numbers
					signalled = time.Now()
					if err := cmd.Process.Signal(sig); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := cmd.Wait(); err != nil || signalled.IsZero() {
				t.Fatalf("%v\n%s", err, &text)
			}
			if took := time.Since(signalled); took > 5*time.Second {
				t.Errorf("it took %s to end", took)
			}
			for _, want := range []string{"http://127.0.0.1:", "builds that ended", "No process and no file of the demo is left."} {
				if !strings.Contains(text.String(), want) {
					t.Errorf("no %q in:\n%s", want, &text)
				}
			}
		})
	}
}

// wantItsEnd waits for a demo that has a reason to end by itself.
func wantItsEnd(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	began := time.Now()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s to end", took)
	}
}

func TestDemoEndsWhenItsReaderGoesAway(t *testing.T) {
	t.Parallel()
	cmd, _ := demoProcess(t, "--for", "2m")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(pipe).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	wantItsEnd(t, cmd)
}

// A terminal that is gone fails every write, whether or not its hangup reaches the demo.
func TestDemoEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	user, program := openTerminals(t)
	cmd, _ := demoProcess(t, "--for", "2m")
	cmd.Stdout = program
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close()
	if _, err := bufio.NewReader(user).ReadString('\n'); err != nil {
		t.Error(err)
	}
	user.Close()
	wantItsEnd(t, cmd)
}

// What a client of the page or of the API does to its own connection is nothing to end for, though a write
// to it raises the same signal as one to standard output.
func TestDemoGoesOnWhenAClientGoesAway(t *testing.T) {
	t.Parallel()
	cmd, _ := demoProcess(t, "--for", "2m")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	for numbers := 0; numbers < 2 && lines.Scan(); {
		switch line := lines.Text(); {
		case strings.Contains(line, "Live page"):
			breakConnections(t, strings.Trim(line[strings.Index(line, "http://")+len("http://"):], "/"))
		case strings.Contains(line, "without pitcrew"):
			numbers++
		case strings.HasPrefix(line, "After "):
			t.Error("it ended with its clients")
			numbers = 2
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	for lines.Scan() {
		continue
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// breakConnections asks for more than is read before the connection is reset, often enough that some answers are being
// written just then.
func breakConnections(t *testing.T, address string) {
	t.Helper()
	for range 200 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return // what listened there is gone, and the output says so
		}
		if _, err := io.WriteString(c, strings.Repeat("GET / HTTP/1.1\r\nHost: "+address+"\r\n\r\n", 20)); err != nil {
			t.Error(err)
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		_, _ = c.Read(make([]byte, 1)) // the first answer has begun
		c.Close()
	}
}

// A report that nobody can read later is no success.
func TestDemoFailsWhereItCannotWrite(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	cmd, _ := demoProcess(t, "--for", "30s")
	var errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = full, &errOut
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitFailed || !strings.Contains(errOut.String(), "no space left") {
		t.Errorf("it ended with %v and said %q", err, &errOut)
	}
}

func TestDemoTextFitsIntoASmallTerminal(t *testing.T) {
	t.Parallel()
	sum := demo.Summary{
		Seconds: 86400, Agents: 200, Clean: 199, RealBuilds: 123456, Contaminated: 1234, Cleanups: 123456, CleanupFailures: 12345,
		Quarantined: 200, UserBuildsFailedByCleaning: 1234, WaitOutOfBand: new(int64(999)), WaitInBand: new(int64(1234567)), TurnaroundOverhead: new(int64(1234567)),
		RequestsPerCleanup: new(1234.5), InBand: demo.InBand{RealBuilds: 123456, UserBuildsFailedByCleaning: 12345},
	}
	for _, sum := range []demo.Summary{{}, sum} {
		var begin, line, end bytes.Buffer
		(&demoScreen{out: &begin}).begun(demo.Where{Page: "http://127.0.0.1:65535/", Jenkins: "http://127.0.0.1:65535/", Dir: "/tmp/pitcrew-demo-1234567890", Agents: 200, Sick: 1, Flaky: 40})
		(&demoScreen{out: &line}).tick(sum)
		(&demoScreen{out: &end, live: true}).end(sum)
		plain := strings.NewReplacer("\x1b[K", "", "\x1b[J", "").Replace(end.String())
		for text := range strings.SplitSeq(begin.String()+line.String()+plain, "\n") {
			if n := len(text); n > 80 {
				t.Errorf("%d columns: %s", n, text)
			}
		}
		if n := strings.Count(begin.String()+end.String(), "\n"); n > 23 {
			t.Errorf("beginning and end have %d lines, and the cursor's is one more:\n%s%s", n, &begin, plain)
		}
	}
}

// 0 ms would read as perfect, and medians of two builds as a comparison.
func TestDemoDoesNotPraiseWhatItHasNotShown(t *testing.T) {
	t.Parallel()
	var line, end bytes.Buffer
	few := demo.Summary{Seconds: 30, RealBuilds: 4, InBand: demo.InBand{RealBuilds: 1}}
	(&demoScreen{out: &line}).tick(few)
	(&demoScreen{out: &end}).end(few)
	object, err := json.Marshal(few)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		line.String():  "wait -, without pitcrew -;",
		end.String():   "Too few builds to compare: 4 builds ended with pitcrew, 1 without.",
		string(object): `"wait_ms_p50_out_of_band":null,"wait_ms_p50_in_band":null,"turnaround_overhead_ms_p50":null,"jenkins_requests_per_cleanup":null`,
	} {
		if !strings.Contains(text, want) || strings.Contains(text, "0 ms") {
			t.Errorf("want %q and no 0 ms in:\n%s", want, text)
		}
	}
	enough := demo.Summary{RealBuilds: 5, WaitOutOfBand: new(int64(0)), InBand: demo.InBand{RealBuilds: 5}}
	if text := demoGain(enough); !strings.Contains(text, "began within 0 ms") {
		t.Errorf("of enough builds it says:\n%s", text)
	}
}

func TestDemoRefusesBadFlags(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"0 agents: want 1 to 200":                  {"--agents", "0"},
		"500 agents: want 1 to 200":                {"--agents", "500"},
		"for -5s: want a time above zero":          {"--for", "-5s"},
		`output "yaml": want json`:                 {"-o", "yaml"},
		"--seed\" flag: want a whole number, 0 or": {"--seed", "-1"},
		"--agents\" flag: want a whole number\n":   {"--agents", "x"},
		"--agents\" flag: want a smaller number\n": {"--agents", "99999999999999999999"},
		"want an address of this machine only":     {"--listen", "0.0.0.0:80"},
		`want no argument, got "now"`:              {"now"},
	}
	for want, args := range tests {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			code := run(t.Context(), append([]string{"demo"}, args...), streams{in: strings.NewReader(""), out: &out, err: &errOut})
			if code != exitUsage || out.Len() > 0 || !strings.Contains(errOut.String(), want) {
				t.Errorf("got %d, %q, %q; want %d and %q", code, &out, &errOut, exitUsage, want)
			}
		})
	}
}
