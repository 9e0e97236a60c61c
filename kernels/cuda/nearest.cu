// Exact nearest paths in rounds, each over rows between those of the rounds before.
//
// `collect` scores rows with tensor cores in half precision and keeps what reaches a query's limit;
// `tighten` lifts the limit to the k-th best so far, less what half precision may be wrong by;
// in the end `finish` scores the few that are left in float32, one fixed chain, so that the answer
// is that of `exhaust`, which scores every row so. Twin in kernels/cpu/nearest.py.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

constexpr int DIMENSIONS = 64;
constexpr int THREADS = 128;
constexpr int WARPS = THREADS / 32;
constexpr int CAPACITY = 2048;       // candidates of a query
constexpr int MOST_NEIGHBOURS = 512; // of `finish`
constexpr int ROWS = 64;             // of the library in one stage of shared memory
constexpr int STAGES = 3;
constexpr int SCORES = 32;           // of a thread at a time
constexpr int QUEUE = 256;           // finds of a block on their way to device memory
constexpr float LOWEST = -3e38f;
constexpr float NO_LIMIT = -4, CLOSED = 4;  // below and above any cosine
constexpr u16 NO_HALF = 0x7fff;             // NaN
constexpr u8 SHUT = 0, OPEN = 1, LOST = 2;  // LOST: more was found than could be held

// Twice the most by which a score from halves differs from one of the float32 chain. Two roundings
// by 2^-11 move a product of unit vectors by 9.8e-4, lengths within 1 % make that 1.0e-3, and the
// two sums are off by less than 2e-5.
constexpr float MARGIN = 2.1e-3f;

// Queries of a block: 16 a tile, TILES tiles a warp, QUERY_WARPS warps side by side. The other
// warps share the rows. HOPPER takes the products of compute capability 9.0, for which the four
// warps are one group and a tile of theirs is 64 queries.
#ifndef TILES
#define TILES 4
#define QUERY_WARPS 4
#endif
#ifndef HOPPER
#define HOPPER 0
#endif
constexpr int QUERIES = 16 * TILES * QUERY_WARPS;
constexpr int TILE_QUERIES = HOPPER ? 64 : 16;

struct alignas(16) Four {
    float x, y, z, w;
};

// The one chain of products that every score is.
static __device__ float score_of(const float* __restrict__ query, const float* __restrict__ path) {
    float a = 0, b = 0, c = 0, d = 0;
#pragma unroll
    for (int at = 0; at < DIMENSIONS; at += 4) {
        const Four q = *reinterpret_cast<const Four*>(query + at);
        const Four p = *reinterpret_cast<const Four*>(path + at);
        a = fmaf(q.x, p.x, a);
        b = fmaf(q.y, p.y, b);
        c = fmaf(q.z, p.z, c);
        d = fmaf(q.w, p.w, d);
    }
    return (a + b) + (c + d);
}

// Rising with the float.
static __device__ u32 key_of(const float x) {
    const u32 bits = __float_as_uint(x);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static __device__ float float_of(const u32 key) {
    return __uint_as_float(key >> 31 ? key & 0x7fffffffu : ~key);
}

static __device__ u16 half_of(const float x) {
    u16 half;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(x));
#else
    half = shim::half_of(x);
#endif
    return half;
}

// Rounds a path to halves, all NaN if it holds one. `off` is the greatest deviation of a length
// from 1, in millionths.
static __device__ bool halve_row(const float* __restrict__ path, u16* __restrict__ half, u32* off) {
    Four row[DIMENSIONS / 4];
    float square = 0;
#pragma unroll
    for (int i = 0; i < DIMENSIONS / 4; ++i) {
        const Four p = row[i] = reinterpret_cast<const Four*>(path)[i];
        square = fmaf(p.x, p.x, fmaf(p.y, p.y, fmaf(p.z, p.z, fmaf(p.w, p.w, square))));
    }
    const bool whole = !isnan(square);
#pragma unroll
    for (int i = 0; i < DIMENSIONS / 4; ++i) {
        u16* to = half + 4 * i;
        to[0] = whole ? half_of(row[i].x) : NO_HALF;
        to[1] = whole ? half_of(row[i].y) : NO_HALF;
        to[2] = whole ? half_of(row[i].z) : NO_HALF;
        to[3] = whole ? half_of(row[i].w) : NO_HALF;
    }
    const float apart = fabsf(sqrtf(square) - 1);
    if (apart > 0) atomicMax(off, (u32)(apart < 1e3f ? apart * 1e6f : 1e9f));
    return whole;
}

