package command

import (
	"encoding/binary"

	"github.com/holdfast-db/holdfast"
)

// The rules of an event's line, a block of its description. A description is followed by its blocks, each
//
//	tag uint8 | length uint16 | body
//
// in the order of their tags. A block that says nothing is not there: so a description without blocks is what it was
// before there were any.
const (
	tagLine     uint8 = 1
	tagCheckout uint8 = 2
)

// LineRules are the rules of an event's waiting line. The zero value is an event without one, which asks nobody for a
// session. A zero means the default that stands beside it.
type LineRules struct {
	Enabled bool
	// OpensMs, DrawMs and SaleMs are when people may join, when those who did are fixed for the draw, and when the sale
	// opens: by the shard's wall clock, in Unix milliseconds. 0: by hand; for OpensMs with OpenLine.
	OpensMs, DrawMs, SaleMs int64

	CeilingMax uint32 // sessions at a time; 2,000
	RateMax    uint32 // how many are called in a second at most; 0: no limit
	SessionMs  uint32 // how long a session lasts at most; 900,000
	IdleMs     uint32 // how long without a sign of life; 240,000
	CallMs     uint32 // how long a turn waits for its visitor; 120,000
	OfferMs    uint32 // how long seats that came back are held for somebody of the list; 600,000

	Who       Identity
	Challenge Challenge
	WorkBits  uint8 // ChallengeWork: leading zero bits that the proof must have

	Beacon     holdfast.Beacon
	FallbackMs uint32 // after how long a beacon's round that is missing is done without; 600,000
}

// Identity says what a place in the line belongs to.
type Identity uint8

// The identities.
const (
	Anonymous   Identity = 0 // a browser
	ByLink      Identity = 1 // a mail address that a link was sent to
	ByAccount   Identity = 2 // an account of an OIDC provider
	ByAssertion Identity = 3 // whoever the shop that embeds us vouches for
)

// Challenge says what somebody must do before a place is given.
type Challenge uint8

// The challenges.
const (
	ChallengeNone    Challenge = 0
	ChallengeWork    Challenge = 1 // a proof of work
	ChallengeCaptcha Challenge = 2
)

// Defaults and limits of LineRules.
const (
	CeilingDefault    = 2_000
	SessionMsDefault  = 900_000
	IdleMsDefault     = 240_000
	CallMsDefault     = 120_000
	OfferMsDefault    = 600_000
	FallbackMsDefault = 600_000

	WorkBitsMax = 32
	CeilingMax  = 1 << 20
	RateMax     = 1 << 20

	// InstantMsMax bounds instants: the year 9999.
	InstantMsMax = 253_402_300_799_999
	// RoundMax and PeriodMsMin keep a beacon's arithmetic in its bounds.
	RoundMax    = 1 << 32
	PeriodMsMin = 100
)

// WithDefaults gives the rules with every default filled in.
func (l LineRules) WithDefaults() LineRules {
	if !l.Enabled {
		return LineRules{}
	}
	for _, d := range []struct {
		v        *uint32
		fallback uint32
	}{
		{&l.CeilingMax, CeilingDefault}, {&l.SessionMs, SessionMsDefault}, {&l.IdleMs, IdleMsDefault}, {&l.CallMs, CallMsDefault},
		{&l.OfferMs, OfferMsDefault}, {&l.FallbackMs, FallbackMsDefault},
	} {
		if *d.v == 0 {
			*d.v = d.fallback
		}
	}
	return l
}

func (l *LineRules) validate() error {
	if !l.Enabled {
		if *l != (LineRules{}) {
			return invalid("line", "there is no line, and it has rules")
		}
		return nil
	}
	last := int64(0)
	for _, t := range []struct {
		field string
		ms    int64
	}{{"line.opens", l.OpensMs}, {"line.draw", l.DrawMs}, {"line.sale", l.SaleMs}} {
		switch {
		case t.ms < 0 || t.ms > InstantMsMax:
			return invalid(t.field, "%d is not an instant in Unix milliseconds", t.ms)
		case t.ms != 0 && t.ms < last:
			return invalid(t.field, "it comes before what it follows")
		}
		last = max(last, t.ms)
	}
	for _, d := range []struct {
		field string
		v     uint32
		max   uint32
	}{
		{"line.session", l.SessionMs, TimeMsMax}, {"line.idle", l.IdleMs, TimeMsMax}, {"line.call", l.CallMs, TimeMsMax},
		{"line.offer", l.OfferMs, TimeMsMax}, {"line.fallback", l.FallbackMs, TimeMsMax},
		{"line.ceiling", l.CeilingMax, CeilingMax}, {"line.rate", l.RateMax, RateMax},
		{"line.who", uint32(l.Who), uint32(ByAssertion)}, {"line.challenge", uint32(l.Challenge), uint32(ChallengeCaptcha)},
		{"line.work_bits", uint32(l.WorkBits), WorkBitsMax},
	} {
		if d.v > d.max {
			return invalid(d.field, "%d, at most %d", d.v, d.max)
		}
	}
	if (l.WorkBits != 0) != (l.Challenge == ChallengeWork) {
		return invalid("line.work_bits", "%d bits of work with challenge %d", l.WorkBits, l.Challenge)
	}
	return l.validateBeacon()
}

