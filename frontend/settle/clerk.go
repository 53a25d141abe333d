package settle

import (
	"context"
	"log/slog"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/payment"
)

// Clerk does the work at one payment, step by step, in the goroutine of whoever asks: Carry an effect, Look at a payment, Follow
// a hint. It starts nothing, waits for nothing but its calls, and remembers nothing between two of them, so it may be left between
// any two steps for good. A Worker has one that works through the network; a simulation has others.
type Clerk struct {
	Cluster  Cluster
	Provider payment.Provider
	Carriers map[holdfast.EffectKind]Carrier

	// Call makes one call to the provider when its limits allow it, Command sends one command to the cluster. What they are given is
	// what they give back, unless it could not be asked.
	Call    func(ctx context.Context, class payment.Class, step string, call func(context.Context) error) error
	Command func(ctx context.Context, step string, send func(context.Context) error) error

	Account  func(context.Context) (string, error) // whose payments it may touch
	Identity func(context.Context, holdfast.ShardID) (client.Identity, error)
	Now      func() time.Time // the wall clock

	Stats *Stats
	Log   *slog.Logger
}

// Cluster is what a Clerk tells the cluster: *client.Client is one.
type Cluster interface {
	Locate(ctx context.Context, event client.EventRef) (client.EventRef, error)
	Sell(ctx context.Context, q client.SellRequest) (client.Order, error)
	FailPayment(ctx context.Context, q client.AttemptRef) error
	StrayMoney(ctx context.Context, q client.Stray) error
	Dispute(ctx context.Context, q client.DisputeRequest) error
	AckEffect(ctx context.Context, q client.EffectAck) error
}
