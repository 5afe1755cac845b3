// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// awkward is a recipe whose program holds what transports like to damage: braces, markup, quotes, blanks at line ends,
// base64, a CDATA end and format directives.
func awkward(t *testing.T) *Program {
	t.Helper()
	return compiled(t, recipeOf(`
- name: "{braces} {{twice}} ${A:-{x}}"
  carry: [blob]
  env: {A: "{0} %s <&> \" ' ]]> é"}
  run: |
    echo "{}" '{{' '}}' "${A:-{}}" | awk '{ print $1 "{obj:x}" }'   
    echo '<!-- & -->' "]]>" '{x|y}' '\{' '\n' $(printf %s x)

    true
`), File{Path: "blob", Content: []byte{0, 1, 2, 0xff}})
}

func slot(t *testing.T) JobSpec {
	t.Helper()
	return JobSpec{
		Name: "pitcrew/{slot}-1", Program: awkward(t), Controller: "ci {1}", Owner: "owner-{1}", Agent: "linux 7 (big)",
	}
}

// shellStep returns the script of a job's shell step.
func shellStep(t *testing.T, config []byte) string {
	t.Helper()
	var job struct {
		Command []string `xml:"builders>hudson.tasks.Shell>command"`
	}
	if err := xml.Unmarshal(bytes.Replace(config, []byte("'1.1'"), []byte("'1.0'"), 1), &job); err != nil {
		t.Fatal(err)
	}
	if len(job.Command) != 1 {
		t.Fatalf("%d shell steps", len(job.Command))
	}
	return job.Command[0]
}

func TestARenderedJobCarriesTheProgramByteForByte(t *testing.T) {
	t.Parallel()
	s := slot(t)
	config, err := RenderXML(s)
	if err != nil {
		t.Fatal(err)
	}
	if got := shellStep(t, config); got != string(s.Program.Text) {
		t.Error("the script of the XML differs from the program")
	}
}

// jjbXML returns what Jenkins Job Builder makes of file.
func jjbXML(t *testing.T, file []byte) []byte {
	t.Helper()
	builder := need(t, "jenkins-jobs", "jenkins-job-builder")
	dir := t.TempDir()
	path := filepath.Join(dir, "job.yaml")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), builder, "test", path)
	cmd.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8")
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("jenkins-jobs test: %v\n%s", err, log.String())
	}
	return out.Bytes()
}

func TestJenkinsJobBuilderMakesTheVerySameSlot(t *testing.T) {
	t.Parallel()
	s := slot(t)
	file, err := RenderJJB(s)
	if err != nil {
		t.Fatal(err)
	}
	got := jjbXML(t, file)
	if shellStep(t, got) != string(s.Program.Text) {
		t.Error("the script that Jenkins Job Builder renders differs from the program")
	}
	want, err := RenderXML(s)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := digest(t, want), digest(t, got); a != b {
		t.Errorf("digests differ: %s as XML, %s by Jenkins Job Builder\n%s", a, b, got[:3000])
	}
}

func digest(t *testing.T, config []byte) string {
	t.Helper()
	d, err := SlotDigest(config)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestJenkinsJobBuilderMakesTheJobWithANodeParameter(t *testing.T) {
	t.Parallel()
	s := slot(t)
	s.Agent, s.NodeParameter = "", "NODE"
	file, err := RenderJJB(s)
	if err != nil {
		t.Fatal(err)
	}
	got := string(jjbXML(t, file))
	if shellStep(t, []byte(got)) != string(s.Program.Text) {
		t.Error("the script that Jenkins Job Builder renders differs from the program")
	}
	for _, want := range []string{
		"<org.jvnet.jenkins.plugins.nodelabelparameter.NodeParameterDefinition>", "<name>NODE</name>",
		"<string>ALL (no restriction)</string>", "<concurrentBuild>true</concurrentBuild>", "<canRoam>true</canRoam>",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the job lacks %s", want)
		}
	}
}

