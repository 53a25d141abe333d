package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	remote "github.com/holdfast-db/holdfast/client"
)

// scene is one kind of people besides the clients of the seats, who come through frontends. Each has its own file, and a
// row in scenes. A plan says which ones a run has.
type scene interface {
	// open opens what it needs, while nothing is wrong yet.
	open(ctx context.Context, c *remote.Client) error
	// work lets people come until the test's clock is at an instant, and returns when they have gone home. Meanwhile
	// anything may be wrong.
	work(until time.Duration)
	// judge is called when all is healed, and the seats were read back. What it finds is added to the report.
	judge(ctx context.Context, c *remote.Client, r *Report)
}

// Scene names one in a plan, with the people it has at a time.
type Scene struct {
	Name   string
	People int
	Think  time.Duration // on average, between two steps of one of them
}

// director is how a scene is made, and planned: in how many runs of a hundred it is, and how many people it has.
type director struct {
	stage       func(w *world, s Scene) scene
	share       int
	least, most int
	needsBank   bool
}

var directors = map[string]director{
	"library":   {stage: newLibrary, share: 40, least: 1, most: 4},
	"checkout":  {stage: newCheckout, share: 30, least: 1, most: 6, needsBank: true},
	"organizer": {stage: newOrganizing, share: 25, least: 2, most: 6},
	"persons":   {stage: newPeople, share: 20, least: 1, most: 3},
	"line":      {stage: newLine, share: 30, least: 3, most: 20},
}

// sceneNames is the order in which plans draw them.
var sceneNames = []string{"library", "organizer", "persons", "checkout", "line"}

// Trouble is what befalls frontends and the payment provider. The node of such a fault is the host.
const (
	FrontCrash Kind = "front-crash" // a frontend loses all it knows, and comes back
	FrontCut   Kind = "front-cut"   // a frontend is cut off from all members
	FrontSlow  Kind = "front-slow"  // its links are slow by up to Size
	FrontReset Kind = "front-reset" // its connections break

	ProviderDown  Kind = "provider-down"  // the provider does not answer
	ProviderLost  Kind = "provider-lost"  // it does what it is asked to, and the answer is lost
	ProviderError Kind = "provider-500"   // it does what it is asked to, and says that it failed
	ProviderSlow  Kind = "provider-slow"  // its answers take Size
	ProviderLimit Kind = "provider-limit" // it says that it is asked too often
	ProviderBusy  Kind = "provider-busy"  // it says that another works on the same
)

var providerFaults = []Kind{ProviderDown, ProviderLost, ProviderError, ProviderSlow, ProviderLimit, ProviderBusy}

var frontFaults = []Kind{FrontCrash, FrontCrash, FrontCut, FrontSlow, FrontReset}

// direct decides which scenes a seed has, and what befalls frontends then.
func (p *Plan) direct() {
	r := rand.New(rand.NewPCG(p.Seed, 13))
	for _, name := range sceneNames {
		d := directors[name]
		s := Scene{Name: name, People: d.least + r.IntN(d.most-d.least+1), Think: within(r, 200*time.Millisecond, 2*time.Second)}
		if r.IntN(100) < d.share {
			p.Scenes = append(p.Scenes, s)
		}
	}
	p.Rules.Extension = within(r, time.Second, 4*time.Second)
	p.befall()
}

// befall decides what befalls the frontends of the plan's scenes.
func (p *Plan) befall() {
	r := rand.New(rand.NewPCG(p.Seed, 14))
	p.Troubles = nil
	if len(p.Scenes) == 0 {
		return
	}
	tracks := [][]Kind{frontFaults}
	if slices.ContainsFunc(p.Scenes, func(s Scene) bool { return directors[s.Name].needsBank }) {
		tracks = append(tracks, providerFaults)
	}
	for _, kinds := range tracks {
		for at := within(r, time.Second, 10*time.Second); at < p.Length-time.Second; {
			f := Fault{At: at, For: within(r, 100*time.Millisecond, 5*time.Second), Kind: kinds[r.IntN(len(kinds))], Node: Members + r.IntN(fronts)}
			switch f.Kind {
			case FrontSlow:
				f.Size = within(r, time.Millisecond, 100*time.Millisecond)
			case ProviderSlow:
				f.Size = within(r, 100*time.Millisecond, 15*time.Second)
			}
			if !slices.Contains(frontFaults, f.Kind) {
				f.Node = hosts
			}
			p.Troubles = append(p.Troubles, f)
			at += f.For + within(r, time.Second, 15*time.Second)
		}
	}
	slices.SortStableFunc(p.Troubles, func(a, b Fault) int { return int(a.At - b.At) })
}

