//go:build linux

// Command jepsen breaks holdfast and looks whether its promises held. Its parts know as little as possible of each other:
//
//   - cluster: real processes on real disks, behind proxies or in network namespaces; seam: what a build for the harness
//     has more than a production build.
//   - lossy: a file system that loses what was not synced when its power is cut. It knows nothing of who uses it.
//   - nemesis: what is done to them, as a seed decides.
//   - workload: what clients do meanwhile. It notes what they were told, and judges nothing.
//   - history: what clients saw, as a file too. It knows nothing of the system.
//   - model: what an event is, in a few lines: one seat, one counter, and a whole house on a hold clock.
//   - check: judges a history by the model, by the log and by real time. Its own tests show it histories that are wrong,
//     each of which it must refuse.
//   - report: one page for people.
//   - exact: what is single-threaded and ours, bit for bit.
//   - sim: whole clusters in virtual time, on disks and a network that break as a seed plans it.
//
// Commands are run, check, exact, sim and planted; go run ./jepsen prints them. docs/verification.md tells the rest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// command is one thing that the program does.
type command struct {
	name, what string
	run        func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

// commands are all of them, each in a file of its own.
func commands() []command {
	return []command{
		{"run", "break a cluster of real processes while clients use it, and judge what they saw", runCommand},
		{"sim", "break whole clusters in virtual time, thousands of times faster, and judge what clients saw", simCommand},
		{"exact", "play what is single-threaded and ours bit for bit, by seed, and make a failing plan small", exactCommand},
		{"planted", "plant deliberate bugs, and see which of the tests catch them, and how fast", plantedCommand},
		{"check", "judge kept histories again, or convert them", checkCommand},
	}
}

// errViolated says that a promise was broken, and everything else went well.
var errViolated = errors.New("there are violations")

// The program's exits.
const (
	exitOK       = 0
	exitFailed   = 1 // it could not look
	exitUsage    = 2
	exitViolated = 3
)

func main() {
	workerMain(os.Args)
	diskMain(os.Args)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	for _, c := range commands() {
		if len(args) == 0 || args[0] != c.name {
			continue
		}
		err := c.run(ctx, args[1:], stdout, stderr)
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return exitOK
		case errors.Is(err, errViolated):
			return exitViolated
		case errors.Is(err, errUsage):
			fmt.Fprintln(stderr, "jepsen:", err)
			return exitUsage
		default:
			fmt.Fprintln(stderr, "jepsen:", err)
			return exitFailed
		}
	}
	fmt.Fprintln(stderr, "usage: go run ./jepsen COMMAND [flags]; each has -h")
	for _, c := range commands() {
		fmt.Fprintf(stderr, "  %-8s %s\n", c.name, c.what)
	}
	return exitUsage
}

// errUsage is what the caller did wrong.
var errUsage = errors.New("usage")

// parse reads flags. What is not a flag is given back.
func parse(set *flag.FlagSet, args []string, stderr io.Writer) ([]string, error) {
	set.SetOutput(stderr)
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, errUsage // the flags have said what
	}
	return set.Args(), nil
}
