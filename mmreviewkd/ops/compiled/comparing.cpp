// Statistics of the channels of a map, and its comparison with another map, each in a single pass; called by
// comparing.py.
//
// Maps are [images, height, width, channels]. Cells are the rectangles of an image between the lines that `row_bounds`
// [rows + 1] and `column_bounds` [columns + 1] name. Sums over all pixels are added up in float32 over a line of a cell, or
// some hundred pixels, and then in float64.

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "products.h"
#include "vectors.h"

namespace {

// Calls `run(type, number, c)` for the channels from c on: for four vectors at a time, one vector, or one channel.
template <typename Run> inline void for_channel_groups(int64_t channels, const Run& run) {
  int64_t c = 0;
  for (; c + 4 * WIDTH <= channels; c += 4 * WIDTH) run(Vector{}, std::integral_constant<int, 4>(), c);
  for (; c + WIDTH <= channels; c += WIDTH) run(Vector{}, std::integral_constant<int, 1>(), c);
  for (; c < channels; ++c) run(float{}, std::integral_constant<int, 1>(), c);
}

template <typename T> constexpr int LANES = sizeof(T) / sizeof(float);

// The j-th of the groups of values that a type holds, from a channel on.
template <typename T> inline T group(const float* data, int64_t c, int j) { return load<T>(data + c + j * LANES<T>); }

template <typename T> inline void put(float* data, int64_t c, int j, T value) {
  store(data + c + j * LANES<T>, value);
}

template <typename T, int K> inline void add_to(double* sums, const T (&values)[K]) {
  float unpacked[K * LANES<T>];
  for (int j = 0; j < K; ++j) store(unpacked + j * LANES<T>, values[j]);
  for (int k = 0; k < K * LANES<T>; ++k) sums[k] += unpacked[k];
}

}  // namespace

extern "C" {

// For each chunk of `chunk` pixels of a map [pixels, channels]: the mean of each channel, and the sum of the squared
// deviations from it, [chunks, 2, channels].
void moments_of_chunks(const float* map, float* out, int64_t pixels, int64_t channels, int64_t chunk, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t first = 0; first < pixels; first += chunk) {
    const int64_t count = std::min(chunk, pixels - first);
    const float* rows = map + first * channels;
    float *means = out + first / chunk * 2 * channels, *squares = means + channels;
    for_channel_groups(channels, [&](auto type, auto number, int64_t c) {
      using T = decltype(type);
      constexpr int K = number;
      T mean[K]{}, rest[K]{}, square[K]{};
      for (int64_t i = 0; i < count; ++i)
        for (int j = 0; j < K; ++j) mean[j] += group<T>(rows + i * channels, c, j);
      for (int j = 0; j < K; ++j) mean[j] /= static_cast<float>(count);
      for (int64_t i = 0; i < count; ++i)
        for (int j = 0; j < K; ++j) {
          const T deviation = group<T>(rows + i * channels, c, j) - mean[j];
          rest[j] += deviation;
          square[j] += deviation * deviation;
        }
      for (int j = 0; j < K; ++j) {  // what the mean lacks is the mean of the deviations
        rest[j] /= static_cast<float>(count);
        mean[j] += rest[j];
        square[j] -= static_cast<float>(count) * rest[j] * rest[j];
        put<T>(means, c, j, mean[j]);
        put<T>(squares, c, j, square[j]);
      }
    });
  }
}

