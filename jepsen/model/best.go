package model

import (
	"fmt"
	"slices"

	"github.com/holdfast-db/holdfast"
)

// Block is units with consecutive numbers that lie beside each other, or places without seats.
type Block struct {
	First   holdfast.SeatIndex
	Count   int
	Section holdfast.SectionIndex
	Tier    holdfast.TierIndex
	General bool
}

// Best is what a hold wants that leaves the choice to the house.
type Best struct {
	Count    int
	Section  holdfast.SectionIndex
	Tier     holdfast.TierIndex
	Adjacent bool
	General  bool
}

// Lay says how the seats lie.
func (h *House) Lay(blocks []Block) { h.blocks = blocks }

func (b Block) fits(w *Best) bool {
	return b.General == w.General && (w.Section == holdfast.AnySection || w.Section == b.Section) && (w.Tier == holdfast.AnyTier || w.Tier == b.Tier)
}

// best judges a choice that was left to the house. Which seats are the best is for others to judge: here they must be
// free, so many, and of the kind that was wanted; and a refusal must be true.
func (h *House) best(c Command) Answer {
	if c.Seats == nil {
		return Answer{Outcome: h.refusal(c.Best)}
	}
	wrong := func(format string, args ...any) Answer { return Answer{Wrong: fmt.Sprintf(format, args...)} }
	if len(c.Seats) != c.Best.Count {
		return wrong("%d seats for %d", len(c.Seats), c.Best.Count)
	}
	if taken := h.taken(c.Seats).Taken; len(taken) > 0 {
		return wrong("%v were not free", taken)
	}
	seats := slices.Sorted(slices.Values(c.Seats))
	for i, s := range seats {
		at := slices.IndexFunc(h.blocks, func(b Block) bool { return b.First <= s && s < b.First+holdfast.SeatIndex(b.Count) })
		switch {
		case at < 0 || !h.blocks[at].fits(c.Best):
			return wrong("seat %d is not of the kind that was wanted", s)
		case i > 0 && s == seats[i-1]:
			return wrong("seat %d twice", s)
		case i > 0 && c.Best.Adjacent && (s != seats[i-1]+1 || s == h.blocks[at].First):
			return wrong("seats %d and %d are not neighbours", seats[i-1], s)
		}
	}
	return Answer{}
}

// refusal is what a want that cannot be met is answered; 0 when it can be met.
func (h *House) refusal(w *Best) holdfast.Outcome {
	if h.couldGive(w, func(s holdfast.SeatState) bool { return s == holdfast.Free }) {
		return 0
	}
	if h.couldGive(w, func(s holdfast.SeatState) bool { return s != holdfast.Sold }) {
		return holdfast.NotEnough
	}
	return holdfast.SoldOut
}

// couldGive reports whether the units that count would be enough.
func (h *House) couldGive(w *Best, counts func(holdfast.SeatState) bool) bool {
	all := 0
	for _, b := range h.blocks {
		if !b.fits(w) {
			continue
		}
		run := 0
		for i := range b.Count {
			if !counts(h.seats[int(b.First)+i].state) {
				run = 0
				continue
			}
			run++
			if all++; w.Adjacent && run == w.Count || !w.Adjacent && all == w.Count {
				return true
			}
		}
	}
	return false
}
