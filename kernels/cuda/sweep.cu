// Backtests: one lane a parameter set, all lanes of a block at the same bar. Twin in
// kernels/cpu/sweep.py.
//
// A tile of bars lies in shared memory, one loaded by each thread. Prices are whole points, the
// short side's negative, so that both sides earn when their numbers rise.

#ifndef BLOCK
#define BLOCK 128
#endif

constexpr int CHUNK = 32;  // bars that a warp may pass over together
constexpr int CHUNKS = BLOCK / CHUNK;
constexpr unsigned WARP = 0xffffffffu;
constexpr int SHORT = 1, FLAT = 2;
constexpr int DAY_ENDS = 2;
constexpr int NEVER = 0x7fffffff;
constexpr float LOWEST = -3e38f;
constexpr float FAR = 1073741824.0f;  // points, beyond every range

struct alignas(16) Quad {
    int open, worst, best, close;
};

// Of the bar before, to be acted on at the open; the day is that of the bar itself.
struct alignas(16) Signal {
    float score, distance;
    int reach, flags;
};

struct Bar {
    Quad sides[FLAT];
    Signal signal;
};

struct Lane {
    int side = FLAT;
    int base = 0;  // equity less the price that is added to it: 0 while flat
    int entry = 0;
    int stop = -NEVER, target = NEVER, last = -1;
    int trades = 0, wins = 0, peak = 0, fall = 0, before = 0;
};

static __device__ int lesser(const int a, const int b) { return a < b ? a : b; }

static __device__ int greater(const int a, const int b) { return a > b ? a : b; }

static __device__ int rounded(const float distance) {
    return (int)fminf(fmaxf(rintf(distance), 1.0f), FAR);
}

static __device__ Bar load(const long long t, const long long n, const Quad* __restrict__ quads,
                           const float* __restrict__ score, const bool* __restrict__ is_short,
                           const float* __restrict__ distance, const int* __restrict__ reach,
                           const int* __restrict__ day) {
    Bar bar = {{{0, 0, 0, 0}, {0, 0, 0, 0}}, {LOWEST, 0, -1, 0}};
    if (t >= n) return bar;
    bar.sides[0] = quads[2 * t];
    bar.sides[1] = quads[2 * t + 1];
    if (t > 0) bar.signal = {score[t - 1], distance[t - 1], reach[t - 1], is_short[t - 1]};
    if (t + 1 == n || day[t + 1] != day[t]) bar.signal.flags |= DAY_ENDS;
    return bar;
}

// Enters at the open of bar t, whose quotes of the other side are given.
static __device__ void enter(Lane& lane, const int t, const Signal& signal, const Quad& other,
                             const float stop, const float target, const int horizon,
                             const int slippage) {
    lane.side = signal.flags & SHORT;
    lane.entry = slippage - other.open;
    lane.base -= lane.entry;
    lane.stop = lane.entry - rounded(stop * signal.distance);
    lane.target = lane.entry + rounded(target * signal.distance);
    lane.last = t + lesser(horizon, signal.reach);  // the first bar after a hole, if one comes
}

static __device__ void leave(Lane& lane, const int price) {
    ++lane.trades;
    lane.wins += price > lane.entry;
    lane.base += price;
    lane.side = FLAT;
    lane.stop = -NEVER;
    lane.target = NEVER;
    lane.last = -1;
}

// The stop before the target; an open beyond the stop fills there. Returns the equity at the close.
static __device__ int hold(Lane& lane, const int t, const Quad& quote) {
    const bool late = t == lane.last, stopped = quote.worst <= lane.stop;
    if (late | stopped | (quote.best >= lane.target)) {
        const int inside = stopped ? lesser(quote.open, lane.stop) : lane.target;
        leave(lane, late ? quote.open : inside);
        return lane.base;
    }
    return lane.base + quote.close;
}

extern "C" __global__ void __launch_bounds__(BLOCK) sweep(
    const long long sets, const long long n, const Quad* __restrict__ quads,
    const float* __restrict__ score, const bool* __restrict__ is_short,
    const float* __restrict__ distance, const int* __restrict__ reach,
    const int* __restrict__ day, const float* __restrict__ thresholds,
    const float* __restrict__ stops, const float* __restrict__ targets,
    const int* __restrict__ horizons, const int slippage, const double point,
    const long long columns, int* __restrict__ trades, int* __restrict__ wins,
    int* __restrict__ profit, int* __restrict__ drawdown, double* __restrict__ day_sum,
    double* __restrict__ day_square_sum, float* __restrict__ daily) {
    __shared__ Quad quotes[BLOCK][FLAT + 1];
    __shared__ Signal signals[BLOCK + 1];  // one more is read, not used
    __shared__ float lowest[BLOCK];
    __shared__ int busy[CHUNKS];

    const int thread = threadIdx.x;
    const long long set = (long long)blockIdx.x * BLOCK + thread;
    const bool real = set < sets;
    const float threshold = real ? thresholds[set] : -LOWEST;
    const float stop = real ? stops[set] : 1, target = real ? targets[set] : 1;
    const int horizon = real ? horizons[set] : FAR;

    lowest[thread] = threshold;
    quotes[thread][FLAT] = {0, 0, 0, 0};
    __syncthreads();
    float least = threshold;
    for (int i = 0; i < BLOCK; ++i) least = fminf(least, lowest[i]);

    Lane lane;
    double sum = 0, squares = 0;
    Bar next = load(thread, n, quads, score, is_short, distance, reach, day);
    for (long long first = 0; first < n; first += BLOCK) {
        __syncthreads();
        quotes[thread][0] = next.sides[0];
        quotes[thread][1] = next.sides[1];
        signals[thread] = next.signal;
        const bool acts = next.signal.score >= least || (next.signal.flags & DAY_ENDS);
        const int any = __any_sync(WARP, acts);
        if (thread % CHUNK == 0) busy[thread / CHUNK] = any;
        __syncthreads();
        if (first + BLOCK < n)
            next = load(first + BLOCK + thread, n, quads, score, is_short, distance, reach, day);
        for (int chunk = 0; chunk < CHUNKS; ++chunk) {
            if (!busy[chunk] && !__any_sync(WARP, lane.side != FLAT)) continue;
            Signal coming = signals[chunk * CHUNK];
            for (int i = chunk * CHUNK; i < (chunk + 1) * CHUNK; ++i) {
                const int t = (int)first + i;
                const Signal signal = coming;
                coming = signals[i + 1];
                Quad quote = quotes[i][lane.side];  // early, for the answer takes a while
                if (signal.score >= threshold) {
                    const int side = signal.flags & SHORT;
                    if (lane.side != FLAT) {
                        lane.last = lane.side == side ? lane.last : t;
                    } else if (signal.reach > 0 && horizon < n - t) {
                        enter(lane, t, signal, quotes[i][1 - side], stop, target, horizon,
                              slippage);
                        quote = quotes[i][side];
                    }
                }
                const int equity = hold(lane, t, quote);
                lane.peak = greater(lane.peak, equity);
                lane.fall = greater(lane.fall, lane.peak - equity);
                if (signal.flags & DAY_ENDS) {
                    const double change = equity - lane.before;
                    sum += change;
                    squares += change * change;
                    lane.before = equity;
                    if (columns && real) daily[set * columns + day[t]] = (float)(change * point);
                }
            }
        }
    }
    if (!real) return;
    trades[set] = lane.trades;
    wins[set] = lane.wins;
    profit[set] = lane.base;
    drawdown[set] = lane.fall;
    day_sum[set] = sum;
    day_square_sum[set] = squares;
}
