// Exact nearest paths: one thread a query, library tiles through shared memory, the best so far in
// a heap. Twin in kernels/cpu/nearest.py.

constexpr int DIMENSIONS = 64;
constexpr int ROWS = 64;  // of the library in shared memory
constexpr float LOWEST = -3e38f;

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

extern "C" __global__ void nearest(
    const long long count, const float* __restrict__ queries, const float* __restrict__ library,
    const long long* __restrict__ position, const int* __restrict__ group,
    const long long* __restrict__ known_before, const long long k, const long long exclusion,
    float* __restrict__ score, long long* __restrict__ index) {
    __shared__ alignas(16) float tile[ROWS * DIMENSIONS];
    __shared__ long long known_to_block;
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long known = i < count ? known_before[i] : 0;
    if (threadIdx.x == 0) {
        known_to_block = 0;
        for (long long j = i; j < i + blockDim.x && j < count; ++j)
            if (known_before[j] > known_to_block) known_to_block = known_before[j];
    }
    float query[DIMENSIONS];
#pragma unroll
    for (int d = 0; d < DIMENSIONS; ++d) query[d] = i < count ? queries[i * DIMENSIONS + d] : 0;
    float* scores = score + i * k;
    long long* rows = index + i * k;
    for (int place = 0; i < count && place < k; ++place) {
        scores[place] = LOWEST;
        rows[place] = -1;
    }
    float least = LOWEST;
    __syncthreads();
    for (long long base = 0; base < known_to_block; base += ROWS) {
        const long long left = known_to_block - base;
        const int held = left < ROWS ? (int)left : ROWS;
        for (int at = threadIdx.x; at < held * DIMENSIONS; at += blockDim.x)
            tile[at] = library[base * DIMENSIONS + at];
        __syncthreads();
        const int end = known - base < held ? (int)(known - base) : held;
        for (int row = 0; row < end; ++row) {
            const float* path = tile + row * DIMENSIONS;
            float a = 0, b = 0, c = 0, d = 0;
#pragma unroll
            for (int at = 0; at < DIMENSIONS; at += 4) {
                a += query[at] * path[at];
                b += query[at + 1] * path[at + 1];
                c += query[at + 2] * path[at + 2];
                d += query[at + 3] * path[at + 3];
            }
            const float product = (a + b) + (c + d);
            if (product > least) {
                scores[0] = product;
                rows[0] = base + row;
                sink(scores, rows, k);
                least = scores[0];
            }
        }
        __syncthreads();
    }
    if (i < count) {
        sort(k, scores, rows);
        thin(k, exclusion, position, group, scores, rows);
    }
}
