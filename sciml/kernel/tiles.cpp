// What the programs of this folder share: vectors of the processor, elementary functions, and products of matrices with
// tiles of points. Before it stands the type `real`.
//
// In a tile numbers lie as [feature][point]: points fill the vector registers without a remainder, however many features
// there are.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__AVX512F__)
constexpr int BYTES = 64, ROWS = 5, GRADIENT_ROWS = 5, GRADIENT_COLUMNS = 5;  // 20 and 25 of 32 registers accumulate
#elif defined(__AVX__)
constexpr int BYTES = 32, ROWS = 3, GRADIENT_ROWS = 3, GRADIENT_COLUMNS = 4;  // 12 of 16
#elif defined(__aarch64__)
constexpr int BYTES = 16, ROWS = 6, GRADIENT_ROWS = 4, GRADIENT_COLUMNS = 6;
#else
constexpr int BYTES = 16, ROWS = 3, GRADIENT_ROWS = 3, GRADIENT_COLUMNS = 4;
#endif

typedef real vec __attribute__((vector_size(BYTES)));
typedef real loose __attribute__((vector_size(BYTES), aligned(sizeof(real))));
constexpr int LANES = BYTES / sizeof(real);
constexpr int STRIP = 4;             // vectors of a row that a product takes at once
constexpr int STEPS = 2 * STRIP;     // vectors in a tile's row
constexpr int TILE = LANES * STEPS;  // points in a tile
typedef int32_t int32;
typedef int64_t int64;
template <int SIZE> struct Whole;
template <> struct Whole<4> { typedef int32 type; };
template <> struct Whole<8> { typedef int64 type; };
typedef Whole<sizeof(real)>::type whole;
typedef whole wholes __attribute__((vector_size(BYTES)));

// ---------------------------------------------------------------- elementary functions

static inline vec fill(real value) { return value - vec{}; }

// y = n log 2 + r for |y| <= 80: e^r - 1, and 2^n.
static inline vec expm1_of_rest(vec y, vec& power) {
  constexpr bool SINGLE = sizeof(real) == 4;
  constexpr int MANTISSA = SINGLE ? 23 : 52;
  // Added to a number it leaves no place for a fraction: n is in the last bits.
  constexpr real ROUNDS = SINGLE ? (real)12582912.0 : (real)6755399441055744.0;
  const vec shifted = y * (real)1.44269504088896340736 + ROUNDS, k = shifted - ROUNDS;
  const vec r = SINGLE ? (y - k * (real)0.693145751953125) - k * (real)1.42860682030941723212e-6
                       : (y - k * (real)6.93147180369123816490e-01) - k * (real)1.90821492927058770002e-10;
  vec p;
  if (SINGLE) {
    p = fill((real)(1.0 / 5040));
    p = p * r + (real)(1.0 / 720);
  } else {
    p = fill((real)(1.0 / 6227020800.0));
    p = p * r + (real)(1.0 / 479001600.0);
    p = p * r + (real)(1.0 / 39916800.0);
    p = p * r + (real)(1.0 / 3628800.0);
    p = p * r + (real)(1.0 / 362880.0);
    p = p * r + (real)(1.0 / 40320.0);
    p = p * r + (real)(1.0 / 5040.0);
    p = p * r + (real)(1.0 / 720.0);
  }
  p = p * r + (real)(1.0 / 120.0);
  p = p * r + (real)(1.0 / 24.0);
  p = p * r + (real)(1.0 / 6.0);
  p = p * r + (real)0.5;
  p = (p * r) * r + r;
  power = (vec)(((wholes)shifted << MANTISSA) + ((whole)(SINGLE ? 127 : 1023) << MANTISSA));
  return p;
}

static inline vec expm1_positive(vec y) {  // y <= 80
  vec power;
  const vec p = expm1_of_rest(y, power);
  return power * p + (power - (real)1);
}

static inline vec exp_negative(vec y) {  // what is below -80 counts as that; NaN stays what it is
  const vec least = fill((real)-80);
  vec power;
  const vec p = expm1_of_rest(y < least ? least : y, power);
  return power * p + power;
}

static inline vec hyperbolic_tangent(vec z) {
  const vec magnitude = z < 0 ? -z : z;
  const vec far = fill((real)(sizeof(real) == 4 ? 10 : 20));  // 1 beyond, to the last digit
  // A comparison with NaN is false: NaN stays what it is.
  const vec e = expm1_positive((real)2 * (magnitude > far ? far : magnitude));
  const vec found = e / (e + (real)2);
  return z != z ? z : (z < 0 ? -found : found);
}

