// The transforms of the Winograd convolution F(4x4, 3x3) and their adjoints, on tiles of rows of channels.
//
// Each function computes what the function of its name in winograd_convolution.py computes by tensor operations. Maps
// are [n, h, w, channels], transformed tiles [36, n, tiles_high, tiles_wide, channels], both contiguous; a call covers
// some rows of tiles of some images. Pixels outside the map are zero. A tile is transformed in registers and the
// first-level cache, several channels at a time, so each map is read once and written once.

#include <cstdint>

#include "vectors.h"

namespace {

// B^T along six values.
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

// B along six values.
template <typename T> inline void times_transposed_input_transform(const T* in, T* out, int step_in, int step_out) {
  const T g0 = in[0], g5 = in[5 * step_in];
  const T even = in[step_in] + in[2 * step_in], odd = in[step_in] - in[2 * step_in];
  const T far_even = in[3 * step_in] + in[4 * step_in], far_odd = 2 * (in[3 * step_in] - in[4 * step_in]);
  out[0] = 4 * g0;
  out[step_out] = 4 * (g5 - odd) - far_odd;
  out[2 * step_out] = -5 * g0 - 4 * even - far_even;
  out[3 * step_out] = odd + far_odd - 5 * g5;
  out[4 * step_out] = g0 + even + far_even;
  out[5 * step_out] = g5;
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

// The part of a map that a call covers, and the place of a tile in it.
struct Strip {
  int64_t images, height, width, channels, first_row, tile_rows, tile_columns;

  int64_t tiles() const { return images * tile_rows * tile_columns; }
};

struct Place {
  int64_t image, top, left;

  Place(const Strip& strip, int64_t tile)
      : image(tile / (strip.tile_rows * strip.tile_columns)),
        top(4 * (strip.first_row + tile / strip.tile_columns % strip.tile_rows)),
        left(4 * (tile % strip.tile_columns)) {}
};

template <typename T> inline T load_pixel(const float* map, const Strip& strip, int64_t image, int64_t y, int64_t x) {
  if (y < 0 || y >= strip.height || x < 0 || x >= strip.width) return T{};
  return load<T>(map + ((image * strip.height + y) * strip.width + x) * strip.channels);
}

// The transforms of one tile, for the channels at which the pointers stand.

template <typename T>
void input_tile(const float* map, float* tiles, const Strip& strip, const Place& at, int64_t step) {
  T in[36], half[36], out[6];
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j) in[6 * i + j] = load_pixel<T>(map, strip, at.image, at.top + i - 1, at.left + j - 1);
  for (int j = 0; j < 6; ++j) times_input_transform(in + j, half + j, 6, 6);
  for (int i = 0; i < 6; ++i) {
    times_input_transform(half + 6 * i, out, 1, 1);
    for (int j = 0; j < 6; ++j) store(tiles + (6 * i + j) * step, out[j]);
  }
}

template <typename T>
void input_tile_adjoint(const float* tiles, float* map, const Strip& strip, const Place& at, int64_t step) {
  T in[6], half[36], out[36];
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 6; ++j) in[j] = load<T>(tiles + (6 * i + j) * step);
    times_transposed_input_transform(in, half + 6 * i, 1, 1);
  }
  for (int j = 0; j < 6; ++j) times_transposed_input_transform(half + j, out + j, 6, 6);
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j) {
      const int64_t y = at.top + i - 1, x = at.left + j - 1;
      if (y < 0 || y >= strip.height || x < 0 || x >= strip.width) continue;
      float* pixel = map + ((at.image * strip.height + y) * strip.width + x) * strip.channels;
      store(pixel, load<T>(pixel) + out[6 * i + j]);
    }
}

template <typename T>
void output_tile(const float* tiles, float* map, const Strip& strip, const Place& at, int64_t step) {
  T in[6], half[24], out[4];
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 6; ++j) in[j] = load<T>(tiles + (6 * i + j) * step);
    times_output_transform(in, half + 4 * i, 1, 1);
  }
  for (int j = 0; j < 4 && at.left + j < strip.width; ++j) {
    times_output_transform(half + j, out, 4, 1);
    for (int i = 0; i < 4 && at.top + i < strip.height; ++i)
      store(map + ((at.image * strip.height + at.top + i) * strip.width + at.left + j) * strip.channels, out[i]);
  }
}

