// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// system is a machine as its files show it.
type system map[string]string

// TestFactsAreReadFromTheFilesOfTheSystem has bare shells read recorded files of machines that are not this one.
func TestFactsAreReadFromTheFilesOfTheSystem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files       system
		env         string
		tools       string
		os, version string
		facts       string // container, virtualisation, package manager
	}{
		"el7, KVM": {
			files: system{"etc/os-release": "NAME=\"CentOS Linux\"\nVERSION_ID=\"7\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\n", "sys/class/dmi/id/sys_vendor": "Red Hat\n", "sys/class/dmi/id/product_name": "KVM\n"},
			tools: "yum", os: "centos centos7 centos7 rhel fedora", version: "centos 7", facts: "no|kvm vm|yum",
		},
		"el6 without os-release": {
			files: system{"etc/redhat-release": "CentOS release 6.10 (Final)\n"},
			os:    "centos centos6.10 centos6 rhel fedora", version: "centos 6.10", facts: "no|none|",
		},
		"debian beside dnf, VMware": {
			files: system{"usr/lib/os-release": "ID=debian\nVERSION_ID=\"12\"\n", "sys/class/dmi/id/sys_vendor": "VMware, Inc.\n"},
			tools: "apt-get dnf", os: "debian debian12 debian12", version: "debian 12", facts: "no|vmware vm|apt",
		},
		"fedora with apt, Hyper-V": {
			files: system{"etc/os-release": "ID=fedora\nVERSION_ID=40\n", "sys/class/dmi/id/sys_vendor": "Microsoft Corporation\n", "sys/class/dmi/id/product_name": "Virtual Machine\n"},
			tools: "apt-get dnf yum", os: "fedora fedora40 fedora40", version: "fedora 40", facts: "no|microsoft vm|dnf",
		},
		"s390x under z/VM": {
			files: system{"etc/os-release": "ID=sles\nVERSION_ID=15.5\n", "proc/sysinfo": "Manufacturer: IBM\nVM00 Control Program: z/VM    7.2.0\n"},
			tools: "zypper", os: "sles sles15.5 sles15", version: "sles 15.5", facts: "no|zvm vm|zypper",
		},
		"ppc64le under KVM":     {files: system{"proc/device-tree/hypervisor/compatible": "linux,kvm\x00"}, facts: "no|kvm vm|"},
		"ppc64le partition":     {files: system{"proc/device-tree/ibm,partition-name": "lpar1\x00"}, facts: "no|powervm vm|"},
		"Xen":                   {files: system{"sys/hypervisor/type": "xen\n"}, facts: "no|xen vm|"},
		"some hypervisor":       {files: system{"proc/cpuinfo": "processor: 0\nflags\t\t: fpu hypervisor lahf_lm\n"}, facts: "no|vm|"},
		"bare metal":            {files: system{"proc/cpuinfo": "flags\t\t: fpu lahf_lm\n", "sys/class/dmi/id/sys_vendor": "Dell Inc.\n"}, facts: "no|none|"},
		"docker":                {files: system{".dockerenv": ""}, facts: "yes|none|"},
		"podman":                {files: system{"run/.containerenv": ""}, facts: "yes|none|"},
		"podman by environment": {env: "container=podman", facts: "yes|none|"},
		"another variable":      {env: "container=my-job", facts: "no|none|"},
		"a pod":                 {env: "KUBERNETES_SERVICE_HOST=10.0.0.1", facts: "yes|none|"},
		"lxc":                   {files: system{"proc/1/environ": "TERM=linux\x00container=lxc\x00"}, facts: "yes|none|"},
		"old docker":            {files: system{"proc/1/cgroup": "4:memory:/docker/0123abc\n"}, facts: "yes|none|"},
		"a service like docker": {files: system{"proc/1/cgroup": "0::/system.slice/dockerish.service\n"}, facts: "no|none|"},
	} {
		for _, shell := range shells() {
			t.Run(name+", "+shell, func(t *testing.T) {
				t.Parallel()
				m := newMachine(t, shell)
				got := m.factsOf(t, c.files, c.env, c.tools)
				if want := c.os + "|" + c.version + "|" + c.facts; got != want {
					t.Errorf("facts %q; want %q", got, want)
				}
			})
		}
	}
}

