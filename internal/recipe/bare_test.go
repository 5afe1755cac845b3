// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bareMachine returns a busybox machine without the commands in missing and with those of the system in extra.
func bareMachine(t *testing.T, missing, extra []string) *machine {
	t.Helper()
	m := newMachine(t, "busybox")
	for _, name := range missing {
		if err := os.Remove(filepath.Join(m.path, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	for _, name := range extra {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("no %s here", name)
		}
		if err := os.Symlink(path, filepath.Join(m.path, name)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// only makes every directory that programs add to the search path lead to the machine's own commands alone.
func only(p *Program) *Program {
	copied := *p
	const added = ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	copied.Text = []byte(strings.Replace(string(p.Text), added, "", 1))
	return &copied
}

func numbers(content []byte) string {
	var b strings.Builder
	for _, c := range content {
		fmt.Fprint(&b, c)
	}
	return b.String()
}

func TestProgramsMakeDoWithWhatAMachineHas(t *testing.T) {
	t.Parallel()
	content := make([]byte, 2000)
	for i := range content {
		content[i] = byte(i * 7 / 3)
	}
	blob := File{Path: "blob", Content: content}
	decoders := []string{"base64", "openssl", "perl", "python3", "python", "uudecode"}
	without := func(all []string, kept string) (missing []string) {
		for _, name := range all {
			if name != kept {
				missing = append(missing, name)
			}
		}
		return missing
	}
	for name, c := range map[string]struct{ missing, extra []string }{
		"base64 by itself":   {missing: without(decoders, "base64")},
		"base64 by openssl":  {missing: decoders, extra: []string{"openssl"}},
		"base64 by perl":     {missing: decoders, extra: []string{"perl"}},
		"base64 by python3":  {missing: decoders, extra: []string{"/usr/bin/python3"}},
		"base64 by uudecode": {missing: without(decoders, "uudecode")},
		"base64 by awk":      {missing: decoders},
		"no sha256sum":       {missing: []string{"sha256sum"}, extra: []string{"cksum"}},
		"no mktemp":          {missing: []string{"mktemp"}},
		"no setsid":          {missing: []string{"setsid", "perl", "python3"}},
		"perl for setsid":    {missing: []string{"setsid"}, extra: []string{"perl"}},
		"no awk":             {missing: []string{"awk"}},
		"no awk, GNU sed":    {missing: []string{"awk", "sed"}, extra: []string{"sed"}},
		"mawk":               {missing: []string{"awk"}, extra: []string{"awk"}},
		"no df, no hostid":   {missing: []string{"df", "hostid"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, extra := range c.extra {
				if filepath.IsAbs(extra) {
					c.extra[i] = filepath.Base(extra)
				}
			}
			m := bareMachine(t, c.missing, c.extra)
			p := compiled(t, recipeOf(`
- name: compares
  carry: [blob]
  timeout: 20s
  run: |
    test "$(od -An -v -tu1 blob | tr -d ' \n')" = "`+numbers(content)+`" || exit 1
    printf 'a"\\\n'
    printf 'PITCREW-REPORT-END\rPITCREW-REPORT-END'
- name: hangs
  timeout: 1s
  run: printf 'so "long"'; sleep 100
`), blob)
			r, res := m.report(t, p)
			if s := r.step(t, "compares"); s.Outcome != StepOK {
				t.Errorf("%+v\n%s", s, res.out)
			}
			if s := r.step(t, "hangs"); s.Outcome != StepTimeout || s.Tail != `so "long"` {
				t.Errorf("%+v, want a timeout\n%s", s, res.out)
			}
			if !strings.Contains(res.out, "\n| a\"\\\n") {
				t.Errorf("the log lacks the output\n%s", res.out)
			}
			empty(t, m.tmp)
		})
	}
}

func TestAProgramUnpacksWhereItCan(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "dash")
	full, noexec, good := filepath.Join(m.tmp, "full"), filepath.Join(m.tmp, "noexec"), filepath.Join(m.tmp, "good")
	for dir, options := range map[string]string{full: "size=64k", noexec: "noexec,size=8m", good: ""} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if options == "" {
			continue
		}
		if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "tmpfs", dir).CombinedOutput(); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("mount: %v: %s", err, out)
			}
			t.Skipf("cannot mount here: %v: %s; CI runs this test", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
		if out, err := exec.CommandContext(t.Context(), "mount", "-o", "remount,"+options, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for name, c := range map[string]struct {
		places []string
		want   string
	}{
		"the first that can":                  {[]string{"/nonexistent", full, good, noexec}, good},
		"execution is preferred":              {[]string{full, noexec, good}, good},
		"without execution if need be":        {[]string{full, noexec}, noexec},
		"a variable":                          {[]string{"$NOWHERE", "$WORKSPACE/good"}, good},
		"nowhere":                             {[]string{"/nonexistent", "$NOWHERE", full}, ""},
		"a file is no place":                  {[]string{"/etc/passwd", good}, good},
		"names with blanks are one directory": {[]string{good}, good},
	} {
		text := "places: ['" + strings.Join(c.places, "', '") + "']\n" + recipeOf("- name: where\n  run: echo \"at $PITCREW_FILES\"\n")
		res := m.run(t, compiled(t, text), append(issued(), "WORKSPACE="+m.tmp))
		if c.want == "" {
			if res.exit != 74 || !strings.Contains(res.out, "no place to unpack: /nonexistent: no such directory; : not set; "+full+": no room for") {
				t.Errorf("%s: exit %d\n%s", name, res.exit, res.out)
			}
		} else if !strings.Contains(res.out, "| at "+c.want+"/pitcrew.") {
			t.Errorf("%s: want %s\n%s", name, c.want, res.out)
		}
		for _, dir := range []string{full, noexec, good} {
			empty(t, dir)
		}
	}
}

func TestTheShellDecidesConditionsAsPlanDoes(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	conditions := []string{
		`labels: a`, `labels: "!a"`, `labels: a && !b || c`, `labels: a -> b`, `labels: a <-> b <-> c`, `labels: "(a || b) && (c -> !a)"`,
		`os: linux`, `os: [centos7, rhel]`, `os: ["!alpine"]`, `os: [linux, "!centos"]`, `arch: amd64`, `arch: ["!x86_64"]`, `arch: [s390x, aarch64]`,
		`tools: [t1]`, `tools: [t1, "!t2"]`, `root: true`, `root: false`, `sudo: true`, `sudo: false`,
		`labels: a, os: linux, arch: x86_64, tools: t1, root: false`,
		`os: centos>=7`, `os: centos<7`, `os: centos>7`, `os: centos<=7`, `os: ["centos>=7.9", "alpine<3.20"]`, `os: centos>7.08`, `os: alpine>=3.20.1`,
		`os: ["linux>=3.10", "!centos<8"]`, `os: linux>4.18.0.1`, `os: rhel>=1`, `os: ["centos>=7", "!centos>=7.10"]`, `os: alpine>=3.19.0`,
		`virtualisation: vm`, `virtualisation: [kvm, none]`, `virtualisation: ["!vm"]`, `virtualisation: ["vm", "!xen"]`,
		`packageManager: [yum, dnf]`, `packageManager: "!apk"`, `container: true`, `container: false`, `os: linux, container: true, virtualisation: kvm`,
	}
	var steps strings.Builder
	for i, c := range conditions {
		fmt.Fprintf(&steps, "- {name: s%d, run: ls, when: {%s}}\n", i, c)
	}
	r := parse(t, recipeOf(steps.String()))
	var script strings.Builder
	script.WriteString(r.engine("x", nil))
	var want strings.Builder
	bools := []bool{no, yes}
	for bits := range 128 {
		bit := func(i int) bool { return bools[bits>>i&1] }
		f := Facts{OS: []string{"linux", "centos", "centos7", "rhel"}, Arch: "x86_64", Root: bit(4), Sudo: bit(5), Container: bit(3)}
		id, version, kernel := "centos", "7.9", "3.10.0-1160.el7.x86_64"
		f.Virtualisation, f.PackageManager = []string{"kvm", "vm"}, "yum"
		if bit(6) {
			f.OS, f.Arch = []string{"linux", "alpine"}, "s390x"
			id, version, kernel = "alpine", "3.20.0_alpha20240101", "12345678901.1"
			f.Virtualisation, f.PackageManager = []string{"none"}, "apk"
		}
		if bit(0) && bit(1) {
			version, f.PackageManager = "rolling", ""
		}
		f.Versions = map[string]string{"linux": kernel, id: version}
		for i, label := range []string{"a", "b", "c"} {
			if bit(i) {
				f.Labels = append(f.Labels, label)
			}
		}
		f.Tools = []string{"t1"}
		if bit(3) {
			f.Tools = append(f.Tools, "t2")
		}
		fmt.Fprintf(&script, "os=' %s ' arch=%s uid=%s sudo=%s labels=' %s '\n", strings.Join(f.OS, " "), f.Arch,
			map[bool]string{true: "0", false: "100"}[f.Root], yesNo(f.Sudo), strings.Join(f.Labels, " "))
		fmt.Fprintf(&script, "os_kernel=linux os_release=%s os_id=%s os_version=%s virt=' %s ' packages=%s contained=%s\n", kernel, id, version,
			strings.Join(f.Virtualisation, " "), f.PackageManager, yesNo(f.Container))
		script.WriteString("unset -f t1 t2; unalias t1 t2 2>/dev/null\n")
		for _, tool := range f.Tools {
			script.WriteString(tool + "() { :; }\n")
		}
		fmt.Fprintf(&script, "for n in $steps; do why=; if when_$n; then echo '%d' $n yes; else echo '%d' $n \"no: $why\"; fi; done\n", bits, bits)
		for i, s := range r.Plan(f, Standard) {
			answer := "yes"
			if !s.Runs {
				answer = "no: " + s.Why
			}
			fmt.Fprintf(&want, "%d %d %s\n", bits, i+1, answer)
		}
	}
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			cmd := exec.CommandContext(t.Context(), m.shell, "-s")
			cmd.Env = []string{"PATH=" + m.path, "TMPDIR=" + m.tmp}
			cmd.Stdin = strings.NewReader(script.String())
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%.2000s", err, out)
			}
			got, wanted := strings.Split(string(out), "\n"), strings.Split(want.String(), "\n")
			for i := range min(len(got), len(wanted)) {
				if got[i] != wanted[i] {
					t.Fatalf("line %d: the shell says %q, Plan says %q", i+1, got[i], wanted[i])
				}
			}
			if len(got) != len(wanted) {
				t.Errorf("%d answers, want %d", len(got), len(wanted))
			}
		})
	}
}
