package sim

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	remote "github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// line: visitors who join the waiting line of an event through the desks of two frontends, wait for the draw and for
// their turn, are let in at the pace of the shard's leader, buy, leave, vanish, or wait for seats that come back. In half of the runs
// the draw waits for a beacon, which frontends bring; in the others the leader draws by itself.
type line struct {
	world  *world
	plan   Scene
	event  remote.EventRef
	beacon holdfast.Beacon
	signer ed25519.PrivateKey
	told   string // the commitment, before anybody had joined

	mu     sync.Mutex
	desks  map[*frontLife]*desk
	visits []history.Visit
	polls  []history.Poll
	places []remote.PlaceRef // that somebody was told
	bought map[holdfast.PlaceNumber]bool
}

func newLine(w *world, s Scene) scene {
	return &line{world: w, plan: s, desks: map[*frontLife]*desk{}, bought: map[holdfast.PlaceNumber]bool{}}
}

const (
	beaconPeriod   = 2 * time.Second
	beaconFallback = 30 * time.Second
	sessionTTL     = 20 * time.Second
	lineHoldTTL    = 5 * time.Second
	// admitMax is how long after a heal the last in line may have to wait.
	admitMax = 2 * time.Minute
)

func (s *line) open(ctx context.Context, c *remote.Client) error {
	r := rand.New(rand.NewPCG(s.world.plan.Seed, 15))
	rules := command.LineRules{Enabled: true, DrawMs: time.Now().Add(within(r, 2*time.Second, 10*time.Second)).UnixMilli(),
		CeilingMax: uint32(2 + s.plan.People/2), SessionMs: ms(sessionTTL), IdleMs: 5000, CallMs: 4000, OfferMs: 6000}
	if r.IntN(2) == 0 {
		seed := make([]byte, ed25519.SeedSize)
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		s.signer = ed25519.NewKeyFromSeed(seed)
		s.beacon = holdfast.Beacon{Kind: holdfast.BeaconChain, GenesisMs: time.Now().UnixMilli(), PeriodMs: ms(beaconPeriod)}
		copy(s.beacon.PublicKey[:], s.signer.Public().(ed25519.PublicKey))
		rules.Beacon, rules.FallbackMs = s.beacon, ms(beaconFallback)
	}
	rows := houseRows(2 + s.plan.People*int(s.world.plan.Length.Seconds())/100)
	if r.IntN(2) == 0 { // it sells out
		rows = rows[:1]
		rows[0].Seats = 12
	}
	applied, err := c.ApplyEvent(ctx, command.EventSpec{
		Name: "line", Title: "Line", Currency: currency, Tiers: []command.Tier{{Name: "all", PriceMinor: priceMinor}}, Line: rules,
		Rules:    command.Rules{HoldTTLMs: ms(lineHoldTTL), PayWindowMs: ms(lineHoldTTL), SkipCoolDown: true},
		Sections: []command.Section{{Name: "floor", Rows: rows}},
	})
	if err != nil {
		return err
	}
	s.event = applied.EventRef
	if err := c.OpenSale(ctx, s.event); err != nil {
		return err
	}
	if err := c.OpenLine(ctx, s.event); err != nil {
		return err
	}
	before, err := c.DrawRecord(ctx, s.event)
	if err != nil {
		return err
	}
	s.told = hex.EncodeToString(before.Commitment[:])
	return nil
}

// round is what the beacon's holder publishes.
func (s *line) round(number uint64) (r holdfast.BeaconRound) {
	r.Round = number
	message := draw.Signed(number, &r.Previous)
	copy(r.Signature[:], ed25519.Sign(s.signer, message[:]))
	return r
}

func (s *line) work(until time.Duration) {
	var working sync.WaitGroup
	for i := range s.plan.People {
		working.Go(func() {
			for n := 0; s.world.now() < until; n++ {
				s.visit(i+n*s.plan.People, until)
			}
		})
	}
	working.Go(func() { s.manage(until) })
	working.Wait()
}

// manage is the organizer, who pauses the line, goes on with it, and changes how many are let in.
func (s *line) manage(until time.Duration) {
	r := rand.New(rand.NewPCG(s.world.plan.Seed, 16))
	ask := func(change command.LineChange, value uint32) {
		ctx, cancel := context.WithTimeout(context.Background(), callMax)
		defer cancel()
		if l := s.world.fronts.pick(ctx, r.IntN(fronts)); l != nil && l.client.SetLine(ctx, s.event, change, value) == nil {
			s.world.deeds.did("line: changed by the organizer")
		}
	}
	for s.world.now() < until {
		time.Sleep(within(r, time.Second, 15*time.Second))
		switch r.IntN(4) {
		case 3:
			s.takeBack(r)
		case 0:
			ask(command.LinePause, 0)
			time.Sleep(within(r, 100*time.Millisecond, 3*time.Second))
			ask(command.LineResume, 0)
		case 1:
			ask(command.LineCeiling, 1+uint32(r.IntN(s.plan.People)))
		case 2:
			ask(command.LineRate, uint32(r.IntN(20)))
		}
	}
}

