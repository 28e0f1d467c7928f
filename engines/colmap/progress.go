package colmap

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Lines of COLMAP 4.2's log by which a command's progress is known.
var (
	processedFile      = regexp.MustCompile(`^Processed file \[(\d+)/(\d+)\]`)
	processingImage    = regexp.MustCompile(`^Processing image \[(\d+)/(\d+)\]`)
	processingBlock    = regexp.MustCompile(`^Processing block \[(\d+)/(\d+), (\d+)/(\d+)\]`)
	undistortingImage  = regexp.MustCompile(`^Undistorting image \[(\d+)/(\d+)\]`)
	registeringImage   = regexp.MustCompile(`^Registering image #\d+ \(num_reg_frames=(\d+)\)`)
	loadedImages       = regexp.MustCompile(`\(connected (\d+), loaded (\d+)\)$`)
	component          = regexp.MustCompile(`^=== Reconstructing component (\d+) / (\d+)`)
	adjustment         = regexp.MustCompile(`^Global bundle adjustment iteration (\d+) / (\d+) finished`)
	extractedFeatures  = regexp.MustCompile(`^Features:\s+(\d+)`)
	extractedSize      = regexp.MustCompile(`^Dimensions:\s+(\d+) x (\d+)`)
	triangulatingImage = regexp.MustCompile(`^Triangulating image #\d+ \((\d+)\)`)
	extractedFocal     = regexp.MustCompile(`^Focal Length:\s+([0-9.]+)px`)
)

// counter reports "step of total" lines.
type counter struct {
	pattern *regexp.Regexp
	message string
}

func (w *counter) line(message string) (Progress, bool) {
	m := w.pattern.FindStringSubmatch(message)
	if m == nil {
		return Progress{}, false
	}
	return Progress{Step: number(m[1]), Total: number(m[2]), Message: w.message}, true
}

// sequentialWatch counts images twice where loops are looked for: all of them, and then those that ask for look-alikes.
type sequentialWatch struct{ last, passes int }

func (w *sequentialWatch) line(message string) (Progress, bool) {
	m := processingImage.FindStringSubmatch(message)
	if m == nil {
		return Progress{}, false
	}
	step := number(m[1])
	if step < w.last {
		w.passes++
	}
	w.last = step
	p := Progress{Step: step, Total: number(m[2]), Message: "matching features"}
	if w.passes > 0 {
		p.Message = "closing loops"
	}
	return p, true
}

// Extracted is what feature_extractor said about its images.
type Extracted struct {
	Images     int            // that were read
	Features   map[string]int // by image name
	Order      []string       // names in the order in which they came into the database: their ids, from 1, in a new one
	Unreadable []string       // names of files that COLMAP could not decode, with its reason
	// FocalRatios are the focal lengths that each image's camera begins with, in units of the image's longer side.
	FocalRatios map[string]float64
}

// extractorWatch counts files and notes which could not be read.
type extractorWatch struct {
	counter
	name   string
	longer int // side of the image, pixels
	Extracted
}

func (w *extractorWatch) line(message string) (Progress, bool) {
	if name, ok := strings.CutPrefix(message, "Name:"); ok {
		w.name, w.longer = strings.TrimSpace(name), 0
	} else if m := extractedSize.FindStringSubmatch(message); m != nil {
		w.longer = max(number(m[1]), number(m[2]))
	} else if m := extractedFocal.FindStringSubmatch(message); m != nil && w.longer > 0 {
		if f, err := strconv.ParseFloat(m[1], 64); err == nil {
			if w.FocalRatios == nil {
				w.FocalRatios = make(map[string]float64)
			}
			w.FocalRatios[w.name] = f / float64(w.longer)
		}
	} else if m := extractedFeatures.FindStringSubmatch(message); m != nil {
		if w.Features == nil {
			w.Features = make(map[string]int)
		}
		w.Features[w.name] = number(m[1])
		w.Order = append(w.Order, w.name)
		w.Images++
	} else if strings.Contains(message, "BITMAP_ERROR") || strings.Contains(message, "MASK_ERROR") {
		w.Unreadable = append(w.Unreadable, message)
	}
	p, ok := w.counter.line(message)
	p.features = rootMeanSquare(slices.Collect(maps.Values(w.Features)))
	return p, ok
}

