// Weighing a map by its attention, and the adjoints of weighing and fusing, each in a single pass; called by mixing.py.

#include <cstdint>

#include "vectors.h"

extern "C" {

// y = z [c ; 1], of rows c [pixels, channels] and z [pixels]: [pixels, channels + 1].
void weigh(
    const float* rows, const float* attention, float* out, int64_t pixels, int64_t channels, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    const float* row = rows + pixel * channels;
    float* to = out + pixel * (channels + 1);
    const float z = attention[pixel];
    int64_t c = 0;
    for (; c + WIDTH <= channels; c += WIDTH) store(to + c, z * load<Vector>(row + c));
    for (; c < channels; ++c) to[c] = z * row[c];
    to[channels] = z;
  }
}

// From the gradients of z c and of z, the last channel of y: that of c, z times the former, and that of z, its product
// with c added to the latter. Pixels of the given gradients are `step` and `last_step` values apart.
void weigh_adjoint(
    const float* grad, const float* grad_last, const float* rows, const float* attention, float* grad_rows,
    float* grad_attention, int64_t pixels, int64_t channels, int64_t step, int64_t last_step, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    const float *g = grad + pixel * step, *row = rows + pixel * channels;
    float* to = grad_rows + pixel * channels;
    const float z = attention[pixel];
    Vector dot{};
    int64_t c = 0;
    for (; c + WIDTH <= channels; c += WIDTH) {
      const Vector value = load<Vector>(g + c);
      dot += value * load<Vector>(row + c);
      store(to + c, z * value);
    }
    float product = sum(dot);
    for (; c < channels; ++c) {
      product += g[c] * row[c];
      to[c] = z * g[c];
    }
    grad_attention[pixel] = product + grad_last[pixel * last_step];
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
