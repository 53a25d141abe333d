package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The event file's block on how money is taken:
//
//	checkout:
//	  mode: test                       # or live: for good once the sale was opened
//	  account: main                    # the label of the provider's account
//	  fees: {per_seat: "1.50", per_order: "2.00", percent: 2.5, keep: true}
//	  tax: {percent: 19, included: true}
//	  least: "0.50"                    # the smallest total that the provider takes
//	  pay_again: 24h                   # how long an unpaid order may be paid again
//	  at_once: 30m                     # the pay window of methods that take money at once
//	  invoices: true                   # the organizer may sell by invoice
//	  notify: true                     # the organizer's webhook is told
//	  promos:
//	    - {code: EARLY, percent: 10, uses: 100}
//	    - {hash: promo_…, amount: "5.00"}

func (f *eventFile) checkout(n *yaml.Node) {
	const field = "checkout"
	c := &f.spec.Checkout
	name := func(name string) string { return field + "." + name }
	flag := func(at string, to *bool) func(*yaml.Node) {
		return func(n *yaml.Node) { *to = f.flag(n, name(at)) }
	}
	duration := func(at string, to *uint32) func(*yaml.Node) {
		return func(n *yaml.Node) { *to = f.duration(n, name(at)); f.at(name(at), n, name(at)) }
	}
	f.at(field, n, field)
	f.mapping(n, field, fields{
		"mode":      func(n *yaml.Node) { c.Mode = f.mode(n, name("mode")) },
		"account":   func(n *yaml.Node) { c.Account = f.text(n, name("account")); f.at(name("account"), n, name("account")) },
		"fees":      func(n *yaml.Node) { f.fees(n, name("fees")) },
		"tax":       func(n *yaml.Node) { f.tax(n, name("tax")) },
		"least":     func(n *yaml.Node) { c.LeastMinor = f.amount(n, name("least")) },
		"pay_again": duration("pay_again", &c.PayAgainMs),
		"at_once":   duration("at_once", &c.AtOnceMs),
		"invoices":  flag("invoices", &c.Invoices),
		"notify":    flag("notify", &c.Notify),
		"promos":    func(n *yaml.Node) { f.at(name("promos"), n, name("promos")); f.list(n, name("promos"), f.promo) },
	}, "mode", "account")
	f.sortPromos()
}

func (f *eventFile) mode(n *yaml.Node, field string) holdfast.PaymentMode {
	switch f.text(n, field) {
	case holdfast.ModeTest.String():
		return holdfast.ModeTest
	case holdfast.ModeLive.String():
		return holdfast.ModeLive
	}
	f.fail(n.Line, field, "%q is neither test nor live", n.Value)
	return holdfast.ModeTest
}

func (f *eventFile) fees(n *yaml.Node, field string) {
	c := &f.spec.Checkout
	f.mapping(n, field, fields{
		"per_seat":  func(n *yaml.Node) { c.FeePerUnitMinor = f.amount(n, field+".per_seat") },
		"per_order": func(n *yaml.Node) { c.FeePerOrderMinor = f.amount(n, field+".per_order") },
		"percent":   func(n *yaml.Node) { c.FeeBps = f.percent(n, field+".percent") },
		"keep":      func(n *yaml.Node) { c.KeepFees = f.flag(n, field+".keep") },
	})
}

func (f *eventFile) tax(n *yaml.Node, field string) {
	c := &f.spec.Checkout
	f.mapping(n, field, fields{
		"percent":  func(n *yaml.Node) { c.TaxBps = f.percent(n, field+".percent") },
		"included": func(n *yaml.Node) { c.TaxIncluded = f.flag(n, field+".included") },
	}, "percent")
}

func (f *eventFile) promo(n *yaml.Node, field string) {
	p, coded, worth := command.Promo{}, 0, 0
	f.mapping(n, field, fields{
		"code": func(n *yaml.Node) {
			code := f.text(n, field+".code")
			if strings.TrimSpace(code) == "" {
				f.fail(n.Line, field+".code", "a code has letters or digits")
			}
			p.Code = command.PromoOf(code)
			coded++
		},
		"hash": func(n *yaml.Node) {
			var err error
			if p.Code, err = holdfast.ParsePromoCode(f.text(n, field+".hash")); err != nil {
				f.fail(n.Line, field+".hash", "%q is not a hash like promo_ and 32 hex digits", n.Value)
			}
			coded++
		},
		"percent": func(n *yaml.Node) { p.Bps = f.percent(n, field+".percent"); worth++ },
		"amount":  func(n *yaml.Node) { p.AmountMinor = f.amount(n, field+".amount"); worth++ },
		"uses":    func(n *yaml.Node) { p.UsesMax = uint32(f.number(n, field+".uses", 1, math.MaxUint32)) },
	})
	if coded != 1 && n.Kind == yaml.MappingNode {
		f.fail(n.Line, field, "a promotion needs its code: either code or hash")
	}
	if worth != 1 && n.Kind == yaml.MappingNode {
		f.fail(n.Line, field, "a promotion takes off either percent or amount")
	}
	for _, other := range f.spec.Checkout.Promos {
		if other.Code == p.Code {
			f.fail(n.Line, field, "the code stands in the list already")
			return
		}
	}
	f.spec.Checkout.Promos = append(f.spec.Checkout.Promos, p)
}

