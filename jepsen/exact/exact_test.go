package exact

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the tests play, and the command by default.
const (
	someSteps = 24
	someSpan  = 45 * time.Second
)

func TestOneSeedIsOneTrace(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	before := runtime.NumGoroutine()
	for seed := range uint64(12) {
		plan := Draw(seed, someSteps, someSpan)
		runtime.GOMAXPROCS(1)
		first := Play(plan, Options{Trace: true})
		runtime.GOMAXPROCS(4)
		again, silent := Play(plan, Options{Trace: true}), Play(plan, Options{})
		if !slices.Equal(first.Trace, again.Trace) || first.Hash != again.Hash {
			t.Errorf("seed %d: the traces of two plays differ", seed)
		}
		if silent.Hash != first.Hash || silent.Counts != first.Counts || silent.Lasted != first.Lasted {
			t.Errorf("seed %d: a play that is not told is another", seed)
		}
		if other := Play(Draw(seed+1000, someSteps, someSpan), Options{}); other.Hash == first.Hash {
			t.Errorf("seeds %d and %d have one trace", seed, seed+1000)
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d fibers are left", after-before)
	}
}

// TestSeedsHold plays some hundred seeds, in which everything comes up that there is.
func TestSeedsHold(t *testing.T) {
	seeds := uint64(120)
	if testing.Short() {
		seeds = 80
	}
	kinds, courses, met := map[Kind]int{}, map[Course]int{}, map[string]int{}
	sold := 0
	for seed := range seeds {
		plan := Draw(seed, someSteps, someSpan)
		for _, s := range plan.Steps {
			if kinds[s.Kind]++; s.Kind == Buyer {
				courses[s.Course]++
			}
		}
		o := Play(plan, Options{Trace: seed < 40})
		if o.Violated != nil {
			t.Fatalf("seed %d: %s\n%s", seed, o.Violated, plan.Story())
		}
		sold += o.Counts.Sold
		for _, line := range o.Trace {
			met[strings.TrimSpace(line[12:41])]++
		}
	}
	for k := range LastKind + 1 {
		if kinds[k] == 0 {
			t.Errorf("no plan has a %s", k)
		}
	}
	for c := range lastCourse + 1 {
		if courses[c] == 0 {
			t.Errorf("nobody %s", c)
		}
	}
	for _, what := range []string{"leads", "leader lost", "taken late", "carry look", "carry capture", "carry void", "carry refund", "captured", "refunded", "cancelled",
		"capture declined", "card declined", "disputed", "dispute decided", "worker dies", "webhook"} {
		if met[what] == 0 {
			t.Errorf("nothing is ever %q: %v", what, met)
		}
	}
	if sold < int(seeds) {
		t.Errorf("%d orders in %d plays", sold, seeds)
	}
}

// TestPlantedFaultsAreCaughtAndMadeSmall: checks that find nothing prove nothing, and a plan of many steps explains nothing.
func TestPlantedFaultsAreCaughtAndMadeSmall(t *testing.T) {
	leaders := func(s *Step) { s.Kind = []Kind{LeaderStepsDown, LeaderCutOff}[s.Seed%2] }
	refunds := func(s *Step) { s.Kind, s.Course, s.AtOnce = BankFailsAfter, Refunded, false }
	for plant, by := range map[Plant]struct {
		check string
		only  func(*Step) // of a plan: some faults need an unlucky hour
	}{
		FreshID: {CheckAnswers, nil}, UnknownIsNo: {CheckAnswers, nil}, EarlyAnswer: {CheckAnswers, nil}, WallClock: {CheckTime, nil}, NoBeginning: {CheckTime, nil},
		NoFence: {CheckTime, leaders}, StaleSnapshot: {CheckSnapshot, nil}, ForgottenVoid: {CheckMoney, nil}, RefundAnew: {CheckMoney, refunds},
		EarlyCapture: {CheckMoney, nil}, LateHint: {CheckLiveness, nil},
	} {
		t.Run(plant.String(), func(t *testing.T) {
			plan, o := firstFailing(plant, by.only)
			if o.Violated == nil {
				t.Fatal("it is not caught")
			}
			small, least, plays := Minimise(plan, Options{Plant: plant})
			t.Logf("seed %d: %s; %d steps after %d plays\n%s", plan.Seed, least.Violated, len(small.Steps), plays, small.Story())
			if len(small.Steps) > 10 {
				t.Errorf("the smallest plan has %d steps", len(small.Steps))
			}
			if o.Violated.Check != by.check || least.Violated.Check != by.check {
				t.Errorf("it is caught by %q and then %q, want %q", o.Violated.Check, least.Violated.Check, by.check)
			}
			if again := Play(small, Options{Plant: plant}); again.Hash != least.Hash || *again.Violated != *least.Violated {
				t.Error("the smallest plan fails otherwise the next time")
			}
			if sound := Play(small, Options{}); sound.Violated != nil {
				t.Errorf("without the fault the plan fails too: %s", sound.Violated)
			}
		})
	}
}

// firstFailing gives the first plan that a planted fault makes fail. only makes faults, and the wishes of buyers, others than were drawn.
func firstFailing(plant Plant, only func(*Step)) (plan Plan, o Outcome) {
	for seed := range uint64(300) {
		plan = Draw(seed, someSteps, someSpan)
		for i := range plan.Steps {
			s := &plan.Steps[i]
			if kind := s.Kind; only != nil {
				if only(s); kind == Buyer {
					s.Kind = Buyer
				}
			}
		}
		if o = Play(plan, Options{Plant: plant}); o.Violated != nil {
			break
		}
	}
	return plan, o
}

func TestEveryPlantHasAName(t *testing.T) {
	for _, p := range Plants() {
		if p.String() == "" || len(plantNames) != int(lastPlant)+1 {
			t.Errorf("plant %d is called %q", p, p)
		}
	}
}

// TestWhatFailedOnceHolds plays the smallest plans of what was found.
func TestWhatFailedOnceHolds(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no plans", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var plan Plan
		if err := json.Unmarshal(b, &plan); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if o := Play(plan, Options{}); o.Violated != nil {
			t.Errorf("%s: %s\n%s", file, o.Violated, plan.Story())
		}
	}
}

func TestAPlanSurvivesItsFile(t *testing.T) {
	plan := Draw(7, 60, someSpan)
	b, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	var read Plan
	if err := json.Unmarshal(b, &read); err != nil || Play(read, Options{}).Hash != Play(plan, Options{}).Hash {
		t.Errorf("a plan that was written and read is another: %v", err)
	}
	if lines := strings.Count(plan.Story(), "\n"); lines != len(plan.Steps)+1 {
		t.Errorf("%d steps are told in %d lines", len(plan.Steps), lines)
	}
}

func BenchmarkPlay(b *testing.B) {
	for seed := uint64(0); b.Loop(); seed++ {
		Play(Draw(seed, someSteps, someSpan), Options{})
	}
}
