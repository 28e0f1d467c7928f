package frames

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/splatworks/splatworks/engines/fault"
)

func TestProbeAnswer(t *testing.T) {
	for _, test := range []struct {
		name, streams string
		want          Video
		code          string
	}{
		{"plain", `{"index":0,"codec_type":"video","codec_name":"h264","width":1920,"height":1080,"r_frame_rate":"30/1","avg_frame_rate":"30/1","nb_frames":"90","duration":"3.0"}`,
			Video{Codec: "h264", Width: 1920, Height: 1080, FPS: 30, Frames: 90, DurationS: 3}, ""},
		{"phone, upright", `{"index":1,"codec_type":"video","codec_name":"hevc","width":1920,"height":1080,"r_frame_rate":"30/1","avg_frame_rate":"2997/100","side_data_list":[{"rotation":-90}]}`,
			Video{Codec: "hevc", Width: 1080, Height: 1920, FPS: 29.97, Frames: 210, RotationDeg: 90, DurationS: 7, stream: 1}, ""},
		{"older ffprobe", `{"codec_type":"video","codec_name":"h264","width":640,"height":480,"tags":{"rotate":"270"}}`,
			Video{Codec: "h264", Width: 480, Height: 640, RotationDeg: 270, DurationS: 7}, ""},
		{"wide pixels", `{"codec_type":"video","codec_name":"mpeg2video","width":720,"height":576,"sample_aspect_ratio":"64:45","field_order":"tt","avg_frame_rate":"25/1","r_frame_rate":"25/1"}`,
			Video{Codec: "mpeg2video", Width: 1024, Height: 576, FPS: 25, Frames: 175, Interlaced: true, DurationS: 7}, ""},
		{"screen recording", `{"codec_type":"video","codec_name":"h264","width":640,"height":480,"avg_frame_rate":"17/1","r_frame_rate":"60/1"}`,
			Video{Codec: "h264", Width: 640, Height: 480, FPS: 17, Frames: 119, VariableRate: true, DurationS: 7}, ""},
		{"HLG", `{"codec_type":"video","codec_name":"hevc","width":640,"height":480,"color_transfer":"arib-std-b67","color_space":"bt2020nc"}`,
			Video{Codec: "hevc", Width: 640, Height: 480, HDR: true, Transfer: "arib-std-b67", colour: colour{Transfer: "arib-std-b67", Matrix: "bt2020nc"}, DurationS: 7}, ""},
		{"cover before video", `{"index":0,"codec_type":"video","codec_name":"png","width":9,"height":9,"disposition":{"attached_pic":1}},
			{"index":1,"codec_type":"audio","codec_name":"aac"},{"index":2,"codec_type":"video","codec_name":"vp9","width":640,"height":480}`,
			Video{Codec: "vp9", Width: 640, Height: 480, DurationS: 7, stream: 2}, ""},
		{"sound", `{"codec_type":"audio","codec_name":"aac"}`, Video{}, NoVideoStream},
		{"unknown codec", `{"codec_type":"video","codec_name":"unknown","width":640,"height":480}`, Video{}, UnsupportedCodec},
		{"no size", `{"codec_type":"video","codec_name":"h264"}`, Video{}, TruncatedVideo},
		{"nothing", ``, Video{}, NoVideoStream},
	} {
		var a probeAnswer
		if err := json.Unmarshal([]byte(`{"streams":[`+test.streams+`],"format":{"duration":"7.0"}}`), &a); err != nil {
			t.Fatal(test.name, err)
		}
		v, err := described(t, a)
		if code(err) != test.code || v != test.want {
			t.Errorf("%s: %+v, %v\nwant %+v", test.name, v, err, test.want)
		}
	}
}

// described chooses the track and describes it. There is no file, so that of several tracks their headers decide.
func described(t *testing.T, a probeAnswer) (Video, error) {
	s, err := headers{}.track(t.Context(), a)
	if err != nil {
		return Video{}, err
	}
	return a.video(s)
}

