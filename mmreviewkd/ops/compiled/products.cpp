// Products of matrices with many rows; called by products.py.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "products.h"
#include "vectors.h"

namespace {

constexpr int COLUMNS = 112;  // of the left matrix at a time

inline void subtract(const float* row, const float* mean, float* out, int64_t channels) {
  for_channels(channels, [&](auto type, int64_t c) {
    using T = decltype(type);
    store(out + c, load<T>(row + c) - load<T>(mean + c));
  });
}

}  // namespace

extern "C" {

// out = a^T b, [left, right], for a [rows, left] and b [rows, right]. The sums over `chunk` rows are computed first, then
// added up in order, so the result does not depend on the number of threads.
void transposed_product(
    const float* a, const float* b, float* out, int64_t rows, int64_t left, int64_t right, int64_t chunk, int threads) {
  const int64_t width = padded(right), chunks = (rows + chunk - 1) / chunk;
  float* sums = workspace(SHARED, chunks * left * width);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for collapse(3) schedule(static)
    for (int64_t c = 0; c < chunks; ++c)
      for (int64_t o = 0; o < width; o += GROUP)
        for (int64_t m = 0; m < left; m += COLUMNS) {
          const int64_t first = c * chunk, count = std::min(chunk, rows - first), some = std::min<int64_t>(COLUMNS, left - m);
          const int64_t vectors = std::min<int64_t>(GROUP, width - o) / WIDTH;
          const float* group = b + first * right + o;
          int64_t step = right;
          if (o + vectors * WIDTH > right) {  // fill the last vector, as what follows it may not be memory
            float* filled = workspace(PRIVATE, chunk * GROUP);
            step = vectors * WIDTH;
            for (int64_t k = 0; k < count; ++k) {
              std::memcpy(filled + k * step, group + k * right, (right - o) * sizeof(float));
              std::fill_n(filled + k * step + right - o, step - (right - o), 0.0f);
            }
            group = filled;
          }
          product_of(
              some, vectors, a + first * left + m, 1, left, group, step, sums + (c * left + m) * width + o, width, count);
        }
#pragma omp for schedule(static)
    for (int64_t m = 0; m < left; ++m)
      for (int64_t o = 0; o < right; ++o) {
        float total = 0;
        for (int64_t c = 0; c < chunks; ++c) total += sums[(c * left + m) * width + o];
        out[m * right + o] = total;
      }
  }
}

// The sum of c c^T over all pixels, for c = map - mean, [channels, channels], for a map [pixels, channels]. The sums over
// `chunk` pixels are computed first, then added up in order.
void scatter(
    const float* map, const float* mean, float* out, int64_t pixels, int64_t channels, int64_t chunk, int threads) {
  const int64_t width = padded(channels), chunks = (pixels + chunk - 1) / chunk, step = spaced(width);
  float* sums = workspace(SHARED, chunks * channels * width);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (int64_t k = 0; k < chunks; ++k) {
      const int64_t first = k * chunk, count = std::min(chunk, pixels - first);
      float* centered = workspace(PRIVATE, chunk * step);
      for (int64_t i = 0; i < count; ++i) {
        subtract(map + (first + i) * channels, mean, centered + i * step, channels);
        std::fill_n(centered + i * step + channels, width - channels, 0.0f);
      }
      // Of each group of columns the rows up to the diagonal, as the sum is symmetric.
      for (int64_t o = 0; o < width; o += GROUP)
        product_of(
            std::min<int64_t>(channels, o + GROUP), std::min<int64_t>(GROUP, width - o) / WIDTH, centered, 1, step,
            centered + o, step, sums + k * channels * width + o, width, count);
    }
#pragma omp for schedule(static)
    for (int64_t m = 0; m < channels; ++m)
      for (int64_t o = m; o < channels; ++o) {
        double total = 0;
        for (int64_t k = 0; k < chunks; ++k) total += sums[(k * channels + m) * width + o];
        out[m * channels + o] = out[o * channels + m] = total;
      }
  }
}

// out += (map - mean) matrix + offset, for maps [pixels, channels] and a symmetric matrix.
void add_centered_product(
    const float* map, const float* mean, const float* matrix, const float* offset, float* out, int64_t pixels,
    int64_t channels, int threads) {
  float* packed = workspace(SHARED, channels * padded(channels));
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (int64_t o = 0; o < padded(channels); o += GROUP) pack_group(matrix, channels, channels, o, packed + o * channels);
#pragma omp for schedule(static)
    for (int64_t first = 0; first < pixels; first += PIXELS) {
      const int64_t count = std::min(PIXELS, pixels - first);
      float* centered = workspace(PRIVATE, PIXELS * (channels + GROUP));
      float* products = centered + PIXELS * channels;
      for (int64_t i = 0; i < count; ++i)
        subtract(map + (first + i) * channels, mean, centered + i * channels, channels);
      for_products(centered, packed, count, channels, channels, products, [&](int64_t i, int64_t c, auto value) {
        using T = decltype(value);
        float* to = out + (first + i) * channels + c;
        store(to, load<T>(to) + (value + load<T>(offset + c)));
      });
    }
  }
}

}  // extern "C"
