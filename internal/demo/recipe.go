// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/carried"
)

// messVar marks every process that a build of the demo starts, with the run's cookie and the
// agent. Cleanups do not carry it, so that they do not end themselves.
const messVar = "PITCREW_DEMO_MESS"

// setupSeconds is how long the recipe's setup step takes.
const setupSeconds = "1.5"

// recipeText is the demo's recipe. ROOT, COOKIE and SETUP are filled in; ROOT/<agent> is all that
// an agent owns. Processes are recognised by their environment, never by user or command line. CLEAN is
// byScrub or byShell.
const recipeText = `version: 1
name: demo
description: Cleans one agent of the demo, and nothing else.
disjoint: true
places: ["ROOT/unpack"]
CLEAN
  - name: disk
    run: |
      if [ -e "ROOT/$NODE_NAME/sick" ]; then
        echo "the disk of this agent is broken" >&2
        exit 1
      fi
setup:
  - name: packages
    retries: 0
    run: |
      # A setup that takes its time, and that fails now and then where the mirror is bad.
      sleep SETUP
      count="ROOT/$NODE_NAME/setups"
      n=$(( $(cat "$count" 2>/dev/null || echo 0) + 1 ))
      echo "$n" >"$count"
      if [ -e "ROOT/$NODE_NAME/flaky" ] && [ $(( n % 3 )) -eq 2 ]; then
        echo "mirror does not answer" >&2
        exit 1
      fi
verify:
  - name: empty
    run: test -z "$(find "ROOT/$NODE_NAME/mess" -mindepth 1)"
  - name: quiet
    run: test -z "$(grep -lzxF "MESSVAR=COOKIE:$NODE_NAME" /proc/[0-9]*/environ 2>/dev/null)"
`

// byScrub cleans as recipes of real agents do. The verify phase looks in another way.
const byScrub = `platforms: [PLATFORM]
owns:
  paths: ["ROOT/{agent}/mess"]
clean:
  - name: processes
    timeout: 30s
    processes: {grace: 1s}
  - name: workspaces
    files: {}`

// byShell does without scrub, where pitcrew was built without it.
const byShell = `clean:
  - name: processes
    timeout: 30s
    run: |
      # The processes that builds on this agent left behind, told by the cookie in their environment.
      for p in $(grep -lzxF "MESSVAR=COOKIE:$NODE_NAME" /proc/[0-9]*/environ 2>/dev/null); do
        pid=${p#/proc/}; pid=${pid%/environ}
        kill -9 "$pid" 2>/dev/null || :
        echo "ended process $pid"
      done
  - name: workspaces
    run: |
      cd "ROOT/$NODE_NAME/mess" || exit 0
      n=$(find . -mindepth 1 | wc -l)
      find . -mindepth 1 -delete
      echo "removed $n files"`

// platform is what the demo runs on, as recipes call it.
const platform = runtime.GOOS + "/" + runtime.GOARCH

// cleaning is how the demo's recipe cleans: by scrub, if this pitcrew carries it for this platform.
func cleaning() string {
	if _, err := carried.For(platform); err != nil {
		return byShell
	}
	return byScrub
}

// writeRecipe writes the recipe for the agents below dir, which cleans in a given way, and compiles it.
func writeRecipe(path, dir, cookie, clean string) (*recipe.Program, error) {
	text := strings.Replace(recipeText, "CLEAN", clean, 1)
	text = strings.NewReplacer("ROOT", dir, "COOKIE", cookie, "MESSVAR", messVar, "SETUP", setupSeconds, "PLATFORM", platform).Replace(text)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the demo's recipe: %w", err)
	}
	r, err := recipe.Load(path)
	if err != nil {
		return nil, fmt.Errorf("the demo's recipe: %w", err)
	}
	return r.Compile()
}

// prepareDirs makes what the agents own.
func prepareDirs(dir string, fleet []agentPlan) error {
	for _, shared := range []string{"first", "unpack"} {
		if err := os.MkdirAll(filepath.Join(dir, shared), 0o700); err != nil {
			return fmt.Errorf("make the demo's directories: %w", err)
		}
	}
	for _, a := range fleet {
		own := filepath.Join(dir, a.name)
		if err := os.MkdirAll(filepath.Join(own, "mess"), 0o700); err != nil {
			return fmt.Errorf("make the demo's directories: %w", err)
		}
		for name, wanted := range map[string]bool{"sick": a.sick, "flaky": a.flaky} {
			if !wanted {
				continue
			}
			if err := os.WriteFile(filepath.Join(own, name), nil, 0o600); err != nil {
				return fmt.Errorf("make agent %s %s: %w", a.name, name, err)
			}
		}
	}
	return nil
}
