package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/directory"
	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/node"
)

// How a run begins and ends: the sale is opened; and when the load is over and all faults have ended, what is unknown
// is asked for again, the end is read back, and everything is judged.

// quietAfter is how long a cluster without faults may take until every node is of use: some elections.
func (p *Plan) quietAfter() time.Duration { return max(30*time.Second, 20*p.Timing.Heartbeat) }

const rowSeats = 100

// open starts the nodes and opens a sale.
func (w *world) open() error {
	for i := range Members {
		w.cluster.up(i)
	}
	if err := w.await("every node is ready", w.cluster.ready); err != nil {
		return err
	}
	spec := command.EventSpec{
		Name: "simulated", Title: "Simulated", Currency: "eur", Tiers: []command.Tier{{Name: "all", PriceMinor: priceMinor}},
		Rules: command.Rules{
			HoldTTLMs: ms(w.plan.Rules.HoldTTL), PayWindowMs: ms(w.plan.Rules.PayWindow), CoolDownMs: ms(w.plan.Rules.CoolDown), ExtensionMs: ms(w.plan.Rules.Extension),
		},
		Sections: []command.Section{{Name: "floor"}},
	}
	for row, left := 1, w.plan.Load.Seats; left > 0; row, left = row+1, left-rowSeats {
		spec.Sections[0].Rows = append(spec.Sections[0].Rows,
			command.Row{Label: strconv.Itoa(row), First: 1, Seats: uint16(min(left, rowSeats)), Tier: holdfast.AnyTier})
	}
	assigned, _, err := w.decide(holdfast.Directory, &command.AssignEvent{Header: w.admin(0, idAssign), Spec: spec})
	if err != nil {
		return err
	}
	w.event = assigned.Event
	if err := w.await("the shard has the event", w.created); err != nil {
		return err
	}
	_, at, err := w.decide(Shard, &command.SetSale{Header: w.admin(0, idOpen), State: holdfast.SaleOpen})
	w.opened = at.Clock
	return err
}

func ms(d time.Duration) uint32 { return uint32(d / time.Millisecond) }

// The numbers of commands that are no client's; marks count up to them.
const (
	idAssign = 1<<16 - 1
	idOpen   = 1<<16 - 2
)

// admin gives the header of a command that is no client's.
func (w *world) admin(clock holdfast.Clock, n uint16) command.Header {
	var random [10]byte
	binary.BigEndian.PutUint16(random[8:], n)
	return command.Header{ID: holdfast.NewCommandID(clock.Add(holdfast.ValidityMax-time.Second), random), Event: w.event}
}

// decide has one command decided, which must succeed, by whoever leads.
func (w *world) decide(shard holdfast.ShardID, cmd command.Command) (result command.Result, at holdfast.Stamp, err error) {
	var reply node.Reply
	err = w.await(fmt.Sprintf("shard %d decides", shard), func() bool {
		for i := range Members {
			if reply = w.cluster.Submit(i, node.Batch{Shard: shard, Commands: cmd.Append(nil), Count: 1}); reply.Err == nil {
				return true
			}
		}
		return false
	})
	if err != nil {
		return result, at, errors.Join(err, reply.Err)
	}
	if _, err := command.DecodeResult(reply.Results, &result); err != nil {
		return result, at, err
	}
	if result.Outcome != holdfast.OK {
		return result, reply.Stamp, result.Outcome
	}
	return result, reply.Stamp, nil
}

func (w *world) await(what string, condition func() bool) error {
	return w.awaitFor(w.plan.quietAfter(), what, condition)
}

func (w *world) awaitFor(patience time.Duration, what string, condition func() bool) error {
	for tired := w.now() + patience; !condition(); time.Sleep(20 * time.Millisecond) {
		if w.now() > tired {
			return fmt.Errorf("waited %v until %s", patience, what)
		}
	}
	return nil
}

func (c *Cluster) ready() bool {
	for i := range Members {
		if l := c.at(i); l == nil || !l.node.Ready() {
			return false
		}
	}
	return true
}

func (w *world) created() bool {
	for i := range Members {
		if states, _, err := w.cluster.seats(i, w.event, true); err == nil && len(states) > 0 {
			return true
		}
	}
	return false
}

// judge waits until the cluster is quiet, resolves what is unknown, reads the end back and runs every check.
func (w *world) judge(r *Report) {
	if err := w.await("every node is ready after the faults", w.cluster.ready); err != nil {
		r.violation("liveness", "%v", err)
	}
	for _, cl := range append(w.clients, w.guests...) {
		cl.resolve()
		for _, c := range cl.open {
			w.recorder.Add(c.Operation)
		}
	}
	w.twins.Wait() // asking again sends some twice, too
	if err := w.readBack(r); err != nil {
		r.violation("liveness", "the end cannot be read back: %v", err)
	}
	w.judgeScenes(r)
	r.Violations = append(r.Violations, check.Judge(r.History())...)
	w.checkWatchers(r)
	w.compare(r)
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	for _, message := range w.cluster.failed {
		r.violation("cluster", "%s", message)
	}
}

