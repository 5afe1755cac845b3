// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/app"
	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// demoConfig is the daemon's configuration: as a person would write it, but with short times, so
// that something is to be seen. A pool for each kind of agents follows.
const demoConfig = `version: 1
data: %s
owner: demo
api: {listen: "%s"}
log: {level: warn}
controllers:
- name: demo
  url: %s
  user: %s
  token: file:%s
  poll: 1s
  buildFeedEvery: 20s
  maxCleanups: %d
  requests: {perSecond: 1000}
recipes:
- {name: demo, file: %s}
pools:
`

const demoPool = `- name: LABEL
  agents: LABEL
  recipe: demo
  backoff: {first: 3s, max: 15s}
  quarantine: {after: 3, nextLook: 10m}
  capacityFloor: 0
`

// openApp sets the daemon up for the first controller.
func (s *show) openApp(ctx context.Context, recipeFile string) error {
	listen := s.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	path, token := filepath.Join(s.dir, "pitcrew.yaml"), filepath.Join(s.dir, "token")
	if err := os.WriteFile(token, []byte(s.out.token+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the demo's token: %w", err)
	}
	var text strings.Builder
	fmt.Fprintf(&text, demoConfig, filepath.Join(s.dir, "data"), listen, s.out.url, userName, token, max(2, s.Agents/2), recipeFile)
	for _, k := range kinds {
		text.WriteString(strings.ReplaceAll(demoPool, "LABEL", k.label))
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	holder, err := config.NewHolder(path)
	if err != nil {
		return fmt.Errorf("the demo's configuration: %w", err)
	}
	s.app, err = app.New(ctx, app.Options{
		Config: holder, Log: s.Log, Version: s.Version, Anonymous: store.Operator,
	})
	return err
}
