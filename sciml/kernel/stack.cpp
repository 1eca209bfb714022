// A stack of linear layers with one pointwise function between them, on a value and the channels that Taylor mode
// carries beside it (sciml/taylor.py): forward, and the gradient with respect to weights and biases.
//
// sciml/kernel/source.py puts before this file: the type `real`; LAYERS, CHANNELS (the value counted), INPUTS, OUTPUTS;
// WIDTHS[LAYERS + 1], from the inputs to the outputs; and after the line "// functions" below, what is particular to the
// pointwise function and the channels: keep, forward_point and backward_point.
//
// Points are taken in tiles, each through all layers while its numbers are in the cache. In a tile numbers lie as
// [channel][feature][point]: points fill the vector registers without a remainder, whatever the widths are.

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

constexpr int widest() {
  int found = 0;
  for (int i = 0; i <= LAYERS; i++) found = WIDTHS[i] > found ? WIDTHS[i] : found;
  return found;
}
constexpr int WIDEST = widest();
constexpr int SLAB = WIDEST * STEPS;  // vectors of one channel of any layer

// What the forward pass leaves for the backward pass, in vectors a tile: all channels of every hidden layer.
constexpr long offset(int layer) {
  long found = 0;
  for (int i = 1; i < layer; i++) found += (long)CHANNELS * WIDTHS[i] * STEPS;
  return found;
}
constexpr long KEPT = offset(LAYERS);
// Where a layer's weights and biases begin among all gradients.
constexpr long place(int layer) {
  long found = 0;
  for (int i = 0; i < layer; i++) found += (long)WIDTHS[i] * WIDTHS[i + 1] + WIDTHS[i + 1];
  return found;
}
// Gradients of weights accumulate in vectors, by blocks; the last block of a row or a column is filled up.
constexpr long blocks(int n, int size) { return (n + size - 1) / size; }
constexpr long area(int layer) {
  return blocks(WIDTHS[layer + 1], GRADIENT_ROWS) * blocks(WIDTHS[layer], GRADIENT_COLUMNS) * GRADIENT_ROWS *
             GRADIENT_COLUMNS + WIDTHS[layer + 1];
}
constexpr long region(int layer) {
  long found = 0;
  for (int i = 0; i < layer; i++) found += area(i);
  return found;
}

// ---------------------------------------------------------------- elementary functions

static inline vec fill(real value) { return value - vec{}; }

