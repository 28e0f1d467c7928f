// The way back from gradient slots to parameters, one item a visible Gaussian: raster's projectBackward and simd's Adam at once, so that gradients
// never reach memory.

// As float32 has them, which simd's Adam takes from 1: that is not 0.001.
#define BETA1 0.9f
#define BETA2 0.999f

// What is done with the gradient of a row: Adam's step, or it is written where the first moment would be.
#define UPDATE(row, old, gradient) do { \
        float g_ = (gradient); \
        if (apply) { \
            float m_ = pm[(row) * 16], v_ = pv[(row) * 16]; \
            m_ = FMA(1 - BETA1, g_ - m_, m_); v_ = FMA(1 - BETA2, g_ * g_ - v_, v_); \
            pm[(row) * 16] = m_; pv[(row) * 16] = v_; \
            p[(row) * 16] = FMA(-step->lr[row] * m_, RCP(SQRT(v_) + 1e-15f), old); \
        } else pm[(row) * 16] = g_; \
    } while (0)

INLINE void carry_back(__global float *restrict params, __global float *restrict m, __global float *restrict v, const View *view,
                       const Step *step, __global const Splat *restrict splats, __global const Grad *restrict grads,
                       __global const uint *restrict first_slot, __global const uint *restrict counts,
                       __global float *restrict pulls, __global uint *restrict views, __global float *restrict extents, const bool apply,
                       float *pose) {
    uint i = GROUP_ID * 256 + LOCAL_ID;
    if (i >= view->n) return;
    uint count = counts[i], at = (i / 16) * view->stride + i % 16;
    if (count == 0) return;
    __global float *p = params + at, *pm = m + at, *pv = v + at;
    float h = 0, hx = 0, hy = 0, hxx = 0, hxy = 0, hyy = 0, cr = 0, cg = 0, cb = 0, iz_sum = 0, au = 0, av = 0;
    uint slot = first_slot[i];
    for (uint k = 0; k < count; k++) {
        Grad d = grads[slot + k];
        h += d.h; hx += d.hx; hy += d.hy; hxx += d.hxx; hxy += d.hxy; hyy += d.hyy;
        cr += d.r; cg += d.g; cb += d.b; iz_sum += d.inv_z; au += d.abs_u; av += d.abs_v;
    }
    Splat s = splats[i];
    if (apply) {
        au *= step->half_w; av *= step->half_h;
        pulls[i] += SQRT(au * au + av * av);
        views[i]++;
        extents[i] = MAX(extents[i], MAX(s.extent_x, s.extent_y) / step->longer);
    }

    // Colour, and through it the view direction.
    float mx = ROW(0), my = ROW(1), mz = ROW(2);
    float dx = mx - view->center[0], dy = my - view->center[1], dz = mz - view->center[2];
    float inv = RSQRT(dx * dx + dy * dy + dz * dz);
    dx *= inv; dy *= inv; dz *= inv;
    if (!(s.red > 0)) cr = 0;
    if (!(s.green > 0)) cg = 0;
    if (!(s.blue > 0)) cb = 0;
    float xx = dx * dx, yy = dy * dy, zz = dz * dz, gdx = 0, gdy = 0, gdz = 0;
#define HARMONIC(k, basis, sx, sy, sz) do { \
        float b_ = (basis), p0_ = ROW(11 + 3 * (k)), p1_ = ROW(12 + 3 * (k)), p2_ = ROW(13 + 3 * (k)); \
        float w_ = FMA(p0_, cr, FMA(p1_, cg, p2_ * cb)); \
        gdx = FMA(w_, sx, gdx); gdy = FMA(w_, sy, gdy); gdz = FMA(w_, sz, gdz); \
        UPDATE(11 + 3 * (k), p0_, b_ * cr); UPDATE(12 + 3 * (k), p1_, b_ * cg); UPDATE(13 + 3 * (k), p2_, b_ * cb); \
    } while (0)
    HARMONIC(0, 0.28209479177387814f, 0.0f, 0.0f, 0.0f);
    if (view->degree > 0) {
        const float k1 = 0.4886025119029199f;
        HARMONIC(1, -k1 * dy, 0.0f, -k1, 0.0f);
        HARMONIC(2, k1 * dz, 0.0f, 0.0f, k1);
        HARMONIC(3, -k1 * dx, -k1, 0.0f, 0.0f);
    }
    if (view->degree > 1) {
        const float a = 1.0925484305920792f, b = 0.31539156525252005f, c = 0.5462742152960396f;
        HARMONIC(4, a * dx * dy, a * dy, a * dx, 0.0f);
        HARMONIC(5, -a * dy * dz, 0.0f, -a * dz, -a * dy);
        HARMONIC(6, b * (2 * zz - xx - yy), -2 * b * dx, -2 * b * dy, 4 * b * dz);
        HARMONIC(7, -a * dx * dz, -a * dz, 0.0f, -a * dx);
        HARMONIC(8, c * (xx - yy), 2 * c * dx, -2 * c * dy, 0.0f);
    }
    if (view->degree > 2) {
        const float a = 0.5900435899266435f, b = 2.890611442640554f, c = 0.4570457994644658f, d = 0.3731763325901154f, e = 1.445305721320277f;
        HARMONIC(9, -a * dy * (3 * xx - yy), -6 * a * dx * dy, -3 * a * (xx - yy), 0.0f);
        HARMONIC(10, b * dx * dy * dz, b * dy * dz, b * dx * dz, b * dx * dy);
        HARMONIC(11, -c * dy * (4 * zz - xx - yy), 2 * c * dx * dy, -c * (4 * zz - xx - 3 * yy), -8 * c * dy * dz);
        HARMONIC(12, d * dz * (2 * zz - 3 * xx - 3 * yy), -6 * d * dx * dz, -6 * d * dy * dz, d * (6 * zz - 3 * xx - 3 * yy));
        HARMONIC(13, -c * dx * (4 * zz - xx - yy), -c * (4 * zz - 3 * xx - yy), 2 * c * dx * dy, -8 * c * dx * dz);
        HARMONIC(14, e * dz * (xx - yy), 2 * e * dx * dz, -2 * e * dy * dz, e * (xx - yy));
        HARMONIC(15, -a * dx * (xx - 3 * yy), -3 * a * (xx - yy), 6 * a * dx * dy, 0.0f);
    }
    float along = dot3(dx, dy, dz, gdx, gdy, gdz);
    float gm0 = (gdx - dx * along) * inv, gm1 = (gdy - dy * along) * inv, gm2 = (gdz - dz * along) * inv;

    // The projection again.
    float x = dot3(view->r[0], view->r[1], view->r[2], mx, my, mz) + view->t[0];
    float y = dot3(view->r[3], view->r[4], view->r[5], mx, my, mz) + view->t[1];
    float z = dot3(view->r[6], view->r[7], view->r[8], mx, my, mz) + view->t[2];
    float iz = s.inv_z, tx = x * iz, ty = y * iz;
    bool in_x = tx >= view->clamp_min[0] && tx <= view->clamp_max[0], in_y = ty >= view->clamp_min[1] && ty <= view->clamp_max[1];
    tx = MIN(MAX(tx, view->clamp_min[0]), view->clamp_max[0]);
    ty = MIN(MAX(ty, view->clamp_min[1]), view->clamp_max[1]);
    float qw = ROW(6), qx = ROW(7), qy = ROW(8), qz = ROW(9);
    float inq = RSQRT(qw * qw + qx * qx + qy * qy + qz * qz);
    qw *= inq; qx *= inq; qy *= inq; qz *= inq;
    float e[9];
    axes(qw, qx, qy, qz, e);
    float j11 = view->fx * iz, j22 = view->fy * iz, j13 = -j11 * tx, j23 = -j22 * ty;
    float r1[3], r2[3], ls[3], w[3], d1[3], d2[3];
    float a0 = 0, b = 0, c0 = 0;
