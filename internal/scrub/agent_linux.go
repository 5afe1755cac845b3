// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

// isAgent reports whether a process, if it is one of our ancestors, is an agent: that is Java.
func isAgent(s procfs.Stat) bool {
	return strings.HasPrefix(s.Name, "java") || strings.HasPrefix(filepath.Base(procfs.Machine.Link(s.PID, "exe")), "java")
}

// agentJars are the names under which Jenkins has served the file of its agents, agentWords the options of that (hudson.remoting.Launcher,
// hudson.remoting.jnlp.Main). Of these, ownWords are hardly another program's.
var (
	agentJars  = []string{"agent.jar", "slave.jar", "remoting.jar"}
	agentWords = append([]string{"-url", "-name", "-tunnel", "-direct", "-protocols", "-headless", "-loggingConfig", "-cert", "-noCertificateCheck"}, ownWords...)
	ownWords   = []string{
		"-jnlpUrl", "-jnlpCredentials", "-secret", "-workDir", "-internalDir", "-failIfWorkDirIsMissing", "-webSocket", "-instanceIdentity",
		"-jar-cache", "-noReconnect", "-noReconnectAfter", "-agentLog", "-slaveLog",
	}
)

// runsAgent reports whether Java with these arguments runs an agent: by its main class, by the file that it runs, or, as a file can be called
// anything, by the options that it gives to it. What else a program is told is no sign: a build may well name agent.jar.
func runsAgent(args []string) bool {
	program, jar, options := javaProgram(args)
	base := path.Base(program)
	switch {
	case strings.HasPrefix(program, "hudson.remoting."), strings.HasPrefix(program, "hudson.plugins.swarm."):
		return true
	case jar && (slices.Contains(agentJars, base) || strings.HasSuffix(base, ".jar") &&
		(strings.HasPrefix(base, "remoting-") || strings.HasPrefix(base, "swarm-client"))): // as they are released, with a version
		return true
	}
	said := map[string]bool{}
	own := false
	for _, option := range options {
		if slices.Contains(agentWords, option) {
			said[option] = true
			own = own || slices.Contains(ownWords, option)
		}
	}
	return program != "" && (said["-jnlpUrl"] || own && len(said) > 1)
}

// javaTakes are the options of java(1) that are followed by a value.
var javaTakes = []string{
	"-cp", "-classpath", "--class-path", "-p", "--module-path", "--upgrade-module-path", "--add-modules", "--limit-modules", "--add-exports",
	"--add-opens", "--add-reads", "--patch-module", "--enable-native-access", "--source",
}

// javaProgram returns the main class, the module or the jar that Java is told to run, and what that is told. They may stand in a file
// (@file), which is not read.
func javaProgram(args []string) (program string, jar bool, options []string) {
	for i := 1; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-jar":
			jar = true
		case slices.Contains(javaTakes, arg):
			i++
		case arg == "-m", arg == "--module", strings.HasPrefix(arg, "-"), strings.HasPrefix(arg, "@"):
		default:
			return arg, jar, args[i+1:]
		}
	}
	return "", false, nil
}

// workDirs returns the directories that an agent with these arguments is told to work in. It need not stand there.
func workDirs(args []string) []string {
	_, _, options := javaProgram(args)
	var dirs []string
	for i, option := range options {
		if (option == "-workDir" || option == "-fsroot") && i+1 < len(options) { // the latter is Swarm's
			dirs = append(dirs, options[i+1])
		}
	}
	return dirs
}

// agents returns the agents that work on this machine: those among our ancestors, and whatever else looks like one. A program
// that came by SSH, or whose agent lost its connection, descends from none.
func agents() []procfs.Stat {
	proc := procfs.Machine
	var found []procfs.Stat
	for pid := os.Getppid(); pid > 1; {
		s, ok := proc.Stat(pid)
		if !ok {
			break
		}
		if isAgent(s) {
			found = append(found, s)
		}
		pid = s.Parent
	}
	all, _ := proc.All() // without a list, ancestors are what can be known
	looks := &processes{proc: proc}
	for _, s := range all {
		if looks.isAgent(s, "") && !slices.ContainsFunc(found, func(other procfs.Stat) bool { return other.PID == s.PID }) {
			found = append(found, s)
		}
	}
	return found
}

// agentPaths returns where agents work: their directories, and their jars with others that they hold open; and apart from
// that their homes, which are those directories, those that they are told to work in, and the ones that hold the jars.
func agentPaths() (paths, homes []string) {
	for _, s := range agents() {
		body := procfs.Machine.Body(s)
		cwd := procfs.Machine.Link(body, "cwd")
		paths, homes = append(paths, cwd), append(homes, cwd)
		for _, dir := range workDirs(procfs.Machine.Args(body)) {
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(cwd, dir)
			}
			at := spell(filepath.Clean(dir)) // as the kernel tells the others
			paths, homes = append(paths, at), append(homes, at)
		}
		procfs.Machine.OpenFiles(body, func(_, file string) bool {
			paths = append(paths, file)
			if strings.HasSuffix(file, ".jar") {
				homes = append(homes, filepath.Dir(file))
			}
			return true
		})
	}
	return paths, homes
}
