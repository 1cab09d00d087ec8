// AVX-512 with VNNI: vpdpbusd, 64 products an instruction.
#include <immintrin.h>

#include "kernels.h"
#include "layout.h"

namespace tclip::avx512 {

#define TCLIP_VECTOR_BYTES 64
#include "vectors.h"
#include "generic.h"

constexpr int INT_ROWS = 12;  // 24 of the 32 registers hold sums

template <int ROWS>
static inline void multiply_rows(const int8_t* a, int64_t stride, const uint8_t* panel, int inputs, int, int32_t* sum,
                                 bool add) {
    const uint8_t* second = panel + TILE_OUTPUTS * inputs;
    __m512i exact[ROWS][2];
    TCLIP_UNROLL
    for (int row = 0; row < ROWS; ++row)
        TCLIP_UNROLL
        for (int tile = 0; tile < 2; ++tile)
            exact[row][tile] = add ? _mm512_loadu_si512(sum + row * STRIP + tile * 16) : _mm512_setzero_si512();
    for (int k = 0; k < inputs; k += 4, panel += 64, second += 64) {
        const __m512i weight0 = _mm512_load_si512(panel), weight1 = _mm512_load_si512(second);
        TCLIP_UNROLL
        for (int row = 0; row < ROWS; ++row) {
            int32_t four;
            __builtin_memcpy(&four, a + row * stride + k, 4);
            const __m512i input = _mm512_set1_epi32(four);
            exact[row][0] = _mm512_dpbusd_epi32(exact[row][0], weight0, input);
            exact[row][1] = _mm512_dpbusd_epi32(exact[row][1], weight1, input);
        }
    }
    TCLIP_UNROLL
    for (int row = 0; row < ROWS; ++row)
        TCLIP_UNROLL
        for (int tile = 0; tile < 2; ++tile)
            _mm512_storeu_si512(sum + row * STRIP + tile * 16, exact[row][tile]);
}

#include "int_rows.h"

extern const Kernels kernels = TCLIP_KERNELS("avx512vnni");

}  // namespace tclip::avx512
