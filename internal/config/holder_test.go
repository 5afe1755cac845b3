// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/config"
)

func TestReload(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "pitcrew.yaml", small, 0o600)
	h, err := config.NewHolder(path)
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name, text       string
		applied, restart []string
	}{
		{"nothing changed", small + "# a comment\n", nil, nil},
		{
			"settings in a list", strings.Replace(small, "user: pitcrew", "user: other\n  poll: 1s", 1),
			[]string{"controllers[0].user", "controllers[0].poll"},
			nil,
		},
		{
			"a longer list", small + "- {name: more, recipe: el}\n",
			[]string{"controllers[0].user", "controllers[0].poll", "pools"},
			nil,
		},
		{
			"what needs a restart", small + "data: /elsewhere\nlog: {level: debug, format: json}\nlabels: {clean: fresh}\napi: {listen: '127.0.0.1:1'}\nretention: {events: 10d}\n",
			[]string{"pools", "retention.events"},
			[]string{"data", "api.listen", "log.level", "log.format", "labels.clean"},
		},
		{"back again", small, []string{"retention.events"}, nil},
	}
	for _, step := range steps {
		if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		change, err := h.Reload(nil)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(config.Change{Applied: step.applied, Restart: step.restart}, change); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	if c := h.Current(); c.Data != "/var/lib/pitcrew" || c.Labels.Clean != "clean" || c.API.Listen != "127.0.0.1:8473" {
		t.Errorf("a setting that needs a restart changed: %+v", c)
	}
}

func TestABadFileKeepsTheOldConfiguration(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "pitcrew.yaml", small, 0o600)
	h, err := config.NewHolder(path)
	if err != nil {
		t.Fatal(err)
	}
	before := h.Current()
	if err := os.WriteFile(path, []byte("version: 1\npolls: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = h.Reload(nil)
	var bad *config.Error
	if !errors.As(err, &bad) || h.Current() != before {
		t.Errorf("error %v, same configuration %v", err, h.Current() == before)
	}
	if err := os.WriteFile(path, []byte(small+"log: {level: debug}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuse := errors.New("the recipe is bad")
	if _, err := h.Reload(func(*config.Config) error { return refuse }); !errors.Is(err, refuse) || h.Current() != before {
		t.Errorf("refused by the check: error %v, same configuration %v", err, h.Current() == before)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Reload(nil); !errors.Is(err, os.ErrNotExist) || h.Current() != before {
		t.Errorf("without a file: error %v, same configuration %v", err, h.Current() == before)
	}
}

func TestLoadDerivesTheOwnerFromTheHost(t *testing.T) {
	t.Parallel()
	c, err := config.Load(writeFile(t, "pitcrew.yaml", small, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if c.Owner == "" || strings.ContainsAny(c.Owner, " /") {
		t.Errorf("owner %q", c.Owner)
	}
	c, err = config.Load(writeFile(t, "pitcrew.yaml", "owner: us\n"+small, 0o600))
	if err != nil || c.Owner != "us" {
		t.Errorf("error %v; owner %q, want the one that is set", err, c.Owner)
	}
}

func TestLoadRefusesWhatIsNoSmallFile(t *testing.T) {
	t.Parallel()
	if _, err := config.Load(t.TempDir()); err == nil {
		t.Error("a directory is loaded")
	}
	huge := writeFile(t, "huge.yaml", small+strings.Repeat("# filler\n", 1<<18), 0o600)
	if _, err := config.Load(huge); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a huge file: error %v", err)
	}
}
