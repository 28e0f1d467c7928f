package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// kinds are the artifacts of those of Options.Outputs that are formats of the splat.
var kinds = map[string]artifacts.Kind{
	"spz": artifacts.SPZ, "spz-v3": artifacts.SPZv3, "sog": artifacts.SOG, "glb": artifacts.GLB, "compressed-ply": artifacts.CompressedPLY,
}

// formats publishes the splat in every format that was asked for. One that fails is a warning: an extra must not cost the result.
func formats(ctx context.Context, job *stage.Job, cloud *splat.Cloud) error {
	for _, name := range job.Options.Outputs {
		if _, ok := kinds[name]; !ok {
			continue
		}
		job.Progress(pipeline.Progress{Step: "writing " + kinds[name].FileName(), Percent: 32})
		err := format(ctx, job, cloud, name)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			job.Warn(pipeline.Warning{Code: "format_failed", Message: fmt.Sprintf("The splat could not be written as %s: %v.", name, err),
				Advice: "splat.ply is complete; splatworks convert makes other formats of it."})
		}
	}
	return nil
}

// format writes one file, reads it back and publishes it.
func format(ctx context.Context, job *stage.Job, cloud *splat.Cloud, name string) error {
	f, err := splat.FormatNamed(name)
	if err != nil {
		return err
	}
	path := filepath.Join(job.Dir, kinds[name].FileName())
	if err := writeFile(path, func(w io.Writer) error { return f.Write(w, cloud) }); err != nil {
		return err
	}
	again, _, err := splat.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if again.Len() != cloud.Len() {
		return fmt.Errorf("read back: %d Gaussians of %d", again.Len(), cloud.Len())
	}
	return job.Publish(ctx, kinds[name], path)
}

func writeFile(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
