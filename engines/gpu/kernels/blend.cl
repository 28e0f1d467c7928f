// Blending and its gradient, in two forms. By tiles: a group is one warp and one tile of 16x16 pixels; a lane has 8 pixels, one in each
// block of 8x4, so that what a splat adds to a lane's pixels is summed before lanes exchange anything (Liao et al. 2025, "LiteGS"). By
// pixels: a group is 8 warps and one tile, a warp a block, a lane a pixel: more work in all, but a long tile ends sooner. Tiles with more
// than `longest` instances are drawn by pixels, the others by tiles. No two groups write the same slot.

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

// The frame's records and instances, and the tile at x, y of one group.
typedef struct {
    __global const Splat *splats;
    __global const uint *owners, *slots;
    uint x, y, first, last;
} Tile;

INLINE Tile tile_of(__global const Splat *splats, __global const uint *owners, __global const uint *slots, __global const uint *starts, const View *view) {
    uint tile = GROUP_ID;
    Tile t = {splats, owners, slots, tile % view->across * 16, tile / view->across * 16, starts[tile], starts[tile + 1]};
    return t;
}

INLINE void load_instance(__local Batch *batch, uint lane, const Tile *tile, uint at) {
    uint slot = tile->slots[at];
    Splat s = tile->splats[tile->owners[slot]];
    batch->a[lane] = F4(s.u, s.v, s.a, s.b);
    batch->b[lane] = F4(s.c, s.l, s.red, s.green);
    batch->blue[lane] = s.blue;
    batch->inv_z[lane] = s.inv_z;
    batch->mask[lane] = block_mask(&s, (float)tile->x, (float)tile->y);
    batch->slot[lane] = slot;
}

// An instance of a batch, and the offset of a lane's pixel in the first block from its mean.
typedef struct { float4 a, b; float blue, inv_z, dx, dy; } Instance;

INLINE Instance instance_of(__local const Batch *batch, uint j, float x, float y) {
    float4 a = batch->a[j];
    Instance s = {a, batch->b[j], batch->blue[j], batch->inv_z[j], x - a.x, y - a.y};
    return s;
}

// The pixel that a lane has in block q.
INLINE uint pixel_x(const Tile *tile, uint lane, uint q) { return tile->x + q % 2 * 8 + lane % 8; }
INLINE uint pixel_y(const Tile *tile, uint lane, uint q) { return tile->y + q / 2 * 4 + lane / 8; }

// What is drawn of a pixel: the light that still passes, colour and 1/z so far.
typedef struct { float T, red, green, blue, inv_z; } Drawn;

INLINE Drawn blank(uint px, uint py, const View *view) {
    Drawn p = {px < view->width && py < view->height ? 1.0f : 0.0f, 0, 0, 0, 0};
    return p;
}

// One more instance of a pixel in block q.
INLINE void draw(const Instance *s, uint q, Drawn *p, const bool depth) {
    float dx = s->dx + (float)(q % 2 * 8), dy = s->dy + (float)(q / 2 * 4);
    float e = FMA(dx, FMA(s->a.z, dx, s->a.w * dy), FMA(s->b.x * dy, dy, s->b.y));
    if (e >= LOG2_MIN_ALPHA && p->T > MIN_T) {
        float w = EX2(MIN(e, LOG2_MAX_ALPHA)) * p->T;
        p->red = FMA(w, s->b.z, p->red);
        p->green = FMA(w, s->b.w, p->green);
        p->blue = FMA(w, s->blue, p->blue);
        if (depth) p->inv_z = FMA(w, s->inv_z, p->inv_z);
        p->T -= w;
    }
}

// The planes of a frame, and what is behind everything.
typedef struct { __global float *image, *inverse_depth, *transmittance; float red, green, blue; } Frame;

INLINE void store(const Frame *to, const Drawn *p, uint px, uint py, const View *view, const bool depth) {
    uint pixels = view->width * view->height, at = py * view->width + px;
    if (px >= view->width || py >= view->height) return;
    to->image[at] = FMA(p->T, to->red, p->red);
    to->image[pixels + at] = FMA(p->T, to->green, p->green);
    to->image[2 * pixels + at] = FMA(p->T, to->blue, p->blue);
    to->transmittance[at] = p->T;
    if (depth) to->inverse_depth[at] = p->inv_z;
}

