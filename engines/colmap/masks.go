package colmap

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
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

// completeMasks is a folder with a mask for every image, or empty when there are none: COLMAP leaves out an image whose
// mask is missing, so those get one that hides nothing. Images of rigs have theirs narrowed.
func (r *reconstructor) completeMasks() (string, error) {
	masks, err := r.plan.maskPath()
	if err != nil || masks == "" && !r.rigs.any() {
		return "", err
	}
	complete := filepath.Join(r.plan.WorkPath, "masks")
	for _, file := range r.images {
		name := filepath.FromSlash(file)
		to := filepath.Join(complete, filepath.FromSlash(r.rigs.name(file))+maskSuffix)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return "", fmt.Errorf("preparing masks: %w", err)
		}
		err := error(fs.ErrNotExist)
		if masks != "" {
			err = copyFile(to, filepath.Join(masks, name+maskSuffix))
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = writeOpenMask(to, filepath.Join(r.plan.ImagePath, name))
		}
		if err == nil && r.rigs.any() {
			err = r.rigs.narrow(to, file)
		}
		if err != nil {
			return "", fmt.Errorf("preparing masks: %w", err)
		}
	}
	return complete, nil
}

// writeOpenMask writes a white mask of an image's size.
func writeOpenMask(to, picture string) error {
	size, _, err := inspect(picture)
	if err != nil {
		return err
	}
	mask := image.NewGray(image.Rectangle{Max: size})
	for i := range mask.Pix {
		mask.Pix[i] = 255
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if size == (image.Point{}) { // COLMAP will say of the image itself that it cannot be read
		return out.Close()
	}
	return errors.Join(png.Encode(out, mask), out.Close())
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
