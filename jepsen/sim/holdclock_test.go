package sim

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/model"
	memory "github.com/holdfast-db/holdfast/node/sim"
)

// What may happen to a hold: it ends on the shard's hold clock, which passes only while there is a leader. So it never
// ends before its time, whatever happens to processes and clocks; and after its time no later than it takes until there
// is a leader again, half a second for each change of leaders, and a tick.

// slack is what the way of commands and reads takes.
const slack = 30 * time.Millisecond

// stage is a cluster with a sale, and one client.
type stage struct {
	*world
	t      *testing.T
	client *client

	mu       sync.Mutex
	leaders  int           // how often another node began to serve
	headless time.Duration // how long none did
}

// onStage runs a scene in a bubble.
func onStage(t *testing.T, ttl time.Duration, sluggish [Members]bool, scene func(s *stage)) {
	t.Helper()
	inBubble(t, func(t *testing.T) {
		p := Plan{Seed: 1, Rules: model.Rules{HoldTTL: ttl, PayWindow: ttl, Grace: holdfast.GraceMax}, Load: Load{Seats: 100}, Sluggish: sluggish}
		w := &world{cluster: NewCluster(p, Sabotage{}, logger()), plan: p, recorder: &history.Recorder{}, began: time.Now()}
		defer w.cluster.Close()
		if err := w.open(); err != nil {
			t.Fatal(err)
		}
		// Each shard has a member that it prefers to be led by: for this one it is the second. Once it leads, nobody
		// hands over without need.
		if err := w.await("the preferred member leads", func() bool { return w.cluster.leader() == preferred }); err != nil {
			t.Fatal(err)
		}
		s := &stage{world: w, t: t, client: w.newClient(1)}
		stop := make(chan struct{})
		var watching sync.WaitGroup
		watching.Go(func() { s.watch(stop) })
		defer watching.Wait()
		defer close(stop)
		scene(s)
	})
}

const preferred = 1

// watch counts leaders, and the time without one.
func (s *stage) watch(stop chan struct{}) {
	every := min(max(s.plan.Rules.HoldTTL/2000, 5*time.Millisecond), 100*time.Millisecond)
	last := s.cluster.leader()
	for {
		select {
		case <-stop:
			return
		case <-time.After(every):
		}
		now := s.cluster.leader()
		if now >= 0 && s.cluster.isPaused(now) {
			now = -1
		}
		s.mu.Lock()
		switch {
		case now < 0:
			s.headless += every
		case now != last:
			s.leaders, last = s.leaders+1, now
		}
		s.mu.Unlock()
	}
}

