package settle

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

// Collectors are the worker's counters for a scraper. Names begin with holdfast_settlement_.
func (w *Worker) Collectors() (all []prometheus.Collector) {
	s := &w.stats
	counter := func(name, help string, labels prometheus.Labels, f func() uint64) {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "holdfast_settlement_" + name, Help: help, ConstLabels: labels},
			func() float64 { return float64(f()) }))
	}
	gauge := func(name, help string, f func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "holdfast_settlement_" + name, Help: help}, f))
	}
	counter("leases_total", "Questions for effects.", nil, s.Leases.Load)
	counter("lease_failures_total", "Questions for effects that failed.", nil, s.LeaseFailures.Load)
	for kind := holdfast.EffectLook; kind <= holdfast.EffectNotify; kind++ {
		e := &s.Effects[kind]
		counter("effects_total", "Effects that were carried out.", prometheus.Labels{"kind": kind.String(), "end": "acknowledged"}, e.Carried.Load)
		counter("effects_total", "Effects that were carried out.", prometheus.Labels{"kind": kind.String(), "end": "broken"}, e.Broken.Load)
	}
	for class := range payment.Class(payment.Classes) {
		c := &s.Calls[class]
		for end, f := range map[string]func() uint64{"ok": c.OK.Load, "refused": c.Refused.Load, "unknown": c.Unknown.Load, "limited": c.Limited.Load} {
			counter("provider_calls_total", "Calls to the payment provider.", prometheus.Labels{"class": class.String(), "end": end}, f)
		}
	}
	for result, f := range map[string]func() uint64{"done": s.Done.Load, "failed": s.Failed.Load, "retry": s.Retried.Load, "lost": s.Unacknowledged.Load} {
		counter("acknowledgements_total", "What came of effects; lost did not reach the log.", prometheus.Labels{"result": result}, f)
	}
	for end, f := range map[string]func() uint64{"taken": s.HintsTaken.Load, "foreign": s.HintsForeign.Load, "forged": s.HintsForged.Load, "later": s.HintsLater.Load, "idle": s.HintsIdle.Load} {
		counter("hints_total", "Webhooks, by what became of them.", prometheus.Labels{"end": end}, f)
	}
	counter("strays_total", "Payments with money that sells nothing, reported to their shard.", nil, s.Strays.Load)
	counter("unplaced_total", "Payments with money that no shard took a report of.", nil, s.Unplaced.Load)
	counter("reconcile_failures_total", "Reconciliations that could not read everything.", nil, s.ReconcileFailures.Load)
	gauge("reconciled_seconds", "When the last reconciliation read everything, in Unix time; 0: none has.", func() float64 { return float64(s.Reconciled.Load()) / 1000 })
	gauge("differences", "Payments on which the provider and the shards differed in the last reconciliation.", func() float64 { return float64(s.Differences.Load()) })
	gauge("waiting_seconds", "Age of the oldest attempt that waits for the provider's word, in the last reconciliation.", func() float64 { return float64(s.WaitingSeconds.Load()) })
	return all
}
