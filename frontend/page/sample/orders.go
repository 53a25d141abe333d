package sample

import (
	"fmt"
	"io"
	"strings"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/page"
)

// QR is an image that looks like a QR code and is none: the server makes the real ones.
func QR() []byte {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 27 27" shape-rendering="crispEdges"><path d="`)
	for i, mix := 0, uint32(7); i < 625; i++ {
		if mix = mix*1664525 + 1013904223; mix>>31 == 1 && !eye(i%25, i/25, 8) {
			fmt.Fprintf(&b, "M%d %dh1v1h-1z", i%25, i/25)
		}
	}
	for _, corner := range [][2]int{{0, 0}, {18, 0}, {0, 18}} {
		fmt.Fprintf(&b, "M%d %dh7v7h-7zm1 1v5h5v-5zm1 1h3v3h-3z", corner[0], corner[1])
	}
	b.WriteString(`" fill-rule="evenodd"/></svg>`)
	return []byte(b.String())
}

func eye(x, y, size int) bool {
	return x < size && y < size || x >= 25-size && y < size || x < size && y >= 25-size
}

// Order is a paid order with its tickets.
func Order() page.OrderView {
	v := page.OrderView{Frame: frame(), Event: Head(), Order: holdfast.OrderID{0x12, 0x34, 15: 0xff}, Mail: "a…@example.org", BoughtMs: instant,
		Lines: []page.Line{{Text: "Stalls", Count: 2, Amount: euros(17_800)}, {Text: "Service fee", Amount: euros(400)}}, Total: euros(18_200), Refunded: euros(0)}
	for i, s := range seats() {
		v.Tickets = append(v.Tickets, page.Ticket{Seat: s, Code: fmt.Sprintf("MS27-%d4F2-9KQ", i+7), QR: QR()})
	}
	return v
}

func orders() []State {
	order := func(name string, change func(*page.OrderView)) State {
		v := Order()
		change(&v)
		return State{"order-" + name, func(p *page.Pages, w io.Writer) error { return p.Order(w, v) }}
	}
	void := func(v *page.OrderView, why string) {
		for i := range v.Tickets {
			v.Tickets[i].Why = why
		}
	}
	return []State{
		order("paid", func(*page.OrderView) {}),
		order("capturing", func(v *page.OrderView) {
			v.State = page.OrderCapturing
			for i := range v.Tickets {
				v.Tickets[i].Why, v.Tickets[i].QR = "valid in a moment", nil
			}
		}),
		order("unpaid", func(v *page.OrderView) {
			v.State, v.PayAgain, v.PayAgainRemainingMs = page.OrderUnpaid, &page.Link{Text: "Pay again", URL: "/o/ord_12340000000000000000000000000000ff.1/pay?t=1"}, 3_500_000
			void(v, "not paid")
		}),
		order("refunded", func(v *page.OrderView) { v.State, v.Refunded = page.OrderRefunded, euros(18_200); void(v, "refunded") }),
		order("partly-refunded", func(v *page.OrderView) { v.Refunded = euros(8900); v.Tickets[1].Why = "refunded" }),
		order("cancelled", func(v *page.OrderView) { v.State = page.OrderCancelled; void(v, "cancelled") }),
		order("disputed", func(v *page.OrderView) { v.State = page.OrderDisputed; void(v, "disputed") }),
	}
}

func rest() []State {
	returns := func(name string, change func(*page.ReturnsView)) State {
		v := page.ReturnsView{Frame: frame(), Event: Head(), Sale: page.Sale{State: holdfast.SaleOpen, Total: 2840}, Tiers: Tiers(), Sections: Sections(), PerHold: 6,
			Joinable: true, Length: 41, NeedsMail: true, Wanted: page.Wanted{Count: 2, Tier: holdfast.AnyTier, Section: holdfast.AnySection}}
		change(&v)
		return State{"returns-" + name, func(p *page.Pages, w io.Writer) error { return p.Returns(w, v) }}
	}
	h := hold()
	return []State{
		returns("sold-out", func(*page.ReturnsView) {}),
		returns("in-hands", func(v *page.ReturnsView) { v.Sale.Held, v.Sale.Paying, v.HandsUntilMs = 12, 3, instant }),
		returns("joined", func(v *page.ReturnsView) { v.Joined, v.AheadKnown, v.Ahead = true, true, 7 }),
		returns("next", func(v *page.ReturnsView) { v.Joined, v.AheadKnown = true, true }),
		returns("joined-unknown", func(v *page.ReturnsView) { v.Joined = true }),
		returns("offer", func(v *page.ReturnsView) { v.Joined, v.Offer = true, &h }),
		returns("none", func(v *page.ReturnsView) { v.Joinable = false }),
		{"find-form", func(p *page.Pages, w io.Writer) error { return p.Find(w, page.FindView{Frame: frame()}) }},
		{"find-sent", func(p *page.Pages, w io.Writer) error {
			return p.Find(w, page.FindView{Frame: frame(), Mail: "ada@example.org", Sent: true})
		}},
		{"find-wrong", func(p *page.Pages, w io.Writer) error {
			return p.Find(w, page.FindView{Frame: frame(), Mail: "ada", Errors: map[string]string{"mail": "A mail address has an @ in it."}})
		}},
		{"draw-before", func(p *page.Pages, w io.Writer) error {
			return p.Draw(w, page.DrawView{Frame: frame(), Event: Head(), Draw: *DrawFacts(false), Limits: Limits()})
		}},
		{"draw-done", func(p *page.Pages, w io.Writer) error {
			return p.Draw(w, page.DrawView{Frame: frame(), Event: Head(), Draw: *DrawFacts(true), RecordURL: "/api/v1/events/moonlight/draw", Limits: Limits(),
				Own: &page.OwnPlace{Number: 30_117, Key: strings.Repeat("7f", 32), Path: []string{strings.Repeat("01", 32), strings.Repeat("02", 32)}}})
		}},
		{"error-overloaded", func(p *page.Pages, w io.Writer) error {
			f := frame()
			f.Back, f.Refresh = &page.Link{Text: "Back to the shop", URL: "https://shop.example/"}, 5
			return p.Error(w, page.ErrorView{Frame: f, Status: 503, Title: "Very many people are here", Code: "overloaded", RetryAfterMs: 5000,
				Message: "This server has more visitors than it can answer. Nothing was changed: your place, your hold and your orders stay as they are."})
		}},
		{"error-not-found", func(p *page.Pages, w io.Writer) error {
			return p.Error(w, page.ErrorView{Frame: frame(), Status: 404, Title: "There is no such page", Code: "not_found", Message: "The address leads nowhere.", Next: &page.Link{Text: "All events", URL: "/"}})
		}},
	}
}

// Limits are what a draw does not prove.
func Limits() []string {
	return []string{
		"Anonymous people with many devices are many people.",
		"Without public randomness, the organizer is trusted not to join last with a chosen key.",
		"The record says who stands where, not who was served when.",
	}
}
