// Damping trajectories: four bars a thread, so that each event is loaded once for four.
// Twin in kernels/cpu/damping.py.
//
// Shared memory holds what the bars of a block look at, oldest first, every fourth side by side:
// neighbouring threads then read from neighbouring places.
//
//   bar:    start - 256 ............. start ............. start + BARS * BLOCK
//   i:      0                         256                 (thread j begins at 256 + 4 j)
//   place:  i % 4 * COLUMNS + i / 4

#ifndef BLOCK
#define BLOCK 128
#endif

#define BARS 4
#define WARP 32
#define LONGEST 256
#define STEPS 16
#define COLUMNS (LONGEST / BARS + BLOCK)

// An event counts SCALE in its context's lead, a context without events leads by HINT: a tie
// predicts a repeat, and HINT is below the last bit of anything else. The product of a
// lead and a turn is thus beyond 1 on either side, where saturation makes it 0 or 1.
#define SCALE 0x1p62f
#define HINT 0x1p20f

__constant__ const int windows[STEPS] = {8,  10, 13, 16,  20,  25,  32,  40,
                                         51, 64, 81, 102, 128, 161, 203, 256};

struct alignas(16) Event {
    float turn0, turn1;   // in context 0, 1: SCALE for a change, -SCALE for a repeat
    float null, rupture;  // 1 for an event of this state
};

struct Sums {
    float lead0, lead1;            // c00 - c01 and c11 - c10, in units of SCALE
    float wrong, null, rupture;    // wrong predictions and states under w
    float null2, flip2, rupture2;  // states under w^2, flips in units of SCALE
    float returns, lost;           // returns under w and under 1 - w^i
};

struct Weights {
    float w, w2, away, away_n;  // w, w^2, 1 - w, 1 - w^n
};

struct alignas(16) Metrics {
    float entropy, coherence, stability, value;
};

struct alignas(8) HalfMetrics {
    unsigned entropy_coherence, stability_value;
};

// Rows wait here until a warp can write whole sectors of 32 bytes; the odd width spreads banks.
template <class Row>
struct Stage {
    static constexpr int steps = 32 / sizeof(Row);
    Row rows[steps][BARS][WARP + 1];
    float decay[steps][BARS][WARP + 1];
};

