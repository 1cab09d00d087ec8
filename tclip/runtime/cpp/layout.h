// How codes lie in memory while they are used, the same bytes for every instruction set.
//
// A tile holds 16 outputs x 64 inputs, as fields of 2 bits (ternary) or 4 in vectors of 64 bytes. A vector of F = 4
// or 2 fields a byte holds 4 F inputs: byte 4 o + j of vector v has, from its low bits up, the digits of output o at
// the inputs 4 F v + j, 4 F v + 4 + j and so on. One shift and one mask so turn a vector into rows of
// 16 outputs x 4 inputs, as the dot product instructions of x86 (VNNI, AMX) and ARM take them. A code c is kept as
// c + 2^(bits - 1): bytes without sign on one side are what x86 wants, and the surplus, that many times the sum of
// the inputs, is subtracted at the end.
//
// Codes of 8 bits are two planes of tiles, one of their high halves and one of their low: with digits of at most 15
// the products of AVX2 fit into 16 bits, and ARM may take them for bytes with sign.
//
// The inputs of a group (all inputs where a row has one scale) are filled up to a multiple of 64, the outputs to
// a multiple of 32. What fills up the weights meets inputs that are 0.
#pragma once

#include <cstdint>

namespace tclip {

constexpr int TILE_OUTPUTS = 16;
constexpr int TILE_INPUTS = 64;
constexpr int STRIP = 2 * TILE_OUTPUTS;    // outputs that one call of a kernel makes
constexpr int ROW_BLOCK = 32;              // buffers of rows are filled up to a multiple of this

constexpr int field_of(int bits) { return bits == 2 ? 2 : 4; }  // bits of a field
constexpr int planes_of(int bits) { return bits == 8 ? 2 : 1; }

// Before loops over registers: GCC keeps an array in registers only if all loops over it are unrolled early.
#if defined(__clang__)
#define TCLIP_UNROLL _Pragma("unroll")
#else
#define TCLIP_UNROLL _Pragma("GCC unroll 16")
#endif

constexpr int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

}  // namespace tclip
