package colmap

import (
	"regexp"
	"strconv"
	"strings"
)

// Lines of COLMAP 4.2's log by which a command's progress is known.
var (
	processedFile     = regexp.MustCompile(`^Processed file \[(\d+)/(\d+)\]`)
	processingImage   = regexp.MustCompile(`^Processing image \[(\d+)/(\d+)\]`)
	processingBlock   = regexp.MustCompile(`^Processing block \[(\d+)/(\d+), (\d+)/(\d+)\]`)
	undistortingImage = regexp.MustCompile(`^Undistorting image \[(\d+)/(\d+)\]`)
	registeringImage  = regexp.MustCompile(`^Registering image #\d+ \(num_reg_frames=(\d+)\)`)
	loadedImages      = regexp.MustCompile(`\(connected (\d+), loaded (\d+)\)$`)
	component         = regexp.MustCompile(`^=== Reconstructing component (\d+) / (\d+)`)
	adjustment        = regexp.MustCompile(`^Global bundle adjustment iteration (\d+) / (\d+) finished`)
	extractedFeatures = regexp.MustCompile(`^Features:\s+(\d+)`)
)

// counter reports "step of total" lines.
type counter struct {
	c                *Colmap
	command, message string
	pattern          *regexp.Regexp
}

func (w *counter) line(message string) {
	if m := w.pattern.FindStringSubmatch(message); m != nil {
		w.c.report(Progress{Command: w.command, Step: number(m[1]), Total: number(m[2]), Message: w.message})
	}
}

// Extracted is what feature_extractor said about its images.
type Extracted struct {
	Images     int            // that were read
	Features   map[string]int // by image name
	Unreadable []string       // names of files that COLMAP could not decode, with its reason
}

// extractorWatch counts files and notes which could not be read.
type extractorWatch struct {
	counter
	name string
	Extracted
}

func (w *extractorWatch) line(message string) {
	w.counter.line(message)
	if name, ok := strings.CutPrefix(message, "Name:"); ok {
		w.name = strings.TrimSpace(name)
		return
	}
	if m := extractedFeatures.FindStringSubmatch(message); m != nil {
		if w.Features == nil {
			w.Features = make(map[string]int)
		}
		w.Features[w.name] = number(m[1])
		w.Images++
		return
	}
	if strings.Contains(message, "BITMAP_ERROR") {
		w.Unreadable = append(w.Unreadable, message)
	}
}

func (w *extractorWatch) result() Extracted { return w.Extracted }

// blockWatch reports exhaustive_matcher's blocks, which come in rows and columns.
type blockWatch struct{ c *Colmap }

func (w *blockWatch) line(message string) {
	if m := processingBlock.FindStringSubmatch(message); m != nil {
		row, rows, column, columns := number(m[1]), number(m[2]), number(m[3]), number(m[4])
		w.c.report(Progress{Command: "exhaustive_matcher", Step: (row-1)*columns + column - 1, Total: rows * columns, Message: "matching features"})
	}
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

// globalWatch reports global_mapper's phases in percent of the current component.
type globalWatch struct {
	c                     *Colmap
	component, components int
}

func (w *globalWatch) line(message string) {
	if m := component.FindStringSubmatch(message); m != nil {
		w.component, w.components = number(m[1]), number(m[2])
		return
	}
	done := 0
	for _, phase := range globalPhases {
		if strings.HasPrefix(message, phase.prefix) {
			w.report(done, phase.message)
			return
		}
		if phase.message == "adjusting cameras and points" {
			if m := adjustment.FindStringSubmatch(message); m != nil {
				w.report(done+phase.weight*number(m[1])/max(number(m[2]), 1), phase.message)
				return
			}
		}
		done += phase.weight
	}
}

func (w *globalWatch) report(percent int, message string) {
	components := max(w.components, 1)
	w.c.report(Progress{Command: "global_mapper", Step: (max(w.component, 1)-1)*100 + percent, Total: components * 100, Message: message})
}

// incrementalWatch reports how many images mapper has registered. It starts again for each model, so the count is the
// largest so far.
type incrementalWatch struct {
	c           *Colmap
	most, total int
}

func (w *incrementalWatch) line(message string) {
	if m := loadedImages.FindStringSubmatch(message); m != nil {
		w.total = number(m[1])
		return
	}
	if m := registeringImage.FindStringSubmatch(message); m != nil {
		w.most = max(w.most, number(m[1])+1)
		w.c.report(Progress{Command: "mapper", Step: w.most, Total: max(w.total, w.most), Message: "registering images"})
	}
}

// number parses digits that a pattern has matched; what overflows is as good as 0.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}
