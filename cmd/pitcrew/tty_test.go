// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/config"
)

// terminal is a pseudo-terminal of 80 columns: the program has its one end, the test the other.
type terminal struct {
	user, program *os.File
	shown         chan string
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	user, program := openTerminals(t)
	term := &terminal{user: user, program: program, shown: make(chan string, 1)}
	go term.read()
	t.Cleanup(func() { user.Close() })
	return term
}

// openTerminals returns the two ends of a new pseudo-terminal.
func openTerminals(t *testing.T) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("no pseudo-terminals here: %v; CI runs this test", err)
	}
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatalf("unlock terminal: %v", err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatalf("number of terminal: %v", err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("open terminal: %v", err)
	}
	if err := unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatalf("size of terminal: %v", err)
	}
	return user, program
}

// read ends when the program's end is closed.
func (term *terminal) read() {
	var b bytes.Buffer
	_, _ = io.Copy(&b, term.user)
	term.shown <- b.String()
}

// end closes the program's end and returns what was shown.
func (term *terminal) end() string {
	term.program.Close()
	return <-term.shown
}

func (term *terminal) streams() streams {
	return streams{in: term.program, out: term.program, err: term.program}
}

func TestTerminalsGetColoursAndPipesDoNot(t *testing.T) {
	t.Parallel()
	f := newFakeDaemon(t)
	for _, c := range []struct {
		name    string
		env     map[string]string
		painted bool
	}{
		{"a terminal", nil, true},
		{"a terminal with NO_COLOR", map[string]string{"NO_COLOR": "1"}, false},
		{"a dumb terminal", map[string]string{"TERM": "dumb"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			term := openTerminal(t)
			code := f.run(t.Context(), term.streams(), c.env, "agents")
			shown := term.end()
			if code != exitOK || strings.Contains(shown, "\x1b[") != c.painted || !strings.Contains(shown, "clean") {
				t.Errorf("code %d, want painted %v, got %q", code, c.painted, shown)
			}
		})
	}
}

func TestTheLogIsTextOnATerminalAndJSONElsewhere(t *testing.T) {
	t.Parallel()
	log := func(format string, env map[string]string, stream any) {
		c := &cli{getenv: func(name string) string { return env[name] }}
		l := newLogger(config.Log{Level: "warn", Format: format}, stream.(io.Writer), c.colours(stream))
		l.Info("not worth a line")
		l.Warn("slow", "controller", "main")
	}
	for name, tt := range map[string]struct {
		format  string
		env     map[string]string
		painted bool
		want    string
	}{
		"text, painted":      {"auto", nil, true, "WRN slow controller=main"},
		"NO_COLOR":           {"auto", map[string]string{"NO_COLOR": "1"}, false, "WRN slow controller=main"},
		"a dumb terminal":    {"auto", map[string]string{"TERM": "dumb"}, false, "WRN slow controller=main"},
		"JSON, as was asked": {"json", nil, false, `"level":"WARN","msg":"slow","controller":"main"}`},
	} {
		term := openTerminal(t)
		log(tt.format, tt.env, term.program)
		shown := term.end()
		if !strings.Contains(unpaintedLog(shown), tt.want) || strings.Contains(shown, "\x1b[") != tt.painted || strings.Contains(shown, "worth") {
			t.Errorf("on a terminal, %s: %q", name, shown)
		}
	}
	for format, want := range map[string]string{"auto": `"level":"WARN","msg":"slow","controller":"main"}`, "text": "WRN slow controller=main"} {
		var piped bytes.Buffer
		log(format, nil, &piped)
		if got := piped.String(); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("in a pipe, %s: %q", format, got)
		}
	}
}

// unpaintedLog is a line of the log without its colours, which are not those of the other output.
func unpaintedLog(line string) string {
	return regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(line, "")
}