extern "C" __global__ void halve(const long long n, const float* __restrict__ paths,
                                 u16* __restrict__ halves, u32* __restrict__ off) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) halve_row(paths + i * DIMENSIONS, halves + i * DIMENSIONS, off);
}

extern "C" __global__ void begin(const long long n, const float* __restrict__ queries,
                                 u16* __restrict__ halves, float* __restrict__ limit,
                                 int* __restrict__ count, u8* __restrict__ open,
                                 u32* __restrict__ off) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const bool whole = halve_row(queries + i * DIMENSIONS, halves + i * DIMENSIONS, off);
    if (!whole)
        for (int d = 0; d < DIMENSIONS; ++d) halves[i * DIMENSIONS + d] = 0;
    limit[i] = whole ? NO_LIMIT : CLOSED;
    count[i] = 0;
    open[i] = OPEN;
}

#ifdef __CUDA_ARCH__
static __device__ u32 shared_address(const void* pointer) {
    return (u32)__cvta_generic_to_shared(pointer);
}

static __device__ void copy_16(void* to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from)
                 : "memory");
}

static __device__ void close_copies() { asm volatile("cp.async.commit_group;"); }

static __device__ void await_copies() {  // all but the last STAGES - 2
    asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
}

// Four 8 x 8 matrices of halves; a lane names a row, and gets two neighbours of each.
static __device__ void load_matrices(u32 (&to)[4], const u16* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row)));
}

// d = a b + c for 16 x 16 halves a and 16 x 8 halves b.
static __device__ void multiply(float (&d)[4], const u32 (&a)[4], const u32 b0, const u32 b1,
                                const float (&c)[4]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%10, %11, %12, %13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]),
          "f"(c[2]), "f"(c[3]));
}
#if HOPPER
// Makes copies by this thread visible to the group's products; a barrier must follow.
static __device__ void publish_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

static __device__ void open_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

static __device__ void close_products() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

static __device__ void await_products() {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

// d += a b for the group's 64 x 16 halves a and dimensions 16 k .. 16 k + 15 of a tile's 64 rows.
static __device__ void multiply_group(float (&d)[8][4], const u32 (&a)[4], const u16* tile,
                                      const int k) {
    // 128 bytes a row, chunks swapped by row, 1024 bytes from eight rows to the next
    const u64 rows = (u64)1 << 62 | (u64)64 << 32 | (u64)1 << 16 | shared_address(tile) >> 4;
#define D(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, "
        "%9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, "
        "%27, %28, %29, %30, %31}, {%32, %33, %34, %35}, %36, 1, 1, 1, 0;"
        : D(0), D(1), D(2), D(3), D(4), D(5), D(6), D(7)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(rows + 2 * k));
#undef D
}
#endif
#else
static void copy_16(void* to, const void* from) { shim::copy_16(to, from); }
static void close_copies() {}
static void await_copies() {}
static void load_matrices(u32 (&to)[4], const u16* row) { shim::load_matrices(to, row); }
static void multiply(float (&d)[4], const u32 (&a)[4], const u32 b0, const u32 b1,
                     const float (&c)[4]) {
    shim::multiply(d, a, b0, b1, c);
}
#if HOPPER
static void publish_copies() {}
static void open_products() {}
static void close_products() {}
static void await_products() {}
static void multiply_group(float (&d)[8][4], const u32 (&a)[4], const u16* tile, const int k) {
    shim::multiply_group(d, a, tile, k);
}
#endif
#endif

// Rows stand in shared memory as eight chunks of 16 bytes; the swap of chunks by row keeps the
// eight rows of a matrix in different banks.
static __device__ int place(const int row, const int chunk) {
    return row * DIMENSIONS + ((chunk ^ (row & 7)) << 3);
}

// The rows of a round: every `stride`-th, or, where `denser` is not 0, of those all but each
// `denser`-th, which an earlier round has seen.
struct Round {
    long long stride;
    int denser;  // 0, 2, 4 or 8