#pragma unroll
    for (int k = 0; k < 3; k++) {
        r1[k] = j11 * view->r[k] + j13 * view->r[6 + k];
        r2[k] = j22 * view->r[3 + k] + j23 * view->r[6 + k];
    }
#pragma unroll
    for (int k = 0; k < 3; k++) {
        ls[k] = ROW(3 + k);
        float sc = EXP(ls[k]);
        w[k] = sc * sc;
        d1[k] = dot3(e[k], e[3 + k], e[6 + k], r1[0], r1[1], r1[2]);
        d2[k] = dot3(e[k], e[3 + k], e[6 + k], r2[0], r2[1], r2[2]);
        a0 += w[k] * d1[k] * d1[k];
        b += w[k] * d1[k] * d2[k];
        c0 += w[k] * d2[k] * d2[k];
    }
    float a = a0 + 0.3f, c = c0 + 0.3f, idet = 1.0f / (a * c - b * b);
    float ca = c * idet, cb2 = -b * idet, cc = a * idet;
    float ol = ROW(10), o = RCP(1.0f + EXP(-ol)), rho = 1, ratio = 0;
    if (view->mip > 0) {
        ratio = (a0 * c0 - b * b) * idet;
        rho = SQRT(MAX(ratio, 2.5e-5f));
    }
    float gu = ca * hx + cb2 * hy, gv = cb2 * hx + cc * hy, gca = -0.5f * hxx, gcb = -hxy, gcc = -0.5f * hyy, go = h * RCP(o * rho);
    float idet2 = idet * idet;
    float ga = (-c * c * gca + b * c * gcb - b * b * gcc) * idet2;
    float gb = (2 * b * c * gca - (a * c + b * b) * gcb + 2 * a * b * gcc) * idet2;
    float gc = (-b * b * gca + a * b * gcb - a * a * gcc) * idet2;
    if (view->mip > 0 && ratio > 2.5e-5f) {
        float dr = go * o * 0.5f * RCP(rho);
        ga += dr * (c0 - ratio * c) * idet;
        gc += dr * (a0 - ratio * a) * idet;
        gb -= 2 * b * (1 - ratio) * dr * idet;
    }
    UPDATE(10, ol, go * rho * o * (1 - o));
    float dj11 = 0, dj13 = 0, dj22 = 0, dj23 = 0;
