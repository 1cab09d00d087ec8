// Codes as they lie in a file (docs/format.md): of ternary weights five a byte, the first the most significant digit
// of base 3; of 4 bits two a byte, the first in the high half; of 8 bits one.
//
// Everywhere here a code c of `bits` bits, 2 for ternary, is the digit c + 2^(bits - 1): 1..3, 1..15 or 1..255.
#pragma once

#include <cstdint>

namespace tclip {

constexpr int LARGEST_BYTE = 242;  // of base 3

constexpr int offset_of(int bits) { return 1 << (bits - 1); }

// The bytes that hold `count` codes.
int64_t bytes_of(int64_t count, int bits);

// Throws std::invalid_argument for other bits than 2, 4 and 8, and if a byte stands for no codes.
void check_bytes(const uint8_t* bytes, int64_t count, int bits);

// Writes the digits of codes `first` .. `first + count - 1` of the stream; `to` has 8 bytes to spare.
void read_digits(const uint8_t* bytes, int64_t first, int64_t count, int bits, uint8_t* to);

}  // namespace tclip