func within(r *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(r.Int64N(int64(most-least)))).Truncate(time.Millisecond)
}

// openScenes starts the frontends and opens every scene of the plan.
func (w *world) openScenes() error {
	if len(w.plan.Scenes) == 0 {
		return nil
	}
	for _, s := range w.plan.Scenes {
		d, ok := directors[s.Name]
		if !ok {
			return fmt.Errorf("there is no scene %q", s.Name)
		}
		w.scenes = append(w.scenes, d.stage(w, s))
		if d.needsBank && w.bank == nil {
			if err := w.openBank(); err != nil {
				return err
			}
		}
	}
	c, err := w.cluster.dial(organizer)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), w.plan.quietAfter())
	defer cancel()
	for i, s := range w.scenes {
		if err := s.open(ctx, c); err != nil {
			return fmt.Errorf("scene %s: %w", w.plan.Scenes[i].Name, err)
		}
	}
	return w.fronts.open(w)
}

// closeScenes ends the frontends and the provider. It may be called twice.
func (w *world) closeScenes() {
	w.fronts.close()
	if w.bank != nil {
		_ = w.bank.server.Close() // in memory nothing can go wrong
	}
	if len(w.scenes) > 0 {
		time.Sleep(lastBreath)
	}
	w.scenes = nil
}

// lastBreath is how long after its end something may go on that a scene began: a connection that is being made to who does
// not answer, a provider that hangs.
const lastBreath = 30 * time.Second

// organizer is a host whose links are never bad.
const organizer = "organizer"

// workScenes lets all scenes work, and what befalls frontends with them.
func (w *world) workScenes(working *sync.WaitGroup) {
	for _, s := range w.scenes {
		working.Go(func() { s.work(w.plan.Length) })
	}
	if len(w.scenes) > 0 {
		working.Go(w.trouble)
	}
}

// trouble plays what befalls frontends and the provider.
func (w *world) trouble() {
	began := time.Now()
	var playing sync.WaitGroup
	for _, f := range w.plan.Troubles {
		time.Sleep(f.At - time.Since(began))
		w.troubles = append(w.troubles, Played{Fault: f, Began: w.now()})
		w.deeds.did(string(f.Kind))
		end := w.beginTrouble(f)
		playing.Go(func() {
			time.Sleep(f.For)
			end()
		})
	}
	playing.Wait()
}

// beginTrouble lets one fault begin; end ends it.
func (w *world) beginTrouble(f Fault) (end func()) {
	of := func(from, to int) bool { return from == f.Node || to == f.Node }
	switch f.Kind {
	case FrontCrash:
		front := w.fronts.all[f.Node-Members]
		front.crash()
		return func() {
			if err := front.up(); err != nil {
				w.cluster.fail("%s does not start: %v", hostName(f.Node), err)
			}
		}
	case FrontCut:
		return w.cluster.impairHosts(cutLink, of)
	case FrontSlow:
		return w.cluster.impairHosts(slowLink(f.Size), of)
	case FrontReset:
		for i := range Members {
			w.cluster.network.Reset(hostName(f.Node), nodeName(i))
		}
		return func() {}
	}
	if w.bank != nil {
		return w.bank.fail(f)
	}
	panic("no such trouble: " + string(f.Kind))
}

// judgeScenes has every scene say what it found.
func (w *world) judgeScenes(r *Report) {
	r.Played = append(r.Played, w.troubles...)
	slices.SortStableFunc(r.Played, func(a, b Played) int { return int(a.Began - b.Began) })
	defer func() { r.Deeds = w.deeds.counts }()
	if len(w.scenes) == 0 {
		return
	}
	c, err := w.cluster.dial(organizer)
	if err != nil {
		r.violation("liveness", "no client: %v", err)
		return
	}
	defer c.Close()
	for _, s := range w.scenes {
		ctx, cancel := context.WithTimeout(context.Background(), judgeMax)
		s.judge(ctx, c, r)
		cancel()
	}
}

// judgeMax bounds how long a scene may take to come to rest, and to be read back.
const judgeMax = 5 * time.Minute

// hire adds a client of the seats who belongs to a scene.
func (w *world) hire(cl *client) {
	w.hiring.Lock()
	defer w.hiring.Unlock()
	w.guests = append(w.guests, cl)
}

// deeds counts what scenes do, so that one sees that they do it.
type deeds struct {
	mu     sync.Mutex
	counts map[string]int
}

func (d *deeds) did(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.counts == nil {
		d.counts = map[string]int{}
	}
	d.counts[what]++
}
