package workload

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/visitor"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// Shop is where buyers go.
type Shop struct {
	Frontends []string // addresses
	Provider  string   // address, for who pays
	Account   string   // what the provider calls itself
	// Act does something with a payment at the provider, as a bank does.
	Act func(payment, act string) error
	// Books are the provider's payments, Reconcile the differences that the system finds between them and an event's orders.
	Books     func() ([]history.Charge, error)
	Reconcile func(ctx context.Context, event string) ([]string, error)
}

// checkout: whole visits over HTTP, as browsers make them: join the line, wait for the draw, choose, pay at the provider,
// come back. Some go away at every point of it.
var checkout = Workload{
	Name: "checkout", What: "whole visits over HTTP through two frontends: line, draw, seats, payment, order",
	Missing: func(e *Env) error {
		if e.Shop == nil {
			return errors.New("there is no shop")
		}
		return nil
	},
	NeedsShop: true,
	Start: func(ctx context.Context, e *Env) (Job, error) {
		return startVisits(ctx, e, "checkout", rows(4+int(e.Length.Seconds())/3), func(v *visit) {
			if !v.buy() {
				v.giveUp(v.seen.Told)
			}
		})
	},
}

// line: visitors who join, wait for their turn, and leave when they have seen the seats. They ask often.
var line = Workload{
	Name: "line", What: "joining, polling, being admitted and leaving, through two frontends", NeedsShop: true, Missing: checkout.Missing,
	Start: func(ctx context.Context, e *Env) (Job, error) {
		return startVisits(ctx, e, "line", rows(4+int(e.Length.Seconds())/3), func(v *visit) { v.giveUp("seen") })
	},
}

const (
	holdTTL   = 5 * time.Second
	payWindow = 5 * time.Second
	// quietMax is how long after the last visit everything must be in nobody's hands: pay window and grace, and then
	// what is owed to the provider.
	quietMax = payWindow + holdfast.GraceMax + 20*time.Second
)

type visits struct {
	*crowd
	http *http.Client
	told string // the commitment, before anybody had joined

	mu      sync.Mutex
	visits  []history.Visit
	polls   []history.Poll
	refunds []history.Refund
	// disputed are orders that somebody disputes, or did: nobody refunds them. open are those of which nobody has heard the end.
	disputed map[holdfast.OrderID]bool
	open     []*quarrel
}

// atATime is how many visitors there are in one event at once.
const atATime = 40

// startVisits opens a line and a sale of some rows, and lets visitors come, one after the other.
func startVisits(ctx context.Context, e *Env, name string, house []command.Row, inside func(*visit)) (*visits, error) {
	ms := func(d time.Duration) uint32 { return uint32(d / time.Millisecond) }
	c, err := open(ctx, e, name, command.EventSpec{
		Rules:    command.Rules{HoldTTLMs: ms(holdTTL), PayWindowMs: ms(payWindow), SkipCoolDown: true},
		Line:     command.LineRules{Enabled: true, CeilingMax: 40, SessionMs: 20_000, IdleMs: 5000, CallMs: 4000, OfferMs: 3000},
		Checkout: command.Checkout{Mode: holdfast.ModeTest, Account: e.Shop.Account},
		Sections: []command.Section{{Name: "floor", Rows: house}},
	})
	if err != nil {
		return nil, err
	}
	// The leader opens the line of a sale that is open; then ours comes second.
	if err := e.Client.OpenLine(ctx, c.event); err != nil && !errors.Is(err, holdfast.LineConflict) {
		return nil, err
	}
	j := &visits{crowd: c, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * atATime}, Timeout: 10 * time.Second}}
	before, err := e.Client.DrawRecord(ctx, c.event)
	if err != nil {
		return nil, err
	}
	j.told = hex.EncodeToString(before.Commitment[:])
	c.working.Go(j.draw)
	for i := range atATime {
		c.working.Go(func() {
			for n := 0; !c.over(); n++ {
				j.visit(i+n*atATime, inside)
			}
		})
	}
	return j, nil
}

// draw puts those in order who are in line after a moment. It goes on until it is done: the cluster may be broken, and a
// frontend may not have heard of the event yet.
func (j *visits) draw() {
	for !j.over() && !j.inLine() {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(time.Second)
	for !j.over() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		err := j.Client.Draw(ctx, j.event, holdfast.BeaconRound{})
		cancel()
		if err == nil || errors.Is(err, holdfast.LineConflict) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// inLine reports whether somebody is.
func (j *visits) inLine() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.polls) > 0
}

