// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/container"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
)

// envController holds the token of a Jenkins that is given by its address.
const envController = "PITCREW_CONTROLLER_TOKEN"

// ephemeral is the Jenkins that is there for one rehearsal.
type ephemeral struct {
	image, archive, engine, network string
	pull                            bool
	war, java                       string
	url, user, tokenFile, ca        string
	bind, advertise                 string
	authorities                     string // the certificates of ca
	getenv                          func(string) string
}

func (e *ephemeral) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&e.image, "image", "", "start a Jenkins from this container image")
	f.StringVar(&e.archive, "archive", "", "load the image from this file first, as \"docker save\" writes it")
	f.BoolVar(&e.pull, "pull", false, "have the engine fetch an image that it does not have")
	f.StringVar(&e.engine, "engine", "", "socket or address of the container engine (default: the first of the usual ones that answers)")
	f.StringVar(&e.network, "network", "", "network of the engine in which the Jenkins gets an address; no port is published then")
	f.StringVar(&e.war, "war", "", "start a Jenkins from this jenkins.war")
	f.StringVar(&e.java, "java", "", "java for --war (default: the one on the PATH)")
	f.StringVar(&e.url, "controller-url", "", "use the Jenkins at this address, which is neither started nor stopped")
	f.StringVar(&e.user, "controller-user", "", "user of that Jenkins")
	f.StringVar(&e.tokenFile, "controller-token-file", "", "file with an API token of that user ("+envController+" holds the token itself)")
	f.StringVar(&e.ca, "controller-ca", "", "file with the certificates of the authorities that are trusted at that address, by the agents as well")
	f.StringVar(&e.bind, "bind", "", "address that a Jenkins that is started listens on, with or without a port (default: 127.0.0.1 and any port)")
	f.StringVar(&e.advertise, "advertise-url", "", "address by which agents reach the Jenkins (default: where it listens)")
}

// check looks at what can be wrong before anything is begun.
func (e *ephemeral) check() error {
	given := 0
	for _, one := range []bool{e.image != "" || e.archive != "", e.war != "", e.url != ""} {
		if one {
			given++
		}
	}
	switch {
	case given != 1:
		return usage("say which Jenkins to rehearse with: one of --image (or --archive), --war and --controller-url")
	case e.url != "" && e.user == "":
		return usage("--controller-url needs --controller-user, and a token of that user")
	}
	if err := e.checkTogether(); err != nil {
		return err
	}
	switch {
	case e.ca != "":
		return e.trust()
	case e.url != "":
		return nil
	}
	if err := e.spec().Check(); err != nil {
		return usage("%w", err)
	}
	return nil
}

// checkTogether refuses what would have no effect: whoever says it believes that it has.
func (e *ephemeral) checkTogether() error {
	image := e.image != "" || e.archive != ""
	for _, f := range []struct {
		flag        string
		given, goes bool
		with        string
	}{
		{"controller-user", e.user != "", e.url != "", "--controller-url"},
		{"controller-token-file", e.tokenFile != "", e.url != "", "--controller-url"},
		{"controller-ca", e.ca != "", e.url != "", "--controller-url"},
		{"pull", e.pull, e.image != "" && e.archive == "", "--image, and without --archive"},
		{"network", e.network != "", image, "--image or --archive"},
		{"engine", e.engine != "", e.url == "", "a Jenkins that is started"}, // a war's leftovers may be there
		{"java", e.java != "", e.war != "", "--war"},
		{"bind", e.bind != "", e.url == "" && e.network == "", "a Jenkins that is started, and not into a --network"},
	} {
		if f.given && !f.goes {
			return usage("--%s goes with %s", f.flag, f.with)
		}
	}
	return nil
}

// spec is the Jenkins that is started.
func (e *ephemeral) spec() container.Spec {
	return container.Spec{
		Image: container.Image{Name: e.image, Archive: e.archive, Pull: e.pull, Engine: e.engine, Network: e.network},
		War:   container.War{File: e.war, Java: e.java}, Bind: e.bind, AdvertiseURL: e.advertise,
	}
}

