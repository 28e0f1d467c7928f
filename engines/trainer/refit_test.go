package trainer

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/splat"
)

// TestRefit: what is left of a cloud without every third Gaussian shows the images better after a refit, on views that neither saw; it
// writes the same bytes each time, adds nothing, and leaves the cloud that came in as it was.
func TestRefit(t *testing.T) {
	data, cfg := synthetic(8, 96, 64), testConfig(150)
	result, err := Train(context.Background(), cfg, data, nil, Hooks{Clock: func() time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	var some []int
	for i := range result.Cloud.Len() {
		if i%3 != 0 {
			some = append(some, i)
		}
	}
	left := result.Cloud.Picked(some)
	before, calls := plyOf(t, left), 0
	refit := func() *splat.Cloud {
		c, err := result.Refit(cfg, data, left, 60, nil, func() error { calls++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	fitted := refit()
	if calls != 60 {
		t.Errorf("%d iterations of 60", calls)
	}
	if fitted.Len() > left.Len() || fitted.Validate() != nil || !bytes.Equal(plyOf(t, left), before) {
		t.Errorf("%d Gaussians of %d, %v", fitted.Len(), left.Len(), fitted.Validate())
	}
	if !bytes.Equal(plyOf(t, fitted), plyOf(t, refit())) {
		t.Error("the second refit gives another cloud")
	}
	psnr := func(c *splat.Cloud) float64 {
		q, err := Evaluate(c, data.Test, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		return q.PSNR
	}
	was, thinned, is := psnr(result.Cloud), psnr(left), psnr(fitted)
	t.Logf("%.2f dB trained, %.2f dB without a third of %d Gaussians, %.2f dB refitted", was, thinned, result.Cloud.Len(), is)
	if !(is > thinned+1) {
		t.Errorf("%.2f dB without a third, %.2f dB refitted", thinned, is)
	}
}

// A refit ends with the error of its caller, and refuses a cloud that its configuration cannot train.
func TestRefitEnds(t *testing.T) {
	data, cfg := synthetic(4, 48, 32), testConfig(10)
	cloud := syntheticCloud()
	cfg.Degree = cloud.Degree
	stop := errors.New("stopped")
	if _, err := new(Result).Refit(cfg, data, cloud, 5, nil, func() error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
	cfg.Degree = cloud.Degree + 1
	if _, err := new(Result).Refit(cfg, data, cloud, 5, nil, func() error { return nil }); err == nil {
		t.Error("a cloud of another degree was trained")
	}
}

// Moments that begin at zero make no step longer than its rate: they would shake a trained cloud.
func TestRefitPace(t *testing.T) {
	for step := 1; step <= 200; step++ {
		// Of a gradient that stays the same, Adam's step without correction is (1 − 0.9^t)/√(1 − 0.999^t) rates long.
		m, v := 0.0, 0.0
		for range step {
			m, v = 0.9*m+0.1, 0.999*v+0.001
		}
		if moved := refitPace(step, 200) * m / math.Sqrt(v); !(moved <= 1 && moved >= refitEnd*0.999) {
			t.Fatalf("step %d is %g rates long", step, moved)
		}
	}
}