    __device__ long long row(const u32 i) const {
        const u32 seen = denser == 8 ? i / 7 + 1 : denser == 4 ? i / 3 + 1 : denser == 2 ? i + 1 : 0;
        return (i + seen) * stride;
    }

    // How many of them are below `end`.
    __device__ long long count(const long long end) const {
        const long long all = (end + stride - 1) / stride;
        return denser ? all - (all + denser - 1) / denser : all;
    }
};

// Copies rows `first` .. `first` + ROWS - 1 of a round; beyond the library its last one.
static __device__ void fetch(u16* __restrict__ tile, const u16* __restrict__ library,
                             const u32 first, const Round& round, const long long rows) {
    const int chunk = threadIdx.x % 8;
#pragma unroll
    for (int i = threadIdx.x / 8; i < ROWS; i += THREADS / 8) {
        const long long row = round.row(first + i);
        const long long inside = row < rows ? row : rows - 1;
        copy_16(tile + place(i, chunk), library + inside * DIMENSIONS + 8 * chunk);
    }
}

static __device__ u32 pair_at(const u16* __restrict__ halves, const long long at) {
    return *reinterpret_cast<const u32*>(halves + at);
}

// Negative if all four are.
static __device__ int signs(const float (&x)[4]) {
    return __float_as_int(x[0]) & __float_as_int(x[1]) & __float_as_int(x[2]) &
           __float_as_int(x[3]);
}

struct Find {
    long long query;
    int row;
    float score;
};

struct Candidates {
    int* count;
    int* row;
    float* score;

    __device__ void add(const Find& find) const {
        const int slot = atomicAdd(count + find.query, 1);
        if (slot >= CAPACITY) return;
        row[find.query * CAPACITY + slot] = find.row;
        score[find.query * CAPACITY + slot] = find.score;
    }
};

// A find waits in shared memory: its place among the candidates takes long to come.
static __device__ void empty(const Find* queue, const int queued, const Candidates& candidates) {
    for (int i = threadIdx.x; i < queued && i < QUEUE; i += THREADS) candidates.add(queue[i]);
    __syncthreads();
}

// What a block knows of its queries, and where their finds go.
struct Block {
    Round round;
    long long first;
    const float* limits;
    const int* known;
    float* scratch;  // SCORES a thread: registers cannot be looked up
    Find* queue;
    int* queued;
    Candidates candidates;

    // Row i of the round reaches the limit of a query of the block.
    __device__ void push(const int query, const u32 i, const float above) const {
        const long long row = round.row(i);
        if (row >= known[query]) return;
        const Find find = {first + query, (int)row, above + limits[query]};
        const int slot = atomicAdd(queued, 1);
        if (slot < QUEUE) queue[slot] = find;
        else candidates.add(find);
    }
};

// Which of a thread's scores reach their limit, a bit each; the scores are in its scratch then.
template <int N>
static __device__ u32 reached(const float (&above)[N][4], float* scratch) {
    u32 bits = 0;
#pragma unroll
    for (int v = 0; v < 4 * N; ++v) {
        scratch[v * THREADS] = above[v / 4][v % 4];
        bits |= (u32)(above[v / 4][v % 4] >= 0) << v;
    }
    return bits;
}

// Scores the rows of a tile, row `first` of the round and on; `mine` is the first of this thread's queries.
#if HOPPER
static __device__ void multiply_tile(float (&above)[8][4], const u32 (&a)[4][4],
                                     const float (&start)[4], const u16* tile) {
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) above[i][j] = start[j];
    open_products();
#pragma unroll
    for (int k = 0; k < 4; ++k) multiply_group(above, a[k], tile, k);
    close_products();
}

static __device__ void scan(const u16* tile, const u32 (&a)[TILES][4][4],
                            const float (&start)[TILES][4], const Block& block, const int mine,
                            const u32 first) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < TILES; ++m) {
        float above[8][4];
        multiply_tile(above, a[m], start[m], tile);
        await_products();
        int below = -1;
#pragma unroll
        for (int i = 0; i < 8; ++i) below &= signs(above[i]);
        if (below < 0) continue;  // every sign is set
        for (u32 bits = reached(above, block.scratch); bits; bits &= bits - 1) {
            const int v = __ffs(bits) - 1;
            block.push(mine + m * TILE_QUERIES + v % 4 / 2 * 8,
                       first + v / 4 * 8 + lane % 4 * 2 + v % 2, block.scratch[v * THREADS]);
        }
    }
}
#else
static __device__ void publish_copies() {}

