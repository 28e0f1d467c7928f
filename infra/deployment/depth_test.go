package deployment

import (
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/depth"
)

// TestDepthImageHoldsTheDefaultModel: the program in depth's image knows the model by its catalogue, so the build must
// fetch exactly those bytes, under that name, to where the program looks.
func TestDepthImageHoldsTheDefaultModel(t *testing.T) {
	d, err := depth.FindModel(t.TempDir(), depth.DefaultModel)
	if err != nil {
		t.Fatal(err)
	}
	build := text(t, "cloudbuild.yaml")
	for _, want := range []string{"_MODEL_URL: " + d.URL + "\n", "_MODEL_SHA256: " + d.SHA256 + "\n"} {
		if !strings.Contains(build, want) {
			t.Errorf("cloudbuild.yaml does not say %q", want)
		}
	}
	dockerfile := text(t, "infra", "docker", "depth.Dockerfile")
	for _, want := range []string{"${MODEL_URL} /opt/models/" + d.File + "\n", "DEPTH_MODELS=/opt/models\n", "ONNXRUNTIME_LIBRARY=/opt/onnxruntime/lib/libonnxruntime.so "} {
		if !strings.Contains(dockerfile, want) {
			t.Errorf("depth.Dockerfile does not say %q", want)
		}
	}
}
