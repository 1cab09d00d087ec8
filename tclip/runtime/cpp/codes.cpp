#include "codes.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace tclip {

namespace {

constexpr int CODES_A_BYTE = 5;  // of base 3

struct Digits {
    uint8_t of[256][8] = {};  // eight bytes each, so that one store writes five codes

    constexpr Digits() {
        for (int byte = 0; byte <= LARGEST_BYTE; ++byte)
            for (int place = CODES_A_BYTE - 1, rest = byte; place >= 0; --place, rest /= 3)
                of[byte][place] = uint8_t(rest % 3 + 1);
    }
};

constexpr Digits DIGITS;

void read_base3(const uint8_t* bytes, int64_t first, int64_t count, uint8_t* to) {
    const uint8_t* from = bytes + first / CODES_A_BYTE;
    if (const int skipped = int(first % CODES_A_BYTE); skipped && count) {
        const int64_t taken = std::min<int64_t>(CODES_A_BYTE - skipped, count);
        std::memcpy(to, DIGITS.of[*from++] + skipped, size_t(taken));
        to += taken;
        count -= taken;
    }
    for (; count > 0; count -= CODES_A_BYTE, to += CODES_A_BYTE) std::memcpy(to, DIGITS.of[*from++], 8);
}

void read_halves(const uint8_t* bytes, int64_t first, int64_t count, uint8_t* to) {
    for (int64_t i = first; i < first + count; ++i) *to++ = i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4;
}

bool all_base3(const uint8_t* bytes, int64_t count) {
    uint8_t largest = 0;
    for (int64_t i = 0; i < count; ++i) largest = std::max(largest, bytes[i]);
    return largest <= LARGEST_BYTE;
}

// Whether no digit is 0.
bool all_digits(const uint8_t* bytes, int64_t count, int bits) {
    bool zero = false;
    for (int64_t i = 0; i < count; ++i) zero |= bits == 8 ? !bytes[i] : !(bytes[i] & 15) || !(bytes[i] >> 4);
    return !zero;
}

}  // namespace

int64_t bytes_of(int64_t count, int bits) {
    const int codes = bits == 2 ? CODES_A_BYTE : 8 / bits;
    return (count + codes - 1) / codes;
}

void check_bytes(const uint8_t* bytes, int64_t count, int bits) {
    if (bits != 2 && bits != 4 && bits != 8) throw std::invalid_argument("codes have 2 bits (ternary), 4 or 8");
    if (bits == 2 && !all_base3(bytes, count)) throw std::invalid_argument("a byte above 242 is no base-3 code");
    if (bits != 2 && !all_digits(bytes, count, bits))
        throw std::invalid_argument("a byte holds a digit 0, which is no code of 4 or 8 bits");
}

void read_digits(const uint8_t* bytes, int64_t first, int64_t count, int bits, uint8_t* to) {
    if (bits == 2) read_base3(bytes, first, count, to);
    else if (bits == 4) read_halves(bytes, first, count, to);
    else std::memcpy(to, bytes + first, size_t(count));
}

}  // namespace tclip
