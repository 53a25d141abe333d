package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/visitor"
)

// What the crowd wants, and how it looks for that: like people who would rather have other seats than none.

// find looks for seats: first for what the buyer likes, then for what the page says is free, and again when something may
// come back.
func (b *buyer) find(ctx context.Context) (heldUnits, ending) {
	count := []int{1, 2, 2, 2, 2, 3, 4, 4}[b.rng.IntN(8)]
	wants := []visitor.Want{b.favourite(count)}
	for round := 0; ; round++ {
		for _, want := range wants {
			if hold, how := b.take(ctx, want); how != soldOut && how != gaveUp {
				return hold, how
			}
		}
		if round > 0 && !pause(ctx, comeBackMin+b.sometime(comeBackMax-comeBackMin)) {
			return heldUnits{}, dropped
		}
		sale, err := b.look(ctx)
		switch {
		case err != nil:
			return heldUnits{}, b.noAnswer(err, gaveUp)
		case sale.Free+sale.Held+sale.Paying == 0:
			return heldUnits{}, soldOut
		case round == rounds:
			return heldUnits{}, gaveUp
		}
		wants = sale.wishes(count)
	}
}

// shopWindow is what the event's page says of the sale.
type shopWindow struct {
	Free     int `json:"free"`
	Held     int `json:"held"`
	Paying   int `json:"paying"`
	Sections []struct {
		Index   int  `json:"index"`
		General bool `json:"general"`
		Free    int  `json:"free"`
	} `json:"sections"`
}

func (b *buyer) look(ctx context.Context) (sale shopWindow, err error) {
	var doc json.RawMessage
	if err = b.ask(ctx, func(ctx context.Context) (err error) { doc, err = b.Event(ctx); return err }); err == nil {
		err = json.Unmarshal(doc, &sale)
	}
	return sale, err
}

// wishes are what one asks for who sees what is free: seats side by side, seats apart, places to stand; as many as one came
// for, or as there are.
func (s *shopWindow) wishes(count int) (wants []visitor.Want) {
	seats := 0
	for _, sec := range s.Sections {
		if !sec.General {
			seats += sec.Free
		}
	}
	if count > 1 && seats >= count {
		wants = append(wants, visitor.Want{Best: &visitor.Best{Count: count}})
	}
	if n := min(count, seats); n > 0 {
		wants = append(wants, visitor.Want{Best: &visitor.Best{Count: n, Apart: true}})
	}
	for _, sec := range s.Sections {
		if n := min(count, sec.Free); sec.General && n > 0 {
			wants = append(wants, visitor.Want{General: &visitor.General{Section: sec.Index, Count: n}})
		}
	}
	return wants
}

// take asks for one wish, and for what the answer offers in its place: stillHere says that it was had, soldOut that it is
// sold, gaveUp that it is in other hands.
func (b *buyer) take(ctx context.Context, want visitor.Want) (heldUnits, ending) {
	for first := true; ; first = false {
		hold, err := b.hold(ctx, want)
		var no *visitor.Problem
		switch {
		case err == nil:
			return hold, stillHere
		case !errors.As(err, &no):
			return hold, dropped
		case no.Code == holdfast.SessionRequired.String():
			return hold, shownOut
		case no.Code == holdfast.SoldOut.String() || no.Code == holdfast.SeatNotForYou.String() || no.Code == holdfast.SeatSold.String():
			return hold, soldOut
		case !first || len(want.Seats) == 0 || len(no.Near) != len(want.Seats):
			return hold, gaveUp
		}
		want = visitor.Want{Seats: no.Near}
	}
}

// favourite is what the buyer asks for first.
func (b *buyer) favourite(count int) visitor.Want {
	switch kind := b.rng.IntN(100); {
	case kind < clickShare && len(b.rows) > 0:
		return b.click(count)
	case kind < clickShare+generalShare && len(b.general) > 0:
		return visitor.Want{General: &visitor.General{Section: int(b.general[b.rng.IntN(len(b.general))]), Count: count}}
	}
	tier := b.rng.IntN(len(b.event.Spec.Tiers))
	return visitor.Want{Best: &visitor.Best{Count: count, Tier: &tier}}
}

// click chooses seats side by side on the map. The nearer to the front a row is, the more want it.
func (b *buyer) click(count int) (want visitor.Want) {
	r := b.rows[int(float64(len(b.rows))*b.rng.Float64()*b.rng.Float64())]
	count = min(count, r.seats)
	from := uint32(r.first) + uint32(b.rng.IntN(r.seats-count+1))
	for i := range count {
		want.Seats = append(want.Seats, from+uint32(i))
	}
	return want
}
