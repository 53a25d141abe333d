//go:build linux

package main

import (
	"cmp"
	"time"

	"github.com/holdfast-db/holdfast/fsm/planted"
)

// plantedRow says for a fault where to look for it, and what is to find it. A level that is left out cannot see it: nothing
// that it does comes near.
type plantedRow struct {
	fault planted.Fault
	by    []string // the checks, of all levels but the tests, that are meant to find it: a catch by another one is none
	tests []suite
	exact bool
	sim   *simAim
	run   *runAim
	lossy *runAim // on disks whose power can be cut
}

// suite is tests of one package.
type suite struct {
	pkg   string
	names []string
}

// simAim points sim at something.
type simAim struct {
	plan   string        // the kind of plan; "": each seed decides
	length time.Duration // of one; 0: a minute
}

func (a simAim) load() time.Duration { return cmp.Or(a.length, time.Minute) }

// runAim points run at something.
type runAim struct {
	workloads []string
	nemeses   []string
	snapshots int // entries between two; 0: as run has it
}

// testFlags are for the tests of a package: what was found need not be made small, nor kept.
var testFlags = map[string][]string{
	"fsm":  {"-rapid.checks=30", "-rapid.shrinktime=0s", "-rapid.nofailfile"},
	"node": {"-rapid.shrinktime=0s", "-rapid.nofailfile"},
}

// The suites that see most.
var (
	byModel    = suite{"fsm", []string{"TestMachineAgainstTheModel"}}
	byReplicas = suite{"fsm", []string{"TestReplicasAreEqual"}}
	byMoney    = suite{"fsm", []string{"TestAMuddleOfMoneyKeepsItsBooks", "TestEveryInterleavingKeepsMoneyAndSeatsEqual"}}
)

func fsmTests(names ...string) suite    { return suite{"fsm", names} }
func nodeTests(names ...string) suite   { return suite{"node", names} }
func drawTests(names ...string) suite   { return suite{"fsm/draw", names} }
func settleTests(names ...string) suite { return suite{"frontend/settle", names} }

// The checks that hold answers against the log, and against each other.
var (
	answers = []string{"replay", "linearizable", "order", "log", "final", "durable"}
	states  = []string{"replicas", "archive", "invariants"}
	ends    = []string{"liveness", "cluster", "exit"}
)

