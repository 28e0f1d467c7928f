package trainer

import (
	"bytes"
	"image"
	"image/jpeg"
	"os"
	"testing"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/splat"
)

func TestComparisonShowsWorstAndBest(t *testing.T) {
	d := synthetic(17, 96, 72)
	cfg := testConfig(10)
	cloud := syntheticCloud()
	for i := range cloud.DC {
		cloud.DC[i] *= 0.7
	}
	// One image is as the cloud has it.
	pic := d.Test[1].Levels[0]
	img := render(cloud, &pic.Camera, &cfg)
	for channel := range pic.Pix {
		pic.Pix[channel] = make([]uint8, 96*72)
		for i := range pic.Pix[channel] {
			pic.Pix[channel][i] = img.Pix[4*i+channel]
		}
	}
	d.Test[1] = newView(d.Test[1].Name, pic)
	q, err := Evaluate(cloud, d.Test, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteComparison(&b, cloud, d.Test, q, &cfg); err != nil {
		t.Fatal(err)
	}
	if *sceneView != "" {
		if err := os.WriteFile(*sceneView+"/comparison.jpg", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sheet, err := jpeg.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	// The mean light of the two differences: much above, next to nothing below.
	light := func(row int) (sum uint32) {
		height := comparisonWidth * 72 / 96
		top := comparisonGap + row*(height+comparisonCaption+comparisonGap)
		for y := top + 5; y < top+height-5; y++ {
			for x := 3*comparisonGap + 2*comparisonWidth + 5; x < 3*comparisonGap+3*comparisonWidth-5; x++ {
				r, g, b, _ := sheet.At(x, y).RGBA()
				sum += (r + g + b) >> 12
			}
		}
		return sum
	}
	if worst, best := light(0), light(1); !(worst > 20*(best+1)) {
		t.Errorf("the differences hold %d and %d units of light: the worst view should be above the best", worst, best)
	}
	if err := WriteComparison(&b, cloud, nil, &Quality{}, &cfg); err == nil {
		t.Error("nothing measured: want an error")
	}
}

func render(cloud *splat.Cloud, cam *raster.Camera, cfg *Config) *image.NRGBA {
	return NewPainter(cloud, cfg).Paint(cam)
}
