package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The demonstration without its crowd: the same cluster, frontends and bank, with a shop in which you are the only visitor,
// until you stop it. The tests with a real browser use it as well.

// standingOut says where everything is. As JSON it is one line, with a line for each process that is started again after it.
type standingOut struct {
	Event     string        `json:"event"` // its name
	Addresses []string      `json:"addresses"`
	Sandbox   string        `json:"sandbox"`
	Endpoints []string      `json:"endpoints"`
	Processes []standingPID `json:"processes"`
}

type standingPID struct {
	Name    string `json:"name"`
	Role    string `json:"role"` // member or frontend
	Address string `json:"address"`
	PID     int    `json:"pid"`
}

func (o standingOut) table(w io.Writer) {
	for _, address := range o.Addresses {
		fmt.Fprintf(w, "%s/e/%s\n", address, o.Event)
	}
	row(w)
	row(w, "NAME", "ROLE", "ADDRESS", "PROCESS")
	for _, p := range o.Processes {
		row(w, p.Name, p.Role, p.Address, p.PID)
	}
}

// table of a process that was started again: the view has said it.
func (standingPID) table(io.Writer) {}

// standing gives the spec of an event that people buy by hand: the file's own times, and a line before the door.
func standing(spec command.EventSpec) command.EventSpec {
	if !spec.Line.Enabled {
		spec.Line = command.LineRules{Enabled: true, CeilingMax: demoCeiling}
	}
	return spec
}

// welcome opens the shop and keeps it open until ctx ends. What dies meanwhile is started again.
func (d *demonstration) welcome(ctx context.Context) error {
	if err := d.tell(d.standingOut()); err != nil {
		return err
	}
	if d.app.format != formatJSON {
		d.view.say("the order of those who have joined is drawn in %v; the sale opens then", d.lobby)
	}
	if !pause(ctx, d.lobby) {
		return nil
	}
	if err := d.client.Draw(ctx, d.event.EventRef, holdfast.BeaconRound{}); err != nil {
		return err
	}
	if err := d.client.OpenSale(ctx, d.event.EventRef); err != nil {
		return err
	}
	d.view.close()
	if d.app.format != formatJSON {
		d.app.progress("\nThe sale is open. Kill what you like: it is started again after %v.", down)
		d.invite("Ctrl-C")
	}
	for pause(ctx, 100*time.Millisecond) {
		for _, m := range d.cluster.processes() {
			if m.running() {
				continue
			}
			d.view.say("%s has ended; it is started again in %v", m.name, down)
			if !pause(ctx, down) {
				return nil
			}
			if err := d.cluster.start(m); err != nil {
				return err
			}
			if err := d.tell(d.standingPID(m)); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell prints an answer, as a line of its own where a program reads.
func (d *demonstration) tell(v answer) error {
	if d.app.format == formatJSON {
		return printLine(d.app.out, v)
	}
	return d.app.print(v)
}

func (d *demonstration) standingOut() standingOut {
	o := standingOut{Event: d.spec.Name, Addresses: d.shop.addresses, Sandbox: d.shop.provider, Endpoints: d.cluster.endpoints()}
	for _, m := range d.cluster.processes() {
		o.Processes = append(o.Processes, d.standingPID(m))
	}
	return o
}

func (d *demonstration) standingPID(m *localMember) standingPID {
	p := standingPID{Name: m.name, Role: "member", Address: m.client, PID: m.pid()}
	for i, f := range d.shop.frontends {
		if f == m {
			p.Role, p.Address = "frontend", strings.TrimPrefix(d.shop.addresses[i], "http://")
		}
	}
	return p
}

// stay keeps the cluster up after the crowd, for whoever wants to look at it.
func (d *demonstration) stay(ctx context.Context) {
	d.invite("q or Ctrl-C")
	<-ctx.Done()
}

// invite says what can be done with a cluster that stays up.
func (d *demonstration) invite(until string) {
	self, err := os.Executable()
	if err != nil {
		self = "holdfast"
	}
	d.app.progress(`
The cluster stays up until you press %[6]s. In a browser:

  %[5]s/e/%[4]s

In another terminal:

  export %[1]s=%[2]s
  %[3]s cluster status
  %[3]s event show %[4]s
  %[3]s event open %[4]s && %[3]s hold create %[4]s --buyer ada --best 2
  %[3]s queue show %[4]s && %[3]s queue verify-draw %[4]s
  %[3]s cluster verify
`, endpointsEnv, strings.Join(d.cluster.endpoints(), ","), self, d.spec.Name, d.shop.addresses[0], until)
}
