package settle

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/payment"
)

// Grants draws acts at the provider from the cluster's one budget, for all who call the provider in this process.
// Nobody calls it without a grant. When the directory does not answer, a small part of the account's limits is spent
// without being asked for: without the directory's quorum only changes stop, not payments.
type Grants struct {
	client  *client.Client
	account func() string // empty while it is not known
	limits  payment.Limits
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	asking  sync.WaitGroup

	mu      sync.Mutex
	waiting [payment.Classes][]chan struct{} // each is closed when its act is granted
	running bool                             // the goroutine that asks
	limited bool                             // to be told with the next question
	spare   *payment.Budget                  // for when the directory does not answer
	passed  time.Time                        // up to when time has passed in spare
}

const (
	// sparePart of the limits is spent by each process when the directory does not answer: with up to ten of them
	// the account's limits hold.
	sparePart = 10
	// grantPatience is how long the directory may take before the spare is used.
	grantPatience = time.Second
	// waitingMax bounds the callers that wait, of each class.
	waitingMax = 4096
)

// NewGrants makes the grants of a process for one account.
func NewGrants(c *client.Client, account string, limits payment.Limits) *Grants {
	return newGrants(c, func() string { return account }, limits)
}

func newGrants(c *client.Client, account func() string, limits payment.Limits) *Grants {
	limits = withDefaults(limits)
	g := &Grants{client: c, account: account, limits: limits, spare: payment.NewBudget(payment.Limits{
		ReadsPerSecond: max(limits.ReadsPerSecond/sparePart, 1), WritesPerSecond: max(limits.WritesPerSecond/sparePart, 1)})}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Close ends the asking, and waits for it. Who waits then is granted nothing any more.
func (g *Grants) Close() {
	g.mu.Lock()
	g.cancel()
	g.mu.Unlock()
	g.asking.Wait()
}

// limitDefault is 80 requests a second of either kind: Stripe allows 100 of a live account.
const limitDefault = 80

func withDefaults(l payment.Limits) payment.Limits {
	if l.ReadsPerSecond == 0 {
		l.ReadsPerSecond = limitDefault
	}
	if l.WritesPerSecond == 0 {
		l.WritesPerSecond = limitDefault
	}
	if l.Burst == 0 {
		l.Burst = time.Second
	}
	return l
}

// Take waits until an act of the class may be begun.
func (g *Grants) Take(ctx context.Context, class payment.Class) error {
	granted := make(chan struct{})
	g.mu.Lock()
	if len(g.waiting[class]) >= waitingMax {
		g.mu.Unlock()
		return &payment.Error{Kind: payment.Limited, Op: class.String(), Message: "too many wait for the provider's budget; nothing was sent", RetryAfter: time.Second}
	}
	g.waiting[class] = append(g.waiting[class], granted)
	if !g.running && g.ctx.Err() == nil {
		g.running = true
		g.passed = time.Now()
		g.asking.Go(g.ask)
	}
	g.mu.Unlock()
	select {
	case <-granted:
		return nil
	case <-ctx.Done():
	case <-g.ctx.Done():
	}
	g.leave(class, granted)
	return &payment.Error{Kind: payment.Limited, Op: class.String(), Message: "no grant from the provider's budget in time; nothing was sent", Err: ctx.Err()}
}

// leave takes a caller out of the line. A grant that came in the same moment is lost: the budget is a little richer than
// it knows.
func (g *Grants) leave(class payment.Class, granted chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting[class], granted); i >= 0 {
		g.waiting[class] = slices.Delete(g.waiting[class], i, i+1)
	}
}

// Limited says that the provider refused a request for too many, so that the whole cluster slows down.
func (g *Grants) Limited() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limited = true
}

// ask is the goroutine that asks for all who wait, and ends when nobody does.
func (g *Grants) ask() {
	for {
		want, limited, ok := g.wanted()
		if !ok {
			return
		}
		given, err := g.grant(client.GrantRequest{Want: want[:], Limited: limited})
		var acts payment.Acts
		copy(acts[:], given.Acts)
		if err != nil {
			acts, given.Again = g.spent(want, limited), spareAgain
		}
		if back := g.hand(acts); back != (payment.Acts{}) && err == nil {
			g.giveBack(back)
		}
		if pause(g.ctx, given.Again) != nil {
			return
		}
	}
}

// spareAgain spaces the looks at the spare.
const spareAgain = 100 * time.Millisecond

// wanted counts who waits. It ends the asking when nobody does.
func (g *Grants) wanted() (want payment.Acts, limited, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for class, line := range g.waiting {
		want[class] = uint32(len(line))
	}
	if want == (payment.Acts{}) {
		g.running = false
		return want, false, false
	}
	limited, g.limited = g.limited, false
	return want, limited, true
}

// spent grants from the spare.
func (g *Grants) spent(want payment.Acts, limited bool) payment.Acts {
	now := time.Now()
	g.spare.Pass(now.Sub(g.passed))
	g.passed = now
	if limited {
		g.spare.Limited()
	}
	return g.spare.Grant(want)
}

// hand gives acts to those who wait, and returns what nobody waits for any more.
func (g *Grants) hand(acts payment.Acts) (back payment.Acts) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for class := range acts {
		n := min(int(acts[class]), len(g.waiting[class]))
		for _, granted := range g.waiting[class][:n] {
			close(granted)
		}
		g.waiting[class] = g.waiting[class][n:]
		back[class] = acts[class] - uint32(n)
	}
	return back
}

// giveBack returns acts; if that fails the cluster is a little slower than it might be.
func (g *Grants) giveBack(back payment.Acts) {
	_, _ = g.grant(client.GrantRequest{Back: back[:]})
}

// grant asks the directory. Until the account is known there is no budget to draw from but the spare.
func (g *Grants) grant(q client.GrantRequest) (client.Grant, error) {
	if q.Account = g.account(); q.Account == "" {
		return client.Grant{}, errNoAccount
	}
	ctx, cancel := context.WithTimeout(g.ctx, grantPatience)
	defer cancel()
	q.ReadsPerSecond, q.WritesPerSecond, q.Burst = g.limits.ReadsPerSecond, g.limits.WritesPerSecond, g.limits.Burst
	return g.client.GrantActs(ctx, q)
}

var errNoAccount = errors.New("the account is not known yet")
