package frames

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/tool"
)

// Video is what the container says about a video file.
type Video struct {
	Path string `json:"-"`              // "" where the video is not a file
	Name string `json:"name,omitempty"` // as the owner knows it, of several

	Container    string  `json:"container"` // ffmpeg's name of the demuxer
	Codec        string  `json:"codec"`
	PixelFormat  string  `json:"pixel_format"`
	Width        int     `json:"width"`  // as shown: after rotation, with square pixels
	Height       int     `json:"height"` //
	RotationDeg  int     `json:"rotation_deg"`
	DurationS    float64 `json:"duration_s"`
	FPS          float64 `json:"fps"`                 // mean frames a second
	Frames       int     `json:"frames,omitempty"`    // an estimate, from the headers, of the frames that will be shown; 0 is unknown
	VariableRate bool    `json:"variable_rate"`       // uneven distances in time are to be expected
	Transfer     string  `json:"transfer,omitempty"`  // the transfer characteristics, ffmpeg's name
	HDR          bool    `json:"hdr"`                 // PQ or HLG
	Interlaced   bool    `json:"interlaced"`          //
	FileBytes    int64   `json:"file_bytes"`          //
	Spherical    bool    `json:"spherical,omitempty"` // equirectangular: all directions
	stream       int     // index of the video stream in the file
	colour       colour
	counted      bool   // Frames and DurationS were measured; see headers.measure
	also         string // see headers; names between spaces
	served       *served
}

// place of the video.
func (v Video) place() place { return place{v.Path, v.served} }

// views is how many images are made of a frame.
func (v Video) views() int {
	if v.Spherical {
		return sphericalViews
	}
	return 1
}

// expectedFrames estimates the number of frames for progress, at least 1.
func (v Video) expectedFrames() int { return max(1, v.Frames) }

// containers and codecs are what ffmpeg may open, whatever a file pretends to be: what phones, cameras and editors
// write. Playlists, image sequences, subtitles and the like would let a file name other files.
const (
	containers = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
	codecs     = "h264,hevc,av1,libdav1d,libaom-av1,vp8,vp9,libvpx,libvpx-vp9,mpeg4,mpeg2video,mpeg1video,mjpeg,prores," +
		"dnxhd,h263,flv,flv1,wmv1,wmv2,wmv3,vc1,msmpeg4v1,msmpeg4v2,msmpeg4,msmpeg4v3,theora,ffv1,rawvideo,dvvideo,svq3,qtrle,png," +
		// Opened by the probe, never decoded.
		"aac,mp2,mp2float,mp3,mp3float,opus,libopus,vorbis,ac3,eac3,dca,truehd,alac,flac,amrnb,amrwb,wmav1,wmav2,wmapro,wmavoice,qdm2," +
		"pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_f32le,pcm_mulaw,pcm_alaw,pcm_bluray,pcm_dvd," +
		"adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_swf," +
		"ass,ssa,subrip,srt,text,mov_text,webvtt,cc_dec,dvdsub,dvbsub,pgssub,xsub"
)

// maxDecodedPixels is where ffmpeg gives up on a picture, whatever its header says: 8K with room for odd formats.
const maxDecodedPixels = "40000000"

// probeTimeout bounds the reading of the headers; a damaged index of hours of video takes a few seconds.
const probeTimeout = 60 * time.Second

const (
	// probeMemory is for the headers, an index of MaxFrames and a few frames of 8K.
	probeMemory  = 2 << 30
	probeEntries = "format=format_name,duration:stream=index,codec_name,codec_long_name,codec_tag_string,codec_type,width,height,sample_aspect_ratio,pix_fmt," +
		"field_order,color_range,color_space,color_transfer,color_primaries,r_frame_rate,avg_frame_rate,duration,nb_frames:" +
		"stream_disposition=default,attached_pic:stream_tags=rotate:stream_side_data_list"
)

const adviceSend = "Send the original video file as the phone or camera recorded it (MP4 or MOV with H.264 or H.265 is best)."

// Probe reads the headers of a video file. The error is a *fault.Failure when the file is at fault.
func Probe(ctx context.Context, tools Tools, path string, limits Limits) (Video, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return Video{}, fmt.Errorf("probing video: %w", err)
	case info.IsDir():
		return Video{}, fail(NotAVideo, adviceSend, "This is a folder, not a video.")
	}
	return probe(ctx, tools, place{path: path}, info.Size(), limits.withDefaults())
}

