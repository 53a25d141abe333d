package mail

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/frontend/statement"
)

// ReceiptsConfig is what Receipts needs.
type ReceiptsConfig struct {
	Book   *statement.Book
	People person.Ciphertexts
	Vault  *person.Vault
	Outbox Outbox
	// OrderLink gives the link that opens an order, with all that proves that its holder may.
	OrderLink func(event string, order holdfast.OrderID) string
	Logger    *slog.Logger // nil discards
}

// Receipts carries out EffectReceipt. It is safe for concurrent use.
type Receipts struct {
	cfg       ReceiptsConfig
	templates templates
}

// NewReceipts makes receipts. It refuses a configuration by the name of what is missing.
func NewReceipts(cfg ReceiptsConfig) (*Receipts, error) {
	for field, missing := range map[string]bool{"book": cfg.Book == nil, "people": cfg.People == nil, "vault": cfg.Vault == nil,
		"outbox": cfg.Outbox == nil, "order-link": cfg.OrderLink == nil} {
		if missing {
			return nil, &holdfast.Error{Kind: holdfast.Invalid, Op: "receipts", Field: field, Message: "it is missing"}
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	t, err := parseTemplates()
	return &Receipts{cfg: cfg, templates: t}, err
}

// Carry carries out one effect: it is a settle.Carrier.
func (r *Receipts) Carry(ctx context.Context, e client.Effect) error {
	return r.Do(ctx, statement.OccasionOf(e))
}

// Do mails the buyer of an order. An order whose buyer gave no address, or was forgotten, is done without a mail.
func (r *Receipts) Do(ctx context.Context, o statement.Occasion) error {
	s, err := r.cfg.Book.Statement(ctx, o.Event, o.Order)
	if err != nil {
		return err
	}
	to, found, err := r.cfg.Vault.Find(ctx, r.cfg.People, o.Event, o.Order.Hold())
	switch {
	case err == nil && !found:
		r.cfg.Logger.Debug("nobody is told of an order: its buyer gave no address, or was forgotten", "order", o.Order.String())
		return nil
	case errors.Is(err, holdfast.Internal):
		r.cfg.Logger.Error("who bought an order cannot be read", "order", o.Order.String(), "error", err)
		return hopeless("unreadable", "who bought it cannot be decrypted here: is it the right master key?")
	case err != nil:
		return err
	}
	l, ok, err := r.templates.compose(s, o.Topic, to.Name, r.cfg.OrderLink(s.EventName, o.Order))
	if err != nil || !ok {
		return err
	}
	l.To, l.ID = to, messageID(o)
	if err := r.cfg.Outbox.Deliver(ctx, l); err != nil {
		return err
	}
	r.cfg.Logger.Debug("a buyer was told of an order", "order", o.Order.String(), "topic", o.Topic.String(), "message", l.ID)
	return nil
}

// messageID is the same whenever the same effect is carried out. The order's id makes it unique among clusters.
func messageID(o statement.Occasion) string {
	b := binary.LittleEndian.AppendUint64([]byte("holdfast receipt v1"), uint64(o.Effect))
	b = append(append(b, o.Order[:]...), byte(o.Topic))
	sum := sha256.Sum256(b)
	return "receipt." + hex.EncodeToString(sum[:12])
}