INLINE void forward_by_tiles(__local Batch *batch, __local uint *scratch, const Tile *tile, const View *view, const Frame *to, const bool depth) {
    uint lane = LOCAL_ID;
    float x = (float)pixel_x(tile, lane, 0) + 0.5f, y = (float)pixel_y(tile, lane, 0) + 0.5f;
    Drawn p[8];
#pragma unroll
    for (uint q = 0; q < 8; q++) p[q] = blank(pixel_x(tile, lane, q), pixel_y(tile, lane, q), view);
    for (uint begin = tile->first; begin < tile->last; begin += 32) {
        uint count = tile->last - begin < 32 ? tile->last - begin : 32;
        bool alive = false;
#pragma unroll
        for (uint q = 0; q < 8; q++) alive = alive || p[q].T > MIN_T;
        if (!ANY(alive)) break;
        WARP_SYNC();
        if (lane < count) load_instance(batch, lane, tile, begin + lane);
        WARP_SYNC();
        for (uint j = 0; j < count; j++) {
            uint mask = batch->mask[j];
            if (mask == 0) continue;
            Instance s = instance_of(batch, j, x, y);
#pragma unroll
            for (uint q = 0; q < 8; q++)
                if (mask >> q & 1) draw(&s, q, &p[q], depth);
        }
    }
#pragma unroll
    for (uint q = 0; q < 8; q++) store(to, &p[q], pixel_x(tile, lane, q), pixel_y(tile, lane, q), view, depth);
}

// Whether a condition holds for any item of a group of 8 warps. A barrier must be between two calls besides the one in it.
INLINE bool any_of_group(__local uint *warps, __local uint *scratch, bool condition) {
    bool any = ANY(condition);
    if (LOCAL_ID % 32 == 0) warps[LOCAL_ID / 32] = any;
    BARRIER();
    uint found = 0;
#pragma unroll
    for (uint k = 0; k < 8; k++) found |= warps[k];
    return found != 0;
}

INLINE void forward_by_pixels(__local Batch *batches, __local uint *warps, __local uint *scratch, const Tile *tile, const View *view,
                              const Frame *to, const bool depth) {
    uint t = LOCAL_ID, lane = t % 32, block = t / 32;
    float x = (float)pixel_x(tile, lane, 0) + 0.5f, y = (float)pixel_y(tile, lane, 0) + 0.5f;
    uint px = pixel_x(tile, lane, block), py = pixel_y(tile, lane, block);
    Drawn p = blank(px, py, view);
    for (uint begin = tile->first; begin < tile->last; begin += 256) {
        uint count = tile->last - begin < 256 ? tile->last - begin : 256;
        if (!any_of_group(warps, scratch, p.T > MIN_T)) break; // every warp is past the last batch
        if (t < count) load_instance(batches + block, lane, tile, begin + t);
        BARRIER();
        for (uint j = 0; j < count; j++) {
            __local const Batch *batch = batches + j / 32;
            if ((batch->mask[j % 32] >> block & 1) == 0) continue;
            Instance s = instance_of(batch, j % 32, x, y);
            draw(&s, block, &p, depth);
        }
    }
    store(to, &p, px, py, view, depth);
}

// A pixel on the way through its gradient: the light that still passes, what of gradient times colour is still to come, and the gradient by
// colour and 1/z.
typedef struct { float T, S, red, green, blue, inv_z; } Pulled;

// The planes of a frame and of the gradient by it.
typedef struct { __global const float *image, *inverse_depth, *upstream, *upstream_depth; } Gradient;

