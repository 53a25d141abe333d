package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/frontend/visitor"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// TestTheDemonstrationHolds runs the whole of it, small: real processes, a killed leader, the audit.
func TestTheDemonstrationHolds(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes, and takes some seconds")
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"demo", "--exit", "--buyers", "400", "--seats", "600", "--rush", "3s", "-o", "json"}, &out, &errs)
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || code != exitOK && code != exitUnhealthy {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out.String(), errs.String())
	}
	checks, _ := got["checks"].([]any)
	if len(checks) < 10 {
		t.Errorf("only %d checks", len(checks))
	}
	for _, c := range checks {
		// How long an election takes on a machine that runs other tests is not this test's matter.
		if c, _ := c.(map[string]any); c["ok"] != true && c["name"] != gapCheck {
			t.Errorf("%v: %v", c["name"], c["detail"])
		}
	}
	for _, name := range strings.Fields(`capacity sold held free blocked double_sells oversold lost_acknowledged orders buyers answered dropped
		hold_p50_ms hold_p99_ms faults state_hash_equal duration_ms joined admitted refused_with_reason places_lost draw_verified
		captured_minor sold_value_minor payment_differences rescued voided refunded`) {
		if _, ok := got[name]; !ok {
			t.Errorf("the document lacks %s", name)
		}
	}
	faults, _ := got["faults"].([]any)
	if len(faults) != 1 {
		t.Fatalf("%d faults", len(faults))
	}
	fault, _ := faults[0].(map[string]any)
	for _, name := range []string{"kind", "at_ms", "write_gap_ms"} {
		if _, ok := fault[name]; !ok {
			t.Errorf("the fault lacks %s", name)
		}
	}
	if got["capacity"] != 600.0 || got["sold"] == 0.0 || got["held"] != 0.0 {
		t.Errorf("capacity %v, sold %v, held %v", got["capacity"], got["sold"], got["held"])
	}
}