func TestPaintedLinesFitTheTerminal(t *testing.T) {
	t.Parallel()
	f := newFakeDaemon(t)
	for _, command := range []string{"agents", "attempts", "events", "builds", "slots list", "jobs audit", "agent main/x", "attempt 41"} {
		term := openTerminal(t)
		f.run(t.Context(), term.streams(), nil, strings.Fields(command)...)
		for line := range strings.Lines(strings.ReplaceAll(term.end(), "\r", "")) {
			if width := len([]rune(strings.TrimSuffix(stripped(line), "\n"))); width > 80 {
				t.Errorf("%s: %d columns: %q", command, width, line)
			}
			if strings.Contains(stripped(line), "\x1b") || strings.Count(line, "\x1b")%2 != 0 {
				t.Errorf("%s: a colour is cut or does not end: %q", command, line)
			}
		}
	}
}

func stripped(line string) string {
	for _, c := range []colour{red, green, yellow, cyan, faint, bold, unpainted} {
		line = strings.ReplaceAll(line, string(c), "")
	}
	return line
}

func TestWatchRedrawsATerminalUntilInterrupted(t *testing.T) {
	t.Parallel()
	f := newFakeDaemon(t)
	term := openTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.onLook(agentList, 3, cancel) // Ctrl-C after the third look
	if code := f.run(ctx, term.streams(), nil, "agents", "--watch"); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	shown := term.end()
	if strings.Count(shown, "\x1b[H\x1b[2J") < 2 || !strings.Contains(shown, "Ctrl-C ends.") {
		t.Errorf("not redrawn: %q", shown)
	}
}

