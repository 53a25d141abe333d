package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// app is what every command shares: where to print, and the cluster that the flags name.
type app struct {
	out, err io.Writer
	format   string // of answers: see formats

	endpoints []string
	timeout   time.Duration
	client    *client.Client // made by the first command that needs it

	layout *command.Layout // of the event that the command is about, once it is known: names units in errors
}

// endpointDefault is where a node listens that was started without saying where.
const endpointDefault = "127.0.0.1:7400"

// endpointsEnv gives the endpoints when the flag does not.
const endpointsEnv = "HOLDFAST_ENDPOINTS"

// run executes one command line and gives the exit code.
func run(ctx context.Context, args []string, out, err io.Writer) int {
	a := &app{out: out, err: err, format: formatTable}
	root := a.rootCommand(args)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(err)
	failure := root.ExecuteContext(ctx)
	if a.client != nil {
		if e := a.client.Close(); failure == nil && e != nil {
			failure = e
		}
	}
	if failure != nil {
		a.printError(failure)
	}
	return exitCode(failure)
}

func (a *app) rootCommand(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Sell tickets for a rush without selling a seat twice",
		Long: `holdfast keeps the inventory of events in Raft-replicated shards, so that a seat is claimed by exactly one
buyer whatever fails.

See it work:        holdfast demo
Run a member:       holdfast node run --help
Exit codes:         holdfast help exit-codes`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	// run does not see a bad --output until the command runs, and errors must be printable before.
	root.PersistentFlags().StringVarP(&a.format, "output", "o", formatTable, "how to print answers: table or json")
	root.PersistentFlags().StringSliceVar(&a.endpoints, "endpoints", endpointsFromEnv(), "client addresses of members; also from "+endpointsEnv)
	root.PersistentFlags().DurationVar(&a.timeout, "timeout", client.TimeoutDefault, "how long a call may take")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.checkFormat(cmd) }
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if asksForJSON(args) {
			a.format = formatJSON // the flags after the bad one were not read
		}
		return usage(cmd, "%v", err)
	})
	root.AddCommand(
		a.demoCommand(),
		a.eventCommand(), a.queueCommand(), a.holdCommand(), a.orderCommand(), a.paymentsCommand(), a.personCommand(),
		a.nodeCommand(), a.frontendCommand(), a.clusterCommand(), a.verifyCommand(),
		a.benchCommand(), a.versionCommand(), exitCodesTopic(),
	)
	for _, c := range root.Commands() {
		strictUsage(c)
	}
	root.RunE, root.Args = group, cobra.ArbitraryArgs
	return root
}

// asksForJSON looks for the output flag in arguments that cannot be parsed as a whole.
func asksForJSON(args []string) bool {
	line := strings.Join(args, " ") + " "
	return strings.Contains(line, "-o json ") || strings.Contains(line, "-ojson ") || strings.Contains(line, "--output json ") ||
		strings.Contains(line, "-o=json ") || strings.Contains(line, "--output=json ")
}

func endpointsFromEnv() []string {
	if list := os.Getenv(endpointsEnv); list != "" {
		return strings.Split(list, ",")
	}
	return []string{endpointDefault}
}

// strictUsage makes every mistake in calling a command one of usage, with its exit code, and no mistake a silent
// page of help.
func strictUsage(c *cobra.Command) {
	if c.HasSubCommands() && c.RunE == nil {
		c.RunE, c.Args = group, cobra.ArbitraryArgs
	}
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usage(cmd, "%v", err)
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		strictUsage(sub)
	}
}

// group answers a noun without its verb.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	verbs := make([]string, 0, len(cmd.Commands()))
	for _, c := range cmd.Commands() {
		verbs = append(verbs, c.Name())
	}
	return usage(cmd, "there is no %q%s", cmd.CommandPath()+" "+args[0], didYouMean(args[0], verbs))
}

// connect gives the client of the cluster that the flags name.
func (a *app) connect() (*client.Client, error) {
	if a.client == nil {
		c, err := client.New(a.endpoints, client.WithTimeout(a.timeout))
		if err != nil {
			return nil, err
		}
		a.client = c
	}
	return a.client, nil
}

// progress prints a line for people who wait. It goes to stderr: stdout is for the answer.
func (a *app) progress(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}