func TestAJobDSLScriptHoldsTheProgramInLiteralsThatGroovyTakes(t *testing.T) {
	t.Parallel()
	s := slot(t)
	s.Program.Text = append(bytes.Repeat([]byte("echo 'long \\ $line'\n"), 5000), s.Program.Text...)
	script, err := RenderJobDSL(s)
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(script), "shell([\n")
	list, _, closed := strings.Cut(list, "        ].join(''))")
	if !found || !closed {
		t.Fatalf("no list of literals in\n%.500s", script)
	}
	var program strings.Builder
	for literal := range strings.SplitSeq(list, "''',\n") {
		literal = strings.TrimPrefix(strings.TrimLeft(literal, " "), "'''")
		if len(literal) > 65535 {
			t.Errorf("a literal of %d bytes does not fit into a class file", len(literal))
		}
		program.WriteString(strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(literal))
	}
	if program.String() != string(s.Program.Text) {
		t.Error("the literals do not add up to the program")
	}
}

// groovy is where Debian's package of that name puts the whole of it.
const groovy = "/usr/share/java/groovy-all.jar"

func TestAJobDSLScriptGivesTheProgramByteForByteInGroovy(t *testing.T) {
	t.Parallel()
	java := need(t, "java", "openjdk-17-jdk-headless")
	if _, err := os.Stat(groovy); err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%v; install the Debian package groovy", err)
	} else if err != nil {
		t.Skipf("%v (Debian package groovy); CI runs this test", err)
	}
	line := []byte("# it's \\ ${x} ''' \\u0041 \"\n")
	for name, size := range map[string]int{"small": 0, "near the limit of a job": 900 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := slot(t)
			s.Program.Text = append(s.Program.Text, bytes.Repeat(line, 1+size/len(line))...)
			script, err := RenderJobDSL(s)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "job.groovy")
			if err := os.WriteFile(file, script, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), java, "-cp", groovy, "groovy.ui.GroovyMain", "testdata/jobdsl.groovy", file)
			var out, log bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &log
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%.2000s\n%.2000s", err, log.String(), out.String())
			}
			if !bytes.Equal(out.Bytes(), s.Program.Text) {
				t.Errorf("its shell step has %d bytes, which are not the %d of the program", out.Len(), len(s.Program.Text))
			}
		})
	}
}

func TestAJobThatCannotBeExpressedIsRefused(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(*JobSpec){
		"no program":        func(s *JobSpec) { s.Program = nil },
		"no agent":          func(s *JobSpec) { s.Agent = "" },
		"no controller":     func(s *JobSpec) { s.Controller = "" },
		"control character": func(s *JobSpec) { s.Owner = "a\x1bb" },
	} {
		s := slot(t)
		damage(&s)
		if _, err := RenderXML(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestAJobTellsItsProgramOtherLabelsThanItsNode has: Jenkins writes scripts in the agent's character set, so that they must be
// pure ASCII, and the program itself is the same.
func TestAJobTellsItsProgramOtherLabelsThanItsNode(t *testing.T) {
	t.Parallel()
	s := slot(t)
	s.NodeLabels = []string{"el9", "it's", "größe", `$(x)`}
	config, err := RenderXML(s)
	if err != nil {
		t.Fatal(err)
	}
	step := shellStep(t, config)
	lines := strings.SplitN(step, "\n", 4)
	for i := range len(step) {
		if step[i] > 0x7e {
			t.Fatalf("byte %d of the step is %#x", i, step[i])
		}
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", lines[1]+"\n"+lines[2]+"\nprintf %s \"$NODE_LABELS\"").Output()
	if err != nil || string(out) != "el9 it's größe $(x)" {
		t.Errorf("it is told %q, %v", out, err)
	}
	if got := lines[0] + "\n" + lines[3]; got != string(s.Program.Text) {
		t.Error("the program is not the same")
	}
}
