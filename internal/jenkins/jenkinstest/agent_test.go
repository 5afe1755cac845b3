// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"errors"
	"net/http"
	"testing"
)

func TestAgentProcessReturnsWhenItsNodeIsMadeAgain(t *testing.T) {
	inBubble(t, Options{Timing: Timing{Reconnect: second}}, func(b *bench) {
		a := b.agent(AgentSpec{Name: "a1", Labels: "x"})
		doc := b.config("a1")
		b.post(302, "/computer/a1/doDelete", nil)
		pass(minute)
		b.postXML(200, "/computer/createItem?name=a1", doc)
		b.want(a.Online(), false, "at once")
		pass(2 * second)
		b.want(a.Online(), true, "online")
	})
}

func TestAgentProcessReturnsAfterALossUnlessItIsLonelyOrDead(t *testing.T) {
	inBubble(t, Options{Timing: Timing{Reconnect: second, Notice: second}}, func(b *bench) {
		loved, lonely, dead := b.agent(AgentSpec{Name: "a1"}), b.agent(AgentSpec{Name: "a2", Lonely: true}), b.agent(AgentSpec{Name: "a3"})
		loved.Disconnect()
		lonely.Disconnect()
		dead.Kill()
		b.want(loved.Online(), true, "a loss takes a moment to be noticed")
		pass(second)
		b.want(loved.Online(), false, "noticed")
		pass(minute)
		b.want(loved.Online(), true, "with a supervisor")
		b.want(lonely.Online(), false, "without")
		b.want(dead.Online(), false, "killed")
	})
}

func TestMountedHandlersNeedNoLoginAndAreGoneWhileTheControllerBoots(t *testing.T) {
	opts := Options{RootURL: "http://ci.example/jenkins", Timing: Timing{Boot: minute}}
	inBubble(t, opts, func(b *bench) {
		b.j.Mount("/wsagents/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write([]byte(r.URL.Path))
		}))
		anonymous := b.as("", "")
		b.want(anonymous.post(http.StatusTeapot, "/wsagents/x", nil).body, "/wsagents/x", "path without the context path")
		anonymous.get(http.StatusForbidden, "/wsagentsx")
		b.post(302, "/restart", nil)
		pass(second)
		anonymous.get(http.StatusServiceUnavailable, "/wsagents/x")
	})
}

func TestLinksAreRefusedForAReason(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "in", Offline: true})
		b.agent(AgentSpec{Name: "ssh", Launched: true, Offline: true})
		secret := func(name string) string {
			info, err := b.j.AgentInfo(name)
			if err != nil {
				t.Fatal(err)
			}
			return info.Secret
		}
		link := func() AgentLink { return newSimulatedLink(nil) }
		for _, c := range []struct {
			name, secret string
			want         error
		}{
			{"nobody", "x", ErrNoSuchAgent}, {"in", "x", ErrBadSecret}, {"ssh", secret("ssh"), ErrNotInbound}, {"in", secret("in"), nil}, {"in", secret("in"), ErrAlreadyOnline},
		} {
			if err := b.j.Connect(c.name, c.secret, link()); !errors.Is(err, c.want) {
				t.Errorf("connect %s: %v, want %v", c.name, err, c.want)
			}
		}
		b.j.FailBoot(false)
		if err := b.j.Connect("in", secret("in"), link()); !errors.Is(err, ErrNotServing) {
			t.Errorf("while down: %v", err)
		}
	})
}

// slowLauncher fails the first launch.
type slowLauncher struct{ tried chan struct{} }

func (l slowLauncher) Launch(_ context.Context, a AgentInfo) (AgentLink, error) {
	select {
	case l.tried <- struct{}{}:
		return nil, errors.New("no route to " + a.Name)
	default:
		return newSimulatedLink(nil), nil
	}
}

func TestFailedLaunchLeavesItsCause(t *testing.T) {
	inBubble(t, Options{Launch: slowLauncher{make(chan struct{}, 1)}}, func(b *bench) {
		a := b.agent(AgentSpec{Name: "s1", Launched: true})
		settle()
		b.want(b.json("/computer/s1/api/json?depth=1", "offlineCause", "_class"), "hudson.slaves.OfflineCause$LaunchFailed", "cause")
		b.post(302, "/computer/s1/launchSlaveAgent", nil)
		settle()
		b.want(a.Online(), true, "after the second launch")
	})
}

func TestFeedsShowFinishedBuildsOfAWeekButThatOfAnAgentAllOfThem(t *testing.T) {
	inBubble(t, Options{Execute: holding}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		b.job(JobSpec{Name: "j", Label: "x"})
		for range 12 {
			b.start("j")
			pass(2 * minute)
		}
		b.start("j")
		settle()
		feed := func(of string) string { return b.get(200, of+"/rssAll").body }
		for _, of := range []string{"", "/job/j", "/computer/a1"} {
			b.want(contains(feed(of), "j #1 ("), true, of+": an old build within the week")
			b.want(contains(feed(of), "j #13 (?)"), of == "/computer/a1", of+": a running build")
		}
		pass(8 * 24 * 60 * minute)
		for _, of := range []string{"", "/job/j", "/computer/a1"} {
			b.want(contains(feed(of), "j #3 ("), of == "/computer/a1", of+": after a week only ten stay")
			b.want(contains(feed(of), "j #4 ("), true, of+": the tenth newest")
		}
	})
}
