package command_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// priced is an event with every rule for payments.
func priced() command.EventSpec {
	s := wide(1, 1)
	s.Checkout = command.Checkout{
		Mode: holdfast.ModeTest, Account: "acct_1", FeePerUnitMinor: 1, FeePerOrderMinor: 2, FeeBps: 3, KeepFees: true, TaxBps: 4, LeastMinor: 5,
		PayAgainMs: 6, AtOnceMs: 7, Invoices: true, Promos: []command.Promo{{Code: holdfast.PromoCode{8}, Bps: 9, UsesMax: 10}, {Code: holdfast.PromoCode{9}, AmountMinor: 11}},
	}
	return s
}

// TestTheCheckoutBlockIsPinned: it stands behind the description as it was before there was one.
func TestTheCheckoutBlockIsPinned(t *testing.T) {
	with := priced()
	without := with
	without.Checkout = command.Checkout{}
	block, ok := bytes.CutPrefix(with.Append(nil), without.Append(nil))
	const want = "02" + "6e00" + "01" + "06616363745f31" + "0100000000000000" + "0200000000000000" + "0300" + "01" + "0400" + "00" + "0500000000000000" +
		"06000000" + "07000000" + "01" + "00" + "0200" + "08000000000000000000000000000000" + "0900" + "0000000000000000" + "0a000000" +
		"09000000000000000000000000000000" + "0000" + "0b00000000000000" + "00000000"
	if got := hex.EncodeToString(block); !ok || got != want {
		t.Errorf("the block is\n%s, want\n%s", got, want)
	}
}

