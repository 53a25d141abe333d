package node

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// Identity is who a node is: node.json in its folder.
type Identity struct {
	// ID is the name and a random part that is made with the folder. A folder that is made anew is another node: a
	// voter that comes back without its log must not vote, since it no longer knows what it acknowledged.
	ID string `json:"id"`
	// Cluster is the cluster that the node belongs to; empty until it has founded or met one.
	Cluster string `json:"cluster"`
	Shards  int    `json:"shards"`
	// Founders is the first configuration, on the member that writes it into the groups; empty on all others.
	Founders []Member `json:"founders,omitempty"`
	// Stores are the shards that have a store here. One that is missing later is an error, not a new one.
	Stores []holdfast.ShardID `json:"stores,omitempty"`
}

// Member is one server of a configuration.
type Member struct {
	ID      string `json:"id"`
	Address string `json:"address"`
}

const identityFile = "node.json"

// loadIdentity reads node.json, or makes it where nothing is.
func loadIdentity(dir Dir, name string, shards int) (Identity, error) {
	id, err := readIdentity(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return makeIdentity(dir, name, shards)
	}
	if err != nil {
		return Identity{}, err
	}
	switch {
	case id.Shards != shards:
		return Identity{}, invalid("shards", "the node was made with %d shards and cannot be run with %d", id.Shards, shards)
	case nameOf(id.ID) != name:
		return Identity{}, invalid("name", "this is the data of %s, not of a node that is called %s", id.ID, name)
	}
	return id, nil
}

func readIdentity(dir Dir) (id Identity, err error) {
	f, err := dir.Open(identityFile)
	if err != nil {
		return Identity{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return Identity{}, err
	}
	if err := json.Unmarshal(data, &id); err != nil || len(id.ID) < len(randomPart)+2 {
		return Identity{}, fmt.Errorf("%s is damaged: move the folder away and let the node join anew: %w", identityFile, err)
	}
	return id, nil
}

// randomPart is the form of what makes an id unique.
const randomPart = "00000000"

// nameOf gives the name that is in an id.
func nameOf(id string) string { return id[:max(0, len(id)-len(randomPart)-1)] }

func makeIdentity(dir Dir, name string, shards int) (Identity, error) {
	random := make([]byte, len(randomPart)/2)
	rand.Read(random)
	if planted.Is(planted.WipedVoter) {
		clear(random)
	}
	id := Identity{ID: name + "-" + hex.EncodeToString(random), Shards: shards}
	return id, saveIdentity(dir, id)
}

func saveIdentity(dir Dir, id Identity) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(dir, identityFile, append(data, '\n'))
}

// replaceFile gives a file new contents: after a crash it has the old or the new ones, whole.
func replaceFile(dir Dir, name string, data []byte) error {
	temp := name + tempSuffix
	if err := removeIfThere(dir, temp); err != nil {
		return err
	}
	f, err := dir.Append(temp)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := dir.Rename(temp, name); err != nil {
		return err
	}
	return dir.Sync()
}

func removeIfThere(dir Dir, name string) error {
	names, err := dir.Names()
	if err != nil || !slices.Contains(names, name) {
		return err
	}
	return dir.Remove(name)
}

func invalid(field, format string, args ...any) error {
	return &holdfast.Error{Kind: holdfast.Invalid, Op: "node", Field: field, Message: fmt.Sprintf(format, args...)}
}
