package stripe

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	api "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

// hintBytesMax bounds a webhook's body. Stripe's largest of the kinds that we read are some 10 KiB.
const hintBytesMax = 1 << 20

// ParseHint verifies a webhook by its Stripe-Signature header and says what to look at.
func (c *Client) ParseHint(body []byte, signature string) (payment.Hint, error) {
	const op = "parse webhook"
	forged := func(message string) (payment.Hint, error) {
		return payment.Hint{}, &payment.Error{Kind: payment.Forged, Op: op, Message: message}
	}
	switch {
	case len(c.cfg.WebhookSecrets) == 0:
		return payment.Hint{}, refuse(op, "no webhook secret is configured")
	case len(body) > hintBytesMax:
		return forged("too large to be one of Stripe's")
	case c.ahead(signature):
		return forged("signed in the future")
	}
	event, err := c.verify(body, signature)
	switch {
	case errors.Is(err, webhook.ErrTooOld):
		return forged("signed too long ago")
	case errors.Is(err, webhook.ErrNotSigned), errors.Is(err, webhook.ErrInvalidHeader), errors.Is(err, webhook.ErrNoValidSignature):
		return forged("the signature is not one of ours")
	case err != nil, event.Data == nil, event.ID == "":
		return forged("signed, but not an event that can be read")
	case event.APIVersion != api.APIVersion && !c.cfg.AnyVersion:
		return payment.Hint{}, refuse(op, "an event of API version "+strconv.Quote(event.APIVersion)+"; make the webhook endpoint with version "+api.APIVersion)
	case event.Livemode != (c.mode == holdfast.ModeLive):
		return payment.Hint{}, &payment.Error{Kind: payment.WrongAccount, Op: op, Message: "an event of the other mode, live or test, than the key"}
	}
	h := payment.Hint{ID: event.ID, Type: string(event.Type), Created: time.Unix(event.Created, 0).UTC()}
	h.Kind, h.Payment, h.Key, err = subject(h.Type, event.Data.Raw)
	if err != nil {
		return forged("signed, but its object cannot be read")
	}
	return h, nil
}

// verify tries every secret; the error is of the last.
func (c *Client) verify(body []byte, signature string) (event api.Event, err error) {
	for _, secret := range c.cfg.WebhookSecrets {
		event, err = webhook.ConstructEventWithOptions(body, signature, secret.Reveal(), webhook.ConstructEventOptions{
			Tolerance: c.cfg.Tolerance, IgnoreAPIVersionMismatch: true,
		})
		if err == nil {
			return event, nil
		}
	}
	return event, err
}

// ahead reports whether a signature claims to be from the future, which the library lets pass: such a webhook could
// be replayed until that time.
func (c *Client) ahead(signature string) bool {
	for part := range strings.SplitSeq(signature, ",") {
		if t, ok := strings.CutPrefix(part, "t="); ok {
			seconds, err := strconv.ParseInt(t, 10, 64)
			return err == nil && time.Unix(seconds, 0).After(c.cfg.Now().Add(c.cfg.Tolerance))
		}
	}
	return false
}

// reference is a field that holds an id, or the object with it.
type reference string

func (r *reference) UnmarshalJSON(raw []byte) error {
	var id string
	if json.Unmarshal(raw, &id) == nil {
		*r = reference(id)
		return nil
	}
	var object struct {
		ID string `json:"id"`
	}
	err := json.Unmarshal(raw, &object)
	*r = reference(object.ID)
	return err
}

// subject says which payment an event is about.
func subject(kind string, raw json.RawMessage) (payment.HintKind, payment.Ref, payment.Key, error) {
	var object struct {
		ID       reference         `json:"id"`
		Intent   reference         `json:"payment_intent"`
		Metadata map[string]string `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		return payment.HintNone, "", payment.Key{}, err
	}
	key, _ := payment.ParseKey(object.Metadata[MetadataKey])
	ref := payment.Ref(object.Intent)
	var about payment.HintKind
	switch {
	case strings.HasPrefix(kind, "payment_intent."):
		about, ref = payment.HintPayment, payment.Ref(object.ID)
	case strings.HasPrefix(kind, "charge.dispute."):
		about = payment.HintDispute
	case kind == "charge.refunded", strings.HasPrefix(kind, "charge.refund."), strings.HasPrefix(kind, "refund."):
		about = payment.HintRefund
	case strings.HasPrefix(kind, "charge."):
		about = payment.HintPayment
	}
	if about == payment.HintNone || checkRef("", ref) != nil {
		return payment.HintNone, "", payment.Key{}, nil // of a charge without a payment intent, or nothing of ours
	}
	return about, ref, key, nil
}
