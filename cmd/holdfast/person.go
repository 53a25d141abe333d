package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/person"
)

func (a *app) personCommand() *cobra.Command {
	c := &cobra.Command{Use: "person", Short: "Forget buyers, and see that all members have"}
	c.AddCommand(a.personForget(), a.personStatus())
	return c
}

// personKeysEnv names the file with the master keys when the flag does not.
const personKeysEnv = "HOLDFAST_PERSON_KEYS"

// forgetBatch is how many holds one call forgets.
const forgetBatch = 1000

// forgetFlags say whom to forget. One of them is given, or orders are.
type forgetFlags struct {
	mail, abandoned, everybody bool
	keys                       string
}

func (a *app) personForget() *cobra.Command {
	var f forgetFlags
	c := &cobra.Command{
		Use:   "forget EVENT [ORDER...]",
		Short: "Destroy the keys to buyers' names and addresses, for good",
		Long: `Destroy the keys to buyers' names and addresses, on all members and for good. Orders, seats and money stay as they are;
who bought cannot be read any more, not from logs, snapshots and backups either.

It is complete when every member has confirmed. Until then the command ends with exit code 3 and names the members that
have not: they hear of it from the others when they are back, and the same command, given again, tells when all have.`,
		Example: `  holdfast person forget concert ord_0000018b0a5e4f1c9d2a6b3c8e7f0011
  echo anna@example.org | holdfast person forget concert --mail --person-keys keys
  holdfast person forget concert --abandoned`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			event, err := c.Locate(cmd.Context(), eventArg(args[0]))
			if err != nil {
				return err
			}
			holds, err := f.find(cmd, c, event, args[1:])
			if err != nil {
				return err
			}
			return a.forget(cmd.Context(), c, event, holds)
		},
	}
	c.Flags().BoolVar(&f.mail, "mail", false, "forget all orders of the address that is read from standard input")
	c.Flags().BoolVar(&f.abandoned, "abandoned", false, "forget those who gave an address and did not buy")
	c.Flags().BoolVar(&f.everybody, "everybody", false, "forget everybody who bought or meant to: for an event that is over")
	c.Flags().StringVar(&f.keys, "person-keys", os.Getenv(personKeysEnv), "file with the master keys, for --mail; also from "+personKeysEnv)
	return c
}

