package export

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/mesh"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// meshes are the files of the output mesh.
func meshes() []artifacts.Kind {
	return []artifacts.Kind{artifacts.Mesh, artifacts.MeshOBJ, artifacts.MeshSTL, artifacts.MeshCollision}
}

// mesh publishes the surface of the splat where it was asked for, and returns its report, nil where there is no mesh. It is an extra:
// one that fails is a warning.
func (c Config) mesh(ctx context.Context, job *stage.Job, cloud *splat.Cloud, data *trainer.Dataset) (*mesh.Report, error) {
	if !slices.Contains(job.Options.Outputs, pipeline.OutputMesh) {
		return nil, nil
	}
	report, err := c.makeMesh(ctx, job, cloud, data)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		job.Warn(pipeline.Warning{Code: "no_mesh", Message: fmt.Sprintf("The mesh could not be made: %v.", err),
			Advice: "The splat itself is complete. A mesh needs surfaces that several images show from different sides."})
		return nil, nil
	}
	if report.Seen < 0.5 {
		job.Warn(pipeline.Warning{Code: "mesh_hardly_seen", Message: fmt.Sprintf("Images show %.0f %% of the mesh; the rest has the colours around it.", 100*report.Seen),
			Advice: "Send images from more sides."})
	}
	return report, nil
}

func (c Config) makeMesh(ctx context.Context, job *stage.Job, cloud *splat.Cloud, data *trainer.Dataset) (*mesh.Report, error) {
	unit, err := unitOf(job)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	made, err := mesh.Build(cloud, data, mesh.Options{Threads: c.Threads, Clock: func() time.Duration { return time.Since(started) },
		Progress: func(step string, share float64) error {
			job.Progress(pipeline.Progress{Step: step, Percent: 55 + 35*share})
			return ctx.Err()
		}})
	if err != nil {
		return nil, err
	}
	metres := 0.0
	if unit == scene.UnitMetre {
		metres = 1
	}
	writers := map[artifacts.Kind]func(io.Writer) error{
		artifacts.Mesh:          func(w io.Writer) error { return made.WriteGLB(w, unit) },
		artifacts.MeshOBJ:       made.WriteOBJ,
		artifacts.MeshSTL:       func(w io.Writer) error { return made.WriteSTL(w, metres) },
		artifacts.MeshCollision: func(w io.Writer) error { return made.Collision.WriteGLB(w, unit) },
	}
	for _, kind := range meshes() {
		job.Progress(pipeline.Progress{Step: "writing " + kind.FileName(), Percent: 92})
		path := filepath.Join(job.Dir, kind.FileName())
		if err := writeFile(path, writers[kind]); err != nil {
			return nil, err
		}
		if err := job.Publish(ctx, kind, path); err != nil {
			return nil, err
		}
	}
	return &made.Report, nil
}

// unitOf is the unit of the splat, as structure from motion reported it.
func unitOf(job *stage.Job) (string, error) {
	world, err := worldOf(job)
	if err != nil || world.Unit == "" {
		return scene.UnitViewDistance, err
	}
	return world.Unit, nil
}

// worldOf is what structure from motion reported about the frame of the splat; empty where it did not.
func worldOf(job *stage.Job) (world scene.World, err error) {
	report, err := job.ReportSoFar()
	if err != nil || report.SfM == nil {
		return world, err
	}
	text, err := json.Marshal(report.SfM.World)
	if err != nil {
		return world, err
	}
	return world, json.Unmarshal(text, &world)
}