func (l *LineRules) validateBeacon() error {
	b := &l.Beacon
	switch b.Kind {
	case holdfast.BeaconNone:
		if *b != (holdfast.Beacon{}) || l.FallbackMs != 0 {
			return invalid("line.beacon", "there is no beacon, and it has a key, times, or something to fall back from")
		}
		return nil
	case holdfast.BeaconChain:
	default:
		return invalid("line.beacon", "there is no beacon of kind %d", b.Kind)
	}
	switch {
	case b.PublicKey == [32]byte{}:
		return invalid("line.beacon.key", "a chain needs its public key")
	case b.GenesisMs <= 0 || b.GenesisMs > InstantMsMax:
		return invalid("line.beacon.genesis", "%d is not an instant in Unix milliseconds", b.GenesisMs)
	case b.PeriodMs < PeriodMsMin || b.PeriodMs > TimeMsMax:
		return invalid("line.beacon.period", "%d ms, %d to a day", b.PeriodMs, PeriodMsMin)
	case b.Round > RoundMax:
		return invalid("line.beacon.round", "%d, at most %d", b.Round, uint64(RoundMax))
	case b.Round != 0 && b.RoundTimeMs(b.Round) <= l.DrawMs:
		return invalid("line.beacon.round", "round %d comes before the cut-off: somebody could know it", b.Round)
	}
	return nil
}

// SameDraw reports whether two rules agree on everything that the opening of a line commits to: when it is frozen,
// what it is drawn from, and who takes part. These cannot change once it was opened.
func (l *LineRules) SameDraw(other *LineRules) bool {
	return l.Enabled == other.Enabled && l.OpensMs == other.OpensMs && l.DrawMs == other.DrawMs && l.Beacon == other.Beacon &&
		l.FallbackMs == other.FallbackMs && l.Who == other.Who
}

func (l *LineRules) bodyBytes() int {
	const fixed = 3*8 + 7*4 + 3 + 1
	if l.Beacon.Kind == holdfast.BeaconNone {
		return fixed
	}
	return fixed + 32 + 8 + 4 + 8
}

// appendBlocks appends the blocks of a description.
func (s *EventSpec) appendBlocks(b []byte) []byte {
	if l := &s.Line; l.Enabled {
		b = append(b, tagLine)
		b = binary.LittleEndian.AppendUint16(b, uint16(l.bodyBytes()))
		b = l.append(b)
	}
	return s.Checkout.appendBlock(b)
}

// blocksBytes gives the length of what appendBlocks appends.
func (s *EventSpec) blocksBytes() (n int) {
	if s.Line.Enabled {
		n += 3 + s.Line.bodyBytes()
	}
	return n + s.Checkout.blockBytes()
}

func (l *LineRules) append(b []byte) []byte {
	for _, v := range []int64{l.OpensMs, l.DrawMs, l.SaleMs} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	for _, v := range []uint32{l.CeilingMax, l.RateMax, l.SessionMs, l.IdleMs, l.CallMs, l.OfferMs, l.FallbackMs} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = append(b, byte(l.Who), byte(l.Challenge), l.WorkBits, byte(l.Beacon.Kind))
	if l.Beacon.Kind != holdfast.BeaconNone {
		b = append(b, l.Beacon.PublicKey[:]...)
		b = binary.LittleEndian.AppendUint64(b, uint64(l.Beacon.GenesisMs))
		b = binary.LittleEndian.AppendUint32(b, l.Beacon.PeriodMs)
		b = binary.LittleEndian.AppendUint64(b, l.Beacon.Round)
	}
	return b
}

// blocks reads the blocks of a description, which is the last thing in whatever it stands in.
func (r *reader) blocks(s *EventSpec) {
	last := uint8(0)
	for r.err == nil && len(r.b) > 0 {
		tag, n := r.u8(), int(r.u16())
		if tag <= last || n > len(r.b) {
			r.fail("body", "a block with tag %d of %d bytes after tag %d", tag, n, last)
			return
		}
		last = tag
		body := reader{b: r.b[:n:n]}
		r.b = r.b[n:]
		switch tag {
		case tagLine:
			body.line(&s.Line)
		case tagCheckout:
			s.Checkout = body.checkout()
		default:
			body.fail("body", "a block with tag %d is not known to this version", tag)
		}
		if err := body.done(); err != nil && r.err == nil {
			r.err = err
		}
	}
}

func (r *reader) line(l *LineRules) {
	*l = LineRules{Enabled: true,
		OpensMs: int64(r.u64()), DrawMs: int64(r.u64()), SaleMs: int64(r.u64()),
		CeilingMax: r.u32(), RateMax: r.u32(), SessionMs: r.u32(), IdleMs: r.u32(), CallMs: r.u32(), OfferMs: r.u32(), FallbackMs: r.u32(),
		Who: Identity(r.u8()), Challenge: Challenge(r.u8()), WorkBits: r.u8(),
	}
	if l.Beacon.Kind = holdfast.BeaconKind(r.u8()); l.Beacon.Kind != holdfast.BeaconNone {
		l.Beacon.PublicKey = r.id32()
		l.Beacon.GenesisMs, l.Beacon.PeriodMs, l.Beacon.Round = int64(r.u64()), r.u32(), r.u64()
	}
}
