// project: one item a Gaussian. The record of the visible, the box of tiles, their number, whether there is any, and the
// depth as a sorting key of 24 bits.
KERNEL(256) project(__global const float *restrict params, const View view, __global Splat *restrict splats,
                    __global uint *restrict boxes, __global uint *restrict counts, __global uint *restrict visible,
                    __global uint *restrict keys) {
    uint i = GROUP_ID * 256 + LOCAL_ID;
    if (i >= view.n) return;
    __global const float *p = params + (i / 16) * view.stride + i % 16;
    counts[i] = 0;
    visible[i] = 0;
    keys[i] = NO_KEY;
    float mx = ROW(0), my = ROW(1), mz = ROW(2);
    float x = dot3(view.r[0], view.r[1], view.r[2], mx, my, mz) + view.t[0];
    float y = dot3(view.r[3], view.r[4], view.r[5], mx, my, mz) + view.t[1];
    float z = dot3(view.r[6], view.r[7], view.r[8], mx, my, mz) + view.t[2];
    if (!(z >= view.near_z)) return;
    float iz = 1.0f / z, tx = x * iz, ty = y * iz;
    if (!(tx >= view.cull_min[0] && tx <= view.cull_max[0] && ty >= view.cull_min[1] && ty <= view.cull_max[1])) return;
    float u = FMA(view.fx, tx, view.cx), v = FMA(view.fy, ty, view.cy);
    tx = MIN(MAX(tx, view.clamp_min[0]), view.clamp_max[0]);
    ty = MIN(MAX(ty, view.clamp_min[1]), view.clamp_max[1]);
    float o = RCP(1.0f + EXP(-ROW(10)));
    if (!(o >= 1.0f / 255)) return;
    float qw = ROW(6), qx = ROW(7), qy = ROW(8), qz = ROW(9);
    float n2 = qw * qw + qx * qx + qy * qy + qz * qz;
    if (!(n2 >= 1e-8f)) return;
    float in = RSQRT(n2), e[9];
    axes(qw * in, qx * in, qy * in, qz * in, e);
    float j11 = view.fx * iz, j22 = view.fy * iz, j13 = -j11 * tx, j23 = -j22 * ty;
    float r1[3], r2[3];
#pragma unroll
    for (int k = 0; k < 3; k++) {
        r1[k] = j11 * view.r[k] + j13 * view.r[6 + k];
        r2[k] = j22 * view.r[3 + k] + j23 * view.r[6 + k];
    }
    float a0 = 0, b = 0, c0 = 0;
#pragma unroll
    for (int k = 0; k < 3; k++) {
        float s = EXP(ROW(3 + k));
        float w = s * s;
        float d1 = dot3(e[k], e[3 + k], e[6 + k], r1[0], r1[1], r1[2]);
        float d2 = dot3(e[k], e[3 + k], e[6 + k], r2[0], r2[1], r2[2]);
        a0 += w * d1 * d1;
        b += w * d1 * d2;
        c0 += w * d2 * d2;
    }
    float a = a0 + 0.3f, c = c0 + 0.3f, det = a * c - b * b;
    if (!(det >= 1e-6f && det <= 3.4e38f)) return;
    float idet = 1.0f / det, rho = 1;
    if (view.mip > 0) rho = SQRT(MAX((a0 * c0 - b * b) * idet, 2.5e-5f));
    float l = LG2(o * rho);
    float tau2 = 2 * LN2 * (l - LOG2_MIN_ALPHA);
    if (!(tau2 > 0)) return;
    float ex = SQRT(tau2 * a), ey = SQRT(tau2 * c);
    float w1 = (float)view.width - 1, h1 = (float)view.height - 1;
    float left = u - ex - 0.5f, right = u + ex - 0.5f, top = v - ey - 0.5f, bottom = v + ey - 0.5f;
    if (!(right >= 0 && left <= w1 && bottom >= 0 && top <= h1)) return;
    uint x0 = (uint)MAX(left, 0.0f) / 16, y0 = (uint)MAX(top, 0.0f) / 16;
    uint x1 = (uint)MIN(right, w1) / 16 + 1, y1 = (uint)MIN(bottom, h1) / 16 + 1;

    float dx = mx - view.center[0], dy = my - view.center[1], dz = mz - view.center[2];
    float id = RSQRT(dx * dx + dy * dy + dz * dz);
    dx *= id; dy *= id; dz *= id;
    float xx = dx * dx, yy = dy * dy, zz = dz * dz, rgb[3];
#pragma unroll
    for (int k = 0; k < 3; k++) {
        float s = 0.5f + 0.28209479177387814f * ROW(11 + k);
        if (view.degree > 0)
            s += 0.4886025119029199f * (-dy * ROW(14 + k) + dz * ROW(17 + k) - dx * ROW(20 + k));
        if (view.degree > 1)
            s += 1.0925484305920792f * (dx * dy * ROW(23 + k) - dy * dz * ROW(26 + k) - dx * dz * ROW(32 + k)) +
                 0.31539156525252005f * (2 * zz - xx - yy) * ROW(29 + k) + 0.5462742152960396f * (xx - yy) * ROW(35 + k);
        if (view.degree > 2)
            s += -0.5900435899266435f * dy * (3 * xx - yy) * ROW(38 + k) + 2.890611442640554f * dx * dy * dz * ROW(41 + k) -
                 0.4570457994644658f * dy * (4 * zz - xx - yy) * ROW(44 + k) + 0.3731763325901154f * dz * (2 * zz - 3 * xx - 3 * yy) * ROW(47 + k) -
                 0.4570457994644658f * dx * (4 * zz - xx - yy) * ROW(50 + k) + 1.445305721320277f * dz * (xx - yy) * ROW(53 + k) -
                 0.5900435899266435f * dx * (xx - 3 * yy) * ROW(56 + k);
        rgb[k] = s > 0 ? s : s != s ? s : 0; // a colour that is not a number is not drawn
    }
    if (!(rgb[0] + rgb[1] + rgb[2] <= 1e6f)) return;
    float ca = c * idet, cb = -b * idet, cc = a * idet;
    Splat s = {u, v, -0.5f * LOG2E * ca, -LOG2E * cb, -0.5f * LOG2E * cc, l, rgb[0], rgb[1], rgb[2], iz, -cb / cc, -cb / ca, ex, ey, z, i};
    splats[i] = s;
    boxes[2 * i] = x0 | x1 << 16;
    boxes[2 * i + 1] = y0 | y1 << 16;
    counts[i] = (x1 - x0) * (y1 - y0);
    visible[i] = 1;
    keys[i] = AS_UINT(z) >> 7;
}
