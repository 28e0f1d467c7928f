// Blending and its gradient. A group is one warp and one tile of 16x16 pixels; a lane has 8 pixels, one in each block of 8x4,
// so that what a splat adds to a lane's pixels is summed before lanes exchange anything (Liao et al. 2025, "LiteGS"). No two
// groups write the same slot.

// Log2 of the uncapped alpha at an offset from the mean.
#define EXPONENT(s, dx, dy) FMA(dx, FMA((s).a, dx, (s).b * (dy)), FMA((s).c * (dy), dy, (s).l))

// Which of the 8 blocks of a tile the splat can reach: the test of simd.Splat.BlockMask for blocks of this size.
INLINE uint block_mask(const Splat *s, float x, float y) {
    uint mask = 0;
#pragma unroll
    for (uint b = 0; b < 8; b++) {
        float xl = x + (float)(b % 2 * 8) + 0.5f - s->u, xh = xl + 7, yl = y + (float)(b / 2 * 4) + 0.5f - s->v, yh = yl + 3;
        float dx = MAX(xl, MIN(xh, 0.0f)), dy = MAX(yl, MIN(yh, 0.0f));
        float y1 = MAX(yl, MIN(yh, s->slope_x * dx)), x2 = MAX(xl, MIN(xh, s->slope_y * dy));
        if (EXPONENT(*s, dx, y1) >= LOG2_MIN_ALPHA || EXPONENT(*s, x2, dy) >= LOG2_MIN_ALPHA) mask |= 1u << b;
    }
    return mask;
}

// Up to 32 instances of a tile in local memory: u, v, a, b; c, l, red, green; blue, 1/z; the blocks each can reach.
typedef struct { float4 a[32], b[32]; float blue[32], inv_z[32]; uint mask[32], slot[32]; } Batch;

INLINE void load_instance(__local Batch *batch, __global const Splat *restrict splats, __global const uint *restrict owners,
                          uint slot, float x, float y) {
    uint lane = LOCAL_ID;
    Splat s = splats[owners[slot]];
    batch->a[lane] = F4(s.u, s.v, s.a, s.b);
    batch->b[lane] = F4(s.c, s.l, s.red, s.green);
    batch->blue[lane] = s.blue;
    batch->inv_z[lane] = s.inv_z;
    batch->mask[lane] = block_mask(&s, x, y);
    batch->slot[lane] = slot;
}

INLINE bool alive(const float *T) {
    bool any = false;
#pragma unroll
    for (int q = 0; q < 8; q++) any = any || T[q] > MIN_T;
    return any;
}

INLINE void forward_tile(__local Batch *batch, __local uint *scratch, __global const Splat *restrict splats,
                         __global const uint *restrict owners, __global const uint *restrict slots, __global const uint *restrict starts,
                         const View *view, __global float *restrict image, __global float *restrict inverse_depth,
                         __global float *restrict transmittance, float bg_red, float bg_green, float bg_blue, const bool depth) {
    uint lane = LOCAL_ID, tile = GROUP_ID, tx = tile % view->across * 16, ty = tile / view->across * 16;
    float x = (float)(tx + lane % 8) + 0.5f, y = (float)(ty + lane / 8) + 0.5f;
    float T[8], R[8], G[8], B[8], D[8];
#pragma unroll
    for (int q = 0; q < 8; q++) {
        uint px = tx + q % 2 * 8 + lane % 8, py = ty + q / 2 * 4 + lane / 8;
        T[q] = px < view->width && py < view->height ? 1.0f : 0.0f;
        R[q] = 0; G[q] = 0; B[q] = 0; D[q] = 0;
    }
    uint first = starts[tile], last = starts[tile + 1];
    for (uint begin = first; begin < last; begin += 32) {
        uint count = last - begin < 32 ? last - begin : 32;
        if (!ANY(alive(T))) break;
        WARP_SYNC();
        if (lane < count) load_instance(batch, splats, owners, slots[begin + lane], (float)tx, (float)ty);
        WARP_SYNC();
        for (uint j = 0; j < count; j++) {
            uint mask = batch->mask[j];
            if (mask == 0) continue;
            float4 a = batch->a[j], b = batch->b[j];
            float blue = batch->blue[j], inv_z = batch->inv_z[j], dx0 = x - a.x, dy0 = y - a.y;
#pragma unroll
            for (int q = 0; q < 8; q++) {
                if ((mask >> q & 1) == 0) continue;
                float dx = dx0 + (float)(q % 2 * 8), dy = dy0 + (float)(q / 2 * 4);
                float e = FMA(dx, FMA(a.z, dx, a.w * dy), FMA(b.x * dy, dy, b.y));
                if (e >= LOG2_MIN_ALPHA && T[q] > MIN_T) {
                    float w = EX2(MIN(e, LOG2_MAX_ALPHA)) * T[q];
                    R[q] = FMA(w, b.z, R[q]);
                    G[q] = FMA(w, b.w, G[q]);
                    B[q] = FMA(w, blue, B[q]);
                    if (depth) D[q] = FMA(w, inv_z, D[q]);
                    T[q] -= w;
                }
            }
        }
    }
    uint pixels = view->width * view->height;
#pragma unroll
    for (int q = 0; q < 8; q++) {
        uint px = tx + q % 2 * 8 + lane % 8, py = ty + q / 2 * 4 + lane / 8, at = py * view->width + px;
        if (px < view->width && py < view->height) {
            image[at] = FMA(T[q], bg_red, R[q]);
            image[pixels + at] = FMA(T[q], bg_green, G[q]);
            image[2 * pixels + at] = FMA(T[q], bg_blue, B[q]);
            transmittance[at] = T[q];
            if (depth) inverse_depth[at] = D[q];
        }
    }
}

