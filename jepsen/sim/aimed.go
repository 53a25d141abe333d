package sim

import "time"

// Aimed kinds of plans are for whoever looks for one thing: the same trouble again and again, or one scene and hardly
// anybody else. No seed draws them.
func aimedKinds() []planKind {
	kinds := []planKind{
		{name: "crashes", length: 1, make: again(CrashAll, Crash)},
		{name: "cuts", length: 1, make: again(Isolate)},
		{name: "jumps", length: 1, make: again(WallsJump)},
	}
	for _, name := range sceneNames {
		kinds = append(kinds, planKind{name: name, length: 1, make: func(d *draft) {
			storm(d)
			d.Load.Clients = min(d.Load.Clients, 3)
			d.Scenes = []Scene{{Name: name, People: directors[name].most, Think: 200 * time.Millisecond}}
			d.befall()
		}})
	}
	return kinds
}

// again lets the leader have the same troubles in turn, one every few seconds, and nothing else.
func again(kinds ...Kind) func(*draft) {
	const every, lasts = 3 * time.Second, 1500 * time.Millisecond
	return func(d *draft) {
		storm(d)
		d.Faults, d.Scenes, d.Troubles, d.Snapshot = nil, nil, nil, 50
		for at := every; at < d.Length-lasts; at += every {
			f := Fault{At: at, For: lasts, Kind: kinds[len(d.Faults)%len(kinds)], Node: Leader}
			if f.Kind == WallsJump {
				f.Size = time.Hour
			}
			d.Faults = append(d.Faults, f)
		}
	}
}
