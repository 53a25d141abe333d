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
	length time.Duration // of one; 0: aimLength
}

// aimLength is enough for what an aimed plan is about, and quickly over.
const aimLength = 20 * time.Second

func (a simAim) load() time.Duration { return cmp.Or(a.length, aimLength) }

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
	crashes, cuts, jumps := &simAim{plan: "crashes"}, &simAim{plan: "cuts"}, &simAim{plan: "jumps"}
	checkouts, lines := &simAim{plan: "checkout"}, &simAim{plan: "line"}
	return []plantedRow{
		{fault: planted.DoubleSell, exact: true, by: append([]string{"double_sell", "machine", "assertion"}, append(answers, states...)...), tests: []suite{byReplicas, byModel}, sim: cuts,
			run: &runAim{workloads: []string{"seats"}}},
		{fault: planted.OwnerUnchecked, by: []string{"answers", "replay"}, tests: []suite{byReplicas, byModel}, run: &runAim{workloads: []string{"seats"}}},
		{fault: planted.CounterOff, exact: true, by: append([]string{"machine"}, states...), tests: []suite{byMoney, byModel}, sim: cuts, run: &runAim{workloads: []string{"lapses"}}},
		{fault: planted.PartialHold, by: answers, tests: []suite{byReplicas, fsmTests("TestAllOrNothing"), byModel}, sim: cuts, run: &runAim{workloads: []string{"seats"}}},
		{fault: planted.IgnoredExpiry, exact: true, by: append([]string{"machine", "liveness"}, append(answers, states...)...), tests: []suite{fsmTests("TestALapsedHoldGivesItsSeatsBackAndCoolsItsBuyer"), byModel}, sim: cuts,
			run: &runAim{workloads: []string{"lapses"}}},
		{fault: planted.EarlyExpiry, exact: true, by: append([]string{"holds"}, answers...), tests: []suite{fsmTests("TestALapsedHoldGivesItsSeatsBackAndCoolsItsBuyer"), byModel}, sim: cuts,
			run: &runAim{workloads: []string{"lapses"}}},
		{fault: planted.WallClock, by: []string{"clock", "replay"}, sim: jumps,
			run: &runAim{workloads: []string{"lapses"}, nemeses: []string{"clock-jump", "clock-strobe"}}},
		{fault: planted.EarlyAck, by: answers, sim: crashes,
			run: &runAim{workloads: []string{"seats"}, nemeses: []string{kill, killAll}}},
		{fault: planted.MinorityWrite, by: answers, sim: cuts, run: &runAim{workloads: []string{"seats"}, nemeses: []string{isolate}}},
		{fault: planted.MissingSync, by: append(answers, "liveness"), tests: []suite{nodeTests("TestWhatIsAcknowledgedIsOnDisk")},
			lossy: &runAim{workloads: []string{"seats"}, nemeses: []string{"power-cut-all"}}},
		{fault: planted.SnapshotShort, by: append(answers, states...), tests: []suite{nodeTests("TestANodeRestartsFromASnapshot", "TestAFollowerThatWasAwayIsSentASnapshot")}, sim: crashes,
			run: &runAim{workloads: []string{"seats"}, nemeses: []string{killAll, kill}, snapshots: 100}},
		{fault: planted.RestoreUnchecked, by: append(answers, states...), tests: []suite{fsmTests("TestEveryDamageIsSeen"), nodeTests("TestADamagedSnapshotIsNotRestored")},
			run: &runAim{workloads: []string{"seats"}, nemeses: []string{"rot-snapshot"}, snapshots: 100}},
		{fault: planted.WipedVoter, by: append(answers, "voters"), tests: []suite{nodeTests("TestAWipedNodeComesBackAsALearner", "TestADiskMadeAnewIsAnotherNode")},
			run: &runAim{workloads: []string{"seats"}, nemeses: []string{"wiped-voter"}}},
		{fault: planted.StaleRead, by: append([]string{"clock"}, answers...), tests: []suite{nodeTests("TestACutOffLeaderAnswersNoStrictRead")}, sim: cuts,
			run: &runAim{workloads: []string{"seats", "watch"}, nemeses: []string{isolate, "pause-leader"}}},
		{fault: planted.FeedGap, by: []string{"feed"}, sim: cuts, run: &runAim{workloads: []string{"watch"}}},
		{fault: planted.LimitLate, by: answers, tests: []suite{fsmTests("TestTheBuyersLimitCountsWhatIsHeldAndSold"), byModel}, run: &runAim{workloads: []string{"limits"}}},
		{fault: planted.ReusedID, by: []string{"answers"}, tests: []suite{fsmTests("TestARepeatHasTheFirstOutcome"), byReplicas, byModel}, run: &runAim{workloads: []string{"seats"}}},
		{fault: planted.ForgottenOutcome, exact: true, by: append([]string{"answers", "repeats"}, answers...), tests: []suite{fsmTests("TestARepeatHasTheFirstOutcome"), byModel}, sim: cuts,
			run: &runAim{workloads: []string{"seats"}, nemeses: []string{"reset-clients"}}},
		{fault: planted.PoisonEntry, by: ends, tests: []suite{fsmTests("TestReleaseGivesBackAtOnce"), byModel}, sim: cuts, run: &runAim{workloads: []string{"lapses"}}},
		{fault: planted.AmountUnchecked, by: []string{"answers", "money"}, tests: []suite{fsmTests("TestFreeAndInvoicedSales"), byMoney}, run: &runAim{workloads: []string{"seats"}}},
		{fault: planted.VoidForgotten, exact: true, by: []string{"money", "machine", "invariants", "archive"}, sim: checkouts, tests: []suite{byMoney}, run: &runAim{workloads: []string{"checkout"}}},
		{fault: planted.RefundLost, exact: true, by: []string{"money", "machine", "invariants", "archive", "liveness"}, sim: checkouts, tests: []suite{fsmTests("TestMoneyStories"), byMoney}},
		{fault: planted.EffectTwice, exact: true, by: []string{"money"}, sim: checkouts, tests: []suite{settleTests("TestMoneyEqualsSeatsUnderAnySchedule", "TestRefundsAreMade", "TestWhatTheBankDoesIsAnswered")}},
		{fault: planted.DrawSteered, by: []string{"draw", "line"}, sim: lines, tests: []suite{byModel}, run: &runAim{workloads: []string{"line"}}},
		{fault: planted.PlaceLost, by: append([]string{"fairness", "line"}, states...), sim: lines, tests: []suite{byReplicas, byModel}, run: &runAim{workloads: []string{"line"}, nemeses: []string{kill}}},
		{fault: planted.Overtaking, by: []string{"fairness", "draw", "line"}, sim: lines, tests: []suite{drawTests("TestArrivalDoesNotHelp", "TestHashesAreWhatTheDocumentationSays"), byModel},
			run: &runAim{workloads: []string{"line"}}},
		{fault: planted.MapOrder, exact: true, by: append([]string{"feed", "restore"}, states...), tests: []suite{fsmTests("TestLapsesGoInOrderOfDeadlineAndThenOfId"), byReplicas}, sim: cuts,
			run: &runAim{workloads: []string{"lapses"}}},
	}
}
