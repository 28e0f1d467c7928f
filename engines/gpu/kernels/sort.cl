// Prefix sums and a stable radix sort, 8 bits a pass.

// scan_blocks: exclusive prefix sums of 2048 values a group; the groups' totals go to totals. out has one value more than in,
// the sum of all.
KERNEL(256) scan_blocks(__global const uint *restrict in, __global uint *restrict out, __global uint *restrict totals, uint n) {
    __local uint sums[256];
    uint t = LOCAL_ID, first = GROUP_ID * 2048 + t * 8, sum = 0, v[8];
#pragma unroll
    for (uint k = 0; k < 8; k++) {
        v[k] = first + k < n ? in[first + k] : 0;
        sum += v[k];
    }
    sums[t] = sum;
    BARRIER();
    uint upto = sum; // of the items to this one
#pragma unroll
    for (uint d = 1; d < 256; d *= 2) {
        uint x = t >= d ? sums[t - d] : 0;
        upto += x;
        if (d == 128) break;
        BARRIER();
        sums[t] = upto;
        BARRIER();
    }
    uint at = upto - sum;
#pragma unroll
    for (uint k = 0; k < 8; k++) {
        if (first + k <= n) out[first + k] = at;
        at += v[k];
    }
    if (t == 255) totals[GROUP_ID] = at;
}

// scan_add adds to each group's sums what is before the group.
KERNEL(256) scan_add(__global uint *restrict out, __global const uint *restrict before, uint n) {
    uint add = before[GROUP_ID];
    for (uint k = 0; k < 8; k++) {
        uint i = GROUP_ID * 2048 + k * 256 + LOCAL_ID;
        if (i <= n) out[i] += add;
    }
}

// sort_count: how often each digit occurs in 4096 keys a group, digit-major.
#define SORT_KEYS 4096
KERNEL(256) sort_count(__global const uint *restrict keys, __global uint *restrict counts, uint n, uint shift, uint groups) {
    __local uint histogram[256];
    uint t = LOCAL_ID;
    histogram[t] = 0;
    BARRIER();
    for (uint k = 0; k < SORT_KEYS / 256; k++) {
        uint i = GROUP_ID * SORT_KEYS + k * 256 + t;
        if (i < n) LOCAL_ADD(&histogram[keys[i] >> shift & 255], 1u);
    }
    BARRIER();
    counts[t * groups + GROUP_ID] = histogram[t];
}

// sort_scatter: each warp owns 512 keys side by side, so that the order within a group is that of warps, then of rounds, then
// of lanes; MATCH ranks equal digits within a round.
KERNEL(256) sort_scatter(__global const uint *restrict keys, __global const uint *restrict values, __global uint *restrict keys2,
                         __global uint *restrict values2, __global const uint *restrict before, uint n, uint shift, uint groups) {
    __local uint at[8 * 256]; // of each warp, its next place for each digit
    WARP_SCRATCH(256)
    uint t = LOCAL_ID, warp = t / 32, lane = t % 32, first = GROUP_ID * SORT_KEYS + warp * 512;
    for (uint k = 0; k < 8; k++) at[k * 256 + t] = 0;
    BARRIER();
    for (uint k = 0; k < 16; k++) {
        uint i = first + k * 32 + lane;
        if (i < n) LOCAL_ADD(&at[warp * 256 + (keys[i] >> shift & 255)], 1u);
    }
    BARRIER();
    uint sum = before[t * groups + GROUP_ID];
    for (uint k = 0; k < 8; k++) {
        uint c = at[k * 256 + t];
        at[k * 256 + t] = sum;
        sum += c;
    }
    BARRIER();
    for (uint k = 0; k < 16; k++) {
        uint i = first + k * 32 + lane;
        uint key = i < n ? keys[i] : 0, digit = i < n ? key >> shift & 255 : 256, same = MATCH(digit);
        uint rank = POPC(same & ((1u << lane) - 1)), base = 0;
        if (i < n) base = at[warp * 256 + digit];
        WARP_SYNC();
        if (i < n && rank == 0) at[warp * 256 + digit] = base + POPC(same);
        WARP_SYNC();
        if (i < n) {
            keys2[base + rank] = key;
            values2[base + rank] = values[i];
        }
    }
}
