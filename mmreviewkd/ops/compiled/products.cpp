// Products of matrices with many rows; called by products.py.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "products.h"
#include "vectors.h"

namespace {

constexpr int COLUMNS = 112;  // of the left matrix at a time

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

}  // extern "C"
