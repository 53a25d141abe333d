package main

import (
	"context"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// till is a shell with an event that takes money, a bank, and what a checkout does.
type till struct {
	*shell
	client *client.Client
	bank   *sandbox.Server
	url    string
	event  client.EventRef
	pay    payment.Provider
	worker *settle.Worker
}

func newTill(t *testing.T) *till {
	s := &till{shell: newShell(t)}
	s.must("event", "apply", "-f", filepath.Join("testdata", "paid.yaml"))
	s.must("event", "open", "paid")
	s.client = s.cluster.Client()
	bank, err := sandbox.New(sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bank.Close() })
	web := httptest.NewServer(bank.Handler())
	t.Cleanup(web.Close)
	secret, _ := bank.Keys()
	t.Setenv(stripeKeyEnv, secret.Reveal())
	s.bank, s.url = bank, web.URL
	if s.pay, err = stripe.New(stripe.Config{Key: secret, Backend: web.URL}); err != nil {
		t.Fatal(err)
	}
	if s.worker, err = settle.New(t.Context(), settle.Config{Client: s.client, Provider: s.pay, Name: "till"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.worker.Close)
	if s.event, err = s.client.Locate(t.Context(), client.Named("paid")); err != nil {
		t.Fatal(err)
	}
	return s
}

// buy holds two seats, pays, and sells them; the capture is left to a worker.
func (s *till) buy(buyer string, seats ...string) holdfast.OrderID {
	s.t.Helper()
	args := []string{"hold", "create", "paid", "--buyer", buyer, "-o", "json"}
	for _, seat := range seats {
		args = append(args, "--seat", seat)
	}
	hold, err := holdfast.ParseHoldID(field(s.t, s.must(args...), "hold"))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx := s.t.Context()
	q, err := s.client.Quote(ctx, s.event, hold, command.PromoOf("early"))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.client.BeginPayment(ctx, client.PaymentRequest{Event: s.event, Buyer: buyerArg(buyer), Hold: hold, Attempt: 1, Amount: q.Total,
		Promo: command.PromoOf("early"), Contact: holdfast.ContactID{1}}); err != nil {
		s.t.Fatal(err)
	}
	p, err := s.pay.Create(ctx, payment.Intent{Key: payment.Key{Cluster: q.Cluster, Incarnation: q.Incarnation, Event: s.event.ID, Hold: hold, Attempt: 1},
		Amount: q.Total, Capture: holdfast.CaptureManual, Since: time.Now()})
	if err == nil {
		err = s.bank.Act(p.Ref, sandbox.ActConfirm, sandbox.Arguments{Method: "pm_card_visa"})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if v, err := s.worker.Look(ctx, p.Ref, q.Identity); err != nil || v.Order == nil {
		s.t.Fatalf("the look says %+v, %v", v, err)
	}
	return hold.Order()
}

// settle lets the worker do what is owed to the provider. Mails and notifications are others' work.
func (s *till) settle() {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.worker.Run(ctx) }()
	for owed := true; owed; {
		s.cluster.Advance(250 * time.Millisecond)
		s.cluster.Machine(s.event.Shard, func(m *fsm.Machine) {
			owed = slices.ContainsFunc(m.Effects(1, 100), func(e fsm.EffectView) bool { return e.Kind <= holdfast.EffectRefund && e.State == holdfast.EffectOwed })
		})
	}
	stop()
	if err := <-ended; err != nil {
		s.t.Fatal(err)
	}
}

func TestAnOrderIsPaidRefundedAndReconciled(t *testing.T) {
	s := newTill(t)
	order := s.buy("ada", "Stalls/A/2", "Stalls/A/3")
	s.cluster.Advance(time.Second)
	golden(t, "payments-status", stable(s.must("payments", "status")))
	golden(t, "payments-effects", stable(s.must("payments", "effects", "paid", "-o", "json")))
	s.settle()
	golden(t, "order-paid", stable(s.must("order", "show", "paid", order.String())))
	golden(t, "order-refund", stable(s.must("order", "refund", "paid", order.String(), "--seat", "Stalls/A/3", "-o", "json")))
	s.settle()
	golden(t, "order-refunded", stable(s.must("order", "show", "paid", order.String())))
	golden(t, "order-list", stable(s.must("order", "list", "paid", "--state", "paid")))
	for _, by := range [][]string{{"--contact", holdfast.ContactID{1}.String()}, {"--buyer", "ada"}} {
		if out := s.must(append([]string{"order", "find", "paid", "-o", "json"}, by...)...); !strings.Contains(out, order.String()) || strings.Count(out, "\n") != 1 {
			t.Errorf("found by %v: %s", by, out)
		}
	}
	if out := s.must("order", "find", "paid", "--payment", "pi_nothing", "-o", "json"); out != "" {
		t.Errorf("found by another payment: %s", out)
	}
	golden(t, "payments-status-after", stable(s.must("payments", "status", "paid", "-o", "json")))
	golden(t, "reconcile", stable(s.must("payments", "reconcile", "paid", "--payments", "sandbox", "--sandbox", s.url)))

	// Somebody gives money back at the provider.
	book, err := s.client.Payments(t.Context(), s.event)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.bank.Act(payment.Ref(book.Payments[0].Ref), sandbox.ActRefund, sandbox.Arguments{AmountMinor: 100}); err != nil {
		t.Fatal(err)
	}
	code, out, errs := s.run("payments", "reconcile", "paid", "--payments", "sandbox", "--sandbox", s.url)
	golden(t, "reconcile-differs", stable(out))
	if code != exitUnhealthy {
		t.Errorf("exit code %d, %s", code, errs)
	}
	if code, out, _ := s.run("payments", "reconcile", "paid", "--payments", "sandbox", "--sandbox", s.url, "-o", "json"); code != exitUnhealthy || !strings.Contains(out, `"kind": "refunded_outside"`) {
		t.Errorf("exit code %d, %s", code, out)
	}
}

func TestWhatIsParkedIsSeenAndRetried(t *testing.T) {
	s := newTill(t)
	s.buy("ada", "Stalls/A/2")
	// A restored cluster parks what it owed, until the books were compared.
	if err := s.client.SetIncarnation(t.Context(), s.event.Shard, 2, false); err != nil {
		t.Fatal(err)
	}
	code, out, _ := s.run("payments", "status", "paid")
	if golden(t, "payments-status-parked", stable(out)); code != exitUnhealthy {
		t.Errorf("something parked: exit code %d", code)
	}
	golden(t, "payments-parked", stable(s.must("payments", "effects", "--parked")))
	s.must("payments", "resume", "paid", "--incarnation", "2")
	golden(t, "payments-retry", stable(s.must("payments", "retry", "paid", "--all")))
	s.settle()
	if out := s.must("payments", "status", "paid"); strings.Contains(out, "capture") {
		t.Errorf("after all is settled: %s", out)
	}
	golden(t, "payments-retry-none", s.must("payments", "retry", "paid", "--all", "-o", "json"))
	s.must("payments", "reconcile", "paid", "--payments", "sandbox", "--sandbox", s.url)
}

func TestPaymentsAreCalledRightly(t *testing.T) {
	s := newTill(t)
	order := holdfast.OrderID{15: 1}.String()
	for _, c := range []struct {
		name string
		args []string
		code int
	}{
		{"no-provider", []string{"payments", "reconcile", "paid"}, exitUsage},
		{"bad-provider", []string{"payments", "reconcile", "paid", "--payments", "paypal"}, exitUsage},
		{"key-in-no-file", []string{"payments", "reconcile", "paid", "--payments", "stripe", "--payments-key-file", "testdata/nothing"}, exitUsage},
		{"retry-nothing", []string{"payments", "retry", "paid"}, exitUsage},
		{"retry-unknown", []string{"payments", "retry", "paid", "eff_77"}, exitNotFound},
		{"bad-kind", []string{"payments", "effects", "--kind", "captre"}, exitUsage},
		{"bad-state", []string{"order", "list", "paid", "--state", "pade"}, exitUsage},
		{"find-nothing", []string{"order", "find", "paid"}, exitUsage},
		{"refund-unknown", []string{"order", "refund", "paid", order}, exitNotFound},
		{"refund-why", []string{"order", "refund", "paid", order, "--reason", "mood"}, exitUsage},
		{"resume-what", []string{"payments", "resume", "paid"}, exitUsage},
		{"sandbox-open", []string{"payments", "sandbox", "--listen", "0.0.0.0:0"}, exitUsage},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(publishableEnv, "pk_test_x")
			code, out, errs := s.run(append(c.args, "-o", "json")...)
			if code != c.code || out != "" {
				t.Errorf("exit code %d, want %d; stdout %q", code, c.code, out)
			}
			golden(t, "error-payments-"+c.name, errs)
		})
	}
	// A key for real money goes to nobody but the provider.
	t.Setenv(stripeKeyEnv, "sk_live_abcdefghijkl")
	if code, _, errs := s.run("payments", "reconcile", "paid", "--payments", "sandbox"); code != exitUsage || strings.Contains(errs, "abcdefghijkl") {
		t.Errorf("a live key at the sandbox: exit code %d: %s", code, errs)
	}
}

