// Damping trajectories: one thread a bar. Twin in kernels/cpu/damping.py.
//
// Shared memory holds what the bars of a block look at, oldest first:
//
//   tile:   0 ............... 256 ............... 256 + BLOCK
//   bar:    start - 256       start               start + BLOCK      (thread i sits at 256 + i)

#ifndef BLOCK
#define BLOCK 128
#endif

#define LONGEST 256
#define STEPS 16

__constant__ const int windows[STEPS] = {8,  10, 13, 16,  20,  25,  32,  40,
                                         51, 64, 81, 102, 128, 161, 203, 256};

struct alignas(16) Event {
    float e00, e01, e10, e11;  // the one that happened is 1
};

struct alignas(16) Metrics {
    float entropy, coherence, stability, value;
};

struct Sums {
    float c00, c01, c10, c11;    // damped counts c[x][y]
    float null, flip, rupture;   // states under the faster weights w^2
    float wrong;                 // wrong predictions
    float momentum, norm;        // numerator and denominator of the damped value
};

// x_t - x_{t-j} is the sum of the returns since, so return i carries the weights of all j > i:
// w + w^2 + .. + w^(n-i), kept as `norm` on the way. Returns come from float64 differences.
static __device__ Sums damped_sums(const Event* event, const float* change, const int window,
                                   const float w) {
    Sums s = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    const float w2 = w * w;
#pragma unroll 4
    for (int age = window - 1; age >= 0; --age) {
        const Event e = event[-age];
        s.wrong = s.wrong * w + (s.c00 >= s.c01 ? e.e01 : e.e00);
        s.wrong += s.c11 >= s.c10 ? e.e10 : e.e11;
        s.c00 = s.c00 * w + e.e00;
        s.c01 = s.c01 * w + e.e01;
        s.c10 = s.c10 * w + e.e10;
        s.c11 = s.c11 * w + e.e11;
        s.null = s.null * w2 + e.e00;
        s.flip = s.flip * w2 + (e.e01 + e.e10);
        s.rupture = s.rupture * w2 + e.e11;
        s.norm = s.norm * w + w;
        s.momentum = s.momentum * w + change[-age] * s.norm;
    }
    return s;
}

static __device__ float surprise(const float p) {
    return p > 0 ? -p * logf(p) / 1.0986122886681098f : 0;
}

static __device__ Metrics metrics_of(const Sums& s, const float sigma) {
    const float flip = s.c01 + s.c10;
    const float total = s.c00 + flip + s.c11, fast = s.null + s.flip + s.rupture;
    const float overlap = sqrtf(s.c00 * s.null) + sqrtf(flip * s.flip) + sqrtf(s.c11 * s.rupture);
    return {surprise(s.c00 / total) + surprise(flip / total) + surprise(s.c11 / total),
            overlap * overlap / (total * fast), 1 - s.wrong / total,
            sigma > 0 ? s.momentum / s.norm / sigma : nanf("")};
}

static __device__ bool moved(const Metrics& a, const Metrics& b, const float tolerance) {
    return !(fabsf(a.entropy - b.entropy) <= tolerance &&
             fabsf(a.coherence - b.coherence) <= tolerance &&
             fabsf(a.stability - b.stability) <= tolerance);
}

// The smallest window holds an event and no return of the last 257 is NaN or infinite.
static __device__ bool complete(const Event* event, const float* change) {
    float events = 0, poison = 0;
    for (int age = 0; age < windows[0]; ++age) {
        const Event e = event[-age];
        events += e.e00 + e.e01 + e.e10 + e.e11;
    }
    for (int age = 0; age <= LONGEST; ++age) poison += change[-age] * 0.0f;
    return events > 0 && poison == 0;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    damp(const long long n, const unsigned char* __restrict__ events,
         const double* __restrict__ log_price, const double* __restrict__ sigma,
         const int* __restrict__ segments, const double k1, const double k2, const double tau,
         const double decay0, const double tolerance, const int first,
         Metrics* __restrict__ trajectory, float* __restrict__ decay,
         signed char* __restrict__ steps, bool* __restrict__ converged,
         float* __restrict__ state_ratios) {
    __shared__ Event event_tile[BLOCK + LONGEST];
    __shared__ float change_tile[BLOCK + LONGEST];
    const long long start = (long long)blockIdx.x * BLOCK;
    for (int i = threadIdx.x; i < BLOCK + LONGEST; i += BLOCK) {
        const long long bar = start - LONGEST + i;
        const int code = bar >= 0 && bar < n ? events[bar] : 4;
        event_tile[i] = {code == 0 ? 1.0f : 0, code == 1 ? 1.0f : 0, code == 2 ? 1.0f : 0,
                         code == 3 ? 1.0f : 0};
        change_tile[i] = bar > 0 && bar < n ? (float)(log_price[bar] - log_price[bar - 1]) : 0;
    }
    __syncthreads();

    const long long t = start + threadIdx.x;
    if (t >= n) return;
    const Event* event = event_tile + LONGEST + threadIdx.x;
    const float* change = change_tile + LONGEST + threadIdx.x;
    const bool has = t > LONGEST && segments[t - LONGEST - 1] == segments[t] &&
                     complete(event, change);

    const float nan = nanf("");
    Metrics last = {nan, nan, nan, nan};
    Sums sums = {nan, nan, nan, nan, nan, nan, nan, nan, nan, nan};
    float lambda = has ? (float)decay0 : nan;
    int settled = 1;
    for (int k = 0; k < STEPS; ++k) {
        if (k >= first) decay[t * (STEPS - first) + k - first] = lambda;
        if (has) {
            sums = damped_sums(event, change, windows[k], expf(-lambda / (float)tau));
            const Metrics next = metrics_of(sums, (float)sigma[t]);
            if (k > 0 && moved(last, next, (float)tolerance)) settled = k + 1;
            last = next;
            lambda = (float)k1 * last.entropy + (float)k2 * (1 - last.coherence);
            lambda = fminf(fmaxf(lambda, 0.01f), 1.0f);
        }
        if (k >= first) trajectory[t * (STEPS - first) + k - first] = last;
    }
    const float total = sums.c00 + sums.c01 + sums.c10 + sums.c11;
    steps[t] = has ? settled : -1;
    converged[t] = has && settled < STEPS;
    state_ratios[3 * t] = sums.c00 / total;
    state_ratios[3 * t + 1] = (sums.c01 + sums.c10) / total;
    state_ratios[3 * t + 2] = sums.c11 / total;
}