// factsOf gathers the facts of a machine that has these files and tools.
func (m *machine) factsOf(t *testing.T, files system, env, tools string) string {
	t.Helper()
	root, bin := t.TempDir(), t.TempDir()
	for name, content := range files {
		at := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for tool := range strings.FieldsSeq(tools) {
		if err := os.WriteFile(filepath.Join(bin, tool), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// What needs no files of the system gets this path; the package managers of this machine are none of that one.
	script := factsPart + "facts_root=" + ShellQuote(root) + "\ngather_facts\ncontainer_facts\nvirt_facts\n" +
		"PATH=" + ShellQuote(bin) + "\npackage_facts\nset -f\nset -- $os\nshift\n" +
		"v=$*\nset -- $os_id $os_version\nw=$*\nset -- $virt\n" + `echo "$v|$w|$contained|$*|$packages"` + "\n"
	cmd := exec.CommandContext(t.Context(), m.shell, "-s")
	cmd.Env, cmd.Stdin = []string{"PATH=" + m.path, env}, strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

func TestConditionsThatCanNeverHoldAreFound(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]string{
		`os: ["centos>=8", "!centos>=7"]`:             "every version it asks for is negated",
		`os: ["centos>=8", "!centos"]`:                "every version it asks for is negated",
		`os: ["centos>7", "!centos>=8"]`:              "every version it asks for is negated",
		`os: ["centos<=7", "!centos<8.1"]`:            "every version it asks for is negated",
		`os: ["centos>=8", "!centos>=8"]`:             "everything it asks for is negated",
		`os: centos=>8`:                               "is no word",
		`os: centos>=eight`:                           "is no word",
		`virtualisation: kwm`:                         `did you mean "kvm"?`,
		`virtualisation: ["kvm", "!vm"]`:              "each kind of virtualisation is a vm",
		`virtualisation: ["!none", "!vm"]`:            "either none or a vm",
		`packageManager: apt-get`:                     `"apt-get" is unknown: want one of apt,`,
		`packageManager: ["apt", "!apt"]`:             "everything it asks for is negated",
		`container: maybe`:                            "want true or false",
		`os: ["centos>=8", "!centos>=9"]`:             "",
		`os: ["centos<=8", "!centos<=8.4"]`:           "",
		`os: ["centos<9", "!centos<=8.4", "!rhel"]`:   "",
		`os: ["linux>=3.10", "centos", "!centos>=7"]`: "",
		`virtualisation: ["vm", "!kvm"]`:              "",
		`virtualisation: ["!vm"]`:                     "",
		`packageManager: [apt, apk]`:                  "",
	} {
		_, err := Parse("r.yaml", []byte(recipeOf("- {name: a, run: ls, when: {"+condition+"}}\n")), opener(nil))
		if problems, _ := errors.AsType[Problems](err); want == "" && err != nil || want != "" && (len(problems) != 1 || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v; want one problem with %q", condition, err, want)
		}
	}
}

func TestAMachineIsDescribedByWordsWithVersions(t *testing.T) {
	t.Parallel()
	f := Facts{OS: []string{"linux=3.10.0-1160.el7", "rhel", "centos=7.9", "alpine3.19"}}
	if err := f.Complete(); err != nil {
		t.Fatal(err)
	}
	w := When{OS: []string{"centos7", "!linux>=4", "!rhel>=1"}}
	if holds, why := w.Holds(f); !holds {
		t.Errorf("%v does not hold: %s", w.OS, why)
	}
	if holds, why := (When{OS: []string{"centos>=8"}}).Holds(f); holds || why != "os is none of centos>=8" {
		t.Errorf("centos>=8 on centos 7.9: %v, %q", holds, why)
	}
}

// A machine that a person describes has what the program would find there, and one that no machine is is refused: a plan for it
// would say that steps are skipped which run.
func TestAMachineThatIsDescribedIsAsTheProgramWouldFindIt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		said Facts
		w    When
	}{
		"another name of its architecture": {Facts{Arch: "amd64"}, When{Arch: []string{"x86_64"}}},
		"a kind of virtual machine":        {Facts{Virtualisation: []string{"kvm"}}, When{Virtualisation: []string{"vm"}}},
		"none":                             {Facts{Virtualisation: []string{"none"}}, When{Virtualisation: []string{"!vm"}}},
	} {
		if err := tc.said.Complete(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if holds, why := tc.w.Holds(tc.said); !holds {
			t.Errorf("%s: %s", name, why)
		}
	}
	for want, said := range map[string]Facts{
		`os "centos>=7": want a word`:         {OS: []string{"centos>=7"}},
		`os "centos<7": want a word`:          {OS: []string{"linux", "centos<7"}},
		`os "centos=": want a word`:           {OS: []string{"centos="}},
		`os "": want a word`:                  {OS: []string{""}},
		`arch "!s390x": want a word`:          {Arch: "!s390x"},
		`tools "/usr/bin/podman": want names`: {Tools: []string{"/usr/bin/podman"}},
		`virtualisation none, kvm: `:          {Virtualisation: []string{"none", "kvm"}},
	} {
		if err := said.Complete(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", said, err, want)
		}
	}
}

// What systems are called is open, so a misspelt word is no error; it is told where the recipe asks for one like it.
func TestAWordThatIsLikeOneTheRecipeAsksForIsTold(t *testing.T) {
	t.Parallel()
	const conditions = `
- {name: a, run: ls, when: {os: ["centos>=7", debian, "!sles15"], tools: docker}}
- {name: b, run: ls, when: {arch: [s390x, amd64]}, required: {os: alpine}}
`
	r, err := Parse("r.yaml", []byte(recipeOf(conditions)), opener(nil))
	if err != nil {
		t.Fatal(err)
	}
	for want, said := range map[string]Facts{
		`os "centso"; did you mean "centos"?`:    {OS: []string{"linux", "centso=7.9"}},
		`os "CentOS"; did you mean "centos"?`:    {OS: []string{"CentOS"}},
		`os "alpin"; did you mean "alpine"?`:     {OS: []string{"alpin"}},
		`arch "x86-64"; did you mean "x86_64"?`:  {Arch: "x86-64"},
		`arch "s390"; did you mean "s390x"?`:     {Arch: "s390"},
		`tools "dokcer"; did you mean "docker"?`: {Tools: []string{"dokcer"}},
		"centos has another version":             {OS: []string{"linux=3.10", "centos=8"}},
		"what it is like is there":               {OS: []string{"devian", "debian"}},
		"nothing like it is asked for":           {OS: []string{"fedora"}, Arch: "ppc64le", Tools: []string{"git", "rpm"}},
	} {
		if err := said.Complete(); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(r.Misspelt(said), " ")
		if is := strings.Contains(want, ";"); is && got != want || !is && got != "" {
			t.Errorf("%+v: %q, want %q", said, got, want)
		}
	}
}
