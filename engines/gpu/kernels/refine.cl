// Refinement: what the trainer's gaussians.refine does, by scans, sorts and gathers. Until the model is laid out anew a Gaussian is
// known by its number in the old one.

// What is decided about a refinement. n counts Gaussians, not lanes.
typedef struct { float faint, decay, wide; uint n, stride; } Refinement;

// In a list: this one is split, its moments are forgotten.
#define FRESH 0x80000000u

INLINE float log_of(float x) { return LN2 * LG2(x); }

// survey: who is kept, who is not finite, and whom the images pull at, with a key that sorts the most wanted first. The
// opacity of those that are kept decays.
KERNEL(256) survey(__global float *restrict params, __global const float *restrict pulls, __global const uint *restrict views,
                   __global const float *restrict extents, const Refinement r, __global uint *restrict kept,
                   __global uint *restrict lost, __global uint *restrict wanted, __global uint *restrict keys) {
    uint i = GROUP_ID * 256 + LOCAL_ID;
    if (i >= r.n) return;
    __global float *p = params + (i / 16) * r.stride + i % 16;
    bool finite = true;
    for (uint row = 0; row * 16 < r.stride; row++) {
        float value = ROW(row);
        if (!(value - value == 0)) finite = false;
    }
    float qw = ROW(6), qx = ROW(7), qy = ROW(8), qz = ROW(9), o = ROW(10);
    if (!(qw * qw + qx * qx + qy * qy + qz * qz > 1e-8f)) finite = false;
    bool keep = finite && o >= r.faint;
    if (keep) { // both ends by the part that is small there
        float opaque = RCP(1.0f + EXP(-o)) - r.decay, clear = RCP(1.0f + EXP(o)) + r.decay;
        ROW(10) = opaque > 1e-4f ? log_of(opaque / clear) : log_of(1e-4f / (1 - 1e-4f));
    }
    float score = 0;
    if (views[i] > 0) score = extents[i] > r.wide ? 3.4028234663852886e38f : pulls[i] / (float)views[i];
    kept[i] = keep;
    lost[i] = !finite;
    wanted[i] = keep && score > 0;
    keys[i] = ~AS_UINT(score);
}

// adopt: the k-th child comes behind those that are kept, as what its parent was. ranks has the place of each in the list.
KERNEL(256) adopt(__global const uint *restrict parents, __global const uint *restrict ranks, __global uint *restrict list,
                  uint kept, uint n) {
    uint k = GROUP_ID * 256 + LOCAL_ID;
    if (k >= n) return;
    uint parent = parents[k];
    list[ranks[parent]] = parent | FRESH;
    list[kept + k] = parent | FRESH;
}

// lay_out: an item for each value of the new layout takes it from where the list says, 0 in lanes of no Gaussian. What is
// fresh is 0 where forget has its mark.
KERNEL(256) lay_out(__global const float *restrict from, __global float *restrict to, __global const uint *restrict list,
                    uint n, uint stride, uint forget, uint values) {
    uint i = GROUP_ID * 256 + LOCAL_ID;
    if (i >= values) return;
    uint in_group = i % stride, at = i / stride * 16 + in_group % 16;
    float value = 0;
    if (at < n && (list[at] & forget) == 0) {
        uint source = list[at] & ~FRESH;
        value = from[source / 16 * stride + (in_group & ~15u) + source % 16];
    }
    to[i] = value;
}

