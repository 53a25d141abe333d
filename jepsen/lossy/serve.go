//go:build linux

package lossy

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// What goes between a Disk and the process that serves it: one line of JSON each, a request and its answer. The first
// request says what to serve.
type (
	request struct {
		Serve *served `json:"serve,omitempty"`
		Do    string  `json:"do,omitempty"`   // freeze, deny, cut, resume, sync, close
		Seed  uint64  `json:"seed,omitempty"` // of cut
		// Of freeze: at which change, and how long to wait for it; 0: now.
		Nth      int           `json:"nth,omitempty"`
		Patience time.Duration `json:"patience,omitempty"`
	}
	served struct {
		Dir         string        `json:"dir"`
		Mount       string        `json:"mount"`
		Forget      string        `json:"forget,omitempty"`
		WriteBack   time.Duration `json:"write_back"`
		UnsyncedMax int64         `json:"unsynced_max"`
	}
	answer struct {
		Error   string `json:"error,omitempty"`
		NotHere bool   `json:"not_here,omitempty"` // the error is that this computer does not let us mount
		*Counts `json:"counts,omitempty"`
	}
)

// Serve is the process that serves a Disk: it reads requests and answers them, until it is asked to close or nobody is
// there to ask any more. Then it takes its mount away.
func Serve(in io.Reader, out io.Writer) error {
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	v := &server{}
	defer v.close()
	for lines.Scan() {
		var r request
		err := json.Unmarshal(lines.Bytes(), &r)
		if err == nil {
			err = v.do(r)
		}
		var a answer
		if v.store != nil {
			counts := v.store.Counts()
			a.Counts = &counts
		}
		if err != nil {
			a.Error, a.NotHere = err.Error(), errors.Is(err, ErrNotHere)
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
		if v.closed {
			return nil
		}
	}
	return lines.Err()
}

type server struct {
	store  *Store
	at     string
	fuse   *fuse.Server
	done   chan struct{} // closed by close
	closed bool
}

func (v *server) do(r request) error {
	if (v.store == nil) != (r.Serve != nil) {
		return errors.New("the first request says what to serve, and no other")
	}
	switch {
	case r.Serve != nil:
		return v.start(r.Serve)
	case r.Do == "freeze" && r.Nth > 0:
		v.store.FreezeAt(r.Nth, r.Patience)
	case r.Do == "freeze":
		v.store.Freeze()
	case r.Do == "deny":
		v.store.Deny()
	case r.Do == "resume":
		v.store.Resume()
	case r.Do == "cut":
		return v.store.Cut(r.Seed)
	case r.Do == "sync":
		return v.store.SyncAll()
	case r.Do == "close":
		return v.close()
	default:
		return fmt.Errorf("nobody knows how to %q", r.Do)
	}
	return nil
}

func (v *server) start(what *served) (err error) {
	o := Options{Dir: what.Dir, WriteBack: what.WriteBack, UnsyncedMax: what.UnsyncedMax}
	if what.Forget != "" {
		if o.Forget, err = regexp.Compile(what.Forget); err != nil {
			return err
		}
	}
	store, err := New(o)
	if err != nil {
		return err
	}
	if v.fuse, err = mount(store, what.Mount); err != nil {
		return fmt.Errorf("%w: mount: %w", ErrNotHere, err)
	}
	v.store, v.at, v.done = store, what.Mount, make(chan struct{})
	if o.WriteBack > 0 {
		go v.writeBack(time.NewTicker(o.WriteBack/5 + 1))
	}
	return nil
}

func (v *server) writeBack(ticker *time.Ticker) {
	defer ticker.Stop()
	for {
		select {
		case <-v.done:
			return
		case <-ticker.C:
			_ = v.store.WriteBack() // an error is that there is no power
		}
	}
}

// close takes the mount away at once, whoever still uses it, and leaves what is there for people to look at.
func (v *server) close() error {
	if v.store == nil || v.closed {
		return nil
	}
	v.closed = true
	close(v.done)
	failed := v.store.Close()
	err := syscall.Unmount(v.at, syscall.MNT_DETACH)
	if err != nil {
		err = v.fuse.Unmount() // by fusermount, which may do it for us
	}
	return errors.Join(failed, err)
}
