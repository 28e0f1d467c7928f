// The photometric loss of simd.Kernels.Rows, (1-lambda)·L1 + lambda·(1-SSIM) with an 11x11 Gaussian window and zero padding,
// and the loss of inverse depth. A group is 16x16 pixels of one channel; group g has channel g % 3.

typedef struct { float gain[3], l1, ssim; uint width, height, across, masked; } Loss;

#define HALO 26 // pixels along a side of what the windows of 16x16 pixels cover
#define MASK_HALF 128

// What is compared: the drawing times the image's gain, or the image where its mask hides it.
INLINE float shown(__global const float *restrict image, __global const uchar *restrict truth, __global const uchar *restrict mask,
                   const Loss *loss, uint channel, uint at) {
    uint pixels = loss->width * loss->height;
    if (loss->masked && mask[at] < MASK_HALF) return (float)truth[channel * pixels + at] * (1.0f / 255);
    return image[channel * pixels + at] * loss->gain[channel];
}

INLINE float window_of(__local const float *p, uint step) {
    float sum = 0.26601172f * p[5 * step];
    sum = FMA(0.21300554f, p[4 * step] + p[6 * step], sum);
    sum = FMA(0.10936069f, p[3 * step] + p[7 * step], sum);
    sum = FMA(0.03600077f, p[2 * step] + p[8 * step], sum);
    sum = FMA(0.00759876f, p[step] + p[9 * step], sum);
    return FMA(0.00102838f, p[0] + p[10 * step], sum);
}

// The group's sum of a value of each item, as a tree, to out[GROUP_ID]. A barrier must be between it and other uses of sums.
INLINE void group_sum(__local float *sums, float value, __global float *restrict out) {
    uint t = LOCAL_ID;
    sums[t] = value;
#pragma unroll
    for (uint d = 128; d > 0; d /= 2) {
        BARRIER();
        if (t < d) sums[t] += sums[t + d];
    }
    if (t == 0) out[GROUP_ID] = sums[0];
}

// loss_windows: SSIM of each pixel's window, summed over the group, and its partial derivatives by the window's mean, E[x²]
// and E[xy]: three planes a channel.
KERNEL(256) loss_windows(__global const float *restrict image, __global const uchar *restrict truth, __global const uchar *restrict mask,
                         const Loss loss, __global float *restrict parts, __global float *restrict ssim) {
    __local float x[HALO * HALO], y[HALO * HALO], rows[5][HALO * 16];
    uint t = LOCAL_ID, channel = GROUP_ID % 3, tile = GROUP_ID / 3, pixels = loss.width * loss.height;
    uint tx = tile % loss.across * 16, ty = tile / loss.across * 16;
    for (uint i = t; i < HALO * HALO; i += 256) {
        uint px = tx + i % HALO - 5, py = ty + i / HALO - 5; // left of and above the image they are huge
        bool inside = px < loss.width && py < loss.height;
        uint at = py * loss.width + px;
        x[i] = inside ? shown(image, truth, mask, &loss, channel, at) : 0;
        y[i] = inside ? (float)truth[channel * pixels + at] * (1.0f / 255) : 0;
    }
    BARRIER();
    for (uint i = t; i < HALO * 16; i += 256) {
        uint at = i / 16 * HALO + i % 16;
        float sx = 0, sy = 0, sxx = 0, sxy = 0, syy = 0;
#pragma unroll
        for (uint k = 0; k < 11; k++) {
            const float window[11] = {0.00102838f, 0.00759876f, 0.03600077f, 0.10936069f, 0.21300554f, 0.26601172f,
                                      0.21300554f, 0.10936069f, 0.03600077f, 0.00759876f, 0.00102838f};
            float a = x[at + k], b = y[at + k], wa = window[k] * a, wb = window[k] * b;
            sx += wa; sy += wb;
            sxx = FMA(wa, a, sxx); sxy = FMA(wa, b, sxy); syy = FMA(wb, b, syy);
        }
        rows[0][i] = sx; rows[1][i] = sy; rows[2][i] = sxx; rows[3][i] = sxy; rows[4][i] = syy;
    }
    BARRIER();
    uint px = tx + t % 16, py = ty + t / 16;
    float s = 0;
    if (px < loss.width && py < loss.height) {
        float mx = window_of(rows[0] + t, 16), my = window_of(rows[1] + t, 16);
        float exx = window_of(rows[2] + t, 16), exy = window_of(rows[3] + t, 16), eyy = window_of(rows[4] + t, 16);
        float a = 2 * mx * my + 1e-4f, b = 2 * (exy - mx * my) + 9e-4f;
        float c = mx * mx + my * my + 1e-4f, d = MAX(exx - mx * mx, 0.0f) + MAX(eyy - my * my, 0.0f) + 9e-4f;
        float r = 1.0f / (c * d), rc = d * r, rd = c * r, ac = a * rc, bd = b * rd;
        s = ac * bd;
        __global float *to = parts + 3 * channel * pixels + py * loss.width + px;
        to[0] = 2 * (my * (bd * rc - ac * rd) + mx * s * (rd - rc));
        to[pixels] = -s * rd;
        to[2 * pixels] = 2 * ac * rd;
    }
    group_sum(x, s, ssim);
}