#pragma unroll
    for (int k = 0; k < 3; k++) {
        float s1 = 0, s2 = 0; // rows of the covariance times r1, r2
#pragma unroll
        for (int n = 0; n < 3; n++) {
            s1 += e[3 * k + n] * w[n] * d1[n];
            s2 += e[3 * k + n] * w[n] * d2[n];
        }
        float dr1 = 2 * ga * s1 + gb * s2, dr2 = 2 * gc * s2 + gb * s1;
        dj11 += dr1 * view->r[k]; dj13 += dr1 * view->r[6 + k];
        dj22 += dr2 * view->r[3 + k]; dj23 += dr2 * view->r[6 + k];
    }
    float iz2 = iz * iz, gx = view->fx * iz * gu, gy = view->fy * iz * gv;
    float gz = -view->fx * x * iz2 * gu - view->fy * y * iz2 * gv - iz_sum * iz2 - view->fx * iz2 * dj11 - view->fy * iz2 * dj22;
    if (in_x) { gx -= view->fx * iz2 * dj13; gz += 2 * view->fx * x * iz2 * iz * dj13; } else gz += view->fx * tx * iz2 * dj13;
    if (in_y) { gy -= view->fy * iz2 * dj23; gz += 2 * view->fy * y * iz2 * iz * dj23; } else gz += view->fy * ty * iz2 * dj23;
    float gs0 = view->r[0] * gx + view->r[3] * gy + view->r[6] * gz; // by the mean, but for what the colours do
    float gs1 = view->r[1] * gx + view->r[4] * gy + view->r[7] * gz;
    float gs2 = view->r[2] * gx + view->r[5] * gy + view->r[8] * gz;
    gm0 += gs0; gm1 += gs1; gm2 += gs2;
    UPDATE(0, mx, gm0); UPDATE(1, my, gm1); UPDATE(2, mz, gm2);
    float dm[9];
