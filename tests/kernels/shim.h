// CUDA on one CPU thread: enough of the language for header-free kernels, as C++20.
//
// Each CUDA thread is a fiber. A block's fibers run in turn, each until it reaches a barrier or
// its end, so that a missing __syncthreads() shows as a wrong result, always the same. Blocks
// run one after the other, which is why a `static` can stand for shared memory.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define alignas(n) __attribute__((aligned(n)))  // allowed behind __shared__, too

using std::isfinite;
using std::isinf;
using std::isnan;

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

namespace shim {

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    uint3 index;
    bool done;
};

constexpr std::size_t STACK = 256 * 1024;
inline ucontext_t scheduler;
inline std::vector<Fiber> fibers;
inline Fiber* current;
inline unsigned live, arrived, passed;  // threads of the block, those at the barrier, barriers
inline void (*body)(void*);
inline void* body_data;

inline void yield() { swapcontext(&current->context, &scheduler); }

inline void pass_if_all_arrived() {
    if (arrived == live) arrived = 0, ++passed;
}

inline void barrier() {
    const unsigned before = passed;
    ++arrived;
    pass_if_all_arrived();
    while (passed == before) yield();
}

inline void run_thread() {
    body(body_data);
    current->done = true;
    --live;
    pass_if_all_arrived();
    yield();
}

inline void start(Fiber& fiber, unsigned rank) {
    fiber.index = {rank % blockDim.x, rank / blockDim.x % blockDim.y,
                   rank / (blockDim.x * blockDim.y)};
    fiber.done = false;
    if (!fiber.stack) fiber.stack.reset(new char[STACK]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, run_thread, 0);
}

inline void run_block() {
    live = static_cast<unsigned>(fibers.size());
    arrived = 0;
    for (unsigned rank = 0; rank < fibers.size(); ++rank) start(fibers[rank], rank);
    while (live > 0) {
        for (Fiber& fiber : fibers) {
            if (fiber.done) continue;
            current = &fiber;
            threadIdx = fiber.index;
            swapcontext(&scheduler, &fiber.context);
        }
    }
}

template <class Call>
void run_grid(const unsigned* grid, const unsigned* block, Call call) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    fibers.resize(std::size_t(block[0]) * block[1] * block[2]);
    body = [](void* data) { (*static_cast<Call*>(data))(); };
    body_data = &call;
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x) run_block();
}

template <class... A, std::size_t... I>
void call_with(void (*kernel)(A...), void** values, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_const_t<A>*>(values[I])...);
}

// 0, or the place of the first argument of another size, or -1 for another number of them.
template <class... A>
int launch(void (*kernel)(A...), const unsigned* grid, const unsigned* block, void** values,
           const std::size_t* sizes, std::size_t count) {
    const std::size_t wanted[] = {sizeof(A)...};
    if (count != sizeof...(A)) return -1;
    for (std::size_t i = 0; i < count; ++i)
        if (sizes[i] != wanted[i]) return static_cast<int>(i) + 1;
    run_grid(grid, block,
             [=] { call_with(kernel, values, std::index_sequence_for<A...>{}); });
    return 0;
}

}  // namespace shim

inline void __syncthreads() { shim::barrier(); }

inline int __syncthreads_or(int predicate) {
    static int any = 0;
    any |= predicate != 0;
    shim::barrier();
    const int seen = any;
    shim::barrier();
    any = 0;
    shim::barrier();
    return seen;
}

// The two below stand for a warp, here a whole block.
inline void __syncwarp() { shim::barrier(); }

inline int __any_sync(unsigned, int predicate) { return __syncthreads_or(predicate); }

inline int atomicAdd(int* at, int value) {
    const int before = *at;
    *at += value;
    return before;
}

template <class T>
T atomicMax(T* at, T value) {
    const T before = *at;
    *at = before > value ? before : value;
    return before;
}

template <class To, class From>
To bit_cast(From from) {
    To to;
    static_assert(sizeof to == sizeof from);
    std::memcpy(&to, &from, sizeof to);
    return to;
}

inline int __ffs(int x) { return __builtin_ffs(x); }

inline int __float_as_int(float x) { return bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return bit_cast<float>(x); }

// What inline PTX does for warps of 32 threads that all come along.
namespace shim {

constexpr unsigned MOST_THREADS = 1024;

inline unsigned short half_of(float x) { return bit_cast<unsigned short>(_Float16(x)); }

inline float float_of(unsigned halves, unsigned which) {
    return bit_cast<_Float16>(static_cast<unsigned short>(halves >> 16 * which));
}

inline void copy_16(void* to, const void* from) { std::memcpy(to, from, 16); }

// ldmatrix.m8n8.x4: lane l names row l % 8 of matrix l / 8 and gets two halves of row l / 4 of each.
inline void load_matrices(unsigned (&to)[4], const unsigned short* row) {
    static const unsigned short* rows[MOST_THREADS];
    rows[threadIdx.x] = row;
    barrier();
    const unsigned lane = threadIdx.x % 32, first = threadIdx.x - lane;
    for (unsigned m = 0; m < 4; ++m)
        std::memcpy(&to[m], rows[first + 8 * m + lane / 4] + lane % 4 * 2, 4);
    barrier();
}

// mma.m16n8k16: lane l holds columns 2 (l % 4) and one more of rows l / 4 and l / 4 + 8 of d.
inline void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                     const float (&c)[4]) {
    static unsigned left[MOST_THREADS][4], right[MOST_THREADS][2];
    const unsigned lane = threadIdx.x % 32, first = threadIdx.x - lane;
    for (unsigned i = 0; i < 4; ++i) left[threadIdx.x][i] = a[i];
    right[threadIdx.x][0] = b0, right[threadIdx.x][1] = b1;
    barrier();
    float sum[4];
    for (unsigned j = 0; j < 4; ++j) {
        const unsigned row = lane / 4, column = lane % 4 * 2 + j % 2;
        sum[j] = c[j];
        for (unsigned k = 0; k < 16; ++k)
            sum[j] += float_of(left[first + row * 4 + k % 8 / 2][j / 2 + k / 8 * 2], k % 2) *
                      float_of(right[first + column * 4 + k % 8 / 2][k / 8], k % 2);
    }
    barrier();
    for (unsigned j = 0; j < 4; ++j) d[j] = sum[j];
}

// wgmma.m64n64k16: warp w holds rows 16 w .. of d as `multiply` does, eight columns after another.
inline void multiply_group(float (&d)[8][4], const unsigned (&a)[4], const unsigned short* tile,
                           int k) {
    const unsigned lane = threadIdx.x % 32;
    for (unsigned i = 0; i < 8; ++i) {
        unsigned b[2];
        for (unsigned half = 0; half < 2; ++half) {
            const unsigned row = 8 * i + lane / 4, chunk = 2 * k + half;
            std::memcpy(&b[half], tile + row * 64 + (chunk ^ row % 8) * 8 + lane % 4 * 2, 4);
        }
        multiply(d[i], a, b[0], b[1], d[i]);
    }
}

}  // namespace shim

inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }

#define SHIM_EXPORT(name)                                                                    \
    extern "C" int launch_##name(const unsigned* grid, const unsigned* block, void** values, \
                                 const std::size_t* sizes, std::size_t count) {              \
        return shim::launch(name, grid, block, values, sizes, count);                        \
    }
