package depth_test

import (
	"os"
	"testing"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/dav2"
)

// swiftShader is the Vulkan driver that Chromium brings along: a GPU in software.
const swiftShader = "/usr/lib/chromium/vk_swiftshader_icd.json"

// Another provider computes the same maps. The one that the library of the toolchain script has is WebGPU; without a GPU
// it runs on Chromium's driver.
func TestWebGPUAgreesWithCPU(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute of a GPU in software: not under -short")
	}
	if os.Getenv("VK_DRIVER_FILES") == "" {
		if _, err := os.Stat(swiftShader); err != nil {
			t.Skip("no Vulkan driver is named by VK_DRIVER_FILES, and Chromium's is not here")
		}
		t.Setenv("VK_DRIVER_FILES", swiftShader)
		t.Setenv("VK_ICD_FILENAMES", swiftShader)
	}
	c := dav2.Tiny()
	path := write(t, dav2.Graph(c, dav2.Draw(c, 11)))
	input := []depth.Input{noise(70, 98, 1), noise(70, 98, 2)}
	cpu, err := open(t, path, descriptor, depth.Options{Provider: depth.CPU}).Estimate(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	s, err := depth.Open(t.Context(), path, descriptor, depth.Options{Library: library(t), Provider: depth.WebGPU})
	if err != nil {
		t.Skip("WebGPU does not start here: ", err)
	}
	defer s.Close()
	gpu, err := s.Estimate(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cpu {
		want := make([]float64, len(cpu[i].Values))
		for k, v := range cpu[i].Values {
			want[k] = float64(v)
		}
		worst, _ := furthest(gpu[i].Values, want)
		t.Logf("image %d: off by %.2g of the largest value", i, worst)
		if !(worst < 1e-2) {
			t.Errorf("image %d: off by %.2g of the largest value", i, worst)
		}
	}
}
