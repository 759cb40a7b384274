// The Winograd convolution F(4x4, 3x3) of Lavin and Gray, with padding 1, and the gradient of its weight; called by
// winograd.py.
//
// Maps are [images, height, width, channels]. A tile of 4x4 outputs needs 6x6 inputs, which begin one pixel outside the
// map; pixels outside are zero. Transformed values are 36 for each tile and channel, and for each weight of two
// channels. They stay in the caches: a part of them is computed, used, and replaced by the next one. Each value is added
// up in an order that depends on the shapes alone, not on the number of threads.

#include <algorithm>
#include <cstdint>

#include "products.h"
#include "vectors.h"

namespace {

constexpr int POINTS = 36;
// A sixth as the sum of two floats: by the first alone, which is 3e-8 too large, all transformed kernels would be too
// large.
constexpr float SIXTH = 1.0f / 6, SIXTH_REST = static_cast<float>(1.0 / 6 - static_cast<double>(SIXTH));

template <typename T> inline T sixth(T value) { return SIXTH * value + SIXTH_REST * value; }

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
  const T near_even = -sixth(g0 + g2), near_odd = -sixth(g1);
  const T far_even = sixth(0.25f * g0 + g2), far_odd = -0.5f * near_odd;
  out[0] = 0.25f * g0;
  out[step_out] = near_even + near_odd;
  out[2 * step_out] = near_even - near_odd;
  out[3 * step_out] = far_even + far_odd;
  out[4 * step_out] = far_even - far_odd;
  out[5 * step_out] = g2;
}

// G^T from six to three values.
template <typename T> inline void times_transposed_kernel_transform(const T* in, T* out, int step_in, int step_out) {
  const T near_even = in[step_in] + in[2 * step_in], near_odd = in[step_in] - in[2 * step_in];
  const T far_even = in[3 * step_in] + in[4 * step_in], far_odd = in[3 * step_in] - in[4 * step_in];
  out[0] = 0.25f * in[0] + sixth(0.25f * far_even - near_even);
  out[step_out] = sixth(0.5f * far_odd - near_odd);
  out[2 * step_out] = sixth(far_even - near_even) + in[5 * step_in];
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

// The value of a pixel of a tile. A tile that is known to lie inside the map needs no test of each of its pixels.
template <typename T, bool INSIDE>
inline T pixel(const float* data, const Map& map, int64_t image, int64_t y, int64_t x) {
  return INSIDE || map.contains(y, x) ? load<T>(data + map.pixel(image, y, x)) : T{};
}

template <typename T, bool INSIDE>
inline void input_tile(const float* data, float* transformed, const Map& map, const Place& at, int64_t step) {
  T in[6], half[36], out[6];
  for (int j = 0; j < 6; ++j) {
    for (int i = 0; i < 6; ++i) in[i] = pixel<T, INSIDE>(data, map, at.image, at.top + i - 1, at.left + j - 1);
    times_input_transform(in, half + j, 1, 6);
  }
  for (int i = 0; i < 6; ++i) {
    times_input_transform(half + 6 * i, out, 1, 1);
    for (int j = 0; j < 6; ++j) store(transformed + (6 * i + j) * step, out[j]);
  }
}

template <typename T>
void input_tile(const float* data, float* transformed, const Map& map, const Place& at, int64_t step) {
  if (map.contains(at.top - 1, at.left - 1) && map.contains(at.top + 4, at.left + 4))
    input_tile<T, true>(data, transformed, map, at, step);
  else
    input_tile<T, false>(data, transformed, map, at, step);
}

template <typename T, bool INSIDE>
inline void output_tile(
    const float* transformed, const float* bias, float* data, const Map& map, const Place& at, int64_t step) {
  T in[6], half[24], out[4];
  const T shift = bias ? load<T>(bias) : T{};
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 6; ++j) in[j] = load<T>(transformed + (6 * i + j) * step);
    times_output_transform(in, half + 4 * i, 1, 1);
  }
  for (int j = 0; j < 4 && (INSIDE || at.left + j < map.width); ++j) {
    times_output_transform(half + j, out, 4, 1);
    for (int i = 0; i < 4 && (INSIDE || at.top + i < map.height); ++i)
      store(data + map.pixel(at.image, at.top + i, at.left + j), out[i] + shift);
  }
}

template <typename T>
void output_tile(
    const float* transformed, const float* bias, float* data, const Map& map, const Place& at, int64_t step) {
  if (map.contains(at.top + 3, at.left + 3))
    output_tile<T, true>(transformed, bias, data, map, at, step);
  else
    output_tile<T, false>(transformed, bias, data, map, at, step);
}

