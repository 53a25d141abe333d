package exact

import (
	"iter"
	"math/rand/v2"
	"slices"
	"time"
)

// fiber is a function that waits in its middle: for an answer, or for a time. It is entered and left by the one goroutine of the
// world, at park and nowhere else; iter.Pull switches without a scheduler.
type fiber struct {
	w        *world
	who      string
	dice     *rand.Rand    // of all that chance decides on its way
	until    time.Duration // when its time is over; 0: never
	enter    func() (struct{}, bool)
	leave    func()
	yield    func(struct{}) bool
	parked   uint64 // counts the parks: a wake-up is for one of them
	running  bool
	finished bool
	ended    func() // called when the body has ended, whatever ended it
}

// killed unwinds the body of a fiber whose process died.
type killed struct{}

// spawn starts body at the present instant.
func (w *world) spawn(who string, chance *rand.Rand, body func(f *fiber)) *fiber {
	f := &fiber{w: w, who: who, dice: chance}
	f.enter, f.leave = iter.Pull(func(yield func(struct{}) bool) {
		f.yield = yield
		defer func() {
			f.finished = true
			if r := recover(); r != nil && r != (killed{}) {
				w.crash(r)
			}
			if f.ended != nil {
				f.ended()
			}
		}()
		body(f)
	})
	if w.fibers = append(w.fibers, f); len(w.fibers) > 64 {
		w.fibers = slices.DeleteFunc(w.fibers, func(f *fiber) bool { return f.finished })
	}
	w.after(0, f.waker())
	return f
}

// waker gives what wakes the fiber from the park that comes next, once.
func (f *fiber) waker() func() {
	token := f.parked
	return func() {
		if f.finished || f.running || f.parked != token {
			return
		}
		f.parked++
		f.running = true
		f.enter()
		f.running = false
	}
}

// park leaves the fiber until a waker that was made since the last park is called.
func (f *fiber) park() {
	if f.running = false; !f.yield(struct{}{}) {
		panic(killed{})
	}
}

// sleep lets time pass.
func (f *fiber) sleep(d time.Duration) {
	f.w.after(d, f.waker())
	f.park()
}

// kill ends the fiber where it waits, as when its process dies. The running fiber is ended by die.
func (f *fiber) kill() {
	if f.finished || f.running {
		return
	}
	f.parked++
	f.leave()
	if !f.finished { // it had not begun
		f.finished = true
		if f.ended != nil {
			f.ended()
		}
	}
}

func (f *fiber) random(d time.Duration) time.Duration { return time.Duration(f.dice.Int64N(int64(d))) }

// die ends the running fiber.
func (f *fiber) die() { panic(killed{}) }
