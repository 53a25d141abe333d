package command

import (
	"encoding/binary"

	"github.com/holdfast-db/holdfast"
)

// The commands about payments, orders and effects, with their packed form.

// AttachPayment notes the reference that the provider gave to an attempt's payment, as soon as it is known. A
// reference belongs to one attempt for good.
type AttachPayment struct {
	Header
	Hold    holdfast.HoldID
	Attempt holdfast.Attempt
	Payment string
}

// FailPayment says that the provider said that no money comes of the attempt: it was cancelled there, or failed for
// good. Of an order's payment whose capture is owed it says that the capture failed.
type FailPayment struct {
	Header
	Hold    holdfast.HoldID
	Attempt holdfast.Attempt
	Payment string // empty when the payment was never made
}

// AckEffect says what came of an effect.
//
// A capture or a refund that is done must have moved exactly the effect's amount. A cancelling that failed because
// the money was taken after all says how much: it is a stray then, and its
// reference must be known by now.
type AckEffect struct {
	Header
	Effect  holdfast.EffectID
	Result  holdfast.EffectResult
	Payment string         // the reference, if it was not attached yet; may be empty
	Amount  holdfast.Money // what moved
	Code    string         // of a failure, for people; at most CodeBytesMax
}

// CodeBytesMax bounds a provider's code for a failure.
const CodeBytesMax = 32

// Refund makes a refund owed, of an order or of some of its seats. Repeating it is harmless: a seat is refunded once.
type Refund struct {
	Header
	Order       holdfast.OrderID
	Reason      holdfast.RefundReason
	ReturnSeats bool                 // the seats go back on sale now, and do not wait for the bank
	Seats       []holdfast.SeatIndex // empty: all that are live
}

// StrayMoney reports money at the provider that no order stands on: of an attempt that is over, or of none. What was
// only authorised is cancelled. What was captured buys the same seats again if every check of a hold passes, and is
// refunded otherwise. Each payment is treated once, however often it is reported.
type StrayMoney struct {
	Header
	Hold     holdfast.HoldID
	Attempt  holdfast.Attempt
	Amount   holdfast.Money
	Captured bool
	Mode     holdfast.PaymentMode
	Account  string
	Payment  string
}

// Dispute says what the bank said about an order's payment. An open dispute suspends the ticket and blocks refunds;
// a lost one took the amount back. Seats are never given back by it.
type Dispute struct {
	Header
	State   holdfast.DisputeState
	Amount  holdfast.Money // what is disputed, or was taken back
	Payment string
}

// RetryEffect makes a parked effect owed again, due now.
type RetryEffect struct {
	Header
	Effect holdfast.EffectID
}

// SetIncarnation begins a new life of a restored cluster: whatever is owed is parked, and nothing is held or paid
// until the same incarnation is set again, reconciled.
type SetIncarnation struct {
	Header
	Incarnation holdfast.Incarnation
	Reconciled  bool
}

// PutPerson keeps what is to be known about the person behind a hold or an order, encrypted by who sends it. It goes
// with the hold.
type PutPerson struct {
	Header
	Hold holdfast.HoldID
	Blob []byte // 1 to PersonBytesMax
}

// ForgetPerson drops it.
type ForgetPerson struct {
	Header
	Hold holdfast.HoldID
}

// Append appends the packed command to b.
func (c *AttachPayment) Append(b []byte) []byte {
	c.Kind = KindAttachPayment
	return appendAttempt(b, c.Header, c.Hold, c.Attempt, c.Payment)
}

// Append appends the packed command to b.
func (c *FailPayment) Append(b []byte) []byte {
	c.Kind = KindFailPayment
	return appendAttempt(b, c.Header, c.Hold, c.Attempt, c.Payment)
}

func appendAttempt(b []byte, h Header, hold holdfast.HoldID, attempt holdfast.Attempt, payment string) []byte {
	b, at := begin(b, h)
	b = append(b, hold[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(attempt))
	b = appendString(b, payment)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *AckEffect) Append(b []byte) []byte {
	c.Kind = KindAckEffect
	b, at := begin(b, c.Header)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Effect))
	b = append(b, byte(c.Result))
	b = appendMoney(b, c.Amount)
	b = appendString(b, c.Payment)
	b = appendString(b, c.Code)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *Refund) Append(b []byte) []byte {
	c.Kind = KindRefund
	b, at := begin(b, c.Header)
	b = append(b, c.Order[:]...)
	b = append(b, byte(c.Reason), boolByte(c.ReturnSeats))
	b = appendSeats(b, c.Seats)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *StrayMoney) Append(b []byte) []byte {
	c.Kind = KindStrayMoney
	b, at := begin(b, c.Header)
	b = append(b, c.Hold[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(c.Attempt))
	b = appendMoney(b, c.Amount)
	b = append(b, boolByte(c.Captured), byte(c.Mode))
	b = appendString(b, c.Account)
	b = appendString(b, c.Payment)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *Dispute) Append(b []byte) []byte {
	c.Kind = KindDispute
	b, at := begin(b, c.Header)
	b = append(b, byte(c.State))
	b = appendMoney(b, c.Amount)
	b = appendString(b, c.Payment)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *RetryEffect) Append(b []byte) []byte {
	c.Kind = KindRetryEffect
	b, at := begin(b, c.Header)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Effect))
	return end(b, at)
}

