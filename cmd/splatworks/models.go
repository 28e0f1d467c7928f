package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"time"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/infra/toolchain"
)

type modelsCommand struct {
	List  modelsListCommand  `cmd:"" help:"List known depth models, and which are installed."`
	Fetch modelsFetchCommand `cmd:"" help:"Fetch a depth model's weights; an interrupted download continues where it stopped."`
	Check modelsCheckCommand `cmd:"" help:"Verify installed weights and run each once."`
}

// modelsFolder is where weights lie.
type modelsFolder struct {
	Dir string `env:"SPLATWORKS_MODELS" placeholder:"DIR" help:"Folder of weights and descriptors (the user's cache)."`
}

func (m modelsFolder) folder() (string, error) {
	if m.Dir != "" {
		return m.Dir, nil
	}
	return toolchain.ModelsFolder()
}

// modelState is one line of the list.
type modelState struct {
	Name          string `json:"name"`
	Here          bool   `json:"here"`
	Problem       string `json:"problem,omitempty"`
	Path          string `json:"path,omitempty"`
	License       string `json:"license"`
	NonCommercial bool   `json:"non_commercial"`
	Bytes         int64  `json:"bytes,omitempty"`
	Description   string `json:"description,omitempty"`
	Default       bool   `json:"default,omitempty"`
}

type modelsListCommand struct {
	modelsFolder
	JSON bool `help:"Print JSON for scripts."`
}

func (cmd modelsListCommand) Run(c console) error {
	folder, err := cmd.folder()
	if err != nil {
		return err
	}
	models, problems := depth.Models(folder)
	states := make([]modelState, len(models))
	for i, d := range models {
		s := modelState{Name: d.Name, License: d.License, NonCommercial: d.NonCommercial, Bytes: d.Bytes, Description: d.Description, Default: d.Name == depth.DefaultModel}
		var f *fault.Failure
		switch err := depth.Verify(depth.ModelPath(folder, d), d); {
		case err == nil:
			s.Here, s.Path = true, depth.ModelPath(folder, d)
		case !errors.As(err, &f) || f.Code != depth.ModelMissing:
			s.Problem = err.Error()
		}
		states[i] = s
	}
	if cmd.JSON {
		return errors.Join(printJSON(c, map[string]any{"folder": folder, "models": states}), problems)
	}
	for _, s := range states {
		state := "-"
		switch {
		case s.Here:
			state = "here"
		case s.Problem != "":
			state = "DAMAGED"
		}
		size, note := "", ""
		if s.Bytes > 0 {
			size = fmt.Sprintf("%d MB", s.Bytes/1e6)
		}
		if s.Default {
			note = "; the default"
		}
		if s.NonCommercial {
			note = "; not for commercial use"
		}
		fmt.Fprintf(c.out, "%-8s %-24s %7s  %s%s\n         %s\n", state, s.Name, size, s.License, note, s.Description)
		if s.Problem != "" {
			fmt.Fprintf(c.out, "         %s\n", s.Problem)
		}
	}
	fmt.Fprintf(c.out, "\nFolder: %s\n", folder)
	return problems
}

type modelsFetchCommand struct {
	modelsFolder
	Name                string `arg:"" optional:"" default:"depth-anything-v2-small" help:"Name, as 'models list' prints it."`
	AcceptNonCommercial bool   `name:"accept-noncommercial" help:"I accept the model's non-commercial licence."`
}

func (cmd modelsFetchCommand) Run(ctx context.Context, c console) error {
	folder, err := cmd.folder()
	if err != nil {
		return err
	}
	d, err := depth.FindModel(folder, cmd.Name)
	if err != nil {
		return depthFailure(err)
	}
	b := newBars(c.err)
	_, err = depth.Fetch(ctx, folder, d, depth.FetchOptions{AcceptNonCommercial: cmd.AcceptNonCommercial, Progress: func(done, total int64) {
		b.show("fetching", 100*float64(done)/float64(max(total, done, 1)), fmt.Sprintf("%s: %d of %d MB", d.Name, done/1e6, total/1e6))
	}})
	if err != nil {
		b.fail()
		if fault.CodeOf(err) == depth.ModelLicense {
			return fmt.Errorf("%w The flag --accept-noncommercial accepts it.", depthFailure(err))
		}
		return depthFailure(err)
	}
	b.end()
	_, err = fmt.Fprintln(c.out, depth.ModelPath(folder, d))
	return err
}

