package person_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/mail"
	"github.com/holdfast-db/holdfast/frontend/mail/mailtest"
	"github.com/holdfast-db/holdfast/frontend/notify"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/frontend/statement"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
	"github.com/holdfast-db/holdfast/rpc"
)

// safeBuffer is where several goroutines log.
type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// world is a cluster of three nodes whose folders are real, with everything that it says.
type world struct {
	dir     string
	said    safeBuffer // logs of nodes, servers, client and frontend, and whatever else the test adds
	client  *client.Client
	nodes   []*node.Node
	servers []*rpc.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	log := slog.New(slog.NewTextHandler(&w.said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	network, peers := sim.NewNetwork(1), []string{"n1:7000", "n2:7000", "n3:7000"}
	var endpoints []string
	for i, peer := range peers {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("n%d", i+1)
		n, err := node.New(node.Config{Name: name, Dir: filepath.Join(w.dir, name), RaftAddress: peer, ClientAddress: listener.Addr().String(), Peers: peers,
			BootstrapExpect: 3, Network: network.Host(name), Logger: log, Headroom: 1 << 20, SnapshotEntries: 20})
		if err == nil {
			err = n.Open(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		server, err := rpc.New(rpc.Config{Node: n, Listener: listener, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = server.Serve() }()
		w.nodes, w.servers = append(w.nodes, n), append(w.servers, server)
		endpoints = append(endpoints, listener.Addr().String())
	}
	var err error
	if w.client, err = client.New(endpoints, client.WithLogger(log), client.WithTimeout(30*time.Second)); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) close() {
	_ = w.client.Close()
	for i := range w.nodes {
		_ = w.servers[i].Close()
		_ = w.nodes[i].Close()
	}
}

// disks is every file that any node has written.
func (w *world) disks(t *testing.T) string {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "ballast" {
			var data []byte
			if data, err = os.ReadFile(path); errors.Is(err, fs.ErrNotExist) {
				return nil // a snapshot that made room meanwhile
			}
			all.Write(data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestNothingPersonalShowsAnywhere lets somebody buy, mails the receipt and tells the organizer, with everything logged that
// can be, and looks for name and address in all that was said and written. Then the buyer is forgotten.
func TestNothingPersonalShowsAnywhere(t *testing.T) {
	w := newWorld(t)
	defer w.close()
	ctx := t.Context()
	buyer := person.Person{Mail: "Quirina.Zwetschge@obstgarten.example", Name: "Quirina Zwetschge"}
	masters := person.RandomMasters()
	vault := person.NewVault(masters, w.client)
	event, blob, order := buy(t, w, vault, buyer)

	// The receipt and the notification, twice: once as they should be, once refused.
	log := slog.New(slog.NewTextHandler(&w.said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	captured := w.lease(t, event, holdfast.EffectCapture)
	w.ack(t, captured[0], captured[0].Amount)
	owed := w.lease(t, event, holdfast.EffectReceipt, holdfast.EffectNotify)
	if len(owed) != 2 || owed[0].Topic != holdfast.TopicPaid {
		t.Fatalf("after the capture the shard owes %+v", owed)
	}
	tellAll(t, w, vault, log, owed[0], owed[1])
	for _, e := range owed {
		w.ack(t, e, holdfast.Money{Currency: e.Total.Currency})
	}

	written := w.disks(t)
	if !strings.Contains(written, string(blob[len(blob)-40:])) {
		t.Fatal("the ciphertext is in no file: the test looks in the wrong place")
	}
	for _, secret := range []string{"Quirina", "quirina", "Zwetschge", "zwetschge", "obstgarten"} {
		if i := strings.Index(w.said.text(), secret); i >= 0 {
			t.Errorf("%s was said: …%s…", secret, w.said.text()[max(i-200, 0):min(i+100, len(w.said.text()))])
		}
		if strings.Contains(written, secret) {
			t.Errorf("%s is in a file of a node", secret)
		}
	}

	// Forgotten: the log keeps the ciphertext, and nothing in any file opens it, not even with the master key.
	key, err := w.client.PersonKey(ctx, order.Hold(), [8]byte(blob[1:]))
	if err != nil || !strings.Contains(written, string(key.Wrapped[:])) {
		t.Fatalf("the key is in no file: %v", err)
	}
	within, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if f, err := w.client.AwaitForgotten(within, []holdfast.HoldID{order.Hold()}); err != nil || !f.Complete() {
		t.Fatalf("%+v, %v", f, err)
	}
	written = w.disks(t)
	if !strings.Contains(written, string(blob[len(blob)-40:])) {
		t.Error("the ciphertext is gone from the logs as well: then this test proves nothing")
	}
	if strings.Contains(written, string(key.Wrapped[:])) || strings.Contains(written, string(key.Wrapped[16:])) {
		t.Error("the key is still in a file")
	}
	if _, err := vault.Open(ctx, event.ID, order.Hold(), blob); !errors.Is(err, holdfast.ErrForgotten) {
		t.Errorf("it opens with %v", err)
	}
}

// lease gets what the shard owes, as a settlement worker does.
func (w *world) lease(t *testing.T, event client.EventRef, kinds ...holdfast.EffectKind) []client.Effect {
	t.Helper()
	lease, err := w.client.LeaseEffects(t.Context(), client.LeaseRequest{Shard: event.Shard, Worker: fmt.Sprint(kinds), Kinds: kinds, Account: "sandbox", Mode: holdfast.ModeTest, Max: 10, Wait: 5 * time.Second})
	if err != nil || len(lease.Effects) == 0 {
		t.Fatalf("%v are leased as %+v, %v", kinds, lease, err)
	}
	fmt.Fprintf(&w.said, "leased %+v\n", lease)
	return lease.Effects
}

func (w *world) ack(t *testing.T, e client.Effect, moved holdfast.Money) {
	t.Helper()
	if err := w.client.AckEffect(t.Context(), client.EffectAck{Effect: e.ID, Event: e.Event, Result: holdfast.EffectDone, Amount: moved}); err != nil {
		t.Fatal(err)
	}
}

// buy lets the buyer hold, give name and address, pay and buy, while somebody watches.
func buy(t *testing.T, w *world, vault *person.Vault, buyer person.Person) (event client.EventRef, blob []byte, order holdfast.OrderID) {
	t.Helper()
	ctx := t.Context()
	applied, err := w.client.ApplyEvent(ctx, command.EventSpec{Name: "concert", Currency: "eur", Tiers: []command.Tier{{Name: "seat", PriceMinor: 2500}},
		Sections: []command.Section{{Name: "Stalls", Rows: []command.Row{{Label: "A", First: 1, Seats: 10, Tier: holdfast.AnyTier}}}},
		Checkout: command.Checkout{Mode: holdfast.ModeTest, Account: "sandbox", Notify: true}})
	if err == nil {
		err = w.client.OpenSale(ctx, applied.EventRef)
	}
	if err != nil {
		t.Fatal(err)
	}
	event = applied.EventRef
	watching, stop := context.WithCancel(ctx)
	var watched sync.WaitGroup
	watched.Go(func() {
		for changes, err := range w.client.Watch(watching, event, 0) {
			fmt.Fprintf(&w.said, "watched %+v %v\n", changes, err)
		}
	})
	h, err := w.client.Hold(ctx, client.HoldRequest{Event: event, Buyer: holdfast.BuyerID{1}, Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{4}}}})
	if err != nil {
		t.Fatal(err)
	}
	if blob, err = vault.Seal(ctx, event.ID, h.ID, buyer); err == nil {
		err = w.client.PutPerson(ctx, event, h.ID, blob)
	}
	if err == nil {
		_, err = w.client.BeginPayment(ctx, client.PaymentRequest{Event: event, Buyer: h.Buyer, Hold: h.ID, Attempt: 1, Amount: h.Amount, Contact: vault.Contact(event.ID, buyer.Mail)})
	}
	if err == nil {
		_, err = w.client.Sell(ctx, client.SellRequest{Event: event, Hold: h.ID, As: command.SalePaid, Attempt: 1, Amount: h.Amount, Payment: "pi_1", Mode: holdfast.ModeTest, Account: "sandbox"})
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 30 { // enough entries for a snapshot
		if _, err := w.client.Mark(ctx, event.Shard); err != nil {
			t.Fatal(err)
		}
	}
	for o, err := range w.client.Orders(ctx, event) {
		fmt.Fprintf(&w.said, "listed %+v %v\n", o, err)
	}
	stop()
	watched.Wait()
	return event, blob, h.ID.Order()
}

// tellAll mails and notifies, as it should be and against servers that refuse with the address in their answer.
func tellAll(t *testing.T, w *world, vault *person.Vault, log *slog.Logger, receipt, note client.Effect) {
	t.Helper()
	server, book := mailtest.New(t), statement.NewBook(w.client)
	outbox, err := mail.NewSMTP(mail.Config{Host: server.Host, Port: server.Port, CAFile: server.CAFile, From: "tickets@shop.example"})
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range []mail.Outbox{outbox, mail.Log{Logger: log}} {
		receipts, err := mail.NewReceipts(mail.ReceiptsConfig{Book: book, People: w.client, Vault: vault, Outbox: box, Logger: log,
			OrderLink: func(string, holdfast.OrderID) string { return "https://tickets.example/o" }})
		if err != nil {
			t.Fatal(err)
		}
		var carry settle.Carrier = receipts.Carry
		if err := carry(t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
		server.Answer("RCPT", "550 5.1.1 <Quirina.Zwetschge@obstgarten.example> is unknown")
		fmt.Fprintf(&w.said, "refused: %v\n", carry(t.Context(), receipt))
	}
	if n := len(server.Mails()); n != 1 || !strings.Contains(server.Mails()[0].To[0], "Quirina") {
		t.Fatalf("%d mails: nothing personal was there to be seen", n)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	status := http.StatusOK
	organizer := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		fmt.Fprintf(&w.said, "notified %s\n", body.String())
		rw.WriteHeader(status)
	}))
	defer organizer.Close()
	hooks, err := notify.New(notify.Options{Config: notify.Config{Endpoints: []notify.Endpoint{{URL: organizer.URL, AllowPrivate: true, SecretFiles: []string{secret}}}}, Book: book, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer hooks.Close()
	var carry settle.Carrier = hooks.Carry
	if err := carry(t.Context(), note); err != nil {
		t.Fatal(err)
	}
	status = http.StatusInternalServerError
	fmt.Fprintf(&w.said, "refused: %v\n", carry(t.Context(), note))
}
