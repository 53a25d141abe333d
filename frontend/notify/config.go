package notify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/yamlfile"
	"github.com/holdfast-db/holdfast/payment"
)

// Config says whom to tell. It can be read from a file: see ReadConfig.
type Config struct {
	Endpoints []Endpoint    `yaml:"endpoints"`
	Timeout   time.Duration `yaml:"timeout"` // for one notification; 0: 10 s
}

// Endpoint is an organizer's server. An event's notifications go to the first endpoint that names the event, or to the first
// that names none.
type Endpoint struct {
	URL    string   `yaml:"url"`
	Events []string `yaml:"events"` // by name; empty: those that no other endpoint names
	Topics []string `yaml:"topics"` // paid, refunded, unpaid, cancelled, disputed; empty: all
	// SecretFiles have one secret each, as whsec_ and 24 to 64 bytes in base64. All of them sign, so that a secret can be
	// replaced: new first, then the receiver, then the old one goes.
	SecretFiles []string `yaml:"secret_files"`
	// Personal tells the endpoint who bought: name and address, as long as they are not forgotten.
	Personal bool `yaml:"personal"`
	// AllowPrivate lets the endpoint be inside: at a private or loopback address, and by http.
	AllowPrivate bool `yaml:"allow_private"`
}

// Limits of a configuration.
const (
	configBytesMax = 256 << 10
	endpointsMax   = 1024
	urlBytesMax    = 2048
	secretsMax     = 3
)

// ReadConfig reads a YAML file with a Config's fields. Unknown ones are refused.
func ReadConfig(path string) (c Config, err error) {
	if err := yamlfile.Read(path, configBytesMax, &c); err != nil {
		return Config{}, &holdfast.Error{Kind: holdfast.Invalid, Op: "read notify config", Field: "notify-config", Message: path, Err: err}
	}
	return c, nil
}

// endpoint is one that was checked, with its secrets.
type endpoint struct {
	Endpoint
	topics  []holdfast.Topic
	secrets [][]byte
}

var topics = []holdfast.Topic{holdfast.TopicPaid, holdfast.TopicRefunded, holdfast.TopicUnpaid, holdfast.TopicCancelled, holdfast.TopicDisputed}

// open checks a configuration and reads its secrets.
func (c Config) open() (all []endpoint, err error) {
	if len(c.Endpoints) > endpointsMax {
		return nil, refuse(0, "endpoints", "%d, at most %d", len(c.Endpoints), endpointsMax)
	}
	for i, given := range c.Endpoints {
		e := endpoint{Endpoint: given}
		u, err := url.Parse(given.URL)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || len(given.URL) > urlBytesMax:
			return nil, refuse(i, "url", "it is not an address like https://shop.example.org/hooks")
		case u.Scheme != "https" && (u.Scheme != "http" || !given.AllowPrivate):
			return nil, refuse(i, "url", "it has to begin with https, or to be inside (allow_private)")
		case len(given.SecretFiles) == 0 || len(given.SecretFiles) > secretsMax:
			return nil, refuse(i, "secret_files", "1 to %d of them", secretsMax)
		}
		for _, name := range given.Topics {
			at := slices.IndexFunc(topics, func(t holdfast.Topic) bool { return t.String() == name })
			if at < 0 {
				return nil, refuse(i, "topics", "there is no topic %q", name)
			}
			e.topics = append(e.topics, topics[at])
		}
		for _, file := range given.SecretFiles {
			secret, err := readSecret(file)
			if err != nil {
				return nil, &holdfast.Error{Kind: holdfast.Invalid, Op: "notify config", Field: fmt.Sprintf("endpoints[%d].secret_files", i), Message: file, Err: err}
			}
			e.secrets = append(e.secrets, secret)
		}
		all = append(all, e)
	}
	return all, nil
}

func refuse(i int, field, format string, args ...any) error {
	return &holdfast.Error{Kind: holdfast.Invalid, Op: "notify config", Field: fmt.Sprintf("endpoints[%d].%s", i, field), Message: fmt.Sprintf(format, args...)}
}

// secretPrefix is how Standard Webhooks mark a secret.
const secretPrefix = "whsec_"

func readSecret(file string) ([]byte, error) {
	if file == "" {
		return nil, errors.New("no file is named")
	}
	text, err := payment.ReadSecret(file, "")
	if err != nil {
		return nil, err
	}
	encoded, ok := strings.CutPrefix(text.Reveal(), secretPrefix)
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(secret) < 24 || len(secret) > 64 {
		return nil, errors.New("it does not hold whsec_ and 24 to 64 bytes in base64: make one with: echo whsec_$(openssl rand -base64 32)")
	}
	return secret, nil
}

// choose gives the endpoint of an event. ok is false when nobody wants to hear of the topic.
func choose(all []endpoint, event string, topic holdfast.Topic) (e endpoint, ok bool) {
	at := slices.IndexFunc(all, func(e endpoint) bool { return slices.Contains(e.Events, event) })
	if at < 0 {
		at = slices.IndexFunc(all, func(e endpoint) bool { return len(e.Events) == 0 })
	}
	if at < 0 || len(all[at].topics) > 0 && !slices.Contains(all[at].topics, topic) {
		return endpoint{}, false
	}
	return all[at], true
}
