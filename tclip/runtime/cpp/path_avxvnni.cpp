// AVX-VNNI, on CPUs without AVX-512: vpdpbusd on 32 bytes.
#include <immintrin.h>

#include "kernels.h"
#include "layout.h"

namespace tclip::avxvnni {

#define TCLIP_VECTOR_BYTES 32
#include "vectors.h"
#include "generic.h"

constexpr int INT_ROWS = 3;  // 12 of the 16 registers hold sums

template <int ROWS>
static inline void multiply_rows(const int8_t* a, int64_t stride, const uint8_t* panel, int inputs, int, int32_t* sum,
                                 bool add) {
    const uint8_t* second = panel + TILE_OUTPUTS * inputs;
    __m256i exact[ROWS][4];
    TCLIP_UNROLL
    for (int row = 0; row < ROWS; ++row)
        TCLIP_UNROLL
        for (int part = 0; part < 4; ++part)
            exact[row][part] = add ? _mm256_loadu_si256((const __m256i*)(sum + row * STRIP + part * 8))
                                   : _mm256_setzero_si256();
    for (int k = 0; k < inputs; k += 4, panel += 64, second += 64) {
        __m256i input[ROWS];
        TCLIP_UNROLL
        for (int row = 0; row < ROWS; ++row) {
            int32_t four;
            __builtin_memcpy(&four, a + row * stride + k, 4);
            input[row] = _mm256_set1_epi32(four);
        }
        TCLIP_UNROLL
        for (int part = 0; part < 4; ++part) {
            const uint8_t* from = (part < 2 ? panel : second) + 32 * (part % 2);
            const __m256i weight = _mm256_load_si256((const __m256i*)from);
            TCLIP_UNROLL
            for (int row = 0; row < ROWS; ++row)
                exact[row][part] = _mm256_dpbusd_avx_epi32(exact[row][part], weight, input[row]);
        }
    }
    TCLIP_UNROLL
    for (int row = 0; row < ROWS; ++row)
        TCLIP_UNROLL
        for (int part = 0; part < 4; ++part)
            _mm256_storeu_si256((__m256i*)(sum + row * STRIP + part * 8), exact[row][part]);
}

#include "int_rows.h"

extern const Kernels kernels = TCLIP_KERNELS("avxvnni");

}  // namespace tclip::avxvnni
