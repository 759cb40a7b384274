// Products of matrices in registers. The columns of the right one, and of the result, are in groups of one or two vectors.

#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "vectors.h"

constexpr int GROUP = 2 * WIDTH;
constexpr int ROWS = WIDTH == 16 ? 14 : WIDTH == 8 ? 6 : 12;  // as many as leave registers for the operands

inline int64_t padded(int64_t channels) { return (channels + WIDTH - 1) / WIDTH * WIDTH; }

// The distance of rows of `channels` values in the workspace: no power of two, as rows at such a distance displace each
// other from the caches.
inline int64_t spaced(int64_t channels) { return channels + (channels % 64 == 0 ? 16 : 0); }

// c [R, K vectors] = a b for b [depth, K vectors]. a_ik is at a[i * row + k * column].
template <int R, int K>
void product(
    const float* a, int64_t row, int64_t column, const float* b, int64_t step_b, float* c, int64_t step_c,
    int64_t depth) {
  Vector total[R][K]{};
  for (int64_t k = 0; k < depth; ++k) {
    Vector right[K];
    for (int j = 0; j < K; ++j) right[j] = load<Vector>(b + k * step_b + j * WIDTH);
    for (int i = 0; i < R; ++i)
      for (int j = 0; j < K; ++j) total[i][j] += a[i * row + k * column] * right[j];
  }
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < K; ++j) store(c + i * step_c + j * WIDTH, total[i][j]);
}

using Product = void (*)(
    const float*, int64_t, int64_t, const float*, int64_t, float*, int64_t, int64_t);

template <int K, int... R> Product product_of_rows(int64_t rows, std::integer_sequence<int, R...>) {
  static constexpr Product products[] = {product<R + 1, K>...};
  return products[rows - 1];
}

// The same for any number of rows, and one or two vectors.
inline void product_of(
    int64_t rows, int64_t vectors, const float* a, int64_t row, int64_t column, const float* b, int64_t step_b,
    float* c, int64_t step_c, int64_t depth) {
  for (int64_t i = 0; i < rows; i += ROWS) {
    const int64_t count = std::min<int64_t>(ROWS, rows - i);
    const auto all = std::make_integer_sequence<int, ROWS>();
    const Product run = vectors == 2 ? product_of_rows<2>(count, all) : product_of_rows<1>(count, all);
    run(a + i * row, row, column, b, step_b, c + i * step_c, step_c, depth);
  }
}

constexpr int64_t PIXELS = 4 * ROWS;  // rows of a left matrix that are multiplied at a time

// A group of rows of a matrix [rows, depth], from `first` on, transposed: [depth, rows of the group]. Rows that fill the
// last vector are zero.
inline void pack_group(const float* matrix, int64_t rows, int64_t depth, int64_t first, float* packed) {
  const int64_t width = std::min<int64_t>(GROUP, padded(rows) - first);
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t j = 0; j < width; ++j)
      packed[k * width + j] = first + j < rows ? matrix[(first + j) * depth + k] : 0.0f;
}

// The products of `count` rows [count, depth] of a left matrix with all groups of a packed one, [depth, channels].
// `use(i, c, values)` gets those of row i from channel c on, a vector or one value.
template <typename Use>
inline void for_products(
    const float* left, const float* packed, int64_t count, int64_t depth, int64_t channels, float* products,
    const Use& use) {
  for (int64_t o = 0; o < padded(channels); o += GROUP) {
    const int64_t group = std::min<int64_t>(GROUP, padded(channels) - o);
    product_of(count, group / WIDTH, left, depth, 1, packed + o * depth, group, products, group, depth);
    for (int64_t i = 0; i < count; ++i)
      for_channels(std::min(group, channels - o), [&](auto type, int64_t c) {
        use(i, o + c, load<decltype(type)>(products + i * group + c));
      });
  }
}

// Memory of a thread that is kept for later calls, as the system maps new memory page by page: one block for all
// threads of a call, which belongs to the calling one, and one for each thread alone.
enum Kind { SHARED, PRIVATE };

inline float* workspace(Kind kind, int64_t size) {
  thread_local std::unique_ptr<float[]> memory[2];
  thread_local int64_t available[2] = {0, 0};
  if (size > available[kind]) {
    memory[kind].reset(new float[size]);
    available[kind] = size;
  }
  return memory[kind].get();
}