// takeBack takes the tickets of somebody who has bought back, so that seats come back.
func (s *line) takeBack(r *rand.Rand) {
	s.mu.Lock()
	var whose []int
	for i := range s.visits {
		if s.visits[i].Sold {
			whose = append(whose, i)
		}
	}
	if len(whose) == 0 {
		s.mu.Unlock()
		return
	}
	v := &s.visits[whose[r.IntN(len(whose))]]
	v.Sold = false // from now on nobody knows
	order := v.Hold.Order()
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), callMax)
	defer cancel()
	if l := s.world.fronts.pick(ctx, r.IntN(fronts)); l != nil {
		if _, err := l.client.Refund(ctx, remote.RefundRequest{Event: s.event, Order: order, ReturnSeats: true, Reason: holdfast.RefundOrganizer}); err == nil {
			s.world.deeds.did("line: tickets taken back")
		}
	}
}

// judge looks that the line still lets people in, that every place that somebody was told is there, and that the order was
// the draw's.
func (s *line) judge(ctx context.Context, c *remote.Client, r *Report) {
	h := &history.History{Head: history.Head{Workload: "line", Seed: s.world.plan.Seed, Began: s.world.began, Length: s.world.plan.Length}}
	r.Others = append(r.Others, h)
	err := c.SetLine(ctx, s.event, command.LineResume, 0) // the organizer may have tried in vain
	if errors.Is(err, holdfast.LineEnded) || err == nil {
		err = s.latecomer(ctx, c)
	}
	if err != nil {
		r.violation("line", "all is well again, and who comes now is not let in: %v", err)
	}
	h.Visits, h.Polls = s.visits, s.polls
	if err := s.readBack(ctx, c, h); err != nil {
		r.violation("liveness", "the line cannot be read back: %v", err)
		return
	}
	for _, ref := range s.places {
		p, err := c.Place(ctx, ref)
		switch {
		case errors.Is(err, holdfast.NotFound):
			r.violation("line", "somebody was told that place %d is his, and the shard does not know it", ref.Number)
		case err != nil:
			r.violation("liveness", "place %d cannot be read: %v", ref.Number, err)
		case s.bought[ref.Number] && p.State != holdfast.PlaceFinished:
			r.violation("line", "the visitor of place %d has bought, and the place is %s", ref.Number, p.State)
		}
	}
	r.Violations = append(r.Violations, check.Judge(h)...)
}

// readBack reads the orders, and what is public about the draw.
func (s *line) readBack(ctx context.Context, c *remote.Client, h *history.History) error {
	seats, err := c.Seats(ctx, s.event)
	if err != nil {
		return err
	}
	h.Final.Seats, h.Final.Revision, h.Final.Clock = seats.States, seats.Revision, seats.Stamp.Clock
	for o, err := range c.Orders(ctx, s.event) {
		if err != nil {
			return err
		}
		h.Final.Orders = append(h.Final.Orders, history.Order{ID: o.ID, Buyer: o.Buyer, Seats: without(o.Seats, o.Refunded), Amount: o.Amount.AmountMinor})
	}
	record, err := c.DrawRecord(ctx, s.event)
	if err != nil || !record.Drawn {
		return err
	}
	if err := draw.Verify(record); err != nil {
		h.Differences = append(h.Differences, fmt.Sprintf("the record of the draw does not hold: %v", err))
	}
	hash := func(b [32]byte) string { return hex.EncodeToString(b[:]) }
	h.Draw = &history.Draw{Event: record.Event, Told: s.told, Commitment: hash(record.Commitment), Secret: hash(record.Secret), Chain: hash(record.Chain),
		Seed: hash(record.Seed), Cohort: record.Cohort}
	if record.Round != nil {
		round := s.round(record.Round.Round)
		h.Draw.Beacon = hex.EncodeToString(round.Signature[:])
	}
	return nil
}

// latecomer joins when all is healed, and has to be let in, unless there is nothing left to be let in for.
func (s *line) latecomer(ctx context.Context, c *remote.Client) error {
	ctx, cancel := context.WithTimeout(ctx, admitMax)
	defer cancel()
	key := placeKey(s.world.plan.Seed, -1)
	base, _, err := c.Enter(ctx, remote.EnterRequest{Event: s.event, Count: 1, Root: draw.Leaf(s.event.ID, key)})
	if errors.Is(err, holdfast.LineEnded) {
		return nil
	} else if err != nil {
		return err
	}
	ref := remote.PlaceRef{Event: s.event, Number: base, Key: key}
	for {
		turn, err := c.Redeem(ctx, ref)
		if err == nil {
			s.world.deeds.did("let in at the end")
			return c.LeaveLine(ctx, ref)
		}
		l, failure := c.Line(ctx, s.event)
		if failure == nil && l.Units.Free == 0 {
			s.world.deeds.did("sold out lines")
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: position %d, served %d; the line is %+v, %v", err, turn.Position, turn.Served, l.LineSummary, failure)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// placeKey is the key of a visitor.
func placeKey(seed uint64, number int) (key holdfast.PlaceKey) {
	return draw.Leaf(0, [32]byte([]byte(fmt.Sprintf("%-32s", fmt.Sprintf("seed %d visitor %d", seed, number)))[:32]))
}
