package frames

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/engines/tool"
)

// Video is what the container says about a video file.
type Video struct {
	Path string `json:"-"`
	Name string `json:"name,omitempty"` // as the owner knows it, of several

	Container      string  `json:"container"` // ffmpeg's name of the demuxer
	Codec          string  `json:"codec"`
	PixelFormat    string  `json:"pixel_format"`
	Width          int     `json:"width"`  // as shown: after rotation, with square pixels
	Height         int     `json:"height"` //
	RotationDeg    int     `json:"rotation_deg"`
	DurationS      float64 `json:"duration_s"`
	FPS            float64 `json:"fps"`                 // mean frames a second
	Frames         int     `json:"frames,omitempty"`    // as the container states them; 0 when it does not
	VariableRate   bool    `json:"variable_rate"`       // uneven distances in time are to be expected
	Transfer       string  `json:"transfer,omitempty"`  // the transfer characteristics, ffmpeg's name
	HDR            bool    `json:"hdr"`                 // PQ or HLG
	Interlaced     bool    `json:"interlaced"`          //
	FileBytes      int64   `json:"file_bytes"`          //
	Spherical      bool    `json:"spherical,omitempty"` // equirectangular: all directions
	stream         int     // index of the video stream in the file
	matrix         string  // the YCbCr matrix, ffmpeg's name for scale's in_color_matrix; "" is unknown
	sidewaysStored bool
}

// views is how many images are made of a frame.
func (v Video) views() int {
	if v.Spherical {
		return sphericalViews
	}
	return 1
}

// expectedFrames estimates the number of frames for progress, at least 1.
func (v Video) expectedFrames() int {
	if v.Frames > 0 {
		return v.Frames
	}
	return max(1, int(v.DurationS*v.FPS))
}

// containers and codecs are what ffmpeg may open, whatever a file pretends to be: what phones, cameras and editors
// write. Playlists, image sequences, subtitles and the like would let a file name other files.
const (
	containers = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
	codecs     = "h264,hevc,av1,libdav1d,libaom-av1,vp8,vp9,libvpx,libvpx-vp9,mpeg4,mpeg2video,mpeg1video,mjpeg,prores," +
		"dnxhd,h263,flv,wmv1,wmv2,wmv3,vc1,msmpeg4v1,msmpeg4v2,msmpeg4,msmpeg4v3,theora,ffv1,rawvideo,dvvideo,svq3,qtrle,png," +
		// Opened by the probe, never decoded.
		"aac,mp2,mp2float,mp3,mp3float,opus,libopus,vorbis,ac3,eac3,dca,truehd,alac,flac,amrnb,amrwb,wmav1,wmav2,wmapro,wmavoice,qdm2," +
		"pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_f32le,pcm_mulaw,pcm_alaw,pcm_bluray,pcm_dvd," +
		"adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_swf," +
		"ass,ssa,subrip,srt,text,mov_text,webvtt,cc_dec,dvdsub,dvbsub,pgssub,xsub"
)

// maxDecodedPixels is where ffmpeg gives up on a picture, whatever its header says: 8K with room for odd formats.
const maxDecodedPixels = "40000000"

// input are the options before and including -i that confine ffmpeg to the one file.
func input(path string) []string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	return []string{"-protocol_whitelist", "file,pipe", "-format_whitelist", containers, "-codec_whitelist", codecs, "-max_pixels", maxDecodedPixels,
		"-i", "file:" + path}
}

// probeTimeout bounds the reading of the headers; a damaged index of hours of video takes a few seconds.
const probeTimeout = 60 * time.Second

const (
	// probeMemory is for the headers, an index of MaxFrames and a few frames of 8K.
	probeMemory  = 2 << 30
	probeEntries = "format=format_name,duration:stream=index,codec_name,codec_type,width,height,sample_aspect_ratio,pix_fmt," +
		"field_order,color_space,color_transfer,r_frame_rate,avg_frame_rate,duration,nb_frames:" +
		"stream_disposition=default,attached_pic:stream_tags=rotate:stream_side_data_list"
)

