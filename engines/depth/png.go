package depth

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// A folder of aligned maps is laid out as the reference implementation of 3DGS reads it (train.py --depths): a 16-bit
// grey PNG a map, and one JSON file that says for each
//
//	inverse depth = pixel / 65536 · scale + offset   in 1/world units
//
// Pixel 0 says that nothing is known there. Images without a map stand in neither.
const (
	MapsFolder = "depths"
	ParamsFile = "depth_params.json"
)

// Params turn the pixels of one PNG into inverse depth.
type Params struct {
	Scale  float64 `json:"scale"`
	Offset float64 `json:"offset"`
}

// MapName is an image's name without its extension: the name of its map and its key in the JSON file.
func MapName(image string) string { return strings.TrimSuffix(image, path.Ext(image)) }

// EncodePNG writes inverse depth with all 16 bits of the grey values, NaN as 0. A map in which nothing is known is an
// error.
func EncodePNG(w io.Writer, m *Map) (Params, error) {
	low, high := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range m.Values {
		if v >= 0 && !math.IsInf(float64(v), 0) {
			low, high = min(low, v), max(high, v)
		}
	}
	if !(high >= low) {
		return Params{}, errors.New("the map knows nothing")
	}
	const levels = 65534 // above the first, which is 1
	step := float64(high-low) / levels
	img := image.NewGray16(image.Rect(0, 0, m.Width, m.Height))
	for i, v := range m.Values {
		if !(v >= 0) || math.IsInf(float64(v), 0) {
			continue
		}
		pixel := 1.0
		if step > 0 {
			pixel += math.Round(float64(v-low) / step)
		}
		binary.BigEndian.PutUint16(img.Pix[2*i:], uint16(min(pixel, 65535)))
	}
	encoder := png.Encoder{CompressionLevel: png.BestSpeed} // a second less a hundred maps, a tenth more bytes
	return Params{Scale: step * 65536, Offset: float64(low) - step}, encoder.Encode(w, img)
}

// DecodePNG reads what EncodePNG wrote.
func DecodePNG(r io.Reader, p Params) (Map, error) {
	decoded, err := png.Decode(r)
	if err != nil {
		return Map{}, fmt.Errorf("decode depth map: %w", err)
	}
	img, ok := decoded.(*image.Gray16)
	if !ok {
		return Map{}, errors.New("decode depth map: it is no 16-bit grey picture")
	}
	m := Map{Width: img.Rect.Dx(), Height: img.Rect.Dy()}
	m.Values = make([]float32, m.Width*m.Height)
	for i := range m.Values {
		if pixel := img.Gray16At(img.Rect.Min.X+i%m.Width, img.Rect.Min.Y+i/m.Width).Y; pixel > 0 {
			m.Values[i] = float32(max(0, float64(pixel)/65536*p.Scale+p.Offset))
		} else {
			m.Values[i] = float32(math.NaN())
		}
	}
	return m, nil
}

// WriteMap puts the map of an image into a folder of maps.
func WriteMap(dir, image string, m *Map) (Params, error) {
	file := filepath.Join(dir, MapsFolder, filepath.FromSlash(MapName(image))+".png")
	var body bytes.Buffer
	p, err := EncodePNG(&body, m)
	if err != nil {
		return p, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return p, err
	}
	return p, os.WriteFile(file, body.Bytes(), 0o600)
}

// RemoveMap takes a map out again.
func RemoveMap(dir, image string) error {
	return os.Remove(filepath.Join(dir, MapsFolder, filepath.FromSlash(MapName(image))+".png"))
}

// WriteParams ends a folder of maps: params by MapName.
func WriteParams(dir string, params map[string]Params) error {
	body, err := json.MarshalIndent(params, "", " ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", ParamsFile, err)
	}
	return os.WriteFile(filepath.Join(dir, ParamsFile), append(body, '\n'), 0o600)
}

// ReadParams says which maps a folder holds.
func ReadParams(dir string) (map[string]Params, error) {
	body, err := os.ReadFile(filepath.Join(dir, ParamsFile))
	if err != nil {
		return nil, err
	}
	var params map[string]Params
	if err := json.Unmarshal(body, &params); err != nil {
		return nil, fmt.Errorf("decode %s: %w", ParamsFile, err)
	}
	return params, nil
}

// ReadMap reads the map of an image.
func ReadMap(dir, image string, p Params) (Map, error) {
	root, err := os.OpenRoot(filepath.Join(dir, MapsFolder)) // the name comes from a file
	if err != nil {
		return Map{}, err
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(MapName(image)) + ".png")
	if err != nil {
		return Map{}, err
	}
	defer f.Close()
	m, err := DecodePNG(f, p)
	if err != nil {
		return m, fmt.Errorf("%s: %w", image, err)
	}
	return m, nil
}
