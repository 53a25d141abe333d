package sim

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	remote "github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// waiter is one visitor of the line.
type waiter struct {
	*line
	guest
	until    time.Duration // when he goes home
	place    remote.PlaceRef
	position holdfast.Position
	deferred bool // position is what the shard said, and not what was drawn
}

func (s *line) visit(number int, until time.Duration) {
	v := &waiter{line: s, guest: newGuest(s.world, number, 9, s.plan.Think), until: until}
	if v.join() && v.wait() {
		v.inside()
	}
	seen := v.end("line: ")
	s.mu.Lock()
	s.visits = append(s.visits, seen)
	s.mu.Unlock()
	v.think()
}

// join gets a place. Who was not answered joins again with the same key.
func (v *waiter) join() bool {
	key := placeKey(v.world.plan.Seed, v.seen.Number)
	call := v.world.now()
	err := v.ask(func(ctx context.Context, l *frontLife) (err error) {
		d := v.desk(l)
		if d == nil {
			return errRefused
		}
		call = v.world.now()
		v.place, err = d.join(ctx, key)
		return err
	})
	if err != nil {
		v.seen.Told = "got no place"
		return false
	}
	v.seen.Place, v.seen.Key = int64(v.place.Number), hex.EncodeToString(key[:])
	v.poll(call, holdfast.PlaceWaiting, -1)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.places = append(v.places, v.place)
	return true
}

func (v *waiter) poll(call time.Duration, state holdfast.PlaceState, position int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.polls = append(v.polls, history.Poll{Visit: v.seen.Number, Call: call, Return: v.world.now(), Place: v.seen.Place, Position: position, State: state.String()})
}

// wait looks again and again, and comes in when it is his turn.
func (v *waiter) wait() (in bool) {
	for v.world.now() < v.until {
		time.Sleep(200*time.Millisecond + time.Duration(v.random.Int64N(int64(time.Second))))
		switch v.random.IntN(300) {
		case 0:
			v.seen.Told = "vanished in line"
			return false
		case 1:
			v.leave("left the line")
			return false
		case 2, 3:
			v.look()
		case 4:
			v.cheat()
		}
		called, over := v.stand()
		if called {
			if in, over = v.redeem(); in {
				return true
			}
		}
		if over {
			return false
		}
	}
	v.leave("went home")
	return false
}

// stand works out by the frontend's feed where the place stands, as a frontend does.
func (v *waiter) stand() (called, over bool) {
	l := v.world.fronts.all[v.at%fronts].now()
	if l == nil {
		v.at++
		return false, false
	}
	d, call := v.desk(l), v.world.now()
	if d == nil || d.now.Load() == nil {
		return false, false
	}
	now := d.now.Load()
	if now.State == holdfast.LineOver {
		v.seen.Told = "the line was over"
		return false, true
	}
	if now.State != holdfast.LineDrawn || now.Seed == (draw.Hash{}) {
		v.poll(call, holdfast.PlaceWaiting, -1)
		return false, false
	}
	if !v.deferred {
		v.position = draw.Position(now.Seed, now.Cohort, v.place.Number, v.place.Key)
	}
	if v.position < now.Served {
		return true, false
	}
	state := holdfast.PlaceWaiting
	if v.deferred {
		state = holdfast.PlaceDeferred
	}
	v.poll(call, state, int64(v.position))
	return false, false
}

// look asks a member how the place stands, strictly or not.
func (v *waiter) look() {
	var opts []remote.ReadOption
	if v.random.IntN(2) == 0 {
		opts = append(opts, remote.AllowStale())
	}
	call := v.world.now()
	var p remote.Place
	err := v.ask(func(ctx context.Context, l *frontLife) (err error) {
		p, err = l.client.Place(ctx, v.place, opts...)
		return err
	})
	switch {
	case errors.Is(err, holdfast.NotFound) && len(opts) == 0:
		v.world.cluster.fail("visitor %d was told place %d, and is told that there is none", v.seen.Number, v.place.Number)
	case err == nil && p.Drawn:
		v.poll(call, p.State, int64(p.Position))
	}
}

// cheat tries to hold seats before it is his turn.
func (v *waiter) cheat() {
	err := v.ask(func(ctx context.Context, l *frontLife) error {
		_, err := l.client.Hold(ctx, remote.HoldRequest{Event: v.event, Buyer: v.place.Key.Buyer(), Wants: v.wants()})
		return err
	})
	if err == nil {
		v.world.cluster.fail("visitor %d, who has not been let in, holds seats", v.seen.Number)
	}
}

func (v *waiter) wants() []command.Want {
	return []command.Want{{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: uint8(1 + v.random.IntN(4))}}
}

