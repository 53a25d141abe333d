package browser

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/holdfast-db/holdfast/frontend/browser/fixture"
	"github.com/holdfast-db/holdfast/frontend/page"
)

var (
	base     = flag.String("base", os.Getenv("HOLDFAST_BASE"), "walk through the frontend at this address instead of the fixture (also HOLDFAST_BASE)")
	event    = flag.String("event", envOr("HOLDFAST_EVENT", fixture.EventName), "the event to walk through (also HOLDFAST_EVENT)")
	holdfast = flag.String("holdfast", os.Getenv("HOLDFAST_BINARY"), "walk through the product: its binary, which opens a shop for each test (also HOLDFAST_BINARY)")
	shots    = flag.String("shots", os.Getenv("HOLDFAST_SHOTS"), "write screenshots into this folder (also HOLDFAST_SHOTS)")
	axe      = flag.String("axe", os.Getenv("HOLDFAST_AXE"), "axe.min.js, for the check of accessibility (also HOLDFAST_AXE)")
	patience = flag.Duration("patience", time.Minute, "how long a step of a walk may take, as waiting in the line")

	// chromium is one process for all tests; each test is a visitor with cookies of its own.
	chromium context.Context
)

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func TestMain(m *testing.M) {
	flag.Parse()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-dev-shm-usage", true))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "no browser:", err)
		os.Exit(1)
	}
	chromium = ctx
	if *shots != "" {
		if err := os.MkdirAll(*shots, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	stop()
	stopAllocator()
	os.Exit(code)
}

// screen is what a visitor looks at.
type screen struct {
	name          string
	width, height int64
	mobile, dark  bool
	noScripts     bool
}

var (
	phone = screen{name: "390", width: 390, height: 844, mobile: true}
	desk  = screen{name: "1440", width: 1440, height: 900}
)

// visitor is a tab with cookies of its own.
type visitor struct {
	t      testing.TB
	ctx    context.Context
	base   string
	screen screen

	mu     sync.Mutex // guards faults
	faults []string   // what the page's scripts threw
}

// shop opens a fixture for one test.
func shop(t testing.TB) (*fixture.Shop, string) {
	t.Helper()
	pages, err := page.New(page.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := fixture.New(pages)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return s, server.URL
}

// address is where a walk goes: the frontend that was named, the product, or a fixture.
func address(t testing.TB) string {
	if *holdfast != "" && *base == "" {
		s := openReal(t)
		before := *event
		*event = s.Event
		t.Cleanup(func() { *event = before })
		return s.Addresses[0]
	}
	if *base != "" {
		return strings.TrimSuffix(*base, "/")
	}
	_, url := shop(t)
	return url
}

// onlyFixture skips what a real frontend cannot be asked to show.
func onlyFixture(t testing.TB) {
	if *base != "" || *holdfast != "" {
		t.Skip("needs the fixture; -base or -holdfast names a real frontend")
	}
}

func visit(t testing.TB, url string, s screen) *visitor {
	t.Helper()
	v := &visitor{t: t, base: url, screen: s}
	v.openTab(chromium, chromedp.WithNewBrowserContext())
	return v
}

// anotherTab is a second tab with the same cookies.
func (v *visitor) anotherTab() *visitor {
	v.t.Helper()
	second := &visitor{t: v.t, base: v.base, screen: v.screen}
	second.openTab(v.ctx)
	return second
}

func (v *visitor) openTab(parent context.Context, options ...chromedp.ContextOption) {
	v.t.Helper()
	t, s := v.t, v.screen
	ctx, cancel := chromedp.NewContext(parent, append(options, chromedp.WithListener(v.listen))...)
	v.ctx = ctx
	t.Cleanup(cancel)
	scheme := "light"
	if s.dark {
		scheme = "dark"
	}
	if err := chromedp.Do(ctx); err != nil { // without a deadline: the tab lives as long as the context of its first step
		t.Fatal(err)
	}
	v.do("set up the tab", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.mobile})
		if err == nil {
			_, err = cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		}
		if err == nil {
			_, err = cdp.Call(ctx, tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: s.noScripts})
		}
		return err
	}))
}

// listen keeps what the page's scripts throw.
func (v *visitor) listen(event any) {
	thrown, ok := event.(*runtime.EventExceptionThrown)
	if !ok {
		return
	}
	d := thrown.ExceptionDetails
	text := fmt.Sprintf("%s at %s:%d", d.Text, d.URL, d.LineNumber+1)
	if d.Exception != nil {
		text += " " + d.Exception.Description
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults = append(v.faults, text)
}

// do takes a step, or ends the test with a picture of where it got stuck.
func (v *visitor) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, *patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		v.shoot("stuck-" + strings.ReplaceAll(v.t.Name(), "/", "-"))
		v.t.Fatalf("%s: %v\n%.600s", what, err, v.text("main"))
	}
}

func (v *visitor) open(path string) {
	v.t.Helper()
	v.do("open "+path, chromedp.Navigate(v.base+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// shoot writes a picture of the whole page, if anybody wants to see it.
func (v *visitor) shoot(name string) {
	if *shots == "" {
		return
	}
	png, err := chromedp.Run(v.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		v.t.Logf("no screenshot of %s: %v", name, err)
		return
	}
	if v.screen.dark {
		name += "-dark"
	}
	if err := os.WriteFile(filepath.Join(*shots, name+"-"+v.screen.name+".png"), png, 0o644); err != nil {
		v.t.Error(err)
	}
}

// text gives what is written in an element; nothing where there is none.
func (v *visitor) text(selector string) string {
	ctx, cancel := context.WithTimeout(v.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS(selector)))
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(text), " ")
}

// eval gives the value of an expression in the page.
func eval[T any](v *visitor, expression string) T {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, *patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		v.t.Fatalf("%.200s: %v", expression, err)
	}
	return value
}

// eval does something in the page.
func (v *visitor) eval(what, expression string) {
	v.t.Helper()
	v.do(what, chromedp.Evaluate[chromedp.Void](expression))
}

// until waits for an expression to become true, on whatever page the visitor is by then.
func (v *visitor) until(what, expression string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, *patience)
	defer cancel()
	for {
		// While one page goes and the next one comes there is nobody to ask.
		if holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")")); err == nil && holds {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			v.shoot("stuck-" + strings.ReplaceAll(v.t.Name(), "/", "-"))
			v.t.Fatalf("%s: not within %v\n%.600s", what, *patience, v.text("main"))
		}
	}
}

// wellBehaved complains about what the page's scripts threw.
func (v *visitor) wellBehaved() {
	v.t.Helper()
	v.mu.Lock()
	for _, fault := range v.faults {
		v.t.Errorf("the page's scripts: %s", fault)
	}
	v.mu.Unlock()
	if eval[bool](v, `document.documentElement.scrollWidth > innerWidth + 1`) {
		v.shoot("wide-" + strings.ReplaceAll(v.t.Name(), "/", "-"))
		v.t.Errorf("the page is wider than the screen of %d px", v.screen.width)
	}
}