INLINE Pulled pull_of(const Gradient *g, uint px, uint py, const View *view, const bool depth) {
    uint pixels = view->width * view->height, at = py * view->width + px;
    Pulled p = {0, 0, 0, 0, 0, 0};
    if (px >= view->width || py >= view->height) return p;
    p.T = 1;
    p.red = g->upstream[at];
    p.green = g->upstream[pixels + at];
    p.blue = g->upstream[2 * pixels + at];
    p.S = p.red * g->image[at] + p.green * g->image[pixels + at] + p.blue * g->image[2 * pixels + at];
    if (depth) {
        p.inv_z = g->upstream_depth[at];
        p.S = FMA(p.inv_z, g->inverse_depth[at], p.S);
    }
    return p;
}

// As draw, front to back (simd's blendBackwardPlain), so that nothing of the forward pass is kept but the image: adds the pixel's part to
// the 12 sums of Grad, of which 9 and 10 are the absolute ones here, and 11 that by 1/z.
INLINE void pull(const Instance *s, uint q, Pulled *p, float *v, const bool depth) {
    float dx = s->dx + (float)(q % 2 * 8), dy = s->dy + (float)(q / 2 * 4);
    float e = FMA(dx, FMA(s->a.z, dx, s->a.w * dy), FMA(s->b.x * dy, dy, s->b.y));
    if (e >= LOG2_MIN_ALPHA && p->T > MIN_T) {
        float alpha = EX2(MIN(e, LOG2_MAX_ALPHA)), w = alpha * p->T;
        float k = FMA(p->red, s->b.z, FMA(p->green, s->b.w, p->blue * s->blue));
        if (depth) {
            k = FMA(p->inv_z, s->inv_z, k);
            v[11] = FMA(w, p->inv_z, v[11]);
        }
        p->S = FMA(-w, k, p->S);
        float h = alpha * FMA(p->T, k, -p->S * RCP(1 - alpha));
        h = e <= LOG2_MAX_ALPHA ? h : 0.0f;
        p->T -= w;
        float hx = h * dx, hy = h * dy;
        v[0] += h; v[1] += hx; v[2] += hy;
        v[3] = FMA(hx, dx, v[3]); v[4] = FMA(hx, dy, v[4]); v[5] = FMA(hy, dy, v[5]);
        v[6] = FMA(w, p->red, v[6]); v[7] = FMA(w, p->green, v[7]); v[8] = FMA(w, p->blue, v[8]);
        v[9] += ABS(FMA(2 * s->a.z, hx, s->a.w * hy)); v[10] += ABS(FMA(s->a.w, hx, 2 * s->b.x * hy));
    }
}

// One of two values goes to the lane d away, which gives one of its own: the lanes whose bit is set keep and take `high`.
#define EXCHANGE(bit, low, high, d) (((bit) ? (high) : (low)) + SHUFFLE_XOR((bit) ? (low) : (high), d))

// The warp's sums of the lanes' v: each lane returns one of them, or a copy, and place_of says where Grad has it.
INLINE float sum_of_warp(const float *v, uint lane, __local uint *scratch) {
    uint b4 = lane >> 4 & 1, b3 = lane >> 3 & 1, b2 = lane >> 2 & 1, b1 = lane >> 1 & 1;
    float v0 = EXCHANGE(b4, v[0], v[8], 16), v1 = EXCHANGE(b4, v[1], LN2 * v[9], 16), v2 = EXCHANGE(b4, v[2], LN2 * v[10], 16), v3 = EXCHANGE(b4, v[3], v[11], 16);
    float v4 = v[4] + SHUFFLE_XOR(v[4], 16), v5 = v[5] + SHUFFLE_XOR(v[5], 16), v6 = v[6] + SHUFFLE_XOR(v[6], 16), v7 = v[7] + SHUFFLE_XOR(v[7], 16);
    v0 = EXCHANGE(b3, v0, v4, 8);
    v1 = EXCHANGE(b3, v1, v5, 8);
    v2 = EXCHANGE(b3, v2, v6, 8);
    v3 = EXCHANGE(b3, v3, v7, 8);
    v0 = EXCHANGE(b2, v0, v2, 4);
    v1 = EXCHANGE(b2, v1, v3, 4);
    v0 = EXCHANGE(b1, v0, v1, 2);
    return v0 + SHUFFLE_XOR(v0, 1);
}

