package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// memoryBeside is what programs need beside the files of a capture where those are in memory, too: ffmpeg decoding 4K on eight
// threads takes most of it.
const memoryBeside = 1 << 30

// Space is how many bytes of files a folder takes.
type Space struct {
	Free     int64 // now
	Total    int64 // if nothing else were on its disk
	InMemory bool  // files take it from the memory of the programs
}

// Crowded reports that other things fill most of the disk: what finds no room now may find it later.
func (s Space) Crowded() bool { return s.Free < s.Total/2 }

// FolderSpace is what is free on a folder's disk, and where its files are in memory no more than leaves memoryBeside. On Cloud Run
// everything is memory but what is mounted.
func FolderSpace(dir string, cloudRun bool) (Space, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return Space{}, fmt.Errorf("room in %s: %w", dir, err)
	}
	var folder, root unix.Stat_t
	if err := errors.Join(unix.Stat(dir, &folder), unix.Stat("/", &root)); err != nil {
		return Space{}, fmt.Errorf("room in %s: %w", dir, err)
	}
	const tmpfs = 0x01021994 // statfs(2)
	inMemory := int64(disk.Type) == tmpfs || (cloudRun && folder.Dev == root.Dev)
	return space(int64(disk.Bavail)*int64(disk.Bsize), int64(disk.Blocks)*int64(disk.Bsize), MachineMemory(), inMemory), nil
}

// space is FolderSpace of numbers; memory 0 is not known.
func space(free, total, memory int64, inMemory bool) Space {
	if inMemory && memory > 0 {
		free, total = min(free, memory-memoryBeside), min(total, memory-memoryBeside)
	}
	return Space{Free: max(free, 0), Total: max(total, 0), InMemory: inMemory}
}

// checkRoom refuses a capture that the worker has no room for, before anything of it is fetched. One that others have taken the room
// of waits.
func (j *Job) checkRoom(uploads []pipeline.Object) error {
	if j.room == nil {
		return nil
	}
	space, err := j.room()
	if err != nil {
		return err
	}
	size := int64(0)
	for _, o := range uploads {
		size += o.Size
	}
	if size <= space.Free {
		return nil
	}
	most := megabytes(space.Free)
	if space.Crowded() && size <= space.Total {
		return &pipeline.Failure{Kind: pipeline.Transient, Code: pipeline.DiskFull, Stage: j.stage,
			Message: fmt.Sprintf("The disk is full: there is no room in %s for the capture.", filepath.Dir(filepath.Dir(j.Dir))),
			Advice:  "Free some room and submit the request again."}
	}
	return &pipeline.Failure{Kind: pipeline.InvalidInput, Code: "upload_too_large_for_worker", Stage: j.stage,
		Message: fmt.Sprintf("The capture has %s, and the machine has room for %s.", megabytes(size), most),
		Advice: fmt.Sprintf("Send at most %s: fewer or smaller photos, or one video that is not in an archive, which takes no room. "+
			"An operator can give the %s stage more memory or a disk.", most, j.stage)}
}

// Room is how many bytes of files the job's folder may take; 0: nobody knows. On a crowded disk that is all of it: what finds it full
// waits, and is not too large.
func (j *Job) Room() (int64, error) {
	if j.room == nil {
		return 0, nil
	}
	space, err := j.room()
	if space.Crowded() {
		return space.Total, err
	}
	return space.Free, err
}

// InMemory is how many bytes of the programs' memory the files in the job's folder take now; 0 where they are on a disk.
func (j *Job) InMemory() (int64, error) {
	if j.room == nil {
		return 0, nil
	}
	space, err := j.room()
	if err != nil || !space.InMemory {
		return 0, err
	}
	held := int64(0)
	err = filepath.WalkDir(j.Dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			held += info.Size()
		}
		return err
	})
	return held, err
}

// Upload is what the client gave, read from storage. Its errors are those of FetchUpload.
type Upload struct{ *artifacts.ReaderAt }

// ReadAt implements io.ReaderAt.
func (u Upload) ReadAt(p []byte, offset int64) (int, error) {
	n, err := u.ReaderAt.ReadAt(p, offset)
	return n, uploadFailure(err)
}

// Verify compares the checksum of the whole.
func (u Upload) Verify(crc32c uint32) error { return uploadFailure(u.ReaderAt.Verify(crc32c)) }

// OpenUpload opens the upload in storage when it is one object, so that a video can be read and an archive unpacked without a copy of
// it in the job's folder. It returns nil where the client gave several, and where the storage cannot be read from the middle:
// FetchUpload then. An archive that the machine has no room for is refused: pictures and videos hardly shrink, so it unpacks to its
// own size or more. A video takes no room.
func (j *Job) OpenUpload(ctx context.Context) (*Upload, error) {
	store, ok := j.store.(artifacts.Ranger)
	uploads := j.uploads()
	if !ok || len(uploads) != 1 {
		return nil, nil
	}
	r := Upload{artifacts.NewReaderAt(ctx, store, uploads[0])}
	head := make([]byte, 4)
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, r.Close())
	}
	if mark := string(head); mark == "PK\x03\x04" || mark == "PK\x05\x06" { // APPNOTE.TXT 4.3.7 and 4.3.16, as frames.Detect
		if err := j.checkRoom(uploads); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return &r, nil
}

// megabytes writes a size for people.
func megabytes(n int64) string { return fmt.Sprintf("%d MB", n/1_000_000) }