template <typename T, bool INSIDE>
inline void output_tile_adjoint(const float* data, float* transformed, const Map& map, const Place& at, int64_t step) {
  T in[4], half[24], out[6];
  for (int j = 0; j < 4; ++j) {
    for (int i = 0; i < 4; ++i) in[i] = pixel<T, INSIDE>(data, map, at.image, at.top + i, at.left + j);
    times_transposed_output_transform(in, half + j, 1, 4);
  }
  for (int i = 0; i < 6; ++i) {
    times_transposed_output_transform(half + 4 * i, out, 1, 1);
    for (int j = 0; j < 6; ++j) store(transformed + (6 * i + j) * step, out[j]);
  }
}

template <typename T>
void output_tile_adjoint(const float* data, float* transformed, const Map& map, const Place& at, int64_t step) {
  if (map.contains(at.top + 3, at.left + 3))
    output_tile_adjoint<T, true>(data, transformed, map, at, step);
  else
    output_tile_adjoint<T, false>(data, transformed, map, at, step);
}

// The transforms of all channels of one tile of a map, and of some channels of products.

void input_channels(const float* data, float* transformed, const Map& map, const Place& at, int64_t step) {
  for_channels(map.channels, [&](auto type, int64_t c) {
    input_tile<decltype(type)>(data + c, transformed + c, map, at, step);
  });
}

void output_channels(
    const float* transformed, const float* bias, float* data, int64_t channels, const Map& map, const Place& at,
    int64_t step) {
  for_channels(channels, [&](auto type, int64_t c) {
    output_tile<decltype(type)>(transformed + c, bias ? bias + c : nullptr, data + c, map, at, step);
  });
}

// A transformed map in parts of `of_part` channels, each [36, tiles, channels of the part], which one thread reads from
// end to end. `first` is the first channel of a part.
struct Parts {
  float* data;
  int64_t tiles, channels, of_part;

  int64_t width(int64_t first) const { return std::min(of_part, channels - first); }
  // The distance of two points of a part, no power of two, as in `spaced`.
  int64_t step(int64_t first) const { return tiles * width(first) + WIDTH; }
  float* part(int64_t first) const { return data + POINTS * (tiles * first + first / of_part * WIDTH); }
  int64_t size() const { return POINTS * (tiles * channels + (channels + of_part - 1) / of_part * WIDTH); }
  // The value of a tile's channel c at the first point.
  float* at(int64_t tile, int64_t c) const {
    const int64_t first = first_of(c);
    return part(first) + tile * width(first) + c - first;
  }
  int64_t step_at(int64_t c) const { return step(first_of(c)); }

 private:
  int64_t first_of(int64_t c) const { return c / of_part * of_part; }
};

// 3. Weights. The value of output channel o, input channel m and tap t is at
// data[o * step_out + m * step_in + t * step_tap].

struct Weight {
  const float* data;
  int64_t out, in, step_out, step_in, step_tap;

  int64_t padded_out() const { return padded(out); }
  int64_t group(int64_t first) const { return std::min<int64_t>(GROUP, padded_out() - first); }
};

// The distance of the kernels of two points, [in, width]; no power of two either.
inline int64_t kernels_of_point(int64_t in, int64_t width) { return in * width + WIDTH; }

// The kernels G g G^T of a group of output channels, for each of the 36 points [in, channels of the group]. Channels that
// fill the last vector are zero. `count` input channels are transformed, from `m` on.
void kernels_of_group(const Weight& weight, int64_t group, int64_t m, int64_t count, float* kernels) {
  const int64_t width = weight.group(group);
  for (int64_t o = group; o < group + width; o += WIDTH)
    for (int64_t first = m; first < m + count; first += WIDTH) {
      const int64_t out = std::min<int64_t>(WIDTH, weight.out - o), in = std::min<int64_t>(WIDTH, m + count - first);
      float taps[9][WIDTH][WIDTH]{};  // of tap, output channel, input channel
      for (int64_t k = 0; k < out; ++k) {
        const float* from = weight.data + (o + k) * weight.step_out + first * weight.step_in;
        if (weight.step_in == 1 && in == WIDTH) {
          for (int t = 0; t < 9; ++t) store(taps[t][k], load<Vector>(from + t * weight.step_tap));
        } else {
          for (int64_t i = 0; i < in; ++i)
            for (int t = 0; t < 9; ++t) taps[t][k][i] = from[i * weight.step_in + t * weight.step_tap];
        }
      }
      for (int64_t i = 0; i < in; ++i) {
        Vector found[9]{}, half[18], line[6];
        for (int t = 0; t < 9; ++t)
          for (int k = 0; k < WIDTH; ++k) found[t][k] = taps[t][k][i];
        for (int j = 0; j < 3; ++j) times_kernel_transform(found + j, half + j, 3, 3);
        for (int p = 0; p < 6; ++p) {
          times_kernel_transform(half + 3 * p, line, 1, 1);
          for (int j = 0; j < 6; ++j)
            store(kernels + (6 * p + j) * kernels_of_point(weight.in, width) + (first + i) * width + o - group, line[j]);
        }
      }
    }
}

