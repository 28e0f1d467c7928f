package scene

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The three files of COLMAP's text model (https://colmap.github.io/format.html#text-format), which photogrammetry programs
// export more often than the binary one.
const (
	CamerasTextFile  = "cameras.txt"
	ImagesTextFile   = "images.txt"
	Points3DTextFile = "points3D.txt"
)

// ParseCamerasText decodes cameras.txt: CAMERA_ID MODEL WIDTH HEIGHT PARAMS.
func ParseCamerasText(data []byte) ([]Camera, error) {
	var cameras []Camera
	for l := newLines(data); l.next(); {
		if len(l.fields) < 5 {
			return nil, l.wrong("a camera has at least five fields, this has %d", len(l.fields))
		}
		model, err := ParseCameraModel(l.fields[1])
		if err != nil {
			return nil, l.wrong("%w", err)
		}
		c := Camera{CameraID: uint32(l.integer(0)), Model: model, Width: l.size(2), Height: l.size(3)}
		for i := range l.fields[4:] {
			c.Params = append(c.Params, l.number(4+i))
		}
		if l.err == nil {
			l.err = c.validate()
		}
		if l.err != nil {
			return nil, l.wrong("%w", l.err)
		}
		cameras = append(cameras, c)
	}
	slices.SortStableFunc(cameras, func(a, b Camera) int { return cmp.Compare(a.CameraID, b.CameraID) })
	return cameras, nil
}

// ParseImagesText decodes images.txt, two lines an image: IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then X Y POINT3D_ID of
// each feature. The second line may be empty, or missing, as some exporters leave it out.
func ParseImagesText(data []byte) ([]Image, error) {
	var images []Image
	for l := newLines(data); l.next(); {
		if !l.isImage() {
			return nil, l.wrong("an image has ten fields, of which the last is its name")
		}
		var im Image
		im.ImageID = uint32(l.integer(0))
		for i := range im.CamFromWorld.Rotation {
			im.CamFromWorld.Rotation[i] = l.number(1 + i)
		}
		for i := range im.CamFromWorld.Translation {
			im.CamFromWorld.Translation[i] = l.number(5 + i)
		}
		im.CameraID = uint32(l.integer(8))
		im.Name = l.rest(9)
		if l.err != nil {
			return nil, l.wrong("%w", l.err)
		}
		if l.nextRaw() {
			if l.isImage() {
				l.again = true
			} else if err := l.features(&im); err != nil {
				return nil, err
			}
		}
		images = append(images, im)
	}
	slices.SortStableFunc(images, func(a, b Image) int { return cmp.Compare(a.ImageID, b.ImageID) })
	return images, nil
}

// ParsePoints3DText decodes points3D.txt: POINT3D_ID X Y Z R G B ERROR and pairs of IMAGE_ID and POINT2D_IDX.
func ParsePoints3DText(data []byte) ([]Point3D, error) {
	var points []Point3D
	for l := newLines(data); l.next(); {
		if len(l.fields) < 8 || len(l.fields)%2 != 0 {
			return nil, l.wrong("a point has eight fields and pairs of numbers after them, this has %d", len(l.fields))
		}
		p := Point3D{Point3DID: l.integer(0), XYZ: [3]float64{l.number(1), l.number(2), l.number(3)}, Error: l.number(7)}
		for i := range p.RGB {
			p.RGB[i] = uint8(min(l.integer(4+i), 255))
		}
		for i := 8; i < len(l.fields); i += 2 {
			p.Track = append(p.Track, TrackElement{ImageID: uint32(l.integer(i)), Point2DIdx: uint32(l.integer(i + 1))})
		}
		if l.err != nil {
			return nil, l.wrong("%w", l.err)
		}
		points = append(points, p)
	}
	slices.SortStableFunc(points, func(a, b Point3D) int { return cmp.Compare(a.Point3DID, b.Point3DID) })
	return points, nil
}

// lines goes through a text file and remembers the first field that is no number.
type lines struct {
	scanner *bufio.Scanner
	text    string
	fields  []string
	at      int
	again   bool // the line is to come once more
	err     error
}

func newLines(data []byte) *lines {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, len(data)+1) // features of an image are one line
	return &lines{scanner: s}
}

// next is the next line that is neither empty nor a comment.
func (l *lines) next() bool {
	for l.nextRaw() {
		if len(l.fields) > 0 {
			return true
		}
	}
	return false
}

// nextRaw is the next line that is not a comment.
func (l *lines) nextRaw() bool {
	if l.again {
		l.again = false
		return true
	}
	for l.scanner.Scan() {
		l.at++
		l.text = strings.TrimSpace(l.scanner.Text())
		if !strings.HasPrefix(l.text, "#") {
			l.fields = strings.Fields(l.text)
			return true
		}
	}
	l.fields = nil
	return false
}

// isImage says whether the line is the first of an image: its tenth field is a name. A name may be a number too, and begin a
// third that is not one; features come in threes.
func (l *lines) isImage() bool {
	if len(l.fields) < 10 {
		return false
	}
	_, err := strconv.ParseFloat(l.fields[9], 64)
	return err != nil || len(l.fields)%3 != 0
}

func (l *lines) features(im *Image) error {
	if len(l.fields)%3 != 0 {
		return l.wrong("features are three numbers each, here are %d", len(l.fields))
	}
	for i := 0; i < len(l.fields); i += 3 {
		p := Point2D{X: l.number(i), Y: l.number(i + 1), Point3DID: InvalidPoint3DID}
		if l.fields[i+2] != "-1" {
			p.Point3DID = l.integer(i + 2)
		}
		im.Points2D = append(im.Points2D, p)
	}
	if l.err != nil {
		return l.wrong("%w", l.err)
	}
	return nil
}

// rest is the line from a field on: names may hold spaces.
func (l *lines) rest(field int) string {
	text := l.text
	for range field {
		text = strings.TrimLeft(text, " \t")
		text = text[max(strings.IndexAny(text, " \t"), 0):]
	}
	return strings.TrimSpace(text)
}

func (l *lines) number(field int) float64 {
	v, err := strconv.ParseFloat(l.fields[field], 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = fmt.Errorf("%s is not finite", l.fields[field])
	}
	l.keep(err)
	return v
}

func (l *lines) integer(field int) uint64 {
	v, err := strconv.ParseUint(l.fields[field], 10, 64)
	l.keep(err)
	return v
}

// size is a side of an image in pixels.
func (l *lines) size(field int) int {
	v := l.integer(field)
	if v > maxSide {
		l.keep(fmt.Errorf("an image cannot be %d pixels long", v))
		return 0
	}
	return int(v)
}

func (l *lines) keep(err error) { l.err = cmp.Or(l.err, err) }

func (l *lines) wrong(format string, args ...any) error {
	return fmt.Errorf("line %d: %w", l.at, fmt.Errorf(format, args...))
}
