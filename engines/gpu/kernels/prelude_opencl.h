// The vocabulary of the kernels in OpenCL C 1.2, without sub-groups: a warp is 32 work items side by side, whose exchange
// goes through local memory, and every item of the group must come along.
#define KERNEL(n) __kernel __attribute__((reqd_work_group_size(n, 1, 1))) void
#define INLINE static inline
#define GROUP_ID ((uint)get_group_id(0))
#define LOCAL_ID ((uint)get_local_id(0))
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define EX2(x) native_exp2(x)
#define LG2(x) native_log2(x)
#define RCP(x) (1.0f / (x))
#define RSQRT(x) rsqrt(x)
#define SQRT(x) sqrt(x)
#define EXP(x) exp(x)
#define FMA(a, b, c) fma(a, b, c)
#define MIN(a, b) fmin(a, b)
#define MAX(a, b) fmax(a, b)
#define ABS(x) fabs(x)
#define POPC(x) popcount(x)
#define AS_UINT(x) as_uint(x)
#define F4(a, b, c, d) (float4)(a, b, c, d)
#define LOCAL_ADD(p, v) atomic_add(p, v)

#define WARP_SCRATCH(n) __local uint scratch[n];
#define WARP_SYNC() barrier(CLK_LOCAL_MEM_FENCE)
#define MATCH(value) match_items(scratch, value)
#define SHUFFLE_XOR(x, d) as_float(exchange_items(scratch, as_uint(x), d))
#define ANY(p) any_item(scratch, p)
#define WARP_OR_GROUP(warp, group) (group) // whether to come along to the exchanges: all of a group must

INLINE uint match_items(__local uint *scratch, uint value) {
    barrier(CLK_LOCAL_MEM_FENCE);
    scratch[LOCAL_ID] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    uint same = 0;
    for (uint k = 0; k < 32; k++) same |= (uint)(scratch[(LOCAL_ID & ~31u) + k] == value) << k;
    return same;
}

INLINE uint exchange_items(__local uint *scratch, uint value, uint d) {
    barrier(CLK_LOCAL_MEM_FENCE);
    scratch[LOCAL_ID] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    return scratch[LOCAL_ID ^ d];
}

INLINE bool any_item(__local uint *scratch, bool p) {
    barrier(CLK_LOCAL_MEM_FENCE);
    scratch[LOCAL_ID] = p;
    barrier(CLK_LOCAL_MEM_FENCE);
    uint any = 0;
    for (uint k = 0; k < 32; k++) any |= scratch[(LOCAL_ID & ~31u) + k];
    return any != 0;
}
