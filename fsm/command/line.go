package command

import (
	"encoding/binary"

	"github.com/holdfast-db/holdfast"
)

// The commands of the waiting line, and their packed form.

// OpenLine commits to the secret that the line's order will be drawn from, and opens the line at the instant that
// the event's rules name, or at once. The same secret again is the same opening.
type OpenLine struct {
	Header
	Secret holdfast.LineSecret
}

// Enter makes Count places, whose keys are the leaves of a Merkle tree with this root: see package draw. The answer
// has the number of the first; the others follow in the order of the leaves.
type Enter struct {
	Header
	Count uint16 // 1 to EnterPlacesMax
	Root  [32]byte
}

// Draw makes the order of the line, once it is frozen. A line that is frozen by hand and draws from its secret alone
// is frozen by it too.
type Draw struct {
	Header
	Beacon holdfast.BeaconRound // zero: none
}

// Proof shows that a place is the holder's of a key: the path leads from the key's leaf to the root of the Enter
// that made the place.
type Proof struct {
	Number holdfast.PlaceNumber
	Key    holdfast.PlaceKey
	Path   [][32]byte // at most PathMax
}

// Redeem opens the session of a place whose turn it is. While it lives it is answered with OK again.
type Redeem struct {
	Header
	Proof
}

// Admit calls the next Count positions of the line, or as many of them as the event's rules and the seats that are
// left allow. The other numbers are the leader's, kept for whoever leads after it.
type Admit struct {
	Header
	Count             uint32
	Target            uint32         // people without a hold that the leader steers to
	BusyPermille      uint16         // how busy the commit path is
	ProviderPerMinute uint32         // payments that the provider takes; 0: not known
	Bound             holdfast.Bound // what made it so many
}

// LineChange says what SetLine changes.
type LineChange uint8

// The changes.
const (
	LinePause   LineChange = 1 // nobody is called, and no session opens
	LineResume  LineChange = 2
	LineCeiling LineChange = 3 // Value sessions at a time; 0: what the event's rules say
	LineRate    LineChange = 4 // at most Value are called in a second; 0: what the event's rules say
	LineFreeze  LineChange = 5 // the cut-off of a line that is frozen by hand
	LineClose   LineChange = 6 // for good
)

// SetLine changes how the line runs.
type SetLine struct {
	Header
	Change LineChange
	Value  uint32 // of LineCeiling and LineRate
}

// LeaveLine gives a place up, and ends its session.
type LeaveLine struct {
	Header
	Proof
}

// JoinReturns puts a place on the list of those to whom seats that come back are offered: Count units of the public
// allocation side by side, in a section or tier if one is named. A place that is on the list changes its want and
// keeps its rank.
type JoinReturns struct {
	Header
	Proof
	Section holdfast.SectionIndex // AnySection: any
	Tier    holdfast.TierIndex    // AnyTier: any
	Count   uint8                 // 1 to UnitsPerHoldMax
}

// LeaveReturns takes a buyer off that list.
type LeaveReturns struct {
	Header
	Buyer holdfast.BuyerID
}

// Append appends the packed command to b.
func (c *OpenLine) Append(b []byte) []byte {
	c.Kind = KindOpenLine
	b, at := begin(b, c.Header)
	b = append(b, c.Secret[:]...)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *Enter) Append(b []byte) []byte {
	c.Kind = KindEnter
	b, at := begin(b, c.Header)
	b = binary.LittleEndian.AppendUint16(b, c.Count)
	b = append(b, c.Root[:]...)
	return end(b, at)
}

// Append appends the packed command to b. Without a round it has no body.
func (c *Draw) Append(b []byte) []byte {
	c.Kind = KindDraw
	b, at := begin(b, c.Header)
	if !c.Beacon.IsZero() {
		b = binary.LittleEndian.AppendUint64(b, c.Beacon.Round)
		b = append(b, c.Beacon.Previous[:]...)
		b = append(b, c.Beacon.Signature[:]...)
	}
	return end(b, at)
}

