// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestDatabasesAreBelievedGoneOnlyWhenTheServerSaysSo runs the script with programs that stand in for those of PostgreSQL.
func TestDatabasesAreBelievedGoneOnlyWhenTheServerSaysSo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dropdb string
		fails  bool
	}{
		"they are dropped":               {`rm "$D/$2"`, false},
		"one stays":                      {`:`, true},
		"the server goes away meanwhile": {`[ "$2" = engine ] || mv "$D" "$D.gone"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bin, databases := t.TempDir(), filepath.Join(t.TempDir(), "all")
			for tool, text := range map[string]string{"runuser": `shift 3; exec "$@"`, "psql": `exec ls "$D"`, "dropdb": c.dropdb} {
				if err := os.WriteFile(filepath.Join(bin, tool), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"engine", "engine_1", "postgres"} {
				if err := os.MkdirAll(databases, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(databases, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), "sh", "parts/files/drop-databases.sh")
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "D="+databases, "DATABASES=engine engine_*")
			out, err := cmd.CombinedOutput()
			if (err != nil) != c.fails {
				t.Errorf("%v, %s; want a failure: %v", err, out, c.fails)
			}
		})
	}
}