template <typename T>
void output_tile_adjoint(const float* map, float* tiles, const Strip& strip, const Place& at, int64_t step) {
  T in[4], half[24], out[6];
  for (int j = 0; j < 4; ++j) {
    for (int i = 0; i < 4; ++i) in[i] = load_pixel<T>(map, strip, at.image, at.top + i, at.left + j);
    times_transposed_output_transform(in, half + j, 1, 4);
  }
  for (int i = 0; i < 6; ++i) {
    times_transposed_output_transform(half + 4 * i, out, 1, 1);
    for (int j = 0; j < 6; ++j) store(tiles + (6 * i + j) * step, out[j]);
  }
}

// Calls `transform` for all tiles of a strip: for WIDTH channels at a time, and for each of the rest.
template <typename Transform> void for_tiles(const Strip& strip, int threads, const Transform& transform) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t tile = 0; tile < strip.tiles(); ++tile) {
    const Place at(strip, tile);
    int64_t c = 0;
    for (; c + WIDTH <= strip.channels; c += WIDTH) transform(Vector{}, at, tile * strip.channels + c, c);
    for (; c < strip.channels; ++c) transform(float{}, at, tile * strip.channels + c, c);
  }
}

}  // namespace

extern "C" {

void input_tiles(
    const float* map, float* tiles, int64_t images, int64_t height, int64_t width, int64_t channels, int64_t first_row,
    int64_t tile_rows, int64_t tile_columns, int threads) {
  const Strip strip{images, height, width, channels, first_row, tile_rows, tile_columns};
  const int64_t step = strip.tiles() * channels;
  for_tiles(strip, threads, [&](auto type, const Place& at, int64_t in_tiles, int64_t in_map) {
    input_tile<decltype(type)>(map + in_map, tiles + in_tiles, strip, at, step);
  });
}

void output_tiles(
    const float* tiles, float* map, int64_t images, int64_t height, int64_t width, int64_t channels, int64_t first_row,
    int64_t tile_rows, int64_t tile_columns, int threads) {
  const Strip strip{images, height, width, channels, first_row, tile_rows, tile_columns};
  const int64_t step = strip.tiles() * channels;
  for_tiles(strip, threads, [&](auto type, const Place& at, int64_t in_tiles, int64_t in_map) {
    output_tile<decltype(type)>(tiles + in_tiles, map + in_map, strip, at, step);
  });
}

void output_tiles_adjoint(
    const float* map, float* tiles, int64_t images, int64_t height, int64_t width, int64_t channels, int64_t first_row,
    int64_t tile_rows, int64_t tile_columns, int threads) {
  const Strip strip{images, height, width, channels, first_row, tile_rows, tile_columns};
  const int64_t step = strip.tiles() * channels;
  for_tiles(strip, threads, [&](auto type, const Place& at, int64_t in_tiles, int64_t in_map) {
    output_tile_adjoint<decltype(type)>(map + in_map, tiles + in_tiles, strip, at, step);
  });
}

// Adds to the map. Tiles overlap, so threads share the images and channels rather than the tiles.
void input_tiles_adjoint(
    const float* tiles, float* map, int64_t images, int64_t height, int64_t width, int64_t channels, int64_t first_row,
    int64_t tile_rows, int64_t tile_columns, int threads) {
  const Strip strip{images, height, width, channels, first_row, tile_rows, tile_columns};
  const int64_t step = strip.tiles() * channels, per_image = tile_rows * tile_columns;
  const int64_t blocks = (channels + WIDTH - 1) / WIDTH;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t part = 0; part < images * blocks; ++part) {
    const int64_t first = part % blocks * WIDTH;
    for (int64_t tile = part / blocks * per_image; tile < (part / blocks + 1) * per_image; ++tile) {
      const Place at(strip, tile);
      const float* from = tiles + tile * channels;
      if (first + WIDTH <= channels) {
        input_tile_adjoint<Vector>(from + first, map + first, strip, at, step);
      } else {
        for (int64_t c = first; c < channels; ++c) input_tile_adjoint<float>(from + c, map + c, strip, at, step);
      }
    }
  }
}

}  // extern "C"
