package main

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend"
	"github.com/holdfast-db/holdfast/frontend/mail"
	"github.com/holdfast-db/holdfast/frontend/notify"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/frontend/statement"
	"github.com/holdfast-db/holdfast/payment/sandbox"
)

// What a frontend does besides answering: it moves money, tells buyers and organizers of their orders, and forgets who did
// not buy.

// settle opens the payment provider and starts what carries out what shards owe the world. stop ends it.
func (f *frontendFlags) settle(cmd *cobra.Command, c *client.Client) (stop func(), err error) {
	masters, err := person.ReadMasters(cmp.Or(f.masterFile, f.secretFile))
	if err != nil {
		return nil, err
	}
	f.Persons = person.NewVault(masters, c)
	outbox, err := f.outbox(cmd)
	if err != nil {
		return nil, err
	}
	if f.provider.payments == paymentsNone {
		return func() {}, nil
	}
	if len(f.settlement) > 0 {
		return func() {}, f.edge(cmd)
	}
	p, err := f.provider.open(cmd, true)
	if err != nil {
		return nil, err
	}
	carriers, closeCarriers, err := f.carriers(c, outbox)
	if err != nil {
		return nil, err
	}
	worker, err := settle.New(cmd.Context(), settle.Config{Client: c, Provider: p, Name: f.Name, Limits: f.provider.limits(), Carriers: carriers, Logger: f.Logger})
	if err != nil {
		closeCarriers()
		return nil, err
	}
	f.Payments = frontend.NewSettlement(c, p, worker, f.public())
	ctx, cancel := context.WithCancel(context.WithoutCancel(cmd.Context()))
	var beside sync.WaitGroup
	beside.Go(func() {
		if err := worker.Run(ctx); err != nil && ctx.Err() == nil {
			f.Logger.Error("the settlement worker has ended", "err", err)
		}
	})
	sweeper := person.Sweeper{Client: c, Logger: f.Logger}
	beside.Go(func() { sweeper.Run(ctx) })
	return func() { cancel(); beside.Wait(); worker.Close(); closeCarriers() }, nil
}

// edge makes this a frontend without the provider's key: others settle for it.
func (f *frontendFlags) edge(cmd *cobra.Command) error {
	if err := f.provider.keyless(cmd); err != nil {
		return err
	}
	public := f.public()
	public.TestMode = frontend.TestMode(f.publishableKey)
	edge, err := frontend.NewEdge(f.Secret, f.settlement, public)
	if err != nil {
		return usage(cmd, "--settlement: %v", err)
	}
	f.Payments = edge
	return nil
}

// outbox opens the way for mails. Links to sign in with, and to find orders by, are offered only if mails do go out.
func (f *frontendFlags) outbox(cmd *cobra.Command) (mail.Outbox, error) {
	way := f.mailWay
	switch {
	case way == "" && f.mailConfig != "":
		way = mail.BySMTP
	case way == "":
		way = mail.ByNone
	}
	if (way == mail.BySMTP) != (f.mailConfig != "") {
		return nil, usage(cmd, "--mail %s and --mail-config go together", mail.BySMTP)
	}
	outbox, err := mail.Open(way, f.mailConfig, f.Logger)
	switch {
	case errors.Is(err, holdfast.Invalid) && way != mail.BySMTP:
		return nil, usage(cmd, "--mail is %s, %s or %s, not %q", mail.BySMTP, mail.ByLog, mail.ByNone, way)
	case err != nil:
		return nil, err
	case way == mail.BySMTP:
		f.Mail = mail.Plain{Outbox: outbox}
	case f.provider.payments != paymentsNone:
		f.Logger.Warn("no mail goes out: receipts count as done without one, here and for the other frontends' orders", "mail", way)
	}
	return outbox, nil
}

// carriers tell buyers and organizers what became of their orders. Both are always there: what nobody wants to be told is
// done without a word, so that nothing stays owed for ever.
func (f *frontendFlags) carriers(c *client.Client, outbox mail.Outbox) (_ map[holdfast.EffectKind]settle.Carrier, closeAll func(), err error) {
	book := statement.NewBook(c)
	receipts, err := mail.NewReceipts(mail.ReceiptsConfig{Book: book, People: c, Vault: f.Persons, Outbox: outbox, Logger: f.Logger, OrderLink: f.orderLink(c)})
	if err != nil {
		return nil, nil, err
	}
	var whom notify.Config
	if f.notifyConfig != "" {
		if whom, err = notify.ReadConfig(f.notifyConfig); err != nil {
			return nil, nil, err
		}
	}
	hooks, err := notify.New(notify.Options{Config: whom, Book: book, People: c, Vault: f.Persons, Logger: f.Logger})
	if err != nil {
		return nil, nil, err
	}
	return map[holdfast.EffectKind]settle.Carrier{holdfast.EffectReceipt: receipts.Carry, holdfast.EffectNotify: hooks.Carry}, hooks.Close, nil
}

// public is what browsers are told of the provider.
func (f *frontendFlags) public() frontend.PaymentPublic {
	public := frontend.PaymentPublic{Provider: f.provider.payments, PublishableKey: f.publishableKey}
	if f.provider.payments == providerSandbox {
		public.SandboxURL = strings.TrimSuffix(cmp.Or(f.provider.sandbox, sandboxDefault), "/")
		for _, m := range sandbox.Methods() {
			if m.Type == "card" {
				public.Methods = append(public.Methods, frontend.PaymentMethod{ID: m.ID, Text: "A card that " + m.Says})
			}
		}
	}
	return public
}

// orderLink gives the links of receipts.
func (f *frontendFlags) orderLink(c *client.Client) func(event string, order holdfast.OrderID) string {
	return func(event string, order holdfast.OrderID) string {
		ctx, cancel := context.WithTimeout(context.Background(), client.TimeoutDefault)
		defer cancel()
		e, err := c.Event(ctx, client.Named(event), client.AllowStale())
		if err != nil {
			return f.PublicURL + "/find"
		}
		return f.PublicURL + f.Secret.OrderPath(e.ID, order)
	}
}
