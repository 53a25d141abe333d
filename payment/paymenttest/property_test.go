package paymenttest_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// world is a sandbox that misbehaves at random, workers that die at random, and a buyer and a clerk in between.
type world struct {
	*rapid.T
	bank   *sandbox.Server
	client *stripe.Client
	keys   []*attempt
}

// attempt is one key, and what the workers together know of it.
type attempt struct {
	intent  payment.Intent
	ref     payment.Ref // empty as long as no create was answered
	since   map[string]time.Time
	refunds map[holdfast.EffectID]int64 // what each effect owes
	done    map[holdfast.EffectID]string
}

// Whatever the faults, and whoever repeats: what was answered is true, looking gives the truth, one key makes one
// payment that takes money once, and one effect one refund.
func TestAnyScheduleOfFaultsEndsInTheTruth(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, err := sandbox.New(sandbox.Config{Seed: rapid.Uint64().Draw(rt, "seed"), ReadsPerSecond: 100_000, WritesPerSecond: 100_000})
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		secret, _ := s.Keys()
		client, err := stripe.New(stripe.Config{Key: secret, Backend: "http://sandbox", Transport: s.Transport(), Now: s.Now})
		if err != nil {
			rt.Fatal(err)
		}
		w := &world{T: rt, bank: s, client: client}
		for hold := range byte(2) {
			key := payment.Key{Cluster: "property", Incarnation: 1, Event: 7, Hold: holdfast.HoldID{hold}, Attempt: 1}
			capture := rapid.SampledFrom([]holdfast.CaptureMethod{holdfast.CaptureManual, holdfast.CaptureAtOnce}).Draw(rt, "capture")
			w.keys = append(w.keys, &attempt{
				intent: payment.Intent{Key: key, Amount: holdfast.Money{AmountMinor: 100_00, Currency: "eur"}, Capture: capture, Since: s.Now()},
				since:  map[string]time.Time{}, refunds: map[holdfast.EffectID]int64{}, done: map[holdfast.EffectID]string{},
			})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create": w.create, "buyer pays": w.pay, "capture": w.capture, "void": w.void, "refund": w.refund, "clerk": w.clerk,
			"time passes": func(rt *rapid.T) {
				s.Advance(rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 19 * time.Hour, 25 * time.Hour}).Draw(rt, "for"))
			},
			"": func(*rapid.T) { w.check() },
		})
		w.settle()
		w.check()
	})
}

func (w *world) one(rt *rapid.T) *attempt { return rapid.SampledFrom(w.keys).Draw(rt, "key") }

// faults sets up to four faults, which the next requests meet in turn.
func (w *world) faults(rt *rapid.T) {
	meet := rapid.SliceOfN(rapid.SampledFrom([]sandbox.Do{
		sandbox.Down, sandbox.Unavailable, sandbox.ErrorBefore, sandbox.ErrorAfter, sandbox.DropAfter, sandbox.RateLimit, sandbox.Busy,
	}), 0, 4).Draw(rt, "faults")
	var list []sandbox.Fault
	for _, do := range meet {
		list = append(list, sandbox.Fault{Do: do, Count: 1})
	}
	if err := w.bank.SetFaults(list...); err != nil {
		w.Fatal(err)
	}
}

// tries lets a worker try up to three times; it may die before it has an answer. It gives the last error.
func (w *world) tries(rt *rapid.T, do func() error) (err error) {
	w.faults(rt)
	for range rapid.IntRange(1, 3).Draw(rt, "tries") {
		if err = do(); !payment.KindOf(err).Again() {
			break
		}
	}
	if err := w.bank.SetFaults(); err != nil {
		w.Fatal(err)
	}
	return err
}

func (w *world) create(rt *rapid.T) {
	a := w.one(rt)
	err := w.tries(rt, func() error { return w.createOnce(a) })
	if err != nil && !payment.KindOf(err).Again() {
		w.Fatalf("create: %v", err)
	}
}