// One of two values goes to the lane d away, which gives one of its own: the lanes whose bit is set keep and take `high`.
#define EXCHANGE(bit, low, high, d) (((bit) ? (high) : (low)) + SHUFFLE_XOR((bit) ? (low) : (high), d))

// As forward_tile, front to back: S is what of g·C is still to come (simd's blendBackwardPlain), so that nothing of the forward
// pass is kept but the image. Of the warp's 12 sums each lane ends with one, or with a copy.
INLINE void backward_tile(__local Batch *batch, __local uint *scratch, __global const Splat *restrict splats,
                          __global const uint *restrict owners, __global const uint *restrict slots, __global const uint *restrict starts,
                          const View *view, __global const float *restrict image, __global const float *restrict inverse_depth,
                          __global const float *restrict upstream, __global const float *restrict upstream_depth,
                          __global float *restrict grads, const bool depth) {
    uint lane = LOCAL_ID, tile = GROUP_ID, tx = tile % view->across * 16, ty = tile / view->across * 16;
    uint pixels = view->width * view->height;
    float x = (float)(tx + lane % 8) + 0.5f, y = (float)(ty + lane / 8) + 0.5f;
    float T[8], S[8], gr[8], gg[8], gb[8], gd[8];
#pragma unroll
    for (int q = 0; q < 8; q++) {
        uint px = tx + q % 2 * 8 + lane % 8, py = ty + q / 2 * 4 + lane / 8;
        T[q] = 0; S[q] = 0; gr[q] = 0; gg[q] = 0; gb[q] = 0; gd[q] = 0;
        if (px < view->width && py < view->height) {
            uint at = py * view->width + px;
            T[q] = 1;
            gr[q] = upstream[at]; gg[q] = upstream[pixels + at]; gb[q] = upstream[2 * pixels + at];
            S[q] = gr[q] * image[at] + gg[q] * image[pixels + at] + gb[q] * image[2 * pixels + at];
            if (depth) {
                gd[q] = upstream_depth[at];
                S[q] = FMA(gd[q], inverse_depth[at], S[q]);
            }
        }
    }
    uint b4 = lane >> 4 & 1, b3 = lane >> 3 & 1, b2 = lane >> 2 & 1, b1 = lane >> 1 & 1, number = b4 * 8 + b3 * 4 + b2 * 2 + b1;
    // Sums 9 and 10 are the absolute ones and 11 is 1/z, which Grad has before them.
    uint to = number < 9 ? number : number < 11 ? number + 1 : 9;
    bool writes = number < 12 && lane % 2 == 0;
    uint first = starts[tile], last = starts[tile + 1];
    for (uint begin = first; begin < last; begin += 32) {
        uint count = last - begin < 32 ? last - begin : 32;
        bool none = !ANY(alive(T));
        WARP_SYNC();
        if (lane < count) {
            if (none) batch->slot[lane] = slots[begin + lane];
            else load_instance(batch, splats, owners, slots[begin + lane], (float)tx, (float)ty);
        }
        WARP_SYNC();
        for (uint j = 0; j < count; j++) {
            uint mask = none ? 0 : batch->mask[j];
            float v0 = 0, v1 = 0, v2 = 0, v3 = 0, v4 = 0, v5 = 0, v6 = 0, v7 = 0, v8 = 0, v9 = 0, v10 = 0, v11 = 0;
            if (mask != 0) {
                float4 a = batch->a[j], b = batch->b[j];
                float blue = batch->blue[j], inv_z = batch->inv_z[j], dx0 = x - a.x, dy0 = y - a.y;
#pragma unroll
                for (int q = 0; q < 8; q++) {
                    if ((mask >> q & 1) == 0) continue;
                    float dx = dx0 + (float)(q % 2 * 8), dy = dy0 + (float)(q / 2 * 4);
                    float e = FMA(dx, FMA(a.z, dx, a.w * dy), FMA(b.x * dy, dy, b.y));
                    if (e >= LOG2_MIN_ALPHA && T[q] > MIN_T) {
                        float alpha = EX2(MIN(e, LOG2_MAX_ALPHA)), w = alpha * T[q];
                        float k = FMA(gr[q], b.z, FMA(gg[q], b.w, gb[q] * blue));
                        if (depth) {
                            k = FMA(gd[q], inv_z, k);
                            v11 = FMA(w, gd[q], v11);
                        }
                        S[q] = FMA(-w, k, S[q]);
                        float h = alpha * FMA(T[q], k, -S[q] * RCP(1 - alpha));
                        h = e <= LOG2_MAX_ALPHA ? h : 0.0f;
                        T[q] -= w;
                        float hx = h * dx, hy = h * dy;
                        v0 += h; v1 += hx; v2 += hy;
                        v3 = FMA(hx, dx, v3); v4 = FMA(hx, dy, v4); v5 = FMA(hy, dy, v5);
                        v6 = FMA(w, gr[q], v6); v7 = FMA(w, gg[q], v7); v8 = FMA(w, gb[q], v8);
                        v9 += ABS(FMA(2 * a.z, hx, a.w * hy)); v10 += ABS(FMA(a.w, hx, 2 * b.x * hy));
                    }
                }
                v0 = EXCHANGE(b4, v0, v8, 16);
                v1 = EXCHANGE(b4, v1, LN2 * v9, 16);
                v2 = EXCHANGE(b4, v2, LN2 * v10, 16);
                v3 = EXCHANGE(b4, v3, v11, 16);
                v4 += SHUFFLE_XOR(v4, 16); v5 += SHUFFLE_XOR(v5, 16); v6 += SHUFFLE_XOR(v6, 16); v7 += SHUFFLE_XOR(v7, 16);
                v0 = EXCHANGE(b3, v0, v4, 8);
                v1 = EXCHANGE(b3, v1, v5, 8);
                v2 = EXCHANGE(b3, v2, v6, 8);
                v3 = EXCHANGE(b3, v3, v7, 8);
                v0 = EXCHANGE(b2, v0, v2, 4);
                v1 = EXCHANGE(b2, v1, v3, 4);
                v0 = EXCHANGE(b1, v0, v1, 2);
                v0 += SHUFFLE_XOR(v0, 1);
            }
            if (writes) grads[batch->slot[j] * 12 + to] = v0;
        }
    }
}

