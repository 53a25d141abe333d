package convert

import (
	"cmp"
	"fmt"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node/outbox"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Effect is an effect as a message.
func Effect(e fsm.EffectView) *api.Effect {
	m := &api.Effect{Id: uint64(e.ID), Event: uint32(e.Event), Kind: uint32(e.Kind), Hold: e.Hold[:], Attempt: uint32(e.Attempt), Payment: e.Payment,
		TotalMinor: e.Amount.AmountMinor, Currency: string(e.Amount.Currency), Method: uint32(e.Capture), BegunMs: e.BegunMs, Life: uint64(e.Incarnation),
		NotBeforeUs: uint64(e.NotBefore), LatestMs: e.LatestMs, Urgent: e.Urgent, Parked: e.State == holdfast.EffectParked, Tries: uint32(e.Tries),
		Code: e.Code, Topic: uint32(e.Topic), RefundedMinor: e.Refunded}
	if e.Kind == holdfast.EffectCapture || e.Kind == holdfast.EffectRefund {
		m.AmountMinor = e.Amount.AmountMinor
	}
	return m
}

// Effects are effects as messages.
func Effects(views []fsm.EffectView) []*api.Effect {
	all := make([]*api.Effect, len(views))
	for i, e := range views {
		all[i] = Effect(e)
	}
	return all
}

// effectsMax bounds the effects that one call lists: some hundred bytes each.
const effectsMax = 4096

// EffectPage lists a cut's effects by number.
func EffectPage(cut *fsm.Cut, q *api.EffectsRequest, stamp *api.Stamp) *api.EffectsResponse {
	most := int(min(cmp.Or(q.GetMax(), effectsMax), effectsMax))
	views := cut.Effects(holdfast.EffectID(q.GetFrom()), most+1)
	answer := &api.EffectsResponse{Stamp: stamp}
	if len(views) > most {
		answer.Next = uint64(views[most].ID)
		views = views[:most]
	}
	answer.Effects = Effects(views)
	return answer
}

// pagePayments is how many payments a page has: as pageOrders.
const pagePayments = 1000

// Payments sends all payments of an event from a cut, in pages: at least one, with the ledger. It fails when the event is
// not there, or send does.
func Payments(cut *fsm.Cut, id holdfast.EventID, cluster string, stamp *api.Stamp, send func(*api.PaymentPage) error) error {
	currency, ok := cut.Currency(id)
	if !ok {
		return notFound("event", id)
	}
	incarnation, suspended := cut.Incarnation()
	ledger := ledgerOf(cut.Ledger(id), currency)
	fresh := func() *api.PaymentPage {
		return &api.PaymentPage{Stamp: stamp, WallMs: cut.WallMs(), Cluster: cluster, Incarnation: uint64(incarnation), Suspended: suspended, Ledger: ledger}
	}
	page, sent := fresh(), false
	for p := range cut.Payments(id) {
		page.Payments = append(page.Payments, paymentOf(p))
		if len(page.Payments) == pagePayments {
			if err := send(page); err != nil {
				return err
			}
			page, sent = fresh(), true
		}
	}
	if sent && len(page.Payments) == 0 {
		return nil
	}
	return send(page)
}

func paymentOf(p fsm.PaymentView) *api.Payment {
	return &api.Payment{Hold: p.Hold[:], Event: uint32(p.Event), Attempt: uint32(p.Attempt), Payment: p.Payment, State: uint32(p.State), Method: uint32(p.Capture),
		AmountMinor: p.Amount.AmountMinor, Currency: string(p.Amount.Currency), CapturedMinor: p.Ledger.Captured, OwedMinor: p.Ledger.Owed,
		RefundedMinor: p.Ledger.Refunded, ChargedBackMinor: p.Ledger.ChargedBack, Dispute: uint32(p.Dispute), BegunMs: p.BegunMs, Ordered: p.Order != holdfast.OrderID{},
		Effect: uint64(p.Effect), Parked: p.Parked, Stray: p.Stray, Life: uint64(p.Incarnation)}
}

func ledgerOf(l fsm.Ledger, currency holdfast.Currency) *api.Ledger {
	return &api.Ledger{Currency: string(currency), CapturedMinor: l.Captured, CapturingMinor: l.Capturing, LiveMinor: l.Live, KeptMinor: l.Kept, OwedMinor: l.Owed,
		RefundedMinor: l.Refunded, ChargedBackMinor: l.ChargedBack, OverdrawnMinor: l.Overdrawn, UnpaidMinor: l.Unpaid, OutsideMinor: l.Outside}
}

// Quote asks the machine what a hold costs. It is an error only when there is no such event; why a payment would be
// refused is part of the answer. The caller sets the stamp and the cluster.
func Quote(m *fsm.Machine, q *api.QuoteRequest) (*api.QuoteResponse, error) {
	hold, err := ID[holdfast.HoldID]("hold", q.GetHold())
	if err != nil {
		return nil, err
	}
	promo := holdfast.PromoCode{}
	if len(q.GetPromo()) > 0 {
		if promo, err = ID[holdfast.PromoCode]("promo", q.GetPromo()); err != nil {
			return nil, err
		}
	}
	incarnation, suspended := m.Incarnation()
	answer := &api.QuoteResponse{Incarnation: uint64(incarnation)}
	view, outcome := m.Quote(holdfast.EventID(q.GetEvent()), hold, promo)
	switch {
	case outcome == holdfast.EventUnknown:
		return nil, notFound("event", holdfast.EventID(q.GetEvent()))
	case outcome != holdfast.OK:
		answer.Refused = uint32(outcome)
		return answer, nil
	case suspended && view.Total.AmountMinor > 0:
		answer.Refused = uint32(holdfast.PaymentsPaused)
	case view.TooSmall:
		answer.Refused = uint32(holdfast.AmountTooSmall)
	}
	answer.Lines = quoteLines(view.Lines)
	answer.TotalMinor, answer.Currency = view.Total.AmountMinor, string(view.Total.Currency)
	answer.Mode, answer.Account = uint32(view.Mode), view.Account
	if h, ok := m.Hold(hold); ok {
		answer.Attempt = uint32(h.Attempt)
	}
	return answer, nil
}

func quoteLines(lines []command.Line) (all []*api.QuoteLine) {
	for _, l := range lines {
		all = append(all, &api.QuoteLine{Kind: uint32(l.Kind), AmountMinor: l.AmountMinor})
	}
	return all
}

// LeaseQuery reads a worker's question for effects.
func LeaseQuery(q *api.LeaseRequest) (outbox.Query, error) {
	if n := len(q.GetWorker()); n == 0 || n > workerBytesMax {
		return outbox.Query{}, &holdfast.Error{Kind: holdfast.Invalid, Field: "worker", Message: fmt.Sprintf("a worker's name of %d bytes, 1 to %d", n, workerBytesMax)}
	}
	if n := len(q.GetHave()); n > outbox.LeasesMax {
		return outbox.Query{}, &holdfast.Error{Kind: holdfast.Invalid, Field: "have", Message: fmt.Sprintf("%d effects in hand, at most %d", n, outbox.LeasesMax)}
	}
	ask := outbox.Query{Worker: q.GetWorker(), Number: q.GetNumber(), Account: q.GetAccount(), Mode: holdfast.PaymentMode(q.GetMode()), Kinds: q.GetKinds(), Max: int(q.GetMax())}
	for _, id := range q.GetHave() {
		ask.Have = append(ask.Have, holdfast.EffectID(id))
	}
	return ask, nil
}

// workerBytesMax bounds a worker's name.
const workerBytesMax = 256

// Ask reads a question for acts at a payment provider.
func Ask(q *api.GrantRequest) (outbox.Ask, error) {
	if n := len(q.GetAccount()); n > holdfast.NameBytesMax {
		return outbox.Ask{}, &holdfast.Error{Kind: holdfast.Invalid, Field: "account", Message: fmt.Sprintf("an account of %d bytes, at most %d", n, holdfast.NameBytesMax)}
	}
	ask := outbox.Ask{Account: q.GetAccount(), Limited: q.GetLimited(), Limits: payment.Limits{ReadsPerSecond: q.GetReadsPerSecond(),
		WritesPerSecond: q.GetWritesPerSecond(), Burst: time.Duration(q.GetBurstMs()) * time.Millisecond}}
	copy(ask.Want[:], q.GetWant())
	copy(ask.Back[:], q.GetBack())
	return ask, nil
}

// Granted are granted acts as a message.
func Granted(g outbox.Granted) *api.GrantResponse {
	return &api.GrantResponse{Granted: g.Acts[:], ValidMs: millis(g.For), AgainMs: millis(g.Again)}
}