// The sine of r for |r| <= pi / 2 (Taylor's series, to the last digit).
static inline vec sine_of_small(vec r) {
  const vec s = r * r;
  vec p;
  if (sizeof(real) == 4) {
    p = fill((real)(-1.0 / 39916800.0));
  } else {
    p = fill((real)(1.0 / 51090942171709440000.0));
    p = p * s + (real)(-1.0 / 121645100408832000.0);
    p = p * s + (real)(1.0 / 355687428096000.0);
    p = p * s + (real)(-1.0 / 1307674368000.0);
    p = p * s + (real)(1.0 / 6227020800.0);
    p = p * s + (real)(-1.0 / 39916800.0);
  }
  p = p * s + (real)(1.0 / 362880.0);
  p = p * s + (real)(-1.0 / 5040.0);
  p = p * s + (real)(1.0 / 120.0);
  p = p * s + (real)(-1.0 / 6.0);
  return (p * s) * r + r;
}

static inline vec without_multiple_of_pi(vec z, vec k) {
  const vec most = fill((real)1.5707963267948966);  // beyond 1e5 in float32, 1e15 in float64, z itself is too coarse
  vec r;
  if (sizeof(real) == 4)  // three parts of pi, the first two short enough for exact products
    r = ((z - k * (real)3.140625) - k * (real)9.675025939941406e-4) - k * (real)1.5099579909783765e-07;
  else
    r = ((z - k * (real)3.141592651605606) - k * (real)1.9841871583270443e-09) - k * (real)1.034036596358821e-18;
  r = r > most ? most : r < -most ? -most : r;
  return r + (z - z);  // NaN for infinity
}

static inline vec rounded(vec z, wholes& n) {
  n = __builtin_convertvector(z + (z < 0 ? fill((real)-0.5) : fill((real)0.5)), wholes);
  return __builtin_convertvector(n, vec);
}

static inline void sine_and_cosine(vec z, vec& sine, vec& cosine) {
  wholes n;
  vec k = rounded(z * (real)0.318309886183790671538, n);
  vec found = sine_of_small(without_multiple_of_pi(z, k));
  sine = (n & 1) != 0 ? -found : found;
  k = rounded(z * (real)0.318309886183790671538 - (real)0.5, n);  // cos z = -(-1)^n sin(z - (n + 1/2) pi)
  found = sine_of_small(without_multiple_of_pi(z, k + (real)0.5));
  cosine = (n & 1) != 0 ? found : -found;
}

// ---------------------------------------------------------------- products

// out[r][.] = start[r] + sum over c of a[r * down + c * along] in[c][.], for N rows and a strip of points.
template <int N>
static inline void product_rows(const real* a, long down, long along, int columns, const vec* in, const real* start,
                                vec* out) {
  vec sum[N][STRIP];
  for (int r = 0; r < N; r++)
    for (int s = 0; s < STRIP; s++) sum[r][s] = start ? fill(start[r]) : vec{};
  for (int c = 0; c < columns; c++) {
    const vec* x = in + (long)c * STEPS;
    for (int r = 0; r < N; r++) {
      const real w = a[r * down + c * along];
      for (int s = 0; s < STRIP; s++) sum[r][s] += w * x[s];
    }
  }
  for (int r = 0; r < N; r++)
    for (int s = 0; s < STRIP; s++) out[r * STEPS + s] = sum[r][s];
}

// The same for R rows and a tile.
template <int R, int C>
static inline void product(const real* a, long down, long along, const vec* in, const real* start, vec* out) {
  for (int strip = 0; strip < STEPS; strip += STRIP, in += STRIP, out += STRIP) {
    int r = 0;
    for (; r + ROWS <= R; r += ROWS)
      product_rows<ROWS>(a + r * down, down, along, C, in, start ? start + r : nullptr, out + (long)r * STEPS);
    if constexpr (R % ROWS != 0)
      product_rows<R % ROWS>(a + r * down, down, along, C, in, start ? start + r : nullptr, out + (long)r * STEPS);
  }
}

