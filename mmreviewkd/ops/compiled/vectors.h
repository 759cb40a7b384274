// Vectors of floats, as wide as the registers of the CPU.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
constexpr int WIDTH = 16;
#elif defined(__AVX__)
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif
typedef float Vector __attribute__((vector_size(WIDTH * sizeof(float))));

template <typename T> inline T load(const float* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <typename T> inline void store(float* to, T value) { std::memcpy(to, &value, sizeof(T)); }

inline float sum(const Vector& vector) {
  float total = 0;
  for (int i = 0; i < WIDTH; ++i) total += vector[i];
  return total;
}

inline float sum(float value) { return value; }

// Calls `run(type, c)` for WIDTH channels at a time, of the type Vector, and for each of the rest, of the type float.
template <typename Run> inline void for_channels(int64_t channels, const Run& run) {
  int64_t c = 0;
  for (; c + WIDTH <= channels; c += WIDTH) run(Vector{}, c);
  for (; c < channels; ++c) run(float{}, c);
}