#pragma unroll
    for (int k = 0; k < 3; k++) {
        float f1 = 2 * w[k] * (ga * d1[k] + 0.5f * gb * d2[k]), f2 = 2 * w[k] * (gc * d2[k] + 0.5f * gb * d1[k]);
        UPDATE(3 + k, ls[k], f1 * d1[k] + f2 * d2[k]);
#pragma unroll
        for (int n = 0; n < 3; n++) dm[3 * n + k] = f1 * r1[n] + f2 * r2[n];
    }
    float dw = 2 * (qx * (dm[7] - dm[5]) + qy * (dm[2] - dm[6]) + qz * (dm[3] - dm[1]));
    float dqx = 2 * (-2 * qx * (dm[4] + dm[8]) + qy * (dm[1] + dm[3]) + qz * (dm[2] + dm[6]) + qw * (dm[7] - dm[5]));
    float dqy = 2 * (qx * (dm[1] + dm[3]) - 2 * qy * (dm[0] + dm[8]) + qz * (dm[5] + dm[7]) + qw * (dm[2] - dm[6]));
    float dqz = 2 * (qx * (dm[2] + dm[6]) + qy * (dm[5] + dm[7]) - 2 * qz * (dm[0] + dm[4]) + qw * (dm[3] - dm[1]));
    if (pose) {
        float ox = mx - view->center[0], oy = my - view->center[1], oz = mz - view->center[2];
        pose[0] = oy * gs2 - oz * gs1 + 0.5f * (qw * dqx - dw * qx + qy * dqz - qz * dqy);
        pose[1] = oz * gs0 - ox * gs2 + 0.5f * (qw * dqy - dw * qy + qz * dqx - qx * dqz);
        pose[2] = ox * gs1 - oy * gs0 + 0.5f * (qw * dqz - dw * qz + qx * dqy - qy * dqx);
        pose[3] = gm0; pose[4] = gm1; pose[5] = gm2;
    }
    along = qw * dw + qx * dqx + qy * dqy + qz * dqz;
    float len = 1.0f / inq;
    UPDATE(6, qw * len, (dw - qw * along) * inq);
    UPDATE(7, qx * len, (dqx - qx * along) * inq);
    UPDATE(8, qy * len, (dqy - qy * along) * inq);
    UPDATE(9, qz * len, (dqz - qz * along) * inq);
}

// update: sums the slots of each visible Gaussian, differentiates its projection, takes Adam's step and keeps the statistics
// that refinement reads.
KERNEL(256) update(__global float *restrict params, __global float *restrict m, __global float *restrict v, const View view,
                   const Step step, __global const Splat *restrict splats, __global const Grad *restrict grads,
                   __global const uint *restrict first_slot, __global const uint *restrict counts,
                   __global float *restrict pulls, __global uint *restrict views, __global float *restrict extents) {
    carry_back(params, m, v, &view, &step, splats, grads, first_slot, counts, pulls, views, extents, true, 0);
}

// update_poses: update, and each group's sums of torque and force on the cloud, in the world, of which raster.PoseGradient makes the gradient by
// the camera.
KERNEL(256) update_poses(__global float *restrict params, __global float *restrict m, __global float *restrict v, const View view,
                         const Step step, __global const Splat *restrict splats, __global const Grad *restrict grads,
                         __global const uint *restrict first_slot, __global const uint *restrict counts,
                         __global float *restrict pulls, __global uint *restrict views, __global float *restrict extents,
                         __global float *restrict poses) {
    __local float sums[6 * 8]; // of each warp
    WARP_SCRATCH(256)
    uint t = LOCAL_ID;
    float pose[6] = {0, 0, 0, 0, 0, 0};
    carry_back(params, m, v, &view, &step, splats, grads, first_slot, counts, pulls, views, extents, true, pose);
#pragma unroll
    for (int k = 0; k < 6; k++) {
#pragma unroll
        for (uint d = 16; d > 0; d /= 2) pose[k] += SHUFFLE_XOR(pose[k], d);
        if (t % 32 == 0) sums[k * 8 + t / 32] = pose[k];
    }
    BARRIER();
    if (t >= 6) return;
    float sum = 0;
    for (uint warp = 0; warp < 8; warp++) sum += sums[t * 8 + warp];
    poses[GROUP_ID * 6 + t] = sum;
}

// gradients: update without a step: the rows of the visible Gaussians go to rows.
KERNEL(256) gradients(__global float *restrict params, __global float *restrict rows, const View view, __global const Splat *restrict splats,
                      __global const Grad *restrict grads, __global const uint *restrict first_slot, __global const uint *restrict counts) {
    carry_back(params, rows, rows, &view, 0, splats, grads, first_slot, counts, 0, 0, 0, false, 0);
}
