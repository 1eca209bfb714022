// Points that are averaged over slices, and read what these have found: the part of a Transolver's attention whose
// arrays have points times slices numbers (sciml/network/transolver.py). Here those numbers are made anew in every pass,
// a tile at a time, and never leave the cache.
//
// sciml/kernel/slices.py puts before this file: tiles.cpp; SLICES, and FEATURES of a head.

constexpr int M = SLICES, E = FEATURES;

struct Arguments {
  long batch, points, heads;
  const real* projected;  // (batch, points, 2, heads, E): what says the slice, what is averaged
  const real* weights;    // (heads, M, E)
  const real* biases;     // (heads, M)
  const real* found;      // (batch, heads, M, E): what the slices have found
  const real* bar_sums;   // (batch, heads, M, E), and of the totals (batch, heads, M)
  const real* bar_totals;
  const real* bar_read;  // (batch, points, heads, E)
  real* sums;            // (batch, heads, M, E): over the points, shares times features
  real* totals;          // (batch, heads, M): of the shares
  real* read;            // (batch, points, heads, E)
  real* bar_found;       // (batch, heads, M, E)
  real* bar_projected;   // as `projected`
  real* bar_weights;     // (batch, heads, M, E), to be added up over the batch
  real* bar_biases;      // (batch, heads, M)
};

// One head of one field.
struct Head {
  const Arguments& all;
  long index, head;    // index among (batch, heads)
  long width, stride;  // features of a point, and of its projections
  const real* place;   // of the first point
  long first, count;   // the tile

  Head(const Arguments& given, long number)
      : all(given), index(number), head(number % given.heads), width(given.heads * E), stride(2 * width),
        place(given.projected + number / given.heads * given.points * stride + head * E) {}

  long tiles() const { return (all.points + TILE - 1) / TILE; }

  void take(long tile) {
    first = tile * TILE;
    count = all.points - first < TILE ? all.points - first : TILE;
  }

  void places(vec* to) const { read_points(place + first * stride, stride, E, count, to); }
  void features(vec* to) const { read_points(place + width + first * stride, stride, E, count, to); }
  void cotangents(vec* to) const { read_points(all.bar_read + in_field(), width, E, count, to); }
  long in_field() const { return (index / all.heads * all.points + first) * width + head * E; }
  long in_projected() const { return (index / all.heads * all.points + first) * stride + head * E; }

  // The shares of the tile's points in the slices; those of points that do not exist are 0.
  void shares(const vec* x, vec* to) const {
    product<M, E>(all.weights + head * M * E, E, 1, x, all.biases + head * M, to);
    for (int s = 0; s < STEPS; s++) {
      vec most = to[s], total = vec{};
      for (int j = 1; j < M; j++) most = to[j * STEPS + s] > most ? to[j * STEPS + s] : most;
      for (int j = 0; j < M; j++) total += to[j * STEPS + s] = exp_negative(to[j * STEPS + s] - most);
      const vec each = (real)1 / total;
      for (int j = 0; j < M; j++) to[j * STEPS + s] *= each;
    }
    for (int j = 0; j < M && count < TILE; j++)
      std::memset((real*)(to + j * STEPS) + count, 0, sizeof(real) * (TILE - count));
  }
};

constexpr long PLACES = E * STEPS, SHARES = M * STEPS, GRADIENTS = area(M, E);

// Sums over the points of their shares times what `values` reads of a tile, and of the shares.
template <typename Values>
static void sums_over_points(Head& head, vec* room, Values values, real* sums, real* totals) {
  vec *x = room, *w = x + PLACES, *found = w + SHARES;
  std::memset((void*)found, 0, sizeof(vec) * GRADIENTS);
  for (long tile = 0; tile < head.tiles(); tile++) {
    head.take(tile);
    head.places(x);
    head.shares(x, w);
    values(x);
    gradient<M, E>(w, x, found);
  }
  collect<M, E>(found, sums + head.index * M * E, totals);
}