// redeem comes in, or learns why not.
func (v *waiter) redeem() (in, over bool) {
	call := v.world.now()
	var turn remote.Turn
	err := v.ask(func(ctx context.Context, l *frontLife) (err error) {
		turn, err = l.client.Redeem(ctx, v.place)
		return err
	})
	switch {
	case err == nil:
		position := int64(turn.Position)
		if v.deferred {
			position = -1
		}
		v.poll(call, holdfast.PlaceAdmitted, position)
		return true, false
	case refused(err, holdfast.TurnMissed):
		v.deferred, v.position = true, turn.Position
		v.poll(call, holdfast.PlaceDeferred, int64(turn.Position))
	case refused(err, holdfast.TurnAwaited):
		if turn.Position != v.position {
			v.deferred, v.position = true, turn.Position
			v.poll(call, holdfast.PlaceDeferred, int64(turn.Position))
		}
	case refused(err, holdfast.PlaceSpent, holdfast.LineEnded):
		v.seen.Told = "the place is spent"
		return false, true
	case refused(err, holdfast.PlaceUnproven):
		v.world.cluster.fail("visitor %d is at place %d, and the shard does not believe it", v.seen.Number, v.place.Number)
		return false, true
	}
	return false, false
}

func (v *waiter) leave(why string) {
	_ = v.ask(func(ctx context.Context, l *frontLife) error { return l.client.LeaveLine(ctx, v.place) })
	v.seen.Told = why
}

// inside buys, or does not.
func (v *waiter) inside() {
	v.think()
	q := remote.HoldRequest{Event: v.event, Buyer: v.place.Key.Buyer(), Wants: v.wants()}
	var hold remote.Hold
	err := v.ask(func(ctx context.Context, l *frontLife) (err error) {
		hold, err = l.client.Hold(ctx, q)
		var failure *holdfast.Error
		if errors.As(err, &failure) && failure.Kind == holdfast.Unknown && failure.Command != (holdfast.CommandID{}) {
			q.ID = failure.Command
		}
		return err
	})
	switch {
	case refused(err, holdfast.SoldOut, holdfast.NotEnough) && v.random.IntN(2) == 0:
		v.comeBack()
		return
	case err != nil:
		v.leave("got no seats")
		return
	}
	v.seen.Hold, v.seen.Seats, v.seen.Amount = hold.ID, slices.Clone(hold.Seats), hold.Amount.AmountMinor
	v.think()
	switch v.random.IntN(6) {
	case 0:
		v.seen.Told = "vanished with a hold"
	case 1:
		_ = v.ask(func(ctx context.Context, l *frontLife) error {
			return l.client.Release(ctx, remote.HoldRef{Event: v.event, Buyer: hold.Buyer, Hold: hold.ID})
		})
		v.leave("gave the seats back")
	default:
		v.sell(hold)
	}
}

// sell buys by invoice.
func (v *waiter) sell(hold remote.Hold) {
	v.seen.Paid = true
	err := v.ask(func(ctx context.Context, l *frontLife) error {
		_, err := l.client.Sell(ctx, remote.SellRequest{Event: v.event, Hold: hold.ID, As: command.SaleInvoiced, Amount: hold.Amount})
		return err
	})
	if v.seen.Told = "was too late"; err != nil {
		return
	}
	v.seen.Told, v.seen.Sold = "bought", true
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bought[v.place.Number] = true
}

// comeBack waits for seats that come back, and buys those that are offered.
func (v *waiter) comeBack() {
	if v.seen.Told = "was not put on the list"; v.ask(func(ctx context.Context, l *frontLife) error {
		_, err := l.client.JoinReturns(ctx, remote.ReturnsRequest{PlaceRef: v.place, Count: 1 + v.random.IntN(2), Section: holdfast.AnySection, Tier: holdfast.AnyTier})
		return err
	}) != nil {
		return
	}
	v.seen.Told = "was offered nothing"
	for v.world.now() < v.until {
		time.Sleep(time.Second + time.Duration(v.random.Int64N(int64(time.Second))))
		var now remote.Visitor
		if v.ask(func(ctx context.Context, l *frontLife) (err error) {
			now, err = l.client.Visitor(ctx, v.event, v.place.Key.Buyer())
			return err
		}) != nil || now.State != holdfast.PlaceOffered || len(now.Holds) == 0 {
			continue
		}
		var hold remote.Hold
		if v.ask(func(ctx context.Context, l *frontLife) (err error) {
			hold, err = l.client.GetHold(ctx, v.event, now.Holds[0])
			return err
		}) != nil {
			continue
		}
		v.seen.Hold, v.seen.Seats, v.seen.Amount = hold.ID, slices.Clone(hold.Seats), hold.Amount.AmountMinor
		v.world.deeds.did("offers")
		v.sell(hold)
		return
	}
	v.leave(v.seen.Told)
}
