package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client"
	"github.com/splatworks/splatworks/cmd/splatworks/machine"
	"github.com/splatworks/splatworks/cmd/splatworks/reconstruct"
	"github.com/splatworks/splatworks/engines/gpu/cards"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
)

type runCommand struct {
	Input  string `arg:"" help:"A video, a zip of photos, or a folder of photos."`
	Out    string `short:"o" required:"" placeholder:"DIR" help:"Folder for splat.ply, report.json, sparse/ and the rest. What an earlier run left there is deleted first."`
	Poses  string `placeholder:"DIR|FILE" help:"Existing camera poses: a folder with a COLMAP model (cameras, images and points3D, .bin or .txt), or transforms.json. They are used as they are."`
	Scene  bool   `help:"Also leave the undistorted images with their poses in scene/: for eval, render and other trainers."`
	Wishes wishes `embed:""`
	JSON   bool   `help:"Print report.json on standard output for scripts."`
	Data   string `placeholder:"DIR" help:"Keep the intermediate results here; default: in the output folder, removed at the end."`

	Config string `env:"SPLATWORKS_CONFIG" placeholder:"FILE" help:"Configuration, as splatworks.yaml: shares of depth models, presets."`
	Device string `default:"auto" enum:"auto,cpu,cuda,opencl" env:"SPLATWORKS_DEVICE" help:"Where to train: auto (a graphics card, if one is faster), cpu, cuda or opencl (experimental)."`

	InProcess bool `hidden:"" help:"Run the stages in this process, for a debugger."`
}

func (runCommand) Help() string {
	return `Nothing leaves this machine. The folder gets splat.ply, which every 3D Gaussian splat viewer opens, orbit.mp4, report.json
(quality on images that training never saw, times, warnings), the camera poses, and pictures of what was chosen and found.
An interrupted run continues when the same command is given again.

    splatworks run kitchen.mp4 -o kitchen --preset preview      a first look
    splatworks run photos -o garden --sky on                    outdoors
    splatworks run shoe.zip -o shoe --background-mode empty     cut out by the masks in the zip
    splatworks run photos -o hall --poses export                with poses from RealityScan, Metashape, Pix4D, nerfstudio`
}

