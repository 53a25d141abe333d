package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/visitor"
)

// saidWithin is how soon the waiting page says what is wrong (design: two seconds), and what this test's own asking and a
// busy machine may add.
const saidWithin = 2*time.Second + 500*time.Millisecond

// sale is a cluster and two frontends, all processes, with an event that costs nothing.
type sale struct {
	t         *testing.T
	cluster   *localCluster
	client    *client.Client
	frontends []string
	endpoints string
}

func newSale(t *testing.T) *sale {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes, and takes some seconds")
	}
	dir := t.TempDir()
	cluster, err := startLocal(dir, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &sale{t: t, cluster: cluster, endpoints: strings.Join(cluster.endpoints(), ",")}
	t.Cleanup(func() {
		if err := cluster.stop(); err != nil {
			t.Error(err)
		}
	})
	if s.client, err = client.New(cluster.endpoints()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.client.Close() })
	if _, err := cluster.ready(t.Context(), s.client); err != nil {
		t.Fatal(err)
	}
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	secret := secretFile(t, 0o600)
	for i, port := range ports {
		name := fmt.Sprintf("f%d", i+1)
		if _, err := cluster.launch(name, filepath.Join(dir, name), "frontend", "run", "--name", name, "--listen", loopback(port), "--secret-file", secret,
			"--payments", "none", "--endpoints", s.endpoints, "--log-level", "warn"); err != nil {
			t.Fatal(err)
		}
		s.frontends = append(s.frontends, "http://"+loopback(port))
	}
	for _, f := range s.frontends {
		s.until("a frontend serves", startPatience, func() bool { return serves(t.Context(), f) })
	}
	return s
}

// event puts an event with one row of seats on sale, with a line.
func (s *sale) event(name string, seats int) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), name+".yaml")
	text := fmt.Sprintf("name: %s\ntitle: Free\ncurrency: eur\ntiers: [{name: A, price: 0}]\nsections: [{name: Stalls, tier: A, rows: [{row: A, seats: 1-%d}]}]\nline: {}\n", name, seats)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.must("event", "apply", "-f", file)
	s.must("queue", "open", name)
	s.must("event", "open", name)
	for _, f := range s.frontends {
		s.until("the event is known", 10*time.Second, func() bool {
			a, err := http.Get(f + "/api/v1/events/" + name)
			if err != nil {
				return false
			}
			a.Body.Close()
			return a.StatusCode == http.StatusOK
		})
	}
}

func (s *sale) must(args ...string) string {
	s.t.Helper()
	var out, errs bytes.Buffer
	if code := run(s.t.Context(), append([]string{"--endpoints", s.endpoints}, args...), &out, &errs); code != exitOK {
		s.t.Fatalf("holdfast %s: exit code %d\n%s%s", strings.Join(args, " "), code, out.String(), errs.String())
	}
	return out.String()
}