// Append appends the packed command to b.
func (c *SetIncarnation) Append(b []byte) []byte {
	c.Kind = KindSetIncarnation
	b, at := begin(b, c.Header)
	b = binary.LittleEndian.AppendUint32(b, uint32(c.Incarnation))
	b = append(b, boolByte(c.Reconciled))
	return end(b, at)
}

// Append appends the packed command to b.
func (c *PutPerson) Append(b []byte) []byte {
	c.Kind = KindPutPerson
	b, at := begin(b, c.Header)
	b = append(b, c.Hold[:]...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Blob)))
	b = append(b, c.Blob...)
	return end(b, at)
}

// Append appends the packed command to b.
func (c *ForgetPerson) Append(b []byte) []byte {
	c.Kind = KindForgetPerson
	b, at := begin(b, c.Header)
	b = append(b, c.Hold[:]...)
	return end(b, at)
}

// paymentDecoder is the part of a Decoder for these commands.
type paymentDecoder struct {
	attachPayment  AttachPayment
	failPayment    FailPayment
	ackEffect      AckEffect
	refund         Refund
	strayMoney     StrayMoney
	dispute        Dispute
	retryEffect    RetryEffect
	setIncarnation SetIncarnation
	putPerson      PutPerson
	forgetPerson   ForgetPerson

	refundSeats []holdfast.SeatIndex // backs the Seats of the refund decoded last
}

// checkPayment decodes a command of these kinds and drops it.
func (d *Decoder) checkPayment(cmd []byte) (known bool, err error) {
	switch KindOf(cmd) {
	case KindAttachPayment:
		_, err = d.AttachPayment(cmd)
	case KindFailPayment:
		_, err = d.FailPayment(cmd)
	case KindAckEffect:
		_, err = d.AckEffect(cmd)
	case KindRefund:
		_, err = d.Refund(cmd)
	case KindStrayMoney:
		_, err = d.StrayMoney(cmd)
	case KindDispute:
		_, err = d.Dispute(cmd)
	case KindRetryEffect:
		_, err = d.RetryEffect(cmd)
	case KindSetIncarnation:
		_, err = d.SetIncarnation(cmd)
	case KindPutPerson:
		_, err = d.PutPerson(cmd)
	case KindForgetPerson:
		_, err = d.ForgetPerson(cmd)
	default:
		return false, nil
	}
	return true, err
}

// AttachPayment decodes an AttachPayment. Its Payment lies in cmd.
func (d *Decoder) AttachPayment(cmd []byte) (*AttachPayment, error) {
	r, c := open(cmd, KindAttachPayment), &d.attachPayment
	c.Header, c.Hold, c.Attempt, c.Payment = r.header(), r.id16(), r.attempt(), r.view("payment", holdfast.PaymentRefBytesMax)
	if r.err == nil && c.Payment == "" {
		r.fail("payment", "there is nothing to attach")
	}
	return c, r.done()
}

// FailPayment decodes a FailPayment. Its Payment lies in cmd.
func (d *Decoder) FailPayment(cmd []byte) (*FailPayment, error) {
	r, c := open(cmd, KindFailPayment), &d.failPayment
	c.Header, c.Hold, c.Attempt, c.Payment = r.header(), r.id16(), r.attempt(), r.view("payment", holdfast.PaymentRefBytesMax)
	return c, r.done()
}

// AckEffect decodes an AckEffect. Its Payment and Code lie in cmd.
func (d *Decoder) AckEffect(cmd []byte) (*AckEffect, error) {
	r, c := open(cmd, KindAckEffect), &d.ackEffect
	c.Header, c.Effect, c.Result = r.header(), holdfast.EffectID(r.u64()), holdfast.EffectResult(r.u8())
	c.Amount = r.money(c.Amount.Currency)
	c.Payment, c.Code = r.view("payment", holdfast.PaymentRefBytesMax), r.view("code", CodeBytesMax)
	if r.err == nil && (c.Result < holdfast.EffectDone || c.Result > holdfast.EffectRetry) {
		r.fail("result", "result %d", c.Result)
	}
	return c, r.done()
}

