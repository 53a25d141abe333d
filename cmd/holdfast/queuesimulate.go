package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/node/admission/surge"
)

func (a *app) queueSimulate() *cobra.Command {
	var names []string
	var plot string
	var seed uint64
	var seconds bool
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Show what the pacing of the line does with a simulated surge of people",
		Long: `Show what the pacing of the line does with a simulated surge of people: the control law that leaders use, a queueing model
of the shard, and some ten thousand people who come or do not, look, hold, pay or let go, on virtual time. It takes a second
and no cluster, and the same seed gives the same figures. The surges, and what the figures mean, are in docs/admission.md:

` + surgeList(),
		Example: `  holdfast queue simulate --surge herd --plot herd.svg
  holdfast queue simulate -o json                      # all of them
  holdfast queue simulate --plot docs/images           # all of them, a picture of each`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			worlds, err := surgesNamed(cmd, names)
			if err != nil {
				return err
			}
			out := simulatedOut{Items: []simulatedItem{}}
			for _, w := range worlds {
				if seed != 0 {
					w.Seed = seed
				}
				r := surge.Run(w)
				if err := savePlot(plot, len(worlds) == 1, r); err != nil {
					return err
				}
				item := simulatedItem{Figures: r.Figures}
				if seconds {
					item.Samples = r.Samples
				}
				out.Items = append(out.Items, item)
			}
			return a.print(out)
		},
	}
	c.Flags().StringSliceVar(&names, "surge", nil, "the surges to simulate; none: all")
	c.Flags().StringVar(&plot, "plot", "", "write an SVG: to this file, or with several surges into this folder")
	c.Flags().Uint64Var(&seed, "seed", 0, "of the people's choices; 0: each surge's own")
	c.Flags().BoolVar(&seconds, "seconds", false, "with -o json: every second too")
	return c
}

func surgeList() string {
	var b strings.Builder
	for _, w := range surge.Scenarios() {
		fmt.Fprintf(&b, "  %-9s %s\n", w.Name, w.Title)
	}
	return b.String()
}

func surgesNamed(cmd *cobra.Command, names []string) (worlds []surge.World, err error) {
	all := surge.Scenarios()
	if len(names) == 0 {
		return all, nil
	}
	known := make([]string, len(all))
	for i, w := range all {
		known[i] = w.Name
	}
	for _, name := range names {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, usage(cmd, "there is no surge %q%s", name, didYouMean(name, known))
		}
		worlds = append(worlds, all[i])
	}
	return worlds, nil
}

func savePlot(path string, single bool, r surge.Report) error {
	if path == "" {
		return nil
	}
	if !single {
		path = filepath.Join(path, "surge-"+r.World.Name+".svg")
	}
	var b bytes.Buffer
	if err := surge.Plot(&b, r); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

type simulatedOut struct {
	Items []simulatedItem `json:"items"`
}

type simulatedItem struct {
	surge.Figures
	Samples []surge.Sample `json:"samples,omitempty"`
}

func (o simulatedOut) table(w io.Writer) {
	row(w, "SURGE", "PEOPLE", "CAME", "SOLD", "HALF", "99%", "HOLD P99", "SWING", "SESSIONS", "ORDERS/S", "IDLE", "OVER RULE", "RECOVERY", "BURST")
	for _, f := range o.Items {
		row(w, f.Surge, f.People, f.Came, fmt.Sprintf("%d/%d", f.Sold, f.Units), fmt.Sprintf("%d s", f.SoldHalfS), fmt.Sprintf("%d s", f.Sold99S),
			fmt.Sprintf("%.1f ms", f.HoldP99), fmt.Sprintf("%.0f %%", 100*f.Swing), f.ActiveMax, fmt.Sprintf("%.1f", f.OrdersMax),
			fmt.Sprintf("%d s", f.IdleS), fmt.Sprintf("%.1f", f.OverRule), fmt.Sprintf("%d s", f.RecoveryS), fmt.Sprintf("%.2f", f.Burst))
	}
}