// probe is Probe of a video of size bytes, with limits complete.
func probe(ctx context.Context, tools Tools, from place, size int64, limits Limits) (Video, error) {
	if size == 0 {
		return Video{}, fail(EmptyFile, "Upload the file again; nothing of it arrived.", "The video file is empty.")
	}
	if err := recognised(from); err != nil {
		return Video{}, err
	}
	h := headers{tools: tools, from: from}
	out, said, err := h.run(ctx)
	if tooManyPixels(said) {
		return Video{}, fail(PictureTooLarge, adviceSmaller(limits), "The picture is larger than 8K.")
	}
	if err != nil {
		return Video{}, unreadable(ctx, from, err, said)
	}
	var answer probeAnswer
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		// More streams than anyone needs, or tags that break the lines.
		return Video{}, fail(NotAVideo, adviceSend, "The file's headers make no sense.").Because(err)
	}
	track, err := h.track(ctx, answer)
	if err != nil {
		return Video{}, err
	}
	v, err := answer.video(track)
	if err != nil {
		return Video{}, err
	}
	v.Path, v.served, v.FileBytes, v.also = from.path, from.served, size, strings.Join(h.also, " ")
	if v.DurationS > limits.MaxDuration.Seconds() || v.Frames > v.frameLimit(limits) {
		if err := h.measure(ctx, &v, limits); err != nil {
			return v, err
		}
	}
	if err := v.check(limits); err != nil {
		return v, err
	}
	if v.Width == 2*v.Height && !v.Spherical {
		// Editors and messengers drop the metadata.
		v.Spherical, err = looksSpherical(ctx, tools, v, limits)
	}
	v.Spherical = v.Spherical && v.Width == 2*v.Height // stereo pairs have another shape
	return v, err
}

// tooManyPixels recognises what ffmpeg says of a picture beyond maxDecodedPixels.
func tooManyPixels(said string) bool {
	return strings.Contains(said, "exceeds specified max pixel count")
}

// unreadable distinguishes a file that ffprobe cannot open from a machine that cannot run it and a storage that cannot be read.
func unreadable(ctx context.Context, from place, err error, said string) error {
	var failed *tool.Error
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && !from.slow() {
		return fail(NotAVideo, adviceSend, "The file's headers could not be read in time.").Because(err)
	}
	if outOfMemory(said) {
		return tooMuchMemory(err)
	}
	if ctx.Err() != nil || !errors.As(err, &failed) || failed.Cause != nil || failed.Signal != 0 {
		return fmt.Errorf("probing video: %w", err)
	}
	if gone := from.unread(); gone != nil {
		return fmt.Errorf("probing video: %w: %w", gone, err)
	}
	if strings.Contains(said, "moov atom not found") && startsLikeMP4(from) || strings.Contains(said, "partial file") {
		return fail(TruncatedVideo, "Upload the whole file again; if it does not play to its end on your device, record again.",
			"The video file is incomplete: its index, which is at the end, is missing.").Because(err)
	}
	return fail(NotAVideo, adviceSend, "The file is not a video that can be read.").Because(err)
}

// startsLikeMP4 looks for the type of the first box (ISO/IEC 14496-12, 4.2; QuickTime's older ones too). ffmpeg takes
// anything with the extension .mp4 for MP4.
func startsLikeMP4(from place) bool {
	head, err := from.head()
	return err == nil && len(head) >= 8 && isBox(head[4:8])
}

// probeAnswer is the part of ffprobe's JSON that is used.
type probeAnswer struct {
	Streams []probeStream `json:"streams"`
	Format  struct {
		FormatName string `json:"format_name"`
		Duration   string `json:"duration"`
	} `json:"format"`
}

type probeStream struct {
	Index         int    `json:"index"`
	CodecName     string `json:"codec_name"`
	CodecLongName string `json:"codec_long_name"`
	CodecTag      string `json:"codec_tag_string"`
	CodecType     string `json:"codec_type"`
	Width         int    `json:"width"`
	Height        int    `json:"height"`
	SampleAspect  string `json:"sample_aspect_ratio"`
	PixFmt        string `json:"pix_fmt"`
	FieldOrder    string `json:"field_order"`
	colour
	RFrameRate   string `json:"r_frame_rate"`
	AvgFrameRate string `json:"avg_frame_rate"`
	Duration     string `json:"duration"`
	NbFrames     string `json:"nb_frames"`
	Disposition  struct {
		AttachedPic int `json:"attached_pic"`
		Default     int `json:"default"`
	} `json:"disposition"`
	Tags struct {
		Rotate string `json:"rotate"`
	} `json:"tags"`
	SideData []struct {
		Rotation   float64 `json:"rotation"`
		Projection string  `json:"projection"`
	} `json:"side_data_list"`
}

