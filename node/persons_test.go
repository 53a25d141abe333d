package node_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

// personKey makes a key that is told from all others by its number.
func personKey(n int) holdfast.PersonKey {
	k := holdfast.PersonKey{Salt: [holdfast.PersonSaltBytes]byte{byte(n)}}
	sum := sha256.Sum256([]byte(fmt.Sprint("hold ", n)))
	copy(k.Hold[:], sum[:])
	wrapped := sha256.Sum256([]byte(fmt.Sprint("wrapped ", n)))
	copy(k.Wrapped[:], wrapped[:])
	copy(k.Wrapped[32:], wrapped[:])
	return k
}

// onDisk is everything in a node's folder of persons.
func onDisk(t *testing.T, disk node.Disk) string {
	t.Helper()
	dir, err := disk.Dir("persons")
	if err != nil {
		t.Fatal(err)
	}
	names, err := dir.Names()
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, name := range names {
		f, err := dir.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&all, f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return all.String()
}

func (c *cluster) equalKeyrings() bool {
	for _, n := range c.nodes {
		if n.Persons() != c.nodes[0].Persons() {
			return false
		}
	}
	return true
}

func TestAForgottenKeyIsInNoFileOfAnyMember(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		ctx := t.Context()
		for i := range 5 {
			if err := c.nodes[0].PutPersonKey(ctx, personKey(i)); err != nil {
				t.Fatal(err)
			}
		}
		c.await("all have learned all keys", c.equalKeyrings)
		for i, n := range c.nodes {
			if k, err := n.PersonKey(personKey(3).Hold, personKey(3).Salt); err != nil || k != personKey(3) {
				t.Errorf("node %d has %v, %v", i+1, k, err)
			}
			if wrapped := personKey(3).Wrapped; !strings.Contains(onDisk(t, n.Disk()), string(wrapped[:])) {
				t.Errorf("the key is not in the files of node %d: the test looks in the wrong place", i+1)
			}
		}
		if err := c.nodes[1].ForgetPersons(ctx, []holdfast.HoldID{personKey(3).Hold}); err != nil {
			t.Fatal(err)
		}
		if wrapped := personKey(3).Wrapped; strings.Contains(onDisk(t, c.nodes[1].Disk()), string(wrapped[:])) {
			t.Error("the member that confirmed still has the key on disk")
		}
		c.await("all have learned who was forgotten", c.equalKeyrings)
		for i, n := range c.nodes {
			if _, err := n.PersonKey(personKey(3).Hold, personKey(3).Salt); !errors.Is(err, holdfast.ErrForgotten) {
				t.Errorf("node %d answers %v", i+1, err)
			}
			c.await(fmt.Sprintf("the key is in no file of node %d", i+1), func() bool { // who was told last may still be writing
				wrapped := personKey(3).Wrapped
				return !strings.Contains(onDisk(t, n.Disk()), string(wrapped[:]))
			})
			if k, err := n.PersonKey(personKey(4).Hold, personKey(4).Salt); err != nil || k != personKey(4) {
				t.Errorf("node %d has lost another key: %v, %v", i+1, k, err)
			}
		}
	})
}

func TestAMemberThatWasAwayLearnsWhoWasForgotten(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		ctx, hold := t.Context(), personKey(1).Hold
		if err := c.nodes[0].PutPersonKey(ctx, personKey(1)); err != nil {
			t.Fatal(err)
		}
		c.await("all have the key", c.equalKeyrings)
		c.kill(2)
		for _, n := range c.nodes[:2] {
			if err := n.ForgetPersons(ctx, []holdfast.HoldID{hold}); err != nil {
				t.Fatal(err)
			}
		}
		c.open(2)
		c.await("the one that was away has learned it", func() bool {
			_, err := c.nodes[2].PersonKey(hold, personKey(1).Salt)
			return errors.Is(err, holdfast.ErrForgotten)
		})
		if wrapped := personKey(1).Wrapped; strings.Contains(onDisk(t, c.nodes[2].Disk()), string(wrapped[:])) {
			t.Error("it still has the key on disk")
		}
		for i, n := range c.nodes {
			if err := n.PutPersonKey(ctx, personKey(1)); !errors.Is(err, holdfast.ErrForgotten) {
				t.Errorf("node %d took the key of a forgotten hold: %v", i+1, err)
			}
		}
	})
}

