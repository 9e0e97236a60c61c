// Counts of neighbours and their posterior: one thread a query and side. Twin in
// kernels/cpu/confidence.py.

extern "C" __global__ void tally(
    const long long n, const long long* __restrict__ index, const signed char* __restrict__ win,
    const double* __restrict__ prior, const double* __restrict__ strength, const long long k,
    const long long rows, const long long sides, long long* __restrict__ wins,
    long long* __restrict__ k_eff, double* __restrict__ posterior) {
    const long long t = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= n) return;
    const long long query = t / sides, side = t % sides;
    long long won = 0, known = 0;
    for (long long j = 0; j < k; ++j) {
        const long long row = index[query * k + j];
        if (row < -1 || row >= rows) {
            won = 0, known = -1;
            break;
        }
        if (row >= 0) {
            const int outcome = win[row * sides + side];
            won += outcome == 1;
            known += outcome >= 0;
        }
    }
    double mean = nan("");
    if (known > 0) {
        const bool alone = isinf(strength[side]);
        mean = alone ? prior[side] : (won + prior[side]) / (known + strength[side]);
    }
    wins[t] = won, k_eff[t] = known, posterior[t] = mean;
}
