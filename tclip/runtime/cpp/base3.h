// Base-3 bytes: five codes a byte, the first the most significant digit (docs/format.md).
#pragma once

#include <cstdint>

namespace tclip {

constexpr int CODES_A_BYTE = 5;
constexpr int LARGEST_BYTE = 242;

// Whether all bytes are at most 242.
bool valid_base3(const uint8_t* bytes, int64_t count);

// Writes codes `first` .. `first + count - 1` of the stream as digits + 1, in 1..3; `to` has 8 bytes to spare.
void read_base3(const uint8_t* bytes, int64_t first, int64_t count, uint8_t* to);

}  // namespace tclip