// With the deviation c = map - mean and the difference d = scale c + shift - other, for each channel:
//
// - of_rows [images, rows, 3, channels]: the sums of d, d^2 and d c over a row of cells.
// - gradients [images, rows, columns, channels]: the gradient, with respect to d at a pixel of the cell, of the sum over
//   all windows of factor / 2 times the square of the window's mean of d. A window is a rectangle of cells, the first and
//   last row and column in `windows` [count, 4]; `factors` is [count].
// - of_images [images, 3, channels]: that sum, the sum of the gradients over all pixels, and of the gradients times c.
//
// All are overwritten, of_rows is added to.
void compare(
    const float* map, const float* other, const float* mean, const float* scale, const float* shift,
    const int64_t* row_bounds, const int64_t* column_bounds, const int64_t* windows, const float* factors,
    double* of_rows, float* gradients, double* of_images, int64_t images, int64_t height, int64_t width,
    int64_t channels, int64_t rows, int64_t columns, int64_t count, int threads) {
  const int64_t cells = rows * columns;
  float* sums = workspace(SHARED, images * cells * 2 * channels);  // of d and c, over each cell
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (int64_t unit = 0; unit < images * rows; ++unit) {
      float* of_cells = sums + unit * columns * 2 * channels;
      std::memset(of_cells, 0, columns * 2 * channels * sizeof(float));
      double* row = of_rows + unit * 3 * channels;
      for (int64_t y = row_bounds[unit % rows]; y < row_bounds[unit % rows + 1]; ++y)
        for_channel_groups(channels, [&](auto type, auto number, int64_t c) {
          using T = decltype(type);
          constexpr int K = number;
          const int64_t line = (unit / rows * height + y) * width;
          T all_differences[K]{}, squares[K]{}, products[K]{};
          for (int64_t column = 0; column < columns; ++column) {
            float* cell = of_cells + column * 2 * channels;
            T differences[K]{}, deviations[K]{};
            for (int64_t pixel = line + column_bounds[column]; pixel < line + column_bounds[column + 1]; ++pixel)
              for (int j = 0; j < K; ++j) {
                const T deviation = group<T>(map + pixel * channels, c, j) - group<T>(mean, c, j);
                const T difference = group<T>(scale, c, j) * deviation +
                                     (group<T>(shift, c, j) - group<T>(other + pixel * channels, c, j));
                differences[j] += difference;
                deviations[j] += deviation;
                squares[j] += difference * difference;
                products[j] += difference * deviation;
              }
            for (int j = 0; j < K; ++j) {
              all_differences[j] += differences[j];
              put<T>(cell, c, j, group<T>(cell, c, j) + differences[j]);
              put<T>(cell + channels, c, j, group<T>(cell + channels, c, j) + deviations[j]);
            }
          }
          add_to(row + c, all_differences);
          add_to(row + channels + c, squares);
          add_to(row + 2 * channels + c, products);
        });
    }
#pragma omp for schedule(static)
    for (int64_t image = 0; image < images; ++image)
      for_channel_groups(channels, [&](auto type, auto number, int64_t c) {
        using T = decltype(type);
        constexpr int K = number;
        const float* of_cells = sums + image * cells * 2 * channels;
        float* of_gradients = gradients + image * cells * channels;
        for (int64_t cell = 0; cell < cells; ++cell)
          for (int j = 0; j < K; ++j) put<T>(of_gradients + cell * channels, c, j, T{});
        T total[K]{}, through_shift[K]{}, through_scale[K]{};
        for (int64_t w = 0; w < count; ++w) {
          const int64_t top = windows[4 * w], bottom = windows[4 * w + 1], left = windows[4 * w + 2],
                        right = windows[4 * w + 3];
          const float area = (row_bounds[bottom] - row_bounds[top]) * (column_bounds[right] - column_bounds[left]);
          T pooled[K]{};
          for (int64_t y = top; y < bottom; ++y)
            for (int64_t x = left; x < right; ++x)
              for (int j = 0; j < K; ++j) pooled[j] += group<T>(of_cells + (y * columns + x) * 2 * channels, c, j);
          for (int j = 0; j < K; ++j) {
            pooled[j] /= area;
            total[j] += (factors[w] / 2) * pooled[j] * pooled[j];
            pooled[j] *= factors[w] / area;
          }
          for (int64_t y = top; y < bottom; ++y)
            for (int64_t x = left; x < right; ++x)
              for (int j = 0; j < K; ++j) {
                float* gradient = of_gradients + (y * columns + x) * channels;
                put<T>(gradient, c, j, group<T>(gradient, c, j) + pooled[j]);
              }
        }
        for (int64_t cell = 0; cell < cells; ++cell) {
          const int64_t y = cell / columns, x = cell % columns;
          const float area = (row_bounds[y + 1] - row_bounds[y]) * (column_bounds[x + 1] - column_bounds[x]);
          for (int j = 0; j < K; ++j) {
            const T gradient = group<T>(of_gradients + cell * channels, c, j);
            through_shift[j] += area * gradient;
            through_scale[j] += gradient * group<T>(of_cells + (2 * cell + 1) * channels, c, j);
          }
        }
        double* found = of_images + image * 3 * channels;
        std::fill_n(found + c, K * LANES<T>, 0.0);
        std::fill_n(found + channels + c, K * LANES<T>, 0.0);
        std::fill_n(found + 2 * channels + c, K * LANES<T>, 0.0);
        add_to(found + c, total);
        add_to(found + channels + c, through_shift);
        add_to(found + 2 * channels + c, through_scale);
      });
  }
}

// out = along_map (map - mean) + along_other other + offset, for the offset of the pixel's cell, [images, rows, columns,
// channels].
void combine(
    const float* map, const float* other, const float* mean, const float* along_map, const float* along_other,
    const float* offsets, const int64_t* row_bounds, const int64_t* column_bounds, float* out, int64_t images,
    int64_t height, int64_t width, int64_t channels, int64_t rows, int64_t columns, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < images * height; ++line) {
    const int64_t row = std::upper_bound(row_bounds, row_bounds + rows, line % height) - row_bounds - 1;
    for (int64_t column = 0; column < columns; ++column) {
      const int64_t first = line * width + column_bounds[column], last = line * width + column_bounds[column + 1];
      const float* offset = offsets + ((line / height * rows + row) * columns + column) * channels;
      for_channel_groups(channels, [&](auto type, auto number, int64_t c) {
        using T = decltype(type);
        constexpr int K = number;
        for (int64_t pixel = first; pixel < last; ++pixel)
          for (int j = 0; j < K; ++j) {
            const T deviation = group<T>(map + pixel * channels, c, j) - group<T>(mean, c, j);
            const T along = group<T>(along_other, c, j) * group<T>(other + pixel * channels, c, j);
            put<T>(
                out + pixel * channels, c, j, group<T>(along_map, c, j) * deviation + (along + group<T>(offset, c, j)));
          }
      });
    }
  }
}

}  // extern "C"
