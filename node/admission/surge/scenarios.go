package surge

import (
	"time"
)

// hall is a large on-sale, from which the scenarios differ: sixty thousand people wait for twenty-four thousand units. Its
// shard is slow on purpose, a thousandth of what ours does, so that the law has something to obey with a crowd of this size.
func hall() World {
	return World{
		Seed: 1, Units: 24000, Ceiling: 2000, Orders: 25, Early: 60000,
		ShowUp: 0.9, Return: 0.3, ShowDelay: 4 * time.Second, Window: 120 * time.Second,
		Look: 25 * time.Second, Pay: 60 * time.Second, PayShare: 0.85, LetGo: 0.6, TTL: 480 * time.Second,
		Entry: 3 * time.Millisecond, Command: 2 * time.Millisecond, Known: 2 * time.Millisecond,
		SecondsMax: 7200,
	}
}

// Scenarios are the worlds that the law is judged by, in the order of docs/admission.md.
func Scenarios() []World {
	named := func(name, title string, change func(*World)) World {
		w := hall()
		w.Name, w.Title = name, title
		change(&w)
		return w
	}
	return []World{
		named("step", "a few people a second, and from second 120 on many", func(w *World) {
			w.Early, w.Units, w.Arrivals = 200, 12000, []Flow{{0, 120, 3, 3}, {120, 1200, 30, 30}}
		}),
		named("ramp", "arrivals grow evenly from one to sixty a second", func(w *World) {
			w.Early, w.Units, w.Arrivals = 0, 12000, []Flow{{0, 600, 1, 60}}
		}),
		named("herd", "sixty thousand people wait when the sale opens", func(*World) {}),
		named("weak", "a herd, a provider without limits, and a shard that is slower than is known and cannot serve the ceiling", func(w *World) {
			w.Early, w.Units, w.Ceiling, w.Orders = 120000, 60000, 8000, 0
			w.Command, w.Known = 2500*time.Microsecond, time.Millisecond
		}),
		named("slow", "a herd, and the commit path becomes ten times slower for a minute", func(w *World) {
			w.Faults = []Fault{{From: 300, To: 360, Slower: 10}}
		}),
		named("failover", "a herd; the leader is lost for two seconds, and the next one is told what the last one knew", func(w *World) {
			w.Faults = []Fault{{From: 300, To: 302}}
		}),
		named("amnesia", "the same with seven in ten who do not come, and the next leader knows nothing but the state", func(w *World) {
			w.ShowUp = 0.3
			w.Faults = []Fault{{From: 300, To: 302, Forgets: true}}
		}),
		named("noshow", "a herd; seven in ten of those who are called do not come", func(w *World) { w.ShowUp = 0.3 }),
		named("payers", "a herd; people take three minutes to pay, and every third hold is not paid", func(w *World) {
			w.Pay, w.PayShare, w.Units = 180*time.Second, 0.67, 12000
		}),
		named("returns", "a herd; every second hold is let go or lapses, so that most of the stock comes back at least once", func(w *World) {
			w.PayShare, w.LetGo, w.Units = 0.5, 0.3, 12000
		}),
	}
}