// until gives how long it took.
func (s *sale) until(what string, most time.Duration, ok func() bool) time.Duration {
	s.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > most {
			s.t.Fatalf("waited %v in vain until %s", most, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}

// heard is what a waiting page says, as far as it matters here.
type heard struct {
	Number     uint32 `json:"number"`
	Room       string `json:"room"`
	Sale       string `json:"sale"`
	Paused     bool   `json:"paused"`
	Leaderless bool   `json:"leaderless"`
}

// ask asks a frontend for a place.
func (s *sale) ask(frontend, event, token string) heard {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, frontend+"/api/v1/events/"+event+"/line/place", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Place "+token)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer a.Body.Close()
	var p heard
	if err := json.NewDecoder(a.Body).Decode(&p); err != nil || a.StatusCode != http.StatusOK {
		s.t.Fatalf("the place is answered with %d, %v", a.StatusCode, err)
	}
	return p
}

// everywhere waits until the place is told so at both frontends, and holds that against the promise.
func (s *sale) everywhere(what, event, token string, ok func(heard) bool) {
	s.t.Helper()
	began := time.Now()
	for _, f := range s.frontends {
		s.until(what+" is said at "+f, 10*time.Second, func() bool { return ok(s.ask(f, event, token)) })
	}
	took := time.Since(began)
	s.t.Logf("%s is said everywhere after %v", what, took.Round(10*time.Millisecond))
	if took > saidWithin {
		s.t.Errorf("%s was said after %v", what, took)
	}
}

// join joins a crowd at both frontends at once, and gives the places by number.
func (s *sale) join(event string, crowd int) []*visitor.Visitor {
	s.t.Helper()
	var mu sync.Mutex
	byNumber := map[uint32]*visitor.Visitor{}
	var all sync.WaitGroup
	for i := range crowd {
		all.Go(func() {
			v := visitor.New(visitor.Config{Frontends: []string{s.frontends[i%2], s.frontends[1-i%2]}, Event: event})
			p, err := v.Join(s.t.Context())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.t.Error(err)
			} else if byNumber[p.Number] != nil {
				s.t.Errorf("place %d was given twice", p.Number)
			}
			byNumber[p.Number] = v
		})
	}
	all.Wait()
	people := make([]*visitor.Visitor, crowd)
	for n := range people {
		if people[n] = byNumber[uint32(n)]; people[n] == nil {
			s.t.Fatalf("place %d was given to nobody, and %d people have joined", n, crowd)
		}
	}
	return people
}

// token is a visitor's, for asking at a frontend of one's choice.
func (s *sale) token(v *visitor.Visitor) string {
	s.t.Helper()
	p, err := v.Join(s.t.Context())
	if err != nil || p.Token == "" {
		s.t.Fatalf("joining again: %+v, %v", p, err)
	}
	return p.Token
}

// TestTwoFrontendsGiveOneLine: the numbers that two frontends give at once have neither gaps nor duplicates; a place is the
// same at either.
func TestTwoFrontendsGiveOneLine(t *testing.T) {
	s := newSale(t)
	s.event("evening", 10)
	const crowd = 50
	people := s.join("evening", crowd)
	for _, n := range []uint32{0, 17, crowd - 1} {
		token := s.token(people[n])
		for _, f := range s.frontends {
			if p := s.ask(f, "evening", token); p.Number != n {
				t.Errorf("place %d is %d at %s", n, p.Number, f)
			}
		}
	}
	if l, err := s.client.Line(t.Context(), client.Named("evening")); err != nil || l.Issued != crowd {
		t.Errorf("%d places were given, %v", l.Issued, err)
	}
	s.must("queue", "draw", "evening")
	if out := s.must("queue", "verify-draw", "evening"); !strings.Contains(out, "the draw holds") {
		t.Error(out)
	}
}

// TestTroubleIsSaidOnTheWaitingPageWithinTwoSeconds: a pause, a sale that has sold out, one that was closed, and a shard
// that has lost its leader with its quorum. Places survive all of it.
func TestTroubleIsSaidOnTheWaitingPageWithinTwoSeconds(t *testing.T) {
	s := newSale(t)
	s.event("evening", 4)
	people := s.join("evening", 12)
	token := s.token(people[7])

	s.must("queue", "pause", "evening")
	s.everywhere("a paused line", "evening", token, func(p heard) bool { return p.Paused })
	s.must("queue", "resume", "evening")
	s.everywhere("that it goes on", "evening", token, func(p heard) bool { return !p.Paused })
	s.must("event", "pause", "evening")
	s.everywhere("a paused sale", "evening", token, func(p heard) bool { return p.Sale == holdfast.SalePaused.String() })
	s.must("event", "open", "evening")

	s.loseLeader("evening", token, 7)

	// A line that is closed by hand, while seats are left.
	s.event("matinee", 4)
	early := s.token(s.join("matinee", 2)[1])
	s.must("queue", "draw", "matinee")
	s.must("queue", "close", "matinee")
	s.everywhere("a closed line", "matinee", early, func(p heard) bool { return p.Room == "over" })

	// Somebody buys all there is: the others are told, and who bought is told that.
	s.must("queue", "draw", "evening")
	s.soldOut("evening", people)
}

// loseLeader kills two of three members, the leader among them, and starts them again.
func (s *sale) loseLeader(event, token string, number uint32) {
	s.t.Helper()
	leader, err := s.cluster.leader(s.t.Context(), s.client, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	other := s.cluster.members[(slices.Index(s.cluster.members, leader)+1)%3]
	for _, m := range []*localMember{other, leader} {
		if err := m.kill(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.everywhere("a lost leader", event, token, func(p heard) bool { return p.Leaderless && p.Number == number })
	late := visitor.New(visitor.Config{Frontends: s.frontends[:1], Event: event})
	ctx, cancel := context.WithTimeout(s.t.Context(), 12*time.Second)
	defer cancel()
	if p, err := late.Join(ctx); err == nil {
		s.t.Errorf("somebody has joined without a quorum: %+v", p)
	}
	for _, f := range s.frontends {
		if !serves(s.t.Context(), f) {
			s.t.Errorf("%s is not ready, and a member answers", f)
		}
	}
	for _, m := range []*localMember{other, leader} {
		if err := s.cluster.start(m); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, f := range s.frontends {
		s.until("the leader is back", startPatience, func() bool { p := s.ask(f, event, token); return !p.Leaderless && p.Number == number })
	}
}

// soldOut lets the first who are let in buy everything.
func (s *sale) soldOut(event string, people []*visitor.Visitor) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	first := -1
	s.until("somebody is let in", time.Minute, func() bool {
		first = slices.IndexFunc(people, func(v *visitor.Visitor) bool {
			p, err := v.Place(ctx)
			return err == nil && p.State == "admitted"
		})
		return first >= 0
	})
	waits := s.token(people[(first+1)%len(people)])
	buyer := people[first]
	h, err := buyer.Hold(ctx, visitor.NewKey(), visitor.Want{Best: &visitor.Best{Count: 4}})
	if err != nil {
		s.t.Fatal(err)
	}
	if p := s.ask(s.frontends[1], event, waits); p.Room == "sold_out" {
		s.t.Error("what is in somebody's hands is called sold out")
	}
	if c, err := buyer.Checkout(ctx, visitor.NewKey(), h.ID, visitor.Buyer{Mail: "ann@example.org", Name: "Ann"}); err != nil || c.Order == "" {
		s.t.Fatalf("%+v, %v", c, err)
	}
	// Who was let in as well is told by the seats; who is outside by the waiting page.
	outside := visitor.New(visitor.Config{Frontends: s.frontends, Event: event})
	s.everywhere("sold out", event, s.token(outside), func(p heard) bool { return p.Room == "sold_out" })
	s.until("who bought is told that", 10*time.Second, func() bool {
		p, err := buyer.Place(ctx)
		return err == nil && p.State == "finished"
	})
}
