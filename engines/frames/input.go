package frames

import (
	"context"
	"errors"
	"io"

	"github.com/splatworks/splatworks/engines/fault"
)

// Input is a file that is not on this machine and can be read from the middle. Close also ends a ReadAt that is still waiting.
type Input interface {
	io.ReaderAt
	io.Closer
	Size() int64 // bytes
	// Verify compares the CRC32C of what was read with that of the content, where it is known. Its error is the capture's.
	Verify(crc32c uint32) error
}

// ErrNeedsFile is the error of OpenFrom for an input that can be read from a file only.
var ErrNeedsFile = errors.New("this input must be a file")

// OpenFrom is Open of one input that need not be a file. An archive is read once, member by member, and unpacked into dir. A video
// is read by range, through a server on the loopback interface: its headers here, all of it once by Choose and once by Extract. A
// photo needs a file (ErrNeedsFile), and so does a video where ffmpeg was built without HTTP. An error of in itself, Verify's included, is
// returned as it is and is never a *fault.Failure, here and by the capture's methods.
//
// OpenFrom takes in over: Close of the capture closes it, and an error of OpenFrom has closed it.
func OpenFrom(ctx context.Context, tools Tools, in Input, dir string, limits Limits) (*Capture, error) {
	c := &Capture{tools: tools, limits: limits.withDefaults(), in: in}
	if err := c.openFrom(ctx, dir); err != nil {
		_ = c.Close() // nothing was written
		return nil, err
	}
	return c, nil
}

func (c *Capture) openFrom(ctx context.Context, dir string) error {
	from := &remote{in: c.in, size: c.in.Size()}
	head, err := headFrom(io.NewSectionReader(from, 0, from.size))
	if err != nil {
		return err
	}
	switch kindOf(head) {
	case KindPhoto:
		return ErrNeedsFile
	case KindArchive:
		files, skipped, err := unpackFrom(ctx, c.in, from.size, dir, c.limits)
		if err := errors.Join(err, c.Close()); err != nil {
			return err
		}
		return c.sort(ctx, files, skipped)
	}
	if c.served, err = serve(from); err != nil {
		return err
	}
	v, err := probe(ctx, c.tools, place{served: c.served}, from.size, c.limits)
	if gone := c.unread(); gone != nil {
		return gone
	}
	if fault.Of(err) != nil && from.size > 0 && !readsHTTP(ctx, c.tools) {
		return ErrNeedsFile
	}
	c.videos = []Video{v}
	return err
}

// unread is the first error of the input of OpenFrom.
func (c *Capture) unread() error {
	if c.served == nil {
		return nil
	}
	return c.served.from.failed()
}

// sound is unread after a pass over the whole: also where the checksum is another than that of the content.
func (c *Capture) sound() error {
	if c.served == nil {
		return nil
	}
	return c.served.from.verify(c.in.Verify)
}

// Close ends what OpenFrom began; the capture cannot be used afterwards. It does nothing to a capture of Open.
func (c *Capture) Close() error {
	var err error
	if c.served != nil {
		err = c.served.close()
	}
	if c.in != nil {
		err = errors.Join(err, c.in.Close())
	}
	c.served, c.in = nil, nil
	return err
}
