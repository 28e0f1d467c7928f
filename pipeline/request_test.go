package pipeline

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOptionsValidate(t *testing.T) {
	for _, o := range []Options{{}, Options{}.WithDefaults(), {Projection: ProjectionSphere, Sky: SkyOn, BackgroundMode: BackgroundEmpty, RefinePoses: true, CompensateExposure: true}} {
		if err := o.Validate(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	// A client reads the field's name in the message.
	for field, o := range map[string]Options{
		"preset": {Preset: "ultra"}, "train_budget_s": {TrainBudgetS: -1}, "max_images": {MaxImages: 2}, "long_edge_px": {LongEdgePx: 63},
		"depth": {Depth: "../model"}, "sky": {Sky: "blue"}, "projection": {Projection: "fisheye"}, "background_mode": {BackgroundMode: "green"}, "cleanup": {Cleanup: "spotless"}, "crop": {Crop: "1,2,3"}, "up": {Up: "north"}, "scale": {Scale: "1=a.jpg"}, "outputs": {Outputs: []string{"sog", "sog"}},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// What the report shows as options leaves no choice open, so that a reader need not know the defaults.
func TestDefaultsLeaveNoChoiceOpen(t *testing.T) {
	o := reflect.ValueOf(Options{}.WithDefaults())
	for i := range o.NumField() {
		if f := o.Field(i); f.Kind() == reflect.String && f.IsZero() {
			t.Errorf("%s is left open", o.Type().Field(i).Name)
		}
	}
}

func TestEveryOptionHasARow(t *testing.T) {
	var o Options
	v, rows := reflect.ValueOf(&o).Elem(), OptionTable()
	if v.NumField() != len(rows) {
		t.Errorf("%d options, %d rows", v.NumField(), len(rows))
	}
	for _, row := range rows {
		i := slices.IndexFunc(reflect.VisibleFields(v.Type()), func(f reflect.StructField) bool {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return name == row.Name
		})
		if i < 0 || reflect.ValueOf(row.Field(&o)).Pointer() != v.Field(i).Addr().Pointer() {
			t.Errorf("the row of %s does not point to the field of this name", row.Name)
		}
		if !strings.HasSuffix(row.Sentence, ".") || row.Pattern != "" && row.Rule == "" {
			t.Errorf("%s has no sentence, or a pattern without its words", row.Name)
		}
	}
}

// A token is given to commands as it is, so that none may look like a flag.
func TestTokenIsAName(t *testing.T) {
	for _, fill := range []byte{0x00, 0x7b, 0xf8, 0xff} {
		token, err := NewToken(bytes.NewReader(bytes.Repeat([]byte{fill}, 32)))
		if err != nil || len(token) != 52 || !ValidName(token) || strings.ContainsAny(token, "-._") {
			t.Errorf("of bytes %#x: %q, %v", fill, token, err)
		}
	}
	if _, err := NewToken(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a token of 31 bytes")
	}
}

func TestCropBox(t *testing.T) {
	o := Options{Crop: "-1,-2.5,0,1,2,33"}
	low, high, ok := o.CropBox()
	if err := o.Validate(); err != nil || !ok || low != [3]float64{-1, -2.5, 0} || high != [3]float64{1, 2, 33} {
		t.Errorf("%v to %v, %v, %v", low, high, ok, err)
	}
	for _, crop := range []string{"1,2,3,4,5", "1,2,3,4,5,6,7", "1,2,3,4,5,x", "1,2,3,4,5,1e400", "nan,1,1,1,1,1", " 1,2,3,4,5,6", ",,,,,"} {
		if _, _, ok := (Options{Crop: crop}).CropBox(); (Options{Crop: crop}).Validate() == nil || ok && crop[0] != 'n' && crop[0] != ' ' {
			t.Errorf("%q is taken for a box", crop)
		}
	}
	if _, _, ok := (Options{}).WithDefaults().CropBox(); ok {
		t.Error("no box is a box")
	}
}

func TestUpAndScale(t *testing.T) {
	if up, ok := (Options{Up: "0.5,-1,0"}).UpDirection(); !ok || up != [3]float64{0.5, -1, 0} || (Options{Up: "0.5,-1,0"}).Validate() != nil {
		t.Errorf("%v %v", up, ok)
	}
	for _, up := range []string{UpAuto, UpCameras, ""} {
		if _, ok := (Options{Up: up}).UpDirection(); ok || (Options{Up: up}).Validate() != nil {
			t.Errorf("%q is a direction", up)
		}
	}
	if d, ok := (Options{Scale: "0.50=-1,0,2.5/3,0,1"}).KnownDistance(); !ok || d != (Distance{Metres: 0.5, Points: [2][3]float64{{-1, 0, 2.5}, {3, 0, 1}}}) {
		t.Errorf("%+v %v", d, ok)
	}
	// Names of files may have everything but a slash.
	d, ok := (Options{Scale: "12=a+1@2,3.jpg@812,430.5+b c=.jpg@0,7/a+1@2,3.jpg@1020,455+frame_000012.jpg@1003,462"}).KnownDistance()
	want := Distance{Metres: 12, Seen: [2][2]Sight{{{"a+1@2,3.jpg", 812, 430.5}, {"b c=.jpg", 0, 7}}, {{"a+1@2,3.jpg", 1020, 455}, {"frame_000012.jpg", 1003, 462}}}}
	if !ok || d != want {
		t.Errorf("%+v %v", d, ok)
	}
	for _, scale := range []string{"0=0,0,0/1,1,1", "0.0=0,0,0/1,1,1", "-1=0,0,0/1,1,1", "1=0,0,0", "1=0,0,0/1,1", "x=0,0,0/1,1,1", "1=0,0,0/a.jpg@1,2+b.jpg@3,4",
		"1=a.jpg@1,2/b.jpg@3,4", "1=a.jpg@-1,2+b.jpg@3,4/a.jpg@1,2+b.jpg@3,4", "1e3=0,0,0/1,1,1", ScaleAuto} {
		if _, ok := (Options{Scale: scale}).KnownDistance(); ok || scale != ScaleAuto && (Options{Scale: scale}).Validate() == nil {
			t.Errorf("%q is a distance", scale)
		}
	}
}

// TestRequestTime reads back when an id was made.
func TestRequestTime(t *testing.T) {
	for _, at := range []time.Time{time.UnixMilli(0).UTC(), time.Date(2026, 5, 6, 7, 8, 9, 123e6, time.UTC), time.UnixMilli(1<<48 - 1).UTC()} {
		id, err := NewRequestID(at, strings.NewReader(strings.Repeat("x", 10)))
		if got := RequestTime(id); err != nil || !got.Equal(at) {
			t.Errorf("%v: %v %v", at, got, err)
		}
	}
	if got := RequestTime("no id"); !got.IsZero() {
		t.Error(got)
	}
}
