// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/pitcrew-ci/pitcrew/internal/container"
	"github.com/pitcrew-ci/pitcrew/internal/container/podmantest"
)

// engine is a Podman of the test's own.
type engine struct {
	podmantest.Podman
	client *client.Client
}

// startPodman starts Podman's service on a socket of its own and imports what the tests start.
func startPodman(t *testing.T) engine {
	t.Helper()
	e := engine{Podman: podmantest.Start(t)}
	var err error
	if e.client, err = client.New(client.WithHost("unix://" + e.Socket)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.client.Close() })
	e.imports(t)
	return e
}

// Images that the tests start. The first has a user and a volume, as the official one has.
const (
	image      = "localhost/jenkins:test"
	imageRoot  = "localhost/jenkins-root:test"
	imageBaked = "localhost/jenkins-baked:test" // its home has something in it
	imageEmpty = "localhost/nothing:test"       // its program does not exist
)

// imports makes the images from one static program.
func (e engine) imports(t *testing.T) {
	t.Helper()
	program, err := fake()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	root := podmantest.Root(t, map[string][]byte{"var/": nil, "var/jenkins_home/": nil, "baked/": nil, "baked/plugins/": nil, "jenkins": text})
	start := []string{`ENTRYPOINT ["/jenkins"]`, "ENV JENKINS_HOME=/var/jenkins_home"}
	for name, changes := range map[string][]string{
		image:      append(start, "USER 1000:1000", "VOLUME /var/jenkins_home", "ENV JAVA_OPTS=-Dimage.own=yes"),
		imageRoot:  {`ENTRYPOINT ["/jenkins"]`, "ENV JENKINS_HOME=/somewhere/else"},
		imageBaked: {`ENTRYPOINT ["/jenkins"]`, "ENV JENKINS_HOME=/baked", "USER 1000:1000"},
		imageEmpty: {`ENTRYPOINT ["/there-is-no-such-program"]`},
	} {
		e.Import(t, name, root, changes...)
	}
}

// spec is that of a controller in this engine. Options are those of testdata/jenkins.
func (e engine) spec(options ...string) container.Spec {
	s := container.Spec{Image: container.Image{Name: image, Engine: e.Socket}, ReadyWithin: waitLimit}
	for _, o := range options {
		s.JavaOptions = append(s.JavaOptions, "-Dfake."+o)
	}
	return s
}

// has are the containers with a label of ours whose run is this, and all volumes that belong to no container.
func (e engine) has(t *testing.T, run string) []string {
	t.Helper()
	// What a cancelled test left behind must be looked for as well.
	ctx := context.WithoutCancel(t.Context())
	list, err := e.client.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range list.Items {
		if c.Labels["io.github.pitcrew-ci.ephemeral.run"] == run {
			all = append(all, "container "+strings.TrimPrefix(c.Names[0], "/"))
		}
	}
	return all
}

// volumes are all there are.
func (e engine) volumes(t *testing.T) []string {
	t.Helper()
	list, err := e.client.VolumeList(context.WithoutCancel(t.Context()), client.VolumeListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, v := range list.Items {
		all = append(all, v.Name)
	}
	return all
}

// named is a spec whose containers can be told from those of other tests.
func named(t *testing.T, s container.Spec) container.Spec {
	t.Helper()
	s.Owner = container.Self(t.Name())
	return s
}

// inspect is all that the engine has to say of the containers of a run, as text and decoded.
func (e engine) inspect(t *testing.T, name string) (client.ContainerInspectResult, string) {
	t.Helper()
	found, err := e.client.ContainerInspect(t.Context(), name, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(found.Raw)
	if err != nil {
		t.Fatal(err)
	}
	return found, string(text)
}

// only is the name of the one container of a test.
func (e engine) only(t *testing.T) string {
	t.Helper()
	all := e.has(t, t.Name())
	if len(all) != 1 {
		t.Fatalf("the engine has %q; want one container", all)
	}
	return strings.TrimPrefix(all[0], "container ")
}

// TestPodman has all that needs an engine. They share one, so each looks at what is its own by the name of its run.
func TestPodman(t *testing.T) {
	if testing.Short() {
		t.Skip("mostly runs other programs; left to the longer run")
	}
	if !podmantest.InNamespaces(t) {
		return
	}
	e := startPodman(t)
	t.Run("all", func(t *testing.T) { // returns when the parallel ones have ended
		for name, test := range map[string]func(*testing.T, engine){
			"starts and stops": startsAndStops, "limits": limitsAreSet, "secrets": tokenStandsNowhere, "homes": homesOfImages,
			"death": deathIsSeen, "removed": removalIsSeen, "failures": failuresLeaveNothing, "port": portIsTaken, "network": inNetwork, "cancel": cancelledAnywhere,
			"archive": fromArchive, "sweep": sweepOfDead, "engine lost": engineConnectionIsLost, "advertised": advertisedURL, "files": filesOfSeed,
			"noise": logIsCaptured, "pull": pullOfImage,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, e)
			})
		}
	})
	if left := e.volumes(t); len(left) != 0 {
		t.Errorf("volumes that are left: %q", left)
	}
	http.DefaultClient.CloseIdleConnections()
}