static __device__ void scan(const u16* tile, const u32 (&a)[TILES][4][4],
                            const float (&start)[TILES][4], const Block& block, const int mine,
                            const u32 first) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll 1
    for (int n = warp / QUERY_WARPS * 16; n < ROWS; n += 16 * (WARPS / QUERY_WARPS)) {
        float above[2 * TILES][4];  // for eight rows and the next eight
        int below = -1;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            u32 low[4], high[4];
            load_matrices(low, tile + place(n + 8 * h + lane % 8, lane / 8));
            load_matrices(high, tile + place(n + 8 * h + lane % 8, lane / 8 + 4));
#pragma unroll
            for (int m = 0; m < TILES; ++m) {
                float(&x)[4] = above[h * TILES + m];
                multiply(x, a[m][0], low[0], low[1], start[m]);
                multiply(x, a[m][1], low[2], low[3], x);
                multiply(x, a[m][2], high[0], high[1], x);
                multiply(x, a[m][3], high[2], high[3], x);
                below &= signs(x);
            }
        }
        if (below < 0) continue;  // every sign is set
        for (u32 bits = reached(above, block.scratch); bits; bits &= bits - 1) {
            const int v = __ffs(bits) - 1;
            block.push(mine + v / 4 % TILES * TILE_QUERIES + v % 4 / 2 * 8,
                       first + n + v / 4 / TILES * 8 + lane % 4 * 2 + v % 2,
                       block.scratch[v * THREADS]);
        }
    }
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, 3) collect(
    const long long queries, const long long rows, const long long stride, const long long denser,
    const u16* __restrict__ query_halves, const u16* __restrict__ library,
    const long long* __restrict__ known_before, const float* __restrict__ limit,
    const u8* __restrict__ open, int* __restrict__ count, int* __restrict__ candidate,
    float* __restrict__ candidate_score) {
    __shared__ alignas(1024) u16 tiles[STAGES][ROWS * DIMENSIONS];
    __shared__ float scratch[SCORES * THREADS];
    __shared__ Find queue[QUEUE];
    __shared__ int queued, most;
    __shared__ float limits[QUERIES];
    __shared__ int known[QUERIES];
    const long long first = (long long)blockIdx.x * QUERIES;
    if (threadIdx.x == 0) most = queued = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < QUERIES; i += THREADS) {
        const bool is_open = first + i < queries && open[first + i];
        limits[i] = is_open ? limit[first + i] : CLOSED;
        known[i] = is_open && limits[i] < CLOSED ? (int)known_before[first + i] : 0;
        if (known[i] > 0) atomicMax(&most, known[i]);
    }
    __syncthreads();
    const Round round = {stride, (int)denser};
    const long long steps = (round.count(most) + ROWS - 1) / ROWS;
    if (blockIdx.y >= steps) return;

    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int mine = lane / 4 + (HOPPER ? 16 * warp : warp % QUERY_WARPS * TILES * 16);
    u32 a[TILES][4][4];
    float start[TILES][4];
#pragma unroll
    for (int m = 0; m < TILES; ++m) {
        const int query = mine + m * TILE_QUERIES;
        const long long low = first + query, high = low + 8;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const int at = 16 * k + lane % 4 * 2;
            a[m][k][0] = low < queries ? pair_at(query_halves, low * DIMENSIONS + at) : 0;
            a[m][k][1] = high < queries ? pair_at(query_halves, high * DIMENSIONS + at) : 0;
            a[m][k][2] = low < queries ? pair_at(query_halves, low * DIMENSIONS + at + 8) : 0;
            a[m][k][3] = high < queries ? pair_at(query_halves, high * DIMENSIONS + at + 8) : 0;
        }
        start[m][0] = start[m][1] = -limits[query];
        start[m][2] = start[m][3] = -limits[query + 8];
    }

    const Block block = {round, first, limits, known, scratch + threadIdx.x, queue, &queued,
                         {count, candidate, candidate_score}};
