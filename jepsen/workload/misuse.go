package workload

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// misuse is a command that must be refused whatever has happened meanwhile, or one of which only some answers can be.
type misuse struct {
	what string
	cmd  command.Command
	may  []holdfast.Outcome // be answered; none: anything but yes
}

// abuse does with a hold what nobody may: a stranger gives it back and pays for it, it is bought for another amount, and its
// id is used for something else. It leaves no trace in the history, since it must change nothing.
func (w *worker) abuse(h *history.Operation) {
	var stranger holdfast.BuyerID
	binary.BigEndian.PutUint64(stranger[:], ^uint64(w.number))
	wrong := amount(h)
	wrong.AmountMinor++
	one := []misuse{
		{what: "a stranger's release", cmd: &command.Release{Buyer: stranger, Hold: h.Hold}},
		{what: "a stranger's payment", cmd: &command.BeginPayment{Buyer: stranger, Hold: h.Hold, Attempt: 1, Amount: amount(h)}},
		{what: "a sale for another amount", cmd: &command.Sell{Hold: h.Hold, As: command.SaleInvoiced, Amount: wrong}},
		{what: "another command under the same id", cmd: &command.Release{Header: command.Header{ID: h.Command}, Buyer: h.Buyer, Hold: h.Hold},
			may: []holdfast.Outcome{holdfast.CommandReused, holdfast.CommandExpired}},
	}[w.random.IntN(4)]
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	results, err := w.Client.Do(ctx, w.event, []command.Command{one.cmd}, nil)
	if err != nil {
		return // it tells nothing
	}
	ok := len(one.may) == 0 && results[0].Outcome != holdfast.OK
	for _, may := range one.may {
		ok = ok || results[0].Outcome == may
	}
	if !ok {
		w.complain(fmt.Errorf("client %d: %s, of %s, was answered %s", w.number, one.what, h.Hold, results[0].Outcome))
	}
}