// mailFrom reads a mail address off a stream, where no list of processes shows it.
func mailFrom(in io.Reader) (string, error) {
	mail, err := bufio.NewReader(io.LimitReader(in, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSpace(mail), nil
}

// contactOfMail gives the keyed hash of the address on standard input, by which an event's orders are found.
func (a *app) contactOfMail(cmd *cobra.Command, event, keys string) (id holdfast.ContactID, err error) {
	masters, err := person.ReadMasters(keys)
	if err != nil {
		return id, err
	}
	mail, err := mailFrom(cmd.InOrStdin())
	if err != nil {
		return id, err
	}
	c, err := a.connect()
	if err != nil {
		return id, err
	}
	ref, err := c.Locate(cmd.Context(), eventArg(event))
	if err != nil {
		return id, err
	}
	if id = person.NewVault(masters, c).Contact(ref.ID, mail); id == (holdfast.ContactID{}) {
		return id, usage(cmd, "--mail: what stands on standard input is no mail address")
	}
	return id, nil
}

// find gives the holds to forget.
func (f forgetFlags) find(cmd *cobra.Command, c *client.Client, event client.EventRef, orders []string) (holds []holdfast.HoldID, err error) {
	ways := 0
	for _, given := range []bool{f.mail, f.abandoned, f.everybody, len(orders) > 0} {
		if given {
			ways++
		}
	}
	switch ctx := cmd.Context(); {
	case ways != 1:
		return nil, usage(cmd, "say whom: orders, or one of --mail, --abandoned, --everybody")
	case f.mail:
		masters, err := person.ReadMasters(f.keys)
		if err != nil {
			return nil, err
		}
		mail, err := mailFrom(cmd.InOrStdin())
		if err != nil {
			return nil, err
		}
		return person.NewVault(masters, c).OfMail(ctx, c, event, mail)
	case f.abandoned:
		return person.Abandoned(ctx, c, event, client.PersonHoldsMax)
	case f.everybody:
		holds, all, err := c.PersonHolds(ctx, event.ID)
		if err == nil && !all {
			cmd.PrintErrln("There are more people than can be forgotten at once: give the command again.")
		}
		return holds, err
	}
	for _, text := range orders {
		id, err := holdfast.ParseOrderID(text)
		if err != nil {
			return nil, err
		}
		if _, err := c.GetOrder(cmd.Context(), event, id); err != nil {
			return nil, err
		}
		holds = append(holds, id.Hold())
	}
	return holds, nil
}

// forget destroys keys, and then drops what the shard still has: that saves space, and decides nothing.
func (a *app) forget(ctx context.Context, c *client.Client, event client.EventRef, holds []holdfast.HoldID) error {
	out := forgotOut{Event: event.ID.String(), Holds: len(holds), Orders: []string{}, Complete: true, Members: []forgotMemberOut{}}
	for rest := holds; len(rest) > 0; {
		batch := rest[:min(len(rest), forgetBatch)]
		rest = rest[len(batch):]
		f, err := c.ForgetPersons(ctx, batch)
		if err != nil {
			return err
		}
		out.Complete = out.Complete && f.Complete()
		out.note(f)
	}
	for _, hold := range holds {
		out.Orders = append(out.Orders, hold.Order().String())
	}
	failure := dropAll(ctx, c, event, holds)
	if err := a.print(out); err != nil {
		return err
	}
	if failure != nil {
		return failure
	}
	if !out.Complete {
		return &checkFailed{"not all members have destroyed the keys yet"}
	}
	return nil
}

// dropAll drops the ciphertexts of holds, many at a time, and gives the first failure. Those of holds that are gone went
// with them.
func dropAll(ctx context.Context, c *client.Client, event client.EventRef, holds []holdfast.HoldID) (failure error) {
	const atOnce = 64
	var (
		dropping sync.WaitGroup
		once     sync.Once
		slots    = make(chan struct{}, atOnce)
	)
	for _, hold := range holds {
		slots <- struct{}{}
		dropping.Go(func() {
			defer func() { <-slots }()
			if err := c.ForgetPerson(ctx, event, hold); err != nil {
				once.Do(func() { failure = err })
			}
		})
	}
	dropping.Wait()
	return failure
}

type forgotOut struct {
	Event    string            `json:"event"`
	Holds    int               `json:"holds"`
	Orders   []string          `json:"orders"` // as their holds would be, had all of them been bought
	Complete bool              `json:"complete"`
	Members  []forgotMemberOut `json:"members"`
}

type forgotMemberOut struct {
	Member    string `json:"member"`
	Address   string `json:"address"`
	Confirmed bool   `json:"confirmed"`
	Error     string `json:"error,omitempty"`
}

// note takes in how far the members came with one batch: one failure counts.
func (o *forgotOut) note(f client.Forgetting) {
	for i, m := range f.Members {
		if i == len(o.Members) {
			o.Members = append(o.Members, forgotMemberOut{Member: m.Name, Address: m.Address, Confirmed: true})
		}
		if m.Err != nil {
			o.Members[i].Confirmed, o.Members[i].Error = false, m.Err.Error()
		}
	}
}

func (o forgotOut) table(w io.Writer) {
	row(w, "event", o.Event)
	row(w, "holds", o.Holds)
	row(w, "complete", yesNo(o.Complete))
	for _, m := range o.Members {
		row(w, "member "+m.Member, m.Address, memberWord(m.Confirmed, m.Error))
	}
}

func memberWord(confirmed bool, why string) string {
	if confirmed {
		return "has destroyed its keys"
	}
	return "has not confirmed: " + why
}

func (a *app) personStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what each member keeps of keys to personal data",
		Long: `Show what each member keeps of keys to personal data, and whether all keep the same. Members that differ teach each
other within seconds; one that stays apart is out of the others' reach. The exit code is 3 while they differ.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			all, err := c.PersonsSummaries(cmd.Context())
			if err != nil {
				return err
			}
			out := personsOut{Agree: true, Members: []personsMemberOut{}}
			for _, m := range all {
				one := personsMemberOut{Member: m.Name, Address: m.Address, Keys: m.Keys, Forgotten: m.Forgotten, Digest: fmt.Sprintf("%x", m.Digest[:8])}
				if m.Err != nil {
					one.Error, one.Digest = m.Err.Error(), ""
				}
				out.Members = append(out.Members, one)
				out.Agree = out.Agree && m.Err == nil && m.Digest == all[0].Digest
			}
			if err := a.print(out); err != nil {
				return err
			}
			if !out.Agree {
				return &checkFailed{"the members do not all keep the same"}
			}
			return nil
		},
	}
}

type personsOut struct {
	Agree   bool               `json:"agree"`
	Members []personsMemberOut `json:"members"`
}

type personsMemberOut struct {
	Member    string `json:"member"`
	Address   string `json:"address"`
	Keys      int    `json:"keys"`
	Forgotten int    `json:"forgotten"`
	Digest    string `json:"digest,omitempty"`
	Error     string `json:"error,omitempty"`
}

func (o personsOut) table(w io.Writer) {
	row(w, "MEMBER", "ADDRESS", "KEYS", "FORGOTTEN", "DIGEST")
	for _, m := range o.Members {
		if m.Error != "" {
			row(w, m.Member, m.Address, "", "", m.Error)
			continue
		}
		row(w, m.Member, m.Address, m.Keys, m.Forgotten, m.Digest)
	}
	row(w, "agree", yesNo(o.Agree))
}
