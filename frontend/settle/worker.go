package settle

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/payment"
)

// Config says for whom a Worker works. Client, Provider and Name are needed.
type Config struct {
	Client   *client.Client
	Provider payment.Provider
	Name     string         // of the process, for people; the worker makes itself one that is unique
	Limits   payment.Limits // what the provider allows the account; zero: package payment's defaults

	Calls       int           // effects carried out at a time; 0: CallsDefault
	CallTimeout time.Duration // for one call to the provider; 0: CallTimeoutDefault
	// Carriers carry out receipts and notifications. A kind without one is left to other workers.
	Carriers map[holdfast.EffectKind]Carrier
	// ReconcileEvery is how often Run reconciles all events of the account; 0: ReconcileEveryDefault; below 0: never.
	ReconcileEvery time.Duration
	Logger         *slog.Logger // nil discards

	// Step, when set, is told before and after each step. When it gives an error the work on the effect ends there, as
	// if the process had died: tests use it.
	Step func(ctx context.Context, step string) error
}

// Carrier carries out an effect that has nothing to do with the provider. It is called at least once for each effect.
// A nil error means done; one with payment.KindOf(err).Again() false means never.
type Carrier func(ctx context.Context, e client.Effect) error

// The defaults, and the limits.
const (
	CallsDefault       = 64
	CallTimeoutDefault = 10 * time.Second
	// ReconcileEveryDefault reads the provider's list of a week six times an hour; it comes last in the budget.
	ReconcileEveryDefault = 10 * time.Minute

	leaseWait     = 5 * time.Second       // how long one question for effects waits for some
	leaseTimeout  = 10 * time.Second      // and how long it may take in all
	leaseEvery    = 50 * time.Millisecond // between two questions while something is in hand: one for several effects
	shardsEvery   = 30 * time.Second      // how often new shards are looked for
	commandMax    = 10 * time.Second      // for one command to the shard
	nameBytesMax  = 128                   // of a process's name in a worker's
	accountEvery  = 2 * time.Second       // between two questions whose account it is
	startPatience = 2 * time.Second       // for the first of them: a frontend serves nobody before New returns
	troublePause  = time.Second           // before the cluster is asked again after it failed
)

// Worker carries out effects. It is safe for concurrent use.
type Worker struct {
	cfg    Config
	log    *slog.Logger
	grants *Grants
	clerk  *Clerk
	name   string // unique
	mode   holdfast.PaymentMode
	slots  chan struct{} // one token for each effect under way
	stats  Stats

	asking  chan struct{}          // one token: who has it asks the provider for the account
	account atomic.Pointer[string] // whose payments it may touch: the provider's account; nil until the provider has told

	identities sync.Map // of client.Identity by holdfast.ShardID: as of the last lease
}

// New makes a worker. It asks the provider whose account it is, so that payments of another are never touched. A provider
// that does not answer soon is no reason not to start: lines and holds go on without it, and Run asks again.
func New(ctx context.Context, cfg Config) (*Worker, error) {
	refuse := func(field, message string) error {
		return &holdfast.Error{Kind: holdfast.Invalid, Op: "settlement", Field: field, Message: message}
	}
	switch {
	case cfg.Client == nil:
		return nil, refuse("client", "no cluster to work for")
	case cfg.Provider == nil:
		return nil, refuse("provider", "no payment provider")
	case cfg.Name == "":
		return nil, refuse("name", "a worker needs a name of its own")
	}
	cfg.Calls, cfg.CallTimeout = cmp.Or(cfg.Calls, CallsDefault), cmp.Or(cfg.CallTimeout, CallTimeoutDefault)
	cfg.ReconcileEvery = cmp.Or(cfg.ReconcileEvery, ReconcileEveryDefault)
	cfg.Limits = withDefaults(cfg.Limits)
	if cfg.Step == nil {
		cfg.Step = func(ctx context.Context, _ string) error { return ctx.Err() }
	}
	w := &Worker{cfg: cfg, log: cfg.Logger, mode: cfg.Provider.Mode(), slots: make(chan struct{}, cfg.Calls), asking: make(chan struct{}, 1),
		name: cfg.Name[:min(len(cfg.Name), nameBytesMax)] + "/" + rand.Text()}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.grants = newGrants(cfg.Client, w.known, cfg.Limits)
	w.clerk = &Clerk{Cluster: cfg.Client, Provider: cfg.Provider, Carriers: cfg.Carriers, Call: w.call, Command: w.command, Account: w.whose,
		Identity: w.identity, Now: time.Now, Stats: &w.stats, Log: w.log}
	first, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	switch _, err := w.whose(first); {
	case err != nil && (ctx.Err() != nil || !payment.KindOf(err).Again()):
		w.grants.Close()
		return nil, err
	case err != nil:
		w.log.Error("the payment provider does not answer; nothing is paid until it does", "error", err)
	}
	return w, nil
}

