package page

import (
	"fmt"
	"strconv"

	"github.com/holdfast-db/holdfast"
)

// Challenge is what a visitor has to do before joining. Kind is empty when there is none.
type Challenge struct {
	// Kind is "work" for a proof of work or "captcha" for a provider's.
	Kind string
	// Value and Bits are the proof of work's: find an answer such that SHA-256(Value ‖ ":" ‖ answer), answer in
	// decimal, begins with Bits zero bits. The form sends both, in the fields challenge and work.
	Value string
	Bits  int
	// Other is another way for people without JavaScript; may be nil.
	Other *Link
	// Script, SiteKey and Class are the captcha provider's: its script fills the element of this class, and puts its answer
	// into the form under a name of its own.
	Script, SiteKey, Class string
}

// Join is the form by which a visitor enters the line.
type Join struct {
	// Open: the line can be joined now.
	Open bool
	// OpensInMs is how long until it can; 0 when it can or when no time is set.
	OpensInMs int64
	OpensMs   int64
	// NeedsMail: a place is tied to a mail address, to which a link is sent. NeedsAccount: one signs in first, at
	// SignIn.
	NeedsMail, NeedsAccount bool
	SignIn                  string
	// NeedsCode: only who has a code may join.
	NeedsCode bool
	Challenge Challenge
}

// ListView is the list of events: /.
type ListView struct {
	Frame
	Events []ListedEvent
}

// ListedEvent is one event of the list.
type ListedEvent struct {
	EventHead
	Sale Sale
	From holdfast.Money // the lowest price
}

// EventView is an event's page: /e/EVENT.
type EventView struct {
	Frame
	Event EventHead
	// About is the organizer's text, one paragraph an element.
	About []string
	Sale  Sale
	Tiers []Tier
	// HasLine: seats are sold through the waiting room. InLine: this visitor has a place. Admitted: it is their turn.
	HasLine, InLine, Admitted bool
	Join                      Join
	Draw                      *Draw
	Hold                      *Hold // the visitor's open hold; may be nil
	// PerBuyer and PerHold are the most seats one may have; 0: no limit.
	PerBuyer, PerHold int
	// BuyerIs says what PerBuyer counts, and so how strong it is, as "counts browsers: …".
	BuyerIs string
}

// RoomState is what the waiting room has to say first.
type RoomState uint8

// The states of the waiting room, for one visitor.
const (
	RoomOutside  RoomState = 0  // no place yet: the form to join
	RoomEarly    RoomState = 1  // has a place; the draw, or the sale, is still to come
	RoomWaiting  RoomState = 2  // has a position
	RoomTurn     RoomState = 3  // called: the door is open for CallRemainingMs
	RoomAdmitted RoomState = 4  // inside: choose seats
	RoomDeferred RoomState = 5  // was called and did not come; put back a little, not dropped
	RoomBehind   RoomState = 6  // behind the tail: called too often without coming, or a hold lapsed
	RoomDone     RoomState = 7  // bought
	RoomLeft     RoomState = 8  // left by their own wish
	RoomOver     RoomState = 9  // the sale is over
	RoomSoldOut  RoomState = 10 // free + held + in payment = 0
)

// Odds says how likely it is that something is left when it is this visitor's turn.
type Odds uint8

// The odds. Unknown is said as such.
const (
	OddsUnknown  Odds = 0
	OddsLikely   Odds = 1
	OddsPossible Odds = 2
	OddsUnlikely Odds = 3
)

// RoomView is the waiting room: /e/EVENT/line.
type RoomView struct {
	Frame
	Event EventHead
	State RoomState
	Sale  Sale
	// Paused: the organizer has stopped admission; PauseReason is theirs.
	Paused      bool
	PauseReason string
	Join        Join // for RoomOutside
	Place       Place
	Draw        *Draw
	// Message is the organizer's word to those who wait; may be empty.
	Message string
	// Live: the page also opens the event's stream, to hear of a pause at once instead of at its next poll.
	Live bool
}

// Key sums up what the page looks like. The answer to a poll carries the same four words (room, paused, leaderless,
// sale); when they differ from the page's, the script fetches the page anew.
func (v RoomView) Key() string {
	return fmt.Sprintf("%s|%t|%t|%s", v.State, v.Paused, v.Sale.Leaderless, v.Sale.State)
}

