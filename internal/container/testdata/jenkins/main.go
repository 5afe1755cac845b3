// SPDX-License-Identifier: Apache-2.0

// Command jenkins is a jenkinstest that starts as Jenkins does: as the program of an image, or in the place of java. It does with the seed in
// its home what the init script would. Options -Dfake.NAME=VALUE of its Java machine, see play, have it fail.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest/inbound"
)

// agentJar is our agent program in an image that agents connect to.
const agentJar = "/agent.jar"

func main() {
	log.SetFlags(0)
	args := append(strings.Fields(os.Getenv("JAVA_OPTS")), os.Args[1:]...)
	if err := play(args); err != nil {
		log.Fatal(err)
	}
}

// option is the value of -Dname=value or --name=value.
func option(args []string, name, fallback string) string {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			fallback = value
		}
	}
	return fallback
}

// controller answers 503 until it is up.
type controller struct {
	up atomic.Pointer[jenkinstest.Jenkins]
}

func (c *controller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if j := c.up.Load(); j != nil {
		j.ServeHTTP(w, r)
		return
	}
	http.Error(w, "Please wait while Jenkins is getting ready to work ...", http.StatusServiceUnavailable)
}

func play(args []string) error {
	fake := func(name string) string { return option(args, "-Dfake."+name, "") }
	log.Printf("Running from: %s", option(args, "-DJENKINS_HOME", os.Getenv("JENKINS_HOME")))
	if option(args, "-Djenkins.install.runSetupWizard", "") != "false" {
		return fmt.Errorf("the setup wizard would run")
	}
	lines, _ := strconv.Atoi(fake("noise"))
	for i := range lines {
		fmt.Printf("noise %d on stdout\n", i)
		log.Printf("noise %d on stderr", i)
	}
	if code := fake("exit"); code != "" {
		n, _ := strconv.Atoi(code)
		log.Print("exits at once")
		os.Exit(n)
	}
	if once := fake("taken"); once != "" && os.Remove(once) == nil {
		return fmt.Errorf("java.net.BindException: Address already in use")
	}
	host := option(args, "--httpListenAddress", "0.0.0.0")
	l, err := net.Listen("tcp", net.JoinHostPort(host, option(args, "--httpPort", "8080")))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("java.net.BindException: Address already in use: %w", err)
	}
	if err != nil {
		return err
	}
	c := &controller{}
	go func() {
		if err := boot(c, args, fake); err != nil {
			log.Fatal(err)
		}
	}()
	return http.Serve(l, c)
}

func boot(c *controller, args []string, fake func(string) string) error {
	if fake("dead") != "" {
		log.Print(fake("dead"))
		return nil // and answers 503 for ever
	}
	if slow, err := time.ParseDuration(fake("slow")); err == nil {
		<-time.After(slow)
	}
	home := option(args, "-DJENKINS_HOME", os.Getenv("JENKINS_HOME"))
	user, token, url, err := seed(home)
	if err != nil {
		return err
	}
	if fake("token") != "" {
		token = fake("token")
	}
	security := jenkinstest.Security{Users: []jenkinstest.User{{Name: user, Tokens: []string{token}, Admin: true}}}
	if fake("open") != "" {
		security = jenkinstest.Security{}
	}
	o := jenkinstest.Options{RootURL: url, Security: security}
	_, missing := os.Stat(agentJar)
	if missing == nil {
		o.Dir = home
	}
	j, err := jenkinstest.New(o)
	if err != nil {
		return err
	}
	if missing == nil {
		inbound.Mount(j, agentJar)
	}
	c.up.Store(j)
	log.Printf("Jenkins is fully up and running at %s", url)
	return nil
}

// seed reads what the init script reads, and deletes what that deletes.
func seed(home string) (user, token, url string, err error) {
	read := func(name string) string {
		text, wrong := os.ReadFile(filepath.Join(home, name))
		if wrong != nil && err == nil {
			err = wrong
		}
		return strings.TrimSpace(string(text))
	}
	read("init.groovy.d/00-pitcrew-seed.groovy")
	user, token = read("pitcrew-seed/user"), read("pitcrew-seed/token")
	if err != nil {
		return user, token, url, err
	}
	if err := os.Remove(filepath.Join(home, "pitcrew-seed/token")); err != nil {
		return user, token, url, err
	}
	for until := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(home, "pitcrew-seed/url"))
		if err == nil && strings.HasSuffix(string(text), "\n") {
			return user, token, strings.TrimSpace(string(text)), nil
		}
		if time.Now().After(until) {
			return user, token, "", fmt.Errorf("no url after a minute: %w", err)
		}
	}
}
