// Exits of one side: one thread a bar. Twin in kernels/cpu/outcomes.py.

struct Exit {
    double price;
    long long bar;
};

// NaN as soon as a quote that the exit needs is NaN.
static __device__ Exit leave(const long long first, const long long last,
                             const double* __restrict__ leave_open,
                             const double* __restrict__ adverse,
                             const double* __restrict__ favourable, const bool has_stop,
                             const bool has_target, const double sign, const double stop,
                             const double target) {
    for (long long u = first; u < last; ++u) {
        if (has_stop) {
            if (isnan(leave_open[u] + adverse[u] + stop)) return {nan(""), u};
            if (sign * (leave_open[u] - stop) <= 0) return {leave_open[u], u};
            if (sign * (adverse[u] - stop) <= 0) return {stop, u};
        }
        if (has_target) {
            if (isnan(favourable[u] + target)) return {nan(""), u};
            if (sign * (favourable[u] - target) >= 0) return {target, u};
        }
    }
    return {leave_open[last], last};
}

extern "C" __global__ void exits(
    const long long n, const double* __restrict__ enter_open,
    const double* __restrict__ leave_open, const double* __restrict__ adverse,
    const double* __restrict__ favourable, const long long* __restrict__ reach,
    const double* __restrict__ stop, const double* __restrict__ target, const bool has_stop,
    const bool has_target, const double sign, const double slippage, const long long horizon,
    double* __restrict__ entry_price, double* __restrict__ exit_price,
    long long* __restrict__ exit_bar) {
    const long long t = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= n) return;
    const long long last = t + 1 + (horizon < reach[t] ? horizon : reach[t]);
    double entry = nan("");
    Exit out = {nan(""), last};
    if (reach[t] > 0 && t + horizon + 1 < n) {
        entry = enter_open[t + 1] + sign * slippage;
        const double stop_level = has_stop ? entry - sign * stop[t] : nan("");
        const double target_level = has_target ? entry + sign * target[t] : nan("");
        out = leave(t + 1, last, leave_open, adverse, favourable, has_stop, has_target, sign,
                    stop_level, target_level);
    }
    const bool known = !isnan(entry + out.price);
    entry_price[t] = known ? entry : nan("");
    exit_price[t] = known ? out.price : nan("");
    exit_bar[t] = known ? out.bar : -1;
}
