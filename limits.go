package holdfast

import "time"

// Limits of the whole system, each with what happens there. Limits that concern one package stand in it.
const (
	// ValidityMax is how far past the hold clock a command's validity may reach. Outcomes are remembered that
	// long, so it bounds the memory for them. Beyond it the command is refused with CommandTooFar.
	ValidityMax = 60 * time.Second

	// StepMax is the most that the hold clock advances with one entry. A longer silence of the leader pauses
	// every hold instead of ending it.
	StepMax = 500 * time.Millisecond

	// GraceMax is how long past its pay deadline a hold in payment keeps its seats, so that an authorisation
	// that was given in time still sells them.
	GraceMax = 15 * time.Second

	// UnitsPerEventMax bounds the units (seats and general admission) of one event.
	UnitsPerEventMax = 1 << 21

	// EventsPerShardMax bounds the events that one shard owns.
	EventsPerShardMax = 4096

	// UnitsPerHoldMax bounds the units of one hold whatever the event says.
	UnitsPerHoldMax = 64

	// UnitsPerBlockMax bounds the units that one Block or Unblock names, so that no command stalls its shard.
	UnitsPerBlockMax = 4096

	// CommandBytesMax bounds one packed command other than PutEvent, header included.
	CommandBytesMax = 20 << 10

	// SpecBytesMax bounds the packed description of an event.
	SpecBytesMax = 1 << 20

	// BatchCommandsMax and BatchBytesMax bound what a client sends in one message.
	BatchCommandsMax = 4096
	BatchBytesMax    = SpecBytesMax + 4<<10

	// PaymentRefBytesMax bounds a payment provider's reference.
	PaymentRefBytesMax = 64

	// PersonBytesMax bounds what is kept, encrypted, about the person behind a hold or an order.
	PersonBytesMax = 1 << 10

	// AttemptsMax bounds the attempts to pay for one hold: each may leave something to be cancelled at the provider.
	AttemptsMax = 16

	// NameBytesMax bounds names: of events, sections, tiers, allocations, row labels.
	NameBytesMax = 64
)

// A Block of the largest size fits a command.
const _ = uint(CommandBytesMax - (UnitsPerBlockMax*4 + 64))