// readBack reads the seats and the orders from the leader, and the log from what was taped.
func (w *world) readBack(r *Report) error {
	r.Operations = w.recorder.Operations()
	var at node.ReadStamp
	err := w.await("a leader shows its state", func() bool {
		for i := range Members {
			l := w.cluster.at(i)
			if l == nil {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			cut, stamp, err := l.node.Cut(ctx, Shard, false)
			cancel()
			if err == nil {
				r.Final, at = w.final(cut), stamp
				cut.Release()
				return true
			}
		}
		return false
	})
	if err != nil {
		return err
	}
	r.Entries, r.Terms = at.Index, at.Term
	r.Commits, r.Leaders = w.cluster.tape.count(at.Index)
	places, err := w.cluster.tape.places(Shard, at.Index)
	if err != nil {
		return err
	}
	r.Final.Logged = true
	for i := range r.Operations {
		r.Operations[i].Decided = places[r.Operations[i].Command]
	}
	return nil
}

func (w *world) final(cut *fsm.Cut) (f history.Final) {
	f.Clock = cut.Clock()
	states, revision, _ := cut.Seats(w.event)
	f.Revision = revision
	for _, s := range states {
		f.Seats = append(f.Seats, holdfast.SeatState(s))
	}
	for o := range cut.Orders(w.event) {
		f.Orders = append(f.Orders, history.Order{ID: o.ID, Buyer: o.Buyer, Seats: o.Seats})
	}
	return f
}

// compare has every replica take its state hash at one entry, and work out all invariants from scratch.
func (w *world) compare(r *Report) {
	for shard := holdfast.Directory; shard <= Shard; shard++ {
		var sums [][32]byte
		var at holdfast.Stamp
		var last error
		clock := r.Final.Clock
		err := w.await("all replicas have a hash at one entry", func() bool {
			sums, at, last = w.hashes(shard, clock)
			clock = max(clock, at.Clock) // else what is tried for long comes after its validity
			return last == nil
		})
		if err != nil {
			r.violation("liveness", "shard %d: %v: %v", shard, err, last)
			continue
		}
		for i, sum := range sums {
			if sum != sums[0] {
				r.violation("replicas", "%s differs from %s in shard %d at entry %d", nodeName(i), nodeName(0), shard, at.Index)
			}
		}
	}
	for i := range Members {
		if err := w.inspect(r, i); err != nil {
			r.violation("liveness", "%s does not show its state: %v", nodeName(i), err)
		}
	}
}

// hashes marks an entry and asks every replica for its hash there. One that was given a snapshot of after it has none.
func (w *world) hashes(shard holdfast.ShardID, clock holdfast.Clock) (sums [][32]byte, at holdfast.Stamp, err error) {
	w.marks++
	if _, at, err = w.decide(shard, &command.Mark{Header: w.admin(clock, w.marks)}); err != nil {
		return nil, at, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.plan.quietAfter())
	defer cancel()
	for i := range Members {
		l := w.cluster.at(i)
		if l == nil {
			return nil, at, errRefused
		}
		sum, err := l.node.Digest(ctx, shard, at.Index)
		if err != nil {
			return nil, at, err
		}
		sums = append(sums, sum)
	}
	return sums, at, nil
}

// inspect checks the invariants of a node's replicas.
func (w *world) inspect(r *Report, i int) error {
	l := w.cluster.at(i)
	if l == nil {
		return errRefused
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := l.node.ReadDirectory(ctx, true, func(m *directory.Machine) {
		for _, v := range m.Check() {
			r.violation("invariants", "%s, directory: %v", nodeName(i), v)
		}
	})
	if err != nil {
		return err
	}
	_, err = l.node.Read(ctx, Shard, true, func(m *fsm.Machine) {
		for _, v := range m.Check() {
			r.violation("invariants", "%s: %v", nodeName(i), v)
		}
	})
	return err
}

// verifyArchives replays what each node archived, as an auditor would: it must lead to a state without faults.
func (w *world) verifyArchives(r *Report) {
	for i, m := range w.cluster.members {
		for shard := holdfast.Directory; shard <= Shard; shard++ {
			v, err := node.VerifyDisk(m.disk.Mount(), shard)
			switch {
			case err != nil:
				r.violation("archive", "%s, shard %d: %v", nodeName(i), shard, err)
			case shard == Shard && v.Index < r.Entries-min(r.Entries, 100):
				r.violation("archive", "%s has archived %d entries of %d", nodeName(i), v.Index, r.Entries)
			}
		}
	}
}
