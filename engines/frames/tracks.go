package frames

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/splatworks/splatworks/engines/tool"
)

// headers asks ffprobe about one file. ffprobe opens a decoder for every stream of a file and gives up when one is not in
// codecs, be it that of sound or data which nobody uses. also are such decoders, which it may open then; it decodes no packet
// with them, and ffmpeg, which does, opens the picture's only.
type headers struct {
	tools Tools
	from  place
	also  []string
}

// args are the arguments of ffprobe that confine it to the one file.
func (h headers) args(more ...string) []string {
	args := append([]string{"-v", "error"}, more...)
	args = append(args, h.from.input()...)
	if len(h.also) > 0 {
		for _, kind := range []string{"v", "a", "s", "d", "t"} {
			args = append(args, "-codec_whitelist:"+kind, codecs+","+strings.Join(h.also, ","))
		}
	}
	return args
}

// run reads the headers: the JSON that ffprobe writes, and what it says on standard error.
func (h *headers) run(ctx context.Context) (out, said string, err error) {
	const tries = 8 // ffprobe may stop at the first decoder that it is refused, and name the next one only then
	for range tries {
		var answer, complaints strings.Builder
		_, err = tool.Run(ctx, tool.Command{
			Path: h.tools.FFprobe, Timeout: probeTimeout, MaxMemoryBytes: probeMemory,
			// Only what is used: tags of a hostile file can be as long as the file.
			Args:     h.args("-print_format", "json", "-show_entries", probeEntries, "-analyzeduration", "20M", "-probesize", "50M"),
			OnStdout: keepLines(&answer, 1<<20),
			OnStderr: keepLines(&complaints, 1<<16),
		})
		out, said = answer.String(), complaints.String()
		refused := refusedDecoders(said)
		refused = slices.DeleteFunc(refused, func(name string) bool { return slices.Contains(h.also, name) })
		if err == nil || ctx.Err() != nil || len(refused) == 0 {
			break
		}
		h.also = append(h.also, refused...)
	}
	return out, said, err
}

func keepLines(b *strings.Builder, most int) func(string) {
	return func(line string) {
		if b.Len() < most {
			b.WriteString(line)
			b.WriteByte('\n')
		}
	}
}

var refusedDecoder = regexp.MustCompile(`Codec \(([a-z0-9_-]{1,40})\) not on whitelist`)

// refusedDecoders are the names in what ffprobe says of decoders that it may not open.
func refusedDecoders(said string) []string {
	var names []string
	for _, found := range refusedDecoder.FindAllStringSubmatch(said, 64) {
		if !slices.Contains(names, found[1]) {
			names = append(names, found[1])
		}
	}
	return names
}

// mayDecode says whether the pictures of a stream may be decoded: whether its codec is in codecs.
func (s *probeStream) mayDecode() bool {
	return slices.Contains(strings.Split(codecs, ","), s.CodecName)
}

// known says whether ffmpeg has a name for the stream's codec.
func (s *probeStream) known() bool {
	return s.CodecName != "" && s.CodecName != "unknown" && s.CodecName != "none"
}

