// Package config reads splatworks.yaml, the one file that says what a deployment is made from. terraform reads the same file
// (terraform/build/config.sh); what it may say is in schema.json.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
)

// File is what a file says. The zero value says nothing.
type File struct {
	Stages  map[pipeline.Stage]Stage            `json:"stages"`
	Models  Models                              `json:"models"`
	Presets map[pipeline.Preset]pipeline.Effort `json:"presets"`
	Limits  *trigger.Limits                     `json:"limits"` // filled from app.DefaultSpending; nil: not in the file
	All     tenant.Daily                        `json:"limits_of_all"`
	Tenants map[string]json.RawMessage          `json:"tenants"` // as trigger.ParseKeyLimits reads them
	said    map[string]any                      // all of it
}

// Stage is what the laptop reads of a stage; 0 and empty are as without the file.
type Stage struct {
	Slots   int    `json:"slots"`
	Machine string `json:"machine"`
}

// Models are the shares of models by what they make.
type Models struct {
	Depth pipeline.Shares `json:"depth"`
}

// maxBytes is far above what a file needs.
const maxBytes = 64 << 10

// Read reads a file and refuses whatever is wrong in it, with the line.
func Read(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return Parse(path, text)
}

// Parse is Read for a text. name is what errors call it.
func Parse(name string, text []byte) (*File, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("%s: it has more than %d KiB: a configuration needs less", name, maxBytes>>10)
	}
	root, err := parse(text)
	if err != nil {
		return nil, placed(name, err)
	}
	said, err := root.check()
	if err != nil {
		return nil, placed(name, err)
	}
	file := &File{said: said}
	if _, ok := said["limits"]; ok {
		limits := app.DefaultSpending
		file.Limits = &limits
	}
	plain, err := json.Marshal(said)
	if err == nil {
		err = json.Unmarshal(plain, file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, placed(name, file.consistent(root))
}

// consistent says what the schema cannot.
func (f *File) consistent(root document) error {
	if err := f.Models.Depth.Check(); err != nil {
		return root.at("models.depth: "+err.Error(), "models", "depth")
	}
	var days struct {
		Kept struct{ Manifests, Artifacts int } `json:"retention_days"`
	}
	plain, err := json.Marshal(f.said)
	if err == nil {
		err = json.Unmarshal(plain, &days)
	}
	if k := days.Kept; err == nil && k.Manifests > 0 && k.Manifests < k.Artifacts {
		return root.at("retention_days: manifests must be kept as long as artifacts, or the queue cannot be rebuilt", "retention_days", "manifests")
	}
	return err
}

// Defaults are what the file fills in where a request leaves something open.
func (f *File) Defaults() pipeline.Defaults {
	return pipeline.Defaults{Presets: f.Presets, Depth: f.Models.Depth}
}

// Apply puts what the file says into the configuration of the laptop's programs, and what they then run with into Declared.
func (f *File) Apply(c *app.Config) error {
	for stage, s := range f.Stages {
		if s.Slots > 0 {
			c.Slots[string(stage)] = s.Slots
		}
		if s.Machine != "" {
			c.Machines[string(stage)] = s.Machine
		}
	}
	if l := f.Limits; l != nil {
		c.MaxTrainBudgetS, c.MaxImages, c.MaxLongEdgePx, c.MaxPriority, c.MaxRequestsDay = l.TrainBudgetS, l.Images, l.LongEdgePx, l.Priority, l.Requests
		c.MaxMinutesDay, c.MaxBytesDay, c.MaxUSDDay = l.Minutes, l.Bytes, l.USD
	}
	c.AllMinutesDay, c.AllBytesDay, c.AllUSDDay = f.All.Minutes, f.All.Bytes, f.All.USD
	if len(f.Tenants) > 0 {
		tenants, err := json.Marshal(f.Tenants)
		if err != nil {
			return err
		}
		c.KeyLimits = string(tenants)
	}
	c.DepthShares = f.Models.Depth
	if len(f.Presets) > 0 {
		presets, err := json.Marshal(f.Presets)
		if err != nil {
			return err
		}
		c.Presets = string(presets)
	}
	declared, err := json.Marshal(f.declared(*c))
	c.Declared = string(declared)
	return err
}

// declared is what programs run with, in the form of the file.
func (f *File) declared(c app.Config) map[string]any {
	stages := map[string]any{}
	for _, s := range pipeline.Stages() {
		stages[string(s)] = map[string]any{"slots": c.Slots[string(s)], "machine": c.Machines[string(s)]}
	}
	said := map[string]any{"stages": stages, "limits": c.Spending(), "limits_of_all": c.AllDay()}
	if len(f.Tenants) > 0 {
		said["tenants"] = f.Tenants
	}
	if len(c.DepthShares) > 0 {
		said["models"] = map[string]any{"depth": c.DepthShares}
	}
	if len(f.Presets) > 0 {
		said["presets"] = f.Presets
	}
	return said
}

// wrong is an error at a line of the file.
type wrong struct {
	line int
	text string
}

func (w wrong) Error() string { return w.text }

// placed names the file and the line of what is wrong.
func placed(name string, err error) error {
	if err == nil {
		return nil
	}
	var list interface{ Unwrap() []error }
	if errors.As(err, &list) {
		var placedList []error
		for _, one := range list.Unwrap() {
			placedList = append(placedList, placed(name, one))
		}
		return errors.Join(placedList...)
	}
	if w := (wrong{}); errors.As(err, &w) {
		return fmt.Errorf("%s:%d: %s", name, w.line, w.text)
	}
	return fmt.Errorf("%s: %w", name, err)
}