#pragma unroll
    for (int s = 0; s < STAGES - 1; ++s) {
        const long long step = blockIdx.y + (long long)s * gridDim.y;
        if (step < steps) fetch(tiles[s], library, (u32)step * ROWS, round, rows);
        close_copies();
    }
    int stage = 0;
    for (long long step = blockIdx.y; step < steps; step += gridDim.y) {
        await_copies();
        publish_copies();
        if (__syncthreads_or(threadIdx.x == 0 && atomicAdd(&queued, 0) > QUEUE / 2)) {
            empty(queue, queued, block.candidates);
            if (threadIdx.x == 0) queued = 0;
            __syncthreads();
        }
        const long long later = step + (STAGES - 1) * (long long)gridDim.y;
        u16* free_tile = tiles[(stage + STAGES - 1) % STAGES];
        if (later < steps) fetch(free_tile, library, (u32)later * ROWS, round, rows);
        close_copies();
        scan(tiles[stage], a, start, block, mine, (u32)step * ROWS);
        stage = (stage + 1) % STAGES;
    }
    __syncthreads();
    empty(queue, queued, block.candidates);
}

// The k-th largest of n keys in shared memory, found bit by bit; k <= n. For a whole block.
static __device__ u32 kth_largest(const u32* keys, const int n, const int k) {
    __shared__ int reached[32];
    if (threadIdx.x < 32) reached[threadIdx.x] = 0;
    __syncthreads();
    u32 found = 0;
    for (int bit = 31; bit >= 0; --bit) {
        const u32 trial = found | 1u << bit;
        int mine = 0;
        for (int i = threadIdx.x; i < n; i += THREADS) mine += keys[i] >= trial;
        if (mine) atomicAdd(reached + bit, mine);
        __syncthreads();
        if (reached[bit] >= k) found = trial;
    }
    return found;
}