static void slice(Head head, vec* room) {
  sums_over_points(head, room, [&](vec* x) { head.features(x); }, head.all.sums, head.all.totals + head.index * M);
}

static void read_back(Head head, vec* room) {
  vec *x = room, *w = x + PLACES;
  for (long tile = 0; tile < head.tiles(); tile++) {
    head.take(tile);
    head.places(x);
    head.shares(x, w);
    product<E, M>(head.all.found + head.index * M * E, 1, E, w, nullptr, x);
    write_points(x, head.width, E, head.count, head.all.read + head.in_field());
  }
}

static void read_back_backward(Head head, vec* room) {
  real unused[M] = {};  // the totals of the shares
  sums_over_points(head, room, [&](vec* x) { head.cotangents(x); }, head.all.bar_found, unused);
}

static void backward(Head head, vec* room) {
  const Arguments& all = head.all;
  vec *x = room, *w = x + PLACES, *bar = w + SHARES, *both = bar + SHARES, *sums = both + 2 * PLACES;
  real* outer = (real*)(sums + GRADIENTS);  // (M, 2 E): what a share is multiplied by is read and averaged features
  const real *found = all.found + head.index * M * E, *bar_sums = all.bar_sums + head.index * M * E;
  for (int j = 0; j < M; j++) {
    std::memcpy(outer + j * 2 * E, found + j * E, sizeof(real) * E);
    std::memcpy(outer + j * 2 * E + E, bar_sums + j * E, sizeof(real) * E);
  }
  std::memset((void*)sums, 0, sizeof(vec) * GRADIENTS);
  for (long tile = 0; tile < head.tiles(); tile++) {
    head.take(tile);
    head.places(x);
    head.shares(x, w);
    head.cotangents(both);
    head.features(both + PLACES);
    product<M, 2 * E>(outer, 2 * E, 1, both, all.bar_totals + head.index * M, bar);
    for (int s = 0; s < STEPS; s++) {
      vec mean = vec{};
      for (int j = 0; j < M; j++) mean += w[j * STEPS + s] * bar[j * STEPS + s];
      for (int j = 0; j < M; j++) bar[j * STEPS + s] = w[j * STEPS + s] * (bar[j * STEPS + s] - mean);
    }
    gradient<M, E>(bar, x, sums);
    product<E, M>(all.weights + head.head * M * E, 1, E, bar, nullptr, both);
    write_points(both, head.stride, E, head.count, all.bar_projected + head.in_projected());
    product<E, M>(bar_sums, 1, E, w, nullptr, both);
    write_points(both, head.stride, E, head.count, all.bar_projected + head.in_projected() + head.width);
  }
  collect<M, E>(sums, all.bar_weights + head.index * M * E, all.bar_biases + head.index * M);
}

// What each pass may write to, in vectors.
constexpr long ROOM = 3 * PLACES + 2 * SHARES + GRADIENTS + (2L * M * E + LANES - 1) / LANES;

static int run(const Arguments* all, int threads, void (*pass)(Head, vec*)) {
  int failed = 0;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    vec* room = room_for(ROOM);
    if (!room) {
#pragma omp atomic write
      failed = 1;
    } else {
#pragma omp for schedule(static)
      for (long i = 0; i < all->batch * all->heads; i++) pass(Head(*all, i), room);
      free_room(room);
    }
  }
  return failed;
}

extern "C" {

long argument_bytes() { return sizeof(Arguments); }

// All return 0, or 1 where there is no memory. What is summed has to be 0 before.
int run_slice(const Arguments* all, int threads) { return run(all, threads, slice); }
int run_read(const Arguments* all, int threads) { return run(all, threads, read_back); }
int run_read_backward(const Arguments* all, int threads) { return run(all, threads, read_back_backward); }
int run_backward(const Arguments* all, int threads) { return run(all, threads, backward); }
}