// sums[r][c] += sum over channels and points of g[.][r][point] x[.][c][point], N x M of them. A channel's features begin
// APART vectors after those of the one before, in g as in x.
template <int N, int M, int CHANNELS, long APART>
static inline void gradient_block(const vec* g, const vec* x, vec* sums) {
  vec sum[N][M];
  for (int r = 0; r < N; r++)
    for (int c = 0; c < M; c++) sum[r][c] = sums[r * M + c];
  for (int channel = 0; channel < CHANNELS; channel++)
    for (int s = 0; s < STEPS; s++)
      for (int r = 0; r < N; r++) {
        const vec left = g[channel * APART + r * STEPS + s];
        for (int c = 0; c < M; c++) sum[r][c] += left * x[channel * APART + c * STEPS + s];
      }
  for (int r = 0; r < N; r++)
    for (int c = 0; c < M; c++) sums[r * M + c] = sum[r][c];
}

template <int N, int C, int CHANNELS, long APART>
static inline void gradient_strip(const vec* g, const vec* x, vec*& sums) {
  int c = 0;
  for (; c + GRADIENT_COLUMNS <= C; c += GRADIENT_COLUMNS, sums += GRADIENT_ROWS * GRADIENT_COLUMNS)
    gradient_block<N, GRADIENT_COLUMNS, CHANNELS, APART>(g, x + (long)c * STEPS, sums);
  if constexpr (C % GRADIENT_COLUMNS != 0) {
    gradient_block<N, C % GRADIENT_COLUMNS, CHANNELS, APART>(g, x + (long)c * STEPS, sums);
    sums += GRADIENT_ROWS * GRADIENT_COLUMNS;
  }
}

// The same for R x C of them, and after them, for biases, the sums over the points of the first channel of g. They lie by
// blocks, the last one of a row or a column filled up: `area(R, C)` vectors.
template <int R, int C, int CHANNELS = 1, long APART = 0>
static inline void gradient(const vec* g, const vec* x, vec* sums) {
  int r = 0;
  for (; r + GRADIENT_ROWS <= R; r += GRADIENT_ROWS)
    gradient_strip<GRADIENT_ROWS, C, CHANNELS, APART>(g + (long)r * STEPS, x, sums);
  if constexpr (R % GRADIENT_ROWS != 0)
      gradient_strip<R % GRADIENT_ROWS, C, CHANNELS, APART>(g + (long)r * STEPS, x, sums);
  for (int i = 0; i < R; i++, sums++)
    for (int s = 0; s < STEPS; s++) *sums += g[(long)i * STEPS + s];
}

constexpr long blocks(int n, int size) { return (n + size - 1) / size; }
constexpr long area(int rows, int columns) {
  return blocks(rows, GRADIENT_ROWS) * blocks(columns, GRADIENT_COLUMNS) * GRADIENT_ROWS * GRADIENT_COLUMNS + rows;
}

static inline real total(vec v) {
  real found = 0;
  for (int i = 0; i < LANES; i++) found += v[i];
  return found;
}

// Those vectors of sums as numbers: weights (R, C) and biases (R,), added to what is there.
template <int R, int C>
static void collect(const vec* sums, real* weights, real* biases) {
  for (int r = 0; r < R; r += GRADIENT_ROWS) {
    const int n = R - r < GRADIENT_ROWS ? R - r : GRADIENT_ROWS;
    for (int c = 0; c < C; c += GRADIENT_COLUMNS, sums += GRADIENT_ROWS * GRADIENT_COLUMNS) {
      const int m = C - c < GRADIENT_COLUMNS ? C - c : GRADIENT_COLUMNS;
      for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) weights[(long)(r + i) * C + c + j] += total(sums[i * m + j]);
    }
  }
  for (int r = 0; r < R; r++) biases[r] += total(sums[r]);
}

// ---------------------------------------------------------------- memory

// Features of n points, whose features lie `stride` numbers apart, as a tile; what is left of it is zero.
static inline void read_points(const real* from, long stride, int features, long n, vec* to) {
  real* row = (real*)to;
  for (int i = 0; i < features; i++, row += TILE) {
    for (long p = 0; p < n; p++) row[p] = from[p * stride + i];
    for (long p = n; p < TILE; p++) row[p] = 0;
  }
}

static inline void write_points(const vec* from, long stride, int features, long n, real* to) {
  const real* row = (const real*)from;
  for (int i = 0; i < features; i++, row += TILE)
    for (long p = 0; p < n; p++) to[p * stride + i] = row[p];
}

static vec* room_for(long vectors) {
  return (vec*)::operator new(sizeof(vec) * vectors, std::align_val_t(64), std::nothrow);
}

static void free_room(vec* room) { ::operator delete(room, std::align_val_t(64)); }
