// Package bench runs captures with options and keeps what came of each: parameters, metrics, curves and pictures, in a folder of its own
// below the study's. It compares two studies, and writes them in MLflow's format.
package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// recordFile is what a finished run leaves in its folder.
const recordFile = "run.json"

// Record is one run: a capture with options.
type Record struct {
	Capture    string             `json:"capture"`           // base name of the data set
	Variant    string             `json:"variant,omitempty"` // the values of what the study varies, as NAME=VALUE with spaces between
	Args       []string           `json:"args"`              // of splatworks run, besides the capture and the folders
	Program    string             `json:"program"`           // what it calls its version
	StartedAt  time.Time          `json:"started_at"`
	FinishedAt time.Time          `json:"finished_at"`
	Failure    string             `json:"failure,omitempty"` // code; the other fields hold what is known anyway
	Message    string             `json:"message,omitempty"` // of the failure
	Params     map[string]string  `json:"params"`            // options, defaults included
	Metrics    map[string]float64 `json:"metrics"`
	Curves     map[string][]Point `json:"curves"`
	Warnings   []string           `json:"warnings,omitempty"` // codes
	Pictures   []string           `json:"pictures,omitempty"` // files in the folder

	Dir string `json:"-"`
}

// Point of a curve: a metric after a number of training steps, at a time of the training.
type Point struct {
	Step  int     `json:"step"`
	AtS   float64 `json:"at_s"`
	Value float64 `json:"value"`
}

// Name of the run among those of its study.
func (r Record) Name() string { return strings.TrimSpace(r.Capture + " " + r.Variant) }

// Cell is a run that a study asks for.
type Cell struct {
	Input   string // path of the capture
	Capture string
	Variant string
	Args    []string
}

var unfit = regexp.MustCompile(`[^A-Za-z0-9._=-]+`)

// Folder is where the cell's run is kept, below the study's.
func (c Cell) Folder() string {
	return strings.Trim(unfit.ReplaceAllString(strings.TrimSpace(c.Capture+" "+c.Variant), "-"), "-")
}

// Axis is an option that a study varies.
type Axis struct {
	Flag   string // without dashes
	Values []string
}

// ParseAxis reads NAME=VALUE,VALUE.
func ParseAxis(s string) (a Axis, err error) {
	name, values, ok := strings.Cut(s, "=")
	a = Axis{Flag: strings.TrimLeft(name, "-"), Values: strings.Split(values, ",")}
	if !ok || a.Flag == "" || slices.Contains(a.Values, "") {
		return a, fmt.Errorf("%q is not of the form NAME=VALUE,VALUE", s)
	}
	return a, nil
}

// Cells are all captures with all values of all axes; args go to each run before them. Captures that have one base name are refused:
// their runs would have the same name.
func Cells(inputs []string, axes []Axis, args []string) (cells []Cell, err error) {
	seen := map[string]string{}
	for _, input := range inputs {
		base := filepath.Base(filepath.Clean(input))
		name := strings.TrimSuffix(base, filepath.Ext(base))
		if other, has := seen[name]; has {
			return nil, fmt.Errorf("%s and %s are both called %s: rename one", other, input, name)
		}
		seen[name] = input
		variants := []Cell{{Input: input, Capture: name, Args: args}}
		for _, axis := range axes {
			var more []Cell
			for _, v := range variants {
				for _, value := range axis.Values {
					c := v
					c.Variant = strings.TrimSpace(v.Variant + " " + axis.Flag + "=" + value)
					c.Args = append(slices.Clone(v.Args), "--"+axis.Flag+"="+value)
					more = append(more, c)
				}
			}
			variants = more
		}
		cells = append(cells, variants...)
	}
	return cells, nil
}

// Read returns the finished runs of a study, by name; dir may be the folder of a single one, too.
func Read(dir string) (records []Record, err error) {
	if r, err := readRecord(dir); err == nil {
		return []Record{r}, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		r, err := readRecord(filepath.Join(dir, e.Name()))
		switch {
		case err == nil:
			records = append(records, r)
		case e.IsDir() && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%s holds no finished run of splatworks bench", dir)
	}
	return records, nil
}

func readRecord(dir string) (r Record, err error) {
	body, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", filepath.Join(dir, recordFile), err)
	}
	r.Dir = dir
	return r, nil
}

// write makes the record visible at once, as a whole.
func (r Record) write(dir string) error {
	body, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	half := filepath.Join(dir, "."+recordFile)
	if err := os.WriteFile(half, append(body, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(half, filepath.Join(dir, recordFile))
}
