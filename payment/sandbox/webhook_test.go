package sandbox_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
)

// inbox is a shop's webhook: it takes what the transport of the sandbox carries.
type inbox struct {
	mu     sync.Mutex // guards all below
	refuse int        // answer so many with 503
	got    []letter
}

type letter struct {
	body, signature string
	at              time.Time
}

func (i *inbox) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	status := http.StatusOK
	if i.refuse > 0 {
		i.refuse--
		status = http.StatusServiceUnavailable
	}
	i.got = append(i.got, letter{string(body), r.Header.Get("Stripe-Signature"), time.Now()})
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// answer says how many deliveries to refuse from now on.
func (i *inbox) answer(refuse int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refuse = refuse
}

// after says when deliveries came, and forgets them.
func (i *inbox) after(began time.Time) (after []time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, l := range i.got {
		after = append(after, l.at.Sub(began))
	}
	i.got = nil
	return after
}

// hints parses what came, and forgets it.
func (i *inbox) hints(t *testing.T, b *bank) (hints []payment.Hint) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, l := range i.got {
		h, err := b.client.ParseHint([]byte(l.body), l.signature)
		if err != nil {
			t.Fatalf("%v: %s", err, l.body)
		}
		hints = append(hints, h)
	}
	i.got = nil
	return hints
}

func openWithInbox(t *testing.T, w sandbox.Webhooks) (*bank, *inbox) {
	in := &inbox{}
	return open(t, sandbox.Config{
		Transport: in, Webhooks: w, Endpoints: []sandbox.Endpoint{{URL: "http://shop/webhooks/stripe", Secret: payment.Hide("whsec_1")}},
	}), in
}

func TestWebhooksTellWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, in := openWithInbox(t, sandbox.Webhooks{})
		p := b.captured("pm_card_refundFail")
		_, err := b.client.Refund(t.Context(), b.refund(p, 1, 10_00))
		b.must(err)
		time.Sleep(30 * time.Second)
		b.must(b.Act(p.Ref, sandbox.ActDispute, sandbox.Arguments{}))
		b.must(b.Act(p.Ref, sandbox.ActLoseDispute, sandbox.Arguments{}))
		void := b.create(b.intent(10_00))
		_, err = b.client.Void(t.Context(), b.act(void))
		b.must(err)
		if err := b.Act(b.create(b.intent(10_00)).Ref, sandbox.ActConfirm, sandbox.Arguments{Method: "pm_card_visa_chargeDeclined"}); err == nil {
			t.Error("a declined card paid")
		}
		time.Sleep(time.Second)
		seen := map[string]payment.HintKind{}
		for _, h := range in.hints(t, b) {
			seen[h.Type] = h.Kind
			if h.Payment == "" || h.Kind != payment.HintDispute && h.Key.IsZero() {
				t.Errorf("the hint names nothing: %+v", h)
			}
		}
		for kind, want := range map[string]payment.HintKind{
			"payment_intent.created": payment.HintPayment, "payment_intent.amount_capturable_updated": payment.HintPayment, "payment_intent.succeeded": payment.HintPayment,
			"payment_intent.canceled": payment.HintPayment, "payment_intent.payment_failed": payment.HintPayment, "charge.refunded": payment.HintRefund,
			"charge.refund.updated": payment.HintRefund, "charge.dispute.created": payment.HintDispute, "charge.dispute.closed": payment.HintDispute,
		} {
			if seen[kind] != want {
				t.Errorf("%s was told as %v", kind, seen[kind])
			}
		}
		b.must(b.Close())
	})
}

func TestWebhooksAreRepeatedUntilTheyAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, in := openWithInbox(t, sandbox.Webhooks{})
		in.answer(4)
		began := time.Now()
		b.create(b.intent(10_00))
		time.Sleep(time.Hour)
		after := in.after(began)
		if len(after) != 5 || after[4] != 15*time.Second { // 1 + 2 + 4 + 8
			t.Errorf("sent after %v", after)
		}
		if c := b.Counts(); c.WebhooksSent != 1 || c.WebhooksRepeated != 4 || c.WebhooksWaiting != 0 {
			t.Errorf("counted %+v", c)
		}

		in.answer(1 << 30)
		b.create(b.intent(10_00))
		time.Sleep(100 * time.Hour)
		if c := b.Counts(); c.WebhooksLost != 1 || c.WebhooksWaiting != 0 {
			t.Errorf("given up after three days: %+v", c)
		}
		b.must(b.Close())
	})
}

func TestWebhooksComeTwiceLateAndOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, in := openWithInbox(t, sandbox.Webhooks{Delay: time.Second, Spread: time.Minute, DuplicatesPerMille: 300, LostPerMille: 100})
		const made = 60
		for range made {
			b.create(b.intent(10_00))
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Minute)
		hints := in.hints(t, b)
		times, backwards := map[string]int{}, 0
		for i, h := range hints {
			times[h.ID]++
			if i > 0 && h.Created.Before(hints[i-1].Created) {
				backwards++
			}
		}
		twice := 0
		for _, n := range times {
			if n == 2 {
				twice++
			}
		}
		if twice < 5 || backwards < 5 || len(times) == made || len(times) < made/2 {
			t.Errorf("%d of %d events came, %d twice, %d times a later one first", len(times), made, twice, backwards)
		}
		b.must(b.Close())
	})
}
