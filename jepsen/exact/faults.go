package exact

import "time"

// strike lets a fault of the plan happen.
func (w *world) strike(s Step) {
	w.counts.Faults++
	w.say("fault", s.Kind.String(), uint64(s.Size), uint64(s.For))
	chance := dice(s.Seed, 4)
	lasts := window{until: w.now + s.For, size: s.Size}
	switch s.Kind {
	case LeaderDies:
		w.shard.lose(true, seconds(chance, 0, 2))
	case LeaderStepsDown:
		w.shard.lose(false, time.Duration(chance.IntN(500))*time.Millisecond)
	case LeaderCutOff:
		w.shard.cutOff(s.For)
	case SlowLog:
		w.shard.slow = lasts
	case LostAnswers:
		w.net.lostAnswers = lasts
	case LostRequests:
		w.net.lostRequests = lasts
	case Doubles:
		w.net.doubled = lasts
	case SlowNetwork:
		w.net.slow = lasts
	case WorkerDies:
		w.killWorker(chance.IntN(len(w.workers)), s)
	case EdgeDies:
		w.killEdge(chance.IntN(len(w.edges)), s.Seed)
	case WallJump:
		w.shard.members[chance.IntN(3)].wallAhead += time.Duration(s.Size) * time.Second
	case Restored:
		w.shard.restore()
	default:
		*w.bank.window(s.Kind) = lasts
	}
}

// window gives the bank's fault of a kind.
func (b *bank) window(k Kind) *window {
	switch k {
	case BankDown:
		return &b.down
	case BankFailsAfter:
		return &b.failsAfter
	case BankFailsBefore:
		return &b.failsBefore
	case BankSlow:
		return &b.slow
	case BankLimits:
		return &b.limits
	case BankTwice:
		return &b.twice
	case HintsLate:
		return &b.late
	case HintsTwice:
		return &b.doubled
	}
	return &b.lost
}

// cutOff takes the leader's followers away from it; after a while it steps down.
func (s *shard) cutOff(lasts time.Duration) {
	if s.leader < 0 {
		return
	}
	s.cut = true
	reign := s.reign
	s.w.after(lasts, func() {
		if s.reign == reign {
			s.lose(false, electedSoon)
		}
	})
}

// killWorker has a worker die some steps from now, or by the time that it would be started again, and another take its place.
func (w *world) killWorker(place int, s Step) {
	k := w.workers[place]
	k.dieIn = s.Size
	w.after(s.For, func() {
		if w.workers[place] == k {
			k.die()
			w.startWorker(place, s.Seed%1000+1)
		}
	})
}

// killEdge has a frontend die with the visits that it served.
func (w *world) killEdge(place int, seed uint64) {
	old := w.edges[place]
	old.dead = true
	for _, f := range old.serving {
		f.kill()
	}
	w.edges[place] = w.newCaller(old.name, 1<<20+seed%1000)
}
