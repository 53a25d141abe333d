// Package lossy is a file system that loses what was not synced when its power is cut. SIGKILL leaves the kernel's page
// cache as it is, so killing a process says nothing about its syncs; here a process runs on a real mount, by FUSE, whose
// page cache is ours to forget.
//
// What is promised is what POSIX promises, and no more:
//
//   - Read your writes: until the power fails, everybody sees what was written, made, renamed and removed last, by read
//     and by mmap alike.
//   - A sync of a file (fsync, fdatasync, O_SYNC, msync) makes its bytes and its size durable, not its name. ext4 writes
//     the name of a new file down too, since it commits its whole journal; who counts on that loses files elsewhere.
//   - A sync of a folder makes durable what was made, renamed and removed in it before, not the folder's own name and not
//     what is in the files. ext4 writes a file down before a rename puts it in another's place (auto_da_alloc); here a
//     file can lie under its new name, empty.
//   - What was not synced may be there all the same, as the seed of the cut decides. Of a file each sector (of 512 bytes or
//     4 KiB, by cut) is as it was after some write that touched it: not at all written, or a few writes ago, or as it was
//     last. Sectors are independent, so a large write is torn and two small ones are turned around; within a sector
//     nothing is torn. Where a file was extended and the bytes were not written there are zeros, never what another file
//     had there.
//   - A truncation is kept or lost as a whole. When it is lost, so is what was written later beyond its size.
//   - Making, removing and renaming is kept or lost as a whole: a rename has happened or not, and never left two names
//     or none. In one folder these are kept in order, as a journal does it; in different ones independently.
//   - What is older than Options.WriteBack is written down unasked, as the kernel does; and so is the largest file when more
//     than Options.UnsyncedMax is not.
//
// Missing: links of both kinds, extended attributes, fallocate, moving a folder into another, times (a file has the time
// at which it was made), owners, and sync(2) of the whole system, which the kernel does not tell a FUSE server. Permissions
// are kept, and durable at once. Files are never larger on the real disk than they are here, and holes stay holes.
//
// Store is the file system without a mount; serve.go mounts one in a process of its own, since a process that reads by
// mmap what it serves itself can stop for ever, and disk.go is how others start that process and cut its power.
package lossy
