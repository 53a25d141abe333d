package sim

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	remote "github.com/holdfast-db/holdfast/client"
)

// front is a frontend's machine. It keeps nothing: whoever was served there goes to another, or comes again.
type front struct {
	world *world
	host  int

	mu   sync.Mutex
	life *frontLife // nil: it is down
	down int        // how many faults keep it down
}

// frontLife is one process of a frontend.
type frontLife struct {
	number int // of the frontend
	client *remote.Client
	ctx    context.Context
	kill   context.CancelFunc
	// till is how it takes money: nil until the provider has told whose account it is, and where there is no provider.
	till atomic.Pointer[till]
}

// up starts the frontend's process, unless other faults keep it down.
func (f *front) up() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down--; f.down > 0 {
		return nil
	}
	c, err := f.world.cluster.dial(hostName(f.host))
	if err != nil {
		return err
	}
	l := &frontLife{number: f.host - Members, client: c}
	l.ctx, l.kill = context.WithCancel(context.Background())
	f.life = l
	var working sync.WaitGroup
	if f.world.bank != nil {
		working.Go(func() { f.world.bank.employ(l) })
	}
	for _, s := range f.world.scenes {
		if s, ok := s.(serving); ok {
			working.Go(func() { s.serve(l) })
		}
	}
	f.world.fronts.ended.Go(func() {
		<-l.ctx.Done()
		working.Wait()
		_ = c.Close() // its connections may be gone already
	})
	return nil
}

// serving is a scene of which each frontend's process does something as long as it lives.
type serving interface{ serve(l *frontLife) }

// crash ends the frontend's process without a word.
func (f *front) crash() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down++
	f.world.cluster.network.Crash(hostName(f.host))
	if f.life != nil {
		f.life.kill()
		f.life = nil
	}
}

// now gives the process; nil: it is down.
func (f *front) now() *frontLife {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.life
}

// frontends are all there are.
type frontends struct {
	all   [fronts]*front
	ended sync.WaitGroup // processes that have ended, or will
}

// open starts the frontends.
func (s *frontends) open(w *world) error {
	for i := range s.all {
		s.all[i] = &front{world: w, host: Members + i, down: 1}
		if err := s.all[i].up(); err != nil {
			return err
		}
	}
	return nil
}

// close ends them and waits.
func (s *frontends) close() {
	for _, f := range s.all {
		if f != nil {
			f.crash()
		}
	}
	s.ended.Wait()
}

// pick gives a frontend that runs, the preferred one if it does. When all are down it waits; nil: ctx has ended.
func (s *frontends) pick(ctx context.Context, preferred int) *frontLife {
	for ctx.Err() == nil {
		for i := range fronts {
			if l := s.all[(preferred+i)%fronts].now(); l != nil {
				return l
			}
		}
		time.Sleep(downPause)
	}
	return nil
}

// downPause is how long somebody waits who finds no frontend.
const downPause = 100 * time.Millisecond