type modelsCheckCommand struct {
	modelsFolder
	Names    []string `arg:"" optional:"" help:"Models; default: all that are installed."`
	Provider string   `default:"auto" enum:"auto,cpu,cuda,webgpu" env:"SPLATWORKS_DEPTH_PROVIDER" help:"Processor to run on: auto (a GPU, if one is faster), cpu, cuda or webgpu."`
}

func (cmd modelsCheckCommand) Run(ctx context.Context, c console) error {
	folder, err := cmd.folder()
	if err != nil {
		return err
	}
	var models []depth.Descriptor
	if len(cmd.Names) == 0 {
		all, problems := depth.Models(folder)
		if problems != nil {
			return problems
		}
		for _, d := range all {
			var f *fault.Failure
			if err := depth.Verify(depth.ModelPath(folder, d), d); err == nil || !errors.As(err, &f) || f.Code != depth.ModelMissing {
				models = append(models, d)
			}
		}
		if len(models) == 0 {
			return fmt.Errorf("no model is here; 'splatworks models fetch' fetches %s", depth.DefaultModel)
		}
	}
	for _, name := range cmd.Names {
		d, err := depth.FindModel(folder, name)
		if err != nil {
			return depthFailure(err)
		}
		models = append(models, d)
	}
	library, err := toolchain.Locate("onnxruntime")
	if err != nil {
		return err
	}
	bad := 0
	for _, d := range models {
		said, err := cmd.try(ctx, library, folder, d)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			bad++
			fmt.Fprintf(c.out, "BAD      %s: %v %s\n", d.Name, depthFailure(err), howToInstall(fault.CodeOf(err), d.Name))
			continue
		}
		fmt.Fprintf(c.out, "ok       %s: %s\n", d.Name, said)
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d models cannot be used", bad, len(models))
	}
	return nil
}

// try runs a model on a picture of a slope.
func (cmd modelsCheckCommand) try(ctx context.Context, library, folder string, d depth.Descriptor) (string, error) {
	session, err := depth.Open(ctx, depth.ModelPath(folder, d), d, depth.Options{Library: library, Provider: depth.Provider(cmd.Provider), Clock: time.Now})
	if err != nil {
		return "", err
	}
	defer session.Close()
	slope := image.NewGray(image.Rect(0, 0, 320, 240))
	for y := range 240 {
		for x := range 320 {
			slope.SetGray(x, y, color.Gray{Y: uint8(y + x*y%16)})
		}
	}
	input, err := d.Prepare(slope)
	if err != nil {
		return "", err
	}
	var took time.Duration
	for range 2 { // the first time allocates
		started := time.Now()
		maps, err := session.Estimate(ctx, []depth.Input{input})
		if err != nil {
			return "", err
		}
		if err := maps[0].Check(); err != nil {
			return "", err
		}
		took = time.Since(started)
	}
	said := fmt.Sprintf("%.2f s an image of %d x %d with ONNX Runtime %s on %s", took.Seconds(), input.Width, input.Height, session.RuntimeVersion(), session.Provider())
	if session.Fallback() != "" {
		said += " (no GPU: " + session.Fallback() + ")"
	}
	return said, nil
}

// depthFailure shows the advice of a failure too.
func depthFailure(err error) error {
	var f *fault.Failure
	if !errors.As(err, &f) {
		return err
	}
	text := f.Message + " " + f.Advice
	if f.Err != nil && f.Code != depth.ModelUnreachable && f.Code != depth.ModelMissing {
		text += " (" + f.Err.Error() + ")"
	}
	return errors.New(text)
}
