package node

import (
	"testing"
	"testing/synctest"
	"time"
)

// slowLog takes a millisecond to remove entries.
type slowLog struct {
	RaftStore
	last uint64
}

func (l slowLog) LastIndex() (uint64, error) { return l.last, nil }
func (l slowLog) DeleteRange(_, _ uint64) error {
	time.Sleep(time.Millisecond)
	return nil
}

func TestTheHeadIsTruncatedAtAPaceUnlessSomebodyWaits(t *testing.T) {
	const steps = 10
	for _, c := range []struct {
		name      string
		unhurried bool
		last      uint64 // of the log
		took      time.Duration
	}{
		{"head, with time", true, 10_000, steps * (1 + restTimes) * time.Millisecond},
		{"head, in a hurry", false, 10_000, steps * time.Millisecond},
		{"tail, for which Raft waits", true, steps * deleteStep, steps * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &logStore{under: slowLog{last: c.last}, latch: &latch{}, unhurried: func() bool { return c.unhurried }}
				began := time.Now()
				if err := s.DeleteRange(1, steps*deleteStep); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
			})
		})
	}
}

// slowSink takes a millisecond for each write.
type slowSink struct{}

func (slowSink) Write(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return len(b), nil
}

func TestASnapshotIsWrittenAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := false
		w := &unhurriedWriter{to: slowSink{}, pace: newPace(func() bool { return !closing })}
		write := func() time.Duration {
			began := time.Now()
			for range 4 {
				if _, err := w.Write(make([]byte, paceBytes/2)); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(began)
		}
		if took, want := write(), (4+2*2*restTimes)*time.Millisecond; took != want {
			t.Errorf("two pieces took %v, want %v", took, want)
		}
		closing = true
		if took, want := write(), 4*time.Millisecond; took != want {
			t.Errorf("two pieces took %v in a hurry, want %v", took, want)
		}
	})
}
