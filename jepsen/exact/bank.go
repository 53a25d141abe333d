package exact

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

// bank is the payment provider: what it does is decided here and nowhere else, and it keeps its own books. Payments are made once
// for a key, captured once, and refunded once for each effect, however often it is asked.
type bank struct {
	w       *world
	intents []*intent
	byKey   map[payment.Key]*intent
	byRef   map[payment.Ref]*intent

	down, failsAfter, failsBefore, slow, limits, twice window // of requests
	late, doubled, lost                                window // of webhooks
}

// intent is one payment.
type intent struct {
	payment.Payment
	declines bool // its capture is declined
	declined bool // it was
	refunds  []payment.Refund
	dice     *rand.Rand // of its webhooks
	lost     int64      // by a dispute
}

func newBank(w *world) *bank {
	return &bank{w: w, byKey: map[payment.Key]*intent{}, byRef: map[payment.Ref]*intent{}}
}

func (b *bank) say(what string, i *intent) {
	b.w.say(what, string(i.Ref), uint64(i.CapturedMinor), uint64(i.RefundedMinor))
}

func refused(kind payment.Kind, op string, i *intent) error {
	e := &payment.Error{Kind: kind, Op: op}
	if i != nil {
		now := i.Payment
		e.Payment = &now
	}
	return e
}

func (b *bank) find(op string, ref payment.Ref) (*intent, error) {
	if i := b.byRef[ref]; i != nil {
		return i, nil
	}
	return nil, refused(payment.Missing, op, nil)
}

func (b *bank) create(in payment.Intent) (*intent, error) {
	if i := b.byKey[in.Key]; i != nil {
		if i.Amount != in.Amount || i.Capture != in.Capture {
			return nil, refused(payment.Reused, "create", nil)
		}
		return i, nil
	}
	i := &intent{dice: dice(b.w.plan.Seed, fold(in.Key.Hold)+uint64(in.Key.Attempt)), Payment: payment.Payment{Ref: payment.Ref(fmt.Sprintf("pi_%d", len(b.intents)+1)), Key: in.Key, Mode: holdfast.ModeTest, Status: payment.StatusOpen,
		Capture: in.Capture, Amount: in.Amount, Created: b.w.wall().Truncate(time.Second)}}
	b.intents = append(b.intents, i)
	b.byKey[in.Key], b.byRef[i.Ref] = i, i
	b.say("payment made", i)
	return i, nil
}

func (b *bank) capture(ref payment.Ref) (*intent, error) {
	i, err := b.find("capture", ref)
	switch {
	case err != nil:
		return nil, err
	case i.Status == payment.StatusCaptured:
		return i, nil
	case i.Status != payment.StatusAuthorised:
		return nil, refused(payment.WrongState, "capture", i)
	case i.declines:
		i.declined = true
		b.say("capture declined", i)
		return nil, refused(payment.Declined, "capture", nil)
	}
	i.Status, i.CapturedMinor = payment.StatusCaptured, i.Amount.AmountMinor
	b.say("captured", i)
	b.w.books.captured(b.w, i)
	b.hint(i, payment.HintPayment)
	return i, nil
}

func (b *bank) void(ref payment.Ref) (*intent, error) {
	i, err := b.find("void", ref)
	switch {
	case err != nil:
		return nil, err
	case i.Status == payment.StatusCancelled:
		return i, nil
	case i.Status == payment.StatusCaptured:
		return nil, refused(payment.WrongState, "void", i)
	}
	b.w.books.voided(b.w, i)
	b.cancel(i)
	return i, nil
}

func (b *bank) cancel(i *intent) {
	i.Status = payment.StatusCancelled
	b.say("cancelled", i)
	b.hint(i, payment.HintPayment)
}

