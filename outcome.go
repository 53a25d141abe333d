package holdfast

import "strconv"

// Outcome is what a shard decided about a command. It is part of the replicated result, never a failure of the
// system (for those see Error). The numbers are in logs, snapshots and on the wire: they are only ever appended.
//
// Refusals are listed in order of precedence: a command to which several apply gets the first.
//
// A refusal implements error, so that callers of the client library write errors.Is(err, holdfast.SeatSold).
type Outcome uint8

// The outcomes.
const (
	// OK: the command took effect.
	OK Outcome = 1

	// CommandExpired: the command arrived after its validity. It had no effect this time, and never will again. What came of it when
	// it was sent before, if it was, is not remembered any more: look at what it would have made.
	CommandExpired Outcome = 2
	// CommandTooFar: the command's validity reaches further than ValidityMax past the hold clock. Nothing is
	// remembered: take the clock from this answer and make a new id.
	CommandTooFar Outcome = 3
	// CommandReused: the id was used for a command with other contents, which had the effect; this one had none.
	CommandReused Outcome = 4
	// CommandUnremembered: the memory for outcomes is full, so the command was not executed.
	CommandUnremembered Outcome = 5

	// EventUnknown: this shard has no such event.
	EventUnknown Outcome = 10
	// EventNotOpen: the event is not on sale yet.
	EventNotOpen Outcome = 11
	// EventPaused: the event's sale is paused; nothing new can be held for now.
	EventPaused Outcome = 12
	// EventClosed: the event's sale is over.
	EventClosed Outcome = 13
	// EventChanged: the event is at another revision of its description than the command expected.
	EventChanged Outcome = 14
	// EventConflict: the new description would take away units that exist, or change what cannot change.
	EventConflict Outcome = 15
	// EventsFull: no room for another event, in its shard or in the directory.
	EventsFull Outcome = 16
	// KeysFull: no room for another frontend's key until one expires.
	KeysFull Outcome = 130

	// LineNotOpen: the event has no line, or its time has not come. The answer says when to come again, if that is known.
	LineNotOpen Outcome = 70
	// LineEnded: the line is closed for good.
	LineEnded Outcome = 71
	// LineConflict: the line is in a state in which this cannot be done: it is open already, or drawn, or its cut-off
	// has not come.
	LineConflict Outcome = 72
	// LineNotDrawn: the line has no order yet, so nobody has been called.
	LineNotDrawn Outcome = 73
	// LinePaused: the line is paused; places stay as they are.
	LinePaused Outcome = 74
	// LineFull: the line has no room for more arrivals.
	LineFull Outcome = 75
	// BeaconAwaited: the draw needs a round of the beacon that the command does not carry, and it is too early to do without.
	BeaconAwaited Outcome = 76
	// BeaconInvalid: what the command carries is not the beacon's round that was committed to.
	BeaconInvalid Outcome = 77
	// PlaceUnproven: number, key and path are not those of a place in this line.
	PlaceUnproven Outcome = 78
	// PlaceSpent: the place has had its turn: its visitor has bought, or left.
	PlaceSpent Outcome = 79
	// TurnAwaited: the place has not been called. The answer tells its position and how far the line has come.
	TurnAwaited Outcome = 80
	// TurnMissed: the place was called and its visitor came too late. The answer tells the new position.
	TurnMissed Outcome = 81
	// SessionsFull: as many visitors as may be have a session; the turn stays.
	SessionsFull Outcome = 82
	// SessionRequired: the event has a line, and the buyer no session.
	SessionRequired Outcome = 83

	// WantInvalid: the command names a seat, section, tier or allocation that the event does not have, names a
	// seat twice, or wants nothing.
	WantInvalid Outcome = 20
	// HoldTooLarge: more units than one hold of this event may have.
	HoldTooLarge Outcome = 21
	// HoldUnknown: there is no such hold: it never was, was released, or lapsed so long ago that it is forgotten.
	HoldUnknown Outcome = 22
	// HoldLapsed: the hold's deadline passed before the command, and its seats went back.
	HoldLapsed Outcome = 23
	// HoldReleased: the hold was released before the command.
	HoldReleased Outcome = 24
	// HoldNotYours: the hold belongs to another buyer.
	HoldNotYours Outcome = 25
	// HoldInPayment: the command needs a hold that is not in payment, and this one is.
	HoldInPayment Outcome = 26
	// HoldAlreadySold: the hold has become an order.
	HoldAlreadySold Outcome = 27
	// HoldNotExtendable: the hold was extended before, and may be once.
	HoldNotExtendable Outcome = 28

	// BuyerHasHold: the buyer has an open hold for this event already. The answer names it.
	BuyerHasHold Outcome = 30
	// BuyerCoolingDown: a hold of this buyer lapsed a moment ago. The answer says when to come again.
	BuyerCoolingDown Outcome = 31
	// BuyerOverLimit: with these the buyer would have more units than one buyer may. The answer says how many are left.
	BuyerOverLimit Outcome = 32

	// ReturnsNotYet: seats that fit the want are free: wait for your turn in the line instead.
	ReturnsNotYet Outcome = 84
	// ReturnsFull: the waiting list for seats that come back is full.
	ReturnsFull Outcome = 85

	// SeatNotForYou: a wanted seat is in another allocation, or blocked.
	SeatNotForYou Outcome = 40
	// SeatSold: a wanted seat is sold.
	SeatSold Outcome = 41
	// SeatInPayment: a wanted seat is being paid for by somebody else; it may return.
	SeatInPayment Outcome = 42
	// SeatHeld: a wanted seat is held by somebody else; it may return.
	SeatHeld Outcome = 43
	// NotEnough: no seats left that fit the want; some that would are held or in payment, and may return.
	NotEnough Outcome = 44
	// SoldOut: no seats left that fit the want, and none can return by themselves.
	SoldOut Outcome = 45
	// SeatOrphaned: the choice would leave a single free seat between taken ones, and need not.
	SeatOrphaned Outcome = 46

	// AttemptStale: the attempt is not the hold's current one, or none has begun.
	AttemptStale Outcome = 50
	// AmountMismatch: the amount or currency is not what was frozen.
	AmountMismatch Outcome = 51
	// PaymentReused: the payment reference is attached to another order.
	PaymentReused Outcome = 52
	// PaymentRequired: the hold costs something and the command carries no payment for it.
	PaymentRequired Outcome = 53

	// PaymentsPaused: the shard was restored, and what it owed before is not reconciled yet: no payment may begin.
	PaymentsPaused Outcome = 90
	// AttemptOver: this attempt to pay was condemned, or failed; it never sells.
	AttemptOver Outcome = 91
	// AttemptsExhausted: as many attempts to pay for one hold as may be.
	AttemptsExhausted Outcome = 92
	// AmountTooSmall: the total is below what the provider takes.
	AmountTooSmall Outcome = 93
	// PromoUnknown: the event has no such promotion code.
	PromoUnknown Outcome = 94
	// PromoUsedUp: the promotion code was used as often as may be.
	PromoUsedUp Outcome = 95
	// PaymentForeign: the payment is of another mode, live or test, or of another account than the event's.
	PaymentForeign Outcome = 96
	// PaymentUnknown: the shard knows no such payment.
	PaymentUnknown Outcome = 97
	// PaymentCurrent: the payment is the hold's current attempt, or the one that its order stands on: nothing is stray.
	PaymentCurrent Outcome = 98
	// InvoiceRefused: the event does not sell by invoice.
	InvoiceRefused Outcome = 99
	// OrderUnknown: there is no such order.
	OrderUnknown Outcome = 100
	// OrderNotPaid: there is no money of this order that could be given back.
	OrderNotPaid Outcome = 101
	// OrderDisputed: the payment is disputed; nothing is refunded until that ends.
	OrderDisputed Outcome = 102
	// SeatNotInOrder: a seat is not a live one of the order.
	SeatNotInOrder Outcome = 103
	// EffectUnknown: there is no such effect: it is done, or another took its place.
	EffectUnknown Outcome = 104
	// IncarnationStale: the shard is at a later incarnation.
	IncarnationStale Outcome = 105

	// SeatTaken: a seat that is to be blocked, or unblocked, is held, in payment or sold. The answer names it.
	SeatTaken Outcome = 60
)