// TestBlocksAreRefused that are out of order, unknown, cut off, or say nothing.
func TestBlocksAreRefused(t *testing.T) {
	with := priced()
	without := with
	without.Checkout = command.Checkout{}
	bare, whole := without.Append(nil), with.Append(nil)
	block := whole[len(bare):]
	empty := append([]byte{2, byte(len(block) - 3), 0}, make([]byte, len(block)-3)...)
	for _, c := range []struct {
		name   string
		behind []byte
	}{
		{"twice", append(bytes.Clone(block), block...)}, {"unknown", []byte{200, 0, 0}}, {"without a tag", []byte{0, 0, 0}},
		{"cut off", block[:len(block)-1]}, {"head cut off", block[:2]}, {"all zero", empty[:3+1+1+8+8+2+1+2+1+8+4+4+1+1+2]},
		{"longer than it says", append(bytes.Clone(block), 0)},
	} {
		if _, err := command.DecodeSpec(append(bytes.Clone(bare), c.behind...)); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
	if _, err := command.DecodeSpec(whole); err != nil {
		t.Error(err)
	}
}

// TestCheckoutRulesAreRefused by the field at fault.
func TestCheckoutRulesAreRefused(t *testing.T) {
	two := []command.Promo{{Code: holdfast.PromoCode{2}, Bps: 1}, {Code: holdfast.PromoCode{1}, Bps: 1}}
	for _, c := range []struct {
		field  string
		change func(*command.Checkout)
	}{
		{"checkout.mode", func(c *command.Checkout) { c.Mode = 0 }},
		{"checkout.mode", func(c *command.Checkout) { c.Mode = 3 }},
		{"checkout.account", func(c *command.Checkout) { c.Account = "" }},
		{"checkout.fee_per_unit", func(c *command.Checkout) { c.FeePerUnitMinor = -1 }},
		{"checkout.fee_per_order", func(c *command.Checkout) { c.FeePerOrderMinor = command.PriceMinorMax + 1 }},
		{"checkout.least", func(c *command.Checkout) { c.LeastMinor = -1 }},
		{"checkout.fee", func(c *command.Checkout) { c.FeeBps = command.BpsMax + 1 }},
		{"checkout.fee", func(c *command.Checkout) { c.TaxBps = command.BpsMax + 1 }},
		{"checkout.pay_again", func(c *command.Checkout) { c.PayAgainMs = command.TimeMsMax + 1 }},
		{"checkout.promos[1]", func(c *command.Checkout) { c.Promos = two }},
		{"checkout.promos[1]", func(c *command.Checkout) { c.Promos = []command.Promo{two[0], two[0]} }},
		{"checkout.promos[0]", func(c *command.Checkout) { c.Promos = []command.Promo{{Bps: 1}} }},
		{"checkout.promos[0]", func(c *command.Checkout) { c.Promos = []command.Promo{{Code: holdfast.PromoCode{1}}} }},
		{"checkout.promos[0]", func(c *command.Checkout) {
			c.Promos = []command.Promo{{Code: holdfast.PromoCode{1}, Bps: 1, AmountMinor: 1}}
		}},
		{"checkout.promos", func(c *command.Checkout) { c.Promos = make([]command.Promo, command.PromosMax+1) }},
		{"", func(*command.Checkout) {}},
	} {
		s := priced()
		c.change(&s.Checkout)
		if err := s.Validate(); c.field == "" && err != nil || c.field != "" && fieldOf(err) != c.field {
			t.Errorf("refused by %v, want %q", err, c.field)
		}
	}
}

// TestQuotesRoundEachLineHalfUp shows the lines of orders in currencies of 0, 2 and 3 decimals: all are minor units.
func TestQuotesRoundEachLineHalfUp(t *testing.T) {
	half, tenEuro := &command.Promo{Bps: 5000}, &command.Promo{AmountMinor: 1000}
	for _, c := range []struct {
		name  string
		rules command.Checkout
		seats int64
		units int
		promo *command.Promo
		want  command.Quote
	}{
		{"nothing but seats", command.Checkout{}, 5000, 2, nil, command.Quote{SeatsMinor: 5000, TotalMinor: 5000}},
		{"fees of all kinds", command.Checkout{FeePerUnitMinor: 100, FeePerOrderMinor: 50, FeeBps: 250}, 5010, 2, nil,
			command.Quote{SeatsMinor: 5010, FeeMinor: 200 + 50 + 125, TotalMinor: 5385}}, // 125.25
		{"half a minor unit goes up", command.Checkout{FeeBps: 50}, 100, 1, nil, command.Quote{SeatsMinor: 100, FeeMinor: 1, TotalMinor: 101}},
		{"less than half goes down", command.Checkout{FeeBps: 49}, 100, 1, nil, command.Quote{SeatsMinor: 100, TotalMinor: 100}},
		{"tax on top of seats and fees", command.Checkout{FeePerOrderMinor: 100, TaxBps: 1900}, 1000, 1, nil,
			command.Quote{SeatsMinor: 1000, FeeMinor: 100, TaxMinor: 209, TotalMinor: 1309}},
		{"tax contained", command.Checkout{FeePerOrderMinor: 100, TaxBps: 1900, TaxIncluded: true}, 1000, 1, nil,
			command.Quote{SeatsMinor: 1000, FeeMinor: 100, TaxIncludedMinor: 176, TotalMinor: 1100}}, // 175.63
		{"half off an odd amount", command.Checkout{}, 4999, 1, half, command.Quote{SeatsMinor: 4999, DiscountMinor: 2500, TotalMinor: 2499}},
		{"an amount off", command.Checkout{TaxBps: 1000}, 5000, 1, tenEuro, command.Quote{SeatsMinor: 5000, DiscountMinor: 1000, TaxMinor: 400, TotalMinor: 4400}},
		{"no more off than it costs, and then no fee", command.Checkout{FeePerOrderMinor: 300}, 900, 1, tenEuro, command.Quote{SeatsMinor: 900, DiscountMinor: 900}},
		{"free seats cost no fee", command.Checkout{FeePerUnitMinor: 100}, 0, 3, nil, command.Quote{}},
		{"the largest of all", command.Checkout{FeePerUnitMinor: command.PriceMinorMax, FeePerOrderMinor: command.PriceMinorMax, FeeBps: 10000, TaxBps: 10000},
			command.PriceMinorMax * 64, 64, nil, command.Quote{SeatsMinor: 64e11, FeeMinor: 64e11 + 1e11 + 64e11, TaxMinor: 193e11, TotalMinor: 386e11}},
	} {
		got := c.rules.Quote(c.seats, c.units, c.promo)
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		sum := int64(0)
		for _, l := range got.Lines() {
			if l.Kind != holdfast.LineTaxIncluded {
				sum += l.AmountMinor
			}
		}
		if sum != got.TotalMinor {
			t.Errorf("%s: the lines %v add up to %d, the total is %d", c.name, got.Lines(), sum, got.TotalMinor)
		}
	}
	if d := fmt.Sprint(holdfast.CurrencyDecimals("jpy"), holdfast.CurrencyDecimals("eur"), holdfast.CurrencyDecimals("kwd")); d != "0 2 3" {
		t.Errorf("decimals of yen, euro and dinar: %s", d)
	}
}