func (b *bank) refund(act payment.Act) (payment.Refund, error) {
	i, err := b.find("refund", act.Payment)
	if err != nil {
		return payment.Refund{}, err
	}
	for _, r := range i.refunds {
		if r.Effect == act.Effect {
			return r, nil
		}
	}
	if i.Status != payment.StatusCaptured || i.Dispute.State != 0 && i.Dispute.State != holdfast.DisputeWon ||
		i.RefundedMinor+i.lost+act.Amount.AmountMinor > i.CapturedMinor {
		return payment.Refund{}, refused(payment.WrongState, "refund", i)
	}
	r := payment.Refund{Ref: fmt.Sprintf("re_%s_%d", i.Ref, len(i.refunds)+1), Payment: i.Ref, Amount: act.Amount, Status: payment.RefundDone, Key: act.Key,
		Effect: act.Effect, Created: b.w.wall()}
	i.refunds = append(i.refunds, r)
	i.RefundedMinor += act.Amount.AmountMinor
	b.say("refunded", i)
	b.w.books.refunded(b.w, i)
	b.hint(i, payment.HintRefund)
	return r, nil
}

// confirm is the buyer at the bank's page. The bank's word may take its time.
func (b *bank) confirm(ref payment.Ref, declined, captureFails bool, after time.Duration) {
	i := b.byRef[ref]
	if i == nil || i.Status != payment.StatusOpen && i.Status != payment.StatusAction {
		return
	}
	if declined {
		i.Failure = payment.Failure{Code: "card_declined"}
		b.say("card declined", i)
		return
	}
	i.declines = captureFails
	if after > 0 {
		i.Status = payment.StatusProcessing
		b.say("the bank thinks", i)
		b.w.after(after, func() { b.authorise(i) })
		return
	}
	b.authorise(i)
}

func (b *bank) authorise(i *intent) {
	if i.Status == payment.StatusCancelled || i.Status == payment.StatusCaptured {
		return
	}
	i.Status = payment.StatusAuthorised
	if i.Capture == holdfast.CaptureAtOnce {
		i.Status, i.CapturedMinor = payment.StatusCaptured, i.Amount.AmountMinor
	}
	b.say("confirmed", i)
	b.hint(i, payment.HintPayment)
}

// dispute is the buyer who complains; the bank decides later.
func (b *bank) dispute(i *intent, won bool, after time.Duration) {
	left := i.CapturedMinor - i.RefundedMinor
	if i.Status != payment.StatusCaptured || left <= 0 || i.Dispute.State != 0 {
		return
	}
	i.Dispute = payment.Dispute{State: holdfast.DisputeOpened, AmountMinor: left}
	b.say("disputed", i)
	b.hint(i, payment.HintDispute)
	b.w.after(after, func() {
		i.Dispute.State = holdfast.DisputeLost
		if won {
			i.Dispute.State = holdfast.DisputeWon
		} else {
			i.lost = left
		}
		b.say("dispute decided", i)
		b.hint(i, payment.HintDispute)
	})
}

// hint sends a webhook. It is sent again until somebody takes it.
func (b *bank) hint(i *intent, kind payment.HintKind) {
	h := payment.Hint{ID: fmt.Sprintf("evt_%d", b.w.serial), Kind: kind, Payment: i.Ref}
	if kind == payment.HintPayment {
		h.Key = i.Key
		if b.lost.open(b.w.now) {
			return
		}
	}
	times := 1
	if b.doubled.open(b.w.now) {
		times = 2
	}
	for range times {
		d := time.Duration(50+i.dice.IntN(1500)) * time.Millisecond
		if b.late.open(b.w.now) {
			d += time.Duration(i.dice.IntN(b.late.size*1000+1)) * time.Millisecond
		}
		b.w.after(d, func() { b.deliver(i, h, 2*time.Second) })
	}
}

func (b *bank) deliver(i *intent, h payment.Hint, again time.Duration) {
	up := slices.DeleteFunc(slices.Clone(b.w.workers), func(k *worker) bool { return k.dead })
	later := func() { b.w.after(again, func() { b.deliver(i, h, min(2*again, time.Minute)) }) }
	if len(up) == 0 {
		later()
		return
	}
	up[i.dice.IntN(len(up))].hint(i, h, func(taken bool) {
		if !taken {
			later()
		}
	})
}