// hold has the client hold a seat.
func (s *stage) hold(seat holdfast.SeatIndex) *claim {
	s.t.Helper()
	s.client.read([]holdfast.SeatIndex{seat}) // learns the clock
	h := s.client.hold([]holdfast.SeatIndex{seat})
	s.client.do(h)
	if h.Outcome != holdfast.OK || h.Repeated {
		s.t.Fatalf("the hold was answered %v", h.Outcome)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaders, s.headless = 0, 0
	return h
}

// end watches the hold's seat until it is free: it was when freed was asked, and was not when held was.
func (s *stage) end(h *claim) (held, freed time.Duration) {
	for {
		called := s.now()
		states, _, err := s.cluster.seats(s.client.at, s.event, false)
		switch {
		case err != nil:
			s.client.at = (s.client.at + 1) % Members
		case holdfast.SeatState(states[h.Seats[0]]) == holdfast.Held:
			held = called
		default:
			return held, s.now()
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// onTime checks when a hold ended.
func (s *stage) onTime(h *claim) {
	s.t.Helper()
	held, freed := s.end(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	const tick, perLeader = 250 * time.Millisecond, 500 * time.Millisecond
	ttl := s.plan.Rules.HoldTTL
	if early := ttl - (freed - h.Call); early > 0 {
		s.t.Errorf("the hold ended %v early", early)
	}
	late := held - h.Return - ttl
	if most := s.headless + time.Duration(s.leaders)*perLeader + tick + slack; late > most {
		s.t.Errorf("the hold was there %v after its time; with %d changes of leaders and %v without one it is %v at most", late, s.leaders, s.headless, most)
	}
	s.t.Logf("a hold of %v was there %v longer: %d changes of leaders, %v without one", ttl, late, s.leaders, s.headless)
}

// awaitLeader gives who leads.
func (s *stage) awaitLeader() int {
	if err := s.await("there is a leader", func() bool { return s.cluster.leader() >= 0 }); err != nil {
		s.t.Fatal(err)
	}
	return s.cluster.leader()
}

func TestAHoldEndsInTime(t *testing.T) {
	onStage(t, 10*time.Second, [Members]bool{}, func(s *stage) { s.onTime(s.hold(1)) })
}

func TestAHoldEndsInTimeAcrossLeaders(t *testing.T) {
	for _, kind := range []Kind{Crash, Restart, Isolate, Pause} {
		t.Run(string(kind), func(t *testing.T) {
			onStage(t, 20*time.Second, [Members]bool{}, func(s *stage) {
				h := s.hold(1)
				for range 6 {
					time.Sleep(1500 * time.Millisecond)
					end := s.cluster.begin(Fault{Kind: kind, Node: s.awaitLeader()})
					time.Sleep(1200 * time.Millisecond)
					end()
				}
				s.onTime(h)
				if s.leaders == 0 {
					t.Error("no leader changed: the test tests nothing")
				}
			})
		})
	}
}

// A leader that was stopped does not know it when it goes on, and must not add what it stamps to what others counted.
func TestAHoldEndsInTimeWhenALeaderWasPaused(t *testing.T) {
	onStage(t, 40*time.Second, [Members]bool{preferred: true}, func(s *stage) {
		h := s.hold(1)
		for range 2 {
			if err := s.await("it leads", func() bool { return s.cluster.leader() == preferred }); err != nil {
				t.Fatal(err)
			}
			end := s.cluster.pause(preferred)
			time.Sleep(4 * time.Second)
			if leader := s.cluster.leader(); leader == preferred || leader < 0 {
				t.Fatalf("nobody has taken over: %d", leader)
			}
			end()
		}
		s.onTime(h)
	})
}

// When all processes are stopped for 4 s, the time comes back to the buyer, but for a step and what was being stamped.
func TestTimeStandsStillWhileAllAreStopped(t *testing.T) {
	const stopped, lostMost = 4 * time.Second, 500*time.Millisecond + 2*250*time.Millisecond
	onStage(t, 10*time.Second, [Members]bool{true, true, true}, func(s *stage) {
		h := s.hold(1)
		time.Sleep(3 * time.Second)
		var ends []func()
		for i := range Members {
			ends = append(ends, s.cluster.pause(i))
		}
		// Sluggish leaders wait 5 s until they step down, and beat every second at least, so that theirs goes on as after a stop of
		// its process.
		time.Sleep(stopped - 100*time.Millisecond)
		for _, end := range ends {
			end()
		}
		_, freed := s.end(h)
		if s.leaders != 0 || s.cluster.leader() != preferred {
			t.Fatalf("%d leaders: the processes noticed that they were stopped", s.leaders)
		}
		if got := freed - h.Call; got < s.plan.Rules.HoldTTL+stopped-lostMost-100*time.Millisecond {
			t.Errorf("a hold of %v ended after %v, of which all were stopped for %v", s.plan.Rules.HoldTTL, got, stopped)
		} else {
			t.Logf("a hold of %v ended after %v, of which all were stopped for %v", s.plan.Rules.HoldTTL, got, stopped)
		}
	})
}

func TestAHoldEndsInTimeWhateverWallClocksDo(t *testing.T) {
	for _, by := range []time.Duration{2 * time.Hour, -2 * time.Hour, time.Second, -time.Second} {
		for _, who := range []string{"leader", "follower", "all"} {
			t.Run(fmt.Sprintf("%s/%v", who, by), func(t *testing.T) {
				onStage(t, 25*time.Second, [Members]bool{}, func(s *stage) {
					h := s.hold(1)
					time.Sleep(5 * time.Second)
					members := map[string][]int{"leader": {s.awaitLeader()}, "follower": {(s.awaitLeader() + 1) % Members}, "all": {0, 1, 2}}[who]
					back := s.cluster.jump(by, members...)
					time.Sleep(12 * time.Second) // by then a leader whose clock is in doubt has handed over
					back()
					s.onTime(h)
				})
			})
		}
	}
}

// Half an hour without a command, before the hold and while it lasts.
func TestAHoldEndsInTimeAfterIdleTime(t *testing.T) {
	if testing.Short() {
		t.Skip("half an hour takes some seconds")
	}
	onStage(t, 20*time.Minute, [Members]bool{}, func(s *stage) {
		time.Sleep(10 * time.Minute)
		h := s.hold(1)
		time.Sleep(19 * time.Minute)
		s.onTime(h)
	})
}

// A minority that is cut off must not keep the clock running: nor may a leader that cannot commit.
func TestTimeStandsStillWithoutAMajority(t *testing.T) {
	onStage(t, 10*time.Second, [Members]bool{}, func(s *stage) {
		h := s.hold(1)
		time.Sleep(2 * time.Second)
		heal := s.cluster.impair(memory.Link{Cut: true}, func(int, int) bool { return true })
		time.Sleep(time.Minute)
		heal()
		_, freed := s.end(h)
		if got := freed - h.Call; got < s.plan.Rules.HoldTTL+time.Minute-time.Second {
			t.Errorf("a hold of %v ended after %v, of which there was no majority for a minute", s.plan.Rules.HoldTTL, got)
		}
	})
}
