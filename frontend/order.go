package frontend

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/ticket"
)

// orderOut is an order as its buyer sees it.
type orderOut struct {
	ID       string         `json:"id"`
	Event    string         `json:"event"`
	Title    string         `json:"title"`
	State    string         `json:"state"`
	Seats    []seatOut      `json:"seats"`
	Amount   holdfast.Money `json:"amount"`
	Refunded int64          `json:"refunded_minor,omitempty"`
	SoldAtMs int64          `json:"sold_at_ms"`
	URL      string         `json:"url"`
}

type ticketsOut struct {
	Order   string      `json:"order"`
	State   string      `json:"state"`
	Tickets []ticketOut `json:"tickets"`
}

// ticketOut is one ticket. Code and QR are there from when it is valid.
type ticketOut struct {
	Seat  seatOut `json:"seat"`
	Valid bool    `json:"valid"`
	Why   string  `json:"why,omitempty"` // it is not valid
	Code  string  `json:"code,omitempty"`
	QR    string  `json:"qr,omitempty"` // an SVG document
}

// orderName is how an order is called in the API, as holdName is for holds.
func orderName(event holdfast.EventID, id holdfast.OrderID) string {
	return id.String() + "." + strconv.FormatUint(uint64(event), 10)
}

// orderToken opens an order's page to whoever has the link: the buyer, and whom the buyer sends it to.
func (s Secret) orderToken(event holdfast.EventID, id holdfast.OrderID) string {
	return b64.EncodeToString(mac(nil, s.key(forTickets, event), []byte("order link"), id[:]))
}

// OrderPath is where an order's page is on every frontend with this secret, with the token that opens it: what a receipt
// links to.
func (s Secret) OrderPath(event holdfast.EventID, id holdfast.OrderID) string {
	return "/o/" + orderName(event, id) + "?t=" + s.orderToken(event, id)
}

func (s *Server) orderURL(event holdfast.EventID, id holdfast.OrderID) string {
	return s.cfg.PublicURL + s.cfg.Secret.OrderPath(event, id)
}

// orderRequest reads the order that the path names, for who has its link or is its buyer.
func (s *Server) orderRequest(r *http.Request) (*room, client.Order, error) {
	id, event, err := parseName(r, "ord_", r.PathValue("order"))
	if err != nil {
		return nil, client.Order{}, err
	}
	c, err := s.rooms.named(r.Context(), event)
	if err != nil {
		return nil, client.Order{}, err
	}
	linked := subtle.ConstantTimeCompare([]byte(r.FormValue("t")), []byte(s.cfg.Secret.orderToken(c.ref.ID, id))) == 1
	var buyer holdfast.BuyerID
	if !linked {
		v := s.visitor(r)
		key, err := s.keyOf(r, &v, c)
		if err != nil {
			return nil, client.Order{}, err
		}
		buyer = key.Buyer()
	}
	order, err := s.cfg.Client.GetOrder(r.Context(), c.ref, id)
	if err != nil {
		return nil, client.Order{}, err
	}
	if !linked && order.Buyer != buyer {
		return nil, client.Order{}, notFound("order") // whether it exists is nobody else's business
	}
	return c, order, nil
}

func (s *Server) getOrder(w http.ResponseWriter, r *http.Request) {
	c, order, err := s.orderRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, http.StatusOK, s.orderOut(c, order))
}

func (s *Server) orderOut(c *room, o client.Order) orderOut {
	v := c.board.look(s.now())
	return orderOut{ID: orderName(c.ref.ID, o.ID), Event: c.ref.Name, Title: v.event.Spec.Title, State: orderState(o), Seats: seatsOut(v, o.Seats),
		Amount: o.Amount, Refunded: o.RefundedMinor + o.OwedMinor, SoldAtMs: o.SoldAt.UnixMilli(), URL: s.orderURL(c.ref.ID, o.ID)}
}

func orderState(o client.Order) string {
	if o.Disputed {
		return "disputed"
	}
	return o.State.String()
}

func (s *Server) getTickets(w http.ResponseWriter, r *http.Request) {
	c, order, err := s.orderRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out := ticketsOut{Order: orderName(c.ref.ID, order.ID), State: orderState(order)}
	if out.Tickets, err = s.ticketsOf(c, order); err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, http.StatusOK, out)
}

// whyNot says why an order's tickets do not open the door.
var whyNot = map[holdfast.OrderState]string{
	holdfast.OrderCapturing: "the money is being taken; valid in a moment",
	holdfast.OrderUnpaid:    "not paid",
	holdfast.OrderRefunded:  "refunded",
	holdfast.OrderCancelled: "cancelled",
}

// TicketSigner is what signs tickets. Its key follows from the fleet's secret, so every frontend writes the same code, and
// a door needs its public half only, and no network.
func (s Secret) TicketSigner() (*ticket.Signer, error) {
	return ticket.NewSigner(s.key(forTicketCodes, 0))
}

// ticketsOf gives an order's tickets, one for each seat that it has or had.
func (s *Server) ticketsOf(c *room, o client.Order) ([]ticketOut, error) {
	v := c.board.look(s.now())
	tickets := make([]ticketOut, 0, len(o.Seats))
	for _, unit := range o.Seats {
		t := ticketOut{Seat: seatOutOf(v, unit), Why: whyNot[o.State]}
		switch {
		case o.Disputed:
			t.Why = "the payment is disputed"
		case t.Why == "" && slices.Contains(o.Refunded, unit):
			t.Why = "refunded"
		}
		if t.Valid = t.Why == ""; t.Valid {
			t.Code = s.tickets.Code(ticket.Ticket{Event: c.ref.ID, Order: o.ID, Seat: unit})
			var svg strings.Builder
			if err := ticket.WriteSVG(&svg, t.Code, "Ticket for "+t.Seat.Label); err != nil {
				return nil, err
			}
			t.QR = svg.String()
		}
		tickets = append(tickets, t)
	}
	return tickets, nil
}