var roomNames = [...]string{"outside", "early", "waiting", "turn", "admitted", "deferred", "behind", "done", "left", "over", "sold_out"}

func (s RoomState) String() string {
	if int(s) < len(roomNames) {
		return roomNames[s]
	}
	return "room_state_" + strconv.Itoa(int(s))
}

var oddsNames = [...]string{"unknown", "likely", "possible", "unlikely"}

func (o Odds) String() string {
	if int(o) < len(oddsNames) {
		return oddsNames[o]
	}
	return "odds_" + strconv.Itoa(int(o))
}

// Place is a visitor's place in the line.
type Place struct {
	Number uint32 // in order of arrival, from 0
	// Drawn: Position is the place in the order of being served; before the draw there is none.
	Drawn    bool
	Position uint32
	// Ahead is how many people are ahead; -1 while nobody can know.
	Ahead int64
	// Served is how many positions have been called, Issued how many places there are.
	Served, Issued uint32
	// WaitLowMs and WaitHighMs are the range of the wait from measured outflow; both 0: unknown.
	WaitLowMs, WaitHighMs int64
	Odds                  Odds
	// Cause says why the wait grew, when it did; empty otherwise.
	Cause string
	// CallRemainingMs is how long the door stays open for RoomTurn, SessionRemainingMs the visitor's time inside.
	CallRemainingMs, SessionRemainingMs int64
	// NextPollMs is when to ask again.
	NextPollMs int64
}

// Draw is what is public about the draw of an event's line.
type Draw struct {
	// Commit is H(S), the commitment to the secret, in hex.
	Commit string
	// AtInMs is how long until the cohort is fixed; AtMs the instant; 0 by hand.
	AtInMs, AtMs int64
	// Frozen: the cohort is fixed, Drawn: the order is known.
	Frozen, Drawn bool
	// Cohort is how many take part, once frozen; Root the hash R of their headers and Seed the seed, in hex.
	Cohort     uint32
	Root, Seed string
	// Beacon names the public randomness, as "drand quicknet, round 12345"; empty: none.
	Beacon string
}

// SeatsView is the seat map: /e/EVENT/seats.
type SeatsView struct {
	Frame
	Event    EventHead
	Sale     Sale
	Tiers    []Tier
	Sections []Section
	Revision holdfast.Revision
	Hold     *Hold // the visitor's open hold; may be nil
	// PerHold is the largest hold, Left what the limit per buyer leaves this one; -1: no limit.
	PerHold, Left int
	// SessionRemainingMs is how long the visitor may look; 0: no limit.
	SessionRemainingMs int64
	// Wanted are the values with which the form of "best available" is filled.
	Wanted Wanted
	// TakesCode: there are allocations that a code opens.
	TakesCode bool
	// ReadOnly: the visitor is not admitted; the map can be looked at only.
	ReadOnly bool
}

// Wanted is what the form of "best available" asks for.
type Wanted struct {
	Count   int
	Tier    holdfast.TierIndex    // AnyTier
	Section holdfast.SectionIndex // AnySection
	Code    string
}

// Section is a part of the venue on the map.
type Section struct {
	Index       holdfast.SectionIndex
	Name        string
	General     bool
	From, To    holdfast.Money // the range of its prices
	Tier        holdfast.TierIndex
	Free, Total int
}

// CheckoutState is how far the payment is.
type CheckoutState uint8

// The states of a checkout.
const (
	CheckoutDetails CheckoutState = 0 // the form
	CheckoutPaying  CheckoutState = 1 // an attempt is under way; the page asks how it went
	CheckoutClosing CheckoutState = 2 // the time is over, the grace is running
	CheckoutLapsed  CheckoutState = 3 // the hold is gone; nothing was charged
)

// CheckoutView is the checkout: /e/EVENT/checkout.
type CheckoutView struct {
	Frame
	Event EventHead
	State CheckoutState
	Hold  Hold
	Lines []Line
	Total holdfast.Money
	// Mail, Name and Promo are what was typed; Errors says by field what is wrong with it.
	Mail, Name, Promo string
	PromoOK           bool // the code is applied: it is among the lines
	Errors            map[string]string
	Pay               Pay
	// Confirm is where the page asks how the payment went; empty: at the hold.
	Confirm string
}

