package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast"
	remote "github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// guest is what the visitors of the scenes have in common: somebody who asks frontends, and remembers what he saw.
type guest struct {
	of     *world
	thinks time.Duration // for so long on average
	random *rand.Rand
	at     int // the frontend that he goes to
	seen   history.Visit
}

// newGuest makes the visitor with that number. Those of different scenes have dice of their own.
func newGuest(w *world, number int, scene uint64, thinks time.Duration) guest {
	return guest{
		of: w, thinks: thinks, random: rand.New(rand.NewPCG(w.plan.Seed, uint64(number)<<8|scene)), at: number % fronts,
		seen: history.Visit{Number: number, Place: -1, Began: w.now()},
	}
}

// askMax is how long a guest asks for one thing before he goes home.
const askMax = 20 * time.Second

// ask asks one frontend after the other until one answers yes or no.
func (g *guest) ask(what func(ctx context.Context, l *frontLife) error) error {
	for tired := g.of.now() + askMax; ; {
		ctx, cancel := context.WithTimeout(context.Background(), callMax)
		err := error(errRefused)
		if l := g.of.fronts.pick(ctx, g.at); l != nil {
			err = what(ctx, l)
		}
		cancel()
		if err == nil || definite(err) || g.of.now() > tired {
			return err
		}
		g.at++
		time.Sleep(50*time.Millisecond + time.Duration(g.random.Int64N(int64(100*time.Millisecond))))
	}
}

// definite reports whether asking again would be answered the same.
func definite(err error) bool {
	var no *remote.Refusal
	var failure *holdfast.Error
	switch {
	case errors.As(err, &no):
		return no.Outcome != holdfast.CommandExpired && no.Outcome != holdfast.CommandTooFar
	case errors.As(err, &failure):
		return failure.Kind == holdfast.NotFound || failure.Kind == holdfast.Invalid || failure.Kind == holdfast.Denied
	}
	return false
}

// end ends the visit and gives what he saw.
func (g *guest) end(scene string) history.Visit {
	g.seen.Ended = g.of.now()
	g.of.deeds.did(scene + g.seen.Told)
	return g.seen
}

func (g *guest) think() { time.Sleep(time.Duration(g.random.ExpFloat64() * float64(g.thinks))) }
