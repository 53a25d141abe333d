package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment/sandbox"
)

var outageFlag = flag.Duration("outage", 8*time.Second, "how long each fault of the provider lasts in the tests with real processes")

// badSale is a sale with real processes to which something happens: the demonstration's crowd, other faults, its audit.
type badSale struct {
	*demonstration
	t    *testing.T
	errs bytes.Buffer
}

// newBadSale starts a cluster, frontends and a bank, with an event on sale whose line is open.
func newBadSale(t *testing.T, buyers int, rush time.Duration) *badSale {
	t.Helper()
	s := &badSale{t: t}
	s.demonstration = &demonstration{demoFlags: demoFlags{exit: true, noKill: true, buyers: buyers, seats: buyers * 2, rush: rush, nodes: 3, seed: 1},
		app: &app{out: &s.errs, err: &s.errs, format: formatJSON}, dir: t.TempDir(), began: time.Now()}
	var err error
	if s.spec, err = s.demoFlags.spec(); err != nil {
		t.Fatal(err)
	}
	s.view = s.app.newView(func() {})
	t.Cleanup(func() {
		if err := s.demonstration.close(); err != nil {
			t.Error(err)
		}
		s.view.release()
	})
	if err := s.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// during lets the crowd in and does something to the sale until it is over, or the buyers have gone. Then everything has
// to come to its end within the bounds, and the audit finds nothing.
func (s *badSale) during(bad func(ctx context.Context) error, patience time.Duration) {
	s.t.Helper()
	ctx := s.t.Context()
	s.crowd = newCrowd(s.shop, s.event, s.buyers, s.rush, s.seed)
	doing := make(chan error, 1)
	go func() {
		err := s.openSale(ctx)
		if err == nil {
			err = bad(ctx)
		}
		doing <- err
	}()
	s.crowd.run(ctx)
	gone := time.Now()
	if err := <-doing; err != nil {
		s.t.Fatal(err)
	}
	// I4: nobody is there any more, so every unit that was not sold is free after the pay window and the grace. A shard
	// without a leader stops the hold clock: an election, and the stretch that a leader may have served before it died.
	const slack = 5 * time.Second
	s.await("what was abandoned is back on sale", time.Until(gone.Add(demoPayWindow+holdfast.GraceMax+slack)), func() (string, error) {
		e, err := s.client.Event(ctx, s.event.EventRef)
		return fmt.Sprintf("%d held, %d in payment", e.Total.Held, e.Total.Paying), errors.Join(err, wrongIf(e.Total.Held+e.Total.Paying > 0))
	})
	s.await("what is owed is settled", patience, func() (string, error) {
		owed := 0
		for effect, err := range s.client.Effects(ctx, s.event.Shard) {
			if err != nil {
				return "", err
			}
			if effect.Kind != holdfast.EffectReceipt && effect.Kind != holdfast.EffectNotify {
				owed++
			}
		}
		return fmt.Sprintf("%d effects are owed", owed), wrongIf(owed > 0)
	})
	s.judge()
}

var errNotYet = errors.New("not yet")

func wrongIf(wrong bool) error {
	if wrong {
		return errNotYet
	}
	return nil
}

func (s *badSale) await(what string, within time.Duration, look func() (string, error)) {
	s.t.Helper()
	began := time.Now()
	for {
		how, err := look()
		if err == nil {
			s.t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > within {
			s.t.Fatalf("%s: not after %v: %s, %v", what, within, how, err)
		}
		pause(s.t.Context(), 100*time.Millisecond)
	}
}

// judge reads the verdict of the audit. A crowd that is told "later" for longer than its patience may go away unanswered;
// nothing else may happen to it.
func (s *badSale) judge() {
	s.t.Helper()
	if err := s.audit(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	for _, c := range s.out.Checks {
		if !c.OK && c.Name != "everybody got an answer" {
			s.t.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
	s.t.Logf("sold %d of %d for %d, captured %d; voided %d, refunded %d, rescued %d; endings %v; refused %v; again %v", s.out.Sold, s.out.Capacity, s.out.SoldMinor,
		s.out.CapturedMinor, s.out.Voided, s.out.Refunded, s.out.Rescued, s.out.Endings, s.out.Refused, s.out.Failed)
	if s.out.Orders == 0 {
		s.t.Error("nobody bought anything: the faults stopped the sale, and the test shows nothing")
	}
	if s.t.Failed() {
		for _, m := range append(s.cluster.others, s.cluster.members...) {
			s.t.Logf("%s: %s", m.name, m.lastWords())
		}
	}
}

// TestMoneyEqualsSeatsWhateverTheProviderDoes: in the middle of a sale the provider is gone, answers after half a minute, does what it is
// asked and answers 500, breaks the connection behind the work, and refuses for too many requests, one after the other.
func TestMoneyEqualsSeatsWhateverTheProviderDoes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes, and takes a minute")
	}
	faults := []sandbox.Do{sandbox.Down, sandbox.Slow, sandbox.ErrorAfter, sandbox.DropAfter, sandbox.RateLimit}
	outage := *outageFlag
	s := newBadSale(t, 600, time.Duration(len(faults)+1)*outage)
	s.during(func(ctx context.Context) error {
		pause(ctx, outage/2)
		for _, do := range faults {
			if err := s.shop.bank.SetFaults(sandbox.Fault{Do: do, ForMs: outage.Milliseconds()}); err != nil {
				return err
			}
			pause(ctx, outage)
		}
		return s.shop.bank.SetFaults()
	}, 4*outage+2*time.Minute) // what was put off is tried again after up to as long as it has waited before
}

// TestMoneyEqualsSeatsWhenFrontendsDie kills one frontend after the other with SIGKILL, each a second after it is back.
func TestMoneyEqualsSeatsWhenFrontendsDie(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes, and takes half a minute")
	}
	s := newBadSale(t, 500, 20*time.Second)
	s.during(func(ctx context.Context) error { return s.killing(ctx, time.Second, s.cluster.others) }, time.Minute)
}

// TestMoneyEqualsSeatsWhenLeadersDie kills the shard's leader with SIGKILL again and again, while the crowd pays.
func TestMoneyEqualsSeatsWhenLeadersDie(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes, and takes half a minute")
	}
	s := newBadSale(t, 500, 20*time.Second)
	s.during(func(ctx context.Context) error {
		for end := time.Now().Add(s.rush); time.Now().Before(end); {
			leader, err := s.cluster.leader(ctx, s.client, s.event.Shard)
			if err != nil {
				pause(ctx, 100*time.Millisecond)
				continue
			}
			if err := s.killing(ctx, 3*time.Second, []*localMember{leader}); err != nil {
				return err
			}
		}
		return nil
	}, time.Minute)
}

// killing kills processes in turn, each for as long as is said, until the rush is over or, of a single one, once.
func (s *badSale) killing(ctx context.Context, between time.Duration, victims []*localMember) error {
	for i, end := 0, time.Now().Add(s.rush); time.Now().Before(end); i++ {
		victim := victims[i%len(victims)]
		if err := victim.kill(); err != nil {
			return err
		}
		pause(ctx, time.Second)
		if err := s.cluster.start(victim); err != nil {
			return err
		}
		if len(victims) == 1 {
			pause(ctx, between)
			return nil
		}
		for address := s.shop.addresses[i%len(victims)]; !serves(ctx, address); {
			if !victim.running() {
				return fmt.Errorf("%s ended by itself: %s", victim.name, victim.lastWords())
			}
			pause(ctx, 50*time.Millisecond)
		}
		pause(ctx, between)
	}
	return nil
}
