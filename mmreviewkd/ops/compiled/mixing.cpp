// Attention and fusion, and their adjoints, each in a single pass; called by attending.py and mixing.py.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "products.h"
#include "vectors.h"

namespace {

inline float sigmoid(float logit) { return 1 / (1 + std::exp(-logit)); }

inline void weigh_pixel(const float* row, const float* mean, float z, float* to, int64_t channels) {
  for_channels(channels, [&](auto type, int64_t c) {
    using T = decltype(type);
    store(to + c, z * (load<T>(row + c) - load<T>(mean + c)));
  });
  to[channels] = z;
}

}  // namespace

extern "C" {

// y = z [c ; 1], of c = rows - mean, for rows [pixels, channels] and z [pixels]: [pixels, channels + 1].
void weigh(
    const float* rows, const float* mean, const float* attention, float* out, int64_t pixels, int64_t channels,
    int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t pixel = 0; pixel < pixels; ++pixel)
    weigh_pixel(rows + pixel * channels, mean, attention[pixel], out + pixel * (channels + 1), channels);
}

// From rows [n, h, w, channels], with h = rows * height and w = columns * width pixels: the maps z_0 and z_1 of attention,
// [n, h, w] each, whose logits are weights [2, channels + 1] times [c ; 1] plus coarse_logits [n, rows, columns, 2], and
// y = z_0 [c ; 1], [n, h, w, channels + 1].
void attend(
    const float* map, const float* mean, const float* weights, const float* coarse_logits, float* own_attention,
    float* coarse_attention, float* weighted, int64_t images, int64_t rows, int64_t columns, int64_t height,
    int64_t width, int64_t channels, int threads) {
  const float* coarse_weights = weights + channels + 1;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < images * rows * height; ++line)
    for (int64_t x = 0; x < columns * width; ++x) {
      const int64_t pixel = line * columns * width + x;
      const float *row = map + pixel * channels, *logits = coarse_logits + 2 * (line / height * columns + x / width);
      float own = weights[channels] + logits[0], other = coarse_weights[channels] + logits[1];
      Vector own_sum{}, other_sum{};
      int64_t c = 0;
      for (; c + WIDTH <= channels; c += WIDTH) {
        const Vector value = load<Vector>(row + c) - load<Vector>(mean + c);
        own_sum += value * load<Vector>(weights + c);
        other_sum += value * load<Vector>(coarse_weights + c);
      }
      for (; c < channels; ++c) {
        own += (row[c] - mean[c]) * weights[c];
        other += (row[c] - mean[c]) * coarse_weights[c];
      }
      const float z = sigmoid(own + sum(own_sum));
      own_attention[pixel] = z;
      coarse_attention[pixel] = sigmoid(other + sum(other_sum));
      weigh_pixel(row, mean, z, weighted + pixel * (channels + 1), channels);
    }
}

// The adjoint of `attend`, for the gradients of z_0 c, [n, h, w, channels], whose pixels are `step` values apart, of z_0,
// `last_step` values apart, and of z_1, [n, h, w]. The logits of the coarse pixels are coarse_weights [2, depth] times
// coarse [n, rows, columns, depth]. Found are the gradients of the rows, of coarse, which is added to what is there, and
// of both weights, as sums over each row of blocks, [n * rows, 2, channels + 1] and [n * rows, 2, depth].
void attend_adjoint(
    const float* grad, const float* grad_last, const float* grad_coarse_attention, const float* map, const float* mean,
    const float* own_attention, const float* coarse_attention, const float* weights, const float* coarse,
    const float* coarse_weights, float* grad_rows, float* grad_coarse, float* grad_weights, float* grad_coarse_weights,
    int64_t images, int64_t rows, int64_t columns, int64_t height, int64_t width, int64_t channels, int64_t depth,
    int64_t step, int64_t last_step, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t unit = 0; unit < images * rows; ++unit) {
    float* own = grad_weights + unit * 2 * (channels + 1);
    float* other = own + channels + 1;
    float* of_coarse = grad_coarse_weights + unit * 2 * depth;
    std::memset(own, 0, 2 * (channels + 1) * sizeof(float));
    std::memset(of_coarse, 0, 2 * depth * sizeof(float));
    for (int64_t column = 0; column < columns; ++column) {
      float own_total = 0, other_total = 0;
      for (int64_t i = 0; i < height; ++i)
        for (int64_t j = 0; j < width; ++j) {
          const int64_t pixel = (unit * height + i) * columns * width + column * width + j;
          const float *g = grad + pixel * step, *row = map + pixel * channels;
          const float z = own_attention[pixel], z_coarse = coarse_attention[pixel];
          Vector dot{};
          float product = grad_last[pixel * last_step];
          int64_t c = 0;
          for (; c + WIDTH <= channels; c += WIDTH)
            dot += load<Vector>(g + c) * (load<Vector>(row + c) - load<Vector>(mean + c));
          for (; c < channels; ++c) product += g[c] * (row[c] - mean[c]);
          const float own_logit = (product + sum(dot)) * z * (1 - z);
          const float other_logit = grad_coarse_attention[pixel] * z_coarse * (1 - z_coarse);
          own_total += own_logit;
          other_total += other_logit;
          for_channels(channels, [&](auto type, int64_t c) {
            using T = decltype(type);
            const T value = load<T>(row + c) - load<T>(mean + c);
            store(own + c, load<T>(own + c) + own_logit * value);
            store(other + c, load<T>(other + c) + other_logit * value);
            store(
                grad_rows + pixel * channels + c,
                z * load<T>(g + c) + own_logit * load<T>(weights + c) + other_logit * load<T>(weights + channels + 1 + c));
          });
        }
      own[channels] += own_total;
      other[channels] += other_total;
      const int64_t q = (unit * columns + column) * depth;
      for_channels(depth, [&](auto type, int64_t c) {
        using T = decltype(type);
        const T value = load<T>(coarse + q + c);
        store(of_coarse + c, load<T>(of_coarse + c) + own_total * value);
        store(of_coarse + depth + c, load<T>(of_coarse + depth + c) + other_total * value);
        store(
            grad_coarse + q + c, load<T>(grad_coarse + q + c) + own_total * load<T>(coarse_weights + c) +
                                     other_total * load<T>(coarse_weights + depth + c));
      });
    }
  }
}