KERNEL(32) blend_forward(__global const Splat *restrict splats, __global const uint *restrict owners, __global const uint *restrict slots,
                         __global const uint *restrict starts, const View view, __global float *restrict image,
                         __global float *restrict transmittance, float bg_red, float bg_green, float bg_blue) {
    __local Batch batch;
    WARP_SCRATCH(32)
    forward_tile(&batch, scratch, splats, owners, slots, starts, &view, image, 0, transmittance, bg_red, bg_green, bg_blue, false);
}

KERNEL(32) blend_forward_depth(__global const Splat *restrict splats, __global const uint *restrict owners, __global const uint *restrict slots,
                               __global const uint *restrict starts, const View view, __global float *restrict image,
                               __global float *restrict inverse_depth, __global float *restrict transmittance,
                               float bg_red, float bg_green, float bg_blue) {
    __local Batch batch;
    WARP_SCRATCH(32)
    forward_tile(&batch, scratch, splats, owners, slots, starts, &view, image, inverse_depth, transmittance, bg_red, bg_green, bg_blue, true);
}

KERNEL(32) blend_backward(__global const Splat *restrict splats, __global const uint *restrict owners, __global const uint *restrict slots,
                          __global const uint *restrict starts, const View view, __global const float *restrict image,
                          __global const float *restrict upstream, __global float *restrict grads) {
    __local Batch batch;
    WARP_SCRATCH(32)
    backward_tile(&batch, scratch, splats, owners, slots, starts, &view, image, 0, upstream, 0, grads, false);
}

KERNEL(32) blend_backward_depth(__global const Splat *restrict splats, __global const uint *restrict owners, __global const uint *restrict slots,
                                __global const uint *restrict starts, const View view, __global const float *restrict image,
                                __global const float *restrict inverse_depth, __global const float *restrict upstream,
                                __global const float *restrict upstream_depth, __global float *restrict grads) {
    __local Batch batch;
    WARP_SCRATCH(32)
    backward_tile(&batch, scratch, splats, owners, slots, starts, &view, image, inverse_depth, upstream, upstream_depth, grads, true);
}