// A key that one member alone had, because its Put was cut off, must not come back from there.
func TestAForgottenHoldWinsOverALateKey(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		ctx, hold := t.Context(), personKey(1).Hold
		c.kill(2)
		for _, n := range c.nodes[:2] {
			if err := n.ForgetPersons(ctx, []holdfast.HoldID{hold}); err != nil {
				t.Fatal(err)
			}
		}
		c.kill(0)
		c.kill(1)
		c.open(2) // alone, it cannot know
		if err := c.nodes[2].PutPersonKey(ctx, personKey(1)); err != nil {
			t.Fatal(err)
		}
		c.open(0)
		c.open(1)
		c.await("all agree", func() bool { return c.equalKeyrings() && c.nodes[0].Persons().Forgotten == 1 })
		for i, n := range c.nodes {
			if _, err := n.PersonKey(hold, personKey(1).Salt); !errors.Is(err, holdfast.ErrForgotten) {
				t.Errorf("node %d answers %v", i+1, err)
			}
			if s := n.Persons(); s.Keys != 0 {
				t.Errorf("node %d has %d keys", i+1, s.Keys)
			}
		}
	})
}

func TestAcknowledgedKeysAndForgottenHoldsOutliveCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 1, node.Config{})
		defer c.closeAll()
		c.disks[0].SetFaults(sim.Faults{TearTails: true, SyncTime: 2 * time.Millisecond})
		kept, gone := map[int]bool{}, map[int]bool{}
		for round := range 40 {
			c.open(0)
			for n := range kept {
				if k, err := c.nodes[0].PersonKey(personKey(n).Hold, personKey(n).Salt); err != nil || k != personKey(n) {
					t.Fatalf("round %d: key %d is %v, %v", round, n, k, err)
				}
			}
			files := onDisk(t, c.nodes[0].Disk())
			for n := range 3 * round { // acknowledged or not
				wrapped := personKey(n).Wrapped
				_, err := c.nodes[0].PersonKey(personKey(n).Hold, personKey(n).Salt)
				if forgotten := errors.Is(err, holdfast.ErrForgotten); gone[n] && !forgotten {
					t.Fatalf("round %d: forgotten %d is %v", round, n, err)
				} else if forgotten && strings.Contains(files, string(wrapped[:])) {
					t.Fatalf("round %d: %d is forgotten, and on disk", round, n)
				}
			}
			living := c.nodes[0]
			var mu sync.Mutex
			dead := false // what a dying process still answers reaches nobody
			var calls sync.WaitGroup
			for i := range 3 {
				calls.Go(func() {
					n := 3*round + i
					err := living.PutPersonKey(t.Context(), personKey(n))
					if err == nil && i == 0 {
						err = living.ForgetPersons(t.Context(), []holdfast.HoldID{personKey(n).Hold})
					}
					mu.Lock()
					defer mu.Unlock()
					if dead {
						return
					}
					if err == nil && i == 0 {
						gone[n] = true
					} else if err == nil {
						kept[n] = true
					}
				})
			}
			time.Sleep(time.Duration(round) * 400 * time.Microsecond) // the disk is in the middle of something
			mu.Lock()
			dead = true
			mu.Unlock()
			c.kill(0)
			calls.Wait()
		}
		if len(kept) < 40 || len(gone) < 5 {
			t.Errorf("%d keys and %d forgotten holds were acknowledged: too few to prove anything", len(kept), len(gone))
		}
		c.open(0)
	})
}