// sortPromos brings promotions into the order that descriptions have them in.
func (f *eventFile) sortPromos() {
	slices.SortFunc(f.spec.Checkout.Promos, func(a, b command.Promo) int { return bytes.Compare(a.Code[:], b.Code[:]) })
}

// amount reads an amount in major units, as a price is written.
func (f *eventFile) amount(n *yaml.Node, field string) int64 {
	minor, err := parsePrice(f.text(n, field), f.spec.Currency)
	if err != nil {
		f.fail(n.Line, field, "%v", err)
	}
	return minor
}

// percent reads a percentage with at most two decimals into hundredths of a percent.
func (f *eventFile) percent(n *yaml.Node, field string) uint16 {
	whole, fraction, _ := strings.Cut(f.text(n, field), ".")
	bps, err := strconv.ParseUint(whole+(fraction + "00")[:2], 10, 16)
	if err != nil || len(fraction) > 2 || whole == "" || bps > command.BpsMax {
		f.fail(n.Line, field, "%q is not a percentage from 0 to 100 with at most two decimals", n.Value)
		return 0
	}
	return uint16(bps)
}

// The block's inverse.

type checkoutOut struct {
	Mode     string     `yaml:"mode"`
	Account  string     `yaml:"account"`
	Fees     feesOut    `yaml:"fees,omitempty"`
	Tax      taxOut     `yaml:"tax,omitempty"`
	Least    string     `yaml:"least,omitempty"`
	PayAgain string     `yaml:"pay_again,omitempty"`
	AtOnce   string     `yaml:"at_once,omitempty"`
	Invoices bool       `yaml:"invoices,omitempty"`
	Notify   bool       `yaml:"notify,omitempty"`
	Promos   []promoOut `yaml:"promos,omitempty"`
}

type feesOut struct {
	PerSeat  string `yaml:"per_seat,omitempty"`
	PerOrder string `yaml:"per_order,omitempty"`
	Percent  string `yaml:"percent,omitempty"`
	Keep     bool   `yaml:"keep,omitempty"`
}

type taxOut struct {
	Percent  string `yaml:"percent,omitempty"`
	Included bool   `yaml:"included,omitempty"`
}

type promoOut struct {
	Hash    string `yaml:"hash"` // the code itself is known to nobody but who made it
	Percent string `yaml:"percent,omitempty"`
	Amount  string `yaml:"amount,omitempty"`
	Uses    uint32 `yaml:"uses,omitempty"`
}

func checkoutFor(s *command.EventSpec) *checkoutOut {
	c := &s.Checkout
	if !c.Given() {
		return nil
	}
	amount := func(minor int64) string {
		if minor == 0 {
			return ""
		}
		return formatMinor(minor, s.Currency)
	}
	duration := func(ms uint32) string {
		if ms == 0 {
			return ""
		}
		return (time.Duration(ms) * time.Millisecond).String()
	}
	out := &checkoutOut{Mode: c.Mode.String(), Account: c.Account, Least: amount(c.LeastMinor), PayAgain: duration(c.PayAgainMs),
		AtOnce: duration(c.AtOnceMs), Invoices: c.Invoices, Notify: c.Notify,
		Fees: feesOut{PerSeat: amount(c.FeePerUnitMinor), PerOrder: amount(c.FeePerOrderMinor), Percent: formatBps(c.FeeBps), Keep: c.KeepFees},
		Tax:  taxOut{Percent: formatBps(c.TaxBps), Included: c.TaxIncluded}}
	if out.Tax.Included && out.Tax.Percent == "" {
		out.Tax.Percent = "0"
	}
	for _, p := range c.Promos {
		out.Promos = append(out.Promos, promoOut{Hash: p.Code.String(), Percent: formatBps(p.Bps), Amount: amount(p.AmountMinor), Uses: p.UsesMax})
	}
	return out
}

func formatBps(bps uint16) string {
	if bps == 0 {
		return ""
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%02d", bps/100, bps%100), "0"), ".")
}