func (cmd runCommand) Run(ctx context.Context, c console) error {
	options, err := cmd.Wishes.options()
	if err != nil {
		return err
	}
	if err := errors.Join(options.Fits(reconstruct.TimeLimit), checkDepth(options.Depth), checkDevice(cmd.Device)); err != nil {
		return usageError{err}
	}
	if err := os.Setenv(machine.DeviceVariable, cmd.Device); err != nil { // the stages are programs of their own
		return err
	}
	settings, err := readConfig(cmd.Config)
	if err != nil {
		return err
	}
	leaveOut := []string{cmd.Out}
	if cmd.Data != "" {
		leaveOut = append(leaveOut, cmd.Data)
	}
	input, size, done, err := openPosed(ctx, cmd.Input, cmd.Poses, c.err, leaveOut...)
	if err != nil {
		return err
	}
	defer done()
	if err := machine.Check(); err != nil {
		return err
	}
	if err := prepareOutput(cmd.Out, cmd.Input, cmd.Scene); err != nil {
		return err
	}
	logs, err := os.OpenFile(filepath.Join(cmd.Out, "splatworks.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer logs.Close()
	b := newBars(c.err)
	b.local, b.model = true, options.Depth
	r, err := reconstruct.Prepare(ctx, reconstruct.Options{Dir: cmd.data(), Input: input, Size: size, Options: options, Defaults: settings.Defaults(), Random: rand.Reader, Now: time.Now, Patience: reconstruct.Patience,
		Log: serve.NewLogger(logs, "", slog.LevelInfo), Output: logs, InProcess: cmd.InProcess, Define: machine.Stage,
		Uploaded: b.upload, Progress: b.progress, Retry: b.retry})
	if err != nil {
		return err
	}
	if r.Resumed {
		fmt.Fprintln(c.err, "  continuing the interrupted run")
	} else if err := logs.Truncate(0); err != nil {
		return errors.Join(err, r.Close())
	}
	err = cmd.reconstruct(ctx, c, r, b)
	return errors.Join(err, leaveTrace(context.WithoutCancel(ctx), r, cmd.Out), cmd.tidy(ctx, c, r, err), r.Close())
}

// data is where the intermediate results are.
func (cmd runCommand) data() string {
	if cmd.Data != "" {
		return cmd.Data
	}
	return filepath.Join(cmd.Out, unfinished)
}

// unfinished is the folder in the output folder that an interrupted run leaves.
const unfinished = ".unfinished"

// reconstruct runs the stages and fetches what they leave.
func (cmd runCommand) reconstruct(ctx context.Context, c console, r *reconstruct.Reconstruction, b *bars) error {
	manifest, err := r.Run(ctx)
	if err != nil {
		b.fail()
		return cmd.explain(c, withInstallation(err, b.model))
	}
	b.end()
	for _, a := range manifest.Results() {
		if a.Kind == artifacts.Scene && !cmd.Scene {
			continue
		}
		if err := saveResult(cmd.Out, a.Kind, a.Kind.FileName(), func(w io.Writer) error {
			f, err := r.Open(ctx, a.Object)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, f)
			return errors.Join(err, f.Close())
		}); err != nil {
			return err
		}
	}
	report, err := readReport(cmd.Out)
	if err != nil {
		return err
	}
	printSummary(c.err, report, cmd.Out)
	if cmd.JSON {
		return printJSON(c, report)
	}
	return nil
}

// tidy removes the intermediate results, unless the same command would continue with them.
func (cmd runCommand) tidy(ctx context.Context, c console, r *reconstruct.Reconstruction, err error) error {
	var failure *pipeline.Failure
	failed := errors.As(err, &failure)
	switch {
	case err != nil && (!failed || failure.Resubmittable() && failure.Code != pipeline.ArtifactGone && failure.Code != pipeline.ArtifactDamaged):
		fmt.Fprintln(c.err, "  the finished stages are kept: the same command continues from there")
		return nil
	case cmd.Data != "":
		return r.Forget(context.WithoutCancel(ctx))
	}
	return r.Remove()
}

// checkDevice refuses a card that is not here; auto finds out by itself.
func checkDevice(name string) error {
	driver, err := cards.ParseDriver(name)
	if err != nil || driver == cards.Auto || driver == cards.CPU {
		return err
	}
	if err := cards.Find(driver); err != nil {
		return fmt.Errorf("--device %s: %w", name, err)
	}
	return nil
}

// checkDepth refuses the name of a depth model that this machine does not know.
func checkDepth(name string) error {
	known := append([]string{pipeline.DepthAuto, pipeline.DepthOff}, machine.DepthModels()...)
	if name == "" || slices.Contains(known, name) {
		return nil
	}
	return fmt.Errorf("--depth must be one of %s", strings.Join(known, ", "))
}

// follow shows a request's progress until it ends. A request that did not COMPLETE is an error: its failure.
func follow(ctx context.Context, api *client.Client, token string, b *bars) (*client.Status, error) {
	warned := 0
	status, err := api.Wait(ctx, token, func(s *client.Status) {
		for ; warned < len(s.Warnings); warned++ {
			b.warn(s.Warnings[warned])
		}
		if s.Stage == "" || s.Status.Terminal() {
			return
		}
		for _, p := range s.Progress.Stages {
			if p.Stage != s.Stage {
				continue
			}
			b.leftS = s.Progress.Metrics["left_s"]
			b.show(string(s.Stage), p.Percent, stepOf(s.Progress.Step, s.Progress.Message))
		}
	})
	if err != nil {
		b.fail()
		return nil, err
	}
	if err := client.Ended(status); err != nil {
		b.fail()
		return nil, err
	}
	b.end()
	return status, nil
}

// explain prints the failure for scripts, too.
func (cmd runCommand) explain(c console, err error) error {
	var failure *pipeline.Failure
	if cmd.JSON && errors.As(err, &failure) {
		return errors.Join(err, printJSON(c, map[string]any{"status": pipeline.Failed, "failure": failure}))
	}
	return err
}

// bundles are the results that come packed, and the folders they become.
var bundles = map[artifacts.Kind]string{artifacts.SparseModel: "sparse", artifacts.Scene: "scene"}

// fetchResults downloads everything into dir, the scene only when it is wanted: it is larger than all the rest.
func fetchResults(ctx context.Context, api *client.Client, s *client.Status, dir string, scene bool) error {
	if len(s.Results) == 0 {
		return errors.New("the backend lists no results: its storage does not answer at the moment, or they were deleted")
	}
	for _, r := range s.Results {
		kind := artifacts.Kind(r.Kind)
		if kind == artifacts.Scene && !scene {
			continue
		}
		if err := saveResult(dir, kind, r.FileName, func(w io.Writer) error { return api.Download(ctx, r, w) }); err != nil {
			return err
		}
	}
	return nil
}

// saveResult writes a result into dir: what comes packed into a folder of its own.
func saveResult(dir string, kind artifacts.Kind, name string, write func(io.Writer) error) error {
	path := filepath.Join(dir, filepath.Base(name))
	if err := saveFile(path, write); err != nil {
		return err
	}
	folder, packed := bundles[kind]
	if !packed {
		return nil
	}
	if err := replaceFolder(path, filepath.Join(dir, folder)); err != nil {
		return err
	}
	return os.Remove(path)
}

// saveFile writes a file that has its name only when it is whole.
func saveFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := errors.Join(write(f), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// openInput opens what is to be uploaded; a folder is zipped first, see zipFolder.
func openInput(ctx context.Context, path string, notes io.Writer, leaveOut ...string) (r io.ReaderAt, size int64, done func(), err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, nil, usageError{err}
	}
	if info.IsDir() {
		return zipFolder(ctx, path, notes, leaveOut...)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, nil, usageError{err}
	}
	return f, info.Size(), func() { f.Close() }, nil
}

type attemptCommand struct{}

func (attemptCommand) Run(ctx context.Context, c console) error {
	return reconstruct.Child(ctx, machine.Stage, serve.NewLogger(c.err, "", slog.LevelInfo))
}