func plantedRows() []plantedRow {
	kill, killAll, isolate := "kill-leader", "kill-all", "isolate-leader"
	storms := &simAim{plan: "storm"}
	return []plantedRow{
		{fault: planted.DoubleSell, by: append([]string{"double_sell"}, append(answers, states...)...), tests: []suite{byReplicas, byModel}, sim: storms,
			run: &runAim{workloads: []string{"seats"}}},
		{fault: planted.OwnerUnchecked, by: []string{"answers", "replay"}, tests: []suite{byReplicas, byModel}, run: &runAim{workloads: []string{"seats"}}},
		{fault: planted.CounterOff, by: states, tests: []suite{byMoney, byModel}, sim: storms, run: &runAim{workloads: []string{"lapses"}}},
		{fault: planted.PartialHold, by: answers, tests: []suite{byReplicas, fsmTests("TestAllOrNothing"), byModel}, sim: storms, run: &runAim{workloads: []string{"seats"}}},
		{fault: planted.IgnoredExpiry, by: append(answers, states...), tests: []suite{fsmTests("TestALapsedHoldGivesItsSeatsBackAndCoolsItsBuyer"), byModel}, sim: storms,
			run: &runAim{workloads: []string{"lapses"}}},
		{fault: planted.EarlyExpiry, by: answers, tests: []suite{fsmTests("TestALapsedHoldGivesItsSeatsBackAndCoolsItsBuyer"), byModel}, sim: storms,
			run: &runAim{workloads: []string{"lapses"}}},
		{fault: planted.WallClock, by: []string{"clock", "replay"}, sim: storms,
			run: &runAim{workloads: []string{"lapses"}, nemeses: []string{"clock-jump", "clock-strobe"}}},
		{fault: planted.EarlyAck, by: answers, sim: storms,
			run: &runAim{workloads: []string{"seats"}, nemeses: []string{kill, killAll}}},
		{fault: planted.MinorityWrite, by: answers, sim: storms, run: &runAim{workloads: []string{"seats"}, nemeses: []string{isolate}}},
		{fault: planted.MissingSync, by: append(answers, "liveness"), tests: []suite{nodeTests("TestWhatIsAcknowledgedIsOnDisk")},
			lossy: &runAim{workloads: []string{"seats"}, nemeses: []string{"power-cut-all"}}},
		{fault: planted.SnapshotShort, by: append(answers, states...), tests: []suite{nodeTests("TestANodeRestartsFromASnapshot", "TestAFollowerThatWasAwayIsSentASnapshot")}, sim: storms,
			run: &runAim{workloads: []string{"seats"}, nemeses: []string{killAll, kill}, snapshots: 100}},
		{fault: planted.RestoreUnchecked, by: append(answers, states...), tests: []suite{fsmTests("TestEveryDamageIsSeen"), nodeTests("TestADamagedSnapshotIsNotRestored")},
			run: &runAim{workloads: []string{"seats"}, nemeses: []string{"rot-snapshot"}, snapshots: 100}},
		{fault: planted.WipedVoter, by: append(answers, "voters"), tests: []suite{nodeTests("TestAWipedNodeComesBackAsALearner", "TestADiskMadeAnewIsAnotherNode")}, sim: storms,
			run: &runAim{workloads: []string{"seats"}, nemeses: []string{"wiped-disk"}}},
		{fault: planted.StaleRead, by: answers, tests: []suite{nodeTests("TestACutOffLeaderAnswersNoStrictRead")}, sim: storms,
			run: &runAim{workloads: []string{"seats", "watch"}, nemeses: []string{isolate, "pause-leader"}}},
		{fault: planted.FeedGap, by: []string{"feed"}, sim: storms, run: &runAim{workloads: []string{"watch"}}},
		{fault: planted.LimitLate, by: answers, tests: []suite{fsmTests("TestTheBuyersLimitCountsWhatIsHeldAndSold"), byModel}, run: &runAim{workloads: []string{"limits"}}},
		{fault: planted.ReusedID, by: []string{"answers"}, tests: []suite{fsmTests("TestARepeatHasTheFirstOutcome"), byReplicas, byModel}, run: &runAim{workloads: []string{"seats"}}},
		{fault: planted.ForgottenOutcome, by: append([]string{"answers"}, answers...), tests: []suite{fsmTests("TestARepeatHasTheFirstOutcome"), byModel}, sim: storms,
			run: &runAim{workloads: []string{"seats"}, nemeses: []string{"reset-clients"}}},
		{fault: planted.PoisonEntry, by: ends, tests: []suite{fsmTests("TestReleaseGivesBackAtOnce"), byModel}, sim: storms, run: &runAim{workloads: []string{"lapses"}}},
		{fault: planted.AmountUnchecked, by: []string{"answers", "money"}, tests: []suite{fsmTests("TestFreeAndInvoicedSales"), byMoney}, run: &runAim{workloads: []string{"seats"}}},
		{fault: planted.VoidForgotten, by: []string{"money", "liveness"}, tests: []suite{byMoney}, run: &runAim{workloads: []string{"checkout"}}},
		{fault: planted.RefundLost, by: []string{"money", "liveness"}, tests: []suite{fsmTests("TestMoneyStories"), byMoney}},
		{fault: planted.EffectTwice, by: []string{"money"}, tests: []suite{settleTests("TestMoneyEqualsSeatsUnderAnySchedule", "TestRefundsAreMade", "TestWhatTheBankDoesIsAnswered")}},
		{fault: planted.DrawSteered, by: []string{"draw"}, tests: []suite{byModel}, run: &runAim{workloads: []string{"line"}}},
		{fault: planted.PlaceLost, by: append([]string{"fairness"}, states...), tests: []suite{byReplicas, byModel}, run: &runAim{workloads: []string{"line"}, nemeses: []string{kill}}},
		{fault: planted.Overtaking, by: []string{"fairness", "draw"}, tests: []suite{drawTests("TestArrivalDoesNotHelp", "TestHashesAreWhatTheDocumentationSays"), byModel},
			run: &runAim{workloads: []string{"line"}}},
		{fault: planted.MapOrder, by: append([]string{"feed"}, states...), tests: []suite{fsmTests("TestLapsesGoInOrderOfDeadlineAndThenOfId"), byReplicas}, sim: storms,
			run: &runAim{workloads: []string{"lapses"}}},
	}
}