// Append appends the packed command to b.
func (c *Redeem) Append(b []byte) []byte {
	c.Kind = KindRedeem
	b, at := begin(b, c.Header)
	return end(appendProof(b, &c.Proof), at)
}

// Append appends the packed command to b.
func (c *Admit) Append(b []byte) []byte {
	c.Kind = KindAdmit
	b, at := begin(b, c.Header)
	b = binary.LittleEndian.AppendUint32(b, c.Count)
	b = binary.LittleEndian.AppendUint32(b, c.Target)
	b = binary.LittleEndian.AppendUint16(b, c.BusyPermille)
	b = binary.LittleEndian.AppendUint32(b, c.ProviderPerMinute)
	b = append(b, byte(c.Bound))
	return end(b, at)
}

// Append appends the packed command to b.
func (c *SetLine) Append(b []byte) []byte {
	c.Kind = KindSetLine
	b, at := begin(b, c.Header)
	b = append(b, byte(c.Change))
	b = binary.LittleEndian.AppendUint32(b, c.Value)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *LeaveLine) Append(b []byte) []byte {
	c.Kind = KindLeaveLine
	b, at := begin(b, c.Header)
	return end(appendProof(b, &c.Proof), at)
}

// Append appends the packed command to b.
func (c *JoinReturns) Append(b []byte) []byte {
	c.Kind = KindJoinReturns
	b, at := begin(b, c.Header)
	b = appendProof(b, &c.Proof)
	b = binary.LittleEndian.AppendUint16(b, uint16(c.Section))
	b = append(b, byte(c.Tier), c.Count)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *LeaveReturns) Append(b []byte) []byte {
	c.Kind = KindLeaveReturns
	b, at := begin(b, c.Header)
	b = append(b, c.Buyer[:]...)
	return end(b, at)
}

func appendProof(b []byte, p *Proof) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(p.Number))
	b = append(b, p.Key[:]...)
	b = append(b, byte(len(p.Path)))
	for i := range p.Path {
		b = append(b, p.Path[i][:]...)
	}
	return b
}

// lineCommands are the structs that a Decoder decodes the commands of the line into.
type lineCommands struct {
	open         OpenLine
	enter        Enter
	draw         Draw
	redeem       Redeem
	admit        Admit
	set          SetLine
	leave        LeaveLine
	joinReturns  JoinReturns
	leaveReturns LeaveReturns
}

// checkLine is Check for the commands of the line.
func (d *Decoder) checkLine(cmd []byte) (err error) {
	switch k := KindOf(cmd); k {
	case KindOpenLine:
		_, err = d.OpenLine(cmd)
	case KindEnter:
		_, err = d.Enter(cmd)
	case KindDraw:
		_, err = d.Draw(cmd)
	case KindRedeem:
		_, err = d.Redeem(cmd)
	case KindAdmit:
		_, err = d.Admit(cmd)
	case KindSetLine:
		_, err = d.SetLine(cmd)
	case KindLeaveLine:
		_, err = d.LeaveLine(cmd)
	case KindJoinReturns:
		_, err = d.JoinReturns(cmd)
	case KindLeaveReturns:
		_, err = d.LeaveReturns(cmd)
	default:
		err = malformed("kind", "%s is not known to this version", k)
	}
	return err
}

// OpenLine decodes an OpenLine.
func (d *Decoder) OpenLine(cmd []byte) (*OpenLine, error) {
	r, c := open(cmd, KindOpenLine), &d.line.open
	c.Header = r.header()
	c.Secret = r.id32()
	if r.err == nil && c.Secret == (holdfast.LineSecret{}) {
		r.fail("secret", "it is all zeros")
	}
	return c, r.done()
}

// Enter decodes an Enter.
func (d *Decoder) Enter(cmd []byte) (*Enter, error) {
	r, c := open(cmd, KindEnter), &d.line.enter
	c.Header = r.header()
	c.Count = r.u16()
	c.Root = r.id32()
	if r.err == nil && (c.Count == 0 || c.Count > holdfast.EnterPlacesMax) {
		r.fail("count", "%d places, 1 to %d", c.Count, holdfast.EnterPlacesMax)
	}
	return c, r.done()
}

