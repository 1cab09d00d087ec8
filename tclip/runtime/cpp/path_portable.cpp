// Plain C++ for any little-endian machine: what the compiler makes of vectors of 16 bytes.
#include "kernels.h"
#include "layout.h"

namespace tclip::portable {

#define TCLIP_VECTOR_BYTES 16
#include "vectors.h"
#include "generic.h"

typedef int16_t Shorts __attribute__((vector_size(16)));
typedef uint16_t HalfInts __attribute__((vector_size(16)));

#if defined(__aarch64__)
constexpr int INT_ROWS = 4;  // 16 of the 32 registers hold sums
#else
constexpr int INT_ROWS = 2;  // 8 of 16
#endif

// The inputs 0 and 2 of four beside each other, again and again; or 1 and 3.
static inline Shorts alternating(int16_t first, int16_t second) {
    return Shorts{first, second, first, second, first, second, first, second};
}

// One tile of 16 outputs for ROWS rows. A lane of 16 bits holds two digits of an output, inputs 0 and 1 or 2 and 3 of
// four; each is multiplied in turn, so a lane takes two products a step, as vpmaddubsw does in path_avx2.cpp.
template <int ROWS>
static inline void multiply_tile(const int8_t* a, int64_t stride, const uint8_t* panel, int inputs, int largest,
                                 int32_t* sum, bool add) {
    const int span = 32767 / (254 * largest) * 4;  // inputs between two steps that widen
    for (int begin = 0; begin < inputs; begin += span) {
        const int end = begin + span < inputs ? begin + span : inputs;
        Shorts pairs[ROWS][4] = {};
        for (int k = begin; k < end; k += 4, panel += 64) {
            Shorts even[ROWS], odd[ROWS];
            TCLIP_UNROLL
            for (int row = 0; row < ROWS; ++row) {
                const int8_t* four = a + row * stride + k;
                even[row] = alternating(four[0], four[2]);
                odd[row] = alternating(four[1], four[3]);
            }
            TCLIP_UNROLL
            for (int part = 0; part < 4; ++part) {
                const HalfInts digits = load<HalfInts>(panel + 16 * part);
                const Shorts low = (Shorts)(digits & 255), high = (Shorts)(digits >> 8);
                TCLIP_UNROLL
                for (int row = 0; row < ROWS; ++row) pairs[row][part] += low * even[row] + high * odd[row];
            }
        }
        TCLIP_UNROLL
        for (int row = 0; row < ROWS; ++row)
            TCLIP_UNROLL
            for (int part = 0; part < 4; ++part) {
                int32_t* to = sum + row * STRIP + part * 4;
                const Ints both = (Ints)pairs[row][part];
                Ints exact = (both >> 16) + (both << 16 >> 16);
                if (add || begin) exact += load<Ints>(to);
                store(to, exact);
            }
    }
}

#include "tile_rows.h"

extern const Kernels kernels = TCLIP_KERNELS("portable");

}  // namespace tclip::portable
