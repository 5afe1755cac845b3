// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/container"
)

// An engine that is stuck answers to pings still. Whoever starts a controller, or sweeps before one, is told of it in time.
func TestAnEngineThatIsStuckIsGivenUp(t *testing.T) {
	t.Parallel()
	image := `{"Id":"sha256:` + strings.Repeat("0", 64) + `"}`
	for name, tc := range map[string]struct {
		answers []string // the paths that are answered, but for the ping
		try     func(t *testing.T, socket string) error
	}{
		"sweeping": {nil, func(t *testing.T, socket string) error {
			t.Helper()
			_, err := container.Sweep(t.Context(), container.Leftovers{Engine: socket, Dir: t.TempDir(), AnswerWithin: 50 * time.Millisecond})
			return err
		}},
		"looking at the image": {nil, startAt},
		"seeding":              {[]string{"/images/x/json", "/containers/create"}, startAt},
		"starting":             {[]string{"/images/x/json", "/containers/create", "/archive"}, startAt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			var stuck sync.WaitGroup
			end := make(chan struct{})
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answered := strings.HasSuffix(r.URL.Path, "/_ping")
				for _, path := range tc.answers {
					answered = answered || strings.HasSuffix(r.URL.Path, path)
				}
				switch {
				case answered:
					_, _ = io.Copy(io.Discard, r.Body)
					w.Header().Set("Api-Version", "1.41")
					if strings.HasSuffix(r.URL.Path, "/create") {
						w.WriteHeader(http.StatusCreated)
					}
					_, _ = io.WriteString(w, image)
				case r.Method == http.MethodDelete || strings.HasSuffix(r.URL.Path, "/kill") || strings.HasPrefix(r.URL.Path, "/v1.41/containers/pitcrew-") && r.Method == http.MethodGet:
					http.NotFound(w, r) // what was begun can be taken back
				default:
					stuck.Add(1)
					defer stuck.Done()
					<-end
				}
			})}
			go server.Serve(l)
			defer func() {
				close(end)
				stuck.Wait()
				server.Close()
			}()
			if err := tc.try(t, socket); err == nil || !strings.Contains(err.Error(), "gives no answer within 50ms") {
				t.Errorf("it says %v", err)
			}
		})
	}
}

func startAt(t *testing.T, socket string) error {
	t.Helper()
	t.Helper()
	c, err := container.Start(t.Context(), container.Spec{Image: container.Image{Name: "x", Engine: socket, AnswerWithin: 50 * time.Millisecond}})
	if err == nil {
		_ = c.Stop(t.Context())
	}
	return err
}

// A socket may be named as any file.
func TestASocketIsNamedFromWhereOneIs(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	_, err = container.Sweep(t.Context(), container.Leftovers{Engine: "no.sock", Dir: t.TempDir()})
	if !errors.Is(err, container.ErrNoEngine) || !strings.Contains(err.Error(), "unix://"+here+"/no.sock (no such file or directory)") {
		t.Errorf("it says %v", err)
	}
}
