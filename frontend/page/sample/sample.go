// Package sample holds a view of every page in every state that it can be in. The golden files are made from them, and
// the browser tests look at them: who adds a state adds it here, and both see it.
package sample

import (
	"io"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/page"
)

// State is one page in one state.
type State struct {
	Name  string
	Write func(p *page.Pages, w io.Writer) error
}

// Nonce and CSRF are those of all samples.
const (
	Nonce = "bm9uY2U"
	CSRF  = "csrf-token"
)

// All gives every state, in the order of a visit.
func All() []State {
	var all []State
	for _, part := range [][]State{shop(), rooms(), buying(), orders(), rest()} {
		all = append(all, part...)
	}
	return all
}

func frame() page.Frame { return page.Frame{Nonce: Nonce, CSRF: CSRF} }

// Head is the sample's event.
func Head() page.EventHead {
	return page.EventHead{Name: "moonlight", Title: "Moonlight Serenade", Where: "Old Theatre, Saturday 12 June 2027, 20:00"}
}

func euros(minor int64) holdfast.Money { return holdfast.Money{AmountMinor: minor, Currency: "eur"} }

// instant is a fixed time, so that golden files stay.
const instant = 1_812_700_800_000 // 11 June 2027, 08:00 UTC

func open() page.Sale {
	return page.Sale{State: holdfast.SaleOpen, Free: 1204, Held: 188, Paying: 31, Total: 2840}
}

func soon() page.Sale {
	return page.Sale{State: holdfast.SaleDraft, OpensInMs: 5_000_000, OpensMs: instant, Free: 2840, Total: 2840}
}

// Tiers are the sample's prices.
func Tiers() []page.Tier {
	return []page.Tier{
		{Index: 0, Name: "Stalls", Price: euros(8900), Free: 312, Total: 900}, {Index: 1, Name: "Circle", Price: euros(6400), Free: 492, Total: 1100},
		{Index: 2, Name: "Balcony", Price: euros(3900), Free: 0, Total: 440}, {Index: 3, Name: "Standing", Price: euros(4500), Free: 400, Total: 400},
	}
}

// Sections are the sample's parts of the venue.
func Sections() []page.Section {
	section := func(i int, name string, tier int, price int64, free, total int, general bool) page.Section {
		return page.Section{Index: holdfast.SectionIndex(i), Name: name, Tier: holdfast.TierIndex(tier), From: euros(price), To: euros(price), Free: free, Total: total, General: general}
	}
	return []page.Section{
		section(0, "Stalls left", 0, 8900, 92, 260, false), section(1, "Stalls centre", 0, 8900, 120, 380, false), section(2, "Stalls right", 0, 8900, 100, 260, false),
		section(3, "Circle left", 1, 6400, 140, 330, false), section(4, "Circle centre", 1, 6400, 212, 440, false), section(5, "Circle right", 1, 6400, 140, 330, false),
		section(6, "Balcony", 2, 3900, 0, 440, false), section(7, "Standing", 3, 4500, 400, 400, true),
	}
}

func seats() []page.Seat {
	return []page.Seat{
		{Index: 412, Section: "Stalls centre", Row: "F", Number: "12", Tier: "Stalls", Price: euros(8900)},
		{Index: 413, Section: "Stalls centre", Row: "F", Number: "13", Tier: "Stalls", Price: euros(8900)},
	}
}

func hold() page.Hold {
	return page.Hold{ID: "hold_7_00112233445566778899aabbccddeeff", State: holdfast.HoldOpen, Seats: seats(), Total: euros(17800), RemainingMs: 252_000}
}

// DrawFacts are what is public of the sample's draw.
func DrawFacts(drawn bool) *page.Draw {
	d := &page.Draw{Commit: "5b6f0e6e2f5c0d1d2f2f6a3c9f2f1f0f8d1d7a3a4b5c6d7e8f90a1b2c3d4e5f6", AtInMs: 754_000, AtMs: instant}
	if drawn {
		d.Frozen, d.Drawn, d.Cohort, d.AtInMs = true, true, 48_211, 0
		d.Root = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
		d.Seed = "a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f"
		d.Beacon = "drand quicknet, round 18,240,113"
	}
	return d
}

func joinOpen() page.Join { return page.Join{Open: true} }

func shop() []State {
	events := []page.ListedEvent{
		{EventHead: Head(), Sale: open(), From: euros(3900)},
		{EventHead: page.EventHead{Name: "derby", Title: "City Derby", Where: "North Ground, 3 May 2027"}, Sale: soon(), From: euros(1500)},
		{EventHead: page.EventHead{Name: "opera", Title: "The Magic Flute"}, Sale: page.Sale{State: holdfast.SaleOpen, Total: 900}, From: euros(4800)},
	}
	list := func(name string, v page.ListView) State {
		return State{"list-" + name, func(p *page.Pages, w io.Writer) error { v.Frame = frame(); return p.List(w, v) }}
	}
	event := func(name string, change func(*page.EventView)) State {
		v := page.EventView{Frame: frame(), Event: Head(), Sale: open(), Tiers: Tiers(), PerHold: 8, PerBuyer: 8, BuyerIs: "counts browsers: one person with several browsers or devices is several",
			About: []string{"An evening with the Harbour Orchestra: Miller, Ellington, and a late set on the terrace.", "Doors open an hour before."}}
		change(&v)
		return State{"event-" + name, func(p *page.Pages, w io.Writer) error { return p.Event(w, v) }}
	}
	h := hold()
	return []State{
		list("full", page.ListView{Events: events}), list("empty", page.ListView{}),
		event("no-line", func(*page.EventView) {}),
		event("soon", func(v *page.EventView) { v.Sale = soon() }),
		event("join", func(v *page.EventView) {
			v.HasLine, v.Join, v.Draw, v.Sale = true, joinOpen(), DrawFacts(false), soon()
		}),
		event("line-opens", func(v *page.EventView) {
			v.HasLine, v.Sale, v.Join = true, soon(), page.Join{OpensInMs: 90_000, OpensMs: instant - 3_600_000}
		}),
		event("in-line", func(v *page.EventView) { v.HasLine, v.InLine = true, true }),
		event("admitted", func(v *page.EventView) { v.HasLine, v.InLine, v.Admitted = true, true, true }),
		event("hold", func(v *page.EventView) { v.Hold = &h }),
		event("paused", func(v *page.EventView) {
			v.Sale.State, v.Sale.Reason = holdfast.SalePaused, "We are checking the map of the balcony."
		}),
		event("leaderless", func(v *page.EventView) { v.Sale.Leaderless = true }),
		event("in-hands", func(v *page.EventView) { v.Sale.Free = 0 }),
		event("sold-out", func(v *page.EventView) { v.Sale = page.Sale{State: holdfast.SaleOpen, Total: 2840} }),
		event("closed", func(v *page.EventView) { v.Sale.State = holdfast.SaleClosed }),
	}
}
