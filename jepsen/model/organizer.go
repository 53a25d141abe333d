package model

import (
	"github.com/anishathalye/porcupine"

	"github.com/holdfast-db/holdfast"
)

// What organizers change while buyers buy.

// closed says why nothing can be held; 0: it can.
func (h *House) closed() holdfast.Outcome {
	switch h.sale {
	case holdfast.SalePaused:
		return holdfast.EventPaused
	case holdfast.SaleClosed:
		return holdfast.EventClosed
	}
	return 0
}

// setSale pauses a sale, goes on with it, or ends it for good.
func (h *House) setSale(to holdfast.SaleState) holdfast.Outcome {
	if h.sale == holdfast.SaleClosed && to != h.sale {
		return holdfast.EventClosed
	}
	h.sale = to
	return holdfast.OK
}

// turn takes seats off sale or puts them back, all or none: not when somebody has one of them.
func (h *House) turn(seats []holdfast.SeatIndex, to holdfast.SeatState) (refusal Answer) {
	for _, s := range seats {
		if state := h.stateOf(s); int(s) >= len(h.seats) || state != holdfast.Free && state != holdfast.Blocked {
			refusal.Taken = append(refusal.Taken, s)
		}
	}
	if len(refusal.Taken) > 0 {
		refusal.Outcome = holdfast.SeatTaken
		return refusal
	}
	for _, s := range seats {
		h.seats[s] = seat{state: to}
	}
	return Answer{Outcome: holdfast.OK}
}

// put changes the event, if it is as it was when the change was made. Holds keep their price and their deadline.
func (h *House) put(d Description) holdfast.Outcome {
	if d.Expect != h.version {
		return holdfast.EventChanged
	}
	h.version++
	h.rules.Price, h.rules.HoldTTL = d.Price, d.HoldTTL
	for _, b := range d.Grown {
		h.blocks = append(h.blocks, b)
		h.seats = append(h.seats, make([]seat, b.Count)...)
	}
	return holdfast.OK
}

// SaleInput brings a sale into a state, or asks for seats.
type SaleInput struct {
	Set holdfast.SaleState // 0: a buyer asked
}

// SaleOutput is the answer.
type SaleOutput struct {
	Unknown bool
	Was     holdfast.SaleState // as the answer tells: what it is set to, or how a buyer or an organizer found it
}

// Sale is the model of whether an event sells: a register that is open at first, and does not change once it is closed.
func Sale() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{holdfast.SaleOpen} },
		Step: func(state, input, output any) []any {
			now, in, out := state.(holdfast.SaleState), input.(SaleInput), output.(SaleOutput)
			may := in.Set != 0 && (now != holdfast.SaleClosed || in.Set == now)
			switch {
			case out.Unknown && may && in.Set != now:
				return []any{now, in.Set}
			case out.Unknown:
				return []any{now}
			case may && out.Was == in.Set:
				return []any{in.Set}
			case !may && out.Was == now:
				return []any{now}
			}
			return nil
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(SaleInput), output.(SaleOutput)
			what := "ask for seats"
			if in.Set != 0 {
				what = "set " + in.Set.String()
			}
			if out.Unknown {
				return what + " → ?"
			}
			return what + " → " + out.Was.String()
		},
		DescribeState: func(state any) string { return state.(holdfast.SaleState).String() },
	}
	return m.ToModel()
}
