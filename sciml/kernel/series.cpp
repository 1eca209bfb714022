// Trigonometric series whose coefficients differ from column to column, sum over k < TERMS of
// a_k sin(k r x) + b_k cos(k r x), and what is differentiated of them.
//
// sciml/kernel/series.py puts before this file: tiles.cpp; TERMS.
//
// A vector of columns is taken through all rows, its coefficients, or the sums of theirs, in registers.

struct Arguments {
  long rows, columns;
  real rate;                 // r
  const real* x;             // (rows, columns)
  const real* coefficients;  // (2, TERMS, columns): a, b
  const real* bar;           // (rows, columns)
  real* value;               // (rows, columns)
  real* bar_x;               // (rows, columns)
  real* bar_coefficients;    // (2, TERMS, columns)
};

static inline vec load(const real* from, long n) {
  if (n == LANES) return *(const loose*)from;
  vec found = vec{};
  std::memcpy(&found, from, sizeof(real) * n);
  return found;
}

static inline void store(vec value, real* to, long n) {
  if (n == LANES)
    *(loose*)to = value;
  else
    std::memcpy(to, &value, sizeof(real) * n);
}

static inline void turn(vec& sine, vec& cosine, vec s, vec c) {
  const vec next = sine * c + cosine * s;
  cosine = cosine * c - sine * s;
  sine = next;
}

static void forward(const Arguments& all, long column, long n) {
  vec a[TERMS], b[TERMS];
  for (int k = 0; k < TERMS; k++) {
    a[k] = load(all.coefficients + k * all.columns + column, n);
    b[k] = load(all.coefficients + (TERMS + k) * all.columns + column, n);
  }
  for (long row = 0; row < all.rows; row++) {
    vec s, c, value = b[0];
    sine_and_cosine(all.rate * load(all.x + row * all.columns + column, n), s, c);
    vec sine = s, cosine = c;
    for (int k = 1; k < TERMS; k++) {
      value += a[k] * sine + b[k] * cosine;
      turn(sine, cosine, s, c);
    }
    store(value, all.value + row * all.columns + column, n);
  }
}

static void backward(const Arguments& all, long column, long n) {
  vec a[TERMS], b[TERMS], bar_a[TERMS], bar_b[TERMS];
  for (int k = 0; k < TERMS; k++) {
    a[k] = (real)k * all.rate * load(all.coefficients + k * all.columns + column, n);
    b[k] = (real)k * all.rate * load(all.coefficients + (TERMS + k) * all.columns + column, n);
    bar_a[k] = bar_b[k] = vec{};
  }
  for (long row = 0; row < all.rows; row++) {
    vec s, c, slope = vec{};
    const vec bar = load(all.bar + row * all.columns + column, n);
    sine_and_cosine(all.rate * load(all.x + row * all.columns + column, n), s, c);
    vec sine = s, cosine = c;
    bar_b[0] += bar;
    for (int k = 1; k < TERMS; k++) {
      slope += a[k] * cosine - b[k] * sine;
      bar_a[k] += bar * sine;
      bar_b[k] += bar * cosine;
      turn(sine, cosine, s, c);
    }
    store(bar * slope, all.bar_x + row * all.columns + column, n);
  }
  for (int k = 0; k < TERMS; k++) {
    store(bar_a[k], all.bar_coefficients + k * all.columns + column, n);
    store(bar_b[k], all.bar_coefficients + (TERMS + k) * all.columns + column, n);
  }
}

static int run(const Arguments* all, int threads, void (*pass)(const Arguments&, long, long)) {
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (long column = 0; column < all->columns; column += LANES)
    pass(*all, column, all->columns - column < LANES ? all->columns - column : LANES);
  return 0;
}

extern "C" {

long argument_bytes() { return sizeof(Arguments); }

// Both return 0.
int run_forward(const Arguments* all, int threads) { return run(all, threads, forward); }
int run_backward(const Arguments* all, int threads) { return run(all, threads, backward); }
}
