// SPDX-License-Identifier: Apache-2.0

package container

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// put copies files into the home, whether the container runs or not. They belong to the user that the container runs as.
func (b *box) put(ctx context.Context, files map[string][]byte) error {
	if len(files) == 0 {
		return nil
	}
	return b.copyTo(ctx, b.home, files)
}

// putNew does so where the image has no such home, and makes that.
func (b *box) putNew(ctx context.Context, files map[string][]byte) error {
	home := strings.Trim(path.Clean(b.home), "/")
	below := map[string][]byte{}
	for name, text := range files {
		below[path.Join(home, name)] = text
	}
	return b.copyTo(ctx, "/", below, path.Dir(home))
}

// copyTo leaves the directories in existing alone, and what is above them.
func (b *box) copyTo(ctx context.Context, dir string, files map[string][]byte, existing ...string) error {
	content, err := pack(files, existing...)
	if err != nil {
		return fmt.Errorf("pack seed: %w", err)
	}
	_, err = b.engine.CopyToContainer(ctx, b.name, client.CopyToContainerOptions{DestinationPath: dir, Content: content, CopyUIDGID: true})
	if err != nil {
		return fmt.Errorf("copy seed into %s of container %s: %w", b.home, b.name, err)
	}
	return nil
}

// pack makes a tar file of files and the directories that they are in. Directories come first and only once, or they would take
// those of the image's own away.
func pack(files map[string][]byte, existing ...string) (*bytes.Buffer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	made := map[string]bool{".": true}
	for _, dir := range existing {
		made[dir] = true
	}
	var mkdir func(dir string) error
	mkdir = func(dir string) error {
		if made[dir] {
			return nil
		}
		made[dir] = true
		return errors.Join(mkdir(path.Dir(dir)), w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o700}))
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := errors.Join(mkdir(path.Dir(name)), w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(files[name]))}))
		if _, wrote := w.Write(files[name]); err != nil || wrote != nil {
			return nil, errors.Join(err, wrote)
		}
	}
	return &out, w.Close()
}

// observe passes the container's log on and waits for its end, both until the box is silenced.
func (b *box) observe(ctx context.Context) {
	life, silence := context.WithCancel(context.WithoutCancel(ctx))
	b.silence, b.logged, b.ended = silence, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(b.logged)
		b.follow(life)
	}()
	go func() {
		defer close(b.ended)
		b.how = b.end(life)
	}()
}

// follow passes the log on until it ends, which is soon after the container has. Podman may end it before it has passed on the last lines,
// when these come with the container's end, so these are asked for once more.
func (b *box) follow(life context.Context) {
	stdout, stderr := lines{to: b.tail}, lines{to: b.tail}
	err := b.readLog(life, true, &stdout, &stderr)
	if err == nil {
		stdout.again()
		stderr.again()
		if err = b.readLog(life, false, &stdout, &stderr); errdefs.IsNotFound(err) {
			err = nil // it was removed meanwhile
		}
	}
	stdout.flush()
	stderr.flush()
	if err != nil && life.Err() == nil {
		fmt.Fprintf(b.tail, "pitcrew: the log breaks off here: %v\n", err)
	}
}

// readLog reads the log as far as it goes, or until the container has ended.
func (b *box) readLog(life context.Context, follow bool, stdout, stderr io.Writer) error {
	log, err := b.engine.ContainerLogs(life, b.name, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow})
	if err != nil {
		return err
	}
	defer log.Close()
	_, err = stdcopy.StdCopy(stdout, stderr, log)
	return err
}

// drain waits for the rest of the log of a container that has ended.
func (b *box) drain() {
	limit := time.NewTimer(drainWithin)
	defer limit.Stop()
	select {
	case <-b.logged:
	case <-limit.C:
	}
}

// end blocks until the container has ended, and returns how.
func (b *box) end(life context.Context) error {
	again := time.NewTicker(lifeEvery)
	defer again.Stop()
	for {
		waiting := b.engine.ContainerWait(life, b.name, client.ContainerWaitOptions{Condition: api.WaitConditionNotRunning})
		select {
		case <-waiting.Result:
		case <-waiting.Error: //nolint:errcheck // it proves nothing: see below
		case <-life.Done():
			select { // one of them comes, and its goroutine with it
			case <-waiting.Result:
			case <-waiting.Error: //nolint:errcheck // it says that life is over
			}
			return errStopped
		}
		// An error of the wait proves nothing: the engine itself may have been started anew, with its containers alive.
		if how := b.death(life); how != nil {
			return how
		}
		select {
		case <-again.C:
		case <-life.Done():
			return errStopped
		}
	}
}

func (b *box) wait() error {
	<-b.ended
	return b.how
}

// endSoon is how the container has ended, or nil if it has not: an engine can refuse what there is nobody for any more a moment before it
// knows of the end.
func (b *box) endSoon(ctx context.Context) error {
	limit := time.NewTimer(endWithin)
	defer limit.Stop()
	select {
	case <-b.ended:
		return b.how
	case <-limit.C:
	case <-ctx.Done():
	}
	return b.death(ctx)
}

// errStopped is the end that we have made ourselves.
var errStopped = errors.New("it was stopped")

// death is how the container has ended, or nil if it runs or that cannot be told.
func (b *box) death(ctx context.Context) error {
	found, err := b.engine.ContainerInspect(ctx, b.name, client.ContainerInspectOptions{})
	switch {
	case errdefs.IsNotFound(err):
		b.drain()
		return fmt.Errorf("container %s was removed by somebody", b.name)
	case err != nil || found.Container.State == nil || found.Container.State.Running || found.Container.State.Status == api.StateCreated:
		return nil //nolint:nilerr // an engine that does not answer proves nothing
	}
	b.drain()
	state := found.Container.State
	if state.OOMKilled {
		return fmt.Errorf("container %s ran out of memory: its limit is %d MiB", b.name, b.spec.Image.Limits.Memory>>20)
	}
	return fmt.Errorf("container %s ended with exit code %d", b.name, state.ExitCode)
}