func (w *world) createOnce(a *attempt) error {
	p, err := w.client.Create(w.Context(), a.intent)
	if err != nil {
		return err
	}
	if a.ref != "" && a.ref != p.Ref {
		w.Fatalf("the key made %s and %s", a.ref, p.Ref)
	}
	a.ref = p.Ref
	if e := w.entry(p.Ref); e.Status != words[p.Status] && p.Status != payment.StatusOpen || e.CapturedMinor != p.CapturedMinor {
		w.Fatalf("create told of %+v, in the books is %+v", p, e)
	}
	return nil
}

// words are the books' names of the states.
var words = map[payment.Status]string{
	payment.StatusOpen: "requires_payment_method", payment.StatusAction: "requires_action", payment.StatusProcessing: "processing",
	payment.StatusAuthorised: "requires_capture", payment.StatusCaptured: "succeeded", payment.StatusCancelled: "canceled",
}

func (w *world) pay(rt *rapid.T) {
	a := w.one(rt)
	if a.ref == "" {
		return
	}
	method := rapid.SampledFrom([]string{"pm_card_visa", "pm_card_visa_chargeDeclined", "pm_sandbox_late", "pm_sandbox_captureFail", "pm_card_refundFail", "pm_card_authenticationRequired"}).Draw(rt, "method")
	if w.bank.Act(a.ref, sandbox.ActConfirm, sandbox.Arguments{Method: method}) != nil {
		_ = w.bank.Act(a.ref, sandbox.ActAuthenticate, sandbox.Arguments{}) // or he is already paying, and comes back from his bank
	}
}

func (w *world) clerk(rt *rapid.T) {
	a := w.one(rt)
	if a.ref == "" {
		return
	}
	act := rapid.SampledFrom([]sandbox.Act{sandbox.ActCancel, sandbox.ActRefund, sandbox.ActCapture, sandbox.ActDispute}).Draw(rt, "act")
	_ = w.bank.Act(a.ref, act, sandbox.Arguments{AmountMinor: 5_00}) // he may come too late
}

func (a *attempt) act(w *world, name string) payment.Act {
	if a.since[name].IsZero() {
		a.since[name] = w.bank.Now()
	}
	return payment.Act{Payment: a.ref, Key: a.intent.Key, Amount: a.intent.Amount, Since: a.since[name]}
}

func (w *world) capture(rt *rapid.T) {
	if a := w.one(rt); a.ref != "" {
		w.answered(a, "capture", w.tries(rt, func() error { return w.captureOnce(a) }), "succeeded")
	}
}

func (w *world) captureOnce(a *attempt) error {
	_, err := w.client.Capture(w.Context(), a.act(w, "capture"))
	return err
}

func (w *world) void(rt *rapid.T) {
	if a := w.one(rt); a.ref != "" {
		w.answered(a, "void", w.tries(rt, func() error { return w.voidOnce(a) }), "canceled")
	}
}

func (w *world) voidOnce(a *attempt) error {
	_, err := w.client.Void(w.Context(), a.act(w, "void"))
	return err
}

// answered holds an answer that is an end against the books.
func (w *world) answered(a *attempt, op string, err error, done string) {
	e := w.entry(a.ref)
	var failed *payment.Error
	switch {
	case err == nil:
		if e.Status != done {
			w.Fatalf("%s succeeded, in the books is %+v", op, e)
		}
	case payment.KindOf(err) == payment.WrongState:
		if !errors.As(err, &failed) || failed.Payment == nil || words[failed.Payment.Status] != e.Status || failed.Payment.CapturedMinor != e.CapturedMinor {
			w.Fatalf("%s: %v, in the books is %+v", op, err, e)
		}
		if e.Status == done {
			w.Fatalf("%s was done, and failed: %v", op, err)
		}
	case payment.KindOf(err) == payment.Declined:
		if e.Status == done {
			w.Fatalf("%s was done, and declined: %v", op, err)
		}
	case !payment.KindOf(err).Again():
		w.Fatalf("%s: %v", op, err)
	}
}

