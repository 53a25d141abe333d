package node

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// Hello is what nodes tell each other once a second.
type Hello struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	Cluster       string   `json:"cluster"` // empty as long as it has none: then it has no state either
	Address       string   `json:"address"` // for other nodes
	ClientAddress string   `json:"client_address"`
	Version       string   `json:"version"`
	Shards        int      `json:"shards"`
	Expect        int      `json:"expect"` // as in Config.BootstrapExpect
	Peers         []string `json:"peers"`
	WallMicros    int64    `json:"wall_us"` // its wall clock when it answered
	DiskLow       bool     `json:"disk_low,omitempty"`
}

// helloBytesMax bounds the answer: 9 peers and a few names take less than a tenth.
const helloBytesMax = 16 << 10

// askHello asks on a connection that was greeted for it: one byte, so that the time until the answer is that of one
// round trip, and not of the greeting too.
func askHello(conn io.ReadWriter) (h Hello, err error) {
	if _, err := conn.Write([]byte{0}); err != nil {
		return Hello{}, err
	}
	var length [4]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return Hello{}, err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n > helloBytesMax {
		return Hello{}, errors.New("hello is too long")
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(conn, body); err != nil {
		return Hello{}, err
	}
	err = json.Unmarshal(body, &h)
	return h, err
}

// answerHello waits for the question and answers it.
func answerHello(conn io.ReadWriter, self func() Hello) error {
	var ask [1]byte
	if _, err := io.ReadFull(conn, ask[:]); err != nil {
		return err
	}
	body, err := json.Marshal(self())
	if err != nil {
		return err
	}
	_, err = conn.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

func (h Hello) wall() time.Time { return time.UnixMicro(h.WallMicros) }
