// Package trainer turns posed images and sparse points into a Gaussian cloud: initialisation, loss, optimiser,
// densification, schedules, checkpoints and the measurement of quality.
//
// It is at the end of the engines: engines/scene gives the cameras, engines/raster draws and differentiates,
// engines/splat is what it returns. It reads images and a COLMAP model from folders that it is given, keeps no other
// state outside its arguments, and takes time from a clock that the caller passes in.
//
//	Load -> Train( initialise -> step, step, ... refine, step, ... -> finish ) -> Result
//
// One step decides about a visit to a view (step.go), its background (background.go), exposure (exposure.go, from matched.go) and
// camera (poses.go). A machine (machine.go) makes the visit: it draws the view, compares it (loss.go, depth.go), differentiates
// it and updates at once the Gaussians that the view saw. The processor does so with engines/raster and engines/simd
// (processor.go), a graphics card with engines/gpu (device.go). A refinement prunes, splits and lays the model out anew (density.go). Every rate
// and every phase is a function of the budget that is spent (schedule.go). memory.go says how memory is shared out.
//
// Measured on the fox capture (43 images of 358×638 for training, 7 held out, 6645 points), two threads of a shared
// machine with AVX-512, processor seconds of the whole process; seeds and rounding move a figure by 0.2 dB:
//
//	CPU s   Gaussians   iterations   PSNR dB   SSIM    peak memory
//	   40        30 k         3165   31.1-31.6 0.893   322 MiB
//	  120        62 k         6236   32.2      0.905
//	  300        99 k        10027   32.2      0.906
//
// What was tried at equal iterations (1200, 25 k Gaussians, against 30.5 dB and SSIM 0.881) and is therefore so: position
// rate 0.6e-3 -0.3, 2.4e-3 -0.4; scale rate 5e-3 -0.4; opacity rate 0.05 -0.1; DC rate 1e-2 -0.4; rest rate 5e-4 -0.1;
// position rate kept at a tenth at the end -0.2; no opacity decay -0.2; parents that keep their moments -0.3; Adam's
// second moment at 0.99 -0.9; all rates cooled towards the end 0; first opacity 0.3 0; densification until 0.35 or 0.7
// -0.2; splitting by absolute gradients +0.1 and SSIM +0.004.
package trainer