// visit is one visitor on his way.
type visit struct {
	*visits
	*visitor.Visitor
	seen   history.Visit
	random *rand.Rand
	ctx    context.Context
}

func (j *visits) visit(number int, inside func(*visit)) {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	v := &visit{visits: j, ctx: ctx, random: rand.New(rand.NewPCG(j.Seed, uint64(j.Round)<<40|uint64(number)<<8|7)),
		seen: history.Visit{Number: number, Place: -1, Began: j.now()}}
	frontends := j.Shop.Frontends
	if number%2 == 1 {
		frontends = []string{frontends[1], frontends[0]}
	}
	v.Visitor = visitor.New(visitor.Config{Frontends: frontends, Event: j.event.Name, HTTP: j.http,
		Address: fmt.Sprintf("10.%d.%d.%d", number>>16&0xFF, number>>8&0xFF, number&0xFF)})
	if v.queue() {
		inside(v)
	}
	v.seen.Ended = j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.visits = append(j.visits, v.seen)
}

// ask asks until somebody answers, or the load is over: a frontend may be down, or the cluster.
func (v *visit) ask(f func(context.Context) error) error {
	for {
		ctx, cancel := context.WithTimeout(v.ctx, 8*time.Second)
		err := f(ctx)
		cancel()
		var told *visitor.Problem
		passes := !errors.As(err, &told) || told.Status >= 500 || told.Status == http.StatusTooManyRequests || told.Status == http.StatusNotFound && v.seen.Place < 0
		if err == nil || !passes || v.ctx.Err() != nil || v.over() {
			if err != nil {
				v.seen.Told = err.Error()
			}
			return err
		}
		time.Sleep(50*time.Millisecond + time.Duration(v.random.IntN(100))*time.Millisecond)
	}
}

// queue joins and waits. It reports whether the visitor has been let in.
func (v *visit) queue() bool {
	look := func(how func(context.Context) (visitor.Place, error)) (p visitor.Place, err error) {
		err = v.ask(func(ctx context.Context) (err error) {
			call := v.now()
			if p, err = how(ctx); err == nil {
				v.polled(call, p)
			}
			return err
		})
		return p, err
	}
	place, err := look(v.Join)
	for err == nil && visitor.Waits(place.State) {
		if v.over() {
			return false
		}
		if v.random.IntN(200) == 0 { // goes away without a word
			v.seen.Told = "vanished in line"
			return false
		}
		time.Sleep(min(max(time.Duration(place.NextPollMs)*time.Millisecond, 50*time.Millisecond), 500*time.Millisecond))
		place, err = look(v.Place)
	}
	return err == nil && place.State == holdfast.PlaceAdmitted.String()
}

func (v *visit) polled(call time.Duration, p visitor.Place) {
	if p.Key != "" { // told with the place, and not again
		v.seen.Key = strings.TrimPrefix(p.Key, "place_")
	}
	one := history.Poll{Visit: v.seen.Number, Call: call, Return: v.now(), Place: int64(p.Number), Position: -1, State: p.State}
	if p.Position != nil {
		one.Position = int64(*p.Position)
	}
	v.seen.Place = one.Place
	v.mu.Lock()
	defer v.mu.Unlock()
	v.polls = append(v.polls, one)
}

// buy holds seats and pays for them, or stops somewhere on the way. It is false when there was nothing to hold.
func (v *visit) buy() bool {
	want := visitor.Want{Best: &visitor.Best{Count: 1 + v.random.IntN(4), Apart: true}}
	key, hold := visitor.NewKey(), visitor.Hold{}
	if err := v.ask(func(ctx context.Context) (err error) { hold, err = v.Hold(ctx, key, want); return err }); err != nil {
		return false
	}
	name, _, _ := strings.Cut(hold.ID, ".")
	v.seen.Hold, _ = holdfast.ParseHoldID(name)
	for _, s := range hold.Seats {
		v.seen.Seats = append(v.seen.Seats, holdfast.SeatIndex(s.Index))
	}
	switch n := v.random.IntN(20); {
	case n == 0:
		v.seen.Told = "vanished with a hold"
	case n == 1:
		_ = v.ask(func(ctx context.Context) error { return v.Release(ctx, hold.ID) })
		v.giveUp("gave the seats back")
	default:
		v.pay(hold)
	}
	return true
}

// giveUp leaves, so that the next in line need not wait.
func (v *visit) giveUp(why string) {
	_ = v.ask(func(ctx context.Context) error { return v.Leave(ctx) })
	v.seen.Told = why
}

