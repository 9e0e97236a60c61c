// CUDA on one CPU thread: enough of the language for header-free kernels, as C++20.
//
// Each CUDA thread is a fiber. A block's fibers run in turn, each until it reaches a barrier or
// its end, so that a missing __syncthreads() shows as a wrong result, always the same. Blocks
// run one after the other, which is why a `static` can stand for shared memory.
#pragma once

#include <ucontext.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline
#define __noinline__
#define __restrict__
#define __launch_bounds__(...)
#define alignas(n) __attribute__((aligned(n)))  // allowed behind __shared__, too

using std::isfinite;
using std::isinf;
using std::isnan;

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) double2 { double x, y; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace shim {

struct Barrier {
    int live = 0, arrived = 0, round = 0;
    void pass() { arrived = 0; ++round; }
    void leave() { if (--live > 0 && arrived == live) pass(); }
};

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    uint3 index;
    unsigned rank;
    bool done = false;
};

constexpr std::size_t STACK = 256 * 1024;
inline ucontext_t scheduler;
inline std::vector<Fiber> fibers;
inline Fiber* current = nullptr;
inline Barrier block_barrier;
inline std::vector<Barrier> warp_barriers;
inline std::vector<std::uint64_t> slots;
inline void (*body)(void*) = nullptr;
inline void* body_data = nullptr;

inline void yield() { swapcontext(&current->context, &scheduler); }

inline void wait(Barrier& barrier) {
    const int round = barrier.round;
    if (++barrier.arrived == barrier.live) barrier.pass();
    while (barrier.round == round) yield();
}

inline Barrier& warp() { return warp_barriers[current->rank / warpSize]; }

inline void run_fiber() {
    body(body_data);
    current->done = true;
    warp().leave();
    block_barrier.leave();
    yield();
}

inline void start(Fiber& fiber, unsigned rank) {
    fiber.rank = rank;
    fiber.index = {rank % blockDim.x, rank / blockDim.x % blockDim.y,
                   rank / (blockDim.x * blockDim.y)};
    fiber.done = false;
    if (!fiber.stack) fiber.stack.reset(new char[STACK]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, run_fiber, 0);
}

inline void run_block() {
    const unsigned threads = fibers.size();
    block_barrier = {static_cast<int>(threads)};
    warp_barriers.assign((threads + warpSize - 1) / warpSize, {});
    for (unsigned rank = 0; rank < threads; ++rank) {
        ++warp_barriers[rank / warpSize].live;
        start(fibers[rank], rank);
    }
    for (unsigned left = threads; left > 0;) {
        for (Fiber& fiber : fibers) {
            if (fiber.done) continue;
            current = &fiber;
            threadIdx = fiber.index;
            swapcontext(&scheduler, &fiber.context);
            left -= fiber.done;
        }
    }
}

template <class Call>
void run_grid(const unsigned* grid, const unsigned* block, Call call) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    fibers.resize(static_cast<std::size_t>(block[0]) * block[1] * block[2]);
    slots.assign(fibers.size(), 0);
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

// All threads of the warp must take part.
template <class T>
T exchange(T value, unsigned from) {
    static_assert(sizeof(T) <= 8);
    std::memcpy(&slots[current->rank], &value, sizeof(T));
    wait(warp());
    const unsigned base = current->rank / warpSize * warpSize;
    T result = value;
    if (from < warpSize && base + from < slots.size())
        std::memcpy(&result, &slots[base + from], sizeof(T));
    wait(warp());
    return result;
}

inline unsigned lane() { return current->rank % warpSize; }

}  // namespace shim

inline void __syncthreads() { shim::wait(shim::block_barrier); }
inline void __syncwarp(unsigned = ~0u) { shim::wait(shim::warp()); }
inline void __threadfence() {}

template <class T>
T __shfl_sync(unsigned, T value, int from, int width = warpSize) {
    const int base = static_cast<int>(shim::lane()) / width * width;
    return shim::exchange(value, base + from % width);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask, int = warpSize) {
    return shim::exchange(value, shim::lane() ^ mask);
}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned by, int width = warpSize) {
    const unsigned lane = shim::lane();
    return shim::exchange(value, lane % width + by < unsigned(width) ? lane + by : lane);
}
template <class T>
T __shfl_up_sync(unsigned, T value, unsigned by, int width = warpSize) {
    const unsigned lane = shim::lane();
    return shim::exchange(value, lane % width >= by ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned, bool vote) {
    unsigned votes = 0;
    for (unsigned from = 0; from < warpSize; ++from) {
        const unsigned rank = shim::current->rank / warpSize * warpSize + from;
        const bool other = shim::exchange(int(vote), from);
        if (rank < shim::slots.size() && other) votes |= 1u << from;
    }
    return votes;
}
inline bool __any_sync(unsigned mask, bool vote) { return __ballot_sync(mask, vote) != 0; }
inline bool __all_sync(unsigned mask, bool vote) { return __ballot_sync(mask, !vote) == 0; }

template <class T> T __ldg(const T* address) { return *address; }
inline int __popc(unsigned v) { return std::popcount(v); }
inline int __popcll(unsigned long long v) { return std::popcount(v); }
inline int __clz(int v) { return std::countl_zero(static_cast<unsigned>(v)); }
inline int __ffs(int v) { return v ? std::countr_zero(static_cast<unsigned>(v)) + 1 : 0; }
inline float __int_as_float(int v) { return std::bit_cast<float>(v); }
inline int __float_as_int(float v) { return std::bit_cast<int>(v); }
inline unsigned __float_as_uint(float v) { return std::bit_cast<unsigned>(v); }
inline float __uint_as_float(unsigned v) { return std::bit_cast<float>(v); }
inline double __longlong_as_double(long long v) { return std::bit_cast<double>(v); }
inline long long __double_as_longlong(double v) { return std::bit_cast<long long>(v); }
inline float __fmaf_rn(float a, float b, float c) { return std::fmaf(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __ddiv_rn(double a, double b) { return a / b; }

template <class T, class U> const T min(const T a, const U b) { return b < a ? T(b) : a; }
template <class T, class U> const T max(const T a, const U b) { return a < b ? T(b) : a; }

template <class T> T atomicAdd(T* at, T value) { const T old = *at; *at = old + value; return old; }
template <class T> T atomicMax(T* at, T value) { const T old = *at; *at = max(old, value); return old; }
template <class T> T atomicMin(T* at, T value) { const T old = *at; *at = min(old, value); return old; }
template <class T> T atomicCAS(T* at, T expected, T value) {
    const T old = *at;
    if (old == expected) *at = value;
    return old;
}

#define SHIM_EXPORT(name)                                                                  \
    extern "C" int launch_##name(const unsigned* grid, const unsigned* block, void** values, \
                                 const std::size_t* sizes, std::size_t count) {            \
        return shim::launch(name, grid, block, values, sizes, count);                      \
    }
