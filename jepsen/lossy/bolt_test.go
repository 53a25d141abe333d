//go:build linux

package lossy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// cuts is how often the power is cut. go test ./jepsen/lossy -run Bolt -cuts 2000 -timeout 1h is the long way.
var cuts = flag.Int("cuts", 8, "how often the power is cut under bbolt")

var (
	boltBucket = []byte("bucket")
	boltLast   = []byte("last") // the number of the last transaction
)

// boltOptions are those of holdfast's logs.
func boltOptions() *bbolt.Options {
	return &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
}

const boltKeys = 300

// boltPut is what transaction i does: a few keys get new values, some of several pages, and some go.
func boltPut(i uint64, put func(key, value []byte) error) error {
	r := rand.New(rand.NewPCG(i, 2))
	for range 1 + r.IntN(8) {
		key := fmt.Appendf(nil, "key-%03d", r.IntN(boltKeys))
		var value []byte
		if r.IntN(4) > 0 {
			value = make([]byte, 8+r.IntN(1<<(4+r.IntN(11))))
			for j := range value {
				value[j] = byte(i) + byte(j)
			}
		}
		if err := put(key, value); err != nil {
			return err
		}
	}
	return nil
}

// writeWithBolt is the program that the power is cut under: it goes on from where the file is, and says which transactions
// are done.
func writeWithBolt(plan string) error {
	path, noSync := strings.CutSuffix(plan, "!")
	o := boltOptions()
	o.NoSync = noSync
	db, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	if err := dir.Sync(); err != nil {
		return err
	}
	for {
		last := uint64(0)
		err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(boltBucket)
			if err != nil {
				return err
			}
			if v := b.Get(boltLast); v != nil {
				last = binary.BigEndian.Uint64(v)
			}
			last++
			if err := b.Put(boltLast, binary.BigEndian.AppendUint64(nil, last)); err != nil {
				return err
			}
			return boltPut(last, func(key, value []byte) error {
				if value == nil {
					return b.Delete(key)
				}
				return b.Put(key, value)
			})
		})
		if err != nil {
			return err
		}
		fmt.Println(last)
	}
}

// boltModel is what the file must hold after the transactions up to last.
type boltModel struct {
	last   uint64
	values map[string]string
}

func (m *boltModel) goOn(until uint64) {
	for m.last < until {
		m.last++
		_ = boltPut(m.last, func(key, value []byte) error { // the function has no error to give
			if value == nil {
				delete(m.values, string(key))
			} else {
				m.values[string(key)] = string(value)
			}
			return nil
		})
	}
}

// check opens what is left and compares: everything up to the last transaction that was confirmed is there, perhaps one
// more, whole, and the file is sound.
func (m *boltModel) check(path string, confirmed uint64) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a damaged page leads out of the map
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged: %v", r)
		}
	}()
	o := boltOptions()
	o.ReadOnly = true
	if st, err := os.Stat(path); err != nil || st.Size() == 0 {
		return errors.Join(errors.New("there is nothing"), err)
	}
	db, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		for bad := range tx.Check() {
			err = errors.Join(err, bad)
		}
		b := tx.Bucket(boltBucket)
		if err != nil || b == nil {
			if b == nil && confirmed > 0 {
				err = errors.Join(err, errors.New("it is empty"))
			}
			return err
		}
		last := binary.BigEndian.Uint64(b.Get(boltLast))
		if last < confirmed || last < m.last {
			return fmt.Errorf("transaction %d was confirmed, %d is the last that is there", max(confirmed, m.last), last)
		}
		m.goOn(last)
		if n := b.Stats().KeyN; n != len(m.values)+1 {
			return fmt.Errorf("%d keys, want %d", n, len(m.values)+1)
		}
		for key, value := range m.values {
			if string(b.Get([]byte(key))) != value {
				return fmt.Errorf("%s is not what transaction %d left", key, last)
			}
		}
		return nil
	})
}

// powerCut runs the writing program, cuts the power under it at the nth thing that it asks of the disk, and gives the last
// transaction that it has confirmed.
func powerCut(t *testing.T, d *Disk, plan string, nth int, seed uint64) (confirmed uint64, counts Counts) {
	t.Helper()
	frozen := make(chan error, 1)
	go func() { frozen <- d.FreezeAt(nth, 10*time.Second) }()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), role+"="+plan), os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	must(t, <-frozen)
	must(t, cmd.Process.Kill())
	counts, err = d.Cut(seed)
	must(t, err)
	for lines := bufio.NewScanner(out); lines.Scan(); { // what it could still say before the power was gone
		fmt.Sscan(lines.Text(), &confirmed)
	}
	_ = cmd.Wait() // it was killed
	must(t, d.Resume())
	return confirmed, counts
}

// boltUnderCuts cuts the power so often, and gives the first loss.
func boltUnderCuts(t *testing.T, forget, plant string, cuts int) error {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(cuts), 3))
	m := &boltModel{values: map[string]string{}}
	d := startDisk(t, forget)
	path := filepath.Join(d.Path(), "bolt.db")
	var counts Counts
	half, all := 0, uint64(0)
	for i := range cuts {
		var confirmed uint64
		nth := 1 + r.IntN(200) // a transaction is some five changes
		if i%4 == 0 {          // while the file is made
			nth = 1 + r.IntN(12)
			_ = os.Remove(path) // an error is that there is none
			must(t, d.Sync())
			all, m = all+m.last, &boltModel{values: map[string]string{}}
		}
		confirmed, counts = powerCut(t, d, path+plant, nth, r.Uint64())
		err := m.check(path, confirmed)
		if err != nil && confirmed == 0 && m.last == 0 { // nothing was promised: bbolt does not open what was not made whole
			half++
			_ = os.Remove(path)
			err = d.Sync()
		}
		if err != nil {
			return fmt.Errorf("cut %d: %w", i+1, err)
		}
	}
	t.Logf("%d cuts, of which %d left a file that was not yet one, %d transactions: %+v", cuts, half, all+m.last, counts)
	return nil
}

func TestBoltLosesNothingThatItConfirmed(t *testing.T) {
	if err := boltUnderCuts(t, "", "", *cuts); err != nil {
		t.Error(err)
	}
}

// That the tests above would see a missing sync, in bbolt or below it, is tested too.
func TestAMissingSyncUnderBoltIsSeen(t *testing.T) {
	for _, c := range []struct{ name, forget, plant string }{
		{"bbolt's NoSync", "", "!"},
		{"a disk that forgets syncs of the file", `bolt\.db`, ""},
		{"a disk that forgets syncs of the folder", `/$`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := boltUnderCuts(t, c.forget, c.plant, 100) // most take one
			if err == nil {
				t.Error("it was not noticed in a hundred cuts")
			}
			t.Log(err)
		})
	}
}