// Outcomes lists every outcome once, in order of precedence.
func Outcomes() []Outcome {
	return []Outcome{OK,
		CommandExpired, CommandTooFar, CommandReused, CommandUnremembered,
		EventUnknown, EventNotOpen, EventPaused, EventClosed, EventChanged, EventConflict, EventsFull, KeysFull,
		LineNotOpen, LineEnded, LineConflict, LineNotDrawn, LineFull, BeaconAwaited, BeaconInvalid,
		PlaceUnproven, PlaceSpent, TurnAwaited, TurnMissed, LinePaused, SessionsFull, SessionRequired,
		WantInvalid, HoldTooLarge, HoldUnknown, HoldLapsed, HoldReleased, HoldNotYours, HoldInPayment, HoldAlreadySold, HoldNotExtendable,
		BuyerHasHold, BuyerCoolingDown, BuyerOverLimit, ReturnsNotYet, ReturnsFull,
		SeatNotForYou, SeatSold, SeatInPayment, SeatHeld, NotEnough, SoldOut, SeatOrphaned,
		AttemptStale, AmountMismatch, PaymentReused, PaymentRequired,
		PaymentsPaused, AttemptOver, AttemptsExhausted, AmountTooSmall, PromoUnknown, PromoUsedUp, PaymentForeign, PaymentUnknown,
		PaymentCurrent, InvoiceRefused, OrderUnknown, OrderNotPaid, OrderDisputed, SeatNotInOrder, EffectUnknown, IncarnationStale,
		SeatTaken,
	}
}

