package sandbox_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bank is a sandbox with our client in front of it, in one process, without a network.
type bank struct {
	*sandbox.Server
	t      testing.TB
	client *stripe.Client
	holds  byte
}

func open(t testing.TB, cfg sandbox.Config) *bank {
	t.Helper()
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	secret, _ := s.Keys()
	client, err := stripe.New(stripe.Config{
		Key: secret, Backend: "http://sandbox", Transport: s.Transport(), Now: s.Now, WebhookSecrets: []payment.Secret{payment.Hide("whsec_1")},
		AtOnceMethods: []string{"card", "ideal", "sepa_debit"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &bank{Server: s, t: t, client: client}
}

func (b *bank) key() payment.Key {
	b.holds++
	return payment.Key{Cluster: "test", Incarnation: 1, Event: 1, Hold: holdfast.HoldID{b.holds}, Attempt: 1}
}

func (b *bank) intent(amount int64) payment.Intent {
	return payment.Intent{Key: b.key(), Amount: holdfast.Money{AmountMinor: amount, Currency: "eur"}, Capture: holdfast.CaptureManual, Since: b.Now()}
}

func (b *bank) create(in payment.Intent) payment.Payment {
	b.t.Helper()
	p, err := b.client.Create(b.t.Context(), in)
	b.must(err)
	return p
}

func (b *bank) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bank) act(p payment.Payment) payment.Act {
	return payment.Act{Payment: p.Ref, Key: p.Key, Amount: p.Amount, Since: b.Now()}
}

func (b *bank) refund(p payment.Payment, effect holdfast.EffectID, amount int64) payment.Act {
	act := b.act(p)
	act.Effect, act.Amount.AmountMinor = effect, amount
	return act
}

// paid is an authorised payment.
func (b *bank) paid(method string) payment.Payment {
	b.t.Helper()
	p := b.create(b.intent(100_00))
	b.must(b.Act(p.Ref, sandbox.ActConfirm, sandbox.Arguments{Method: method}))
	return p
}

func (b *bank) captured(method string) payment.Payment {
	b.t.Helper()
	p := b.paid(method)
	p, err := b.client.Capture(b.t.Context(), b.act(p))
	b.must(err)
	return p
}

func (b *bank) look(p payment.Payment) payment.Payment {
	b.t.Helper()
	p, err := b.client.Look(b.t.Context(), p.Ref)
	b.must(err)
	return p
}

func (b *bank) is(p payment.Payment, want payment.Status) payment.Payment {
	b.t.Helper()
	p = b.look(p)
	if p.Status != want {
		b.t.Fatalf("%s is %s, want %s", p.Ref, p.Status, want)
	}
	return p
}

func TestMethodsDoWhatTheySay(t *testing.T) {
	b := open(t, sandbox.Config{})
	b.is(b.paid("pm_card_visa"), payment.StatusAuthorised)
	b.is(b.paid("4242 4242 4242 4242"), payment.StatusAuthorised)

	late := b.paid("pm_sandbox_late")
	b.is(late, payment.StatusProcessing)
	if _, err := b.client.Void(t.Context(), b.act(late)); payment.KindOf(err) != payment.WrongState {
		t.Errorf("a payment in the bank's hands was cancelled: %v", err)
	}
	never := b.paid("pm_sandbox_lateDecline")
	b.Advance(20 * time.Second)
	b.is(late, payment.StatusAuthorised)
	if p := b.is(never, payment.StatusOpen); p.Failure.Code != "card_declined" {
		t.Errorf("failed with %+v", p.Failure)
	}
	if _, err := b.client.Void(t.Context(), b.act(late)); err != nil {
		t.Errorf("the payment that was in the bank's hands cannot be cancelled any more: %v", err)
	}

	for act, want := range map[sandbox.Act]payment.Status{sandbox.ActAuthenticate: payment.StatusAuthorised, sandbox.ActAbandon: payment.StatusOpen} {
		p := b.paid("pm_card_authenticationRequired")
		b.is(p, payment.StatusAction)
		b.must(b.Act(p.Ref, act, sandbox.Arguments{}))
		b.is(p, want)
	}
	second := b.paid("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds")
	b.must(b.Act(second.Ref, sandbox.ActAuthenticate, sandbox.Arguments{}))
	if p := b.is(second, payment.StatusOpen); p.Failure.Decline != "insufficient_funds" {
		t.Errorf("failed with %+v", p.Failure)
	}

	broke := b.paid("pm_sandbox_captureFail")
	for range 2 {
		if _, err := b.client.Capture(t.Context(), b.act(broke)); payment.KindOf(err) != payment.Declined {
			t.Errorf("the capture that fails: %v", err)
		}
	}
	_, err := b.client.Void(t.Context(), b.act(broke))
	b.must(err)
}

func TestMethodsThatTakeMoneyAtOnce(t *testing.T) {
	b := open(t, sandbox.Config{})
	for method, want := range map[string]payment.Status{"pm_sandbox_ideal": payment.StatusAction, "pm_sandbox_debit": payment.StatusProcessing, "pm_sandbox_debitFail": payment.StatusProcessing} {
		in := b.intent(100_00)
		manual := b.create(in)
		if err := b.Act(manual.Ref, sandbox.ActConfirm, sandbox.Arguments{Method: method}); err == nil {
			t.Errorf("%s was authorised without being captured", method)
		}
		in.Key, in.Capture = b.key(), holdfast.CaptureAtOnce
		p := b.create(in)
		b.must(b.Act(p.Ref, sandbox.ActConfirm, sandbox.Arguments{Method: method}))
		b.is(p, want)
		if want == payment.StatusAction {
			b.must(b.Act(p.Ref, sandbox.ActAuthenticate, sandbox.Arguments{}))
		}
		b.Advance(time.Minute)
		if method == "pm_sandbox_debitFail" {
			b.is(p, payment.StatusOpen)
		} else if got := b.is(p, payment.StatusCaptured); got.CapturedMinor != 100_00 {
			t.Errorf("%s took %d", method, got.CapturedMinor)
		}
	}
}

func TestAuthorisationsEnd(t *testing.T) {
	b := open(t, sandbox.Config{})
	week, short := b.paid("pm_card_visa"), b.paid("pm_sandbox_shortAuthorisation")
	before := b.look(short).CaptureBefore
	b.Advance(before.Sub(b.Now()) + time.Second)
	b.is(short, payment.StatusCancelled)
	b.is(week, payment.StatusAuthorised)
	if _, err := b.client.Capture(t.Context(), b.act(short)); payment.KindOf(err) != payment.WrongState {
		t.Errorf("captured what had ended: %v", err)
	}
	b.Advance(7 * 24 * time.Hour)
	b.is(week, payment.StatusCancelled)
}

func TestRefundsTakeTheirCourse(t *testing.T) {
	b := open(t, sandbox.Config{})
	for method, course := range map[string][2]payment.RefundStatus{
		"pm_card_visa": {payment.RefundDone, payment.RefundDone}, "pm_card_pendingRefund": {payment.RefundPending, payment.RefundDone},
		"pm_card_refundFail": {payment.RefundDone, payment.RefundFailed}, "pm_sandbox_refundPendingFail": {payment.RefundPending, payment.RefundFailed},
	} {
		p := b.captured(method)
		r, err := b.client.Refund(t.Context(), b.refund(p, 5, 40_00))
		b.must(err)
		if r.Status != course[0] || b.look(p).RefundedMinor != 40_00 {
			t.Errorf("%s: the refund begins as %v, refunded %d", method, r.Status, b.look(p).RefundedMinor)
		}
		b.Advance(30 * time.Second)
		all, err := b.client.Refunds(t.Context(), p.Ref)
		b.must(err)
		if len(all) != 1 || all[0].Status != course[1] || all[0].Effect != 5 {
			t.Errorf("%s: the refund ends as %+v", method, all)
		}
		want := int64(40_00)
		if course[1] == payment.RefundFailed {
			want = 0 // the money is with us again, and can be refunded anew, for another effect
			_, err := b.client.Refund(t.Context(), b.refund(p, 6, 100_00))
			b.must(err)
			want = 100_00
		}
		if got := b.look(p).RefundedMinor; got != want {
			t.Errorf("%s: refunded %d, want %d", method, got, want)
		}
		again, err := b.client.Refund(t.Context(), b.refund(p, 5, 40_00))
		b.must(err)
		if again.Ref != r.Ref || again.Status != course[1] {
			t.Errorf("%s: repeated, the refund is %+v", method, again)
		}
	}
}

func TestDisputes(t *testing.T) {
	b := open(t, sandbox.Config{})
	p := b.captured("pm_card_createDispute")
	if got := b.look(p).Dispute; got.State != 0 {
		t.Errorf("disputed at once: %+v", got)
	}
	b.Advance(30 * time.Second)
	if got := b.look(p).Dispute; got != (payment.Dispute{State: holdfast.DisputeOpened, AmountMinor: 100_00}) {
		t.Errorf("the dispute is %+v", got)
	}
	_, err := b.client.Refund(t.Context(), b.refund(p, 1, 1_00))
	if payment.KindOf(err) != payment.WrongState {
		t.Errorf("a disputed payment was refunded: %v", err)
	}
	b.must(b.Act(p.Ref, sandbox.ActWinDispute, sandbox.Arguments{}))
	if got := b.look(p).Dispute.State; got != holdfast.DisputeWon {
		t.Errorf("the dispute that was won is %v", got)
	}
	if _, err := b.client.Refund(t.Context(), b.refund(p, 1, 1_00)); err != nil {
		t.Errorf("the refund after the dispute was won: %v", err)
	}
	lost := b.captured("pm_card_visa")
	b.must(b.Act(lost.Ref, sandbox.ActDispute, sandbox.Arguments{}))
	b.must(b.Act(lost.Ref, sandbox.ActLoseDispute, sandbox.Arguments{}))
	if got := b.look(lost).Dispute.State; got != holdfast.DisputeLost {
		t.Errorf("the dispute that was lost is %v", got)
	}
}

func TestTheDashboardChangesPayments(t *testing.T) {
	b := open(t, sandbox.Config{})
	p := b.paid("pm_card_visa")
	b.must(b.Act(p.Ref, sandbox.ActCancel, sandbox.Arguments{}))
	b.is(p, payment.StatusCancelled)
	p = b.captured("pm_card_visa")
	b.must(b.Act(p.Ref, sandbox.ActRefund, sandbox.Arguments{AmountMinor: 30_00}))
	all, err := b.client.Refunds(t.Context(), p.Ref)
	b.must(err)
	if len(all) != 1 || all[0].Effect != 0 || !all[0].Key.IsZero() || b.look(p).RefundedMinor != 30_00 {
		t.Errorf("the refund by hand is %+v", all)
	}
	if err := b.Act(p.Ref, sandbox.ActCancel, sandbox.Arguments{}); err == nil {
		t.Error("what was captured was cancelled")
	}
}

func TestListsComeInPages(t *testing.T) {
	b := open(t, sandbox.Config{ReadsPerSecond: 10_000, WritesPerSecond: 10_000})
	from := b.Now()
	var made []payment.Ref
	for range 250 {
		made = append(made, b.create(b.intent(10_00)).Ref)
		b.Advance(time.Second)
	}
	var seen []payment.Ref
	pages := 0
	for after := payment.Cursor(""); pages == 0 || after != ""; pages++ {
		page, err := b.client.List(t.Context(), payment.Span{From: from, To: b.Now()}, after)
		b.must(err)
		for _, p := range page.Payments {
			seen = append(seen, p.Ref)
		}
		after = page.Next
		b.create(b.intent(10_00)) // newer ones do not shift what is listed
	}
	if len(seen) < 250 || pages != 3 || seen[0] != made[249] || seen[249] != made[0] {
		t.Errorf("%d payments in %d pages, from %s to %s", len(seen), pages, seen[0], seen[len(seen)-1])
	}
	page, err := b.client.List(t.Context(), payment.Span{From: from.Add(100 * time.Second), To: from.Add(109 * time.Second)}, "")
	b.must(err)
	if len(page.Payments) < 9 || len(page.Payments) > 11 {
		t.Errorf("%d payments in ten seconds", len(page.Payments))
	}
}

func TestTheBooksOutliveTheProcess(t *testing.T) {
	cfg := sandbox.Config{
		Journal: filepath.Join(t.TempDir(), "books.jsonl"), SecretKey: payment.Hide("sk_test_1"), PublishableKey: payment.Hide("pk_test_1"),
	}
	b := open(t, cfg)
	late, refunded := b.paid("pm_sandbox_late"), b.captured("pm_card_refundFail")
	made, err := b.client.Refund(t.Context(), b.refund(refunded, 1, 10_00))
	b.must(err)
	b.Advance(time.Second)
	before, now := b.Books(), b.Now()
	b.must(b.Close())

	// The process died while it wrote.
	f, err := os.OpenFile(cfg.Journal, os.O_APPEND|os.O_WRONLY, 0)
	b.must(err)
	_, err = f.WriteString(`{"intent":{"id":"pi_half`)
	b.must(err)
	b.must(f.Close())

	next := open(t, cfg)
	if after := next.Books(); len(after) != len(before) || after[0] != before[0] || after[1] != before[1] {
		t.Errorf("the books were %+v and are %+v", before, after)
	}
	if next.Now().Before(now) {
		t.Error("the clock went back")
	}
	again, err := next.client.Refund(t.Context(), b.refund(refunded, 1, 10_00))
	b.must(err)
	if again.Ref != made.Ref {
		t.Error("the key of a refund was forgotten, and the refund made twice")
	}
	next.Advance(time.Minute)
	next.is(late, payment.StatusAuthorised)
	if got := next.look(refunded).RefundedMinor; got != 0 {
		t.Errorf("the refund that was to fail did not: refunded %d", got)
	}
	next.holds = b.holds
	if p := next.create(next.intent(10_00)); p.Ref == late.Ref || p.Ref == refunded.Ref {
		t.Error("an id was given out twice")
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for name, cfg := range map[string]sandbox.Config{
		"a live key":                 {SecretKey: payment.Hide("sk_live_1")},
		"a live publishable key":     {PublishableKey: payment.Hide("pk_live_1")},
		"a journal with random keys": {Journal: filepath.Join(t.TempDir(), "x")},
		"a fault that is none":       {Chance: map[sandbox.Do]uint32{"explode": 1}},
		"too many endpoints":         {Endpoints: make([]sandbox.Endpoint, 17)},
	} {
		if s, err := sandbox.New(cfg); err == nil {
			s.Close()
			t.Errorf("%s is taken", name)
		}
	}
}

// The clock moves by itself too: nobody asks, and the bank answers.
func TestTheBankAnswersWithoutBeingAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, sandbox.Config{})
		p := b.paid("pm_sandbox_late")
		time.Sleep(19 * time.Second)
		b.is(p, payment.StatusProcessing)
		time.Sleep(time.Second)
		b.is(p, payment.StatusAuthorised)
		b.must(b.Close())
	})
}