// The adjoint for a vector of output channels, of which `out` are there, and at most WIDTH input channels: adds to the
// gradients of the weights at `weight`. Kernels of two input channels are `step` floats apart, their 36 values
// `step_point`.
void add_kernel_gradients(
    const float* kernels, int64_t step, int64_t step_point, int64_t in, int64_t out, float* weight, int64_t step_out,
    int64_t step_in, int64_t step_tap) {
  float taps[WIDTH][9][WIDTH];  // of input channel, tap, output channel
  for (int64_t i = 0; i < in; ++i) {
    Vector line[6], half[18], found[9];
    for (int p = 0; p < 6; ++p) {
      for (int j = 0; j < 6; ++j) line[j] = load<Vector>(kernels + i * step + (6 * p + j) * step_point);
      times_transposed_kernel_transform(line, half + 3 * p, 1, 1);
    }
    for (int j = 0; j < 3; ++j) times_transposed_kernel_transform(half + j, found + j, 3, 3);
    for (int t = 0; t < 9; ++t) store(taps[i][t], found[t]);
  }
  for (int64_t o = 0; o < out; ++o) {
    float* to = weight + o * step_out;
    if (step_in == 1 && in == WIDTH) {
      for (int t = 0; t < 9; ++t) {
        Vector total = load<Vector>(to + t * step_tap);
        for (int i = 0; i < WIDTH; ++i) total[i] += taps[i][t][o];
        store(to + t * step_tap, total);
      }
    } else {
      for (int64_t i = 0; i < in; ++i)
        for (int t = 0; t < 9; ++t) to[i * step_in + t * step_tap] += taps[i][t][o];
    }
  }
}

// Products [36, count, width] of transformed tiles with the kernels of a group, at any distance of rows.
inline void products_of_group(
    const float* tiles, int64_t step_point, int64_t step, const float* kernels, int64_t in, int64_t width, int64_t count,
    float* products, int64_t step_point_out, int64_t step_out) {
  for (int point = 0; point < POINTS; ++point)
    product_of(
        count, width / WIDTH, tiles + point * step_point, step, 1, kernels + point * kernels_of_point(in, width), width,
        products + point * step_point_out, step_out, in);
}

}  // namespace

extern "C" {

// The convolution of a map [images, height, width, in] to [images, height, width, out], with a bias [out] if there is
// one. Each thread computes all channels of `block` tiles at a time. For kernels that fit a cache.
void winograd_convolution(
    const float* map, const float* weight_data, const float* bias, float* output, int64_t images, int64_t height,
    int64_t width, int64_t in, int64_t out, int64_t step_weight_out, int64_t step_weight_in, int64_t step_tap,
    int64_t block, int threads) {
  const Map from{images, height, width, in}, to{images, height, width, out};
  const Weight weight{weight_data, out, in, step_weight_out, step_weight_in, step_tap};
  const int64_t padded_out = weight.padded_out(), step = spaced(in), step_out = spaced(padded_out);
  const int64_t group_size = POINTS * kernels_of_point(in, GROUP);
  float* kernels = workspace(SHARED, (padded_out + GROUP - 1) / GROUP * group_size);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for collapse(2) schedule(static)
    for (int64_t o = 0; o < padded_out; o += GROUP)
      for (int64_t m = 0; m < in; m += WIDTH)
        kernels_of_group(weight, o, m, std::min<int64_t>(WIDTH, in - m), kernels + o / GROUP * group_size);
#pragma omp for schedule(static)
    for (int64_t first = 0; first < from.tiles(); first += block) {
      const int64_t count = std::min(block, from.tiles() - first);
      float* tiles = workspace(PRIVATE, POINTS * block * (step + step_out));
      float* products = tiles + POINTS * count * step;
      for (int64_t tile = 0; tile < count; ++tile)
        input_channels(map, tiles + tile * step, from, Place(from, first + tile), count * step);
      for (int64_t o = 0; o < padded_out; o += GROUP)
        products_of_group(
            tiles, count * step, step, kernels + o / GROUP * group_size, in, weight.group(o), count, products + o,
            count * step_out, step_out);
      for (int64_t tile = 0; tile < count; ++tile)
        output_channels(
            products + tile * step_out, bias, output, out, to, Place(to, first + tile), count * step_out);
    }
  }
}

