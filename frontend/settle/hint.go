package settle

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/payment"
)

// What the provider's webhooks say is a hint to look, and nothing more: it may be late, come twice, or in any order. It
// is answered with success only after the shard has committed what followed from the look, so that the provider repeats
// what got lost.

const (
	hintBytesMax = 256 << 10 // Stripe's events are some KiB
	hintPatience = 4 * time.Second
	hintLater    = "2" // seconds after which the provider may come again
)

// HintHandler answers the provider's webhooks. signatureHeader names the header with the signature.
func (w *Worker) HintHandler(signatureHeader string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			rw.Header().Set("Allow", http.MethodPost)
			http.Error(rw, "POST only", http.StatusMethodNotAllowed)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, hintBytesMax))
		if err != nil {
			http.Error(rw, "the body cannot be read", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), hintPatience)
		defer cancel()
		switch err := w.Hint(ctx, body, r.Header.Get(signatureHeader)); {
		case err == nil:
			rw.WriteHeader(http.StatusOK)
		case payment.KindOf(err) == payment.Forged && isPayment(err):
			http.Error(rw, "the signature is wrong", http.StatusBadRequest)
		default:
			rw.Header().Set("Retry-After", hintLater)
			http.Error(rw, "not now", http.StatusServiceUnavailable)
		}
	})
}

// Hint takes what came to a webhook. No error means that what followed from it is committed, or that it concerns
// nobody here; a forged one is a *payment.Error of that kind; after any other the provider should come again.
func (w *Worker) Hint(ctx context.Context, body []byte, signature string) error {
	hint, err := w.cfg.Provider.ParseHint(body, signature)
	switch kind := payment.KindOf(err); {
	case kind == payment.Forged:
		w.stats.HintsForged.Add(1)
		return err
	case kind == payment.WrongAccount: // of the other mode, live or test
		w.stats.HintsForeign.Add(1)
		return nil
	case err != nil: // of a configuration that can be mended
		w.stats.HintsLater.Add(1)
		w.log.Error("A WEBHOOK CANNOT BE READ", "error", err)
		return err
	}
	if hint.Kind == payment.HintNone || hint.Payment == "" {
		w.stats.HintsIdle.Add(1)
		return nil
	}
	err = w.clerk.Follow(ctx, hint)
	switch {
	case errors.Is(err, ErrForeign):
		w.stats.HintsForeign.Add(1)
		return nil
	case err != nil:
		w.stats.HintsLater.Add(1)
		w.log.Info("a hint could not be followed yet", "hint", hint.ID, "type", hint.Type, "payment", string(hint.Payment), "error", err)
		return err
	}
	w.stats.HintsTaken.Add(1)
	return nil
}

// Identity gives a shard's identity, as of a few seconds ago.
func (w *Worker) Identity(ctx context.Context, shard holdfast.ShardID) (client.Identity, error) {
	return w.identity(ctx, shard)
}

// identity gives a shard's identity: as the last lease told it, or, before the first, by asking.
func (w *Worker) identity(ctx context.Context, shard holdfast.ShardID) (client.Identity, error) {
	if id, ok := w.identities.Load(shard); ok {
		return id.(client.Identity), nil
	}
	lease, err := w.client().LeaseEffects(ctx, client.LeaseRequest{Shard: shard, Worker: w.name + "/identity"})
	if err != nil {
		return client.Identity{}, err
	}
	w.identities.Store(shard, lease.Identity)
	return lease.Identity, nil
}