// Pay is how the buyer pays.
type Pay struct {
	// Provider is "stripe", "sandbox", or "" when nothing is to be paid.
	Provider string
	// PublishableKey is the provider's public key.
	PublishableKey string
	// TestMode: no real money moves; the page says so.
	TestMode bool
	// SandboxURL is where the browser reaches the sandbox, without a slash at the end; Methods are its test cards.
	SandboxURL string
	Methods    []SandboxMethod
	// ClientSecret is that of the attempt under way, with CheckoutPaying: the page asks for the card again. The sandbox's
	// form posts straight to it, which works without JavaScript. Empty: the page asks how the payment went.
	ClientSecret string
	// ReturnURL is where a bank's page leads back to; empty: the checkout.
	ReturnURL string
}

// SandboxMethod is a test card, with what it does.
type SandboxMethod struct{ ID, Text string }

// OrderState is how an order stands, for its owner.
type OrderState uint8

// The states of an order as its page tells them.
const (
	OrderPaid      OrderState = 0
	OrderCapturing OrderState = 1 // sold; the money is being taken
	OrderUnpaid    OrderState = 2 // the money could not be taken
	OrderRefunded  OrderState = 3
	OrderCancelled OrderState = 4
	OrderDisputed  OrderState = 5
)

// OrderView is an order with its tickets: /o/ORDER.
type OrderView struct {
	Frame
	Event    EventHead
	Order    holdfast.OrderID
	State    OrderState
	Lines    []Line
	Total    holdfast.Money
	Refunded holdfast.Money
	Mail     string // masked, as a…@example.org; may be empty
	Tickets  []Ticket
	// PayAgain is where the form that begins to pay again is posted, for OrderUnpaid, for PayAgainRemainingMs.
	PayAgain            *Link
	PayAgainRemainingMs int64
	BoughtMs            int64 // when it was sold, Unix milliseconds
}

// Ticket is one unit of an order.
type Ticket struct {
	Seat
	Code string // the code below the QR, for people to read
	// QR is an SVG document. It is shown as an image, in which nothing runs.
	QR []byte
	// Why says why the ticket is not valid, or not yet; empty when it is.
	Why string
}

// ReturnsView is for an event with nothing free: /e/EVENT/returns.
type ReturnsView struct {
	Frame
	Event EventHead
	Sale  Sale
	// HandsUntilMs is the latest instant, in Unix milliseconds, at which what is held now is bought or back; 0: unknown.
	HandsUntilMs int64
	Tiers        []Tier
	Sections     []Section
	// Joinable: the waiting list can be joined; Length is how many wait.
	Joinable bool
	Length   int
	// Joined: this visitor waits, with so many ahead; AheadKnown says whether Ahead means anything.
	Joined, AheadKnown bool
	Ahead              int
	Wanted             Wanted
	PerHold            int
	NeedsMail          bool
	// Offer is a hold that was made for this visitor; may be nil.
	Offer *Hold
}

// FindView is "find my order": /find.
type FindView struct {
	Frame
	Mail string
	// Sent: if there are orders for Mail, a link is on its way. The page does not tell whether there are.
	Sent   bool
	Errors map[string]string
}

// DrawView is the record of the draw: /e/EVENT/draw. The browser verifies it.
type DrawView struct {
	Frame
	Event EventHead
	Draw  Draw
	// RecordURL is where the record is, as JSON.
	RecordURL string
	// Own is the visitor's own place, to check that it took part; nil without one.
	Own *OwnPlace
	// Limits are the limits of what the record proves, one sentence an element.
	Limits []string
}

// OwnPlace is what a visitor needs to check their own place. The key is shown to its owner only.
type OwnPlace struct {
	Number uint32   // in order of arrival, from 0
	Key    string   // k, in hex
	Path   []string // in hex, from the leaf up
}

// ErrorView is any failure that takes a whole page.
type ErrorView struct {
	Frame
	Status int // of HTTP
	Title  string
	// Message says what happened to the seats and the money and what to do next.
	Message string
	// Code is the kind's or the outcome's name, for those who ask for help.
	Code string
	// RetryAfterMs: the page tries again by itself; 0 not.
	RetryAfterMs int64
	Next         *Link
}
