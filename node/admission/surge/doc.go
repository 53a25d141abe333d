// Package surge simulates an on-sale: thousands of people in a line, a shard that commits their commands in groups, and
// the control law of package admission between them, on virtual time. It is deterministic: the same world gives the same
// second-by-second record.
//
// What it leaves out: the Raft group (its commit is a time that depends on the number of commands), seats (units are
// alike), and pages (people come when they are called, after a delay). What it keeps is what the law has to live with:
// people who do not come, who take their time, who cannot find two seats, who never pay; a commit path that queues; a
// shard without a leader; and delays between letting somebody in and the load that this brings.
package surge
