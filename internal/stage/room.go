package stage

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// memoryBeside is what programs need beside the files of a capture where those lie in memory, too: ffmpeg decoding 4K on eight
// threads takes most of it.
const memoryBeside = 1 << 30

// FolderRoom is how many bytes of files a folder takes: what is free on its disk, and where its files lie in memory no more than
// leaves memoryBeside. On Cloud Run everything is memory but what is mounted.
func FolderRoom(dir string, cloudRun bool) (int64, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("room in %s: %w", dir, err)
	}
	var folder, root unix.Stat_t
	if err := errors.Join(unix.Stat(dir, &folder), unix.Stat("/", &root)); err != nil {
		return 0, fmt.Errorf("room in %s: %w", dir, err)
	}
	const tmpfs = 0x01021994 // statfs(2)
	inMemory := int64(disk.Type) == tmpfs || (cloudRun && folder.Dev == root.Dev)
	return room(int64(disk.Bavail)*int64(disk.Bsize), MachineMemory(), inMemory), nil
}

// room is FolderRoom of numbers; memory 0 is not known.
func room(free, memory int64, inMemory bool) int64 {
	if inMemory && memory > 0 {
		free = min(free, memory-memoryBeside)
	}
	return max(free, 0)
}

// checkRoom refuses a capture that the worker has no room for, before anything of it is fetched.
func (j *Job) checkRoom(uploads []pipeline.Object) error {
	if j.room == nil {
		return nil
	}
	free, err := j.room()
	if err != nil {
		return err
	}
	size := int64(0)
	for _, o := range uploads {
		size += o.Size
	}
	if size <= free {
		return nil
	}
	most := megabytes(free)
	return &pipeline.Failure{Kind: pipeline.InvalidInput, Code: "upload_too_large_for_worker", Stage: j.stage,
		Message: fmt.Sprintf("The capture has %s, and the machine has room for %s.", megabytes(size), most),
		Advice: fmt.Sprintf("Send at most %s: a shorter or smaller video, or fewer photos. An operator can give the %s stage more memory or a disk.",
			most, j.stage)}
}

// Room is how many bytes of files the job's folder takes now; 0: nobody knows.
func (j *Job) Room() (int64, error) {
	if j.room == nil {
		return 0, nil
	}
	return j.room()
}

// OpenArchive opens the upload where it lies when it is one ZIP archive, so that it can be unpacked without a copy of it in the
// job's folder. It returns nil for every other upload, and where the storage cannot be read from the middle: FetchUpload then. What
// the machine has no room for is refused: pictures and videos hardly shrink, so an archive unpacks to its own size or more.
func (j *Job) OpenArchive(ctx context.Context) (*artifacts.ReaderAt, error) {
	store, ok := j.store.(artifacts.Ranger)
	uploads := j.uploads()
	if !ok || len(uploads) != 1 {
		return nil, nil
	}
	r := artifacts.NewReaderAt(ctx, store, uploads[0])
	head := make([]byte, 4)
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, uploadFailure(errors.Join(err, r.Close()))
	}
	if mark := string(head); mark != "PK\x03\x04" && mark != "PK\x05\x06" { // APPNOTE.TXT 4.3.7 and 4.3.16, as frames.Detect
		return nil, r.Close()
	}
	if err := j.checkRoom(uploads); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// megabytes writes a size for people.
func megabytes(n int64) string { return fmt.Sprintf("%d MB", n/1_000_000) }
