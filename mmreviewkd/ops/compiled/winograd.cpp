// The Winograd convolution F(4x4, 3x3) of Lavin and Gray, with padding 1, and the gradient of its weight; called by
// winograd.py.
//
// Maps are [images, height, width, channels]. A tile of 4x4 outputs needs 6x6 inputs, which begin one pixel outside the
// map; pixels outside are zero. The transformed tiles of a few images or rows stay in the caches: they are transformed,
// multiplied, and transformed back before the next ones. Each value is added up in an order that depends on the shapes
// alone, not on the number of threads.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "vectors.h"

namespace {

constexpr int POINTS = 36;
constexpr float SIXTH = 1.0f / 6;

// 1. The transforms of Eq. 13 in docs/fast_path.md, along one line of a tile.

// B^T from six to six values.
template <typename T> inline void times_input_transform(const T* in, T* out, int step_in, int step_out) {
  const T d0 = in[0], d1 = in[step_in], d2 = in[2 * step_in], d3 = in[3 * step_in], d4 = in[4 * step_in],
          d5 = in[5 * step_in];
  const T even = d4 - 4 * d2, odd = d3 - 4 * d1, near_even = d4 - d2, near_odd = 2 * (d3 - d1);
  out[0] = d4 - 5 * d2 + 4 * d0;
  out[step_out] = even + odd;
  out[2 * step_out] = even - odd;
  out[3 * step_out] = near_even + near_odd;
  out[4 * step_out] = near_even - near_odd;
  out[5 * step_out] = d5 - 5 * d3 + 4 * d1;
}

// A^T from six to four values.
template <typename T> inline void times_output_transform(const T* in, T* out, int step_in, int step_out) {
  const T even = in[step_in] + in[2 * step_in], odd = in[step_in] - in[2 * step_in];
  const T far_even = in[3 * step_in] + in[4 * step_in], far_odd = in[3 * step_in] - in[4 * step_in];
  out[0] = in[0] + even + far_even;
  out[step_out] = odd + 2 * far_odd;
  out[2 * step_out] = even + 4 * far_even;
  out[3 * step_out] = in[5 * step_in] + odd + 8 * far_odd;
}

// A from four to six values.
template <typename T> inline void times_transposed_output_transform(const T* in, T* out, int step_in, int step_out) {
  const T g0 = in[0], g1 = in[step_in], g2 = in[2 * step_in], g3 = in[3 * step_in];
  const T even = g0 + g2, odd = g1 + g3, far_even = g0 + 4 * g2, far_odd = 2 * g1 + 8 * g3;
  out[0] = g0;
  out[step_out] = even + odd;
  out[2 * step_out] = even - odd;
  out[3 * step_out] = far_even + far_odd;
  out[4 * step_out] = far_even - far_odd;
  out[5 * step_out] = g3;
}

// G from three to six values.
template <typename T> inline void times_kernel_transform(const T* in, T* out, int step_in, int step_out) {
  const T g0 = in[0], g1 = in[step_in], g2 = in[2 * step_in];
  const T near_even = -SIXTH * (g0 + g2), near_odd = -SIXTH * g1;
  const T far_even = SIXTH / 4 * g0 + SIXTH * g2, far_odd = SIXTH / 2 * g1;
  out[0] = 0.25f * g0;
  out[step_out] = near_even + near_odd;
  out[2 * step_out] = near_even - near_odd;
  out[3 * step_out] = far_even + far_odd;
  out[4 * step_out] = far_even - far_odd;
  out[5 * step_out] = g2;
}

// G^T from six to three values.
template <typename T> inline void times_transposed_kernel_transform(const T* in, T* out, int step_in, int step_out) {
  const T near_even = -SIXTH * (in[step_in] + in[2 * step_in]), near_odd = -SIXTH * (in[step_in] - in[2 * step_in]);
  const T far_even = in[3 * step_in] + in[4 * step_in], far_odd = in[3 * step_in] - in[4 * step_in];
  out[0] = 0.25f * in[0] + near_even + SIXTH / 4 * far_even;
  out[step_out] = near_odd + SIXTH / 2 * far_odd;
  out[2 * step_out] = near_even + SIXTH * far_even + in[5 * step_in];
}

// 2. Tiles of maps.

struct Map {
  int64_t images, height, width, channels;