func TestAKeyringRefusesWhatItCannotKeep(t *testing.T) {
	inCluster(t, 1, node.Config{}, func(t *testing.T, c *cluster) {
		ctx, n, k := t.Context(), c.nodes[0], personKey(1)
		for i := range 8 {
			k.Salt[7] = byte(i)
			if err := n.PutPersonKey(ctx, k); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.PutPersonKey(ctx, k); err != nil {
			t.Errorf("the same key again gave %v", err)
		}
		k.Salt[7] = 8
		if err := n.PutPersonKey(ctx, k); !errors.Is(err, holdfast.Denied) {
			t.Errorf("a ninth key of one hold gave %v", err)
		}
		k.Salt[7] = 7
		k.Wrapped[0]++
		if err := n.PutPersonKey(ctx, k); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("another key under the same name gave %v", err)
		}
		if err := n.PutPersonKey(ctx, holdfast.PersonKey{}); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("a key without a hold gave %v", err)
		}
		if err := n.ForgetPersons(ctx, make([]holdfast.HoldID, node.ForgetMax+1)); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("too many at once gave %v", err)
		}
		if _, err := n.PersonKey(personKey(2).Hold, personKey(2).Salt); !errors.Is(err, holdfast.NotFound) {
			t.Errorf("a key that nobody put gave %v", err)
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if err := n.PutPersonKey(gone, personKey(3)); err != nil && !errors.Is(err, holdfast.Unavailable) && !errors.Is(err, holdfast.Overloaded) {
			t.Errorf("a caller who has gone was told %v", err)
		}
	})
}

// A file that was damaged where it had been whole must not pass for one that was torn at a crash. What a power failure can do
// to the last write, which is leave a hole in it, must not pass for damage.
func TestADamagedKeyringIsNotOpened(t *testing.T) {
	const record = 96
	for name, c := range map[string]struct {
		at      int  // of the byte that is turned around, behind the file's first eight
		rewrite bool // the segment was written anew, since somebody was forgotten
		keys    int  // that are read; 0: the file is refused
	}{
		"in the first write":                      {at: 20},
		"in the last write, before whole records": {at: 2*record + 20, keys: 2},
		"at the end":                              {at: 4*record + 20, keys: 4},
		"in a segment that was written anew":      {at: record + 20, rewrite: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := sim.NewDisk(1, 4<<30)
				dir, err := disk.Mount().Dir("persons")
				must(t, err)
				ring := node.NewKeyring()
				files, err := node.OpenKeyFiles(dir, ring)
				must(t, err)
				for _, write := range [][]holdfast.PersonKey{{personKey(1), personKey(2)}, {personKey(3), personKey(4), personKey(5)}} {
					segment, err := files.Add(write)
					must(t, err)
					for i := range write {
						ring.Add(&write[i], segment)
					}
				}
				if c.rewrite {
					must(t, files.Rewrite(1, ring))
				}
				must(t, files.Close())
				disk.Damage("persons/keys-00000001", 8+c.at)
				ring = node.NewKeyring()
				files, err = node.OpenKeyFiles(dir, ring)
				if err == nil {
					must(t, files.Close())
				}
				if got := ring.Status().Keys; (err != nil) != (c.keys == 0) || c.keys > 0 && got != c.keys {
					t.Errorf("%d keys were read, %v", got, err)
				}
			})
		})
	}
}

// More than fits one lesson is learned all the same, and a full member goes on forgetting across its segments.
func TestALargeKeyringIsLearnedInLessons(t *testing.T) {
	const many = 20_000
	teacher, pupil := node.NewKeyring(), node.NewKeyring()
	for i := range many {
		k := personKey(i)
		k.Salt = [8]byte{byte(i), byte(i >> 8)}
		teacher.Add(&k, 1)
	}
	for i := range 100 {
		teacher.Forget(personKey(i * 7).Hold)
	}
	lessons := 0
	for from := uint16(0); ; lessons++ {
		holds, keys, next, more := teacher.Teach(pupil, from)
		if len(holds)+len(keys) > 9000 {
			t.Fatalf("a lesson of %d holds and %d keys", len(holds), len(keys))
		}
		for _, h := range holds {
			pupil.Forget(h)
		}
		for i := range keys {
			pupil.Add(&keys[i], 1)
		}
		if from = next; !more {
			break
		}
	}
	if pupil.Status() != teacher.Status() || pupil.Status().Keys != many-100 {
		t.Errorf("after %d lessons the pupil has %+v, the teacher %+v", lessons+1, pupil.Status(), teacher.Status())
	}
	if lessons < 2 {
		t.Errorf("%d lessons: too few to show that they go on", lessons+1)
	}
}
