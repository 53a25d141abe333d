package mail

import (
	"bytes"
	"embed"
	"fmt"
	html "html/template"
	text "text/template"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/statement"
)

//go:embed letter.txt letter.html
var files embed.FS

// templates are the two forms of every letter.
type templates struct {
	text *text.Template
	html *html.Template
}

func parseTemplates() (templates, error) {
	plain, err := text.New("letter.txt").ParseFS(files, "letter.txt")
	if err != nil {
		return templates{}, err
	}
	rich, err := html.New("letter.html").ParseFS(files, "letter.html")
	return templates{plain, rich}, err
}

// view is what a letter's templates see.
type view struct {
	Greeting string
	Says     []string // paragraphs
	Title    string   // of the event
	Order    string
	Seats    []string
	Lines    []viewLine
	Total    string
	Refunded string // empty: nothing was
	Link     string
	LinkText string
	Footnote string
}

type viewLine struct{ What, Amount string }

var lineNames = map[holdfast.LineKind]string{
	holdfast.LineSeats: "Tickets", holdfast.LineDiscount: "Discount", holdfast.LineFee: "Fees", holdfast.LineTax: "Tax",
	holdfast.LineTaxIncluded: "Tax, included",
}

// about says what a topic's letter says. A topic that buyers are not told of has none.
var about = map[holdfast.Topic]struct {
	subject, linkText string
	says              []string
}{
	holdfast.TopicPaid: {subject: "Your tickets for %s", linkText: "Show my tickets",
		says: []string{"Thank you. Your order is paid, and your tickets are ready."}},
	holdfast.TopicRefunded: {subject: "Your refund for %s", linkText: "Show my order",
		says: []string{"Money of your order was given back. It is with your bank now, which may take some days. Tickets of the seats that were refunded are void."}},
	holdfast.TopicUnpaid: {subject: "Your payment for %s did not go through", linkText: "Pay again",
		says: []string{"Your bank did not give the money that it had promised. Your seats are kept for a while, and your tickets are suspended until you have paid.", "If you do not pay again in time, the seats go back on sale, and nothing is taken."}},
	holdfast.TopicCancelled: {subject: "Your order for %s was cancelled", linkText: "Show my order",
		says: []string{"Your order was not paid, and its seats went back on sale. No money was taken."}},
	holdfast.TopicDisputed: {subject: "Your tickets for %s are suspended", linkText: "Show my order",
		says: []string{"Your bank has told us that the payment is disputed. Until that is settled the tickets do not let anybody in. If you know nothing of it, ask your bank."}},
}

// compose writes the letter about an order. ok is false when there is none about such a topic.
func (t templates) compose(s statement.Statement, topic holdfast.Topic, name, link string) (l Letter, ok bool, err error) {
	what, ok := about[topic]
	if !ok {
		return Letter{}, false, nil
	}
	v := view{Greeting: greeting(name), Says: what.says, Title: s.Title, Order: s.Order.String(), Total: statement.Format(s.Total), Link: link, LinkText: what.linkText,
		Footnote: "This mail was sent because somebody bought tickets with this address. The link above opens the order: who has it can use the tickets."}
	for _, seat := range s.Seats {
		label := seat.Label
		if !seat.Live && topic == holdfast.TopicRefunded {
			label += " (refunded)"
		}
		v.Seats = append(v.Seats, label)
	}
	for _, line := range s.Lines {
		v.Lines = append(v.Lines, viewLine{lineNames[line.Kind], statement.Format(line.Amount)})
	}
	if s.Refunded.AmountMinor > 0 {
		v.Refunded = statement.Format(s.Refunded)
	}
	l, err = t.write(v)
	l.Subject = fmt.Sprintf(what.subject, s.Title)
	return l, true, err
}

func greeting(name string) string {
	if name == "" {
		return "Hello,"
	}
	return "Hello " + name + ","
}

func (t templates) write(v view) (l Letter, err error) {
	var plain, rich bytes.Buffer
	if err := t.text.Execute(&plain, v); err != nil {
		return Letter{}, err
	}
	if err := t.html.Execute(&rich, v); err != nil {
		return Letter{}, err
	}
	return Letter{Text: plain.String(), HTML: rich.String()}, nil
}