func TestTheSandboxRunsAsACommand(t *testing.T) {
	t.Setenv(stripeKeyEnv, "sk_test_abcdefghijkl")
	t.Setenv(publishableEnv, "pk_test_abcdefghijkl")
	ctx, stop := context.WithCancel(t.Context())
	said, ended := make(lines, 4), make(chan int, 1)
	go func() { ended <- run(ctx, []string{"payments", "sandbox", "--listen", "127.0.0.1:0"}, said, said) }()
	line := <-said
	_, rest, _ := strings.Cut(line, "http://")
	address, _, _ := strings.Cut(rest, ";")
	if _, _, err := net.SplitHostPort(address); err != nil {
		t.Fatalf("it says %q", line)
	}
	p, err := stripe.New(stripe.Config{Key: payment.Hide(os.Getenv(stripeKeyEnv)), Backend: "http://" + address})
	if err != nil {
		t.Fatal(err)
	}
	if account, err := p.Account(t.Context()); err != nil || account != "acct_sandbox" {
		t.Errorf("the account is %q, %v", account, err)
	}
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("told to stop: exit code %d", code)
	}
}

func TestTheCheckoutBlockTellsItsFaults(t *testing.T) {
	with := func(block string) string { return smallest + "checkout:\n" + block }
	for _, c := range []struct{ file, want string }{
		{with("  {}\n"), "x.yaml:8: checkout.mode: is missing"},
		{with("  mode: live\n"), "x.yaml:8: checkout.account: is missing"},
		{with("  mode: lve\n  account: a\n"), `x.yaml:8: checkout.mode: "lve" is neither test nor live`},
		{with("  mode: test\n  account: a\n  fes: 1\n"), `x.yaml:10: checkout.fes: no such field; did you mean "fees"?`},
		{with("  mode: test\n  account: a\n  fees: {per_seat: 1.5}\n"), `x.yaml:10: checkout.fees.per_seat: "1.5": eur has 2 decimals`},
		{with("  mode: test\n  account: a\n  fees: {percent: 101}\n"), `x.yaml:10: checkout.fees.percent: "101" is not a percentage`},
		{with("  mode: test\n  account: a\n  tax: {percent: 19.125}\n"), `x.yaml:10: checkout.tax.percent: "19.125" is not a percentage`},
		{with("  mode: test\n  account: a\n  tax: {included: true}\n"), `x.yaml:10: checkout.tax.percent: is missing`},
		{with("  mode: test\n  account: a\n  promos: [{percent: 10}]\n"), `x.yaml:10: checkout.promos[0]: a promotion needs its code`},
		{with("  mode: test\n  account: a\n  promos: [{code: x}]\n"), `x.yaml:10: checkout.promos[0]: a promotion takes off either percent or amount`},
		{with("  mode: test\n  account: a\n  promos: [{code: x, percent: 0}]\n"), `x.yaml:10: checkout.promos: either`},
		{with("  mode: test\n  account: a\n  promos: [{hash: promo_1, percent: 5}]\n"), `x.yaml:10: checkout.promos[0].hash: "promo_1" is not a hash`},
		{with("  mode: test\n  account: a\n  promos: [{code: x, percent: 5}, {code: \" X\", amount: 1}]\n"), `x.yaml:10: checkout.promos[1]: the code stands in the list already`},
		{with("  mode: test\n  account: a\n  pay_again: 25h\n"), `x.yaml:10: checkout.pay_again: "25h" is not a time`},
	} {
		_, err := readEventFile("x.yaml", []byte(c.file))
		if holdfast.KindOf(err) != holdfast.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %s\ngot  %v\nof:\n%s", c.want, err, c.file)
		}
	}
}

