package surge

// The life of somebody who was called. Each step that costs the shard a command goes through it.

// summon is being called: one comes, or does not.
func (r *run) summon(number int) {
	window := r.Window.Seconds()
	delay := r.exponential(r.ShowDelay)
	if r.rng.Float64() < r.ShowUp && delay < window {
		called := r.now
		r.after(delay, func() { r.come(called) })
		return
	}
	called := int(r.now)
	r.after(window, func() {
		r.called--
		r.outstanding[called]--
		r.missed++
		if r.rng.Float64() < r.Return {
			r.after(60+120*r.rng.Float64(), func() {
				r.deferred = append(r.deferred, back{number, r.served + deferral})
			})
		}
	})
}

// come opens the session.
func (r *run) come(called float64) {
	if r.active >= r.Ceiling { // the shard says: in a moment
		r.after(1, func() { r.come(called) })
		return
	}
	r.shard.submit(func(float64) {
		r.called--
		r.outstanding[int(called)]--
		r.clamp.cameOf(called)
		r.comingMs += uint64((r.now - called) * 1000)
		r.active++
		r.looking++
		r.cameTotal++
		begun := r.now
		r.after(3+r.spread(r.Look), func() { r.want(begun, r.units(), 0) })
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
func (r *run) want(begun float64, units, tries int) {
	r.shard.submit(func(ms float64) {
		r.second = append(r.second, ms)
		r.holds = append(r.holds, timedHold{r.now, ms})
		switch {
		case r.free >= units:
			r.hold(begun, units)
		case tries < 2 && r.rng.Float64() < 0.7: // looks once more, for fewer if there are fewer
			if r.free > 0 {
				units = min(units, r.free)
			}
			r.after(2+6*r.rng.Float64(), func() { r.want(begun, units, tries+1) })
		default:
			r.empty++
			r.looking--
			r.end(begun)
		}
	})
}

// hold has the units, and pays or does not.
func (r *run) hold(begun float64, units int) {
	r.free -= units
	r.held += units
	r.looking--
	r.heldTotal++
	r.unitsTotal += uint64(units)
	back := func() {
		r.held -= units
		r.free += units
		r.end(begun)
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
					r.clamp.sold(units)
					r.end(begun)
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

// end ends a session.
func (r *run) end(begun float64) {
	r.active--
	lasted := r.now - begun
	if r.sessionS == 0 {
		r.sessionS = lasted
	}
	r.sessionS += (lasted - r.sessionS) / 16
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