const adviceSend = "Send the original video file as the phone or camera recorded it (MP4 or MOV with H.264 or H.265 is best)."

// Probe reads the headers of a video file. The error is a *Failure when the file is at fault.
func Probe(ctx context.Context, tools Tools, path string, limits Limits) (Video, error) {
	limits = limits.withDefaults()
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return Video{}, fmt.Errorf("probing video: %w", err)
	case info.IsDir():
		return Video{}, fail(NotAVideo, adviceSend, "This is a folder, not a video.")
	case info.Size() == 0:
		return Video{}, fail(EmptyFile, "Upload the file again; nothing of it arrived.", "The video file is empty.")
	}
	var answer probeAnswer
	// Only what is used: tags of a hostile file can be as long as the file.
	args := append([]string{"-v", "error", "-print_format", "json", "-show_entries", probeEntries,
		"-analyzeduration", "20M", "-probesize", "50M"}, input(path)...)
	var out strings.Builder
	var said strings.Builder
	_, err = tool.Run(ctx, tool.Command{
		Path: tools.FFprobe, Args: args, Timeout: probeTimeout, MaxMemoryBytes: probeMemory,
		OnStdout: func(line string) {
			if out.Len() < 1<<20 {
				out.WriteString(line)
				out.WriteByte('\n')
			}
		},
		OnStderr: func(line string) {
			if said.Len() < 1<<16 {
				said.WriteString(line)
				said.WriteByte('\n')
			}
		},
	})
	if tooManyPixels(said.String()) {
		return Video{}, fail(PictureTooLarge, adviceSmaller(limits), "The picture is larger than 8K.")
	}
	if err != nil {
		return Video{}, unreadable(ctx, path, err, said.String())
	}
	if err := json.Unmarshal([]byte(out.String()), &answer); err != nil {
		// More streams than anyone needs, or tags that break the lines.
		return Video{}, fail(NotAVideo, adviceSend, "The file's headers make no sense.").because(err)
	}
	v, err := answer.video()
	if err != nil {
		return Video{}, err
	}
	v.Path, v.FileBytes = path, info.Size()
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

// unreadable tells a file that ffprobe cannot open from a machine that cannot run it.
func unreadable(ctx context.Context, path string, err error, said string) error {
	var failed *tool.Error
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fail(NotAVideo, adviceSend, "The file's headers could not be read in time.").because(err)
	}
	if outOfMemory(said) {
		return tooMuchMemory(err)
	}
	if ctx.Err() != nil || !errors.As(err, &failed) || failed.Cause != nil || failed.Signal != 0 {
		return fmt.Errorf("probing video: %w", err)
	}
	if strings.Contains(said, "moov atom not found") && startsLikeMP4(path) || strings.Contains(said, "partial file") {
		return fail(TruncatedVideo, "Upload the whole file again; if it does not play to its end on your device, record again.",
			"The video file is incomplete: its index, which stands at the end, is missing.").because(err)
	}
	return fail(NotAVideo, adviceSend, "The file is not a video that can be read.").because(err)
}

