package sheet

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"
)

func TestSheet(t *testing.T) {
	s, err := New(200, 60, 12)
	if err != nil {
		t.Fatal(err)
	}
	const line = "a line that is far too long for its place"
	short := s.Fit(line, 100)
	if n := s.Width(short); n > 100 || n < 80 || s.Width(line) <= 100 {
		t.Errorf("%q is %d pixels wide, %q %d", short, n, line, s.Width(line))
	}
	if s.Fit("short", 100) != "short" || s.Fit(line, 0) != "" {
		t.Error("a line that fits was cut, or one that cannot was not")
	}
	s.Write(image.Pt(10, 30), Ink, short)
	written := 0
	for y := range 60 {
		for x := range 200 {
			switch inside := x >= 10 && x <= 112 && y > 15 && y < 36; {
			case s.RGBAAt(x, y) == Ground:
			case inside:
				written++
			default:
				t.Fatalf("(%d, %d) is %v", x, y, s.RGBAAt(x, y))
			}
		}
	}
	if written < 100 {
		t.Errorf("%d pixels written", written)
	}
	var file bytes.Buffer
	if err := s.JPEG(&file); err != nil {
		t.Fatal(err)
	}
	if c, err := jpeg.DecodeConfig(&file); err != nil || c.Width != 200 || c.Height != 60 {
		t.Errorf("%+v, %v", c, err)
	}
}