// One instruction each, good to about 2^-22; the arguments here are never denormal.
#ifdef __CUDA_ARCH__
#define APPROXIMATE(name, instruction, plain)                                 \
    static __device__ float name(const float x) {                             \
        float y;                                                              \
        asm(instruction ".approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));        \
        return y;                                                             \
    }
#else
#define APPROXIMATE(name, instruction, plain) \
    static float name(const float x) { return plain; }
#endif
APPROXIMATE(inverse, "rcp", 1 / x)
APPROXIMATE(root, "sqrt", sqrtf(x))
APPROXIMATE(binary_log, "lg2", log2f(x))
APPROXIMATE(binary_power, "ex2", exp2f(x))

static __device__ unsigned half_pair(const float low, const float high) {
    unsigned pair;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#else
    const _Float16 halves[2] = {(_Float16)low, (_Float16)high};
    __builtin_memcpy(&pair, halves, sizeof pair);
#endif
    return pair;
}

static __device__ void store(Metrics& row, const Metrics& m) { row = m; }

static __device__ void store(HalfMetrics& row, const Metrics& m) {
    row = {half_pair(m.entropy, m.coherence), half_pair(m.stability, m.value)};
}

static __device__ int place(const int bar) { return (bar & 3) * COLUMNS + (bar >> 2); }

// Age the sums of bars `from` to `to` - 1 by one bar, guess that bar's event, then count it.
template <bool SHORT>
static __device__ __forceinline__ void visit(const Event* event, const float* change, const int at,
                                             const int from, const int to,
                                             const Weights (&weights)[BARS], Sums (&sums)[BARS]) {
    const Event e = event[at];
    const float flip = fmaxf(e.turn0, e.turn1), r = change[at];
#pragma unroll
    for (int b = 0; b < BARS; ++b) {
        if (b < from || b >= to) continue;
        const Weights& v = weights[b];
        Sums& s = sums[b];
        const float guess = __saturatef(fmaf(e.turn0, s.lead0, e.turn1 * s.lead1));
        s.wrong = fmaf(s.wrong, v.w, guess);
        s.lead0 = fmaf(s.lead0, v.w, -e.turn0);
        s.lead1 = fmaf(s.lead1, v.w, -e.turn1);
        s.null = fmaf(s.null, v.w, e.null);
        s.rupture = fmaf(s.rupture, v.w, e.rupture);
        s.null2 = fmaf(s.null2, v.w2, e.null);
        s.flip2 = fmaf(s.flip2, v.w2, flip);
        s.rupture2 = fmaf(s.rupture2, v.w2, e.rupture);
        if (SHORT) s.lost = fmaf(s.returns, v.away, s.lost);
        s.returns = fmaf(s.returns, v.w, r);
    }
}

// The windows of a thread's bars, from the oldest event on; they begin and end one bar apart.
template <bool SHORT>
static __device__ __forceinline__ void visit_windows(const Event* event, const float* change,
                                                     const int window, const Weights (&v)[BARS],
                                                     Sums (&s)[BARS]) {
    int bar = 1 - window;
#pragma unroll
    for (int to = 1; to < BARS; ++to, ++bar)
        visit<SHORT>(event, change, place(bar), 0, to, v, s);
#pragma unroll 1
    for (; bar % BARS; ++bar) visit<SHORT>(event, change, place(bar), 0, BARS, v, s);
#pragma unroll 1
    for (int column = bar / BARS; column < 0; ++column) {
#pragma unroll
        for (int i = 0; i < BARS; ++i)
            visit<SHORT>(event, change, column + i * COLUMNS, 0, BARS, v, s);
    }
#pragma unroll
    for (int from = 0; from < BARS; ++from)
        visit<SHORT>(event, change, from * COLUMNS, from, BARS, v, s);
}

// 1 - exp(-x) for x in [0, 1] with all its digits: a series at x / 4, then 1 - v squared twice.
static __device__ float away_from_one(const float x) {
    const float y = 0.25f * x;
    float v = fmaf(-y, 1 / 720.0f, 1 / 120.0f);
    v = fmaf(-y, v, 1 / 24.0f);
    v = fmaf(-y, v, 1 / 6.0f);
    v = fmaf(-y, v, 0.5f);
    v = y * fmaf(-y, v, 1.0f);
    v = v * (2 - v);
    return v * (2 - v);
}

static __device__ Weights weights_of(const float rate, const int window) {
    const float away = away_from_one(rate), w = 1 - away;
    const float total = window * (rate + (1 - w - away));  // -n ln w of the rounded w
    const float away_n = total < 1 ? away_from_one(total) : 1 - binary_power(total * -1.44269504f);
    return {w, w * w, 1 - w, away_n};
}

static __device__ float surprise(const float p) { return -p * binary_log(fmaxf(p, 1e-37f)); }

struct States {
    float null, flip, rupture;  // shares of the events
    float share;                // of one event of weight 1
};

static __device__ States states_of(const Sums& s) {
    const float changes = fmaf(s.lead0 + s.lead1, -1 / SCALE, s.null + s.rupture);
    const float flip = fmaxf(changes, 0.0f);
    const float share = inverse(s.null + flip + s.rupture);
    return {s.null * share, flip * share, s.rupture * share, share};
}

// x_t - x_{t-j} is the sum of the returns since, so the damped value is the sum of
// r_i (w^i - w^n) / (1 - w^n) over the returns of age i; `move` is x_t - x_{t-n}. Of the two ways
// to it one keeps its digits while w^n is small, the other while it is near 1.
static __device__ float damped_value(const Sums& s, const float move, const float away_n) {
    const float small = fmaf(away_n - 1, move, s.returns), large = fmaf(away_n, move, -s.lost);
    return (away_n < 0.5f ? large : small) * inverse(away_n);
}

// `loss` is 1 - coherence with all its digits: 1 - B^2 with 1 - B = sum (sqrt p - sqrt q)^2 / 2.
static __device__ Metrics measure(const Sums& s, const float value, float& loss) {
    const States p = states_of(s);
    const float flip2 = s.flip2 / SCALE, share2 = inverse(s.null2 + flip2 + s.rupture2);
    const float null = root(p.null) - root(s.null2 * share2);
    const float flip = root(p.flip) - root(flip2 * share2);
    const float rupture = root(p.rupture) - root(s.rupture2 * share2);
    const float apart = 0.5f * (null * null + flip * flip + rupture * rupture);
    const float entropy = surprise(p.null) + surprise(p.flip) + surprise(p.rupture);
    loss = apart * (2 - apart);
    return {__saturatef(entropy * 0.63092975357f), __saturatef(1 - loss),
            __saturatef(1 - s.wrong * p.share), value};
}

static __device__ float distance(const Metrics& a, const Metrics& b) {
    return fmaxf(fmaxf(fabsf(a.entropy - b.entropy), fabsf(a.coherence - b.coherence)),
                 fabsf(a.stability - b.stability));
}

// The smallest window holds an event.
static __device__ bool eventful(const Event* event, const int bar) {
    float turns = 0;
#pragma unroll
    for (int age = 0; age < 8; ++age) {
        const Event& e = event[place(bar - age)];
        turns += fabsf(e.turn0) + fabsf(e.turn1);
    }
    return turns > 0;
}

// No return of the last 257 is NaN or infinite.
static __device__ bool clean(const float* change, const int bar) {
    float poison = 0;
#pragma unroll 1
    for (int age = 0; age <= LONGEST; ++age) poison += change[place(bar - age)] * 0.0f;
    return poison == 0;
}

template <int WIDTH, class Row>
static __device__ void write_out(const Stage<Row>& stage, const int bars, const int rows,
                                 Row* trajectory, float* decay) {
    const int step = threadIdx.x % WIDTH, first = threadIdx.x % WARP / WIDTH;
    const Row* row = &stage.rows[step][first % BARS][first / BARS];
    const float* lambda = &stage.decay[step][first % BARS][first / BARS];
    trajectory += first * rows + step;
    decay += first * rows + step;
#pragma unroll 4
    for (int bar = first; bar < bars; bar += WARP / WIDTH) {
        *trajectory = *row;
        *decay = *lambda;
        trajectory += WARP / WIDTH * rows;
        decay += WARP / WIDTH * rows;
        row += WARP / WIDTH / BARS;
        lambda += WARP / WIDTH / BARS;
    }
}

#define INPUTS                                                                      \
    const long long n, const unsigned char *__restrict__ events,                    \
        const double *__restrict__ log_price, const double *__restrict__ sigma,     \
        const int *__restrict__ segments, const float k1, const float k2,           \
        const float frequency, const float decay0, const float tolerance, const int first
#define OUTPUTS(Row)                                                                \
    Row *__restrict__ trajectory, float *__restrict__ decay,                        \
        signed char *__restrict__ steps, bool *__restrict__ converged,              \
        float *__restrict__ state_ratios

template <class Row>
static __device__ __forceinline__ void damp_block(INPUTS, OUTPUTS(Row)) {
    __shared__ Event event_tile[BARS * COLUMNS];
    __shared__ float change_tile[BARS * COLUMNS];
    __shared__ Stage<Row> stages[BLOCK / WARP];
    const long long start = (long long)blockIdx.x * (BARS * BLOCK);
    bool poison = false;
    for (int i = threadIdx.x; i < BARS * COLUMNS; i += BLOCK) {
        const long long bar = start - LONGEST + i;
        const int code = bar >= 0 && bar < n ? events[bar] : 4;
        const float turn = code == 0 || code == 3 ? -SCALE : SCALE;
        const double change = bar > 0 && bar < n ? log_price[bar] - log_price[bar - 1] : 0;
        event_tile[place(i)] = {code < 2 ? turn : 0, code == 2 || code == 3 ? turn : 0,
                                code == 0 ? 1.0f : 0, code == 3 ? 1.0f : 0};
        change_tile[place(i)] = change;
        poison |= !isfinite(change);
    }
    const bool poisoned = __syncthreads_or(poison);

    const int lane = threadIdx.x % WARP;
    const long long t = start + BARS * threadIdx.x, warp_start = t - BARS * lane;
    const int bars = n - warp_start < BARS * WARP ? n - warp_start : BARS * WARP;
    const Event* event = event_tile + place(LONGEST + BARS * threadIdx.x);
    const float* change = change_tile + place(LONGEST + BARS * threadIdx.x);
    const double* price = log_price + t;
    Stage<Row>& stage = stages[threadIdx.x / WARP];
    const int rows = STEPS - first, width = rows % Stage<Row>::steps ? 1 : Stage<Row>::steps;
    trajectory += warp_start * rows;
    decay += warp_start * rows;

    bool has[BARS];
    int settled[BARS];
    float lambda[BARS], scale[BARS];
    Metrics last[BARS] = {};
    Sums s[BARS];
    const float nan = nanf("");
#pragma unroll
    for (int b = 0; b < BARS; ++b) {
        has[b] = t + b < n && t + b > LONGEST && segments[t + b - LONGEST - 1] == segments[t + b] &&
                 eventful(event, b) && !(poisoned && !clean(change, b));
        scale[b] = has[b] && sigma[t + b] > 0 ? 1 / (float)sigma[t + b] : nan;
        lambda[b] = decay0;
        settled[b] = 1;
    }
#pragma unroll 1
    for (int k = 0; k < STEPS; ++k) {
        const int window = windows[k], step = k % width;
        const float bound = k > 0 ? tolerance : 1.0f;
        Weights v[BARS];
        float move[BARS];
        bool is_short = false;
#pragma unroll
        for (int b = 0; b < BARS; ++b) {
            stage.decay[step][b][lane] = has[b] ? lambda[b] : nan;
            move[b] = has[b] ? (float)(price[b] - price[b - window]) : 0;
            v[b] = weights_of(lambda[b] * frequency, window);
            is_short |= has[b] && v[b].away_n < 0.5f;
            s[b] = {HINT, HINT, 0, 0, 0, 0, 0, 0, 0, 0};
        }
        if (__any_sync(~0u, is_short)) visit_windows<true>(event, change, window, v, s);
        else visit_windows<false>(event, change, window, v, s);
#pragma unroll
        for (int b = 0; b < BARS; ++b) {
            const float value = damped_value(s[b], move[b], v[b].away_n) * scale[b];
            float loss;
            const Metrics m = measure(s[b], value, loss);
            settled[b] = distance(last[b], m) > bound ? k + 1 : settled[b];
            last[b] = m;
            lambda[b] = fminf(fmaxf(fmaf(k1, m.entropy, k2 * loss), 0.01f), 1.0f);
            store(stage.rows[step][b][lane], has[b] ? m : Metrics{nan, nan, nan, nan});
        }
        if (k < first || step < width - 1) continue;
        __syncwarp();
        if (width == 1) write_out<1>(stage, bars, rows, trajectory, decay);
        else write_out<Stage<Row>::steps>(stage, bars, rows, trajectory, decay);
        __syncwarp();
        trajectory += width;
        decay += width;
    }
#pragma unroll
    for (int b = 0; b < BARS; ++b) {
        if (t + b >= n) return;
        const States p = states_of(s[b]);
        steps[t + b] = has[b] ? settled[b] : -1;
        converged[t + b] = has[b] && settled[b] < STEPS;
        state_ratios[3 * (t + b)] = has[b] ? p.null : nan;
        state_ratios[3 * (t + b) + 1] = has[b] ? p.flip : nan;
        state_ratios[3 * (t + b) + 2] = has[b] ? p.rupture : nan;
    }
}

#define DAMP_BLOCK                                                                          \
    damp_block(n, events, log_price, sigma, segments, k1, k2, frequency, decay0, tolerance, \
               first, trajectory, decay, steps, converged, state_ratios)

extern "C" __global__ void __launch_bounds__(BLOCK) damp(INPUTS, OUTPUTS(Metrics)) { DAMP_BLOCK; }

extern "C" __global__ void __launch_bounds__(BLOCK) damp_half(INPUTS, OUTPUTS(HalfMetrics)) {
    DAMP_BLOCK;
}