// soldHouse is the evidence of a small sale: a cluster in memory, twelve buyers who bought or let their hold lapse, and a
// line and a provider that saw the same.
func soldHouse(t *testing.T) evidence {
	t.Helper()
	cluster := clienttest.New(t, clienttest.Config{})
	c := cluster.Client()
	house, err := os.ReadFile("testdata/house.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := readEventFile("testdata/house.yaml", house)
	if err != nil {
		t.Fatal(err)
	}
	spec.Rules.HoldTTLMs = 1000
	e := evidence{line: client.Line{LineSummary: client.LineSummary{Issued: 13, Cohort: 5}}, places: 12}
	ref := cluster.LoadEvent(spec)
	for n := range byte(12) {
		buyer := holdfast.BuyerID{n + 1}
		h, err := c.Hold(t.Context(), client.HoldRequest{Event: ref, Buyer: buyer,
			Wants: []command.Want{{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: 2}}})
		if err != nil {
			t.Fatal(err)
		}
		if n%3 == 2 {
			continue // lets it lapse
		}
		o, err := c.Sell(t.Context(), client.SellRequest{Event: ref, Hold: h.ID, As: command.SaleInvoiced, Amount: h.Amount})
		if err != nil {
			t.Fatal(err)
		}
		e.told = append(e.told, told{Order: o.ID, Buyer: buyer, Seats: h.Seats, Amount: h.Amount})
		e.wallets = append(e.wallets, client.Payment{Hold: h.ID, State: holdfast.PaymentCaptured, Ordered: true, CapturedMinor: h.Amount.AmountMinor})
		e.money.Captured, e.money.Known = e.money.Captured+h.Amount.AmountMinor, e.money.Known+1
	}
	cluster.Advance(2 * time.Second) // what was let go lapses
	e.line.Counts[holdfast.PlaceFinished], e.line.Counts[holdfast.PlaceLapsed], e.line.Counts[holdfast.PlaceWaiting] = 8, 4, 1
	if err := e.read(t.Context(), c, ref); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTheAuditAcceptsWhatIsTrue(t *testing.T) {
	v := judge(soldHouse(t))
	for _, c := range v.Checks {
		if !c.OK {
			t.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
	if v.DoubleSells+v.Oversold+v.LostAcknowledged+v.Unexplained != 0 || v.Sold == 0 {
		t.Errorf("%+v", v)
	}
}

// TestTheAuditSeesWhatIsFalse plants each fault that the audit looks for, and names the check that must find it.
func TestTheAuditSeesWhatIsFalse(t *testing.T) {
	whole := soldHouse(t)
	stranger := holdfast.BuyerID{0xFF}
	for _, c := range []struct {
		fault string
		plant func(e *evidence)
		check string
	}{
		{"two buyers are told of one seat", func(e *evidence) { e.told[1].Seats = append(e.told[1].Seats, e.told[0].Seats[0]) }, "one owner a seat"},
		{"a seat is in two orders", func(e *evidence) { e.orders[1].Seats = append(e.orders[1].Seats, e.orders[0].Seats[0]) }, "one owner a seat"},
		{"an order is somebody else's", func(e *evidence) { e.orders[0].Buyer = stranger }, "one owner a seat"},
		{"an acknowledged sale is gone", func(e *evidence) { e.orders = e.orders[1:] }, "what was acknowledged is there"},
		{"an order lacks a seat", func(e *evidence) { e.orders[0].Seats = e.orders[0].Seats[1:] }, "what was acknowledged is there"},
		{"a hold ended early", func(e *evidence) { e.broken = []string{"an example"} }, "holds last as promised"},
		{"an order that nobody was told of", func(e *evidence) { e.told = e.told[1:] }, "nothing is there that nobody was told of"},
		{"an order costs more than was told", func(e *evidence) { e.orders[0].Amount.AmountMinor++ }, "the money is right"},
		{"a section has more orders than seats", func(e *evidence) {
			for i := range 21 { // of 20 places
				e.orders[0].Seats = append(e.orders[0].Seats, holdfast.SeatIndex(30+i%20))
			}
		}, "no section is oversold"},
		{"an order for a seat that is not there", func(e *evidence) { e.orders[0].Seats[0] = 50 }, "no section is oversold"},
		{"a counter is wrong", func(e *evidence) { e.event.Sections[0].Sold++; e.event.Sections[0].Free-- }, "the counters are right"},
		{"the map lacks a sale", func(e *evidence) { e.seats[e.orders[0].Seats[0]] = holdfast.Free }, "the map shows the orders"},
		{"a unit is missing", func(e *evidence) { e.seats = e.seats[:len(e.seats)-1] }, "nothing is lost or made"},
		{"a hold did not lapse", func(e *evidence) { e.seats[slices.Index(e.seats, holdfast.Free)] = holdfast.Held }, "what was let go has returned"},
		{"a place has no outcome", func(e *evidence) { e.line.Counts[holdfast.PlaceWaiting]-- }, "every place has one outcome"},
		{"a number was given twice", func(e *evidence) { e.twice++ }, "a place is one buyer's"},
		{"a number was never issued", func(e *evidence) { e.places = 14 }, "a place is one buyer's"},
		{"a place was lost", func(e *evidence) { e.lost++ }, "no place is lost"},
		{"the record of the draw was forged", func(e *evidence) { e.drawn = errors.New("an example") }, "the draw can be verified"},
		{"money was taken for nothing", func(e *evidence) { e.money.Captured++ }, "money equals seats"},
		{"an order was never paid", func(e *evidence) { e.money.Captured -= e.orders[0].Amount.AmountMinor }, "money equals seats"},
		{"the provider knows another payment", func(e *evidence) { e.money.Differences = make([]settle.Difference, 1) }, "the books are the provider's"},
		{"a payment is never settled", func(e *evidence) { e.money.Settling = 1 }, "the books are the provider's"},
		{"a seat was blocked", func(e *evidence) { e.seats[slices.Index(e.seats, holdfast.Free)] = holdfast.Blocked }, "what was blocked stayed"},
	} {
		e := whole
		e.told, e.orders, e.seats = slices.Clone(whole.told), slices.Clone(whole.orders), slices.Clone(whole.seats)
		e.event.Sections = slices.Clone(whole.event.Sections)
		for i := range e.told {
			e.told[i].Seats = slices.Clone(e.told[i].Seats)
		}
		for i := range e.orders {
			e.orders[i].Seats = slices.Clone(e.orders[i].Seats)
		}
		c.plant(&e)
		v := judge(e)
		at := slices.IndexFunc(v.Checks, func(k checkOut) bool { return k.Name == c.check })
		if at < 0 || v.Checks[at].OK {
			t.Errorf("%s: the check %q did not see it", c.fault, c.check)
		}
	}
}

func TestBuyersMindWhatTheyWerePromised(t *testing.T) {
	w := &crowd{unsure: map[holdfast.HoldID]bool{}}
	b := &buyer{crowd: w}
	held := func(left time.Duration) heldUnits { return heldUnits{until: time.Now().Add(left)} }
	lapsed := &visitor.Problem{Code: holdfast.HoldLapsed.String()}
	if how := b.refusedHold("sell", held(-time.Second), lapsed); how != lateToPay || len(w.broken) != 0 {
		t.Errorf("a hold that lapsed in time: %s, %v", how, w.broken)
	}
	if b.refusedHold("sell", held(time.Hour), lapsed); len(w.broken) != 1 {
		t.Error("a hold that lapsed early was not noticed")
	}
	if b.refusedHold("sell", held(-time.Second), &visitor.Problem{Code: "not_found"}); len(w.broken) != 2 {
		t.Error("a hold that was forgotten was not noticed")
	}
	if how := b.refusedHold("sell", held(time.Hour), context.DeadlineExceeded); how != dropped {
		t.Errorf("no answer at all: %s", how)
	}
	id := holdfast.HoldID{1}
	hold := heldUnits{Hold: visitor.Hold{ID: id.String() + ".7", Seats: []visitor.Seat{{Index: 3}}}}
	if how := b.unseen(hold, unseen); how != unseen || !w.unsure[id] {
		t.Error("a payment that nobody looks at may have bought")
	}
	if how := b.tell(hold, visitor.Checkout{}, id.Order().String()+".7"); how != bought || len(w.told) != 1 || w.told[0].Order != id.Order() {
		t.Errorf("a sale that was told: %s, %+v", how, w.told)
	}
	if how := b.tell(hold, visitor.Checkout{}, holdfast.OrderID{2}.String()); how != dropped || len(w.broken) != 3 {
		t.Error("another order than the hold's was taken for it")
	}
}

func TestTheWriteGapIsTheOneThatTheFaultTore(t *testing.T) {
	ms := func(all ...int) (d []time.Duration) {
		for _, n := range all {
			d = append(d, time.Duration(n)*time.Millisecond)
		}
		return d
	}
	for _, c := range []struct {
		name string
		acks []time.Duration
		at   int
		want int
	}{
		{"simple", ms(10, 20, 30, 900, 910), 35, 870},
		{"answers on their way still arrive", ms(10, 20, 30, 40, 900), 25, 860},
		{"out of order", ms(900, 10, 30, 20), 25, 870},
		{"a gap long before is not the fault's", ms(10, 2000, 2010, 2020, 2500), 2015, 480},
		{"nor one long after", ms(10, 20, 30, 800, 5000), 25, 770},
		{"never again", ms(10, 20), 25, 0},
	} {
		w := &crowd{acks: c.acks}
		if got := w.writeGap(time.Duration(c.at) * time.Millisecond); got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("%s: %v, want %d ms", c.name, got, c.want)
		}
	}
}

func TestAnEventCanBeFitted(t *testing.T) {
	spec, err := readEventFile("event.yaml", arenaFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, units := range []int{0, 200, 600, 4000, 19_749, 19_750, 19_751, 50_000} {
		fitted, err := fitEvent(spec, units)
		if err != nil {
			t.Fatal(err)
		}
		want := units
		if units == 0 {
			want = spec.Units()
		}
		if fitted.Units() != want || fitted.Validate() != nil {
			t.Errorf("fitted to %d: %d units, %v", units, fitted.Units(), fitted.Validate())
		}
	}
	if again, err := readEventFile("event.yaml", arenaFile); err != nil || again.Units() != spec.Units() || len(again.Sections[2].Rows) != len(spec.Sections[2].Rows) {
		t.Error("fitting changed the event it was given")
	}
	if _, err := fitEvent(spec, 20); err == nil {
		t.Error("fewer units than sections were accepted")
	}
}

func TestRivalsWantTheSameSeatsWhileTheyChangeHands(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	b := &benchmark{benchFlags: benchFlags{callers: 4, batch: 10, contend: 2}, client: cluster.Client(), rng: rand.New(rand.NewPCG(1, 1))}
	if err := b.nextEvent(t.Context()); err != nil {
		t.Fatal(err)
	}
	lastBuyer := uint32(0)
	for range 3 { // windows
		wanted := map[uint32]int{}
		for range 2 * 2 { // rivals, batches of a window
			_, seats, buyer, err := b.wants(t.Context(), nil)
			if err != nil || len(seats) != 10 || buyer != lastBuyer+1 {
				t.Fatalf("%d seats from buyer %d, %v", len(seats), buyer, err)
			}
			lastBuyer += 10
			batch := map[uint32]bool{}
			for _, s := range seats {
				wanted[s]++
				batch[s] = true
			}
			if len(batch) != len(seats) {
				t.Error("a batch has a seat twice")
			}
		}
		if len(wanted) != 20 {
			t.Errorf("%d seats in a window of 20", len(wanted))
		}
		for s, n := range wanted {
			if n != 2 {
				t.Errorf("seat %d is wanted by %d", s, n)
			}
		}
	}
}