// track chooses the stream that is the film: of those whose pictures can be decoded one that holds about as many pictures as
// any, then the larger, then the one that the file marks as its default, then the first. A title picture or a thumbnail may be
// a track as well, and be marked.
func (h headers) track(ctx context.Context, a probeAnswer) (*probeStream, error) {
	var tracks []*probeStream
	var refused *probeStream
	for i := range a.Streams {
		switch s := &a.Streams[i]; {
		case s.CodecType != "video" || s.Disposition.AttachedPic != 0:
		case !s.known() || !s.mayDecode():
			refused = cmp.Or(refused, s)
		default:
			tracks = append(tracks, s)
		}
	}
	switch {
	case len(tracks) == 0 && refused == nil:
		return nil, fail(NoVideoStream, adviceSend, "The file holds no video (%s).", a.Format.FormatName)
	case len(tracks) == 0:
		return nil, fail(UnsupportedCodec, "Convert the video to H.264 in an MP4 file and send that.",
			"The video is encoded as %s, which is not read here.", refused.codec())
	case len(tracks) == 1:
		return tracks[0], nil
	}
	pictures := map[int]int{}
	most := 0
	// The first twenty seconds distinguish a film from a picture.
	err := h.packets(ctx, "v", "%+20", func(p packet) bool {
		pictures[p.stream]++
		return true
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		pictures = nil // what is left decides
	}
	for _, s := range tracks {
		most = max(most, pictures[s.Index])
	}
	film := func(s *probeStream) int { return btoi(2*pictures[s.Index] >= most) }
	return slices.MinFunc(tracks, func(a, b *probeStream) int {
		return cmp.Or(cmp.Compare(film(b), film(a)), cmp.Compare(b.Width*b.Height, a.Width*a.Height),
			cmp.Compare(b.Disposition.Default, a.Disposition.Default), cmp.Compare(a.Index, b.Index))
	}), nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// codec names a stream's codec for people.
func (s *probeStream) codec() string {
	switch {
	case s.CodecLongName != "" && s.CodecLongName != "unknown":
		return s.CodecLongName
	case s.known():
		return s.CodecName
	case s.CodecTag != "" && !strings.HasPrefix(s.CodecTag, "[0]"):
		return "“" + s.CodecTag + "”"
	}
	return "something unknown"
}

// packet is one of a stream that is to be shown, at a time in seconds; timed is false where the file does not say when.
type packet struct {
	stream int
	time   float64
	timed  bool
}

// packets calls each for the packets of the streams (a stream specifier) in an interval as ffprobe's -read_intervals takes it
// ("" is all) until it returns false. Nothing is decoded. Packets that are only there to decode others, which an edit list
// hides, are left out.
func (h headers) packets(ctx context.Context, streams, interval string, each func(packet) bool) error {
	args := h.args("-select_streams", streams, "-show_entries", "packet=stream_index,pts_time,flags", "-print_format", "csv=p=0")
	if interval != "" {
		args = append(args, "-read_intervals", interval)
	}
	_, err := tool.Stream(ctx, tool.Command{Path: h.tools.FFprobe, Args: args, Timeout: probeTimeout, MaxMemoryBytes: probeMemory},
		func(out io.Reader) error {
			lines := bufio.NewScanner(out)
			for lines.Scan() {
				if p, ok := parsePacket(lines.Text()); ok && !each(p) {
					return tool.Stop
				}
			}
			return lines.Err()
		})
	return err
}

// parsePacket reads "0,1.4,K__"; ok is false for what is not to be shown.
func parsePacket(line string) (p packet, ok bool) {
	fields := strings.Split(line, ",")
	if len(fields) < 3 || strings.Contains(fields[2], "D") {
		return p, false
	}
	p.stream = whole(fields[0])
	p.time, p.timed = number(fields[1])
	return p, true
}

// measure finds out how many pictures a video holds and for how long they are shown, from its packets: headers count what edit
// lists hide, and may be wrong. It stops where either is more than is accepted. A packet can be a field, half of a picture.
func (h headers) measure(ctx context.Context, v *Video, l Limits) error {
	first, last, n := 0.0, 0.0, 0
	perPicture := 1
	if v.Interlaced {
		perPicture = 2
	}
	err := h.packets(ctx, strconv.Itoa(v.stream), "", func(p packet) bool {
		if n++; p.timed {
			if n == 1 {
				first, last = p.time, p.time
			}
			first, last = min(first, p.time), max(last, p.time)
		}
		return last-first <= l.MaxDuration.Seconds() && n <= perPicture*v.frameLimit(l)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil || n == 0 {
		return nil // decoding reports it
	}
	v.Frames, v.counted = n/perPicture, true
	if v.DurationS = last - first; v.FPS > 0 {
		v.DurationS += 1 / v.FPS
	}
	return nil
}

// countTogether measures the videos where their headers together promise more than is accepted.
func (c *Capture) countTogether(ctx context.Context) error {
	seconds, frames := 0.0, 0
	for _, v := range c.videos {
		seconds += v.DurationS
		frames += v.Frames
	}
	if seconds <= c.limits.MaxDuration.Seconds() && frames <= c.limits.MaxFrames {
		return nil
	}
	for i := range c.videos {
		v := &c.videos[i]
		if v.counted {
			continue
		}
		if err := (headers{tools: c.tools, from: v.place(), also: strings.Fields(v.also)}).measure(ctx, v, c.limits); err != nil {
			return err
		}
	}
	return nil
}