func FuzzProbeAnswer(f *testing.F) {
	f.Add([]byte(`{"streams":[{"codec_type":"video","codec_name":"h264","width":1,"height":2,"avg_frame_rate":"1/0","sample_aspect_ratio":"0:1","nb_frames":"-3","side_data_list":[{"rotation":1e300}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a probeAnswer
		if json.Unmarshal(data, &a) != nil {
			return
		}
		v, err := described(t, a)
		if err != nil {
			if fault.Of(err) == nil {
				t.Errorf("%v", err)
			}
			return
		}
		if v.Width < 0 || v.Height < 0 || v.Frames < 0 || v.RotationDeg%90 != 0 || v.RotationDeg < 0 || v.RotationDeg >= 360 ||
			!(v.FPS >= 0 && v.FPS < 1e6) || !(v.DurationS >= 0 && v.DurationS < 1e9) || v.expectedFrames() < 1 {
			t.Errorf("%+v", v)
		}
	})
}

func TestShownFrame(t *testing.T) {
	for line, want := range map[string]shown{
		"[Parsed_showinfo_0 @ 0x55d9] n:  12 pts:   1200 pts_time:1.2     pos:       48 fmt:yuv420p sar:0/1 s:360x640 i:P iskey:1 type:I ":                             {count: 12, pts: 1200, time: 1.2, timed: true, width: 360, height: 640, format: "yuv420p"},
		"[Parsed_showinfo_1 @ 0xa] n:   0 pts:     -3 pts_time:-0.1 duration:      1 duration_time:0.04 fmt:yuv422p10le cl:left sar:4/3 s:720x576 i:T iskey:1 type:I ": {pts: -3, time: -0.1, timed: true, width: 960, height: 576, format: "yuv422p10le"},
		"[Parsed_showinfo_0 @ 0x5] n:   3 pts: NOPTS pts_time:NOPTS   pos:       48 fmt:gray sar:1/1 s:36x64 i:P iskey:1 type:I ":                                      {count: 3, width: 36, height: 64, format: "gray"},
		"[Parsed_showinfo_0 @ 0x5] n:   3 pts:      1 pts_time:nan     pos:       48 fmt:gray sar:1/1 s:36x64 i:P iskey:1 type:I ":                                     {count: 3, width: 36, height: 64, format: "gray"},
	} {
		if got, ok := parseShown(line); !ok || got != want {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "[Parsed_showinfo_0 @ 0x55d9] config in time_base: 1/10240, frame_rate: 10/1", "[h264 @ 0x1] n: 1 pts: 1 pts_time:1 fmt:gray sar:1/1 s:36x64 i:P",
		"[Parsed_showinfo_0 @ 0x5] User Data= n:   3 pts:      1 pts_time:1 pos: 48 fmt:gray sar:1/1 s:36x64 i:P"} {
		if got, ok := parseShown(line); ok {
			t.Errorf("%q gave %+v", line, got)
		}
	}
}

func FuzzShownFrame(f *testing.F) {
	f.Add("[Parsed_showinfo_0 @ 0x55d9] n:  12 pts:   1200 pts_time:1.2     pos:       48 fmt:yuv420p sar:0/1 s:360x640 i:P iskey:1 type:I ")
	f.Fuzz(func(t *testing.T, line string) {
		if got, ok := parseShown(line); ok && (!(math.Abs(got.time) <= 1e9) || got.count < 0 || got.width < 0 || got.height < 0) {
			t.Errorf("%q gave %+v", line, got)
		}
		complaint(line)
	})
}

func TestFit(t *testing.T) {
	for _, test := range [][5]int{{1920, 1080, 640, 640, 360}, {1080, 1920, 640, 360, 640}, {320, 180, 640, 320, 180}, {4000, 3, 100, 100, 1}, {100, 50, 0, 100, 50}} {
		if w, h := fit(test[0], test[1], test[2]); w != test[3] || h != test[4] {
			t.Errorf("%v: %d x %d", test, w, h)
		}
	}
}
