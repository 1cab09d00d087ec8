#include "base3.h"

#include <cstring>

namespace tclip {

namespace {

struct Digits {
    uint8_t of[256][8] = {};  // eight bytes each, so that one store writes five codes

    constexpr Digits() {
        for (int byte = 0; byte <= LARGEST_BYTE; ++byte)
            for (int place = CODES_A_BYTE - 1, rest = byte; place >= 0; --place, rest /= 3)
                of[byte][place] = uint8_t(rest % 3 + 1);
    }
};

constexpr Digits DIGITS;

}  // namespace

bool valid_base3(const uint8_t* bytes, int64_t count) {
    uint8_t largest = 0;
    for (int64_t i = 0; i < count; ++i) largest = bytes[i] > largest ? bytes[i] : largest;
    return largest <= LARGEST_BYTE;
}

void read_base3(const uint8_t* bytes, int64_t first, int64_t count, uint8_t* to) {
    const uint8_t* from = bytes + first / CODES_A_BYTE;
    if (const int skipped = int(first % CODES_A_BYTE); skipped && count) {
        int64_t taken = CODES_A_BYTE - skipped;
        if (taken > count) taken = count;
        std::memcpy(to, DIGITS.of[*from++] + skipped, size_t(taken));
        to += taken;
        count -= taken;
    }
    for (; count > 0; count -= CODES_A_BYTE, to += CODES_A_BYTE) std::memcpy(to, DIGITS.of[*from++], 8);
}

}  // namespace tclip