  int64_t tile_rows() const { return (height + 3) / 4; }
  int64_t tile_columns() const { return (width + 3) / 4; }
  int64_t tiles() const { return images * tile_rows() * tile_columns(); }
  bool contains(int64_t y, int64_t x) const { return y >= 0 && y < height && x >= 0 && x < width; }
  int64_t pixel(int64_t image, int64_t y, int64_t x) const { return ((image * height + y) * width + x) * channels; }
};

struct Place {
  int64_t image, top, left;

  Place(const Map& map, int64_t tile)
      : image(tile / (map.tile_rows() * map.tile_columns())), top(4 * (tile / map.tile_columns() % map.tile_rows())),
        left(4 * (tile % map.tile_columns())) {}
};

// Each of these transforms one tile, for the channels at which the pointers stand. The 36 values of a channel of a
// transformed tile are `step` floats apart.

template <typename T>
void input_tile(const float* data, float* transformed, const Map& map, const Place& at, int64_t step) {
  T in[36], half[36], out[6];
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j) {
      const int64_t y = at.top + i - 1, x = at.left + j - 1;
      in[6 * i + j] = map.contains(y, x) ? load<T>(data + map.pixel(at.image, y, x)) : T{};
    }
  for (int j = 0; j < 6; ++j) times_input_transform(in + j, half + j, 6, 6);
  for (int i = 0; i < 6; ++i) {
    times_input_transform(half + 6 * i, out, 1, 1);
    for (int j = 0; j < 6; ++j) store(transformed + (6 * i + j) * step, out[j]);
  }
}

template <typename T>
void output_tile(
    const float* transformed, const float* bias, float* data, const Map& map, const Place& at, int64_t step) {
  T in[6], half[24], out[4];
  const T shift = bias ? load<T>(bias) : T{};
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 6; ++j) in[j] = load<T>(transformed + (6 * i + j) * step);
    times_output_transform(in, half + 4 * i, 1, 1);
  }
  for (int j = 0; j < 4 && at.left + j < map.width; ++j) {
    times_output_transform(half + j, out, 4, 1);
    for (int i = 0; i < 4 && at.top + i < map.height; ++i)
      store(data + map.pixel(at.image, at.top + i, at.left + j), out[i] + shift);
  }
}

template <typename T>
void output_tile_adjoint(const float* data, float* transformed, const Map& map, const Place& at, int64_t step) {
  T in[4], half[24], out[6];
  for (int j = 0; j < 4; ++j) {
    for (int i = 0; i < 4; ++i) {
      const int64_t y = at.top + i, x = at.left + j;
      in[i] = map.contains(y, x) ? load<T>(data + map.pixel(at.image, y, x)) : T{};
    }
    times_transposed_output_transform(in, half + j, 1, 4);
  }
  for (int i = 0; i < 6; ++i) {
    times_transposed_output_transform(half + 4 * i, out, 1, 1);
    for (int j = 0; j < 6; ++j) store(transformed + (6 * i + j) * step, out[j]);
  }
}

// Calls `transform` for WIDTH channels at a time, and for each of the rest.
template <typename Transform> inline void for_channels(int64_t channels, const Transform& transform) {
  int64_t c = 0;
  for (; c + WIDTH <= channels; c += WIDTH) transform(Vector{}, c);
  for (; c < channels; ++c) transform(float{}, c);
}

// 3. Products of matrices. The columns of the right one, and of the result, are in groups of at most two vectors.

constexpr int GROUP = 2 * WIDTH;
constexpr int ROWS = WIDTH == 16 ? 14 : WIDTH == 8 ? 6 : 12;  // as many as leave registers for the operands

