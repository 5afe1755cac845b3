// SPDX-License-Identifier: Apache-2.0

package jenkins_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// borrowing is a controller whose user may make, connect and delete agents, and no more.
func borrowing(t *testing.T, o jenkinstest.Options, also ...jenkinstest.Permission) (*jenkinstest.Jenkins, *jenkins.Client) {
	t.Helper()
	o.Security.Users = []jenkinstest.User{{Name: "pit", Tokens: []string{token}, Permissions: append(also,
		jenkinstest.Read, jenkinstest.AgentCreate, jenkinstest.AgentConnect, jenkinstest.AgentDelete)}}
	j, c, _ := controller(t, o, jenkins.Options{User: "pit", Token: secret(token)})
	return j, c
}

func borrowed() jenkins.NodeSpec {
	return jenkins.NodeSpec{Name: "loan-42 (ä)", Description: "on loan <1>", RemoteFS: "/srv/loan", Labels: []string{"cleanable", "two words"}, Executors: 1}
}

func TestAnInboundNodeIsMadeAndDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := borrowing(t, jenkinstest.Options{}, jenkinstest.AgentExtendedRead)
		n := borrowed()
		must(t, c.CreateInboundNode(t.Context(), n))
		config, err := c.NodeConfig(t.Context(), n.Name)
		must(t, err)
		got := fmt.Sprintln(config.Mode, config.Executors, config.LauncherClass, config.RetentionClass, config.LabelString)
		if want := `EXCLUSIVE 1 hudson.slaves.JNLPLauncher hudson.slaves.RetentionStrategy$Always cleanable "two words"` + "\n"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		err = c.CreateInboundNode(t.Context(), n)
		if !errors.Is(err, jenkins.ErrNameTaken) || !jenkins.IsConflict(err) {
			t.Errorf("a second time: %v", err)
		}
		for range 2 { // gone already is success
			must(t, c.DeleteNode(t.Context(), n.Name))
		}
		if _, err := c.Agent(t.Context(), n.Name); !jenkins.IsNotFound(err) {
			t.Errorf("after its deletion: %v", err)
		}
	})
}

func TestWhoMayMakeNoAgentHasMadeNothing(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusInternalServerError} {
		synctest.Test(t, func(t *testing.T) {
			j, c := borrowing(t, jenkinstest.Options{}, jenkinstest.AgentExtendedRead)
			j.Inject(jenkinstest.Fault{Method: http.MethodPost, Status: status})
			err := c.CreateInboundNode(t.Context(), borrowed())
			if got := errors.Is(err, jenkins.ErrNothingMade); err == nil || got != (status < 500) {
				t.Errorf("%d: %v", status, err)
			}
		})
	}
}

func TestNodesThatCannotBeAreRefusedBeforeAnyRequest(t *testing.T) {
	t.Parallel()
	_, c, calls := secured(t, jenkinstest.Options{})
	for name, spec := range map[string]jenkins.NodeSpec{
		"the built-in node":    {Name: "(built-in)", RemoteFS: "/x", Executors: 1},
		"a name of the page's": {Name: "createItem", RemoteFS: "/x", Executors: 1},
		"no executor":          {Name: "a", RemoteFS: "/x"},
		"no directory":         {Name: "a", Executors: 1},
	} {
		if err := c.CreateInboundNode(t.Context(), spec); jenkins.KindOf(err) != jenkins.KindPermanent {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.DeleteNode(t.Context(), ""); !errors.Is(err, jenkins.ErrBuiltIn) {
		t.Errorf("delete the built-in node: %v", err)
	}
	if len(*calls) > 0 {
		t.Errorf("requests: %q", *calls)
	}
}

func TestASuccessThatMadeOrDeletedNothingIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, c := borrowing(t, jenkinstest.Options{})
		redirects := func(path string) func() {
			return j.Inject(jenkinstest.Fault{Method: http.MethodPost, Path: path, Status: http.StatusFound})
		}
		mend := redirects("/jenkins/computer/doCreateItem")
		n := borrowed()
		if err := c.CreateInboundNode(t.Context(), n); !jenkins.IsNotFound(err) {
			t.Errorf("create: %v", err)
		}
		mend()
		add(t, j, jenkinstest.AgentSpec{Name: "a"})
		redirects("/jenkins/computer/a/doDelete")
		if err := c.DeleteNode(t.Context(), "a"); !jenkins.IsConflict(err) {
			t.Errorf("delete: %v", err)
		}
	})
}

func TestMakingAndDeletingNodesNamesThePermissionThatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, c, _ := secured(t, jenkinstest.Options{})
		add(t, j, jenkinstest.AgentSpec{Name: "a"})
		for want, err := range map[string]error{
			"hudson.model.Computer.Create": c.CreateInboundNode(t.Context(), borrowed()),
			"hudson.model.Computer.Delete": c.DeleteNode(t.Context(), "a"),
		} {
			if !jenkins.IsForbidden(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}

func TestTheSecretOfAnAgentIsReadInOldAndNewVersions(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2.541.3", "2.263.1"} {
		synctest.Test(t, func(t *testing.T) {
			j, c := borrowing(t, jenkinstest.Options{Version: version})
			add(t, j, jenkinstest.AgentSpec{Name: "a (1)"})
			info, err := j.AgentInfo("a (1)")
			must(t, err)
			if got, err := c.AgentSecret(t.Context(), "a (1)"); got != info.Secret || err != nil {
				t.Errorf("%s: not the agent's secret, %v", version, err)
			}
			if _, err := c.AgentSecret(t.Context(), "nobody"); !jenkins.IsNotFound(err) {
				t.Errorf("%s: of an agent that is not there: %v", version, err)
			}
		})
	}
}
