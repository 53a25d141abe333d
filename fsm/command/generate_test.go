package command_test

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The generators draw values that are valid by themselves, limits included.

func id16(t *rapid.T, label string) [16]byte {
	return [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
}

func header(t *rapid.T, kind command.Kind) command.Header {
	return command.Header{Kind: kind, ID: id16(t, "id"), Event: holdfast.EventID(rapid.Uint32().Draw(t, "event"))}
}

func money(t *rapid.T) holdfast.Money {
	return holdfast.Money{
		AmountMinor: rapid.Int64Min(0).Draw(t, "amount"),
		Currency:    holdfast.Currency(rapid.StringMatching(`[a-z]{3}`).Draw(t, "currency")),
	}
}

func seats(t *rapid.T, least, most int) []holdfast.SeatIndex {
	seat := rapid.Custom(func(t *rapid.T) holdfast.SeatIndex {
		return holdfast.SeatIndex(rapid.Uint32Range(0, holdfast.UnitsPerEventMax-1).Draw(t, "seat"))
	})
	return rapid.SliceOfN(seat, least, most).Draw(t, "seats")
}

// wants draws 1 to WantsMax wants of at most UnitsPerHoldMax units together.
func wants(t *rapid.T) (wants []command.Want) {
	left, n := holdfast.UnitsPerHoldMax, rapid.IntRange(1, command.WantsMax).Draw(t, "wants")
	for i := range n {
		count := rapid.IntRange(1, left-(n-i-1)).Draw(t, "count")
		left -= count
		w := command.Want{Kind: rapid.SampledFrom([]command.WantKind{command.WantSeats, command.WantBest, command.WantGeneral}).Draw(t, "want"), Count: uint8(count)}
		if w.Kind == command.WantSeats {
			w.Seats = seats(t, count, count)
		} else {
			w.Section = holdfast.SectionIndex(rapid.Uint16().Draw(t, "section"))
		}
		if w.Kind == command.WantBest {
			w.Tier = holdfast.TierIndex(rapid.Uint8().Draw(t, "tier"))
			w.Adjacent = rapid.Bool().Draw(t, "adjacent")
		}
		wants = append(wants, w)
	}
	return wants
}

func sell(t *rapid.T) *command.Sell {
	c := &command.Sell{
		Header: header(t, command.KindSell), Hold: id16(t, "hold"), Amount: money(t),
		As: rapid.SampledFrom([]command.SaleKind{command.SalePaid, command.SaleFree, command.SaleInvoiced}).Draw(t, "as"),
	}
	reference := rapid.StringMatching(`[!-~]{1,64}`).Draw(t, "payment")
	switch c.As {
	case command.SalePaid:
		c.Attempt, c.Payment = holdfast.Attempt(rapid.Uint32Min(1).Draw(t, "attempt")), reference
		c.Mode, c.Account = mode(t), rapid.StringMatching(`[a-z]{0,8}`).Draw(t, "account")
	case command.SaleInvoiced:
		c.Payment = rapid.SampledFrom([]string{"", reference}).Draw(t, "reference")
	}
	return c
}

// anyCommand draws a command of any kind.
func anyCommand(t *rapid.T) command.Command {
	switch kind := rapid.SampledFrom(kinds()).Draw(t, "kind"); kind {
	case command.KindHold:
		return &command.Hold{Header: header(t, kind), Buyer: id16(t, "buyer"), Allocation: allocation(t), Wants: wants(t)}
	case command.KindSwap:
		return &command.Swap{Header: header(t, kind), Buyer: id16(t, "buyer"), Hold: id16(t, "hold"), Allocation: allocation(t), Wants: wants(t)}
	case command.KindExtend:
		return &command.Extend{Header: header(t, kind), Buyer: id16(t, "buyer"), Hold: id16(t, "hold")}
	case command.KindRelease:
		return &command.Release{Header: header(t, kind), Buyer: id16(t, "buyer"), Hold: id16(t, "hold")}
	case command.KindBeginPayment:
		return &command.BeginPayment{Header: header(t, kind), Buyer: id16(t, "buyer"), Hold: id16(t, "hold"),
			Attempt: attempt(t), Amount: money(t), Capture: holdfast.CaptureMethod(rapid.Uint8Max(2).Draw(t, "capture")),
			Promo: maybeID(t, "promo"), Contact: maybeID(t, "contact")}
	case command.KindSell:
		return sell(t)
	case command.KindPutEvent:
		return &command.PutEvent{Header: header(t, kind), Expect: rapid.Uint32().Draw(t, "expect"), Spec: spec(t)}
	case command.KindAssignEvent:
		return &command.AssignEvent{Header: header(t, kind), Spec: spec(t)}
	case command.KindPutKey:
		from := rapid.Int64Range(0, 1<<50).Draw(t, "from")
		return &command.PutKey{Header: header(t, kind), Key: holdfast.FrontendKey{
			Frontend: rapid.StringMatching(`[a-z0-9-]{1,64}`).Draw(t, "frontend"), Public: [32]byte(rapid.SliceOfN(rapid.ByteMin(1), 32, 32).Draw(t, "public")),
			NotBeforeMs: from, NotAfterMs: from + rapid.Int64Range(1, holdfast.KeyLifeMax.Milliseconds()).Draw(t, "life")}}
	case command.KindSetSale:
		return &command.SetSale{Header: header(t, kind), State: holdfast.SaleState(rapid.Uint8Range(1, 3).Draw(t, "state"))}
	case command.KindBlock:
		most := 40
		if rapid.IntRange(0, 19).Draw(t, "largest") == 0 {
			most = holdfast.UnitsPerBlockMax
		}
		return &command.Block{Header: header(t, kind), Unblock: rapid.Bool().Draw(t, "unblock"), Seats: seats(t, most/40, most)}
	case command.KindMark:
		return &command.Mark{Header: header(t, kind)}
	default:
		if c := lineCommand(t, kind); c != nil {
			return c
		}
		return anyPaymentCommand(t, kind)
	}
}

func attempt(t *rapid.T) holdfast.Attempt {
	return holdfast.Attempt(rapid.Uint32Min(1).Draw(t, "attempt"))
}

func mode(t *rapid.T) holdfast.PaymentMode {
	return holdfast.PaymentMode(rapid.Uint8Max(2).Draw(t, "mode"))
}

func maybeID(t *rapid.T, label string) (id [16]byte) {
	if rapid.Bool().Draw(t, "has "+label) {
		id = id16(t, label)
	}
	return id
}

// anyPaymentCommand draws a command about payments, orders and effects.
func anyPaymentCommand(t *rapid.T, kind command.Kind) command.Command {
	ref := rapid.StringMatching(`[!-~]{1,64}`)
	maybeRef, effect := rapid.StringMatching(`[!-~]{0,64}`), rapid.Uint64()
	switch h := header(t, kind); kind {
	case command.KindAttachPayment:
		return &command.AttachPayment{Header: h, Hold: id16(t, "hold"), Attempt: attempt(t), Payment: ref.Draw(t, "payment")}
	case command.KindFailPayment:
		return &command.FailPayment{Header: h, Hold: id16(t, "hold"), Attempt: attempt(t), Payment: maybeRef.Draw(t, "payment")}
	case command.KindAckEffect:
		return &command.AckEffect{Header: h, Effect: holdfast.EffectID(effect.Draw(t, "effect")), Result: holdfast.EffectResult(rapid.Uint8Range(1, 3).Draw(t, "result")),
			Amount: money(t), Payment: maybeRef.Draw(t, "payment"), Code: rapid.StringMatching(`[a-z_]{0,32}`).Draw(t, "code")}
	case command.KindRefund:
		c := &command.Refund{Header: h, Order: id16(t, "order"), Reason: holdfast.RefundReason(rapid.Uint8Range(1, 2).Draw(t, "reason")),
			ReturnSeats: rapid.Bool().Draw(t, "return")}
		if rapid.Bool().Draw(t, "some") {
			c.Seats = seats(t, 1, command.ResultSeatsMax)
		}
		return c
	case command.KindStrayMoney:
		amount := money(t)
		amount.AmountMinor |= 1
		return &command.StrayMoney{Header: h, Hold: id16(t, "hold"), Attempt: attempt(t), Amount: amount, Captured: rapid.Bool().Draw(t, "captured"),
			Mode: mode(t), Account: rapid.StringMatching(`[a-z]{0,8}`).Draw(t, "account"), Payment: ref.Draw(t, "payment")}
	case command.KindDispute:
		return &command.Dispute{Header: h, State: holdfast.DisputeState(rapid.Uint8Range(1, 3).Draw(t, "state")), Amount: money(t), Payment: ref.Draw(t, "payment")}
	case command.KindRetryEffect:
		return &command.RetryEffect{Header: h, Effect: holdfast.EffectID(effect.Draw(t, "effect"))}
	case command.KindSetIncarnation:
		return &command.SetIncarnation{Header: h, Incarnation: holdfast.Incarnation(rapid.Uint32().Draw(t, "incarnation")), Reconciled: rapid.Bool().Draw(t, "reconciled")}
	case command.KindPutPerson:
		return &command.PutPerson{Header: h, Hold: id16(t, "hold"), Blob: rapid.SliceOfN(rapid.Byte(), 1, holdfast.PersonBytesMax).Draw(t, "blob")}
	case command.KindForgetPerson:
		return &command.ForgetPerson{Header: h, Hold: id16(t, "hold")}
	default:
		panic(fmt.Sprintf("no generator for %s", kind))
	}
}

// checkout draws rules for payments, or none.
func checkout(t *rapid.T) (c command.Checkout) {
	if c.Mode = mode(t); c.Mode == 0 {
		return c
	}
	price := rapid.Int64Range(0, command.PriceMinorMax)
	c.Account = rapid.StringMatching(`[a-z_0-9]{1,64}`).Draw(t, "account")
	c.FeePerUnitMinor, c.FeePerOrderMinor, c.LeastMinor = price.Draw(t, "fee per unit"), price.Draw(t, "fee per order"), price.Draw(t, "least")
	c.FeeBps, c.TaxBps = rapid.Uint16Max(command.BpsMax).Draw(t, "fee"), rapid.Uint16Max(command.BpsMax).Draw(t, "tax")
	c.KeepFees, c.TaxIncluded = rapid.Bool().Draw(t, "keep"), rapid.Bool().Draw(t, "included")
	c.Invoices, c.Notify = rapid.Bool().Draw(t, "invoices"), rapid.Bool().Draw(t, "notify")
	c.PayAgainMs, c.AtOnceMs = rapid.Uint32Max(command.TimeMsMax).Draw(t, "pay again"), rapid.Uint32Max(command.TimeMsMax).Draw(t, "at once")
	for i := range rapid.IntRange(0, 4).Draw(t, "promos") {
		p := command.Promo{Code: holdfast.PromoCode{byte(i + 1)}, UsesMax: rapid.Uint32().Draw(t, "uses")}
		if rapid.Bool().Draw(t, "percent") {
			p.Bps = rapid.Uint16Range(1, command.BpsMax).Draw(t, "bps")
		} else {
			p.AmountMinor = rapid.Int64Range(1, command.PriceMinorMax).Draw(t, "off")
		}
		c.Promos = append(c.Promos, p)
	}
	return c
}

func allocation(t *rapid.T) holdfast.AllocationIndex {
	return holdfast.AllocationIndex(rapid.Uint8().Draw(t, "allocation"))
}

// spec draws a description with reserved and general sections, own tiers of rows, and allocations over both.
func spec(t *rapid.T) command.EventSpec {
	name := rapid.StringMatching(`[a-zäß ]{1,20}`)
	s := command.EventSpec{
		Name:     rapid.StringMatching(`[a-z0-9-]{1,64}`).Draw(t, "name"),
		Title:    rapid.StringMatching(`[A-Za-zéø ]{0,32}`).Draw(t, "title"),
		Currency: holdfast.Currency(rapid.StringMatching(`[a-z]{3}|omr`).Draw(t, "currency")),
		Rules: command.Rules{
			HoldTTLMs: rapid.Uint32Max(command.TimeMsMax).Draw(t, "ttl"), PayWindowMs: rapid.Uint32Max(command.TimeMsMax).Draw(t, "pay window"),
			ExtensionMs: rapid.Uint32Max(command.TimeMsMax).Draw(t, "extension"), CoolDownMs: rapid.Uint32Max(command.TimeMsMax).Draw(t, "cool-down"),
			SeatsPerHold: rapid.Uint8Max(holdfast.UnitsPerHoldMax).Draw(t, "per hold"), SeatsPerBuyer: rapid.Uint16().Draw(t, "per buyer"),
			NoOrphans: rapid.Bool().Draw(t, "no orphans"), ManyOpenHolds: rapid.Bool().Draw(t, "many"), SkipCoolDown: rapid.Bool().Draw(t, "skip"),
		},
	}
	for _, n := range rapid.SliceOfNDistinct(name, 1, 6, rapid.ID).Draw(t, "tiers") {
		s.Tiers = append(s.Tiers, command.Tier{Name: n, PriceMinor: rapid.Int64Range(0, command.PriceMinorMax).Draw(t, "price")})
	}
	tier := rapid.Custom(func(t *rapid.T) holdfast.TierIndex {
		return holdfast.TierIndex(rapid.IntRange(0, len(s.Tiers)-1).Draw(t, "tier"))
	})
	for _, n := range rapid.SliceOfNDistinct(name, 1, 4, rapid.ID).Draw(t, "sections") {
		sec := command.Section{Name: n, Tier: tier.Draw(t, "section tier")}
		if rapid.Bool().Draw(t, "general") {
			sec.Places = rapid.Uint32Range(1, 1000).Draw(t, "places")
		} else {
			for _, label := range rapid.SliceOfNDistinct(name, 1, 4, rapid.ID).Draw(t, "rows") {
				row := command.Row{Label: label, Seats: rapid.Uint16Range(1, command.RowSeatsMax).Draw(t, "seats"), Tier: holdfast.AnyTier}
				row.First = rapid.Uint16Range(0, uint16(0x10000-int(row.Seats))).Draw(t, "first")
				if rapid.Bool().Draw(t, "own tier") {
					row.Tier = tier.Draw(t, "row tier")
				}
				sec.Rows = append(sec.Rows, row)
			}
		}
		s.Sections = append(s.Sections, sec)
	}
	for _, n := range rapid.SliceOfNDistinct(name, 0, 3, rapid.ID).Draw(t, "allocations") {
		if n == "public" {
			continue
		}
		a := command.Allocation{Name: n}
		for range rapid.IntRange(0, 3).Draw(t, "spans") {
			if sp := span(t, &s); apart(sp, append(s.Allocations, a)) {
				a.Spans = append(a.Spans, sp)
			}
		}
		s.Allocations = append(s.Allocations, a)
	}
	s.Line = lineRules(t)
	s.Checkout = checkout(t)
	if holdfast.CurrencyDecimals(s.Currency) == 3 && s.Checkout.Given() {
		chargeable(&s)
	}
	return s
}

// chargeable makes every total of a sale in a currency with three decimals one that card networks charge: the last is 0.
func chargeable(s *command.EventSpec) {
	tenfold := func(minor *int64) { *minor -= *minor % 10 }
	for i := range s.Tiers {
		tenfold(&s.Tiers[i].PriceMinor)
	}
	c := &s.Checkout
	tenfold(&c.FeePerUnitMinor)
	tenfold(&c.FeePerOrderMinor)
	c.FeeBps, c.TaxIncluded = 0, c.TaxIncluded || c.TaxBps != 0
	for i := range c.Promos {
		c.Promos[i].Bps, c.Promos[i].AmountMinor = 0, max(c.Promos[i].AmountMinor-c.Promos[i].AmountMinor%10, 10)
	}
}

func span(t *rapid.T, s *command.EventSpec) command.Span {
	at := rapid.IntRange(0, len(s.Sections)-1).Draw(t, "section")
	sp, size := command.Span{Section: holdfast.SectionIndex(at)}, s.Sections[at].Places
	if rows := s.Sections[at].Rows; len(rows) > 0 {
		sp.Row = uint16(rapid.IntRange(0, len(rows)-1).Draw(t, "row"))
		size = uint32(rows[sp.Row].Seats)
	}
	sp.First = rapid.Uint32Max(size-1).Draw(t, "from")
	sp.Last = rapid.Uint32Range(sp.First, size-1).Draw(t, "to")
	return sp
}

// apart reports whether no unit of sp is set apart already.
func apart(sp command.Span, allocations []command.Allocation) bool {
	for _, a := range allocations {
		for _, other := range a.Spans {
			if sp.Section == other.Section && sp.Row == other.Row && sp.First <= other.Last && other.First <= sp.Last {
				return false
			}
		}
	}
	return true
}

// result draws a result in which any field may be absent.
func result(t *rapid.T) command.Result {
	maybe := func(label string) bool { return rapid.Bool().Draw(t, label) }
	r := command.Result{
		Outcome: rapid.SampledFrom(holdfast.Outcomes()).Draw(t, "outcome"), Repeated: maybe("repeated"),
		Deadline: holdfast.Clock(rapid.Uint64().Draw(t, "deadline")), Attempt: holdfast.Attempt(rapid.Uint32().Draw(t, "attempt")),
		Allowance: rapid.Uint16().Draw(t, "allowance"), RetryAfterMs: rapid.Uint32().Draw(t, "retry after"),
		Event: holdfast.EventID(rapid.Uint32().Draw(t, "event")), Shard: holdfast.ShardID(rapid.Uint32().Draw(t, "shard")),
		Version: rapid.Uint32().Draw(t, "version"), Place: holdfast.PlaceNumber(rapid.Uint32().Draw(t, "place")),
		Position: holdfast.Position(rapid.Uint32().Draw(t, "position")), Served: holdfast.Position(rapid.Uint32().Draw(t, "served")),
		Session:    holdfast.Clock(rapid.Uint64().Draw(t, "session")),
		OrderState: holdfast.OrderState(rapid.Uint8().Draw(t, "order state")), Effect: holdfast.EffectID(rapid.Uint64().Draw(t, "effect")),
	}
	if maybe("has hold") {
		r.Hold = id16(t, "hold")
	}
	if maybe("has amount") {
		r.Amount = money(t)
	}
	if maybe("has seats") {
		r.Seats = seats(t, 0, command.ResultSeatsMax)
	}
	if maybe("has taken") {
		r.Taken = seats(t, 0, command.ResultSeatsMax)
	}
	if maybe("has near") {
		r.Near = seats(t, 0, command.ResultSeatsMax)
	}
	return r
}