// rootMeanSquare is the number of features that decides on how long pairs take, which grows with their square.
func rootMeanSquare(features []int) int {
	squares := 0.0
	for _, n := range features {
		squares += float64(n) * float64(n)
	}
	return int(math.Sqrt(squares / float64(max(len(features), 1))))
}

// blockWatch reports exhaustive_matcher's blocks, which come in rows and columns.
type blockWatch struct{}

func (blockWatch) line(message string) (Progress, bool) {
	m := processingBlock.FindStringSubmatch(message)
	if m == nil {
		return Progress{}, false
	}
	row, rows, column, columns := number(m[1]), number(m[2]), number(m[3]), number(m[4])
	return Progress{Step: (row-1)*columns + column - 1, Total: rows * columns, Message: "matching features"}, true
}

// beginning reports that a command has begun which says no more.
type beginning struct{ prefix, message string }

func (w beginning) line(message string) (Progress, bool) {
	return Progress{Step: 0, Total: 1, Message: w.message}, w.message != "" && strings.HasPrefix(message, w.prefix)
}

// globalPhases are the parts of one component's global reconstruction, weighted by the time they take (measured: 50
// images, 12.7 s).
var globalPhases = []struct {
	prefix, message string
	weight          int
}{
	{"=== Running rotation averaging", "averaging rotations", 1},
	{"=== Running track establishment", "linking features into tracks", 1},
	{"=== Running global positioning", "positioning all cameras", 70},
	{"=== Running iterative bundle adjustment", "adjusting cameras and points", 15},
	{"=== Running iterative retriangulation", "triangulating again", 12},
	{"Extracting colors", "colouring points", 1},
}

// globalWatch reports global_mapper's phases in percent of its components.
type globalWatch struct{ component, components int }

func (w *globalWatch) line(message string) (Progress, bool) {
	if m := component.FindStringSubmatch(message); m != nil {
		w.component, w.components = number(m[1]), number(m[2])
		return Progress{}, false
	}
	done := 0
	for _, phase := range globalPhases {
		if strings.HasPrefix(message, phase.prefix) {
			return w.percent(done, phase.message), true
		}
		if m := adjustment.FindStringSubmatch(message); m != nil && strings.HasSuffix(phase.prefix, "bundle adjustment") {
			return w.percent(done+phase.weight*number(m[1])/max(number(m[2]), 1), phase.message), true
		}
		done += phase.weight
	}
	return Progress{}, false
}

func (w *globalWatch) percent(percent int, message string) Progress {
	return Progress{Step: (max(w.component, 1)-1)*100 + percent, Total: max(w.components, 1) * 100, Message: message}
}

// incrementalWatch reports how many images mapper has registered. It starts again for each model, so the count is the
// largest so far.
type incrementalWatch struct{ most, total int }

func (w *incrementalWatch) line(message string) (Progress, bool) {
	if m := loadedImages.FindStringSubmatch(message); m != nil {
		w.total = number(m[1])
		return Progress{}, false
	}
	m := registeringImage.FindStringSubmatch(message)
	if m == nil {
		return Progress{}, false
	}
	w.most = max(w.most, number(m[1])+1)
	return Progress{Step: w.most, Total: max(w.total, w.most), Message: "registering images"}, true
}

// number parses digits that a pattern has matched; what overflows is as good as 0.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// triangulationWatch counts the images that point_triangulator is done with.
type triangulationWatch struct{ total int }

func (w *triangulationWatch) line(message string) (Progress, bool) {
	if m := loadedImages.FindStringSubmatch(message); m != nil {
		w.total = number(m[1])
		return Progress{}, false
	}
	m := triangulatingImage.FindStringSubmatch(message)
	if m == nil {
		return Progress{}, false
	}
	step := number(m[1])
	return Progress{Step: min(step, w.total), Total: max(w.total, 1), Message: "triangulating points"}, true
}
