// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func rendered(t *testing.T) string {
	t.Helper()
	config, err := RenderXML(slot(t))
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}

func TestADigestSeesWhatPeopleChangeAndNotWhatJenkinsDoes(t *testing.T) {
	t.Parallel()
	config := rendered(t)
	for name, c := range map[string]struct {
		old, new string
		seen     bool
	}{
		"retargeted":                   {"&quot;linux 7 (big)&quot;", "other", false},
		"plugin attribute":             {"<hudson.model.ParametersDefinitionProperty>", `<hudson.model.ParametersDefinitionProperty plugin="core@2">`, false},
		"encrypted default":            {"attempt.</description>\n          <defaultValue/>\n        </hudson.model.Pass", "attempt.</description><defaultValue>{AQAAABAAAAAQ}</defaultValue></hudson.model.Pass", false},
		"empty element added":          {"<triggers/>", "<triggers/><nodeProperties/>", false},
		"false element added":          {"<triggers/>", "<triggers/><quiet>false</quiet>", false},
		"XML 1.0":                      {"'1.1'", "'1.0'", false},
		"indented otherwise":           {"\n  <scm", "\n\n\t<scm", false},
		"managed by job builder":       {"every agent.</desc", "every agent.&lt;!-- Managed by Jenkins Job Builder --&gt;</desc", false},
		"one byte of the script":       {"echo '&lt;!--", "echo '&lt;!-", true},
		"disabled":                     {"<disabled>false", "<disabled>true", true},
		"roams":                        {"<canRoam>false", "<canRoam>true", true},
		"concurrent":                   {"<concurrentBuild>false", "<concurrentBuild>true", true},
		"another controller":           {"ci {1}", "other", true},
		"a trigger added":              {"<triggers/>", "<triggers><hudson.triggers.TimerTrigger><spec>@daily</spec></hudson.triggers.TimerTrigger></triggers>", true},
		"a build wrapper added":        {"<buildWrappers/>", "<buildWrappers><x class=\"y\"/></buildWrappers>", true},
		"one without settings":         {"<buildWrappers/>", `<buildWrappers><hudson.plugins.timestamper.TimestamperBuildWrapper plugin="timestamper@1.9"/></buildWrappers>`, true},
		"a trigger without settings":   {"<triggers/>", "<triggers><com.cloudbees.jenkins.GitHubPushTrigger><spec></spec></com.cloudbees.jenkins.GitHubPushTrigger></triggers>", true},
		"a step without settings":      {"</builders>", "<x.Step><on>false</on></x.Step></builders>", true},
		"a publisher without settings": {"<publishers/>", "<publishers><x.Publisher/></publishers>", true},
		"a property without settings":  {"<properties>", `<properties><hudson.plugins.disk__usage.DiskUsageProperty plugin="disk-usage@1.2"/>`, false},
		"fewer builds kept":            {"<numToKeep>50", "<numToKeep>5", true},
		"owner":                        {"owner-{1}", "owner-{2}", true},
		"nonce made a plain parameter": {"hudson.model.PasswordParameterDefinition>", "hudson.model.StringParameterDefinition>", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := strings.ReplaceAll(c.old, "&quot;", `"`)
			if !strings.Contains(config, old) {
				t.Fatalf("the configuration lacks %q", old)
			}
			changed := strings.ReplaceAll(config, old, c.new)
			if seen := digest(t, []byte(changed)) != digest(t, []byte(config)); seen != c.seen {
				t.Errorf("change seen: %v, want %v", seen, c.seen)
			}
		})
	}
}

func TestRetargetChangesNothingButTheAgent(t *testing.T) {
	t.Parallel()
	const config = "<?xml version='1.1' encoding='UTF-8'?>\n<project>\n  <description>a\x26#x1b; <!-- <assignedNode>no</assignedNode> --></description>\n" +
		"  <properties><p><assignedNode>inner</assignedNode></p></properties>\n  <assignedNode>old</assignedNode>\n  <canRoam >false</canRoam>\n</project>"
	for agent, want := range map[string]string{
		"plain-1": "plain-1", "two words": `"two words"`, "a(b)": `"a(b)"`, "a<b&c": `"a&lt;b&amp;c"`, "größe": "größe",
	} {
		got, err := Retarget([]byte(config), agent)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Replace(config, ">old<", ">"+want+"<", 1), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", agent, diff)
		}
	}
}

func TestRetargetRefusesWhatItCannotChange(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]string{
		"no element":        "<project><canRoam>true</canRoam></project>",
		"empty element":     "<project><assignedNode/></project>",
		"elements inside":   "<project><assignedNode><b/></assignedNode></project>",
		"cut short":         "<project><assignedNode>a",
		"not XML":           "Authentication required",
		"somewhere deeper":  "<project><p><assignedNode>a</assignedNode></p></project>",
		"a control in name": "",
	} {
		agent := "a1"
		if config == "" {
			config, agent = "<project><assignedNode>a</assignedNode></project>", "a\n1"
		}
		if got, err := Retarget([]byte(config), agent); err == nil {
			t.Errorf("%s: got %q, want an error", name, got)
		}
	}
}

func TestASlotNamesItsOwner(t *testing.T) {
	t.Parallel()
	if owner, err := SlotOwner([]byte(rendered(t))); err != nil || owner != "owner-{1}" {
		t.Errorf("SlotOwner = %q, %v, want owner-{1}", owner, err)
	}
	if owner, err := SlotOwner([]byte("<project><description>mine</description></project>")); err != nil || owner != "" {
		t.Errorf("SlotOwner of a stranger's job = %q, %v, want none", owner, err)
	}
}
