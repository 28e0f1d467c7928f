package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/splatworks/splatworks/engines/mesh"
)

type meshCommand struct {
	lookAt    `embed:""`
	Out       string  `short:"o" required:"" placeholder:"FILE" help:"The file to write: .glb with texture, .zip with OBJ, material and texture, or .stl for printers."`
	Faces     int     `default:"200000" help:"Triangles at most."`
	Texture   int     `default:"4096" placeholder:"PX" help:"Longest side of the texture."`
	Voxel     float64 `placeholder:"SIZE" help:"Finest detail, in units of the splat; otherwise one and a half pixels, or what the depths allow."`
	Metres    float64 `placeholder:"M" help:"Metres in a unit of the splat, which set the size of an STL (in millimetres). By default its longest side is 100 mm."`
	Collision bool    `help:"Write a bare mesh of a fortieth of the triangles instead, to walk on in a game engine (.glb)."`
	JSON      bool    `help:"Print the report as JSON for scripts."`
}

func (meshCommand) Help() string {
	return `Depth is rendered from the splat at the scene's cameras, compared between them, fused,
and textured from the images. The mesh has y up in .glb and OBJ, z up in .stl.

    splatworks run shoe.zip -o shoe --scene
    splatworks mesh shoe/splat.ply shoe/scene -o shoe.glb`
}

// check refuses what cannot be written, before anything is read.
func (cmd meshCommand) check(suffix string) error {
	switch {
	case suffix != ".glb" && suffix != ".zip" && suffix != ".stl":
		return usageError{fmt.Errorf("%s: a mesh is written as .glb, .zip or .stl", cmd.Out)}
	case cmd.Collision && suffix != ".glb":
		return usageError{errors.New("--collision writes .glb")}
	case cmd.Faces < 4 || cmd.Texture < 64 || cmd.Texture > 16384 || !(cmd.Voxel >= 0) || !(cmd.Metres >= 0):
		return usageError{errors.New("give 4 --faces or more, a --texture of 64 to 16384 pixels, and no negative sizes")}
	}
	return nil
}

func (cmd meshCommand) Run(ctx context.Context, c console) error {
	suffix := strings.ToLower(filepath.Ext(cmd.Out))
	if err := cmd.check(suffix); err != nil {
		return err
	}
	cloud, data, cfg, err := cmd.open(c)
	if err != nil {
		return err
	}
	b := newBars(c.err)
	made, err := mesh.Build(cloud, data, mesh.Options{Faces: cmd.Faces, TexturePx: cmd.Texture, VoxelSize: cmd.Voxel, Threads: cfg.Threads,
		Progress: func(step string, share float64) error {
			b.show("mesh", 100*share, step)
			return ctx.Err()
		}})
	if err != nil {
		b.fail()
		return err
	}
	b.end()
	write := map[string]func(io.Writer) error{
		".glb": func(w io.Writer) error { return made.WriteGLB(w, "as in the splat") }, ".zip": made.WriteOBJ,
		".stl": func(w io.Writer) error { return made.WriteSTL(w, cmd.Metres) },
	}[suffix]
	if cmd.Collision {
		write = func(w io.Writer) error { return made.Collision.WriteGLB(w, "as in the splat") }
	}
	size, err := writeWhole(cmd.Out, write)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(c, made.Report)
	}
	closed := "not watertight"
	if made.Report.Watertight {
		closed = "watertight"
	}
	faces := made.Report.Faces
	if cmd.Collision {
		faces = made.Report.Collision
	}
	_, err = fmt.Fprintf(c.out, "%s: %d triangles, %s, %.0f %% of the surface textured, %s\n", cmd.Out, faces, closed, 100*made.Report.Seen, megabytes(size))
	return err
}
