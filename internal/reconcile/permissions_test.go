// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// guided are the permissions that the operator's guide asks for: everywhere, and in the folder of pitcrew's jobs.
func guided(t *testing.T) (everywhere, folder []jenkinstest.Permission) {
	t.Helper()
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "guide.md"))
	must(t, err)
	_, section, _ := strings.Cut(string(guide), "\n## Permissions\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+/\w+[^|]*) \|`).FindAllStringSubmatch(section, -1) {
		group, list := "", &everywhere
		if strings.Contains(row[1], "folder") {
			list = &folder
		}
		for name := range strings.SplitSeq(row[1], ", ") {
			if strings.HasPrefix(name, "on ") {
				continue
			}
			if of, rest, ok := strings.Cut(name, "/"); ok {
				group, name = of, rest
			}
			*list = append(*list, jenkinstest.Permission(group+"/"+name))
		}
	}
	if len(everywhere) < 5 || len(folder) < 5 {
		t.Fatalf("the guide asks for %v, and in the folder for %v", everywhere, folder)
	}
	return everywhere, folder
}

// refusals are the operations that the controller refused for want of a permission, and how often.
type refusals struct {
	mu   sync.Mutex
	seen map[string]int
}

func (f *refusals) observe(c jenkins.Call) {
	if !jenkins.IsForbidden(c.Err) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen[c.Op]++
}

func (f *refusals) all() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.seen)
}

// TestThePermissionsOfTheGuideSuffice lets a crew do all that it does by itself: make, tie, build, stop and read jobs, launch
// and disconnect an agent, lift a mark and put one back.
func TestThePermissionsOfTheGuideSuffice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		gated bool
		want  map[string]int // what may be refused, and how often
	}{
		"all": {want: map[string]int{}}, "without the optional one": {want: map[string]int{"describe": 1}},
		"behind a gate": {gated: true, want: map[string]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			want := c.want
			everywhere, folder := guided(t)
			if len(want) > 0 {
				folder = slices.DeleteFunc(folder, func(p jenkinstest.Permission) bool { return p == jenkinstest.RunUpdate })
			}
			refused := &refusals{seen: map[string]int{}}
			inRig(t, setup{
				agents: launched, asleep: true,
				settings: func(s *reconcile.Settings) {
					monitors(hygiene.MonitorLift)(s)
					s.Jobs.Folder = "pitcrew-jobs"
				},
				jenkins: func(o *jenkinstest.Options) {
					o.Timing.Reconnect, o.Plugins = 15*time.Second, []string{jenkinstest.PluginFolder}
					if c.gated {
						o.Boot = func(j *jenkinstest.Jenkins) { j.InstallGate(jenkinstest.GateOptions{}) }
					}
					o.Security = jenkinstest.Security{Users: []jenkinstest.User{{
						Name: "pitcrew", Tokens: []string{"11aa"}, Permissions: everywhere,
						Jobs: map[string][]jenkinstest.Permission{"pitcrew-jobs": folder},
					}}}
				},
				client: func(o *jenkins.Options) {
					o.User, o.Observe = "pitcrew", refused.observe
					o.Token = func(context.Context) (string, error) { return "11aa", nil }
				},
			}, func(r *rig) {
				must(t, r.jenkins.CreateJobXML("pitcrew-jobs", "<com.cloudbees.hudson.plugins.folder.Folder/>"))
				r.start()
				r.waitState("linux-7", hygiene.Clean)
				b, err := r.client.BuildInfo(r.t.Context(), "pitcrew-jobs/pitcrew-slot-01", 1)
				if must(t, err); (b.Description == "linux-7, attempt 1") != (len(want) == 0) {
					t.Errorf("the build is described as %q", b.Description)
				}
				r.runBuild("app", "clean&&el7")
				r.waitState("linux-7", hygiene.Due)
				r.waitState("linux-7", hygiene.Clean)
				r.doesAllElse()
				if diff := refused.all(); !maps.Equal(diff, want) {
					t.Errorf("refused: %v, want %v", diff, want)
				}
			})
		})
	}
}

// doesAllElse has a reconnect, a monitor's mark lifted and put back, and a program stopped.
func (r *rig) doesAllElse() {
	s := &session{pid: 100}
	r.asks(recipe.Reconnect, s)
	must(r.t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
	r.waitState("linux-7", hygiene.Reconnecting)
	s.pid++
	r.waitState("linux-7", hygiene.Clean)

	r.bend(failing)
	r.lowDisk()
	r.wait(time.Hour, "the mark put back", func() bool { return len(r.marks()) == 3 })
	r.jenkins.Agent("linux-7").MonitorOnline()
	r.bend(nil)
	r.takesFor(time.Hour)
	r.waitState("linux-7", hygiene.Running)
	r.jenkins.SaveLabels("linux-7", "el7 dirty", "ann")
	r.wait(time.Minute, "our labels taken off, and the program stopped", func() bool {
		builds := r.jenkins.Builds("pitcrew-jobs/pitcrew-slot-01")
		return r.jenkins.Labels("linux-7") == "el7" && builds[len(builds)-1].Result == "ABORTED"
	})
}