// loss_gradient: the gradient by the drawing; l1 and drawn get the group's sums of |x - y| and of x.
KERNEL(256) loss_gradient(__global const float *restrict image, __global const uchar *restrict truth, __global const uchar *restrict mask,
                          const Loss loss, __global const float *restrict parts, __global float *restrict upstream,
                          __global float *restrict l1, __global float *restrict drawn) {
    __local float part[HALO * HALO], rows[HALO * 16];
    uint t = LOCAL_ID, channel = GROUP_ID % 3, tile = GROUP_ID / 3, pixels = loss.width * loss.height;
    uint tx = tile % loss.across * 16, ty = tile / loss.across * 16;
    float sums[3];
#pragma unroll
    for (uint k = 0; k < 3; k++) {
        __global const float *from = parts + (3 * channel + k) * pixels;
        for (uint i = t; i < HALO * HALO; i += 256) {
            uint px = tx + i % HALO - 5, py = ty + i / HALO - 5;
            part[i] = px < loss.width && py < loss.height ? from[py * loss.width + px] : 0;
        }
        BARRIER();
        for (uint i = t; i < HALO * 16; i += 256) rows[i] = window_of(part + i / 16 * HALO + i % 16, 1);
        BARRIER();
        sums[k] = window_of(rows + t, 16);
    }
    uint px = tx + t % 16, py = ty + t / 16, at = py * loss.width + px;
    float difference = 0, x = 0;
    if (px < loss.width && py < loss.height) {
        float y = (float)truth[channel * pixels + at] * (1.0f / 255);
        x = shown(image, truth, mask, &loss, channel, at);
        difference = x - y;
        float g = -loss.ssim * (sums[0] + 2 * x * sums[1] + y * sums[2]);
        g += difference > 0 ? loss.l1 : difference < 0 ? -loss.l1 : 0.0f;
        bool hidden = loss.masked && mask[at] < MASK_HALF;
        upstream[channel * pixels + at] = hidden ? 0.0f : g * loss.gain[channel];
    }
    group_sum(part, ABS(difference), l1);
    BARRIER();
    group_sum(part, x, drawn);
}

typedef struct { uint width, height, prior_width, prior_height, halved, masked; float each; } DepthLoss;

// depth_loss: |D - prior| where both are known, the sign times each as gradient, and sums over 256 pixels a group.
KERNEL(256) depth_loss(__global const float *restrict inverse_depth, __global const float *restrict prior, __global const uchar *restrict mask,
                       const DepthLoss loss, __global float *restrict upstream, __global float *restrict sums) {
    __local float local_sums[256];
    uint i = GROUP_ID * 256 + LOCAL_ID;
    float difference = 0;
    if (i < loss.width * loss.height) {
        uint x = (i % loss.width) >> loss.halved, y = (i / loss.width) >> loss.halved;
        x = x < loss.prior_width ? x : loss.prior_width - 1; // an odd last row or column has no half of its own
        y = y < loss.prior_height ? y : loss.prior_height - 1;
        difference = inverse_depth[i] - prior[y * loss.prior_width + x];
        if (loss.masked && mask[i] < MASK_HALF) difference = 0;
        upstream[i] = difference > 0 ? loss.each : difference < 0 ? -loss.each : 0.0f;
        if (!(difference == difference)) difference = 0; // nothing is known
    }
    group_sum(local_sums, ABS(difference), sums);
}

// sum_channels: the sums of each channel's groups, group g of channel g % channels, to out[base + channel]. One group a channel.
KERNEL(256) sum_channels(__global const float *restrict parts, __global float *restrict out, uint n, uint channels, uint base) {
    __local float sums[256];
    float sum = 0;
    for (uint i = LOCAL_ID * channels + GROUP_ID; i < n; i += 256 * channels) sum += parts[i];
    group_sum(sums, sum, out + base);
}
