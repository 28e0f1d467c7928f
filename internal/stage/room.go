package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

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

// checkRoom refuses a capture that the worker has no room for, before anything of it is fetched. An archive takes its size twice,
// packed and unpacked: pictures and videos hardly shrink.
func (j *Job) checkRoom(ctx context.Context, uploads []pipeline.Object) error {
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
	times := int64(1)
	if len(uploads) == 1 && 2*size > free && size <= free {
		if times, err = j.copies(ctx, uploads[0]); err != nil {
			return err
		}
	}
	if times*size <= free {
		return nil
	}
	most := megabytes(free / times)
	what := "a capture"
	if times > 1 {
		what = "an archive, which is unpacked beside itself,"
	}
	return &pipeline.Failure{Kind: pipeline.InvalidInput, Code: "upload_too_large_for_worker", Stage: j.stage,
		Message: fmt.Sprintf("The capture has %s, and the machine has room for %s of at most %s.", megabytes(size), what, most),
		Advice: fmt.Sprintf("Send at most %s: a shorter or smaller video, or fewer photos. An operator can give the %s stage more memory or a disk.",
			most, j.stage)}
}

// copies is how often an upload's size is needed: its first bytes say whether it is a ZIP archive (APPNOTE.TXT 4.3.7).
func (j *Job) copies(ctx context.Context, o pipeline.Object) (int64, error) {
	r, err := j.store.Open(ctx, o)
	if err != nil {
		return 0, uploadFailure(fmt.Errorf("look at %v: %w", o, err))
	}
	defer r.Close() // before its end, which is no error
	head := make([]byte, 4)
	if n, err := io.ReadFull(r, head); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return 0, uploadFailure(fmt.Errorf("look at %v: %w", o, err))
	} else if strings.HasPrefix(string(head[:n]), "PK\x03\x04") {
		return 2, nil
	}
	return 1, nil
}

// megabytes writes a size for people.
func megabytes(n int64) string { return fmt.Sprintf("%d MB", n/1_000_000) }