func (w *world) refund(rt *rapid.T) {
	a := w.one(rt)
	if a.ref == "" || w.entry(a.ref).CapturedMinor == 0 {
		return
	}
	effect := holdfast.EffectID(rapid.IntRange(1, 3).Draw(rt, "effect"))
	if a.refunds[effect] == 0 {
		a.refunds[effect] = int64(rapid.IntRange(1, 60).Draw(rt, "amount")) * 100
	}
	if err := w.tries(rt, func() error { return w.refundOnce(a, effect) }); err != nil && !payment.KindOf(err).Again() {
		w.refusedRefund(a, effect, err)
	}
}

func (w *world) refundOnce(a *attempt, effect holdfast.EffectID) error {
	act := a.act(w, "refund"+string(rune('0'+effect)))
	act.Effect, act.Amount.AmountMinor = effect, a.refunds[effect]
	r, err := w.client.Refund(w.Context(), act)
	if err != nil {
		return err
	}
	if r.Effect != effect || r.Amount.AmountMinor != a.refunds[effect] || a.done[effect] != "" && a.done[effect] != r.Ref {
		w.Fatalf("the effect %d was refunded by %s and %+v", effect, a.done[effect], r)
	}
	a.done[effect] = r.Ref
	return nil
}

// refusedRefund holds a refusal against the books: it has to have a reason, and to have moved nothing.
func (w *world) refusedRefund(a *attempt, effect holdfast.EffectID, err error) {
	e := w.entry(a.ref)
	if a.done[effect] != "" {
		w.Fatalf("the refund %s of effect %d was made, and is refused: %v", a.done[effect], effect, err)
	}
	if kind := payment.KindOf(err); kind != payment.WrongState && kind != payment.Invalid || e.CapturedMinor-e.RefundedMinor >= a.refunds[effect] && e.DisputedMinor == 0 {
		w.Fatalf("refund of %d: %v, in the books is %+v", a.refunds[effect], err, e)
	}
}

// entry is a payment as the books have it.
func (w *world) entry(ref payment.Ref) sandbox.Entry {
	for _, e := range w.bank.Books() {
		if e.Payment == string(ref) {
			return e
		}
	}
	w.Fatalf("%s is not in the books", ref)
	return sandbox.Entry{}
}

// check holds the books against what may never be, and what a look says against the books.
func (w *world) check() {
	of := map[string]int{}
	for _, e := range w.bank.Books() {
		if of[e.Key]++; of[e.Key] > 1 {
			w.Fatalf("the key %s made two payments", e.Key)
		}
		if e.CapturedMinor != 0 && e.CapturedMinor != e.AmountMinor || e.RefundedMinor > e.CapturedMinor {
			w.Fatalf("money does not add up: %+v", e)
		}
		p, err := w.client.Look(w.Context(), payment.Ref(e.Payment))
		if err != nil || words[p.Status] != e.Status || p.CapturedMinor != e.CapturedMinor || p.RefundedMinor != e.RefundedMinor {
			w.Fatalf("a look says %+v (%v), in the books is %+v", p, err, e)
		}
	}
	for _, a := range w.keys {
		if a.ref == "" {
			continue
		}
		all, err := w.client.Refunds(w.Context(), a.ref)
		if err != nil {
			w.Fatal(err)
		}
		seen := map[holdfast.EffectID]bool{}
		for _, r := range all {
			if r.Effect != 0 && (seen[r.Effect] || r.Amount.AmountMinor != a.refunds[r.Effect]) {
				w.Fatalf("effect %d owes %d and was refunded by %+v", r.Effect, a.refunds[r.Effect], all)
			}
			seen[r.Effect] = true
		}
		for effect := range a.done {
			if !seen[effect] {
				w.Fatalf("the refund of effect %d was answered with success, and is not there", effect)
			}
		}
	}
}

// settle repeats, without faults, all that was begun: each act comes to an end.
func (w *world) settle() {
	for _, a := range w.keys {
		if err := w.createOnce(a); err != nil {
			w.Fatalf("create in the end: %v", err)
		}
		for effect := range a.refunds {
			if err := w.refundOnce(a, effect); err != nil {
				w.refusedRefund(a, effect, err)
			}
		}
		w.answered(a, "capture", w.captureOnce(a), "succeeded")
		if !a.since["void"].IsZero() {
			w.answered(a, "void", w.voidOnce(a), "canceled")
		}
	}
}
