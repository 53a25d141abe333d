package command

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"

	"github.com/holdfast-db/holdfast"
)

// Checkout says how an event takes money. The zero value says that it takes none of it through the shard: then
// nothing is owed to a provider, and a sale's payment is only noted.
//
// Mode, account, and whether there are rules at all, are for good once the event's sale was opened. Whatever else
// changes concerns payments that begin later.
type Checkout struct {
	Mode    holdfast.PaymentMode // 0: no rules
	Account string               // label of the provider's account; payments of another are refused

	FeePerUnitMinor  int64
	FeePerOrderMinor int64
	FeeBps           uint16 // of the seats less the discount, in hundredths of a percent
	KeepFees         bool   // a refund by the buyer's wish keeps the fees
	TaxBps           uint16
	TaxIncluded      bool // prices and fees contain the tax

	LeastMinor int64  // the smallest total that the provider takes
	PayAgainMs uint32 // how long an unpaid order may be paid again; 0: PayAgainMsDefault
	AtOnceMs   uint32 // the pay window of methods that capture at once; 0: AtOnceMsDefault

	Invoices bool // the organizer may sell by invoice
	Notify   bool // the organizer's webhook is told
	Promos   []Promo
}

// Promo is a promotion code: it takes off a part, or an amount, of the seats' prices.
type Promo struct {
	Code        holdfast.PromoCode
	Bps         uint16 // hundredths of a percent; 0: AmountMinor
	AmountMinor int64  // at most what the seats cost; 0: Bps
	UsesMax     uint32 // holds and orders that may use it; 0: no limit
}

// Limits and defaults of Checkout.
const (
	PromosMax         = 1024
	BpsMax            = 10_000
	PayAgainMsDefault = 86_400_000
	AtOnceMsDefault   = 1_800_000
)

// Given reports whether there are rules.
func (c *Checkout) Given() bool { return c.Mode != 0 }

// WithDefaults gives the rules with every default filled in.
func (c Checkout) WithDefaults() Checkout {
	if c.PayAgainMs == 0 {
		c.PayAgainMs = PayAgainMsDefault
	}
	if c.AtOnceMs == 0 {
		c.AtOnceMs = AtOnceMsDefault
	}
	return c
}

// Promo gives the rules of a code; nil if there is none.
func (c *Checkout) Promo(code holdfast.PromoCode) *Promo {
	for i := range c.Promos {
		if c.Promos[i].Code == code {
			return &c.Promos[i]
		}
	}
	return nil
}

// Quote is what an order costs, line by line, in minor units. Each line that is worked out as a part of another
// amount is rounded once, half up. Seats whose prices come to nothing, or to nothing after the discount, cost no fee.
type Quote struct {
	SeatsMinor       int64 // the sum of the tiers' prices
	DiscountMinor    int64 // taken off the seats
	FeeMinor         int64
	TaxMinor         int64 // of seats less discount and fees; added to them
	TaxIncludedMinor int64 // the same when prices contain it; not added
	TotalMinor       int64
}

// Line is one line of an order.
type Line struct {
	Kind        holdfast.LineKind
	AmountMinor int64 // of a discount: negative
}

// Lines gives the lines that are not 0, in the order of their kinds. Without LineTaxIncluded they add up to the total.
func (q Quote) Lines() (lines []Line) {
	for _, l := range []Line{{holdfast.LineSeats, q.SeatsMinor}, {holdfast.LineDiscount, -q.DiscountMinor}, {holdfast.LineFee, q.FeeMinor},
		{holdfast.LineTax, q.TaxMinor}, {holdfast.LineTaxIncluded, q.TaxIncludedMinor}} {
		if l.AmountMinor != 0 || l.Kind == holdfast.LineSeats {
			lines = append(lines, l)
		}
	}
	return lines
}

