package page

import "github.com/holdfast-db/holdfast"

// Frame is what every page has around its content.
type Frame struct {
	// Nonce is that of this answer's Content-Security-Policy; every script element carries it.
	Nonce string
	// CSRF is put into every form, in the field csrf, and into the page for the scripts, which send it in the
	// header X-CSRF-Token.
	CSRF string
	// Notice says what the buyer's last request led to. It is announced to screen readers.
	Notice *Notice
	// Back leads to the shop that sent the buyer here; nil when nobody did.
	Back *Link
	// Refresh makes the page load itself anew after so many seconds where there is no JavaScript; 0 never.
	Refresh int
}

// Link is an address with the words on it. The address is checked by html/template: a scheme other than http, https
// and mailto is not let through.
type Link struct{ Text, URL string }

// NoticeKind says how a notice is meant. It is told by a word and a sign, not by colour alone.
type NoticeKind uint8

// The kinds of a notice.
const (
	NoticeInfo    NoticeKind = 0
	NoticeGood    NoticeKind = 1
	NoticeRefusal NoticeKind = 2 // the shard decided against it: an outcome
	NoticeFailure NoticeKind = 3 // the system could not decide
)

// Notice is a message about what just happened. The text says what became of the seats and the money.
type Notice struct {
	Kind NoticeKind
	Text string
	Link *Link // what to do next; may be nil
}

// EventHead names an event on a page of its own.
type EventHead struct {
	// Name is how the event stands in addresses: /e/NAME.
	Name  string
	Title string
	// Where says place and date in the organizer's words; may be empty.
	Where string
}

// Sale is the state of an event's sale at the time of the answer.
type Sale struct {
	State holdfast.SaleState
	// OpensInMs is how long until the sale opens; 0 when it has, or when no time is set.
	OpensInMs int64
	OpensMs   int64 // the same as an instant in Unix milliseconds; 0: no time is set
	// Reason is what the organizer says about a pause; may be empty.
	Reason string
	// Leaderless: the shard has no leader at the moment. Nothing can be decided; nothing is lost.
	Leaderless bool
	// Units by what may become of them. Total is Free, Held and Paying and those that are sold or blocked.
	Free, Held, Paying, Total int
}

// InHands is how many units somebody holds or pays for: they may return.
func (s Sale) InHands() int { return s.Held + s.Paying }

// SoldOut reports that nothing is left and nothing can return by itself.
func (s Sale) SoldOut() bool { return s.Total > 0 && s.Free+s.Held+s.Paying == 0 }

// Tier is a price with what is left of it.
type Tier struct {
	Index       holdfast.TierIndex
	Name        string
	Price       holdfast.Money
	Free, Total int
}

// Seat names one unit of a hold or an order. Row and Number are empty for general admission.
type Seat struct {
	Index                holdfast.SeatIndex
	Section, Row, Number string
	Tier                 string
	Price                holdfast.Money
}

// Hold is the buyer's open hold.
type Hold struct {
	ID    string // as the API names it
	State holdfast.HoldState
	Seats []Seat
	Total holdfast.Money
	// RemainingMs is what is left of its time, by the shard's hold clock.
	RemainingMs int64
}

// Line is a line of an order or a hold: what it is for and how much.
type Line struct {
	Text   string
	Count  int // 0: the line counts nothing, as a fee
	Amount holdfast.Money
	// Note is a smaller remark, as "included in the total" beside a tax.
	Note string
}