// video describes a track, without limits checked.
func (a probeAnswer) video(s *probeStream) (Video, error) {
	if s.Width <= 0 || s.Height <= 0 {
		return Video{}, fail(TruncatedVideo, "Upload the whole file again; if it does not play on your device, record again.",
			"No picture could be found in the video.")
	}
	v := Video{
		Container: a.Format.FormatName, Codec: s.CodecName, PixelFormat: s.PixFmt, stream: s.Index,
		Width: s.Width, Height: s.Height,
		Transfer:   known(s.Transfer),
		HDR:        s.Transfer == "smpte2084" || s.Transfer == "arib-std-b67",
		Interlaced: s.FieldOrder != "" && s.FieldOrder != "progressive" && s.FieldOrder != "unknown",
		colour:     s.colour,
	}
	v.DurationS = seconds(s.Duration)
	if v.DurationS == 0 {
		v.DurationS = seconds(a.Format.Duration)
	}
	average, nominal := ratio(s.AvgFrameRate), ratio(s.RFrameRate)
	v.FPS = average
	if v.FPS == 0 {
		v.FPS = nominal
	}
	// Containers count frames that edit lists hide; a file without a duration may know their number.
	if v.Frames = int(math.Round(v.DurationS * v.FPS)); v.Frames == 0 {
		v.Frames = whole(s.NbFrames)
	}
	// The nominal rate is the lowest in which all times can be expressed; even frames have it as their mean.
	v.VariableRate = average > 0 && nominal > 0 && math.Abs(nominal/average-1) > 0.01
	if pixel := ratio(strings.Replace(s.SampleAspect, ":", "/", 1)); pixel > 0.1 && pixel < 10 {
		v.Width = int(math.Round(float64(v.Width) * pixel))
	}
	turn, _ := strconv.ParseFloat(s.Tags.Rotate, 64)
	for _, d := range s.SideData {
		if d.Rotation != 0 {
			turn = -d.Rotation
		}
		v.Spherical = v.Spherical || d.Projection == "equirectangular"
	}
	if !math.IsNaN(turn) && math.Abs(turn) < 1e6 {
		v.RotationDeg = ((int(math.Round(turn/90))*90)%360 + 360) % 360
	}
	if v.RotationDeg == 90 || v.RotationDeg == 270 {
		v.Width, v.Height = v.Height, v.Width
	}
	return v, nil
}

// check refuses what headers are enough to refuse. What is too short turns out when it was decoded.
func (v Video) check(l Limits) error {
	long, short := max(v.Width, v.Height), min(v.Width, v.Height)
	switch {
	case long > l.MaxEdge:
		return fail(PictureTooLarge, adviceSmaller(l),
			"The picture is %d x %d pixels.", v.Width, v.Height)
	case short < l.MinEdge:
		return fail(PictureTooSmall, "Send the original, not a preview: 720p or more is needed for a good result.",
			"The picture is only %d x %d pixels.", v.Width, v.Height)
	case v.counted && v.DurationS > l.MaxDuration.Seconds():
		return tooLong(l)
	case v.counted && v.Frames > v.frameLimit(l):
		return fail(TooManyFrames, adviceFewer, "The video has more than %d frames; of this size, no more are accepted.", v.frameLimit(l))
	}
	return nil
}

func tooLong(l Limits) *fault.Failure {
	return fail(VideoTooLong, "Cut it to the part that shows the subject; one to three minutes are plenty.",
		"The video is longer than %.0f minutes; no more are accepted.", l.MaxDuration.Minutes())
}

const adviceFewer = "Cut the video, lower its frame rate to 30 per second, or send it in a smaller size."

// frameLimit is how many frames of the video's size are decoded.
func (v Video) frameLimit(l Limits) int {
	return int(min(int64(l.MaxFrames), l.MaxSamples/max(1, int64(v.Width)*int64(v.Height))))
}

func adviceSmaller(l Limits) string {
	return fmt.Sprintf("Send the video in 4K or less; at most %d pixels along an edge are accepted.", l.MaxEdge)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// seconds parses ffprobe's decimal seconds; nonsense is 0.
func seconds(s string) float64 {
	x, ok := number(s)
	if !ok || x < 0 {
		return 0
	}
	return x
}

// number parses a decimal number that a time can have.
func number(s string) (x float64, ok bool) {
	x, err := strconv.ParseFloat(s, 64)
	return x, err == nil && math.Abs(x) < 1e9
}

// whole parses a count; nonsense is 0.
func whole(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// ratio parses "30000/1001"; nonsense is 0.
func ratio(s string) float64 {
	over, under, ok := strings.Cut(s, "/")
	if !ok {
		return 0
	}
	a, err1 := strconv.ParseFloat(over, 64)
	b, err2 := strconv.ParseFloat(under, 64)
	if err1 != nil || err2 != nil || !(a > 0 && b > 0 && a/b < 1e6) {
		return 0
	}
	return a / b
}