// Draw decodes a Draw.
func (d *Decoder) Draw(cmd []byte) (*Draw, error) {
	r, c := open(cmd, KindDraw), &d.line.draw
	c.Header, c.Beacon = r.header(), holdfast.BeaconRound{}
	if r.err == nil && len(r.b) > 0 {
		c.Beacon.Round = r.u64()
		c.Beacon.Previous = [64]byte(r.take(64))
		c.Beacon.Signature = [64]byte(r.take(64))
		if r.err == nil && c.Beacon.Round == 0 {
			r.fail("round", "rounds count from 1")
		}
	}
	return c, r.done()
}

// Redeem decodes a Redeem.
func (d *Decoder) Redeem(cmd []byte) (*Redeem, error) {
	r, c := open(cmd, KindRedeem), &d.line.redeem
	c.Header = r.header()
	r.proof(&c.Proof)
	return c, r.done()
}

// Admit decodes an Admit.
func (d *Decoder) Admit(cmd []byte) (*Admit, error) {
	r, c := open(cmd, KindAdmit), &d.line.admit
	c.Header = r.header()
	c.Count, c.Target, c.BusyPermille, c.ProviderPerMinute = r.u32(), r.u32(), r.u16(), r.u32()
	c.Bound = holdfast.Bound(r.u8())
	if r.err == nil && c.Bound >= holdfast.Bounds {
		r.fail("bound", "there is no bound %d", c.Bound)
	}
	return c, r.done()
}

// SetLine decodes a SetLine.
func (d *Decoder) SetLine(cmd []byte) (*SetLine, error) {
	r, c := open(cmd, KindSetLine), &d.line.set
	c.Header = r.header()
	c.Change, c.Value = LineChange(r.u8()), r.u32()
	switch {
	case r.err != nil:
	case c.Change < LinePause || c.Change > LineClose:
		r.fail("change", "there is no change %d", c.Change)
	case c.Value != 0 && c.Change != LineCeiling && c.Change != LineRate:
		r.fail("value", "%d, where nothing has a number", c.Value)
	}
	return c, r.done()
}

// LeaveLine decodes a LeaveLine.
func (d *Decoder) LeaveLine(cmd []byte) (*LeaveLine, error) {
	r, c := open(cmd, KindLeaveLine), &d.line.leave
	c.Header = r.header()
	r.proof(&c.Proof)
	return c, r.done()
}

// JoinReturns decodes a JoinReturns.
func (d *Decoder) JoinReturns(cmd []byte) (*JoinReturns, error) {
	r, c := open(cmd, KindJoinReturns), &d.line.joinReturns
	c.Header = r.header()
	r.proof(&c.Proof)
	c.Section, c.Tier, c.Count = holdfast.SectionIndex(r.u16()), holdfast.TierIndex(r.u8()), r.u8()
	if r.err == nil && (c.Count == 0 || c.Count > holdfast.UnitsPerHoldMax) {
		r.fail("count", "%d units, 1 to %d", c.Count, holdfast.UnitsPerHoldMax)
	}
	return c, r.done()
}

// LeaveReturns decodes a LeaveReturns.
func (d *Decoder) LeaveReturns(cmd []byte) (*LeaveReturns, error) {
	r, c := open(cmd, KindLeaveReturns), &d.line.leaveReturns
	c.Header = r.header()
	c.Buyer = r.id16()
	return c, r.done()
}

func (r *reader) id32() [32]byte { return [32]byte(r.take(32)) }

func (r *reader) proof(p *Proof) {
	p.Number, p.Key, p.Path = holdfast.PlaceNumber(r.u32()), r.id32(), p.Path[:0]
	if p.Path == nil {
		p.Path = [][32]byte{} // as it is when the decoder is used again
	}
	n := int(r.u8())
	if r.err == nil && n > holdfast.PathMax {
		r.fail("path", "%d hashes, at most %d", n, holdfast.PathMax)
	}
	for range n {
		if r.err != nil {
			return
		}
		p.Path = append(p.Path, r.id32())
	}
}
