package holdfast

// EffectID identifies an effect within its shard. It only increases.
type EffectID uint64

// PaymentMode says whether real money moves. It belongs to an event for good, and to an account at a provider.
type PaymentMode uint8

// The modes.
const (
	ModeTest PaymentMode = 1
	ModeLive PaymentMode = 2
)

// CaptureMethod says when a payment takes the money.
type CaptureMethod uint8

// The ways to take money.
const (
	CaptureManual CaptureMethod = 1 // authorised first, taken when the seats are sold
	CaptureAtOnce CaptureMethod = 2 // taken as soon as the buyer pays
)
