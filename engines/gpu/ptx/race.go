package ptx

// shadow says who used a word of shared memory last, and between which barriers. Threads count from 1; 0 is nobody.
type shadow struct {
	writer, writeEpoch, writeSync             int
	reader, readEpoch, readSync, readWarp     int
	atomic, atomicEpoch, atomicSync, atomicOf int // atomicOf: the warp
}

// Users of a word that are more than one thread.
const (
	threadsOfOneWarp = -1
	threadsOfSeveral = -2 // warps
)

// use notes another thread among the users of a word since the last barrier.
func use(user, epoch, sync, warpOf *int, thread, now, nowSync, warp int) {
	switch {
	case *epoch != now || *user == thread+1 || *user != threadsOfSeveral && *warpOf == warp && *sync != nowSync:
		*user = thread + 1
	case *user != threadsOfSeveral && *warpOf == warp:
		*user = threadsOfOneWarp
	default:
		*user = threadsOfSeveral
	}
	*epoch, *sync, *warpOf = now, nowSync, warp
}

// conflicts says whether another user than the thread has the word since the last barrier that separates them: the
// block's, or within a warp the warp's.
func conflicts(user, epoch, sync, warpOf, thread, now, nowSync, warp int) bool {
	return epoch == now && user != thread+1 && (user == threadsOfSeveral || warpOf != warp || sync == nowSync)
}

// raceOfThreads reports two uses of a word of shared memory, one of them a write, that no barrier separates.
func (w *warp) raceOfThreads(a *access, s *shadow) {
	thread, warp, now := w.first+a.lane, w.first/32, w.b.epoch
	if conflicts(s.writer, s.writeEpoch, s.writeSync, (s.writer-1)/32, thread, now, w.syncs, warp) {
		w.b.d.report(w.b.e, a.in, Race, "thread %d uses what thread %d wrote; no barrier is between them", thread, s.writer-1)
	}
	if !a.atomic && conflicts(s.atomic, s.atomicEpoch, s.atomicSync, s.atomicOf, thread, now, w.syncs, warp) {
		w.b.d.report(w.b.e, a.in, Race, "thread %d uses what others may still change atomically", thread)
	}
	if a.write && conflicts(s.reader, s.readEpoch, s.readSync, s.readWarp, thread, now, w.syncs, warp) {
		w.b.d.report(w.b.e, a.in, Race, "thread %d writes what others may still read", thread)
	}
	switch {
	case a.atomic:
		use(&s.atomic, &s.atomicEpoch, &s.atomicSync, &s.atomicOf, thread, now, w.syncs, warp)
	case a.write:
		s.writer, s.writeEpoch, s.writeSync = thread+1, now, w.syncs
	default:
		use(&s.reader, &s.readEpoch, &s.readSync, &s.readWarp, thread, now, w.syncs, warp)
	}
}

// blockShadow says which blocks of a launch used a word of global memory. Blocks count from 1; launches never repeat.
type blockShadow struct {
	writeLaunch, readLaunch, atomicLaunch uint32
	writer, reader                        uint32 // reader 0: several
}

// raceOfBlocks reports that a block uses a word that another block of the launch writes: nothing orders blocks.
func (w *warp) raceOfBlocks(a *access, s *blockShadow) {
	launch, block := w.b.d.launch, w.b.cta+1
	wrote := s.writeLaunch == launch && s.writer != block
	changes := !a.atomic && s.atomicLaunch == launch
	reads := a.write && s.readLaunch == launch && s.reader != block
	if wrote || changes || reads {
		w.b.d.report(w.b.e, a.in, Race, "block %d uses global memory that another block of the launch uses, and one of them writes", w.b.cta)
	}
	switch {
	case a.atomic:
		s.atomicLaunch = launch
	case a.write:
		s.writeLaunch, s.writer = launch, block
	case s.readLaunch != launch:
		s.readLaunch, s.reader = launch, block
	case s.reader != block:
		s.reader = 0
	}
}