inline int64_t padded(int64_t channels) { return (channels + WIDTH - 1) / WIDTH * WIDTH; }

// c [R, K vectors] = a b, or c += a b, for b [depth, K vectors]. a_ik is at a[i * row + k * column].
template <int R, int K, bool ADD>
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
    for (int j = 0; j < K; ++j) {
      float* to = c + i * step_c + j * WIDTH;
      store(to, ADD ? load<Vector>(to) + total[i][j] : total[i][j]);
    }
}

using Product = void (*)(
    const float*, int64_t, int64_t, const float*, int64_t, float*, int64_t, int64_t);

template <int K, bool ADD, int... R> Product product_of_rows(int64_t rows, std::integer_sequence<int, R...>) {
  static constexpr Product products[] = {product<R + 1, K, ADD>...};
  return products[rows - 1];
}

// The same for any number of rows, and one or two vectors.
template <bool ADD>
void product_of(
    int64_t rows, int64_t vectors, const float* a, int64_t row, int64_t column, const float* b, int64_t step_b,
    float* c, int64_t step_c, int64_t depth) {
  for (int64_t i = 0; i < rows; i += ROWS) {
    const int64_t count = std::min<int64_t>(ROWS, rows - i);
    const auto all = std::make_integer_sequence<int, ROWS>();
    const Product run = vectors == 2 ? product_of_rows<2, ADD>(count, all) : product_of_rows<1, ADD>(count, all);
    run(a + i * row, row, column, b, step_b, c + i * step_c, step_c, depth);
  }
}

// Memory of a thread that is kept for later calls, as the system maps new memory page by page.
float* workspace(int64_t size) {
  thread_local std::unique_ptr<float[]> memory;
  thread_local int64_t available = 0;
  if (size > available) {
    memory.reset(new float[size]);
    available = size;
  }
  return memory.get();
}

}  // namespace

extern "C" {

// G g G^T of a weight g. The values of output channel o, input channel m and tap t are at
// weight[o * step_out + m * step_in + t], or 8 - t instead of t if `flipped`. For each of the 36 points and each group
// of output channels the kernels are [in, channels of the group]; channels that fill the last vector are zero.
void winograd_kernels(
    const float* weight, float* kernels, int64_t out, int64_t in, int64_t step_out, int64_t step_in, int64_t flipped,
    int threads) {
  const int64_t width = padded(out);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t m = 0; m < in; ++m)
    for (int64_t o = 0; o < width; o += WIDTH) {
      Vector taps[9]{}, half[18], line[6];
      for (int64_t i = 0; i < std::min<int64_t>(WIDTH, out - o); ++i) {
        const float* from = weight + (o + i) * step_out + m * step_in;
        for (int t = 0; t < 9; ++t) taps[t][i] = from[flipped ? 8 - t : t];
      }
      const int64_t group = o / GROUP * GROUP, in_group = std::min<int64_t>(GROUP, width - group);
      float* to = kernels + group * in + m * in_group + o - group;
      for (int j = 0; j < 3; ++j) times_kernel_transform(taps + j, half + j, 3, 3);
      for (int i = 0; i < 6; ++i) {
        times_kernel_transform(half + 3 * i, line, 1, 1);
        for (int j = 0; j < 6; ++j) store(to + (6 * i + j) * in * width, line[j]);
      }
    }
}

// The adjoint, for gradients of the kernels [36, in, padded out]: adds to the gradient [out, in, 9] of the weight.
void winograd_kernels_adjoint(const float* kernels, float* weight, int64_t out, int64_t in, int threads) {
  const int64_t width = padded(out);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t m = 0; m < in; ++m)
    for (int64_t o = 0; o < width; o += WIDTH) {
      Vector line[6], half[18], taps[9];
      for (int i = 0; i < 6; ++i) {
        for (int j = 0; j < 6; ++j) line[j] = load<Vector>(kernels + ((6 * i + j) * in + m) * width + o);
        times_transposed_kernel_transform(line, half + 3 * i, 1, 1);
      }
      for (int j = 0; j < 3; ++j) times_transposed_kernel_transform(half + j, taps + j, 3, 3);
      for (int64_t i = 0; i < std::min<int64_t>(WIDTH, out - o); ++i)
        for (int t = 0; t < 9; ++t) weight[((o + i) * in + m) * 9 + t] += taps[t][i];
    }
}

