package stripe

import (
	"context"
	"net/http"
	"slices"
	"time"

	api "github.com/stripe/stripe-go/v76"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

const (
	pageMax    = 100    // what Stripe gives at once
	pagesMax   = 10_000 // of one Find: a million payments
	refundsMax = 1_000  // of one payment; Stripe's own limit is far below
)

// Look gives the payment as it is now.
func (c *Client) Look(ctx context.Context, ref payment.Ref) (payment.Payment, error) {
	return c.look(ctx, "look", ref)
}

func (c *Client) look(ctx context.Context, op string, ref payment.Ref) (payment.Payment, error) {
	if err := checkRef(op, ref); err != nil {
		return payment.Payment{}, err
	}
	params := &api.PaymentIntentParams{}
	params.Context = ctx
	params.AddExpand("latest_charge")
	intent, err := c.intents.Get(string(ref), params)
	if err != nil {
		return payment.Payment{}, c.failed(ctx, op, err)
	}
	p, err := c.paymentOf(op, intent)
	if err != nil || intent.LatestCharge == nil || !intent.LatestCharge.Disputed {
		return p, err
	}
	p.Dispute, err = c.dispute(ctx, op, ref)
	return p, err
}

// dispute gives the newest dispute of a payment.
func (c *Client) dispute(ctx context.Context, op string, ref payment.Ref) (payment.Dispute, error) {
	params := &api.DisputeListParams{PaymentIntent: api.String(string(ref))}
	params.Context, params.Limit, params.Single = ctx, api.Int64(1), true
	list := c.disputes.List(params)
	if !list.Next() {
		if err := list.Err(); err != nil {
			return payment.Dispute{}, c.failed(ctx, op, err)
		}
		return payment.Dispute{}, nil
	}
	d := list.Dispute()
	state := disputeStates[d.Status]
	if state == 0 {
		state = holdfast.DisputeOpened // a state that is new to us is not yet an end
	}
	return payment.Dispute{State: state, AmountMinor: fromStripe(d.Amount, d.Currency).AmountMinor}, nil
}

// List gives one page of the payments that were created in the span.
func (c *Client) List(ctx context.Context, span payment.Span, after payment.Cursor) (payment.Page, error) {
	return c.list(ctx, "list", span, after)
}

func (c *Client) list(ctx context.Context, op string, span payment.Span, after payment.Cursor) (payment.Page, error) {
	if span.From.IsZero() || span.To.Before(span.From) {
		return payment.Page{}, refuse(op, "the span needs a beginning, and an end that is not before it")
	}
	params := &api.PaymentIntentListParams{CreatedRange: &api.RangeQueryParams{
		GreaterThanOrEqual: span.From.Unix(), LesserThanOrEqual: span.To.Unix(),
	}}
	params.Context, params.Limit, params.Single = ctx, api.Int64(pageMax), true
	params.AddExpand("data.latest_charge")
	if after != "" {
		if err := checkRef(op, payment.Ref(after)); err != nil {
			return payment.Page{}, err
		}
		params.StartingAfter = api.String(string(after))
	}
	var page payment.Page
	list := c.intents.List(params)
	for list.Next() {
		intent := list.PaymentIntent()
		p, err := c.paymentOf(op, intent)
		if err != nil {
			return payment.Page{}, err
		}
		if intent.LatestCharge != nil && intent.LatestCharge.Disputed {
			p.Dispute.State = holdfast.DisputeOpened // how it stands is told by Look
		}
		page.Payments = append(page.Payments, p)
	}
	if err := list.Err(); err != nil {
		return payment.Page{}, c.failed(ctx, op, err)
	}
	if n := len(page.Payments); n > 0 && list.Meta().HasMore {
		page.Next = payment.Cursor(page.Payments[n-1].Ref)
	}
	return page, nil
}

// Find lists the payments of one key. Stripe has no filter by metadata in its list, and its search lags behind.
func (c *Client) Find(ctx context.Context, key payment.Key, span payment.Span) ([]payment.Payment, error) {
	return c.find(ctx, "find", key, span)
}

func (c *Client) find(ctx context.Context, op string, key payment.Key, span payment.Span) ([]payment.Payment, error) {
	if err := key.Check(); err != nil {
		return nil, err
	}
	var found []payment.Payment
	var after payment.Cursor
	for range pagesMax {
		page, err := c.list(ctx, op, span, after)
		if err != nil {
			return nil, err
		}
		for _, p := range page.Payments {
			if p.Key == key {
				found = append(found, p)
			}
		}
		if after = page.Next; after == "" {
			slices.SortFunc(found, heldMost)
			return found, nil
		}
	}
	return nil, refuse(op, "more than a million payments in the span: look in a shorter one")
}

// Refunds lists the refunds of a payment, newest first.
func (c *Client) Refunds(ctx context.Context, ref payment.Ref) ([]payment.Refund, error) {
	return c.listRefunds(ctx, "refunds", ref)
}

func (c *Client) listRefunds(ctx context.Context, op string, ref payment.Ref) ([]payment.Refund, error) {
	if err := checkRef(op, ref); err != nil {
		return nil, err
	}
	params := &api.RefundListParams{PaymentIntent: api.String(string(ref))}
	params.Context, params.Limit = ctx, api.Int64(pageMax)
	var found []payment.Refund
	list := c.refunds.List(params)
	for list.Next() {
		if len(found) == refundsMax {
			return nil, refuse(op, "the payment has more refunds than are read")
		}
		found = append(found, refundOf(list.Refund()))
	}
	if err := list.Err(); err != nil {
		return nil, c.failed(ctx, op, err)
	}
	return found, nil
}

// refund reads one refund.
func (c *Client) refund(ctx context.Context, op, ref string) (payment.Refund, error) {
	params := &api.RefundParams{}
	params.Context = ctx
	got := &api.Refund{}
	if err := c.refunds.B.Call(http.MethodGet, api.FormatURLPath("/v1/refunds/%s", ref), c.refunds.Key, params, got); err != nil {
		return payment.Refund{}, c.failed(ctx, op, err)
	}
	return refundOf(got), nil
}

// skew is how far Stripe's clock and ours may differ where a span is made of our times.
const skew = 10 * time.Minute

// spanSince is where to look for what was first tried at an instant. When that is yet to come, the clock that said so was
// ahead, nobody knows how far: then it may have been tried as long ago as anything that is still tried.
func (c *Client) spanSince(since time.Time) payment.Span {
	now := c.cfg.Now()
	if since.After(now.Add(skew)) {
		since = now.Add(-payment.KeyTrusted)
	}
	return payment.Span{From: since.Add(-skew), To: now.Add(skew)}
}
