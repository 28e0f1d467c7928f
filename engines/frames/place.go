package frames

import (
	"io"

	"github.com/splatworks/splatworks/engines/tool"
)

// place is where programs and Go code read a video: from a file, or from a server of this program.
type place struct {
	path   string
	served *served // nil: the file
}

// input are the options before and including -i that confine ffmpeg to the one file, or to the one address on this machine. No file
// leads it to another address: containers has no format that names one, the server does not redirect, and the environment's proxy
// is not used.
func (p place) input() []string {
	confined := []string{"-format_whitelist", containers, "-codec_whitelist", codecs, "-max_pixels", maxDecodedPixels}
	if p.served != nil {
		return append(confined, "-protocol_whitelist", "http,tcp", "-http_proxy", "", "-i", p.served.url)
	}
	return append(confined, "-protocol_whitelist", "file,pipe", "-i", "file:"+tool.File(p.path))
}

// head is the start, enough to detect the format.
func (p place) head() (string, error) {
	if p.served != nil {
		return headFrom(io.NewSectionReader(p.served.from, 0, p.served.from.size))
	}
	return headOf(p.path)
}

// unread says why the video cannot be read any more, or could not at some time; see the function unread.
func (p place) unread() error {
	if p.served != nil {
		return p.served.from.failed()
	}
	return unread(p.path)
}

// slow says whether reading waited for a storage that is slow to answer.
func (p place) slow() bool { return p.served != nil && p.served.from.slow.Load() }
