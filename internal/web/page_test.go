// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

var shots = flag.String("shots", "", "directory for pictures of the page, for people who change how it looks")

func TestThePageLoadsAndChangesWhenAnEventArrives(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	f := newFleet(t, store.Viewer)
	f.populate()
	complaints := console(ctx, t)
	do(ctx, t, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(f.url))
	await(ctx, t, `document.getElementById("link").dataset.link === "live"`)
	const tile = `document.querySelector('[data-key="main/el9-22"]').className`
	if got := eval[string](ctx, t, tile); got != "tile due" {
		t.Fatalf("the agent looks like %q before the event, want \"tile due\"", got)
	}
	eval[bool](ctx, t, `(document.querySelector('[data-key="main/el9-22"]').kept = true)`)
	f.step(hygiene.AgentID{Controller: "main", Name: "el9-22"}, "linux", hygiene.Claimed, time.Now())
	await(ctx, t, tile+` === "tile cleaning"`)
	if !eval[bool](ctx, t, `document.querySelector('[data-key="main/el9-22"]').kept === true`) {
		t.Error("the tile was made anew: what a person selected or focused in it would be lost")
	}
	await(ctx, t, `document.querySelector("#events li .type").textContent === "cleanup.claimed"`)
	if diff := cmp.Diff([]string(nil), complaints()); diff != "" {
		t.Errorf("the page complains on the console: %s", diff)
	}
}

func TestThePageIsWholeWithoutScripts(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	f := newFleet(t, store.Viewer)
	f.populate()
	withoutScripts(ctx, t)
	do(ctx, t, chromedp.Navigate(f.url))
	text, err := chromedp.Run(ctx, chromedp.Text("body"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"el9-22", "quarantined", "held by nightly: new disk <b>on Monday</b>", "team/compile-everything #4711", "agent.adopted", "team/<b>integration</b> of everything", "container 12, process 3", "nobody can tell"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
}

func TestNothingHangsOverTheEdgeOfASmallScreen(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	f := newFleet(t, store.Viewer)
	f.populate()
	for _, width := range []int64{320, 400, 768, 1280} {
		do(ctx, t, chromedp.EmulateViewport(width, 900), chromedp.Navigate(f.url))
		if got := eval[int64](ctx, t, "document.documentElement.scrollWidth"); got > width {
			t.Errorf("at a width of %d the page is %d wide", width, got)
		}
		for _, scheme := range []string{"light", "dark"} {
			colours(ctx, t, scheme)
			picture(ctx, t, scheme, width)
		}
	}
}

// picture keeps a picture of the page where -shots says so.
func picture(ctx context.Context, t *testing.T, scheme string, width int64) {
	t.Helper()
	if *shots == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("browser: %v", err)
	}
	name := filepath.Join(*shots, strconv.FormatInt(width, 10)+"-"+scheme+".png")
	if err := os.WriteFile(name, png, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLargeFleetsHaveCompactTiles(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	f := newFleet(t, store.Viewer)
	for i := range 300 {
		f.add("vm-"+strconv.Itoa(i), state{pool: "linux", to: []hygiene.State{hygiene.Due, hygiene.Running, hygiene.Clean}[i%3], seen: idle})
	}
	for _, width := range []int64{400, 1280} {
		do(ctx, t, chromedp.EmulateViewport(width, 900), chromedp.Navigate(f.url))
		if got := eval[int64](ctx, t, `document.querySelectorAll(".compact .tile").length`); got != 300 {
			t.Errorf("%d compact tiles at a width of %d, want 300", got, width)
		}
		if got := eval[int64](ctx, t, "document.documentElement.scrollWidth"); got > width {
			t.Errorf("at a width of %d the page is %d wide", width, got)
		}
		picture(ctx, t, "many", width)
	}
}

func TestAPersonSignsInAndOut(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	f := newFleet(t, "")
	f.populate()
	complaints := console(ctx, t)
	do(ctx, t, chromedp.EmulateViewport(400, 700), chromedp.Navigate(f.url))
	picture(ctx, t, "login", 400)
	await(ctx, t, `location.pathname === "/login"`)
	do(ctx, t, chromedp.SendKeys("#token", f.token+"\r"))
	await(ctx, t, `location.pathname === "/" && document.getElementById("link")?.dataset.link === "live"`)
	if got := eval[string](ctx, t, "document.cookie"); got != "" {
		t.Errorf("scripts can read the cookie: %s", got)
	}
	do(ctx, t, chromedp.Click(".who button"))
	await(ctx, t, `location.pathname === "/login"`)
	do(ctx, t, chromedp.Navigate(f.url))
	await(ctx, t, `location.pathname === "/login"`)
	if diff := cmp.Diff([]string(nil), complaints()); diff != "" {
		t.Errorf("the page complains on the console: %s", diff)
	}
}
