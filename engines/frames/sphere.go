package frames

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/tool"
)

// An equirectangular picture shows all directions: longitude from left to right, latitude from top to bottom, twice as wide
// as high. No camera model of structure from motion has such a projection, so perspective views are cut out of it: on the
// horizon, 90 degrees wide and high, each turned by a sixth of a circle, so that neighbours share a third of what they
// see. Straight up is sky or ceiling and straight down the one who films: they are left out.
//
// The views of a frame follow one another in the order of names, and after them come those of the next frame: a sequential
// matcher that looks six images ahead pairs each view with its neighbours and with itself a frame later.
const sphericalViews = 6

// viewEdge is the width and height of the views of a picture of the given width: as many pixels in a radian as it has.
func viewEdge(width, maxEdge int) int {
	edge, _ := fit(int(math.Round(float64(width)/math.Pi)), 1, maxEdge)
	return max(2, edge)
}

// View says which view of a spherical picture an image is. All views of a picture were taken from one place.
type View struct {
	Of     string `json:"of"` // the picture, named as an image without extension
	Number int    `json:"number"`
	// CamFromRig turns the axes of the picture's view 0 (x right, y down, z forward) to those of this view: a unit
	// quaternion w, x, y, z.
	CamFromRig [4]float64 `json:"cam_from_rig"`
}

// viewOf is the view of the image of that name.
func viewOf(image string, view int) *View {
	// A camera that turns to the right by an angle sees the world turn about its y axis by as much to the left.
	s, c := math.Sincos(-math.Pi * float64(view) / sphericalViews)
	return &View{Of: strings.TrimSuffix(image, ".jpg"), Number: view, CamFromRig: [4]float64{c, 0, s, 0}}
}

// viewName is the name of a view of the image of that name.
func viewName(image string, view int) string {
	return fmt.Sprintf("%s_view_%d.jpg", strings.TrimSuffix(image, ".jpg"), view)
}

// cutting is how the views of several pictures are cut out with one run of ffmpeg.
type cutting struct {
	in     []string  // ffmpeg's arguments for its input
	stdin  io.Reader // of ffmpeg, where it reads the input from there
	stream string    // of the input, as a filter names it
	before string    // a filter that the pictures go through, ended by a comma, or ""
	after  string    // the filter that gives each view its final form
	width  int       // of the pictures
	n      int       // pictures
	edge   int       // width and height of a view
	dir    string    // where the views go, as VIEW_NUMBER.jpg with numbers of six digits from 1
}

// run cuts the views. progress, if not nil, receives how many pictures are done.
func (c cutting) run(ctx context.Context, tools Tools, progress func(done int)) error {
	args := []string{"-v", "error", "-nostats", "-progress", "pipe:1"}
	if c.stdin == nil {
		args = append(args, "-nostdin")
	}
	args = append(append(args, c.in...), "-filter_complex", c.graph())
	for k := range sphericalViews {
		args = append(append(args, "-map", fmt.Sprintf("[b%d]", k)), jpegs(c.n, filepath.Join(escapePattern(c.dir), fmt.Sprintf("%d_%%06d.jpg", k)))...)
	}
	_, err := tool.Run(ctx, tool.Command{
		Path: tools.FFmpeg, Args: args, Stdin: c.stdin, Timeout: extractTimeout, MaxMemoryBytes: Limits{}.withDefaults().MaxMemory,
		OnStdout: func(line string) {
			if text, ok := strings.CutPrefix(line, "frame="); ok && progress != nil {
				if done, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
					progress(min(done, c.n))
				}
			}
		},
	})
	return err
}

// graph is ffmpeg's graph of filters from the stream to the views, which it calls b0, b1 and so on.
func (c cutting) graph() string {
	graph := fmt.Sprintf("[%s]%ssplit=%d", c.stream, c.before, sphericalViews)
	for k := range sphericalViews {
		graph += fmt.Sprintf("[a%d]", k)
	}
	// v360 takes the middles of the outermost pixels for the edges of the picture. Given how far these are apart it is right; the
	// whole circle and half circle would put points half a pixel off, and tear the view that looks backwards.
	across := 360 * float64(c.width-1) / float64(c.width)
	down := 180 * float64(c.width/2-1) / float64(c.width/2)
	for k := range sphericalViews {
		yaw := 360 * k / sphericalViews
		if yaw > 180 {
			yaw -= 360
		}
		graph += fmt.Sprintf(";[a%d]v360=input=e:ih_fov=%.6f:iv_fov=%.6f:output=flat:yaw=%d:h_fov=90:v_fov=90:w=%d:h=%d:interp=lanczos,%s[b%d]",
			k, across, down, yaw, c.edge, c.edge, c.after, k)
	}
	return graph
}

