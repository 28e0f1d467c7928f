// One source for every card: OpenCL C 1.2 with the words of a prelude. What the kernels compute is defined in engines/raster
// and engines/simd; names and layouts are theirs. Sums are made in an order that the data fix, without atomics on floats, so
// that a run repeats to the last bit on the same kind of card.

// simd.View, then what a frame needs besides. n counts lanes of groups of 16, unused ones included.
typedef struct {
    float r[9], t[3], center[3];
    float fx, fy, cx, cy, near_z;
    float clamp_min[2], clamp_max[2], cull_min[2], cull_max[2];
    float mip;
    uint width, height, across, degree, n, stride;
} View;

// simd.Splat.
typedef struct __attribute__((aligned(16))) {
    float u, v, a, b, c, l;
    float red, green, blue, inv_z;
    float slope_x, slope_y, extent_x, extent_y, z;
    uint id;
} Splat;

// simd.Grad.
typedef struct __attribute__((aligned(16))) { float h, hx, hy, hxx, hxy, hyy, r, g, b, inv_z, abs_u, abs_v; } Grad;

// Learning rates by row, half the image, and its longer side.
typedef struct { float lr[59], half_w, half_h, longer; } Step;

#define LOG2_MIN_ALPHA -7.994353436858858f
#define LOG2_MAX_ALPHA -0.01449956969511508f
#define MIN_T 1e-4f
#define LOG2E 1.4426950408889634f
#define LN2 0.6931471805599453f
#define NO_KEY 0xffffffu // after every depth

// Parameter k of a Gaussian, p at its lane of row 0.
#define ROW(k) p[(k) * 16]

INLINE float dot3(float a0, float a1, float a2, float b0, float b1, float b2) { return FMA(a0, b0, FMA(a1, b1, a2 * b2)); }

// Columns of e are the axes of a Gaussian whose unit quaternion is w, x, y, z.
INLINE void axes(float w, float x, float y, float z, float *e) {
    e[0] = 1 - 2 * (y * y + z * z); e[1] = 2 * (x * y - w * z); e[2] = 2 * (x * z + w * y);
    e[3] = 2 * (x * y + w * z); e[4] = 1 - 2 * (x * x + z * z); e[5] = 2 * (y * z - w * x);
    e[6] = 2 * (x * z - w * y); e[7] = 2 * (y * z + w * x); e[8] = 1 - 2 * (x * x + y * y);
}
