// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var shots = flag.String("shots", "", "directory for pictures of the page, for people who change how it looks")

// browserLimit bounds the test in a browser, its start included.
const browserLimit = 3 * time.Minute

func TestThePageFitsASmallScreen(t *testing.T) {
	t.Parallel()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	switch {
	case program == "" && os.Getenv("CI") != "":
		t.Fatal("no chromium found, and CI is set: install it (Debian: apt-get install chromium)")
	case program == "":
		t.Skip("no chromium found: the page was not tried in a browser (Debian: apt-get install chromium)")
	}
	r := example()
	r.Agents[1].Cases[3].Log = strings.Repeat("a line of a log\n", 200)
	text, err := HTML(r)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), browserLimit)
	defer cancel()
	ctx, stop := chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir())))
	defer stop()
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("browser: %v", err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("file://"+file)); err != nil {
		t.Fatalf("browser: %v", err)
	}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		t.Fatalf("browser: %v", err)
	}
	const cut = "document.querySelectorAll('details').forEach(d => d.open = true); [...document.querySelectorAll('pre')].filter(p => p.scrollHeight > p.clientHeight + 2).length"
	if n, err := chromedp.Run(ctx, chromedp.Evaluate[int64](cut)); err != nil || n > 0 {
		t.Errorf("of %d logs paper has the beginning only (%v)", n, err)
	}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}); err != nil {
		t.Fatalf("browser: %v", err)
	}
	for _, width := range []int64{320, 400, 1024} {
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate("file://"+file)); err != nil {
			t.Fatalf("browser: %v", err)
		}
		got, err := chromedp.Run(ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
		if err != nil || got > width {
			t.Errorf("at a width of %d the page is %d wide (%v)", width, got, err)
		}
		if *shots == "" {
			continue
		}
		for _, scheme := range []string{"light", "dark"} {
			p := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
			if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, p); err != nil {
				t.Fatalf("browser: %v", err)
			}
			picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatalf("browser: %v", err)
			}
			if err := os.WriteFile(filepath.Join(*shots, fmt.Sprintf("report-%d-%s.png", width, scheme)), picture, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