// The same. All threads transform `block` tiles, then each computes some groups of channels of these. For larger
// kernels.
void winograd_convolution_by_groups(
    const float* map, const float* weight_data, const float* bias, float* output, int64_t images, int64_t height,
    int64_t width, int64_t in, int64_t out, int64_t step_weight_out, int64_t step_weight_in, int64_t step_tap,
    int64_t block, int threads) {
  const Map from{images, height, width, in}, to{images, height, width, out};
  const Weight weight{weight_data, out, in, step_weight_out, step_weight_in, step_tap};
  const int64_t step = spaced(in), step_out = spaced(GROUP);
  float* tiles = workspace(SHARED, POINTS * block * step);
  for (int64_t first = 0; first < from.tiles(); first += block) {
    const int64_t count = std::min(block, from.tiles() - first);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
      for (int64_t tile = 0; tile < count; ++tile)
        input_channels(map, tiles + tile * step, from, Place(from, first + tile), count * step);
#pragma omp for schedule(static)
      for (int64_t o = 0; o < weight.padded_out(); o += GROUP) {
        float* kernels = workspace(PRIVATE, POINTS * (kernels_of_point(in, GROUP) + block * step_out));
        float* products = kernels + POINTS * kernels_of_point(in, GROUP);
        kernels_of_group(weight, o, 0, in, kernels);
        products_of_group(
            tiles, count * step, step, kernels, in, weight.group(o), count, products, count * step_out, step_out);
        for (int64_t tile = 0; tile < count; ++tile)
          output_channels(
              products + tile * step_out, bias ? bias + o : nullptr, output + o, std::min<int64_t>(GROUP, out - o), to,
              Place(to, first + tile), count * step_out);
      }
    }
  }
}

// Adds to the gradient of the weight, from the input of the convolution and the gradient of its output.
// All threads transform `block` tiles of both, then each computes the gradients of some pairs of channels, those of
// `some_in` input and `some_out` output channels at a time, multiples of WIDTH and of GROUP.
void winograd_weight_gradient(
    const float* map, const float* grad, float* weight, int64_t images, int64_t height, int64_t width, int64_t in,
    int64_t out, int64_t step_weight_out, int64_t step_weight_in, int64_t step_tap, int64_t block, int64_t some_in,
    int64_t some_out, int threads) {
  const Map from{images, height, width, in}, to{images, height, width, out};
  const int64_t padded_out = padded(out);
  float* memory = workspace(
      SHARED, Parts{nullptr, block, in, some_in}.size() + Parts{nullptr, block, padded_out, GROUP}.size());
  for (int64_t first = 0; first < from.tiles(); first += block) {
    const int64_t count = std::min(block, from.tiles() - first);
    const Parts tiles{memory, count, in, some_in}, grads{memory + tiles.size(), count, padded_out, GROUP};
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
      for (int64_t tile = 0; tile < count; ++tile) {
        const Place at_input(from, first + tile), at_output(to, first + tile);
        for_channels(in, [&](auto type, int64_t c) {
          input_tile<decltype(type)>(map + c, tiles.at(tile, c), from, at_input, tiles.step_at(c));
        });
        for_channels(out, [&](auto type, int64_t c) {
          output_tile_adjoint<decltype(type)>(grad + c, grads.at(tile, c), to, at_output, grads.step_at(c));
        });
        for (int64_t c = out; c < padded_out; ++c)
          for (int point = 0; point < POINTS; ++point) grads.at(tile, c)[point * grads.step_at(c)] = 0;
      }
#pragma omp for collapse(2) schedule(static)
      for (int64_t o = 0; o < padded_out; o += some_out)
        for (int64_t m = 0; m < in; m += some_in) {
          float* kernels = workspace(PRIVATE, POINTS * some_in * some_out);
          const int64_t wide = std::min(some_out, padded_out - o), some = tiles.width(m);
          for (int point = 0; point < POINTS; ++point)
            for (int64_t k = 0; k < wide; k += GROUP)
              product_of(
                  some, grads.width(o + k) / WIDTH, tiles.part(m) + point * tiles.step(m), 1, some,
                  grads.part(o + k) + point * grads.step(o + k), grads.width(o + k), kernels + point * some * wide + k,
                  wide, count);
          for (int64_t k = 0; k < std::min(wide, out - o); k += WIDTH)
            for (int64_t i = 0; i < some; i += WIDTH)
              add_kernel_gradients(
                  kernels + i * wide + k, wide, some * wide, std::min<int64_t>(WIDTH, some - i),
                  std::min<int64_t>(WIDTH, out - o - k),
                  weight + (o + k) * step_weight_out + (m + i) * step_weight_in, step_weight_out, step_weight_in,
                  step_tap);
        }
    }
  }
}

}  // extern "C"
