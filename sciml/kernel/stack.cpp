// A stack of linear layers with one pointwise function between them, on a value and the channels that Taylor mode
// carries beside it (sciml/taylor.py): forward, and the gradient with respect to weights and biases.
//
// sciml/kernel/source.py puts before this file: tiles.cpp; LAYERS, CHANNELS (the value counted), INPUTS, OUTPUTS;
// WIDTHS[LAYERS + 1], from the inputs to the outputs; and after the line "// functions" below, what is particular to the
// pointwise function and the channels: keep, forward_point and backward_point.
//
// Points are taken in tiles, each through all layers while its numbers are in the cache: [channel][feature][point].

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
// Where its gradients begin among the vectors that accumulate them.
constexpr long region(int layer) {
  long found = 0;
  for (int i = 0; i < layer; i++) found += area(WIDTHS[i + 1], WIDTHS[i]);
  return found;
}

// functions

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
  for (int channel = 0; channel < CHANNELS; channel++, to += SLAB)
    if (from[channel])
      read_points(from[channel] + first * strides[channel], strides[channel], width, n, to);
    else
      std::memset((void*)to, 0, sizeof(vec) * STEPS * width);
}

static inline void write(const vec* from, long first, long points, real* const* to) {
  const long n = points - first < TILE ? points - first : TILE;
  for (int channel = 0; channel < CHANNELS; channel++, from += SLAB)
    write_points(from, OUTPUTS, OUTPUTS, n, to[channel] + first * OUTPUTS);
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
    gradient<to, from, CHANNELS, SLAB>(back, now, sums + region(0));
  } else {
    const vec* place = kept + offset(I);
    for (long i = 0; i < (long)from * STEPS; i++) forward_point<from * STEPS, SLAB>(place + i, now + i);
    gradient<to, from, CHANNELS, SLAB>(back, now, sums + region(I));
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