// pay goes to the provider and comes back.
func (v *visit) pay(hold visitor.Hold) {
	key, c := visitor.NewKey(), visitor.Checkout{}
	who := visitor.Buyer{Mail: fmt.Sprintf("buyer-%d@example.org", v.seen.Number), Name: "A Buyer"}
	if v.ask(func(ctx context.Context) (err error) { c, err = v.Checkout(ctx, key, hold.ID, who); return err }) != nil {
		return
	}
	v.seen.Amount = c.Quote.Total.AmountMinor
	cards := []string{"pm_card_visa"}
	switch v.random.IntN(12) {
	case 0:
		v.seen.Told = "vanished before paying"
		return
	case 1, 2:
		cards = []string{"pm_card_visa_chargeDeclined", "pm_card_visa"}
	case 3:
		cards = []string{"pm_card_authenticationRequired"} // and does not authenticate
	}
	for _, card := range cards {
		v.seen.Paid = v.seen.Paid || card == "pm_card_visa"
		for range 3 { // what the provider says is no proof of anything
			if v.Pay(v.ctx, v.Shop.Provider, c, card) == nil {
				break
			}
		}
		if v.random.IntN(15) == 0 {
			v.seen.Told = "did not come back"
			return
		}
		if v.confirm(hold) {
			return
		}
	}
}

// confirm asks until the payment is decided. It reports false when another card may be tried.
func (v *visit) confirm(hold visitor.Hold) bool {
	for {
		var c visitor.Confirmation
		if v.ask(func(ctx context.Context) (err error) { c, err = v.Confirm(ctx, hold.ID); return err }) != nil {
			return true
		}
		switch v.seen.Told = c.State; c.State {
		case "sold":
			v.seen.Sold = true
			return true
		case "failed":
			return true
		case "declined":
			return false
		}
		if v.over() || v.ctx.Err() != nil {
			return true
		}
		time.Sleep(max(time.Duration(c.NextPollMs)*time.Millisecond, 100*time.Millisecond))
	}
}

// Finish waits until nothing is in anybody's hands, and reads the books too.
func (j *visits) Finish(ctx context.Context) (*history.History, error) {
	j.http.CloseIdleConnections()
	for _, q := range j.open {
		if err := j.settle(ctx, q); err != nil {
			return &history.History{Head: j.head}, err
		}
	}
	quiet := j.quiet(ctx)
	h, err := j.crowd.Finish(ctx)
	h.Visits, h.Polls, h.Refunds, h.Final.Quiet, h.Waited = j.visits, j.polls, j.refunds, quiet, true
	if err != nil {
		return h, err
	}
	if h.Differences, err = j.Shop.Reconcile(ctx, j.event.Name); err != nil {
		return h, err
	}
	if h.Draw, err = j.record(ctx); err != nil {
		return h, err
	}
	charges, err := j.Shop.Books()
	for _, one := range charges {
		if one.Event == j.event.ID {
			h.Charges = append(h.Charges, one)
		}
	}
	return h, err
}

// record reads what is public about the draw, if there was one.
func (j *visits) record(ctx context.Context) (*history.Draw, error) {
	r, err := j.Client.DrawRecord(ctx, j.event)
	if err != nil || !r.Drawn {
		return nil, err
	}
	hash := func(b [32]byte) string { return hex.EncodeToString(b[:]) }
	return &history.Draw{Event: r.Event, Told: j.told, Commitment: hash(r.Commitment), Secret: hash(r.Secret), Chain: hash(r.Chain), Seed: hash(r.Seed), Cohort: r.Cohort}, nil
}

// quiet waits until no seat is in anybody's hands and nothing is owed to the provider.
func (j *visits) quiet(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, quietMax)
	defer cancel()
	for ctx.Err() == nil {
		e, err := j.Client.Event(ctx, j.event)
		if err == nil && e.Total.Held+e.Total.Paying == 0 && !j.owes(ctx) {
			return true
		}
		time.Sleep(200 * time.Millisecond)
	}
	return false
}

func (j *visits) owes(ctx context.Context) bool {
	for e, err := range j.Client.Effects(ctx, j.event.Shard) {
		if err != nil || ours(e, j.event) && e.Kind != holdfast.EffectReceipt && e.Kind != holdfast.EffectNotify { // nobody is to be written to
			return true
		}
	}
	return false
}

func ours(e client.Effect, event client.EventRef) bool { return e.Event.ID == event.ID }
