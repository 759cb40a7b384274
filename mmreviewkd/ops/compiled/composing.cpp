// The residual's part of the composed convolution and its adjoint; called by composed_convolution.py.
//
// A residual pixel q is repeated over a block of height x width pixels of a map of rows * height x columns * width
// pixels. products [n, rows, columns, 9, channels] holds W_t r_q for each tap t = (i, j), which reads the pixel
// p + (i - 1, j - 1) for the output pixel p.

#include <cstdint>

#include "vectors.h"

namespace {

struct Grid {
  int64_t rows, columns, height, width, channels;

  int64_t map_height() const { return rows * height; }
  int64_t map_width() const { return columns * width; }
  bool contains(int64_t y, int64_t x) const { return y >= 0 && y < map_height() && x >= 0 && x < map_width(); }
};

}  // namespace

extern "C" {

// out_p += sum_t z_{p+t} (W_t r)_{q(p+t)}, for maps z [n, h, w] and out [n, h, w, channels].
void spread_products(
    const float* products, const float* attention, float* out, int64_t images, int64_t rows, int64_t columns,
    int64_t height, int64_t width, int64_t channels, int threads) {
  const Grid grid{rows, columns, height, width, channels};
  const int64_t whole = channels - channels % WIDTH;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < images * grid.map_height(); ++line) {
    const int64_t image = line / grid.map_height(), y = line % grid.map_height();
    for (int64_t x = 0; x < grid.map_width(); ++x) {
      float* to = out + (line * grid.map_width() + x) * channels;
      const float* from[9];
      float z[9];
      int count = 0;
      for (int tap = 0; tap < 9; ++tap) {
        const int64_t v = y + tap / 3 - 1, u = x + tap % 3 - 1;
        if (!grid.contains(v, u)) continue;
        from[count] = products + (((image * rows + v / height) * columns + u / width) * 9 + tap) * channels;
        z[count++] = attention[(image * grid.map_height() + v) * grid.map_width() + u];
      }
      int64_t c = 0;
      for (; c < whole; c += WIDTH) {
        Vector total = load<Vector>(to + c);
        for (int tap = 0; tap < count; ++tap) total += z[tap] * load<Vector>(from[tap] + c);
        store(to + c, total);
      }
      for (; c < channels; ++c)
        for (int tap = 0; tap < count; ++tap) to[c] += z[tap] * from[tap][c];
    }
  }
}

// From the gradient g [n, h, w, channels] of the output: that of z, sum_t (W_t r)_{q(p)}^T g_{p-t}, and that of the
// products, the sums over each block of z_p g_{p-t}. Both are overwritten.
void spread_products_adjoint(
    const float* grad, const float* products, const float* attention, float* grad_attention, float* grad_products,
    int64_t images, int64_t rows, int64_t columns, int64_t height, int64_t width, int64_t channels, int threads) {
  const Grid grid{rows, columns, height, width, channels};
  const int64_t whole = channels - channels % WIDTH;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t block = 0; block < images * rows * columns; ++block) {
    const int64_t image = block / (rows * columns), top = block / columns % rows * height,
                  left = block % columns * width;
    float* totals = grad_products + block * 9 * channels;
    std::memset(totals, 0, 9 * channels * sizeof(float));
    for (int64_t y = top; y < top + height; ++y)
      for (int64_t x = left; x < left + width; ++x) {
        const int64_t pixel = (image * grid.map_height() + y) * grid.map_width() + x;
        const float z = attention[pixel];
        Vector dot{};
        float rest = 0;
        for (int tap = 0; tap < 9; ++tap) {
          const int64_t v = y + 1 - tap / 3, u = x + 1 - tap % 3;
          if (!grid.contains(v, u)) continue;
          const float* g = grad + ((image * grid.map_height() + v) * grid.map_width() + u) * channels;
          const float* product = products + (block * 9 + tap) * channels;
          float* total = totals + tap * channels;
          int64_t c = 0;
          for (; c < whole; c += WIDTH) {
            const Vector value = load<Vector>(g + c);
            dot += load<Vector>(product + c) * value;
            store(total + c, load<Vector>(total + c) + z * value);
          }
          for (; c < channels; ++c) {
            rest += product[c] * g[c];
            total[c] += z * g[c];
          }
        }
        grad_attention[pixel] = sum(dot) + rest;
      }
  }
}

}  // extern "C"