// One block a query: drops what is too far from the k-th best. After the last round a query that
// lost candidates stays open, its list empty, to see all rows again under the limit it has now.
extern "C" __global__ void __launch_bounds__(THREADS) tighten(
    const long long k, const bool last, int* __restrict__ candidate,
    float* __restrict__ candidate_score, float* __restrict__ limit, int* __restrict__ count,
    u8* __restrict__ open) {
    __shared__ u32 keys[CAPACITY];
    __shared__ int rows[CAPACITY];
    __shared__ int left;
    const long long query = blockIdx.x, base = query * CAPACITY;
    const int all = count[query], n = all < CAPACITY ? all : CAPACITY;
    const u8 state = all > CAPACITY ? LOST : open[query];
    if (threadIdx.x == 0) left = 0;
    for (int i = threadIdx.x; i < n; i += THREADS) {
        keys[i] = key_of(candidate_score[base + i]);
        rows[i] = candidate[base + i];
    }
    __syncthreads();
    float least = limit[query];
    if (n >= k) least = fmaxf(least, float_of(kth_largest(keys, n, (int)k)) - MARGIN);
    for (int i = threadIdx.x; i < n; i += THREADS) {
        if (float_of(keys[i]) < least) continue;
        const int slot = atomicAdd(&left, 1);
        candidate[base + slot] = rows[i];
        candidate_score[base + slot] = float_of(keys[i]);
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    limit[query] = least;
    count[query] = last && state == LOST ? 0 : left;
    open[query] = !last ? state : state == LOST ? OPEN : SHUT;
}

// Sorts a power of two of entries, least first. For a whole block.
static __device__ void sort_entries(u64* entries, const int size) {
    for (int run = 2; run <= size; run *= 2)
        for (int apart = run / 2; apart > 0; apart /= 2) {
            __syncthreads();
            for (int i = threadIdx.x; i < size; i += THREADS) {
                const int other = i ^ apart;
                if (other < i) continue;
                const u64 x = entries[i], y = entries[other];
                if ((x > y) == ((i & run) == 0)) {
                    entries[i] = y;
                    entries[other] = x;
                }
            }
        }
    __syncthreads();
}

static __device__ u64 entry_of(const float score, const u32 row) {
    return (u64)~key_of(score) << 32 | row;  // ascending: score falls, row rises
}

// Sorts entries and writes the k best, less what overlaps a better one. For a whole block.
static __device__ void write_best(u64* entries, const int n, const long long k,
                                  const long long exclusion,
                                  const long long* __restrict__ position,
                                  const int* __restrict__ group, float* __restrict__ score,
                                  long long* __restrict__ index) {
    __shared__ long long positions[MOST_NEIGHBOURS];
    __shared__ int groups[MOST_NEIGHBOURS], kept[MOST_NEIGHBOURS];
    int size = 1;
    while (size < n) size *= 2;
    for (int i = n + threadIdx.x; i < size; i += THREADS) entries[i] = ~0ull;
    sort_entries(entries, size);
    const int looked_at = n < k ? n : (int)k;
    for (int i = threadIdx.x; i < looked_at; i += THREADS) {
        positions[i] = position[(u32)entries[i]];
        groups[i] = group[(u32)entries[i]];
    }
    __syncthreads();
    int left = 0;
    for (int i = 0; i < looked_at; ++i) {
        bool overlaps = false;
        for (int j = threadIdx.x; j < left; j += THREADS) {
            const long long apart = positions[i] - positions[kept[j]];
            overlaps |= apart < exclusion && -apart < exclusion && groups[i] == groups[kept[j]];
        }
        if (__syncthreads_or(overlaps)) continue;
        if (threadIdx.x == 0) kept[left] = i;
        ++left;
        __syncthreads();
    }
    for (int i = threadIdx.x; i < k; i += THREADS) {
        const u64 entry = i < left ? entries[kept[i]] : 0;
        score[i] = i < left ? float_of(~(u32)(entry >> 32)) : nanf("");
        index[i] = i < left ? (long long)(u32)entry : -1;
    }
}

// One block a query: of the candidates the k best by float32 score.
extern "C" __global__ void __launch_bounds__(THREADS) finish(
    const float* __restrict__ queries, const float* __restrict__ library,
    const long long* __restrict__ position, const int* __restrict__ group, const long long k,
    const long long exclusion, const int* __restrict__ count, const int* __restrict__ candidate,
    const float* __restrict__ candidate_score, float* __restrict__ score,
    long long* __restrict__ index) {
    __shared__ u32 keys[CAPACITY];
    __shared__ u64 entries[CAPACITY];
    __shared__ int left;
    const long long query = blockIdx.x;
    const int n = count[query];
    if (n > CAPACITY) return;  // `exhaust` answers
    if (threadIdx.x == 0) left = 0;
    for (int i = threadIdx.x; i < n; i += THREADS)
        keys[i] = key_of(candidate_score[query * CAPACITY + i]);
    __syncthreads();
    const float least = n > k ? float_of(kth_largest(keys, n, (int)k)) - MARGIN : NO_LIMIT;
    for (int i = threadIdx.x; i < n; i += THREADS) {
        if (float_of(keys[i]) < least) continue;
        const int row = candidate[query * CAPACITY + i];
        const float* path = library + (long long)row * DIMENSIONS;
        const float exact = score_of(queries + query * DIMENSIONS, path);
        entries[atomicAdd(&left, 1)] = entry_of(exact, row);
    }
    __syncthreads();
    write_best(entries, left, k, exclusion, position, group, score + query * k, index + query * k);
}

// One block a query: the best of two answers, each of k scores and rows.
extern "C" __global__ void __launch_bounds__(THREADS) merge(
    const float* __restrict__ one_score, const long long* __restrict__ one_index,
    const float* __restrict__ other_score, const long long* __restrict__ other_index,
    const long long* __restrict__ position, const int* __restrict__ group, const long long k,
    const long long exclusion, float* __restrict__ score, long long* __restrict__ index) {
    __shared__ u64 entries[2 * MOST_NEIGHBOURS];
    __shared__ int left;
    const long long query = blockIdx.x;
    if (threadIdx.x == 0) left = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < 2 * k; i += THREADS) {
        const long long at = query * k + (i < k ? i : i - k);
        const long long row = i < k ? one_index[at] : other_index[at];
        const float found = i < k ? one_score[at] : other_score[at];
        if (row >= 0) entries[atomicAdd(&left, 1)] = entry_of(found, (u32)row);
    }
    __syncthreads();
    write_best(entries, left, k, exclusion, position, group, score + query * k, index + query * k);
}

