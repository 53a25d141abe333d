package exact

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// caller is a process's client: by the rules of package client/retry, over a network that loses, doubles and delays.
type caller struct {
	w      *world
	name   string
	dice   *rand.Rand
	leader retry.Leader
	clock  retry.ShardClock
	asked  time.Duration // when routes were last asked for
	told   []func()      // of those who wait for routes
	dead   bool

	serving []*fiber // of a frontend: the visits under way
}

const (
	callFor     = 10 * time.Second // client.TimeoutDefault
	retireGrace = 500 * time.Millisecond
)

var errBroken = errors.New("the stream ended")

func (w *world) newCaller(name string, seed uint64) *caller {
	return &caller{w: w, name: name, dice: dice(w.plan.Seed, 1<<32+seed)}
}

// attempt is a call's commands on one way to one member.
type attempt struct {
	c       *caller
	dice    *rand.Rand
	packed  []byte
	id      holdfast.CommandID
	to      string // empty while it is queued
	ended   bool
	left    bool // nobody waits for it
	failure *holdfast.Error
	results []byte
	clock   holdfast.Clock
	wake    func()
}

func (a *attempt) waits() bool { return a.c != nil && !a.ended && !a.left }

// end tells the caller after a while.
func (a *attempt) end(after time.Duration, failure *holdfast.Error, results []byte, clock holdfast.Clock) {
	if !a.waits() {
		return
	}
	a.c.w.after(after, func() {
		if !a.waits() {
			return
		}
		a.ended, a.failure, a.results, a.clock = true, failure, results, clock
		a.wake()
	})
}

// answer sends results back. They may get lost, and then the stream breaks, or nothing comes at all.
func (a *attempt) answer(results []byte, clock holdfast.Clock) {
	w := a.c.w
	switch {
	case w.net.lostAnswers.strikes(w.now, a.dice):
		if a.dice.IntN(2) == 0 {
			a.broken()
		}
	default:
		a.end(w.travel(a.dice), nil, results, clock)
	}
}

func (a *attempt) refuse(failure *holdfast.Error) {
	w := a.c.w
	if w.net.lostAnswers.strikes(w.now, a.dice) {
		return
	}
	a.end(w.travel(a.dice), failure, nil, 0)
}

func (a *attempt) broken() {
	a.end(a.c.w.travel(a.dice), retry.Broken(theShard, a.to, errBroken), nil, 0)
}

// lost is told when the leader that had the attempt is none any more.
func (a *attempt) lost(dead, packed bool) {
	switch {
	case !a.waits():
	case dead:
		a.broken()
	case packed:
		a.refuse(&holdfast.Error{Kind: holdfast.Unknown, Shard: theShard, Message: "the shard lost its leader while it decided; repeat with the same ids to learn the outcome"})
	default:
		a.refuse(&holdfast.Error{Kind: holdfast.Unavailable, Shard: theShard, RetryAfter: electedSoon, Message: "the shard has no leader now; nothing was attempted"})
	}
}

// arrive is when the attempt reaches a member.
func (s *shard) arrive(a *attempt, to string) {
	for i, m := range s.members {
		switch {
		case m.name != to:
		case m.down:
			if a.waits() {
				a.broken()
			}
		case i == s.leader:
			s.queue = append(s.queue, a)
			s.pack()
		case !a.waits():
		case m.leader != "" && m.leader != m.name:
			a.refuse(&holdfast.Error{Kind: holdfast.NotLeader, Shard: theShard, Leader: m.leader, Message: "another node leads the shard; nothing was attempted"})
		default:
			a.refuse(&holdfast.Error{Kind: holdfast.Unavailable, Shard: theShard, RetryAfter: electedSoon, Message: "the shard has no leader now; nothing was attempted"})
		}
	}
}

