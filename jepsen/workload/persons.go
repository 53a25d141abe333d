package workload

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// persons: people whose names are kept and forgotten. Keys are put, read as clients read them and asked of single members,
// and destroyed; some are put again behind that. In the end every member must have forgotten who was to be forgotten, and
// nobody else.
var persons = Workload{
	Name: "persons", What: "keys to personal data that are put, read, forgotten, and asked of every member",
	Missing: func(e *Env) error {
		if len(e.Members) == 0 {
			return errors.New("members cannot be asked one by one")
		}
		return nil
	},
	Start: func(ctx context.Context, e *Env) (Job, error) {
		c, err := open(ctx, e, "persons", command.EventSpec{Rules: lasting(), Sections: []command.Section{{Name: "floor", Rows: rows(5 + int(e.Length.Seconds())/2)}}})
		if err != nil {
			return nil, err
		}
		j := &personsJob{crowd: c, conns: map[string]*grpc.ClientConn{}}
		for name, address := range e.Members {
			if j.conns[name], err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
				return nil, errors.Join(err, j.close())
			}
		}
		c.work(3, j.act)
		return j, nil
	},
}

type personsJob struct {
	*crowd
	conns map[string]*grpc.ClientConn

	mu       sync.Mutex
	known    []*somebody
	privates []history.Private
}

// somebody has a hold, and a key.
type somebody struct {
	hold      holdfast.HoldID
	key       holdfast.PersonKey
	forgotten bool // somebody wanted it
}

const (
	personsEvery = 20 * time.Millisecond
	// askPatience is how long one member may take.
	askPatience = 2 * time.Second
	// forgetPatience is how long all members may take to forget when all faults are healed.
	forgetPatience = 30 * time.Second
)

// act does one thing about somebody.
func (j *personsJob) act(w *worker) {
	p := j.anybody(w)
	switch n := w.random.IntN(20); {
	case p == nil || n < 4:
		j.arrive(w)
	case n < 5:
		j.forget(w, p)
	case n < 6:
		j.put(w, p) // once more, perhaps behind its end
	case n < 8:
		j.write(w, p)
	case n < 11:
		j.read(w, p)
	case n < 15:
		j.ask(w.number, p, j.member(w))
	default:
		j.get(w.number, p)
	}
	w.rest(personsEvery)
}

// anybody is one of those who came last; nil: nobody has.
func (j *personsJob) anybody(w *worker) *somebody {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.known) == 0 {
		return nil
	}
	return j.known[len(j.known)-1-w.random.IntN(min(len(j.known), 30))]
}

func (j *personsJob) member(w *worker) string {
	var names []string
	for name := range j.conns {
		names = append(names, name)
	}
	slices.Sort(names)
	return names[w.random.IntN(len(names))]
}

// arrive has somebody hold a seat and leave a name.
func (j *personsJob) arrive(w *worker) {
	buyer := w.buyer()
	b := history.Best{Count: 1, Section: holdfast.AnySection, Tier: holdfast.AnyTier}
	got := w.do([]history.Operation{{Kind: history.Hold, Buyer: buyer, Best: &b}}, []command.Command{&command.Hold{Buyer: buyer, Wants: []command.Want{want(b)}}})
	if len(got) == 0 || got[0].Outcome != holdfast.OK {
		return
	}
	p := &somebody{hold: got[0].Hold, key: holdfast.PersonKey{Event: j.event.ID, Hold: got[0].Hold}}
	for i := range p.key.Salt {
		p.key.Salt[i] = byte(w.random.Uint32())
	}
	for i := range p.key.Wrapped {
		p.key.Wrapped[i] = byte(w.random.Uint32())
	}
	j.mu.Lock()
	j.known = append(j.known, p)
	j.mu.Unlock()
	j.put(w, p)
	j.write(w, p)
}

