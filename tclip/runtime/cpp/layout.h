// How ternary weights lie in memory while they are used, the same bytes for every instruction set.
//
// A tile holds 16 outputs x 64 inputs at 2 bits, 256 bytes: four vectors of 64 bytes. Byte 4 o + j of vector v
// holds, from its low bits up, the codes of output o at the inputs 16 v + j, 16 v + 4 + j, 16 v + 8 + j and
// 16 v + 12 + j. One shift and one mask so turn a vector into four rows of 16 outputs x 4 inputs, as the dot
// product instructions of x86 (VNNI, AMX) and ARM take them. A code t is stored as t + 2, in 1..3: bytes without
// sign on one side are what x86 wants, and the surplus, twice the sum of the inputs, is subtracted at the end.
//
// The inputs of a group (all inputs where a row has one scale) are filled up to a multiple of 64, the outputs to
// a multiple of 32. What fills up the weights meets inputs that are 0.
#pragma once

#include <cstdint>

namespace tclip {

constexpr int TILE_OUTPUTS = 16;
constexpr int TILE_INPUTS = 64;
constexpr int TILE_BYTES = TILE_OUTPUTS * TILE_INPUTS / 4;
constexpr int STRIP = 2 * TILE_OUTPUTS;    // outputs that one call of a kernel makes
constexpr int ROW_BLOCK = 32;              // buffers of rows are filled up to a multiple of this
constexpr int CODE_OFFSET = 2;

// Before loops over registers: GCC keeps an array in registers only if all loops over it are unrolled early.
#if defined(__clang__)
#define TCLIP_UNROLL _Pragma("unroll")
#else
#define TCLIP_UNROLL _Pragma("GCC unroll 16")
#endif

constexpr int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

}  // namespace tclip
