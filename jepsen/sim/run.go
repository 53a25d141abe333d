package sim

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// Report is how a run went.
type Report struct {
	Plan       Plan
	Violations []check.Violation
	Operations []history.Operation
	Final      history.Final
	Changes    []history.Change // that watchers saw who came through frontends
	Sights     []history.Sight
	Played     []Played
	Struck     map[Kind]int       // of the faults that wait for a step of a node, or for its notice: how many found it
	Others     []*history.History // of scenes with events of their own
	Deeds      map[string]int     // of scenes: what was done, how often
	Began      time.Time          // on the bubble's clock: 0 of all instants
	Entries    uint64             // of the shard's log
	Commits    uint64             // of them, those with commands
	Leaders    uint64             // how often leadership changed, in both groups
	Terms      uint64
	Virtual    time.Duration
}

// Played is a fault as it came.
type Played struct {
	Fault               // with the node that it met
	Began time.Duration // on the test's clock
	Gap   time.Duration // for how long nobody could buy, from its begin to a while after its end
	Alone bool          // it struck one member, and no other fault was near
}

func (r *Report) String() string {
	outcomes, reads, repeated := map[holdfast.Outcome]int{}, 0, 0
	for i := range r.Operations {
		o := &r.Operations[i]
		if o.Kind == history.Read {
			reads++
			continue
		}
		outcomes[o.Outcome]++
		if o.Repeated {
			repeated++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %.0f virtual s, %d operations (%d reads, %d told again, %d unknown for good), %d entries, %d terms, %d faults;", r.Plan.Seed,
		r.Virtual.Seconds(), len(r.Operations), reads, repeated, outcomes[0], r.Entries, r.Terms, len(r.Played))
	for _, o := range holdfast.Outcomes() {
		if outcomes[o] > 0 {
			fmt.Fprintf(&b, " %d %s", outcomes[o], o.String())
		}
	}
	for i, deed := range slices.Sorted(maps.Keys(r.Deeds)) {
		fmt.Fprintf(&b, "%s %d %s", []string{";", ","}[min(i, 1)], r.Deeds[deed], deed)
	}
	return b.String()
}

// gapAfter is how long after its end a fault is blamed for a gap.
const gapAfter = 5 * time.Second

// world is what the clients of a run share.
type world struct {
	cluster  *Cluster
	plan     Plan
	recorder *history.Recorder
	event    holdfast.EventID
	began    time.Time
	clients  []*client
	watchers []*watcher
	opened   holdfast.Clock // when the sale was opened
	marks    uint16         // set so far
	twins    sync.WaitGroup // batches that somebody sent once more
	hiring   sync.Mutex
	guests   []*client // of scenes
	scenes   []scene
	fronts   frontends
	troubles []Played
	deeds    deeds
	bank     *bank // nil: the plan needs none
}

// now is the test's clock. It is never 0.
func (w *world) now() time.Duration { return time.Since(w.began) + 1 }

// Run plays a plan in the bubble in which it is called, and judges it.
func Run(p Plan, broken Sabotage, logger *slog.Logger) *Report {
	w := &world{cluster: NewCluster(p, broken, logger), plan: p, recorder: &history.Recorder{}, began: time.Now()}
	r := &Report{Plan: p, Began: w.began}
	defer w.cluster.Close()
	if err := w.open(); err != nil {
		r.violation("liveness", "the sale does not open: %v", err)
		return r
	}
	defer w.closeScenes()
	if err := w.openScenes(); err != nil {
		r.violation("liveness", "the scenes do not open: %v", err)
		return r
	}
	stop := w.watch()
	w.load(r)
	w.judge(r)
	stop()
	w.closeScenes()
	w.cluster.Close()
	w.verifyArchives(r)
	r.Struck = w.cluster.struck
	r.measure()
	r.Virtual = w.now()
	return r
}

// measure looks for the gap of each fault.
func (r *Report) measure() {
	answers := history.AnswersOf(r.Operations)
	for i := range r.Played {
		p := &r.Played[i]
		end := p.Began + p.For + gapAfter
		p.Gap = answers.Gap(p.Began, end)
		p.Alone = p.single()
		for j := range r.Played {
			if o := &r.Played[j]; i != j && o.Began < end && p.Began < o.Began+o.For+gapAfter {
				p.Alone = false
			}
		}
	}
}

func (r *Report) violation(name, format string, args ...any) {
	r.Violations = append(r.Violations, check.Violation{Check: name, Message: fmt.Sprintf(format, args...)})
}

// load lets the clients work while the plan's faults are played.
func (w *world) load(r *Report) {
	w.cluster.sell()
	var working sync.WaitGroup
	for i := range w.plan.Load.Clients {
		cl := w.newClient(i + 1)
		w.clients = append(w.clients, cl)
		working.Go(func() { cl.work(w.plan.Length) })
	}
	if w.plan.Load.Pulse > 0 {
		cl := w.newClient(w.plan.Load.Clients + 1)
		w.clients = append(w.clients, cl)
		working.Go(func() { cl.pulse(w.plan.Length) })
	}
	w.workScenes(&working)
	w.cluster.play(func(f Fault) { r.Played = append(r.Played, Played{Fault: f, Began: w.now()}) })
	working.Wait()
	w.twins.Wait()
}

// watch starts the watchers.
func (w *world) watch() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	for i := range watchers {
		watcher := &watcher{world: w, random: rand.New(rand.NewPCG(w.plan.Seed, 50+uint64(i)))}
		w.watchers = append(w.watchers, watcher)
		watching.Go(func() { watcher.watch(ctx) })
	}
	return func() {
		cancel()
		watching.Wait()
	}
}

func (w *world) newClient(number int) *client {
	return &client{world: w, number: number, random: rand.New(rand.NewPCG(w.plan.Seed, 100+uint64(number))), at: number % Members, clock: w.opened, thinks: w.plan.Load.Think}
}