// step does one thing and notes what came of it. It is not known what became of what gives no word.
func (j *personsJob) step(client int, p *somebody, one history.Private, do func(ctx context.Context, one *history.Private) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	one.Client, one.Hold, one.Key, one.Call = client, p.hold, hex.EncodeToString(p.key.Salt[:]), j.now()
	err := do(ctx, &one)
	if err == nil {
		one.Return = j.now()
	}
	if kind := holdfast.KindOf(err); err != nil && kind != holdfast.Unavailable && kind != holdfast.Unknown && kind != holdfast.Overloaded {
		j.complain(fmt.Errorf("%s: %w", one.What, err))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.privates = append(j.privates, one)
}

// nameOf is enough of a key to know it.
func nameOf(wrapped []byte) string { return hex.EncodeToString(wrapped[:min(len(wrapped), 8)]) }

// told puts what a client's answer means into words.
func told(one *history.Private, key holdfast.PersonKey, err error) error {
	switch {
	case err == nil:
		one.Told, one.Value = history.ToldOK, nameOf(key.Wrapped[:])
	case errors.Is(err, holdfast.ErrForgotten):
		one.Told, err = history.ToldForgotten, nil
	case errors.Is(err, holdfast.NotFound):
		one.Told, err = history.ToldNone, nil
	}
	return err
}

func (j *personsJob) put(w *worker, p *somebody) {
	j.step(w.number, p, history.Private{What: history.PutKey, Value: nameOf(p.key.Wrapped[:])}, func(ctx context.Context, one *history.Private) error {
		return told(one, p.key, j.Client.PutPersonKey(ctx, p.key))
	})
}

func (j *personsJob) get(client int, p *somebody) {
	j.step(client, p, history.Private{What: history.GetKey}, func(ctx context.Context, one *history.Private) error {
		key, err := j.Client.PersonKey(ctx, p.hold, p.key.Salt)
		return told(one, key, err)
	})
}

// ask asks one member, as no client does.
func (j *personsJob) ask(client int, p *somebody, member string) {
	j.step(client, p, history.Private{What: history.AskKey, Member: member}, func(ctx context.Context, one *history.Private) error {
		ctx, cancel := context.WithTimeout(ctx, askPatience)
		defer cancel()
		answer, err := api.NewPersonsClient(j.conns[member]).Get(ctx, &api.GetPersonKeyRequest{Hold: p.hold[:], Salt: p.key.Salt[:]})
		switch {
		case err != nil:
			return &holdfast.Error{Kind: holdfast.Unavailable, Message: "the member does not answer", Err: err}
		case answer.GetForgotten():
			one.Told = history.ToldForgotten
		case len(answer.GetWrapped()) == 0:
			one.Told = history.ToldNone
		default:
			one.Told, one.Value = history.ToldOK, nameOf(answer.GetWrapped())
		}
		return nil
	})
}

// forget wants somebody forgotten, by the shard too.
func (j *personsJob) forget(w *worker, p *somebody) {
	j.mu.Lock()
	p.forgotten = true
	j.mu.Unlock()
	j.forgetKey(w.number, p, j.Client.ForgetPersons)
	j.step(w.number, p, history.Private{What: history.WriteBlob}, func(ctx context.Context, _ *history.Private) error {
		return j.Client.ForgetPerson(ctx, j.event, p.hold)
	})
}

func (j *personsJob) forgetKey(number int, p *somebody, how func(context.Context, []holdfast.HoldID) (client.Forgetting, error)) {
	j.step(number, p, history.Private{What: history.ForgetKey}, func(ctx context.Context, one *history.Private) error {
		f, err := how(ctx, []holdfast.HoldID{p.hold})
		one.Members = len(f.Members)
		for _, m := range f.Members {
			if m.Err == nil {
				one.Confirmed = append(one.Confirmed, m.Name)
			}
		}
		return err
	})
}

// write has the shard keep something, in place of what it has.
func (j *personsJob) write(w *worker, p *somebody) {
	value := fmt.Sprintf("%d-%d", w.number, w.random.Uint64())
	j.step(w.number, p, history.Private{What: history.WriteBlob, Value: value}, func(ctx context.Context, _ *history.Private) error {
		return j.Client.PutPerson(ctx, j.event, p.hold, []byte(value))
	})
}

func (j *personsJob) read(w *worker, p *somebody) {
	j.step(w.number, p, history.Private{What: history.ReadBlob}, func(ctx context.Context, one *history.Private) error {
		blob, err := j.Client.Person(ctx, j.event, p.hold)
		one.Value = string(blob)
		return err
	})
}

// Finish has all who were to be forgotten forgotten by every member, and asks every member for everybody.
func (j *personsJob) Finish(ctx context.Context) (*history.History, error) {
	h, err := j.crowd.Finish(ctx)
	if err != nil {
		return h, errors.Join(err, j.close())
	}
	patience, cancel := context.WithTimeout(ctx, forgetPatience)
	defer cancel()
	var gone []holdfast.HoldID
	for _, p := range j.known {
		if p.forgotten {
			gone = append(gone, p.hold)
		}
	}
	if len(gone) > 0 {
		f, err := j.Client.AwaitForgotten(patience, gone)
		if err == nil && !f.Complete() {
			err = fmt.Errorf("when all was well, not every member forgot within %v: %+v", forgetPatience, f)
		}
		if err != nil {
			return h, errors.Join(err, j.close())
		}
		for _, p := range j.known {
			if p.forgotten {
				j.forgetKey(0, p, j.Client.ForgetPersons) // which is answered at once, and noted
			}
		}
	}
	err = j.agree(patience)
	for _, p := range j.known {
		j.get(0, p)
		for name := range j.conns {
			j.ask(0, p, name)
		}
	}
	h.Privates = j.privates
	if len(j.broken) > 0 {
		err = errors.Join(append(j.broken, err)...)
	}
	return h, errors.Join(err, j.close())
}

// agree waits until all members have the same keys and have forgotten the same.
func (j *personsJob) agree(ctx context.Context) error {
	for {
		all, err := j.Client.PersonsSummaries(ctx)
		same := err == nil
		for _, one := range all {
			same = same && one.Err == nil && one.Digest == all[0].Digest
		}
		if same {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("when all was well, the members did not come to have the same keys: %+v, %w", all, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (j *personsJob) close() (err error) {
	for _, conn := range j.conns {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	return err
}