// The convolution of a map [images, height, width, in] to [images, height, width, out], with kernels from
// winograd_kernels, and a bias [out] if there is one. `block` tiles are computed at a time.
void winograd_convolution(
    const float* map, const float* kernels, const float* bias, float* output, int64_t images, int64_t height,
    int64_t width, int64_t in, int64_t out, int64_t block, int threads) {
  const Map from{images, height, width, in}, to{images, height, width, out};
  const int64_t padded_out = padded(out);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t first = 0; first < from.tiles(); first += block) {
    const int64_t count = std::min(block, from.tiles() - first);
    float* tiles = workspace(POINTS * block * (in + padded_out));
    float* products = tiles + POINTS * count * in;
    for (int64_t tile = 0; tile < count; ++tile) {
      const Place at(from, first + tile);
      for_channels(in, [&](auto type, int64_t c) {
        input_tile<decltype(type)>(map + c, tiles + tile * in + c, from, at, count * in);
      });
    }
    for (int point = 0; point < POINTS; ++point)
      for (int64_t o = 0; o < padded_out; o += GROUP) {
        const int64_t in_group = std::min<int64_t>(GROUP, padded_out - o);
        product_of<false>(
            count, in_group / WIDTH, tiles + point * count * in, in, 1, kernels + (point * padded_out + o) * in,
            in_group, products + point * count * padded_out + o, padded_out, in);
      }
    for (int64_t tile = 0; tile < count; ++tile) {
      const Place at(to, first + tile);
      for_channels(out, [&](auto type, int64_t c) {
        output_tile<decltype(type)>(
            products + tile * padded_out + c, bias ? bias + c : nullptr, output + c, to, at, count * padded_out);
      });
    }
  }
}

// Adds to the gradients [36, in, padded out] of the kernels, from the input of the convolution and the gradient of its
// output. `block` tiles are computed at a time, by all threads.
void winograd_kernel_gradients(
    const float* map, const float* grad, float* kernels, int64_t images, int64_t height, int64_t width, int64_t in,
    int64_t out, int64_t block, int threads) {
  const Map from{images, height, width, in}, to{images, height, width, out};
  const int64_t padded_out = padded(out);
  float* tiles = workspace(POINTS * block * (in + padded_out));
  for (int64_t first = 0; first < from.tiles(); first += block) {
    const int64_t count = std::min(block, from.tiles() - first);
    float* grads = tiles + POINTS * count * in;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
      for (int64_t tile = 0; tile < count; ++tile) {
        const Place at(from, first + tile);
        for_channels(in, [&](auto type, int64_t c) {
          input_tile<decltype(type)>(map + c, tiles + tile * in + c, from, at, count * in);
        });
        for_channels(out, [&](auto type, int64_t c) {
          output_tile_adjoint<decltype(type)>(grad + c, grads + tile * padded_out + c, to, at, count * padded_out);
        });
        for (int point = 0; point < POINTS; ++point)
          std::fill(grads + (point * count + tile) * padded_out + out, grads + (point * count + tile + 1) * padded_out,
                    0.0f);
      }
#pragma omp for schedule(static)
      for (int64_t part = 0; part < POINTS * ((padded_out + GROUP - 1) / GROUP); ++part) {
        const int64_t point = part % POINTS, o = part / POINTS * GROUP;
        product_of<true>(
            in, std::min<int64_t>(GROUP, padded_out - o) / WIDTH, tiles + point * count * in, 1, in,
            grads + point * count * padded_out + o, padded_out, kernels + point * in * padded_out + o, padded_out,
            count);
      }
    }
  }
}

}  // extern "C"