// start removes what killed rehearsals have left, and starts a Jenkins, or takes the one that is given.
func (e *ephemeral) start(ctx context.Context, undo *rehearsal.Undo, say func(string)) (*container.Controller, *jenkins.Client, error) {
	controller, err := e.controller(ctx, undo, say)
	if err != nil {
		return nil, nil, err
	}
	client, err := jenkins.New(jenkins.Options{ //nolint:contextcheck // the client lives longer than this call
		Name: "rehearsal", URL: controller.URL(), User: controller.User(), RequestsPerSecond: 20,
		Token: func(context.Context) (string, error) { return string(controller.Token()), nil }, TLS: jenkins.TLSOptions{CAFile: e.ca},
	})
	if err != nil {
		return nil, nil, err
	}
	say("rehearses at the Jenkins " + controller.URL())
	return controller, client, nil
}

func (e *ephemeral) controller(ctx context.Context, undo *rehearsal.Undo, say func(string)) (*container.Controller, error) {
	if e.url != "" {
		token, err := e.token()
		if err != nil {
			return nil, err
		}
		transport, err := jenkins.NewTransport(jenkins.TLSOptions{CAFile: e.ca}, 2)
		if err != nil {
			return nil, err
		}
		return container.Given(ctx, container.Address{
			URL: e.url, User: e.user, Token: container.Token(token), AdvertiseURL: e.advertise, Transport: transport,
		})
	}
	removed, err := container.Sweep(ctx, container.Leftovers{Engine: e.engine})
	for _, one := range removed {
		say("removed what a killed rehearsal has left: " + one)
	}
	noEngine := errors.Is(err, container.ErrNoEngine)
	switch {
	case noEngine && e.war == "":
		return nil, err
	case err != nil && !noEngine:
		say("leftovers of killed rehearsals: " + err.Error())
	}
	say("starts a Jenkins")
	controller, err := container.Start(ctx, e.spec())
	if err != nil {
		return nil, err
	}
	undo.Push("the Jenkins "+controller.URL(), controller.Stop)
	return controller, nil
}

// trust reads what is trusted at a Jenkins that is given.
func (e *ephemeral) trust() error {
	var err error
	if e.authorities, err = certificates(e.ca); err != nil {
		return usage("--controller-ca: %w", err)
	}
	return nil
}

// certificates are those in a file, as an agent is told them.
func certificates(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	all, err := loanjob.Certificates(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return all, nil
}

func (e *ephemeral) token() (string, error) {
	if e.tokenFile != "" {
		return readToken(e.tokenFile)
	}
	if token := e.getenv(envController); token != "" {
		return token, nil
	}
	return "", usage("--controller-url needs --controller-token-file, or %s", envController)
}

// hold leaves the Jenkins up until ctx ends, and tells how to get in: the token is in a file that only this user can read.
func (e *ephemeral) hold(ctx context.Context, controller *container.Controller, say func(string)) {
	if e.url != "" {
		return // it stays anyway
	}
	where := fmt.Sprintf("the Jenkins %s stays up until Ctrl-C; user %s", controller.URL(), controller.User())
	dir, err := os.MkdirTemp("", "pitcrew-rehearsal-")
	if err == nil {
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "token")
		if err = os.WriteFile(file, []byte(controller.Token()+"\n"), 0o600); err == nil {
			where += ", token in " + file
		}
	}
	if err != nil {
		where += fmt.Sprintf("; its token cannot be written to a file: %v", err)
	}
	say(where)
	select {
	case <-ctx.Done():
	case <-controller.Done():
		say("it has ended")
	}
}

// kind says which of the three it is.
func (e *ephemeral) kind() string {
	switch {
	case e.url != "":
		return "URL"
	case e.war != "":
		return "war"
	}
	return "image"
}
