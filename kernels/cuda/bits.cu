// Bits, events and volatility: one thread a bar. Twins in kernels/cpu/bits.py.

static __device__ long long this_bar() {
    return (long long)blockIdx.x * blockDim.x + threadIdx.x;
}

extern "C" __global__ void direction(const long long n, const double* __restrict__ close,
                                     const int* __restrict__ segments,
                                     unsigned char* __restrict__ bits, bool* __restrict__ valid) {
    const long long t = this_bar();
    if (t >= n) return;
    const bool known =
        t > 0 && segments[t - 1] == segments[t] && close[t - 1] > 0 && close[t] > 0;
    bits[t] = known && close[t] > close[t - 1];
    valid[t] = known && close[t] != close[t - 1];
}

extern "C" __global__ void body(const long long n, const double* __restrict__ open,
                                const double* __restrict__ close,
                                unsigned char* __restrict__ bits, bool* __restrict__ valid) {
    const long long t = this_bar();
    if (t >= n) return;
    bits[t] = close[t] > open[t];
    valid[t] = close[t] > open[t] || close[t] < open[t];
}

extern "C" __global__ void true_range(const long long n, const double* __restrict__ high,
                                      const double* __restrict__ low,
                                      const double* __restrict__ close,
                                      const int* __restrict__ segments, double* __restrict__ out) {
    const long long t = this_bar();
    if (t >= n) return;
    out[t] = nan("");
    if (t == 0 || segments[t - 1] != segments[t]) return;
    const double before = close[t - 1];
    if (isfinite(before) && isfinite(high[t]) && isfinite(low[t]))
        out[t] = fmax(high[t], before) - fmin(low[t], before);
}

extern "C" __global__ void exceeds_mean(const long long n, const double* __restrict__ value,
                                        const int* __restrict__ segments, const long long window,
                                        unsigned char* __restrict__ bits,
                                        bool* __restrict__ valid) {
    const long long t = this_bar();
    if (t >= n) return;
    double total = nan("");
    if (t >= window && segments[t - window] == segments[t]) {
        total = 0;
        for (long long i = t - window; i < t; ++i) total += value[i];
    }
    valid[t] = isfinite(total) && isfinite(value[t]);
    bits[t] = valid[t] && value[t] > total / window;
}

// Bars without a bit are walked over; together these walks pass each bar once.
extern "C" __global__ void transitions(const long long n, const unsigned char* __restrict__ bits,
                                       const bool* __restrict__ valid,
                                       const int* __restrict__ segments,
                                       unsigned char* __restrict__ events) {
    const long long t = this_bar();
    if (t >= n) return;
    events[t] = 4;
    if (!valid[t]) return;
    long long i = t - 1;
    while (i >= 0 && segments[i] == segments[t] && !valid[i]) --i;
    if (i >= 0 && segments[i] == segments[t]) events[t] = 2 * bits[i] + bits[t];
}

extern "C" __global__ void volatility(const long long n, const double* __restrict__ log_price,
                                      const int* __restrict__ segments, const long long window,
                                      double* __restrict__ sigma) {
    const long long t = this_bar();
    if (t >= n) return;
    sigma[t] = nan("");
    if (t < window || segments[t - window] != segments[t]) return;
    double total = 0;
    for (long long i = t - window; i < t; ++i) {
        const double change = log_price[i + 1] - log_price[i];
        total += change * change;
    }
    sigma[t] = sqrt(total / window);
}