// Of equal scores the later row is worse.
static __device__ bool worse(const float* __restrict__ scores, const long long* __restrict__ rows, int a,
                      int b) {
    return scores[a] < scores[b] || (scores[a] == scores[b] && rows[a] > rows[b]);
}

static __device__ void swap(float* __restrict__ scores, long long* __restrict__ rows, int a, int b) {
    const float score = scores[a];
    const long long row = rows[a];
    scores[a] = scores[b];
    rows[a] = rows[b];
    scores[b] = score;
    rows[b] = row;
}

// Restores the heap whose root, the worst, has changed.
static __device__ void sink(float* __restrict__ scores, long long* __restrict__ rows, long long size) {
    int place = 0;
    for (int child = 1; child < size; child = 2 * place + 1) {
        if (child + 1 < size && worse(scores, rows, child + 1, child)) ++child;
        if (!worse(scores, rows, child, place)) return;
        swap(scores, rows, place, child);
        place = child;
    }
}

// Turns the heap into a list, best first.
static __device__ void sort(const long long k, float* __restrict__ scores, long long* __restrict__ rows) {
    for (long long last = k - 1; last > 0; --last) {
        swap(scores, rows, 0, last);
        sink(scores, rows, last);
    }
}

// Drops, best first, what overlaps one already kept; closes the ranks and pads.
static __device__ void thin(const long long k, long long exclusion, const long long* __restrict__ position,
                     const int* __restrict__ group, float* __restrict__ scores,
                     long long* __restrict__ rows) {
    int kept = 0;
    for (int place = 0; place < k && rows[place] >= 0; ++place) {
        const long long row = rows[place];
        bool free = true;
        for (int other = 0; other < kept && free; ++other) {
            const long long apart = position[row] - position[rows[other]];
            const bool near = apart < exclusion && -apart < exclusion;
            free = !(near && group[row] == group[rows[other]]);
        }
        if (free) {
            scores[kept] = scores[place];
            rows[kept] = row;
            ++kept;
        }
    }
    for (; kept < k; ++kept) {
        scores[kept] = nanf("");
        rows[kept] = -1;
    }
}

// Every row by the chain itself, one thread a query, the best so far in a heap: for queries whose
// candidates do not fit, because thousands of rows are equally near.
extern "C" __global__ void exhaust(
    const long long queries_in_all, const float* __restrict__ queries,
    const float* __restrict__ library, const long long* __restrict__ position,
    const int* __restrict__ group, const long long* __restrict__ known_before, const long long k,
    const long long exclusion, const int* __restrict__ count, float* __restrict__ score,
    long long* __restrict__ index) {
    __shared__ alignas(16) float tile[ROWS * DIMENSIONS];
    __shared__ int most;
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const bool asked = i < queries_in_all && count[i] > CAPACITY;
    const int known = asked ? (int)known_before[i] : 0;
    if (threadIdx.x == 0) most = 0;
    __syncthreads();
    if (known > 0) atomicMax(&most, known);
    alignas(16) float query[DIMENSIONS];
#pragma unroll
    for (int d = 0; d < DIMENSIONS; ++d) query[d] = asked ? queries[i * DIMENSIONS + d] : 0;
    float* scores = score + i * k;
    long long* rows = index + i * k;
    for (int place = 0; asked && place < k; ++place) {
        scores[place] = LOWEST;
        rows[place] = -1;
    }
    float least = LOWEST;
    __syncthreads();
    for (int base = 0; base < most; base += ROWS) {
        const int held = most - base < ROWS ? most - base : ROWS;
        for (int at = threadIdx.x; at < held * DIMENSIONS; at += blockDim.x)
            tile[at] = library[(long long)base * DIMENSIONS + at];
        __syncthreads();
        for (int row = 0; row < held && base + row < known; ++row) {
            const float exact = score_of(query, tile + row * DIMENSIONS);
            if (exact > least) {
                scores[0] = exact;
                rows[0] = base + row;
                sink(scores, rows, k);
                least = scores[0];
            }
        }
        __syncthreads();
    }
    if (asked) {
        sort(k, scores, rows);
        thin(k, exclusion, position, group, scores, rows);
    }
}