// The fused map f_p = affine y_p + z_p r_q, [n, h, w, channels], of y [n, h, w, depth], z [n, h, w], r [n, rows, columns,
// channels] and affine [channels, depth], with h = rows * height and w = columns * width pixels.
void fuse(
    const float* weighted, const float* affine, const float* attention, const float* coarse, float* out, int64_t images,
    int64_t rows, int64_t columns, int64_t height, int64_t width, int64_t depth, int64_t channels, int threads) {
  const int64_t line = columns * width, pixels = images * rows * height * line;
  float* packed = workspace(SHARED, depth * padded(channels));
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (int64_t o = 0; o < padded(channels); o += GROUP) pack_group(affine, channels, depth, o, packed + o * depth);
#pragma omp for schedule(static)
    for (int64_t first = 0; first < pixels; first += PIXELS) {
      const int64_t count = std::min(PIXELS, pixels - first);
      float* products = workspace(PRIVATE, PIXELS * GROUP);
      for_products(
          weighted + first * depth, packed, count, depth, channels, products, [&](int64_t i, int64_t c, auto value) {
            const int64_t pixel = first + i, q = pixel / line / height * columns + pixel % line / width;
            const auto r = load<decltype(value)>(coarse + q * channels + c);
            store(out + pixel * channels + c, value + attention[pixel] * r);
          });
    }
  }
}

// From the gradient g [n, h, w, channels] of the fused map, with h = rows * height and w = columns * width pixels,
// whose summand at pixel p is z_p r_q with the coarse pixel q of its block: the gradients r_q^T g_p of z, and the sums
// over the block of z_p g_p, of r [n, rows, columns, channels]. The latter is overwritten.
void coarse_adjoint(
    const float* grad, const float* attention, const float* coarse, float* grad_attention, float* grad_coarse,
    int64_t images, int64_t rows, int64_t columns, int64_t height, int64_t width, int64_t channels, int threads) {
  const int64_t whole = channels - channels % WIDTH;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t block = 0; block < images * rows * columns; ++block) {
    const float* r = coarse + block * channels;
    float* total = grad_coarse + block * channels;
    std::memset(total, 0, channels * sizeof(float));
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j) {
        const int64_t pixel = (block / columns * height + i) * columns * width + block % columns * width + j;
        const float* g = grad + pixel * channels;
        const float z = attention[pixel];
        Vector even{}, odd{};
        int64_t c = 0;
        for (; c + 2 * WIDTH <= whole; c += 2 * WIDTH) {
          const Vector g0 = load<Vector>(g + c), g1 = load<Vector>(g + c + WIDTH);
          even += load<Vector>(r + c) * g0;
          odd += load<Vector>(r + c + WIDTH) * g1;
          store(total + c, load<Vector>(total + c) + z * g0);
          store(total + c + WIDTH, load<Vector>(total + c + WIDTH) + z * g1);
        }
        if (c < whole) {
          const Vector g0 = load<Vector>(g + c);
          even += load<Vector>(r + c) * g0;
          store(total + c, load<Vector>(total + c) + z * g0);
          c += WIDTH;
        }
        float product = sum(even + odd);
        for (; c < channels; ++c) {
          product += r[c] * g[c];
          total[c] += z * g[c];
        }
        grad_attention[pixel] = product;
      }
  }
}

}  // extern "C"