// Account is the provider's account that the worker's keys belong to, empty until the provider has told, and whether its
// money is real.
func (w *Worker) Account() (string, holdfast.PaymentMode) { return w.known(), w.mode }

// known is the account as far as it is known.
func (w *Worker) known() string {
	if account := w.account.Load(); account != nil {
		return *account
	}
	return ""
}

// whose gives the account that the keys belong to. The provider is asked until it has told it once.
func (w *Worker) whose(ctx context.Context) (string, error) {
	if account := w.known(); account != "" {
		return account, nil
	}
	select {
	case w.asking <- struct{}{}:
		defer func() { <-w.asking }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if account := w.known(); account != "" {
		return account, nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CallTimeout)
	defer cancel()
	account, err := w.cfg.Provider.Account(ctx)
	if err != nil && !payment.KindOf(err).Again() {
		return "", &holdfast.Error{Kind: holdfast.Denied, Op: "settlement", Message: "the payment provider does not take the keys; nothing was done", Err: err}
	} else if err != nil {
		return "", &holdfast.Error{Kind: holdfast.Unavailable, Op: "settlement", Message: "the payment provider does not say whose account the keys are; nothing was done", Err: err}
	}
	w.account.Store(&account)
	return account, nil
}

// awaitAccount asks until the provider has told whose account it is.
func (w *Worker) awaitAccount(ctx context.Context) {
	for ctx.Err() == nil {
		_, err := w.whose(ctx)
		if err == nil {
			return
		}
		w.log.Warn("the payment provider does not say whose account the keys are", "error", err)
		_ = pause(ctx, accountEvery)
	}
}

// Look fetches a payment and lets it decide: see Clerk.Look.
func (w *Worker) Look(ctx context.Context, ref payment.Ref, id client.Identity) (Verdict, error) {
	return w.clerk.Look(ctx, ref, id)
}

// Logger is where the worker says what went wrong.
func (w *Worker) Logger() *slog.Logger { return w.log }

// Grants are this process's part of the provider's limits, for whoever else calls the provider here.
func (w *Worker) Grants() *Grants { return w.grants }

// Close lets go of the worker after Run has ended.
func (w *Worker) Close() { w.grants.Close() }

// kinds are the effects that the worker carries out.
func (w *Worker) kinds() []holdfast.EffectKind {
	kinds := []holdfast.EffectKind{holdfast.EffectLook, holdfast.EffectCapture, holdfast.EffectVoid, holdfast.EffectRefund}
	for kind := range w.cfg.Carriers {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// Run works until ctx ends, then finishes what is under way. Besides, it reconciles now and then.
func (w *Worker) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	w.awaitAccount(ctx)
	if w.cfg.ReconcileEvery > 0 {
		running.Go(func() { w.reconcileNowAndThen(ctx) })
	}
	known := map[holdfast.ShardID]bool{}
	for {
		shards, err := w.cfg.Client.Shards(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Warn("the shards are not known", "error", err)
		}
		for _, shard := range shards {
			if !known[shard] {
				known[shard] = true
				running.Go(func() { w.serve(ctx, shard) })
			}
		}
		again := shardsEvery
		if len(known) == 0 {
			again = troublePause
		}
		if pause(ctx, again) != nil {
			return nil
		}
	}
}

// hand is what a worker has in hand of one shard.
type hand struct {
	mu       sync.Mutex
	effects  map[holdfast.EffectID]bool
	question uint64        // the number of the latest
	finished chan struct{} // capacity 1: something has left the hand
}

func (h *hand) ids() []holdfast.EffectID {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]holdfast.EffectID, 0, len(h.effects))
	for id := range h.effects {
		ids = append(ids, id)
	}
	return ids
}

// next numbers a question. Numbers go on where those of an earlier process of the same name ended.
func (h *hand) next() uint64 {
	h.question = max(h.question+1, uint64(time.Now().UnixNano()))
	return h.question
}

// take adds an effect; false if it is in hand already.
func (h *hand) take(id holdfast.EffectID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.effects[id] {
		return false
	}
	h.effects[id] = true
	return true
}

func (h *hand) drop(id holdfast.EffectID) {
	h.mu.Lock()
	delete(h.effects, id)
	h.mu.Unlock()
	select {
	case h.finished <- struct{}{}:
	default:
	}
}

