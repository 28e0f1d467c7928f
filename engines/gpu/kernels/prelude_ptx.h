// The vocabulary of the kernels for clang -target nvptx64-nvidia-cuda: only what the target has built in, nothing of the
// OpenCL library.
typedef unsigned int uint;
typedef unsigned char uchar;
#define KERNEL(n) __kernel __attribute__((reqd_work_group_size(n, 1, 1))) void
#define INLINE static inline __attribute__((always_inline))
#define GROUP_ID ((uint)__nvvm_read_ptx_sreg_ctaid_x())
#define LOCAL_ID ((uint)__nvvm_read_ptx_sreg_tid_x())
#define BARRIER() __syncthreads()
#define EX2(x) __nvvm_ex2_approx_ftz_f(x)
#define LG2(x) __nvvm_lg2_approx_ftz_f(x)
#define RCP(x) __nvvm_rcp_approx_ftz_f(x)
#define RSQRT(x) __nvvm_rsqrt_approx_ftz_f(x)
#define SQRT(x) __nvvm_sqrt_approx_ftz_f(x)
#define EXP(x) __nvvm_ex2_approx_ftz_f(1.44269504f * (x))
#define FMA(a, b, c) __nvvm_fma_rn_ftz_f(a, b, c)
#define MIN(a, b) __nvvm_fmin_ftz_f(a, b)
#define MAX(a, b) __nvvm_fmax_ftz_f(a, b)
#define ABS(x) __builtin_fabsf(x)
#define POPC(x) __builtin_popcount(x)
#define AS_UINT(x) __builtin_astype(x, uint)
#define F4(a, b, c, d) (float4)(a, b, c, d)
#define LOCAL_ADD(p, v) __nvvm_atom_add_gen_i((__generic int *)(p), (int)(v))

// A warp is 32 work items that run together. Memory that one of them wrote is there for the others after WARP_SYNC.
#define WARP_SCRATCH(n) __local uint *scratch = 0;
#define WARP_SYNC() __nvvm_bar_warp_sync(0xffffffffu)
#define MATCH(value) ((uint)__nvvm_match_any_sync_i32(0xffffffffu, value))
#define SHUFFLE_XOR(x, d) __nvvm_shfl_sync_bfly_f32(0xffffffffu, x, d, 31)
#define ANY(p) (__nvvm_vote_ballot_sync(0xffffffffu, p) != 0)
// Whether to come along to the exchanges of a warp in a larger group: warps part here.
#define WARP_OR_GROUP(warp, group) (warp)