type outcomeText struct{ name, message string }

var outcomeTexts = map[Outcome]outcomeText{
	OK:                  {"ok", "done"},
	CommandExpired:      {"command_expired", "the command came after its validity; it had no effect now and never will: make a new one, and if this one was sent before, look first what came of it"},
	CommandTooFar:       {"command_too_far", "the command's validity reaches too far into the future; it had no effect: make a new one with the clock of this answer"},
	CommandReused:       {"command_reused", "the command id was used before with other contents; this command had no effect: make a new id"},
	CommandUnremembered: {"command_unremembered", "the shard cannot remember more outcomes now; nothing was taken: try again in a moment"},
	EventUnknown:        {"event_unknown", "there is no such event on this shard"},
	EventNotOpen:        {"event_not_open", "the event is not on sale yet; nothing was taken"},
	EventPaused:         {"event_paused", "the sale is paused; nothing was taken: try again when it goes on"},
	EventClosed:         {"event_closed", "the sale is over"},
	EventChanged:        {"event_changed", "the event was changed by somebody else; nothing was changed: read it again and apply your change to that"},
	EventConflict:       {"event_conflict", "the new description takes away or moves units that exist; nothing was changed"},
	EventsFull:          {"events_full", "there is no room for another event; nothing was changed"},
	KeysFull:            {"keys_full", "there are as many frontends' keys as may be; yours is not known to the others: take one back, or wait until one expires"},
	WantInvalid:         {"want_invalid", "the event has no such seat, section, tier or allocation, or the same seat was named twice; nothing was taken"},
	HoldTooLarge:        {"hold_too_large", "more seats than one hold of this event may have; nothing was taken: ask for fewer"},
	HoldUnknown:         {"hold_unknown", "there is no such hold"},
	HoldLapsed:          {"hold_lapsed", "the hold's time was over, and its seats went back; nothing was charged"},
	HoldReleased:        {"hold_released", "the hold was released, and its seats went back"},
	HoldNotYours:        {"hold_not_yours", "the hold belongs to another buyer"},
	HoldInPayment:       {"hold_in_payment", "the hold is in payment and cannot be changed until that ends"},
	HoldAlreadySold:     {"hold_already_sold", "the hold has become an order"},
	HoldNotExtendable:   {"hold_not_extendable", "the hold was extended once already; its deadline stands"},
	BuyerHasHold:        {"buyer_has_hold", "you have an open hold for this event; release it, pay it, or swap its seats"},
	BuyerCoolingDown:    {"buyer_cooling_down", "a hold of yours lapsed a moment ago; try again when the answer says"},
	BuyerOverLimit:      {"buyer_over_limit", "more seats than one buyer may have of this event; nothing was taken"},
	SeatNotForYou:       {"seat_not_for_you", "a wanted seat is not offered to you; nothing was taken"},
	SeatSold:            {"seat_sold", "a wanted seat is sold; nothing was taken"},
	SeatInPayment:       {"seat_in_payment", "a wanted seat is being paid for by somebody else and may return; nothing was taken"},
	SeatHeld:            {"seat_held", "a wanted seat is held by somebody else and may return; nothing was taken"},
	NotEnough:           {"not_enough", "nothing that fits is free now, but some may return; nothing was taken"},
	SoldOut:             {"sold_out", "nothing that fits is left; nothing was taken"},
	SeatOrphaned:        {"seat_orphaned", "the choice would leave a single seat alone; nothing was taken: take the alternative or choose others"},
	AttemptStale:        {"attempt_stale", "this attempt to pay is not the current one; nothing was sold by it"},
	AmountMismatch:      {"amount_mismatch", "amount or currency are not what was frozen for the hold; nothing was sold"},
	PaymentReused:       {"payment_reused", "the payment belongs to another order; nothing was sold by it"},
	PaymentRequired:     {"payment_required", "the hold costs something and no payment was begun; nothing was sold"},
	LineNotOpen:         {"line_not_open", "the event has no waiting line that is open now"},
	LineEnded:           {"line_ended", "the waiting line is closed for good"},
	LineConflict:        {"line_conflict", "the line is not in a state in which this can be done; nothing was changed"},
	LineNotDrawn:        {"line_not_drawn", "the order of the line is not drawn yet; your place stays: come again when it is"},
	LinePaused:          {"line_paused", "the line is paused; your place stays: come again when it goes on"},
	LineFull:            {"line_full", "the line takes no more arrivals; you have no place: try again in a while"},
	BeaconAwaited:       {"beacon_awaited", "the public randomness that the draw waits for is not there yet; nothing was drawn"},
	BeaconInvalid:       {"beacon_invalid", "this is not the randomness that the draw waits for; nothing was drawn"},
	PlaceUnproven:       {"place_unproven", "the line knows no such place; nothing was changed"},
	PlaceSpent:          {"place_spent", "this place has had its turn: you have bought, or left the line"},
	TurnAwaited:         {"turn_awaited", "it is not your turn yet; your place stays"},
	TurnMissed:          {"turn_missed", "your turn came and went; you stand a little behind now, and will be called again"},
	SessionsFull:        {"sessions_full", "as many people as may be are choosing seats; your turn stays: try again in a moment"},
	SessionRequired:     {"session_required", "the event has a waiting line; nothing was taken: wait for your turn"},
	ReturnsNotYet:       {"returns_not_yet", "seats that fit are free: wait for your turn in the line"},
	ReturnsFull:         {"returns_full", "the list for seats that come back is full; you are not on it"},
	PaymentsPaused:      {"payments_paused", "payments are paused until the books are reconciled after a restore; nothing was charged: try again later"},
	AttemptOver:         {"attempt_over", "this attempt to pay is over; nothing was sold by it, and what it took goes back"},
	AttemptsExhausted:   {"attempts_exhausted", "too many attempts to pay for this hold; nothing was charged"},
	AmountTooSmall:      {"amount_too_small", "the total is less than the payment provider takes; nothing was charged"},
	PromoUnknown:        {"promo_unknown", "there is no such promotion code for this event; nothing was charged"},
	PromoUsedUp:         {"promo_used_up", "the promotion code was used as often as it may be; nothing was charged"},
	PaymentForeign:      {"payment_foreign", "the payment is of another account, or live where the event is a test or the other way round; nothing was sold by it"},
	PaymentUnknown:      {"payment_unknown", "there is no such payment here"},
	PaymentCurrent:      {"payment_current", "the payment is not stray: its hold or order stands on it; nothing was changed"},
	InvoiceRefused:      {"invoice_refused", "the event does not sell by invoice; nothing was sold"},
	OrderUnknown:        {"order_unknown", "there is no such order"},
	OrderNotPaid:        {"order_not_paid", "no money of this order is here that could be given back; nothing was refunded"},
	OrderDisputed:       {"order_disputed", "the payment is disputed at the bank; nothing is refunded until that ends"},
	SeatNotInOrder:      {"seat_not_in_order", "a seat is not one of the order's, or was refunded before; nothing was refunded"},
	EffectUnknown:       {"effect_unknown", "there is no such effect: it is done, or another took its place"},
	IncarnationStale:    {"incarnation_stale", "the shard is at a later incarnation; nothing was changed"},
	SeatTaken:           {"seat_taken", "a seat is held, in payment or sold; nothing was changed"},
}

// String is the outcome's name in APIs and metrics, as seat_sold.
func (o Outcome) String() string {
	if t, ok := outcomeTexts[o]; ok {
		return t.name
	}
	return "outcome_" + strconv.Itoa(int(o))
}

// Error says to a person what happened to the seats and what to do next.
func (o Outcome) Error() string {
	if t, ok := outcomeTexts[o]; ok {
		return t.message
	}
	return "unknown outcome " + strconv.Itoa(int(o)) + ": the server is newer than this program"
}

// Remembered reports whether the outcome is kept for repeats of the command. Refusals of the id itself are not.
func (o Outcome) Remembered() bool {
	switch o {
	case CommandExpired, CommandTooFar, CommandReused, CommandUnremembered:
		return false
	}
	return true
}