// e^y - 1 for 0 <= y <= 80: y = n log 2 + r, and (e^r - 1) 2^n + (2^n - 1).
static inline vec expm1_positive(vec y) {
  constexpr bool SINGLE = sizeof(real) == 4;
  const vec scaled = y * (real)1.44269504088896340736 + (real)0.5;
  const wholes n = __builtin_convertvector(scaled, wholes);
  const vec k = __builtin_convertvector(n, vec);
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
  constexpr int MANTISSA = SINGLE ? 23 : 52, BIAS = SINGLE ? 127 : 1023;
  const vec power = (vec)((n + BIAS) << MANTISSA);
  return power * p + (power - (real)1);
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

// functions

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

// sums[r][c] += sum over channels and points of g[.][r][point] x[.][c][point], N x M of them.
template <int N, int M>
static inline void gradient_block(const vec* g, const vec* x, vec* sums) {
  vec sum[N][M];
  for (int r = 0; r < N; r++)
    for (int c = 0; c < M; c++) sum[r][c] = sums[r * M + c];
  for (int channel = 0; channel < CHANNELS; channel++)
    for (int s = 0; s < STEPS; s++)
      for (int r = 0; r < N; r++) {
        const vec left = g[(long)channel * SLAB + r * STEPS + s];
        for (int c = 0; c < M; c++) sum[r][c] += left * x[(long)channel * SLAB + c * STEPS + s];
      }
  for (int r = 0; r < N; r++)
    for (int c = 0; c < M; c++) sums[r * M + c] = sum[r][c];
}

template <int N, int C>
static inline void gradient_strip(const vec* g, const vec* x, vec*& sums) {
  int c = 0;
  for (; c + GRADIENT_COLUMNS <= C; c += GRADIENT_COLUMNS, sums += GRADIENT_ROWS * GRADIENT_COLUMNS)
    gradient_block<N, GRADIENT_COLUMNS>(g, x + (long)c * STEPS, sums);
  if constexpr (C % GRADIENT_COLUMNS != 0) {
    gradient_block<N, C % GRADIENT_COLUMNS>(g, x + (long)c * STEPS, sums);
    sums += GRADIENT_ROWS * GRADIENT_COLUMNS;
  }
}

template <int R, int C>
static inline void gradient(const vec* g, const vec* x, vec* sums) {
  int r = 0;
  for (; r + GRADIENT_ROWS <= R; r += GRADIENT_ROWS)
    gradient_strip<GRADIENT_ROWS, C>(g + (long)r * STEPS, x, sums);
  if constexpr (R % GRADIENT_ROWS != 0) gradient_strip<R % GRADIENT_ROWS, C>(g + (long)r * STEPS, x, sums);
  for (int i = 0; i < R; i++, sums++)  // biases: the value's channel only
    for (int s = 0; s < STEPS; s++) *sums += g[(long)i * STEPS + s];
}

static inline real total(vec v) {
  real found = 0;
  for (int i = 0; i < LANES; i++) found += v[i];
  return found;
}

// The vector sums of a layer as numbers: weights (R, C) and biases (R,), added to what is there.
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

// ---------------------------------------------------------------- a tile

struct Arguments {
  long points;
  const real* inputs[CHANNELS];  // each (points, INPUTS), or one row for all points
  long strides[CHANNELS];        // INPUTS, or 0 for one row
  const real* weights[LAYERS];
  const real* biases[LAYERS];
  real* outputs[CHANNELS];           // (points, OUTPUTS)
  const real* cotangents[CHANNELS];  // (points, OUTPUTS), or null for zero
  vec* kept;
  real* gradients;  // weights and biases by layer
};

static inline void read(const real* const* from, const long* strides, int width, long first, long points, vec* to) {
  const long n = points - first < TILE ? points - first : TILE;
  for (int channel = 0; channel < CHANNELS; channel++) {
    real* row = (real*)(to + (long)channel * SLAB);
    if (!from[channel]) {
      std::memset(row, 0, sizeof(vec) * STEPS * width);
      continue;
    }
    const real* x = from[channel] + first * strides[channel];
    for (int i = 0; i < width; i++, row += TILE) {
      for (long p = 0; p < n; p++) row[p] = x[p * strides[channel] + i];
      for (long p = n; p < TILE; p++) row[p] = 0;
    }
  }
}

static inline void write(const vec* from, long first, long points, real* const* to) {
  const long n = points - first < TILE ? points - first : TILE;
  for (int channel = 0; channel < CHANNELS; channel++) {
    const real* row = (const real*)(from + (long)channel * SLAB);
    for (int i = 0; i < OUTPUTS; i++, row += TILE)
      for (long p = 0; p < n; p++) to[channel][(first + p) * OUTPUTS + i] = row[p];
  }
}

// Layers I, I + 1, ... of a tile whose present features are in `now`; the others are room.
template <int I>
static inline void forward_layers(const Arguments& all, vec* kept, vec* now, vec* next) {
  constexpr int from = WIDTHS[I], to = WIDTHS[I + 1];
  for (int channel = 0; channel < CHANNELS; channel++)
    product<to, from>(all.weights[I], from, 1, now + (long)channel * SLAB, channel ? nullptr : all.biases[I],
                      next + (long)channel * SLAB);
  if constexpr (I + 1 < LAYERS) {
    vec* place = kept + offset(I + 1);
    for (long i = 0; i < (long)to * STEPS; i++) {
      place[i] = keep(next[i]);
      for (int channel = 1; channel < CHANNELS; channel++)
        place[(long)channel * to * STEPS + i] = next[(long)channel * SLAB + i];
      forward_point<to * STEPS, SLAB>(place + i, now + i);
    }
    forward_layers<I + 1>(all, kept, now, next);
  } else {
    std::memcpy(now, next, sizeof(vec) * SLAB * CHANNELS);
  }
}

// Layer I, whose outputs' cotangents are in `back`; then those below.
template <int I>
static inline void backward_layers(const Arguments& all, const vec* kept, long first, vec* sums, vec* back, vec* now,
                                   vec* room) {
  constexpr int from = WIDTHS[I], to = WIDTHS[I + 1];
  if constexpr (I == 0) {
    read(all.inputs, all.strides, INPUTS, first, all.points, now);
    gradient<to, from>(back, now, sums + region(0));
  } else {
    const vec* place = kept + offset(I);
    for (long i = 0; i < (long)from * STEPS; i++) forward_point<from * STEPS, SLAB>(place + i, now + i);
    gradient<to, from>(back, now, sums + region(I));
    for (int channel = 0; channel < CHANNELS; channel++)
      product<from, to>(all.weights[I], 1, from, back + (long)channel * SLAB, nullptr, room + (long)channel * SLAB);
    for (long i = 0; i < (long)from * STEPS; i++)
      backward_point<from * STEPS, SLAB>(place + i, room + i, back + i);
    backward_layers<I - 1>(all, kept, first, sums, back, now, room);
  }
}

template <int I>
static void collect_layers(const vec* sums, real* gradients) {
  constexpr int from = WIDTHS[I], to = WIDTHS[I + 1];
  real* weights = gradients + place(I);
  collect<to, from>(sums + region(I), weights, weights + (long)to * from);
  if constexpr (I + 1 < LAYERS) collect_layers<I + 1>(sums, gradients);
}

static vec* room_for(long vectors) {
  return (vec*)::operator new(sizeof(vec) * vectors, std::align_val_t(64), std::nothrow);
}

static void free_room(vec* room) { ::operator delete(room, std::align_val_t(64)); }

// ---------------------------------------------------------------- what is called

extern "C" {

int tile() { return TILE; }
// Numbers that the forward pass keeps for a tile.
long kept() { return KEPT * LANES; }
long argument_bytes() { return sizeof(Arguments); }

// Both return 0, or 1 where there is no memory.
int run_forward(const Arguments* all, int threads) {
  const long tiles = (all->points + TILE - 1) / TILE;
  int failed = 0;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    vec* room = room_for(2L * SLAB * CHANNELS);
    if (!room) {
#pragma omp atomic write
      failed = 1;
    } else {
      vec *now = room, *next = room + (long)SLAB * CHANNELS;
#pragma omp for schedule(static)
      for (long t = 0; t < tiles; t++) {
        read(all->inputs, all->strides, INPUTS, t * TILE, all->points, now);
        forward_layers<0>(*all, all->kept + t * KEPT, now, next);
        write(now, t * TILE, all->points, all->outputs);
      }
      free_room(room);
    }
  }
  return failed;
}

int run_backward(const Arguments* all, int threads) {
  const long tiles = (all->points + TILE - 1) / TILE;
  static_assert(LAYERS > 0, "a stack has a layer");
  long steps[CHANNELS];
  for (long& step : steps) step = OUTPUTS;
  // Each thread adds up its own tiles, and the threads follow each other at the end: the same sums in every run.
  const long each = region(LAYERS);
  vec* sums = room_for(each * threads);
  if (!sums) return 1;
  std::memset((void*)sums, 0, sizeof(vec) * each * threads);
  int failed = 0;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
#ifdef _OPENMP
    const int thread = omp_get_thread_num();
#else
    const int thread = 0;
#endif
    vec* own = sums + each * thread;
    vec* room = room_for(3L * SLAB * CHANNELS);
    if (!room) {
#pragma omp atomic write
      failed = 1;
    } else {
      vec *back = room, *now = back + (long)SLAB * CHANNELS, *other = now + (long)SLAB * CHANNELS;
#pragma omp for schedule(static)
      for (long t = 0; t < tiles; t++) {
        read(all->cotangents, steps, OUTPUTS, t * TILE, all->points, back);
        backward_layers<LAYERS - 1>(*all, all->kept + t * KEPT, t * TILE, own, back, now, other);
      }
      free_room(room);
    }
  }
  if (!failed) {
    std::memset(all->gradients, 0, sizeof(real) * place(LAYERS));
    for (int thread = 0; thread < threads; thread++) collect_layers<0>(sums + each * thread, all->gradients);
  }
  free_room(sums);
  return failed;
}
}
