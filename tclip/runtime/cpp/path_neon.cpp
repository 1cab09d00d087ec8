// ARM: sdot (dot product) on 16 bytes or, where TCLIP_I8MM is set, smmla (int8 matrix product), 2 rows x 2 outputs.
#include <arm_neon.h>

#include "kernels.h"
#include "layout.h"

#ifdef TCLIP_I8MM
#define TCLIP_NEON_NAMESPACE i8mm
#define TCLIP_NEON_NAME "i8mm"
#else
#define TCLIP_NEON_NAMESPACE dotprod
#define TCLIP_NEON_NAME "dotprod"
#endif

namespace tclip::TCLIP_NEON_NAMESPACE {

#define TCLIP_VECTOR_BYTES 16
#include "vectors.h"
#include "generic.h"

#ifdef TCLIP_I8MM

constexpr int INT_ROWS = 4;

// Eight inputs of two rows beside each other; a row that is not there is read as the one before it.
static inline int8x16_t two_rows(const int8_t* first, const int8_t* second) {
    return vcombine_s8(vld1_s8(first), vld1_s8(second));
}

// Four outputs at a time: 2 outputs x 8 inputs in a register, which is what two steps of the panel hold zipped.
template <int ROWS>
static inline void multiply_rows(const int8_t* a, int64_t stride, const uint8_t* panel, int inputs, int, int32_t* sum,
                                 bool add) {
    constexpr int PAIRS = (ROWS + 1) / 2;
    for (int n = 0; n < STRIP; n += 8) {
        const uint8_t* weight = panel + (n / TILE_OUTPUTS) * TILE_OUTPUTS * inputs + n % TILE_OUTPUTS * 4;
        int32x4_t exact[PAIRS][4] = {};
        for (int k = 0; k < inputs; k += 8, weight += 128) {
            int8x16_t input[PAIRS];
            TCLIP_UNROLL
            for (int pair = 0; pair < PAIRS; ++pair) {
                const int8_t* row = a + 2 * pair * stride + k;
                input[pair] = two_rows(row, 2 * pair + 1 < ROWS ? row + stride : row);
            }
            TCLIP_UNROLL
            for (int half = 0; half < 2; ++half) {
                const int32x4_t early = vreinterpretq_s32_u8(vld1q_u8(weight + 16 * half));
                const int32x4_t late = vreinterpretq_s32_u8(vld1q_u8(weight + 16 * half + 64));
                const int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(early, late));
                const int8x16_t high = vreinterpretq_s8_s32(vzip2q_s32(early, late));
                TCLIP_UNROLL
                for (int pair = 0; pair < PAIRS; ++pair) {
                    exact[pair][2 * half] = vmmlaq_s32(exact[pair][2 * half], input[pair], low);
                    exact[pair][2 * half + 1] = vmmlaq_s32(exact[pair][2 * half + 1], input[pair], high);
                }
            }
        }
        TCLIP_UNROLL
        for (int row = 0; row < ROWS; ++row)
            TCLIP_UNROLL
            for (int half = 0; half < 2; ++half) {
                const int64x2_t low = vreinterpretq_s64_s32(exact[row / 2][2 * half]);
                const int64x2_t high = vreinterpretq_s64_s32(exact[row / 2][2 * half + 1]);
                int32_t* to = sum + row * STRIP + n + 4 * half;
                int32x4_t four = vreinterpretq_s32_s64(row % 2 ? vzip2q_s64(low, high) : vzip1q_s64(low, high));
                if (add) four = vaddq_s32(four, vld1q_s32(to));
                vst1q_s32(to, four);
            }
    }
}

#else

constexpr int INT_ROWS = 6;

template <int ROWS>
static inline void multiply_rows(const int8_t* a, int64_t stride, const uint8_t* panel, int inputs, int, int32_t* sum,
                                 bool add) {
    for (int tile = 0; tile < STRIP; tile += TILE_OUTPUTS, panel += TILE_OUTPUTS * inputs) {
        const uint8_t* weight = panel;
        int32x4_t exact[ROWS][4] = {};
        for (int k = 0; k < inputs; k += 4, weight += 64) {
            int8x16_t input[ROWS];
            TCLIP_UNROLL
            for (int row = 0; row < ROWS; ++row) {
                int32_t four;
                __builtin_memcpy(&four, a + row * stride + k, 4);
                input[row] = vreinterpretq_s8_s32(vdupq_n_s32(four));
            }
            TCLIP_UNROLL
            for (int part = 0; part < 4; ++part) {
                const int8x16_t codes = vreinterpretq_s8_u8(vld1q_u8(weight + 16 * part));
                TCLIP_UNROLL
                for (int row = 0; row < ROWS; ++row)
                    exact[row][part] = vdotq_s32(exact[row][part], codes, input[row]);
            }
        }
        TCLIP_UNROLL
        for (int row = 0; row < ROWS; ++row)
            TCLIP_UNROLL
            for (int part = 0; part < 4; ++part) {
                int32_t* to = sum + row * STRIP + tile + 4 * part;
                vst1q_s32(to, add ? vaddq_s32(exact[row][part], vld1q_s32(to)) : exact[row][part]);
            }
    }
}

#endif

#include "int_rows.h"

extern const Kernels kernels = TCLIP_KERNELS(TCLIP_NEON_NAME);

}  // namespace tclip::TCLIP_NEON_NAMESPACE
