// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"archive/zip"
	"errors"
	"os"
	"strings"
	"testing"
)

// A real java is told what java understands, and gets nothing of our environment.
func TestWarInJava(t *testing.T) {
	if testing.Short() {
		t.Skip("mostly runs another program")
	}
	t.Setenv("PITCREW_TEST_SECRET", "x")
	classes := compile(t, "testdata/war", "")
	s := warSpec(t)
	s.War.Java = ""
	file, err := os.Create(s.War.File)
	if err != nil {
		t.Fatal(err)
	}
	jar := zip.NewWriter(file)
	manifest, err := jar.Create("META-INF/MANIFEST.MF")
	if err == nil {
		_, err = manifest.Write([]byte("Manifest-Version: 1.0\r\nMain-Class: Main\r\n\r\n"))
	}
	if err := errors.Join(err, jar.AddFS(os.DirFS(classes)), jar.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	s.JavaOptions = []string{"-Xmx48m"}
	c := start(t, s)
	serves(t, c)
	if !strings.Contains(c.Log(), "max memory 4") {
		t.Errorf("it did not get its options:\n%s", c.Log())
	}
	stopped(t, c)
	if left := homes(t, s); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