func (w *world) member(name string) *member {
	for _, m := range w.shard.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// refresh asks every member who leads, unless that was done just now.
func (c *caller) refresh() {
	w := c.w
	if c.asked != 0 && w.now-c.asked < 10*time.Millisecond {
		return
	}
	c.asked = w.now
	for _, m := range w.shard.members {
		if m.down || w.net.lostRequests.strikes(w.now, c.dice) {
			continue
		}
		w.after(w.travel(c.dice), func() {
			leader, term, clock := m.leader, m.term, m.clock
			if m.down || w.net.lostAnswers.strikes(w.now, c.dice) {
				return
			}
			w.after(w.travel(c.dice), func() {
				if c.dead {
					return
				}
				c.leader = c.leader.Heard(leader, term)
				c.clock.Saw(clock, w.now+time.Second)
				told := c.told
				c.told = nil
				for _, wake := range told {
					wake()
				}
			})
		})
	}
}

// validUntil gives the validity of ids made now; it asks for the shard's clock when that was not seen lately.
func (c *caller) validUntil(f *fiber, deadline time.Duration) (holdfast.Clock, *holdfast.Error) {
	for wait := (retry.Backoff{}); ; {
		if until, ok := c.clock.ValidUntil(c.w.now + time.Second); ok {
			return until, nil
		}
		c.refresh()
		c.told = append(c.told, f.waker())
		c.w.after(min(deadline-c.w.now, wait.Next(f.random)), f.waker())
		f.park()
		if c.w.now >= deadline {
			return 0, retry.Stopped(context.DeadlineExceeded, nil)
		}
	}
}

func newID(chance *rand.Rand, until holdfast.Clock) holdfast.CommandID {
	var random [10]byte
	binary.LittleEndian.PutUint64(random[:], chance.Uint64())
	binary.LittleEndian.PutUint16(random[8:], uint16(chance.Uint32()))
	return holdfast.NewCommandID(until, random)
}

// request is what one caller wants once: its ids, and what it was told.
type request struct {
	kind command.Kind
	ids  []holdfast.CommandID
}

// decide sends one command until there is an outcome, as client.Client does for one call. With an id it asks again.
func (c *caller) decide(f *fiber, r *request, cmd command.Command) (result command.Result, failure *holdfast.Error) {
	deadline := c.w.now + callFor
	if f.until != 0 {
		deadline = min(deadline, f.until)
	}
	head := cmd.Head()
	head.Event = theEvent
	mine := head.ID == (holdfast.CommandID{})
	for try := 1; ; try++ {
		if mine {
			until, failure := c.validUntil(f, deadline)
			if failure != nil {
				return command.Result{}, failure
			}
			head.ID = newID(f.dice, until)
		}
		packed := cmd.Append(nil)
		var decoder command.Decoder
		if _, err := decoder.CheckBatch(packed); err != nil {
			return command.Result{}, &holdfast.Error{Kind: holdfast.Invalid, Message: "the client does not send it", Err: err}
		}
		r.kind = head.Kind
		if len(r.ids) == 0 || r.ids[len(r.ids)-1] != head.ID {
			r.ids = append(r.ids, head.ID)
			c.w.books.requests[head.ID] = r
		}
		results, failure := c.run(f, packed, head.ID, deadline)
		if failure != nil {
			c.w.books.told(c.w, r, head.ID, mine, 0, failure)
			return command.Result{}, failure
		}
		result = command.Result{}
		if _, err := command.DecodeResult(results, &result); err != nil {
			c.w.fail("encoding", "a result cannot be read: %v", err)
			f.die()
		}
		c.w.books.told(c.w, r, head.ID, mine, result.Outcome, nil)
		if !mine || try > 1 || !retry.Missed(result.Outcome) {
			return result, nil
		}
	}
}

// run is the client's loop: attempts until one is the last.
func (c *caller) run(f *fiber, packed []byte, id holdfast.CommandID, deadline time.Duration) ([]byte, *holdfast.Error) {
	turn := retry.Call{Shard: theShard, ID: id}
	left := func() time.Duration { return deadline - c.w.now }
	for {
		a := &attempt{c: c, dice: f.dice, packed: packed, id: id}
		gone := c.attempt(f, a, deadline)
		next := turn.Ended(retry.End{Failure: a.failure, Results: a.results, Gone: gone}, left, f.random)
		if a.failure != nil && next.Failure != nil && c.w.plant == UnknownIsNo && next.Failure.Kind == holdfast.Unknown {
			next.Failure = &holdfast.Error{Kind: holdfast.Unavailable, Message: "planted"}
		}
		if next.Leader != "" {
			c.leader = c.leader.Hinted(next.Leader)
		}
		switch next.Do {
		case retry.Send:
			continue
		case retry.Wait:
			c.refresh()
			f.sleep(next.Wait)
			continue
		}
		return a.results, next.Failure
	}
}

// attempt queues, connects, sends and waits, as a lane does. It reports whether the attempt had to be left behind.
func (c *caller) attempt(f *fiber, a *attempt, deadline time.Duration) (gone bool) {
	w := c.w
	if w.now >= deadline {
		a.failure = retry.Stopped(nil, nil)
		return false
	}
	patience, retired := w.now+retry.Patience, time.Duration(0)
	for wait := (retry.Backoff{}); ; {
		until := min(deadline, patience)
		if a.to == "" {
			if m := w.member(c.leader.Address); m != nil && !m.down {
				a.to = m.name
				c.send(a)
			} else {
				c.refresh()
				c.told = append(c.told, f.waker())
				until = min(until, w.now+wait.Next(f.random))
			}
		}
		if a.to != "" && c.leader.Address != a.to && retired == 0 {
			retired = w.now + retireGrace // another leads: what this one was sent has so long to be answered
		}
		if retired != 0 {
			until = min(until, retired)
			c.told = append(c.told, f.waker())
		}
		a.wake = f.waker()
		w.after(until-w.now, f.waker())
		f.park()
		switch {
		case a.ended:
			return false
		case w.now >= deadline && a.to == "":
			a.left, a.failure = true, retry.Stopped(context.DeadlineExceeded, nil)
			return true
		case w.now >= deadline:
			a.left, a.failure = true, retry.Unanswered(theShard, context.DeadlineExceeded)
			return true
		case retired != 0 && w.now >= retired:
			a.left, a.failure = true, retry.Broken(theShard, a.to, errBroken)
			return false
		case w.now >= patience:
			patience = w.now + retry.Patience
			c.refresh()
			c.told = append(c.told, f.waker())
		}
	}
}

// send puts the attempt on its way. It may get lost.
func (c *caller) send(a *attempt) {
	w := c.w
	to, lost := a.to, w.net.lostRequests.strikes(w.now, a.dice)
	if !lost {
		w.after(w.travel(a.dice), func() { w.shard.arrive(a, to) })
	}
	if lost && a.dice.IntN(2) == 0 {
		a.broken()
	}
}
