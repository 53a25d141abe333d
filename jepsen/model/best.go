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
	Seats    []holdfast.SeatIndex // just these; none: any
}

// Lay says how the seats lie.
func (h *House) Lay(blocks []Block) { h.blocks = slices.Clone(blocks) }

func (b Block) fits(w *Best) bool {
	return w.Seats == nil && b.General == w.General && (w.Section == holdfast.AnySection || w.Section == b.Section) && (w.Tier == holdfast.AnyTier || w.Tier == b.Tier)
}

// choose says whether the house can give what is wanted, and what was wrong with what it gave: those seats must be free
// or own, so many, and of the kind that was wanted; and a refusal must be true. Which seats are the best is for others to
// judge.
func (h *House) choose(c Command, own []holdfast.SeatIndex) Answer {
	if c.Best == nil {
		return h.taken(c.Seats, own)
	}
	wants := append([]Best{*c.Best}, c.Also...)
	var named []holdfast.SeatIndex
	for i := range wants {
		named = append(named, wants[i].Seats...)
	}
	if refusal := h.taken(named, own); refusal.Outcome != 0 {
		return refusal
	}
	if h.overlap(wants) {
		return Answer{Wrong: "wants that could take each other's units are not for this model"}
	}
	if c.Seats == nil {
		return Answer{Outcome: h.refusal(wants, named, own)}
	}
	return Answer{Wrong: h.wrong(c.Seats, wants, named, own)}
}

// overlap reports whether two wants that name no units could be given the same one: then what one gets depends on what
// the other got.
func (h *House) overlap(wants []Best) bool {
	return slices.ContainsFunc(h.blocks, func(b Block) bool {
		fit := 0
		for i := range wants {
			if b.fits(&wants[i]) {
				fit++
			}
		}
		return fit > 1
	})
}

// wrong says what is wrong with seats that were given: first those that were named, then those of one want after the other.
func (h *House) wrong(given []holdfast.SeatIndex, wants []Best, named, own []holdfast.SeatIndex) string {
	sum := 0
	for i := range wants {
		sum += wants[i].Count
	}
	if len(given) != sum {
		return fmt.Sprintf("%d seats for %d", len(given), sum)
	}
	if taken := h.taken(given, own).Taken; len(taken) > 0 {
		return fmt.Sprintf("%v were not free", taken)
	}
	seats := slices.Sorted(slices.Values(given))
	if len(slices.Compact(seats)) != sum {
		return fmt.Sprintf("one of %v twice", given)
	}
	if !slices.Equal(given[:len(named)], named) {
		return fmt.Sprintf("%v for %v", given[:len(named)], named)
	}
	given = given[len(named):]
	for i := range wants {
		if w := &wants[i]; w.Seats == nil {
			if wrong := h.unfit(given[:w.Count], w); wrong != "" {
				return wrong
			}
			given = given[w.Count:]
		}
	}
	return ""
}

// unfit says which of the seats one want did not want.
func (h *House) unfit(given []holdfast.SeatIndex, w *Best) string {
	seats := slices.Sorted(slices.Values(given))
	for i, s := range seats {
		at := slices.IndexFunc(h.blocks, func(b Block) bool { return b.First <= s && s < b.First+holdfast.SeatIndex(b.Count) })
		switch {
		case at < 0 || !h.blocks[at].fits(w):
			return fmt.Sprintf("seat %d is not of the kind that was wanted", s)
		case i > 0 && w.Adjacent && (s != seats[i-1]+1 || s == h.blocks[at].First):
			return fmt.Sprintf("seats %d and %d are not neighbours", seats[i-1], s)
		}
	}
	return ""
}

// refusal is what wants that cannot be met are answered, by the first of them; 0 when they can be met. That seats may
// return is said when there are some, and when they and the free ones would be so many.
func (h *House) refusal(wants []Best, named, own []holdfast.SeatIndex) holdfast.Outcome {
	for i := range wants {
		w := &wants[i]
		if w.Seats != nil {
			continue
		}
		free, others, could := h.left(w, named, own)
		switch {
		case could:
		case others > 0 && free+others >= w.Count:
			return holdfast.NotEnough
		default:
			return holdfast.SoldOut
		}
	}
	return 0
}

// left counts the units for a want: those that it could have, those that may return from others, and whether it could be
// met.
func (h *House) left(w *Best, named, own []holdfast.SeatIndex) (free, others int, could bool) {
	for _, b := range h.blocks {
		if !b.fits(w) {
			continue
		}
		run := 0
		for s := b.First; s < b.First+holdfast.SeatIndex(b.Count); s++ {
			state := h.seats[s].state
			if state == holdfast.Free || slices.Contains(own, s) {
				if slices.Contains(named, s) {
					run = 0
					continue
				}
				free++
				run++
				could = could || w.Adjacent && run == w.Count || !w.Adjacent && free == w.Count
				continue
			}
			if run = 0; state == holdfast.Held || state == holdfast.Paying {
				others++
			}
		}
	}
	return free, others, could
}