#define NO_PLACE 12

INLINE uint place_of(uint lane) {
    uint number = lane / 16 * 8 + lane / 8 % 2 * 4 + lane / 4 % 2 * 2 + lane / 2 % 2;
    if (number >= 12 || lane % 2 != 0) return NO_PLACE;
    return number < 9 ? number : number < 11 ? number + 1 : 9;
}

INLINE void backward_by_tiles(__local Batch *batch, __local uint *scratch, const Tile *tile, const View *view, const Gradient *from,
                              __global float *restrict grads, const bool depth) {
    uint lane = LOCAL_ID, to = place_of(lane);
    float x = (float)pixel_x(tile, lane, 0) + 0.5f, y = (float)pixel_y(tile, lane, 0) + 0.5f;
    Pulled p[8];
#pragma unroll
    for (uint q = 0; q < 8; q++) p[q] = pull_of(from, pixel_x(tile, lane, q), pixel_y(tile, lane, q), view, depth);
    for (uint begin = tile->first; begin < tile->last; begin += 32) {
        uint count = tile->last - begin < 32 ? tile->last - begin : 32;
        bool alive = false;
#pragma unroll
        for (uint q = 0; q < 8; q++) alive = alive || p[q].T > MIN_T;
        bool none = !ANY(alive);
        WARP_SYNC();
        if (lane < count) {
            if (none) batch->slot[lane] = tile->slots[begin + lane];
            else load_instance(batch, lane, tile, begin + lane);
        }
        WARP_SYNC();
        for (uint j = 0; j < count; j++) {
            uint mask = none ? 0 : batch->mask[j];
            float sum = 0;
            if (mask != 0) {
                float v[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
                Instance s = instance_of(batch, j, x, y);
#pragma unroll
                for (uint q = 0; q < 8; q++)
                    if (mask >> q & 1) pull(&s, q, &p[q], v, depth);
                sum = sum_of_warp(v, lane, scratch);
            }
            if (to != NO_PLACE) grads[batch->slot[j] * 12 + to] = sum;
        }
    }
}

// The sums of each warp wait in parts, 12 for each of 32 instances, until those of all warps are added in their order.
INLINE void backward_by_pixels(__local Batch *batch, __local float *parts, __local uint *warps, __local uint *scratch, const Tile *tile,
                               const View *view, const Gradient *from, __global float *restrict grads, const bool depth) {
    uint t = LOCAL_ID, lane = t % 32, block = t / 32, to = place_of(lane);
    float x = (float)pixel_x(tile, lane, 0) + 0.5f, y = (float)pixel_y(tile, lane, 0) + 0.5f;
    Pulled p = pull_of(from, pixel_x(tile, lane, block), pixel_y(tile, lane, block), view, depth);
    for (uint begin = tile->first; begin < tile->last; begin += 32) {
        uint count = tile->last - begin < 32 ? tile->last - begin : 32;
        bool none = !any_of_group(warps, scratch, p.T > MIN_T); // every warp is past the last batch
        if (t < count) {
            if (none) batch->slot[t] = tile->slots[begin + t];
            else load_instance(batch, t, tile, begin + t);
        }
        BARRIER();
        for (uint j = 0; j < count; j++) {
            uint mask = none ? 0 : batch->mask[j];
            bool mine = (mask >> block & 1) != 0;
            float sum = 0;
            if (WARP_OR_GROUP(mine, mask != 0)) {
                float v[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
                Instance s = instance_of(batch, j, x, y);
                if (mine) pull(&s, block, &p, v, depth);
                sum = sum_of_warp(v, lane, scratch);
            }
            if (to != NO_PLACE) parts[(block * 32 + j) * 12 + to] = sum;
        }
        BARRIER();
        for (uint i = t; i < count * 12; i += 256) {
            float sum = 0;
#pragma unroll
            for (uint k = 0; k < 8; k++) sum += parts[k * 32 * 12 + i];
            grads[batch->slot[i / 12] * 12 + i % 12] = sum;
        }
    }
}

#define INSTANCES __global const Splat *restrict splats, __global const uint *restrict owners, __global const uint *restrict slots, \
    __global const uint *restrict starts, const View view, uint longest
#define TILE Tile tile = tile_of(splats, owners, slots, starts, &view)
#define LENGTH (tile.last - tile.first)
#define BACKGROUND float red, float green, float blue

KERNEL(32) blend_forward(INSTANCES, __global float *restrict image, __global float *restrict transmittance, BACKGROUND) {
    __local Batch batch;
    WARP_SCRATCH(32)
    TILE;
    Frame to = {image, 0, transmittance, red, green, blue};
    if (LENGTH <= longest) forward_by_tiles(&batch, scratch, &tile, &view, &to, false);
}

KERNEL(32) blend_forward_depth(INSTANCES, __global float *restrict image, __global float *restrict inverse_depth,
                               __global float *restrict transmittance, BACKGROUND) {
    __local Batch batch;
    WARP_SCRATCH(32)
    TILE;
    Frame to = {image, inverse_depth, transmittance, red, green, blue};
    if (LENGTH <= longest) forward_by_tiles(&batch, scratch, &tile, &view, &to, true);
}

KERNEL(256) blend_forward_long(INSTANCES, __global float *restrict image, __global float *restrict transmittance, BACKGROUND) {
    __local Batch batches[8];
    __local uint warps[8];
    WARP_SCRATCH(256)
    TILE;
    Frame to = {image, 0, transmittance, red, green, blue};
    if (LENGTH > longest) forward_by_pixels(batches, warps, scratch, &tile, &view, &to, false);
}

KERNEL(256) blend_forward_long_depth(INSTANCES, __global float *restrict image, __global float *restrict inverse_depth,
                                     __global float *restrict transmittance, BACKGROUND) {
    __local Batch batches[8];
    __local uint warps[8];
    WARP_SCRATCH(256)
    TILE;
    Frame to = {image, inverse_depth, transmittance, red, green, blue};
    if (LENGTH > longest) forward_by_pixels(batches, warps, scratch, &tile, &view, &to, true);
}

KERNEL(32) blend_backward(INSTANCES, __global const float *restrict image, __global const float *restrict upstream, __global float *restrict grads) {
    __local Batch batch;
    WARP_SCRATCH(32)
    TILE;
    Gradient from = {image, 0, upstream, 0};
    if (LENGTH <= longest) backward_by_tiles(&batch, scratch, &tile, &view, &from, grads, false);
}

KERNEL(32) blend_backward_depth(INSTANCES, __global const float *restrict image, __global const float *restrict inverse_depth,
                                __global const float *restrict upstream, __global const float *restrict upstream_depth, __global float *restrict grads) {
    __local Batch batch;
    WARP_SCRATCH(32)
    TILE;
    Gradient from = {image, inverse_depth, upstream, upstream_depth};
    if (LENGTH <= longest) backward_by_tiles(&batch, scratch, &tile, &view, &from, grads, true);
}

KERNEL(256) blend_backward_long(INSTANCES, __global const float *restrict image, __global const float *restrict upstream, __global float *restrict grads) {
    __local Batch batch;
    __local float parts[8 * 32 * 12];
    __local uint warps[8];
    WARP_SCRATCH(256)
    TILE;
    Gradient from = {image, 0, upstream, 0};
    if (LENGTH > longest) backward_by_pixels(&batch, parts, warps, scratch, &tile, &view, &from, grads, false);
}

KERNEL(256) blend_backward_long_depth(INSTANCES, __global const float *restrict image, __global const float *restrict inverse_depth,
                                      __global const float *restrict upstream, __global const float *restrict upstream_depth,
                                      __global float *restrict grads) {
    __local Batch batch;
    __local float parts[8 * 32 * 12];
    __local uint warps[8];
    WARP_SCRATCH(256)
    TILE;
    Gradient from = {image, inverse_depth, upstream, upstream_depth};
    if (LENGTH > longest) backward_by_pixels(&batch, parts, warps, scratch, &tile, &view, &from, grads, true);
}
