package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// ground is a cluster with an event, and frontends in front of it.
type ground struct {
	t       testing.TB
	cluster *clienttest.Cluster
	event   client.EventRef
	client  *client.Client
	clock   *movable
}

// movable is a clock that runs, and can be moved on.
type movable struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (m *movable) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.ahead)
}

func (m *movable) advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead += d
}

// hall is an event of a tier, two sections with rows, and one without.
func hall(name string) command.EventSpec {
	return command.EventSpec{Name: name, Title: "An evening", Currency: "eur",
		Tiers: []command.Tier{{Name: "A", PriceMinor: 5000}, {Name: "B", PriceMinor: 0}},
		Sections: []command.Section{
			{Name: "Parkett", Rows: []command.Row{{Label: "1", First: 1, Seats: 10, Tier: holdfast.AnyTier}, {Label: "2", First: 1, Seats: 10, Tier: holdfast.AnyTier}}},
			{Name: "Balcony", Tier: 1, Rows: []command.Row{{Label: "A", First: 5, Seats: 6, Tier: holdfast.AnyTier}}},
			{Name: "Floor", Tier: 1, Places: 20}},
		Allocations: []command.Allocation{{Name: "friends", Spans: []command.Span{{Section: 0, Row: 1, First: 8, Last: 9}}}}}
}

// lined is hall with a line that is opened, frozen and drawn by hand.
func lined(name string) command.EventSpec {
	spec := hall(name)
	spec.Line = command.LineRules{Enabled: true}
	return spec
}

func newGround(t testing.TB, spec command.EventSpec) *ground {
	t.Helper()
	g := &ground{t: t, cluster: clienttest.New(t, clienttest.Config{}), clock: &movable{}}
	g.event = g.cluster.LoadEvent(spec)
	g.client = g.cluster.Client()
	if spec.Line.Enabled {
		if err := g.client.OpenLine(t.Context(), g.event); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// freeze and draw the line.
func (g *ground) draw() {
	g.t.Helper()
	if err := g.client.Draw(g.t.Context(), g.event, holdfast.BeaconRound{}); err != nil {
		g.t.Fatal(err)
	}
}

// site is one frontend that serves on loopback.
type site struct {
	*Server
	g    *ground
	base string
}

// serve starts a frontend. change may alter its configuration.
func (g *ground) serve(change ...func(*Config)) *site {
	g.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	cfg := Config{Name: "f" + listener.Addr().String(), Client: g.cluster.Client(), Listener: listener, Secret: Secret{1, 2, 3}, QuietMax: time.Hour, Now: g.clock.now,
		Logger: slog.New(slog.NewTextHandler(testLog{g.t}, &slog.HandlerOptions{Level: slog.LevelError}))}
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := s.Open(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			g.t.Error(err)
		}
	})
	return &site{Server: s, g: g, base: "http://" + listener.Addr().String()}
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// browser is somebody with cookies.
type browser struct {
	t      testing.TB
	http   *http.Client
	header http.Header // sent with every request
}

func newBrowser(t testing.TB) *browser {
	jar, _ := cookiejar.New(nil)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &browser{t: t, header: http.Header{}, http: &http.Client{Jar: jar, Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// go moves the browser to another frontend: a balancer keeps the name, so the cookies go along.
func (b *browser) move(from, to *site) {
	u, _ := url.Parse(from.base)
	v, _ := url.Parse(to.base)
	b.http.Jar.SetCookies(v, b.http.Jar.Cookies(u))
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

func (b *browser) do(method, address string, body any, headers ...string) answer {
	b.t.Helper()
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		reader = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, address, reader)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header = b.header.Clone()
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return b.send(r)
}

func (b *browser) send(r *http.Request) answer {
	b.t.Helper()
	resp, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{b.t, resp.StatusCode, resp.Header, raw}
}

// api calls the API, and holds the answer against its description.
func (b *browser) api(s *site, method, path string, body any, headers ...string) answer {
	b.t.Helper()
	a := b.do(method, s.base+path, body, headers...)
	checkAnswer(b.t, method, path, a)
	return a
}

// form posts a form with the page's token, as a browser without scripts does.
func (b *browser) form(s *site, page, action string, fields url.Values) answer {
	b.t.Helper()
	token := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindSubmatch(b.do("GET", s.base+page, nil).body)
	if token == nil {
		b.t.Fatalf("the page %s has no form", page)
	}
	if fields == nil {
		fields = url.Values{}
	}
	fields.Set("csrf", string(token[1]))
	r, err := http.NewRequestWithContext(context.Background(), "POST", s.base+action, strings.NewReader(fields.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(r)
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

func (a answer) into(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
}

func (a answer) code() string {
	var e errorOut
	_ = json.Unmarshal(a.body, &e)
	return e.Error.Code
}

func (a answer) place() (p placeOut) { a.t.Helper(); a.want(200).into(&p); return p }
func (a answer) hold() (h holdOut)   { a.t.Helper(); a.into(&h); return h }

// description is openapi.yaml, ready to check answers.
type description struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
	mu       sync.Mutex
	schemas  map[string]*jsonschema.Schema
}

var described = sync.OnceValue(func() *description {
	raw, err := openAPI()
	if err != nil {
		panic(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		panic(err)
	}
	d := &description{doc: doc.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	if err := d.compiler.AddResource("file:///openapi.json", doc); err != nil {
		panic(err)
	}
	return d
})

func (d *description) schema(pointer string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.schemas[pointer]; s != nil {
		return s, nil
	}
	s, err := d.compiler.Compile("file:///openapi.json#" + pointer)
	if err == nil {
		d.schemas[pointer] = s
	}
	return s, err
}

// operation finds what the description says of a request: the path's template.
func (d *description) operation(method, path string) (template string, op map[string]any) {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	best := -1
	for t, item := range d.doc["paths"].(map[string]any) {
		want := strings.Split(t, "/")
		if len(want) != len(parts) {
			continue
		}
		literal, ok := 0, true
		for i := range want {
			if want[i] == parts[i] {
				literal++
			} else if !strings.HasPrefix(want[i], "{") {
				ok = false
			}
		}
		if o, has := item.(map[string]any)[strings.ToLower(method)].(map[string]any); ok && has && literal > best {
			best, template, op = literal, t, o
		}
	}
	return template, op
}

func checkAnswer(t testing.TB, method, path string, a answer) {
	t.Helper()
	d := described()
	template, op := d.operation(method, path)
	if op == nil {
		t.Fatalf("%s %s is not in openapi.yaml", method, path)
	}
	responses := op["responses"].(map[string]any)
	status := fmt.Sprint(a.status)
	pointer := "/components/responses/Failure/content/application~1json/schema"
	if r, ok := responses[status].(map[string]any); ok {
		content, _ := r["content"].(map[string]any)
		if content == nil {
			if len(a.body) > 0 {
				t.Errorf("%s %s: %d with a body: %s", method, path, a.status, a.body)
			}
			return
		}
		if content["application/json"] == nil {
			return
		}
		escaped := strings.ReplaceAll(template, "/", "~1")
		pointer = "/paths/" + url.PathEscape(escaped) + "/" + strings.ToLower(method) + "/responses/" + status + "/content/application~1json/schema"
	} else if a.status < 400 {
		t.Errorf("%s %s answered %d, which openapi.yaml does not know", method, path, a.status)
		return
	}
	schema, err := d.schema(pointer)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Errorf("%s %s answered %d with what openapi.yaml does not allow: %v\n%s", method, path, a.status, err, a.body)
	}
	if a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable {
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d without saying when to come again", method, path, a.status)
		}
	}
}

// until polls a condition: something that another goroutine brings about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