// Quote gives what so many units cost whose prices add up to seatsMinor. The promo may be nil.
func (c *Checkout) Quote(seatsMinor int64, units int, promo *Promo) Quote {
	q := Quote{SeatsMinor: seatsMinor}
	if promo != nil {
		q.DiscountMinor = min(promo.AmountMinor, seatsMinor)
		if promo.Bps > 0 {
			q.DiscountMinor = part(seatsMinor, int64(promo.Bps), BpsMax)
		}
	}
	goods := q.SeatsMinor - q.DiscountMinor
	if goods > 0 {
		q.FeeMinor = c.FeePerUnitMinor*int64(units) + c.FeePerOrderMinor + part(goods, int64(c.FeeBps), BpsMax)
	}
	switch taxed := goods + q.FeeMinor; {
	case c.TaxIncluded:
		q.TaxIncludedMinor = part(taxed, int64(c.TaxBps), BpsMax+int64(c.TaxBps))
		q.TotalMinor = taxed
	default:
		q.TaxMinor = part(taxed, int64(c.TaxBps), BpsMax)
		q.TotalMinor = taxed + q.TaxMinor
	}
	return q
}

// part gives amount × of / whole, rounded half up.
func part(amount, of, whole int64) int64 { return (2*amount*of + whole) / (2 * whole) }

// No amount that part meets overflows: seats with their fees are below 2^45, and twice BpsMax below 2^15.
const _ = uint((1<<45)/((3*holdfast.UnitsPerHoldMax+1)*PriceMinorMax) - 1)

func (c *Checkout) validate() error {
	if !c.Given() {
		if !bytes.Equal(c.appendBody(nil), (&Checkout{}).appendBody(nil)) {
			return invalid("checkout.mode", "rules for payments need a mode, test or live")
		}
		return nil
	}
	if c.Mode > holdfast.ModeLive {
		return invalid("checkout.mode", "mode %d", c.Mode)
	}
	if err := validName("checkout.account", c.Account, false); err != nil {
		return err
	}
	for _, a := range []struct {
		field  string
		amount int64
	}{{"fee_per_unit", c.FeePerUnitMinor}, {"fee_per_order", c.FeePerOrderMinor}, {"least", c.LeastMinor}} {
		if a.amount < 0 || a.amount > PriceMinorMax {
			return invalid("checkout."+a.field, "%d minor units, 0 to %d", a.amount, int64(PriceMinorMax))
		}
	}
	if c.FeeBps > BpsMax || c.TaxBps > BpsMax {
		return invalid("checkout.fee", "%d and %d hundredths of a percent, at most %d", c.FeeBps, c.TaxBps, BpsMax)
	}
	if c.PayAgainMs > TimeMsMax || c.AtOnceMs > TimeMsMax {
		return invalid("checkout.pay_again", "%d and %d ms, at most a day", c.PayAgainMs, c.AtOnceMs)
	}
	return c.validatePromos()
}

// stepOf is the smallest difference between two amounts that card networks charge: with three decimals the last must be 0.
func stepOf(c holdfast.Currency) int64 {
	if holdfast.CurrencyDecimals(c) == 3 {
		return 10
	}
	return 1
}

// validateStep refuses what would make totals that no provider charges: a buyer would hold seats that cannot be paid.
func (s *EventSpec) validateStep() error {
	c, step := &s.Checkout, stepOf(s.Currency)
	if !c.Given() || step == 1 {
		return nil
	}
	amount := func(field string, minor int64) error {
		if minor%step != 0 {
			return invalid(field, "%d minor units of %s: card networks charge multiples of %d only", minor, s.Currency, step)
		}
		return nil
	}
	for i, t := range s.Tiers {
		if err := amount(fmt.Sprintf("tiers[%d].price", i), t.PriceMinor); err != nil {
			return err
		}
	}
	for i := range c.Promos {
		field := fmt.Sprintf("checkout.promos[%d]", i)
		if c.Promos[i].Bps != 0 {
			return invalid(field, "a part of a price in %s is often no multiple of %d minor units, which card networks ask for: take an amount off", s.Currency, step)
		}
		if err := amount(field, c.Promos[i].AmountMinor); err != nil {
			return err
		}
	}
	if c.FeeBps != 0 || c.TaxBps != 0 && !c.TaxIncluded {
		return invalid("checkout.fee", "a part of a price in %s is often no multiple of %d minor units, which card networks ask for: fees as amounts, tax included", s.Currency, step)
	}
	return cmp.Or(amount("checkout.fee_per_unit", c.FeePerUnitMinor), amount("checkout.fee_per_order", c.FeePerOrderMinor))
}

