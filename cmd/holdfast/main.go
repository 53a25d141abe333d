// Command holdfast is the one binary of holdfast: a member of a cluster, the tools of organizers and operators, the
// demonstration and the benchmark. It is thin: what it does, packages client, rpc and node do.
//
// Each noun of the command line has its file; root.go has what they share, output.go how answers are printed,
// errors.go what goes wrong and with which exit code. The demonstration is demo.go (its course), demo_crowd.go (the
// buyers), demo_audit.go (what must be true at the end) and demo_view.go (the live screen); bench.go, with
// bench_load.go and bench_ceiling.go, measures. local.go runs a cluster of this binary's own processes for both.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
