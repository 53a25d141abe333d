package sim

import (
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	memory "github.com/holdfast-db/holdfast/node/sim"
)

func TestASeedDecidesItsPlan(t *testing.T) {
	kinds := map[string]int{}
	for seed := uint64(1); seed <= 200; seed++ {
		p, err := PlanOf("", seed, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := PlanOf("", seed, time.Minute)
		if !reflect.DeepEqual(p, again) {
			t.Errorf("seed %d has two plans", seed)
		}
		kinds[p.Name]++
		for i, f := range p.Faults {
			if f.At < 0 || f.At >= p.Length || i > 0 && f.At < p.Faults[i-1].At {
				t.Errorf("seed %d: fault %d is at %v of %v", seed, i, f.At, p.Length)
			}
		}
	}
	for _, k := range planKinds() {
		if k.of > 0 && kinds[k.name] == 0 { // else it is played when it is asked for
			t.Errorf("no seed of 200 is %s: %v", k.name, kinds)
		}
	}
}

// What a plan's faults are meant to meet, they meet: else a kind would be counted that does nothing.
func TestFaultsThatWaitForSomethingFindIt(t *testing.T) {
	for _, kind := range []Kind{CrashSync, CrashSnapshot, FailDisk, Rot} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			p := NewPlan(3, 40*time.Second)
			p.Load.Clients, p.Load.Crowd, p.Snapshot, p.Faults, p.Timing.Transfer = 4, 3, 30, nil, 0
			if kind == Rot { // what is before a snapshot may never be read again
				p.Snapshot = 0
			}
			for at := 3 * time.Second; at < p.Length-5*time.Second; at += 6 * time.Second {
				p.Faults = append(p.Faults, Fault{At: at, For: 4 * time.Second, Kind: kind, Node: Leader, Nth: 3})
				if kind == Rot {
					break // the second would take the majority
				}
			}
			r := play(t, p)
			if len(r.Violations) > 0 {
				explain(t, r)
			}
			if r.Struck[kind] == 0 {
				t.Errorf("of %d none met what it was for: %v", len(r.Played), r.Struck)
			}
		})
	}
}

// Two faults may wait for a step of the same member, and each ends as if the other were not.
func TestTrapsOfOneMemberDoNotKnowOfEachOther(t *testing.T) {
	onStage(t, 10*time.Second, [Members]bool{}, func(s *stage) {
		never := s.cluster.begin(Fault{Kind: CrashSync, Node: preferred, Nth: 1 << 30})
		soon := s.cluster.begin(Fault{Kind: CrashSync, Node: preferred, Nth: 1})
		s.hold(1)
		if s.cluster.at(preferred) != nil {
			t.Error("nobody stepped into the trap that was set last")
		}
		for _, end := range []func(){soon, never} {
			end()
			if err := s.await("it is back", s.cluster.ready); err != nil {
				t.Fatal(err)
			}
		}
		s.cluster.mu.Lock()
		defer s.cluster.mu.Unlock()
		if s.cluster.members[preferred].down != 0 || len(s.cluster.failed) > 0 {
			t.Errorf("%d faults keep it down: %q", s.cluster.members[preferred].down, s.cluster.failed)
		}
	})
}

// A process that met damage goes on for a while, and may meet it again when its machine has another disk already.
func TestWhoHasCrashedTellsNothingOfADisk(t *testing.T) {
	onStage(t, 10*time.Second, [Members]bool{}, func(s *stage) {
		end := s.cluster.rot(Fault{Node: preferred})
		s.cluster.mu.Lock()
		process := s.cluster.config(preferred).Disk.(tapedDisk)
		s.cluster.mu.Unlock()
		process.damaged()
		time.Sleep(time.Second)
		process.damaged()
		end()
		time.Sleep(time.Second)
		process.damaged()
		s.cluster.mu.Lock()
		defer s.cluster.mu.Unlock()
		if m := s.cluster.members[preferred]; len(s.cluster.failed) > 0 || m.life == nil || m.down != 0 {
			t.Errorf("%q; it runs: %v, and %d faults keep it down", s.cluster.failed, m.life != nil, m.down)
		}
	})
}

// A member that ends by itself though nobody broke its disk is a violation.
func TestAMemberThatEndsByItselfIsNoticed(t *testing.T) {
	onStage(t, 10*time.Second, [Members]bool{}, func(s *stage) {
		follower := (preferred + 1) % Members
		heal := s.cluster.impairDisk(follower, func(f *memory.Faults) { f.SyncError = syscall.EIO })
		defer heal()
		s.hold(1)
		time.Sleep(time.Second)
		s.cluster.mu.Lock()
		defer s.cluster.mu.Unlock()
		if len(s.cluster.failed) != 1 || !strings.Contains(s.cluster.failed[0], nodeName(follower)+" has ended by itself") {
			t.Errorf("what must not be: %q", s.cluster.failed)
		}
	})
}

// Who starts waits until the process before it, which was stopped, has let go of its address. That may take it long.
func TestWhoIsStartedWaitsForWhoEnds(t *testing.T) {
	onStage(t, 10*time.Second, [Members]bool{}, func(s *stage) {
		heal := s.cluster.impairDisk(preferred, func(f *memory.Faults) { f.SyncTime = 20 * time.Second })
		defer heal()
		go s.hold(1)
		time.Sleep(100 * time.Millisecond)
		s.cluster.stop(preferred)
		time.Sleep(100 * time.Millisecond)
		s.cluster.up(preferred)
		s.cluster.mu.Lock()
		defer s.cluster.mu.Unlock()
		if len(s.cluster.failed) > 0 {
			t.Errorf("%q", s.cluster.failed)
		}
	})
}

// Who is stopped hands leadership over, and has a term to save, which a disk that fails does not.
func TestADiskMayFailWhileItsNodeIsStopped(t *testing.T) {
	onStage(t, 10*time.Second, [Members]bool{}, func(s *stage) {
		heal := s.cluster.failDisk(preferred)
		s.cluster.stop(preferred)
		time.Sleep(5 * time.Second)
		heal()
		s.cluster.up(preferred)
		if err := s.await("it is back", s.cluster.ready); err != nil {
			t.Error(err)
		}
	})
}
