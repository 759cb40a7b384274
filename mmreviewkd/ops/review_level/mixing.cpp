// The adjoint of fusing a map with a coarser one, in a single pass over the gradient; called by mixing.py.

#include <cstdint>

#include "vectors.h"

extern "C" {

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
