package frames

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/tool"
)

// Codes of failures: each is about the input, never about the machine.
const (
	EmptyFile        = "empty_file"
	NotAVideo        = "not_a_video"
	NoVideoStream    = "no_video_stream"
	TruncatedVideo   = "truncated_video"
	UnsupportedCodec = "unsupported_codec"
	VideoTooShort    = "video_too_short"
	VideoTooLong     = "video_too_long"
	TooManyFrames    = "too_many_frames"
	TooMuchMemory    = "too_much_memory" // decoding it takes more than any honest video
	PictureTooLarge  = "picture_too_large"
	PictureTooSmall  = "picture_too_small"
	AllBlack         = "all_black"
	NoDetail         = "no_detail"
	NoMotion         = "no_motion"
	NotAScene        = "not_a_scene"   // the frames have nothing to do with each other: noise, a slide show
	NotSpherical     = "not_spherical" // and was said to be
	TooFewPhotos     = "too_few_photos"
	TooManyPhotos    = "too_many_photos"
	TooManyVideos    = "too_many_videos"
	BadMask          = "bad_mask"
	NotAPhoto        = "not_a_photo"
	BadArchive       = "bad_archive"
	ArchiveTooLarge  = "archive_too_large"
)

func fail(code, advice, message string, args ...any) *fault.Failure {
	return fault.New(fault.Input, code, advice, message, args...)
}

// outOfMemory recognises what ffmpeg says when its allocations fail (the text of ENOMEM).
func outOfMemory(said string) bool { return strings.Contains(said, "Cannot allocate memory") }

func tooMuchMemory(err error) *fault.Failure {
	return fail(TooMuchMemory, adviceSend, "Reading the video takes more memory than is allowed.").Because(err)
}

// unread says why a file of the capture cannot be read any more: it was deleted, its disk or its network share is gone. nil is a
// file that can be. Programs and decoders that are given such a file call it damaged.
func unread(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err = file.Read(make([]byte, 1)); err == io.EOF {
		return nil
	}
	return err
}

// ended says what the end of ffmpeg means that was to do something with a video, and to write into dir ("" if nothing): a
// full disk (syscall.ENOSPC), a video that is gone (a *fs.PathError) and a machine that cannot run it are no *fault.Failure; all else
// is the video's.
func (v Video) ended(ctx context.Context, err error, doing, dir string) error {
	var failed *tool.Error
	if ctx.Err() != nil || !errors.As(err, &failed) || failed.Cause != nil || failed.Signal != 0 {
		return fmt.Errorf("%s: %w", doing, err)
	}
	said := strings.Join(failed.Tail, "\n")
	gone := v.place().unread()
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return noRoom(doing, dir, err)
	case gone != nil:
		return fmt.Errorf("%s: %w: %w", doing, gone, err)
	case outOfMemory(said):
		return tooMuchMemory(err)
	case tooManyPixels(said):
		return fail(PictureTooLarge, "Send the video in 4K or less.", "The picture is larger than 8K.").Because(err)
	}
	return fail(UnsupportedCodec, "Convert the video to H.264 in an MP4 file and send that.",
		"The video's pictures cannot be decoded or converted (%s, %s, in %s).", v.Codec, cmp.Or(v.PixelFormat, "of an unknown format"), v.Container).Because(err)
}

// noRoom names the folder of a program's output where err is that of a full disk: errors.Is(err, syscall.ENOSPC) holds for both.
func noRoom(doing, dir string, err error) error {
	return fmt.Errorf("%s: %w: %w", doing, &fs.PathError{Op: "write", Path: filepath.Join(dir, "*"), Err: syscall.ENOSPC}, err)
}