// Refund decodes a Refund.
func (d *Decoder) Refund(cmd []byte) (*Refund, error) {
	r, c := open(cmd, KindRefund), &d.refund
	c.Header, c.Order, c.Reason, c.ReturnSeats = r.header(), r.id16(), holdfast.RefundReason(r.u8()), r.bool()
	d.refundSeats = r.seatList(d.refundSeats[:0])
	if c.Seats = nil; len(d.refundSeats) > 0 {
		c.Seats = d.refundSeats
	}
	if r.err == nil && (c.Reason < holdfast.RefundBuyer || c.Reason > holdfast.RefundOrganizer) {
		r.fail("reason", "reason %d", c.Reason)
	}
	return c, r.done()
}

// StrayMoney decodes a StrayMoney. Its Payment and Account lie in cmd.
func (d *Decoder) StrayMoney(cmd []byte) (*StrayMoney, error) {
	r, c := open(cmd, KindStrayMoney), &d.strayMoney
	c.Header, c.Hold, c.Attempt, c.Amount = r.header(), r.id16(), r.attempt(), r.money(c.Amount.Currency)
	c.Captured, c.Mode = r.bool(), holdfast.PaymentMode(r.u8())
	c.Account, c.Payment = r.view("account", holdfast.NameBytesMax), r.view("payment", holdfast.PaymentRefBytesMax)
	switch {
	case r.err != nil:
	case c.Mode > holdfast.ModeLive:
		r.fail("mode", "mode %d", c.Mode)
	case c.Amount.AmountMinor == 0:
		r.fail("amount", "no money at all")
	case c.Payment == "":
		r.fail("payment", "money that no payment brought")
	}
	return c, r.done()
}

// Dispute decodes a Dispute. Its Payment lies in cmd.
func (d *Decoder) Dispute(cmd []byte) (*Dispute, error) {
	r, c := open(cmd, KindDispute), &d.dispute
	c.Header, c.State, c.Amount = r.header(), holdfast.DisputeState(r.u8()), r.money(c.Amount.Currency)
	c.Payment = r.view("payment", holdfast.PaymentRefBytesMax)
	switch {
	case r.err != nil:
	case c.State < holdfast.DisputeOpened || c.State > holdfast.DisputeLost:
		r.fail("state", "state %d", c.State)
	case c.Payment == "":
		r.fail("payment", "a dispute about no payment")
	}
	return c, r.done()
}

// RetryEffect decodes a RetryEffect.
func (d *Decoder) RetryEffect(cmd []byte) (*RetryEffect, error) {
	r, c := open(cmd, KindRetryEffect), &d.retryEffect
	c.Header, c.Effect = r.header(), holdfast.EffectID(r.u64())
	return c, r.done()
}

// SetIncarnation decodes a SetIncarnation.
func (d *Decoder) SetIncarnation(cmd []byte) (*SetIncarnation, error) {
	r, c := open(cmd, KindSetIncarnation), &d.setIncarnation
	c.Header, c.Incarnation, c.Reconciled = r.header(), holdfast.Incarnation(r.u32()), r.bool()
	return c, r.done()
}

// PutPerson decodes a PutPerson. Its Blob lies in cmd.
func (d *Decoder) PutPerson(cmd []byte) (*PutPerson, error) {
	r, c := open(cmd, KindPutPerson), &d.putPerson
	c.Header, c.Hold = r.header(), r.id16()
	n := int(r.u16())
	if r.err == nil && (n == 0 || n > holdfast.PersonBytesMax || n > len(r.b)) {
		r.fail("blob", "%d bytes, 1 to %d", n, holdfast.PersonBytesMax)
	}
	if r.err == nil {
		c.Blob, r.b = r.b[:n:n], r.b[n:]
	}
	return c, r.done()
}

// ForgetPerson decodes a ForgetPerson.
func (d *Decoder) ForgetPerson(cmd []byte) (*ForgetPerson, error) {
	r, c := open(cmd, KindForgetPerson), &d.forgetPerson
	c.Header, c.Hold = r.header(), r.id16()
	return c, r.done()
}

// attempt reads an attempt's number.
func (r *reader) attempt() holdfast.Attempt {
	a := holdfast.Attempt(r.u32())
	if a == 0 {
		r.fail("attempt", "attempts count from 1")
	}
	return a
}
