package outbox

import (
	"cmp"
	"time"

	"github.com/holdfast-db/holdfast/payment"
)

// Budgets share what payment providers allow among all workers and frontends of the cluster: for each account one
// payment.Budget. They live in the memory of the directory's leader and nowhere else. A new leader begins with nothing
// saved up, so that no second's requests are given out twice.
//
// The zero value is ready. It is not safe for concurrent use: its owner locks.
type Budgets struct{ accounts map[string]*account }

// The limits of budgets.
const (
	// AccountsMax bounds the accounts. Beyond them whoever asks is told to wait.
	AccountsMax = 64
	// GrantFor is how long a granted act may be kept before it is begun; then it is void.
	GrantFor = 2 * time.Second
	// grantAgain is when to ask again who was granted nothing.
	grantAgain = 50 * time.Millisecond
	// tellFor is how long an account's lower limits hold after the last who told them: callers who disagree get the
	// lowest. So long, too, an account is remembered that nobody asks for.
	tellFor = 30 * time.Second
	// rateDefault stands for limits that are not told, as in payment.Limits.
	rateDefault = 80
)

type account struct {
	budget *payment.Budget
	limits payment.Limits
	passed time.Duration // Monotonic: up to when time has passed in the budget
	told   time.Duration // Monotonic: when limits were last told
}

// Ask asks for acts at a payment provider.
type Ask struct {
	Account string         // whose
	Limits  payment.Limits // what the provider allows it
	Want    payment.Acts
	Back    payment.Acts // granted before, and not begun
	Limited bool         // the provider has refused a request for too many
}

// Granted is what may be begun now, and for how long that holds; or, when it is nothing, when to ask again.
type Granted struct {
	Acts  payment.Acts
	For   time.Duration
	Again time.Duration
}

// Grant gives acts out, in the order of their classes.
func (b *Budgets) Grant(now time.Duration, q Ask) Granted {
	a := b.account(now, q.Account, q.Limits)
	if a == nil {
		return Granted{Again: time.Second}
	}
	a.budget.Pass(now - a.passed)
	a.passed = now
	a.budget.GiveBack(q.Back)
	if q.Limited {
		a.budget.Limited()
	}
	g := Granted{Acts: a.budget.Grant(q.Want), For: GrantFor}
	if g.Acts == (payment.Acts{}) && q.Want != (payment.Acts{}) {
		g.For, g.Again = 0, grantAgain
	}
	return g
}

// account finds the account's budget, or makes it; nil when there are too many.
func (b *Budgets) account(now time.Duration, name string, limits payment.Limits) *account {
	limits.ReadsPerSecond, limits.WritesPerSecond = cmp.Or(limits.ReadsPerSecond, rateDefault), cmp.Or(limits.WritesPerSecond, rateDefault)
	a := b.accounts[name]
	if a == nil && len(b.accounts) >= AccountsMax {
		for other, old := range b.accounts {
			if now-old.passed > tellFor {
				delete(b.accounts, other)
			}
		}
		if len(b.accounts) >= AccountsMax {
			return nil
		}
	}
	lower := a != nil && (limits.ReadsPerSecond < a.limits.ReadsPerSecond || limits.WritesPerSecond < a.limits.WritesPerSecond)
	switch {
	case a == nil || lower || limits != a.limits && now-a.told > tellFor:
		if lower && now-a.told <= tellFor {
			limits.ReadsPerSecond = min(limits.ReadsPerSecond, a.limits.ReadsPerSecond)
			limits.WritesPerSecond = min(limits.WritesPerSecond, a.limits.WritesPerSecond)
		}
		a = &account{budget: payment.NewBudget(limits), limits: limits, passed: now, told: now}
		a.budget.Limited() // nothing is saved up
		if b.accounts == nil {
			b.accounts = map[string]*account{}
		}
		b.accounts[name] = a
	case limits == a.limits:
		a.told = now
	}
	return a
}

// Clear forgets all: leadership was lost.
func (b *Budgets) Clear() { *b = Budgets{} }
