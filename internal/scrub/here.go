// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Here says for which agent scrub works, as the controller and the recipe's program told it. All of it may be unknown.
type Here struct {
	// Agent is the name of the agent, Controller the address of its controller (JENKINS_URL).
	Agent, Controller string
	// Issuer is the name by which the daemon knows that controller (PITCREW_CONTROLLER).
	Issuer string
	// Workspace is the directory of the build that runs us.
	Workspace string
	// Spared are paths that the cleanup or its agent works in: what holds them survives.
	Spared []string
	// Homes are the directories that agents of this machine have for themselves: nobody empties one.
	Homes []string
	// Engine is the process of the recipe's program, 0 if scrub was called by hand. What it started survives.
	Engine int
	// Tag names the build that runs us (BUILD_TAG), Cookie is the mark by which Jenkins knows its processes.
	Tag, Cookie string
	// Tools are the directories in which programs of the machine are looked for; nil means the system's.
	Tools []string
}

// HereFromEnvironment reads the variables that Jenkins gives to every build.
func HereFromEnvironment() Here {
	agent := os.Getenv("PITCREW_AGENT")
	if agent == "" {
		agent = os.Getenv("NODE_NAME")
	}
	engine, _ := strconv.Atoi(os.Getenv("PITCREW_ENGINE"))
	paths, homes := agentPaths()
	return Here{
		Engine: engine, Spared: spared(paths), Homes: homes,
		Agent: agent, Controller: os.Getenv("JENKINS_URL"), Workspace: os.Getenv("WORKSPACE"),
		Issuer: os.Getenv("PITCREW_CONTROLLER"), Tag: os.Getenv("BUILD_TAG"), Cookie: os.Getenv("JENKINS_SERVER_COOKIE"),
	}
}

// spared returns the paths that agents work in, where this process stands, and the workspace of the build that runs us.
func spared(agents []string) []string {
	all := append(agents, os.Getenv("WORKSPACE"), os.Getenv("PITCREW_FILES"))
	if dir, err := os.Getwd(); err == nil {
		all = append(all, dir)
	}
	if exe, err := os.Executable(); err == nil {
		all = append(all, exe)
	}
	return slices.DeleteFunc(all, func(p string) bool { return !filepath.IsAbs(p) || filepath.Dir(p) == p })
}
