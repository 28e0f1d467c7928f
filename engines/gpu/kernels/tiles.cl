// From visible Gaussians to the instances of each tile, nearest first.

// totals: how many Gaussians are visible and how many instances they have, from the ends of two prefix sums.
KERNEL(32) totals(__global const uint *restrict ranks, __global const uint *restrict slots, __global uint *restrict out, uint n) {
    if (LOCAL_ID == 0) out[0] = ranks[n];
    if (LOCAL_ID == 1) out[1] = slots[n];
}

// compact: the visible Gaussians with their keys, in the order of the cloud.
KERNEL(256) compact(__global const uint *restrict visible, __global const uint *restrict ranks, __global const uint *restrict keys,
                    __global uint *restrict keys2, __global uint *restrict order, uint n) {
    uint i = GROUP_ID * 256 + LOCAL_ID;
    if (i >= n || visible[i] == 0) return;
    keys2[ranks[i]] = keys[i];
    order[ranks[i]] = i;
}

// gather: counts in the order of depth.
KERNEL(256) gather(__global const uint *restrict counts, __global const uint *restrict order, __global uint *restrict out, uint n) {
    uint i = GROUP_ID * 256 + LOCAL_ID;
    if (i < n) out[i] = counts[order[i]];
}

// emit: one item a visible Gaussian, nearest first, writes its instances: the tile of each, and its gradient slot. Slots are in
// the order of the cloud, places in that of depth. owners has the Gaussian of each slot.
KERNEL(256) emit(__global const uint *restrict order, __global const uint *restrict places, __global const uint *restrict first_slot,
                 __global const uint *restrict boxes, __global uint *restrict tiles, __global uint *restrict slots,
                 __global uint *restrict owners, uint visible, uint across) {
    uint rank = GROUP_ID * 256 + LOCAL_ID;
    if (rank >= visible) return;
    uint i = order[rank], at = places[rank], slot = first_slot[i];
    uint bx = boxes[2 * i], by = boxes[2 * i + 1];
    for (uint y = by & 0xffff; y < by >> 16; y++)
        for (uint x = bx & 0xffff; x < bx >> 16; x++) {
            tiles[at] = y * across + x;
            slots[at] = slot;
            owners[slot] = i;
            at++;
            slot++;
        }
}

// ranges: the first instance of every tile, from the sorted tiles; starts has one value more than there are tiles.
KERNEL(256) ranges(__global const uint *restrict tiles, __global uint *restrict starts, uint n, uint count) {
    uint i = GROUP_ID * 256 + LOCAL_ID;
    if (i > n) return;
    uint first = i == 0 ? 0 : tiles[i - 1] + 1, last = i == n ? count : tiles[i];
    for (uint k = first; k <= last; k++) starts[k] = i;
}