// extractViews is extract for a spherical video.
func extractViews(ctx context.Context, tools Tools, v Video, selection choose.Selection, dir, prefix string, maxEdge int, progress func(done, total int)) ([]Image, error) {
	part, err := os.MkdirTemp(dir, ".extract-")
	if err != nil {
		return nil, fmt.Errorf("cutting views: %w", err)
	}
	defer os.RemoveAll(part)
	edge, total := viewEdge(v.Width, maxEdge), len(selection.Frames)
	// The projection takes pictures of one size, with square pixels.
	before := v.picture(selectFilter(selection.Frames) + fmt.Sprintf("scale=%d:%d,", v.Width, v.Height))
	err = v.convert(ctx, tools, edge, edge, dir, func(conversion string) error {
		c := cutting{in: v.place().input(), stream: fmt.Sprintf("0:%d", v.stream), before: before, after: conversion,
			width: v.Width, n: total, edge: edge, dir: part}
		return c.run(ctx, tools, func(done int) {
			if progress != nil {
				progress(done, total)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	var images []Image
	for i, f := range selection.Frames {
		views, err := takeViews(part, i, dir, prefix+FrameName(f.Index), edge)
		images = append(images, views...)
		if err != nil {
			for _, m := range images {
				os.Remove(filepath.Join(dir, m.Name))
			}
			return nil, v.missing(err, i, total)
		}
		for k := range views {
			m := &images[len(images)-len(views)+k]
			m.Source, m.Index, m.TimeS = f.Source, f.Index, f.TimeS
		}
	}
	return images, nil
}

// takeViews moves the views of picture i from where they were cut.
func takeViews(part string, i int, dir, name string, edge int) ([]Image, error) {
	var images []Image
	for k := range sphericalViews {
		m := Image{Name: viewName(name, k), Width: edge, Height: edge, FocalLengthPx: float64(edge) / 2, View: viewOf(name, k)}
		if err := os.Rename(filepath.Join(part, fmt.Sprintf("%d_%06d.jpg", k, i+1)), filepath.Join(dir, m.Name)); err != nil {
			return images, err
		}
		images = append(images, m)
	}
	return images, nil
}

// prepareViews is preparePhoto for a spherical photo.
func prepareViews(ctx context.Context, tools Tools, p Photo, dir, name string, maxEdge int) ([]Image, error) {
	picture, err := decodePicture(ctx, p.Path)
	if err != nil {
		return nil, err
	}
	part, err := os.MkdirTemp(dir, ".views-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(part)
	size := picture.Bounds()
	pixels := scaledTo(picture, size.Dx(), size.Dy())
	edge := viewEdge(p.Width, maxEdge)
	c := cutting{
		in:     []string{"-f", "rawvideo", "-pix_fmt", "rgba", "-s", fmt.Sprintf("%dx%d", size.Dx(), size.Dy()), "-i", "pipe:0"},
		stdin:  &reel{n: 1, next: 1, rest: pixels.Pix},
		stream: "0:v", before: "format=gbrp,", after: "scale=out_color_matrix=bt601:out_range=pc,format=yuvj420p,setsar=1",
		width: size.Dx(), n: 1, edge: edge, dir: part,
	}
	err = c.run(ctx, tools, nil)
	if errors.Is(err, syscall.ENOSPC) {
		return nil, noRoom("cutting views", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("cutting views: %w", err)
	}
	images, err := takeViews(part, 0, dir, name, edge)
	if err != nil {
		return images, err
	}
	exif := uprightExif(p) // with the place
	for k := range images {
		images[k].GPS = p.Exif.GPS
		file := filepath.Join(dir, images[k].Name)
		encoded, err := os.ReadFile(file)
		if err != nil {
			return images, err
		}
		if err := os.WriteFile(file, insertExif(encoded, exif), 0o666); err != nil {
			return images, err
		}
	}
	return images, nil
}