// split: makes two of one, of which the child is a copy so far. See gaussians.split for where it has this from.
KERNEL(256) split(__global float *restrict params, __global const uint *restrict parents, __global const uint *restrict ranks,
                  __global const uint *restrict signs, uint kept, uint n, uint stride) {
    uint k = GROUP_ID * 256 + LOCAL_ID;
    if (k >= n) return;
    uint place = ranks[parents[k]], child = kept + k, sign = signs[k];
    __global float *p = params + place / 16 * stride + place % 16, *c = params + child / 16 * stride + child % 16;
    float ls[3] = {ROW(3), ROW(4), ROW(5)}, way[3], longest = MAX(ls[0], MAX(ls[1], ls[2]));
#pragma unroll
    for (int a = 0; a < 3; a++) {
        float cut = EXP(2 * (ls[a] - longest)) * 0.29289321881345254f; // 1 - k
        float away = SQRT(cut * (2 - cut)) * EXP(ls[a]);
        way[a] = sign >> a & 1 ? -away : away;
        ls[a] += log_of(1 - cut);
        ROW(3 + a) = ls[a];
        c[(3 + a) * 16] = ls[a];
    }
    float qw = ROW(6), qx = ROW(7), qy = ROW(8), qz = ROW(9);
    float in = RSQRT(qw * qw + qx * qx + qy * qy + qz * qz), e[9];
    axes(qw * in, qx * in, qy * in, qz * in, e);
#pragma unroll
    for (int a = 0; a < 3; a++) {
        float mean = ROW(a), offset = dot3(e[3 * a], e[3 * a + 1], e[3 * a + 2], way[0], way[1], way[2]);
        ROW(a) = mean + offset;
        c[a * 16] = mean - offset;
    }
    // The part that each child covers, 1-(1-o)^a; where it is small the difference from 1 would leave few digits of it.
    const float a = 0.7071067811865476f;
    float logit = ROW(10), o = RCP(1.0f + EXP(-logit)), clear = EX2(a * LG2(RCP(1.0f + EXP(logit)))), part = 1 - clear;
    if (o < 0.05f) {
        part = a * o * (1 + (1 - a) / 2 * o * (1 + (2 - a) / 3 * o * (1 + (3 - a) / 4 * o)));
        clear = 1 - part;
    }
    o = log_of(MAX(part, 1e-6f) / MAX(clear, 1e-6f));
    ROW(10) = o;
    c[10 * 16] = o;
}

// axis_keys: one coordinate of the means as keys that sort as the numbers do.
KERNEL(256) axis_keys(__global const float *restrict params, __global uint *restrict keys, __global uint *restrict values,
                      uint axis, uint n, uint stride) {
    uint i = GROUP_ID * 256 + LOCAL_ID;
    if (i >= n) return;
    uint bits = AS_UINT(params[i / 16 * stride + axis * 16 + i % 16]);
    keys[i] = bits >> 31 ? ~bits : bits | 0x80000000u;
    values[i] = i;
}

// The box that the curve fills.
typedef struct { float low[3], high[3]; } Box;

// curve_keys: the Morton code of each mean, 10 bits an axis.
KERNEL(256) curve_keys(__global const float *restrict params, const Box box, __global uint *restrict keys,
                       __global uint *restrict values, uint n, uint stride) {
    uint i = GROUP_ID * 256 + LOCAL_ID;
    if (i >= n) return;
    __global const float *p = params + i / 16 * stride + i % 16;
    uint code = 0;
#pragma unroll
    for (int k = 0; k < 3; k++) {
        float cell = (ROW(k) - box.low[k]) / MAX(box.high[k] - box.low[k], 1e-30f) * 1023;
        uint x = (uint)MIN(MAX(cell, 0.0f), 1023.0f);
        x = (x | x << 16) & 0x030000ffu;
        x = (x | x << 8) & 0x0300f00fu;
        x = (x | x << 4) & 0x030c30c3u;
        x = (x | x << 2) & 0x09249249u;
        code |= x << k;
    }
    keys[i] = code;
    values[i] = i;
}

// forget: no statistics of any lane.
KERNEL(256) forget(__global float *restrict pulls, __global uint *restrict views, __global float *restrict extents, uint n) {
    uint i = GROUP_ID * 256 + LOCAL_ID;
    if (i >= n) return;
    pulls[i] = 0;
    views[i] = 0;
    extents[i] = 0;
}