// startsLikeMP4 looks for the type of the first box (ISO/IEC 14496-12, 4.2; QuickTime's older ones too). ffmpeg takes
// anything with the extension .mp4 for MP4.
func startsLikeMP4(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	var head [8]byte
	if _, err := io.ReadFull(file, head[:]); err != nil {
		return false
	}
	return isBox(string(head[4:]))
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
	CodecType     string `json:"codec_type"`
	Width         int    `json:"width"`
	Height        int    `json:"height"`
	SampleAspect  string `json:"sample_aspect_ratio"`
	PixFmt        string `json:"pix_fmt"`
	FieldOrder    string `json:"field_order"`
	ColorSpace    string `json:"color_space"`
	ColorTransfer string `json:"color_transfer"`
	RFrameRate    string `json:"r_frame_rate"`
	AvgFrameRate  string `json:"avg_frame_rate"`
	Duration      string `json:"duration"`
	NbFrames      string `json:"nb_frames"`
	Disposition   struct {
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

// video turns ffprobe's answer into a Video without limits checked.
func (a probeAnswer) video() (Video, error) {
	var s *probeStream
	for i := range a.Streams {
		// Cover art and thumbnails are streams of one picture.
		c := &a.Streams[i]
		if c.CodecType == "video" && c.Disposition.AttachedPic == 0 && (s == nil || c.Disposition.Default > s.Disposition.Default) {
			s = c
		}
	}
	switch {
	case s == nil:
		return Video{}, fail(NoVideoStream, adviceSend, "The file holds no video (%s).", a.Format.FormatName)
	case s.CodecName == "" || s.CodecName == "unknown" || s.CodecName == "none":
		return Video{}, fail(UnsupportedCodec, "Convert the video to H.264 in an MP4 file and send that.",
			"The video is encoded in a way that is not known here.")
	case s.Width <= 0 || s.Height <= 0:
		return Video{}, fail(TruncatedVideo, "Upload the whole file again; if it does not play on your device, record again.",
			"No picture could be found in the video.")
	}
	v := Video{
		Container: a.Format.FormatName, Codec: s.CodecName, PixelFormat: s.PixFmt, stream: s.Index,
		Width: s.Width, Height: s.Height,
		Transfer:   known(s.ColorTransfer),
		HDR:        s.ColorTransfer == "smpte2084" || s.ColorTransfer == "arib-std-b67",
		Interlaced: s.FieldOrder != "" && s.FieldOrder != "progressive" && s.FieldOrder != "unknown",
		matrix:     known(s.ColorSpace),
	}
	v.Frames, _ = strconv.Atoi(s.NbFrames)
	v.Frames = max(0, v.Frames)
	v.DurationS = seconds(s.Duration)
	if v.DurationS == 0 {
		v.DurationS = seconds(a.Format.Duration)
	}
	average, nominal := ratio(s.AvgFrameRate), ratio(s.RFrameRate)
	v.FPS = average
	if v.FPS == 0 {
		v.FPS = nominal
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
		v.sidewaysStored = true
	}
	return v, nil
}

func known(name string) string {
	if name == "unknown" || name == "unspecified" || name == "reserved" {
		return ""
	}
	return name
}

func (v Video) check(l Limits) error {
	const adviceShort = "Walk around the subject for 10 to 60 seconds while filming, and send that."
	long, short := max(v.Width, v.Height), min(v.Width, v.Height)
	switch {
	case long > l.MaxEdge:
		return fail(PictureTooLarge, adviceSmaller(l),
			"The picture is %d x %d pixels.", v.Width, v.Height)
	case short < l.MinEdge:
		return fail(PictureTooSmall, "Send the original, not a preview: 720p or more is needed for a good result.",
			"The picture is only %d x %d pixels.", v.Width, v.Height)
	case v.Frames > 0 && v.Frames < l.MinFrames:
		return fail(VideoTooShort, adviceShort, "The video has only %s.", count(v.Frames, "frame"))
	case v.DurationS > 0 && v.DurationS < l.MinDuration.Seconds():
		return fail(VideoTooShort, adviceShort, "The video is only %.2g s long.", v.DurationS)
	case v.DurationS > l.MaxDuration.Seconds():
		return fail(VideoTooLong, "Cut it to the part that shows the subject; one to three minutes are plenty.",
			"The video is %.0f minutes long; at most %.0f are accepted.", v.DurationS/60, l.MaxDuration.Minutes())
	case v.Frames > v.frameLimit(l):
		return fail(TooManyFrames, adviceFewer, "The video has %d frames; of this size, at most %d are accepted.", v.Frames, v.frameLimit(l))
	}
	return nil
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
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x >= 0 && x < 1e9) {
		return 0
	}
	return x
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
