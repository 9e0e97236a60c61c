// Local logistic fits: one thread a query and side, all sums over its neighbours first to last. Twin
// in kernels/cpu/local.py.

#ifndef FEATURES
#define FEATURES 8
#endif

constexpr int TERMS = FEATURES + 1;
constexpr int PRODUCTS = TERMS * (TERMS + 1) / 2;
constexpr int STEPS = 10;
constexpr double STILL = 1e-6, LONGEST = 1.0, RANK = 1e-12;

// What one thread looks at; the row of its query in each array.
struct Sight {
    const long long* __restrict__ index;
    const float* __restrict__ score;
    const signed char* __restrict__ win;
    const float* __restrict__ features;
    double at[FEATURES];
};

struct Neighbour {
    double z[TERMS];  // 1 and the features relative to the query's
    double gap;       // squared distance
    bool won;
};

// False where the neighbour tells nothing.
static __device__ __forceinline__ bool look(const Sight& sight, const long long j, Neighbour& to) {
    const long long row = sight.index[j];
    if (row < 0) return false;
    const int outcome = sight.win[2 * row];
    const float score = sight.score[j];
    bool some = outcome >= 0 && !isnan(score);
    to.z[0] = 1;
#pragma unroll
    for (int c = 0; c < FEATURES; ++c) {
        to.z[c + 1] = (double)sight.features[row * FEATURES + c] - sight.at[c];
        some = some && isfinite(to.z[c + 1]);
    }
    to.gap = fmax(0.0, 2.0 - 2.0 * (double)score), to.won = outcome == 1;
    return some;
}

// Solves in place by Cholesky; a column that depends on those before it gets no step.
static __device__ __forceinline__ void solve(double (&factor)[PRODUCTS], double (&step)[TERMS]) {
#pragma unroll
    for (int i = 0; i < TERMS; ++i) {
        double* const row = factor + i * (i + 1) / 2;
#pragma unroll
        for (int j = 0; j < i; ++j) {
            const double* const other = factor + j * (j + 1) / 2;
#pragma unroll
            for (int c = 0; c < j; ++c) row[j] -= row[c] * other[c];
            row[j] *= other[j];
        }
        double rest = row[i];
#pragma unroll
        for (int c = 0; c < i; ++c) rest -= row[c] * row[c], step[i] -= row[c] * step[c];
        row[i] = rest > RANK * row[i] ? 1 / sqrt(rest) : 0.0;
        step[i] *= row[i];
    }
#pragma unroll
    for (int i = TERMS - 1; i >= 0; --i) {
#pragma unroll
        for (int c = i + 1; c < TERMS; ++c) step[i] -= factor[c * (c + 1) / 2 + i] * step[c];
        step[i] *= factor[i * (i + 1) / 2 + i];
    }
}

extern "C" __global__ void __launch_bounds__(128) fit(
    const long long n, const long long* __restrict__ index, const float* __restrict__ score,
    const signed char* __restrict__ win, const float* __restrict__ queries,
    const float* __restrict__ features, const double* __restrict__ prior, const double ridge,
    const long long k, const long long rows, double* __restrict__ log_odds) {
    const long long t = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= n) return;
    const long long query = t / 2, side = t % 2;
    Sight sight = {index + query * k, score + query * k, win + side, features};
#pragma unroll
    for (int c = 0; c < FEATURES; ++c) sight.at[c] = queries[query * FEATURES + c];

    Neighbour seen;
    long long known = 0;
    double farthest = 0;
    for (long long j = 0; j < k; ++j) {
        if (sight.index[j] < -1 || sight.index[j] >= rows) {
            log_odds[t] = __uint_as_float(0x7f800000u);  // infinite
            return;
        }
        if (look(sight, j, seen)) ++known, farthest = fmax(farthest, seen.gap);
    }
    if (known == 0) {
        log_odds[t] = nan("");
        return;
    }
    const double per = farthest > 0 ? 1.0 / (farthest * (1.0 + 1.0 / known)) : 0.0;
    double total = 0, squares = 0, wins = 0;
    for (long long j = 0; j < k; ++j) {
        if (!look(sight, j, seen)) continue;
        const double weight = 1.0 - seen.gap * per;
        total += weight, squares += weight * weight, wins += seen.won ? weight : 0.0;
    }

    const double scale = total / squares, won = prior[4 * side], lost = prior[4 * side + 1];
    const double centre = prior[4 * side + 2], stiffness = prior[4 * side + 3];
    double theta[TERMS] = {log((scale * wins + won) / (scale * (total - wins) + lost))};
    for (int round = 0; round < STEPS; ++round) {
        double factor[PRODUCTS] = {}, step[TERMS] = {};
        for (long long j = 0; j < k; ++j) {
            if (!look(sight, j, seen)) continue;
            double eta = theta[0];
#pragma unroll
            for (int c = 1; c < TERMS; ++c) eta += theta[c] * seen.z[c];
            const double weight = (1.0 - seen.gap * per) * scale;
            const double small = exp(-fmin(fabs(eta), 700.0)), share = 1 / (1 + small);
            const double p = eta >= 0 ? share : small * share;
            const double residual = weight * ((seen.won ? 1.0 : 0.0) - p);
            const double curve = weight * (small * share * share);
#pragma unroll
            for (int i = 0; i < TERMS; ++i) {
                step[i] += residual * seen.z[i];
#pragma unroll
                for (int c = 0; c <= i; ++c)
                    factor[i * (i + 1) / 2 + c] += curve * (seen.z[i] * seen.z[c]);
            }
        }
        step[0] -= stiffness * (theta[0] - centre), factor[0] += stiffness;
#pragma unroll
        for (int i = 1; i < TERMS; ++i)
            step[i] -= ridge * theta[i], factor[i * (i + 1) / 2 + i] += ridge;
        solve(factor, step);
        double longest = 0;
#pragma unroll
        for (int i = 0; i < TERMS; ++i) longest = fmax(longest, fabs(step[i]));
#pragma unroll
        for (int i = 0; i < TERMS; ++i) theta[i] += step[i] * (LONGEST / fmax(longest, LONGEST));
        if (!(longest >= STILL)) break;
    }
    log_odds[t] = theta[0];
}
