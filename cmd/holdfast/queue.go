package main

import (
	"github.com/spf13/cobra"
)

func (a *app) queueCommand() *cobra.Command {
	c := &cobra.Command{Use: "queue", Short: "Look after an event's waiting line"}
	c.AddCommand(a.queueSimulate())
	return c
}
