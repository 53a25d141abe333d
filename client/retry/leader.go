package retry

// Leader is what is known of who leads a shard. The zero Leader is nobody.
type Leader struct {
	Address string // empty: none known
	Term    uint64
}

// Hinted takes a member's word that another leads. It has no term: any later answer corrects it.
func (l Leader) Hinted(address string) Leader { return Leader{address, l.Term} }

// Heard takes a member's answer: the highest term wins. Who knows no leader says nothing, whatever term it has counted up to.
func (l Leader) Heard(address string, term uint64) Leader {
	if address == "" || term < l.Term {
		return l
	}
	return Leader{address, term}
}
