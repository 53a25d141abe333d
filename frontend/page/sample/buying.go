package sample

import (
	"io"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/page"
)

// Seats is the seat map of somebody who was let in.
func Seats() page.SeatsView {
	return page.SeatsView{Frame: frame(), Event: Head(), Sale: open(), Tiers: Tiers(), Sections: Sections(), Revision: 90_211, PerHold: 6, Left: -1,
		SessionRemainingMs: 840_000, Wanted: page.Wanted{Count: 2, Tier: holdfast.AnyTier, Section: holdfast.AnySection}}
}

// Checkout is the checkout of a hold with a fee and a tax.
func Checkout() page.CheckoutView {
	return page.CheckoutView{Frame: frame(), Event: Head(), Hold: hold(), Total: euros(18_200),
		Lines: []page.Line{{Text: "Stalls", Count: 2, Amount: euros(17_800)}, {Text: "Service fee", Amount: euros(400)}, {Text: "VAT 7 %", Amount: euros(1191), Note: "included in the total"}},
		Pay: page.Pay{Provider: "sandbox", PublishableKey: "pk_test_sample", TestMode: true, SandboxURL: "http://127.0.0.1:12111",
			Methods: []page.SandboxMethod{{ID: "pm_card_visa", Text: "Card that pays"}, {ID: "pm_card_declined", Text: "Card that is declined"}}}}
}

func buying() []State {
	seatMap := func(name string, change func(*page.SeatsView)) State {
		v := Seats()
		change(&v)
		return State{"seats-" + name, func(p *page.Pages, w io.Writer) error { return p.Seats(w, v) }}
	}
	checkout := func(name string, change func(*page.CheckoutView)) State {
		v := Checkout()
		change(&v)
		return State{"checkout-" + name, func(p *page.Pages, w io.Writer) error { return p.Checkout(w, v) }}
	}
	h := hold()
	return []State{
		seatMap("plain", func(v *page.SeatsView) { v.Left = 4 }),
		seatMap("hold", func(v *page.SeatsView) {
			v.Hold, v.TakesCode, v.Wanted.Code = &h, true, "FRIENDS"
			v.Notice = &page.Notice{Kind: page.NoticeGood, Text: "These seats are held for you."}
		}),
		seatMap("refused", func(v *page.SeatsView) {
			v.Notice = &page.Notice{Kind: page.NoticeRefusal, Text: "Nothing that fits is free now, but some may return; nothing was taken."}
		}),
		seatMap("read-only", func(v *page.SeatsView) { v.ReadOnly = true }),
		checkout("details", func(*page.CheckoutView) {}),
		checkout("wrong", func(v *page.CheckoutView) {
			v.Mail, v.Promo = "nobody", "SPRNG"
			v.Errors = map[string]string{"mail": "A mail address has an @ in it.", "name": "The door asks for a name.", "promo": "There is no such code."}
		}),
		checkout("promo", func(v *page.CheckoutView) {
			v.Mail, v.Name, v.Promo, v.PromoOK, v.Total = "ada@example.org", "Ada", "SPRING", true, euros(16_420)
			v.Lines = append(v.Lines[:1:1], page.Line{Text: "Promotion SPRING", Amount: euros(-1780)}, v.Lines[1])
		}),
		checkout("stripe", func(v *page.CheckoutView) { v.Pay = page.Pay{Provider: "stripe", PublishableKey: "pk_live_sample"} }),
		checkout("free", func(v *page.CheckoutView) { v.Pay, v.Total, v.Lines = page.Pay{}, euros(0), nil }),
		checkout("paying-sandbox", func(v *page.CheckoutView) {
			v.State, v.Pay.ClientSecret, v.Pay.ReturnURL = page.CheckoutPaying, "pi_1_secret_2", "/e/moonlight/checkout"
		}),
		checkout("paying-stripe", func(v *page.CheckoutView) {
			v.State, v.Pay = page.CheckoutPaying, page.Pay{Provider: "stripe", PublishableKey: "pk_live_sample", ClientSecret: "pi_1_secret_2"}
		}),
		checkout("paying", func(v *page.CheckoutView) { v.State = page.CheckoutPaying }),
		checkout("closing", func(v *page.CheckoutView) { v.State = page.CheckoutClosing }),
		checkout("lapsed", func(v *page.CheckoutView) { v.State = page.CheckoutLapsed }),
	}
}