func (c *Checkout) validatePromos() error {
	if len(c.Promos) > PromosMax {
		return invalid("checkout.promos", "%d, at most %d", len(c.Promos), PromosMax)
	}
	for i := range c.Promos {
		p, field := &c.Promos[i], fmt.Sprintf("checkout.promos[%d]", i)
		switch {
		case p.Code == (holdfast.PromoCode{}):
			return invalid(field, "a promotion without a code")
		case i > 0 && bytes.Compare(c.Promos[i-1].Code[:], p.Code[:]) >= 0:
			return invalid(field, "codes stand once each, in rising order")
		case (p.Bps == 0) == (p.AmountMinor == 0) || p.Bps > BpsMax || p.AmountMinor < 0 || p.AmountMinor > PriceMinorMax:
			return invalid(field, "either up to %d hundredths of a percent or an amount", BpsMax)
		}
	}
	return nil
}

// appendBlock appends the rules as a block of a description, if there are any: see linerules.go.
func (c *Checkout) appendBlock(b []byte) []byte {
	if !c.Given() {
		return b
	}
	b = append(b, tagCheckout, 0, 0)
	at := len(b)
	b = c.appendBody(b)
	binary.LittleEndian.PutUint16(b[at-2:], uint16(len(b)-at))
	return b
}

// blockBytes gives the length of what appendBlock appends.
func (c *Checkout) blockBytes() int {
	if !c.Given() {
		return 0
	}
	return 3 + 1 + 1 + len(c.Account) + 8 + 8 + 2 + 1 + 2 + 1 + 8 + 4 + 4 + 1 + 1 + 2 + promoBytes*len(c.Promos)
}

const promoBytes = 16 + 2 + 8 + 4

// The largest block fits its length.
const _ = uint(1<<16 - 1 - promoBytes*PromosMax - 128 - holdfast.NameBytesMax)

func (c *Checkout) appendBody(b []byte) []byte {
	b = append(b, byte(c.Mode))
	b = appendString(b, c.Account)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.FeePerUnitMinor))
	b = binary.LittleEndian.AppendUint64(b, uint64(c.FeePerOrderMinor))
	b = binary.LittleEndian.AppendUint16(b, c.FeeBps)
	b = append(b, boolByte(c.KeepFees))
	b = binary.LittleEndian.AppendUint16(b, c.TaxBps)
	b = append(b, boolByte(c.TaxIncluded))
	b = binary.LittleEndian.AppendUint64(b, uint64(c.LeastMinor))
	b = binary.LittleEndian.AppendUint32(b, c.PayAgainMs)
	b = binary.LittleEndian.AppendUint32(b, c.AtOnceMs)
	b = append(b, boolByte(c.Invoices), boolByte(c.Notify))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Promos)))
	for i := range c.Promos {
		p := &c.Promos[i]
		b = append(b, p.Code[:]...)
		b = binary.LittleEndian.AppendUint16(b, p.Bps)
		b = binary.LittleEndian.AppendUint64(b, uint64(p.AmountMinor))
		b = binary.LittleEndian.AppendUint32(b, p.UsesMax)
	}
	return b
}

func (r *reader) checkout() (c Checkout) {
	c = Checkout{Mode: holdfast.PaymentMode(r.u8()), Account: r.text("account", holdfast.NameBytesMax),
		FeePerUnitMinor: int64(r.u64()), FeePerOrderMinor: int64(r.u64()), FeeBps: r.u16(), KeepFees: r.bool(), TaxBps: r.u16(), TaxIncluded: r.bool(),
		LeastMinor: int64(r.u64()), PayAgainMs: r.u32(), AtOnceMs: r.u32(), Invoices: r.bool(), Notify: r.bool()}
	for range r.count("promos", int(r.u16()), PromosMax) {
		c.Promos = append(c.Promos, Promo{Code: r.id16(), Bps: r.u16(), AmountMinor: int64(r.u64()), UsesMax: r.u32()})
	}
	if r.err == nil && !c.Given() {
		r.fail("checkout.mode", "rules for payments without a mode")
	}
	return c
}
