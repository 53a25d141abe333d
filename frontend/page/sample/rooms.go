package sample

import (
	"io"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/page"
)

// Waiting is somebody in the middle of the line.
func Waiting() page.Place {
	return page.Place{Number: 30_117, Drawn: true, Position: 8123, Ahead: 2311, Served: 5811, Issued: 51_402,
		WaitLowMs: 8 * 60_000, WaitHighMs: 13 * 60_000, Odds: page.OddsPossible, NextPollMs: 4000}
}

func rooms() []State {
	room := func(name string, change func(*page.RoomView)) State {
		v := page.RoomView{Frame: frame(), Event: Head(), State: page.RoomWaiting, Sale: open(), Place: Waiting(), Draw: DrawFacts(true)}
		v.Refresh = 15
		change(&v)
		return State{"room-" + name, func(p *page.Pages, w io.Writer) error { return p.Room(w, v) }}
	}
	outside := func(name string, join page.Join) State {
		return room(name, func(v *page.RoomView) {
			v.State, v.Join, v.Draw, v.Sale, v.Place, v.Refresh = page.RoomOutside, join, DrawFacts(false), soon(), page.Place{}, 0
		})
	}
	return []State{
		outside("join", joinOpen()),
		outside("join-mail-code", page.Join{Open: true, NeedsMail: true, NeedsCode: true}),
		outside("join-account", page.Join{Open: true, NeedsAccount: true, SignIn: "/signin?event=moonlight"}),
		outside("join-work", page.Join{Open: true, Challenge: page.Challenge{Kind: "work", Value: "ab12cd", Bits: 12, Other: &page.Link{Text: "wait half a minute instead", URL: "/e/moonlight/line?wait=1"}}}),
		outside("join-captcha", page.Join{Open: true, Challenge: page.Challenge{Kind: "captcha", SiteKey: "site-key", Class: "h-captcha", Script: "https://captcha.example/api.js"}}),
		room("early", func(v *page.RoomView) {
			v.State, v.Draw, v.Sale, v.Place = page.RoomEarly, DrawFacts(false), soon(), page.Place{Number: 30_117, Issued: 30_200, Ahead: -1, NextPollMs: 5000}
		}),
		room("frozen", func(v *page.RoomView) {
			d := DrawFacts(true)
			d.Drawn, d.Seed = false, ""
			v.State, v.Draw, v.Sale, v.Place = page.RoomEarly, d, soon(), page.Place{Number: 30_117, Issued: 48_211, Ahead: -1, NextPollMs: 1000}
		}),
		room("waiting", func(v *page.RoomView) { v.Message = "The bar on the terrace opens at seven." }),
		room("grown", func(v *page.RoomView) {
			v.Place.Cause, v.Place.Odds = "The wait grew because the organizer let fewer people in for a while.", page.OddsUnlikely
		}),
		room("unknown", func(v *page.RoomView) {
			v.Place = page.Place{Number: 30_117, Drawn: true, Position: 8123, Ahead: -1, Issued: 51_402, NextPollMs: 4000}
		}),
		room("in-hands", func(v *page.RoomView) { v.Sale.Free = 0 }),
		room("paused", func(v *page.RoomView) {
			v.Paused, v.PauseReason, v.Place.WaitLowMs, v.Place.WaitHighMs = true, "The bank's network is slow.", 0, 0
		}),
		room("leaderless", func(v *page.RoomView) { v.Sale.Leaderless = true }),
		room("turn", func(v *page.RoomView) { v.State, v.Place.CallRemainingMs = page.RoomTurn, 117_000 }),
		room("admitted", func(v *page.RoomView) { v.State, v.Place.SessionRemainingMs = page.RoomAdmitted, 840_000 }),
		room("deferred", func(v *page.RoomView) { v.State, v.Place.Ahead, v.Place.Odds = page.RoomDeferred, 64, page.OddsLikely }),
		room("behind", func(v *page.RoomView) { v.State = page.RoomBehind }),
		room("done", func(v *page.RoomView) { v.State = page.RoomDone }),
		room("left", func(v *page.RoomView) { v.State, v.Join = page.RoomLeft, joinOpen() }),
		room("over", func(v *page.RoomView) { v.State, v.Sale.State = page.RoomOver, holdfast.SaleClosed }),
		room("sold-out", func(v *page.RoomView) {
			v.State, v.Sale = page.RoomSoldOut, page.Sale{State: holdfast.SaleOpen, Total: 2840}
		}),
	}
}
