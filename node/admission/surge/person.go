package surge

// The life of somebody who was called. Each step that costs the shard a command goes through it.

// summon is being called: one comes, or does not.
func (r *run) summon(number int) {
	window := r.Window.Seconds()
	delay := r.exponential(r.ShowDelay)
	if r.rng.Float64() < r.ShowUp && delay < window {
		r.after(delay, func() { r.come() })
		return
	}
	r.after(window, func() {
		r.called--
		r.missed++
		if r.rng.Float64() < r.Return {
			r.after(60+120*r.rng.Float64(), func() {
				r.deferred = append(r.deferred, back{number, r.served + deferral})
			})
		}
	})
}

// come opens the session.
func (r *run) come() {
	if r.active >= r.Ceiling { // the shard says: in a moment
		r.after(1, r.come)
		return
	}
	r.shard.submit(func(float64) {
		r.called--
		r.active++
		r.looking++
		r.cameTotal++
		r.after(3+r.spread(r.Look), func() { r.want(r.units(), 0) })
	})
}

// units is how many somebody wants.
func (r *run) units() int {
	switch p := r.rng.Float64(); {
	case p < 0.25:
		return 1
	case p < 0.80:
		return 2
	case p < 0.90:
		return 3
	}
	return 4
}

// want asks for a hold, some times.
func (r *run) want(units, tries int) {
	r.shard.submit(func(ms float64) {
		r.second = append(r.second, ms)
		r.holds = append(r.holds, timedHold{r.now, ms})
		switch {
		case r.free >= units:
			r.hold(units)
		case tries < 2 && r.rng.Float64() < 0.7: // looks once more, for fewer if there are fewer
			if r.free > 0 {
				units = min(units, r.free)
			}
			r.after(2+6*r.rng.Float64(), func() { r.want(units, tries+1) })
		default:
			r.empty++
			r.looking--
			r.active--
		}
	})
}

// hold has the units, and pays or does not.
func (r *run) hold(units int) {
	r.free -= units
	r.held += units
	r.looking--
	r.heldTotal++
	r.unitsTotal += uint64(units)
	back := func() {
		r.held -= units
		r.free += units
		r.active--
		r.lapse++
	}
	pay := 5 + r.spread(r.Pay)
	ttl := r.TTL.Seconds()
	switch p := r.rng.Float64(); {
	case p < r.PayShare && pay < ttl:
		r.after(pay, func() { // begin, and the sale
			r.shard.submit(func(float64) {
				r.shard.submit(func(float64) {
					r.held -= units
					r.sold += units
					r.soldTotal++
					r.active--
					r.paidAt = append(r.paidAt, r.now)
				})
			})
		})
	case r.rng.Float64() < r.LetGo:
		r.after(min(r.exponential(r.Pay), ttl), func() { r.shard.submit(func(float64) { back() }) })
	default:
		r.expire(r.now, ttl, back)
	}
}

// expire ends a hold on the hold clock, which stands while the shard has no leader.
func (r *run) expire(from, left float64, back func()) {
	for _, f := range r.Faults {
		if f.Slower == 0 && from < f.To && from+left > f.From {
			left += f.To - max(from, f.From)
		}
	}
	r.after(left, back)
}