func TestABuyersBrowserPays(t *testing.T) {
	b := open(t, sandbox.Config{})
	_, publishable := b.Keys()
	p := b.create(b.intent(50_00))
	post := func(form url.Values) (int, map[string]any, http.Header) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sandbox/v1/payment_intents/"+string(p.Ref)+"/confirm", strings.NewReader(form.Encode()))
		b.must(err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://tickets.example")
		answer, err := b.Transport().RoundTrip(r)
		b.must(err)
		raw, err := io.ReadAll(answer.Body)
		b.must(err)
		var object map[string]any
		b.must(json.Unmarshal(raw, &object))
		return answer.StatusCode, object, answer.Header
	}
	card := url.Values{
		"key": {publishable.Reveal()}, "client_secret": {p.ClientSecret.Reveal()}, "payment_method_data[type]": {"card"},
		"payment_method_data[card][number]": {"4000 0000 0000 0002"}, "payment_method_data[card][exp_month]": {"12"}, "payment_method_data[card][exp_year]": {"30"},
		"payment_method_data[card][cvc]": {"123"}, "return_url": {"https://tickets.example/back"},
	}
	status, object, header := post(card)
	if status != http.StatusPaymentRequired || object["error"].(map[string]any)["code"] != "card_declined" || header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("a declined card: %d %v %v", status, object, header)
	}
	if shown := object["error"].(map[string]any)["payment_intent"].(map[string]any); shown["metadata"] != nil {
		t.Errorf("a browser sees metadata: %v", shown)
	}
	card.Set("payment_method_data[card][number]", "4000 0027 6000 3184")
	status, object, _ = post(card)
	if status != http.StatusOK || object["status"] != "requires_action" {
		t.Fatalf("a card that needs action: %d %v", status, object)
	}
	bankPage := object["next_action"].(map[string]any)["redirect_to_url"].(map[string]any)["url"].(string)
	answer, err := b.Transport().RoundTrip(request(t, http.MethodGet, bankPage, nil))
	b.must(err)
	page, _ := io.ReadAll(answer.Body)
	if !strings.Contains(string(page), "Do you pay 5000 EUR") {
		t.Errorf("the bank's page is %s", page)
	}
	answer, err = b.Transport().RoundTrip(request(t, http.MethodPost, bankPage, url.Values{"answer": {"yes"}}))
	b.must(err)
	back, err := url.Parse(answer.Header.Get("Location"))
	b.must(err)
	if answer.StatusCode != http.StatusSeeOther || back.Host != "tickets.example" || back.Query().Get("redirect_status") != "succeeded" {
		t.Errorf("the buyer goes to %v (%d)", back, answer.StatusCode)
	}
	b.is(p, payment.StatusAuthorised)

	for name, change := range map[string][2]string{"no client secret": {"client_secret", ""}, "another's": {"client_secret", "pi_x_secret_y"}, "another key": {"key", "pk_test_other"}} {
		wrong := url.Values{}
		for k, v := range card {
			wrong[k] = v
		}
		wrong.Set(change[0], change[1])
		if status, object, _ := post(wrong); status != http.StatusNotFound && status != http.StatusUnauthorized {
			t.Errorf("%s: %d %v", name, status, object)
		}
	}
	capture := request(t, http.MethodPost, "http://sandbox/v1/payment_intents/"+string(p.Ref)+"/capture", url.Values{"key": {publishable.Reveal()}, "client_secret": {p.ClientSecret.Reveal()}})
	answer, err = b.Transport().RoundTrip(capture)
	b.must(err)
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a browser captured: %d", answer.StatusCode)
	}
}

func request(t *testing.T, method, address string, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}
