// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browserLimit bounds one test of the page in a browser, its start included.
const browserLimit = 2 * time.Minute

// browser starts a browser with one empty tab. Without one installed the test is skipped, or fails
// where CI is set: there it must be.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := findBrowser()
	switch {
	case path == "" && os.Getenv("CI") != "":
		t.Fatal("no chromium found, and CI is set: install it (Debian: apt-get install chromium)")
	case path == "":
		t.Skip("no chromium found: the page was not tried in a browser (Debian: apt-get install chromium)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), browserLimit)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
	))
	t.Cleanup(stop)
	do(ctx, t, chromedp.Navigate("about:blank"))
	return ctx
}

func findBrowser() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func do(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("browser: %v", err)
	}
}

// eval returns what an expression is in the page.
func eval[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("browser: %s: %v", expression, err)
	}
	return v
}

// await waits until an expression is true in the page.
func await(ctx context.Context, t *testing.T, expression string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !eval[bool](ctx, t, expression) {
		select {
		case <-ctx.Done():
			t.Fatalf("browser: %s did not become true", expression)
		case <-tick.C:
		}
	}
}

// console collects what the page complains about.
func console(ctx context.Context, t *testing.T) (complaints func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() || m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning {
				mu.Lock()
				all = append(all, m.String())
				mu.Unlock()
			}
		}
	}()
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func withoutScripts(ctx context.Context, t *testing.T) {
	t.Helper()
	p := emulation.SetScriptExecutionDisabledParams{Value: true}
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, p); err != nil {
		t.Fatalf("browser: %v", err)
	}
}

func colours(ctx context.Context, t *testing.T, scheme string) {
	t.Helper()
	p := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, p); err != nil {
		t.Fatalf("browser: %v", err)
	}
}