func TestTheCheckoutBlockIsReadAndWritten(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "paid.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := readEventFile("paid.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	c := spec.Checkout
	if c.Mode != holdfast.ModeTest || c.Account != "acct_sandbox" || c.FeePerUnitMinor != 150 || c.FeePerOrderMinor != 200 || c.FeeBps != 250 || !c.KeepFees ||
		c.TaxBps != 1900 || !c.TaxIncluded || c.LeastMinor != 50 || c.PayAgainMs != 86_400_000 || c.AtOnceMs != 1_800_000 || !c.Invoices || !c.Notify || len(c.Promos) != 2 {
		t.Errorf("read as %+v", c)
	}
	if p := c.Promo(command.PromoOf(" early ")); p == nil || p.Bps != 1050 || p.UsesMax != 100 {
		t.Errorf("the promotion is %+v", p)
	}
	again, err := formatEventFile(&spec)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "paid-yaml", string(again))
	back, err := readEventFile("paid.yaml", again)
	if err != nil || string(back.Append(nil)) != string(spec.Append(nil)) {
		t.Errorf("written and read again it is another: %v\n%s", err, again)
	}
}

// stable takes out what differs from run to run.
func stable(out string) string {
	return unstable.ReplaceAllString(out, "…")
}

var unstable = regexp.MustCompile(`pi_[0-9A-Za-z]+|20[0-9]{2}-[0-9-]+T[0-9:.]+Z|"index": [0-9]+`)
