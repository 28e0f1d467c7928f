package colmap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/splatworks/splatworks/engines/scene"
)

// maskSuffix is COLMAP's convention: the mask of a/b.jpg is a/b.jpg.png, black where to look away.
const maskSuffix = ".png"

// maskPath is the folder of masks, or empty when it holds none.
func (p Plan) maskPath() (string, error) {
	if p.MaskPath == "" {
		return "", nil
	}
	names, err := listImages(p.MaskPath)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil || len(names) == 0 {
		return "", err
	}
	return p.MaskPath, nil
}

// undistortMasks leaves the masks beside the undistorted images, through the same cameras and in the same size: the same
// model, with the masks in the place of the images. An image without a mask gets none.
func (r *reconstructor) undistortMasks(ctx context.Context, model *scene.Reconstruction) error {
	masks, err := r.plan.maskPath()
	if masks == "" {
		return err
	}
	var without []string
	for i := range model.Images {
		if _, err := os.Stat(filepath.Join(masks, filepath.FromSlash(model.Images[i].Name)+maskSuffix)); err != nil {
			without = append(without, model.Images[i].Name)
		}
	}
	masked := model.Without(without)
	if len(masked.Images) == 0 {
		return nil
	}
	for i := range masked.Images {
		masked.Images[i].Name += maskSuffix
	}
	input, output := filepath.Join(r.plan.WorkPath, "masked"), filepath.Join(r.plan.OutputPath, "masked")
	if err := masked.Write(input); err != nil {
		return err
	}
	if err := os.RemoveAll(output); err != nil {
		return fmt.Errorf("preparing masks: %w", err)
	}
	if err := r.ran(r.colmap.ImageUndistorter(ctx, ImageUndistorterOptions{
		ImagePath: masks, InputPath: input, OutputPath: output, MaxImageSize: r.plan.UndistortedSize,
	})); err != nil {
		return err
	}
	r.result.Masks = len(masked.Images)
	if err := os.Rename(filepath.Join(output, "images"), filepath.Join(r.result.UndistortedPath, "masks")); err != nil {
		return err
	}
	return os.RemoveAll(output)
}