func TestInitAsksForWhatNoFlagSays(t *testing.T) {
	t.Parallel()
	term := openTerminal(t)
	file := filepath.Join(t.TempDir(), "pitcrew.yaml")
	answers := "http://127.0.0.1:1/\n\nrobot\nenv:TOKEN\nel9 && big\n\n\n"
	if _, err := term.user.WriteString(answers); err != nil {
		t.Fatal(err)
	}
	c := &cli{streams: term.streams(), getenv: func(string) string { return "" }, now: time.Now}
	code := c.run(t.Context(), []string{"init", "--no-check", "--config", file})
	shown := term.end()
	text, err := os.ReadFile(file)
	if code != exitOK || err != nil {
		t.Fatalf("code %d, %v: %s", code, err, shown)
	}
	for _, want := range []string{"name: main", `url: "http://127.0.0.1:1/"`, "user: robot", "token: env:TOKEN", `agents: "el9 && big"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
}

func TestInitAsksAgainForWhatIsWrongAndForNothingElse(t *testing.T) {
	t.Parallel()
	term := openTerminal(t)
	file := filepath.Join(t.TempDir(), "pitcrew.yaml")
	if _, err := term.user.WriteString("http://127.0.0.1:1/\n\nrobot\nTOKEN\nel9 &&\n\n\n" + "env:TOKEN\nel9\n"); err != nil {
		t.Fatal(err)
	}
	c := &cli{streams: term.streams(), getenv: func(string) string { return "" }, now: time.Now}
	code := c.run(t.Context(), []string{"init", "--no-check", "--config", file})
	shown := term.end()
	text, err := os.ReadFile(file)
	if code != exitOK || err != nil {
		t.Fatalf("code %d, %v: %s", code, err, shown)
	}
	if !strings.Contains(string(text), "token: env:TOKEN") || !strings.Contains(string(text), "agents: el9\n") {
		t.Errorf("the second answers are not in\n%s", text)
	}
	for what, want := range map[string]int{"Label expression of": 2, "User of pitcrew": 1, "ends where a label is expected": 1} {
		if got := strings.Count(shown, what); got != want {
			t.Errorf("%q was shown %d times, want %d: %s", what, got, want, shown)
		}
	}

	wrong := openTerminal(t)
	c.streams = wrong.streams()
	code = c.run(t.Context(), []string{
		"init", "--no-check", "--config", file + "2", "--url", "nowhere", "--controller", "main", "--user", "robot", "--token", "env:TOKEN",
		"--agents", "el9", "--recipe", "r.yaml", "--data", "/d",
	})
	if shown := wrong.end(); code != exitUsage || !strings.Contains(shown, "--url: ") {
		t.Errorf("a flag that is wrong ended with %d: %s", code, shown)
	}
}

// Who promotes is shown what, and what is sent is that: should the evidence be faster, nothing is skipped.
func TestAPromotionIsOfWhatThePersonIsShown(t *testing.T) {
	t.Parallel()
	f := newFakeDaemon(t)
	term := openTerminal(t)
	if _, err := term.user.WriteString("y\n"); err != nil {
		t.Fatal(err)
	}
	code := f.run(t.Context(), term.streams(), nil, "rollout", "promote", "el9", "-r", "seen")
	shown := term.end()
	if code != exitOK || len(f.ordered) != 1 || !strings.Contains(shown, "is at canary: ") || !strings.Contains(shown, "Promote it from there? [y/N]") {
		t.Fatalf("exit code %d, told were %d things, shown: %q", code, len(f.ordered), shown)
	}
	canary := answers()["/api/v1/rollouts/el9"].(api.Rollout)
	if got, want := <-f.ordered, fmt.Sprintf(`promote {"revision":%q,"where":"canary","reason":"seen"}`, canary.To); got != want {
		t.Errorf("sent was %s, want %s", got, want)
	}
	no := openTerminal(t)
	if _, err := no.user.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	code = f.run(t.Context(), no.streams(), nil, "rollout", "promote", "el9")
	if shown := no.end(); code != exitFailed || len(f.ordered) > 0 {
		t.Errorf("exit code %d without a yes, shown: %q", code, shown)
	}
}

func TestCtrlCEndsAQuestion(t *testing.T) {
	t.Parallel()
	recipe := filepath.Join(t.TempDir(), "r.yaml")
	if err := os.WriteFile(recipe, []byte("version: 1\nname: r\nclean:\n- {name: tidy, run: \"true\"}\nverify:\n- {name: proof, run: \"true\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for question, args := range map[string][]string{
		"Address of the Jenkins controller": {"init", "--config", filepath.Join(t.TempDir(), "new.yaml")},
		"Go on? [y/N]":                      {"recipe", "run", recipe},
	} {
		for name, key := range map[string]string{"Ctrl-C": "\x03", "Ctrl-D": "\x04"} {
			t.Run(args[0]+" "+name, func(t *testing.T) {
				t.Parallel()
				shown, code := pressed(t, question, key, args...)
				if code != exitInterrupted || strings.Contains(shown, "pitcrew:") {
					t.Errorf("exit code %d, want %d in silence; shown: %q", code, exitInterrupted, shown)
				}
			})
		}
	}
}

// pressed runs the program on a terminal that is its own, presses a key once a text is shown, and
// returns everything that was, with the exit code.
func pressed(t *testing.T, awaited, key string, args ...string) (shown string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	user, program := openTerminals(t)
	defer user.Close()
	cmd := exec.CommandContext(ctx, "pitcrew", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close() // so that reading ends with the process
	var b bytes.Buffer
	chunk := make([]byte, 1024)
	for {
		n, err := user.Read(chunk)
		if b.Write(chunk[:n]); key != "" && strings.Contains(b.String(), awaited) {
			if _, err := user.WriteString(key); err != nil {
				t.Fatal(err)
			}
			key = ""
		}
		if err != nil {
			break // EIO: nobody has the other end
		}
	}
	_ = cmd.Wait() // the code says it
	return b.String(), cmd.ProcessState.ExitCode()
}

func TestProgressIsOneLineThatGoesAway(t *testing.T) {
	t.Parallel()
	term := openTerminal(t)
	c := &cli{streams: term.streams(), getenv: func(string) string { return "" }, now: time.Now}
	p := c.newProgress()
	p.show("el9-1: running")
	p.show("el9-1: " + strings.Repeat("long ", 40))
	p.clear()
	p.clear()
	shown := term.end()
	if strings.Contains(shown, "\n") || strings.Count(shown, "\x1b[K") != 3 || !strings.HasSuffix(shown, "\r\x1b[K") {
		t.Errorf("got %q", shown)
	}
}