// serve carries out one shard's effects until ctx ends.
func (w *Worker) serve(ctx context.Context, shard holdfast.ShardID) {
	h := &hand{effects: map[holdfast.EffectID]bool{}, finished: make(chan struct{}, 1)}
	var carrying sync.WaitGroup
	defer w.giveBack(shard, h)
	defer carrying.Wait()
	for ctx.Err() == nil {
		if len(h.ids()) > 0 {
			_ = pause(ctx, leaseEvery)
		}
		free := w.room() - len(h.ids())
		if free <= 0 {
			select {
			case <-h.finished:
			case <-ctx.Done():
			}
			continue
		}
		lease, err := w.lease(ctx, shard, h, free)
		if err != nil {
			if ctx.Err() == nil {
				w.stats.LeaseFailures.Add(1)
				w.log.Warn("no effects can be leased", "shard", uint32(shard), "error", err)
			}
			_ = pause(ctx, troublePause)
			continue
		}
		if lease.Cluster != "" {
			w.identities.Store(shard, lease.Identity)
		}
		for _, e := range lease.Effects {
			if h.take(e.ID) {
				carrying.Go(func() { w.work(ctx, h, e, lease) })
			}
		}
	}
}

// room is how many effects of one shard may be in hand: as many as can be begun long before their lease runs out.
func (w *Worker) room() int {
	soon := int(min(w.cfg.Limits.ReadsPerSecond, w.cfg.Limits.WritesPerSecond)) * 4
	return min(w.cfg.Calls, max(soon, 1))
}

// lease asks for effects. The question is put again as soon as something leaves the hand: what was put off may be due
// soon, and must not wait for its lease to run out.
func (w *Worker) lease(ctx context.Context, shard holdfast.ShardID, h *hand, free int) (client.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	select {
	case <-h.finished: // known to the question that is put now
	default:
	}
	answered := make(chan struct{})
	defer close(answered)
	asked := w.client().LeaseEffects
	waiting, stop := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-h.finished:
			stop(errAgain)
		case <-answered:
		}
	}()
	w.stats.Leases.Add(1)
	lease, err := asked(waiting, client.LeaseRequest{Shard: shard, Worker: w.name, Number: h.next(), Kinds: w.kinds(), Account: w.known(), Mode: w.mode,
		Max: free, Have: h.ids(), Wait: leaseWait})
	if err != nil && errors.Is(context.Cause(waiting), errAgain) {
		return client.Lease{}, nil
	}
	stop(nil)
	return lease, err
}

var errAgain = errors.New("the hand has changed")

func (w *Worker) client() *client.Client { return w.cfg.Client }

// giveBack tells the shard's leader that nothing is in hand any more, so that others need not wait for leases to run
// out.
func (w *Worker) giveBack(shard holdfast.ShardID, h *hand) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = w.client().LeaseEffects(ctx, client.LeaseRequest{Shard: shard, Worker: w.name, Number: h.next(), Account: w.known(), Mode: w.mode, Have: h.ids()})
}

// work carries out one effect in its turn. One that was not acknowledged is kept in hand for a while: it would come back
// at once.
func (w *Worker) work(ctx context.Context, h *hand, e client.Effect, lease client.Lease) {
	defer h.drop(e.ID)
	if err := w.carryInTurn(ctx, e, lease); err != nil {
		w.log.Warn("an effect is not acknowledged", "effect", e.ID.String(), "kind", e.Kind.String(), "hold", e.Hold.String(), "payment", e.Payment, "error", err)
		_ = pause(ctx, troublePause)
	}
}

// carryInTurn carries out one effect within its lease. It goes on after ctx has ended: what was begun is finished.
func (w *Worker) carryInTurn(ctx context.Context, e client.Effect, lease client.Lease) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.For)
	defer cancel()
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	began := time.Now()
	err := w.cfg.Step(ctx, "begin "+e.Kind.String())
	if err == nil {
		err = w.clerk.Carry(ctx, e, lease.Identity)
	}
	w.stats.took(e.Kind, time.Since(began), err)
	return err
}

// call makes one call to the provider, within its limits.
func (w *Worker) call(ctx context.Context, class payment.Class, step string, call func(context.Context) error) error {
	if err := w.cfg.Step(ctx, "before "+step); err != nil {
		return err
	}
	if err := w.grants.Take(ctx, class); err != nil {
		return err
	}
	calling, cancel := context.WithTimeout(ctx, w.cfg.CallTimeout)
	err := call(calling)
	cancel()
	w.stats.called(class, err)
	if payment.KindOf(err) == payment.Limited {
		w.grants.Limited()
	}
	if died := w.cfg.Step(ctx, "after "+step); died != nil {
		return died
	}
	return err
}

// command sends one command to the shard.
func (w *Worker) command(ctx context.Context, step string, send func(context.Context) error) error {
	if err := w.cfg.Step(ctx, "before "+step); err != nil {
		return err
	}
	sending, cancel := context.WithTimeout(ctx, commandMax)
	err := send(sending)
	cancel()
	if died := w.cfg.Step(ctx, "after "+step); died != nil {
		return died
	}
	return err
}

// pause waits for so long.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
