// AVX2: vpmaddubsw. Two products of a digit and a byte in -127..127 are at most 254 times the largest digit, so 43 of
// them fit into 16 bits where that is 3, and 8 where it is 15; only then comes a step that widens to 32 bits.
#include <immintrin.h>

#include "kernels.h"
#include "layout.h"

namespace tclip::avx2 {

#define TCLIP_VECTOR_BYTES 32
#include "vectors.h"
#include "generic.h"

constexpr int INT_ROWS = 4;

// One tile of 16 outputs for ROWS rows.
template <int ROWS>
static inline void multiply_tile(const int8_t* a, int64_t stride, const uint8_t* panel, int inputs, int largest,
                                 int32_t* sum, bool add) {
    const __m256i ones = _mm256_set1_epi16(1);
    const int span = 32767 / (254 * largest) * 4;  // inputs between two steps that widen
    for (int begin = 0; begin < inputs; begin += span) {
        const int end = begin + span < inputs ? begin + span : inputs;
        __m256i pairs[ROWS][2] = {};
        for (int k = begin; k < end; k += 4, panel += 64) {
            const __m256i weight0 = _mm256_load_si256((const __m256i*)panel);
            const __m256i weight1 = _mm256_load_si256((const __m256i*)(panel + 32));
            TCLIP_UNROLL
            for (int row = 0; row < ROWS; ++row) {
                int32_t four;
                __builtin_memcpy(&four, a + row * stride + k, 4);
                const __m256i input = _mm256_set1_epi32(four);
                pairs[row][0] = _mm256_add_epi16(pairs[row][0], _mm256_maddubs_epi16(weight0, input));
                pairs[row][1] = _mm256_add_epi16(pairs[row][1], _mm256_maddubs_epi16(weight1, input));
            }
        }
        TCLIP_UNROLL
        for (int row = 0; row < ROWS; ++row)
            TCLIP_UNROLL
            for (int part = 0; part < 2; ++part) {
                __m256i* to = (__m256i*)(sum + row * STRIP + part * 8);
                __m256i exact = _mm256_madd_epi16(pairs[row][part], ones);
                if (add || begin) exact = _mm256_add_epi32(exact, _mm256_loadu_si256(to));
                _mm256_storeu_si256(to, exact);
            }
    }
}

#include "tile_rows.h"

extern const Kernels kernels = TCLIP_KERNELS("avx2");

}  // namespace tclip::avx2
