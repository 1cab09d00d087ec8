// AMX: tdpbsud multiplies 16 rows x 64 inputs with 64 inputs x 16 outputs in one instruction. Everything else is
// AVX-512. Compiled a second time with TCLIP_EMULATE_AMX: there the tiles are arrays, so that the use of the tiles
// can be tested on any machine.
#include "kernels.h"
#include "layout.h"

#ifdef TCLIP_EMULATE_AMX
#define TCLIP_AMX_NAMESPACE amx_emulated
#define TCLIP_AMX_NAME "amx-emulated"
#define TCLIP_VECTOR_BYTES 16
#else
#include <immintrin.h>
#define TCLIP_AMX_NAMESPACE amx
#define TCLIP_AMX_NAME "amx"
#define TCLIP_VECTOR_BYTES 64
#endif

namespace tclip::TCLIP_AMX_NAMESPACE {

#include "vectors.h"
#include "generic.h"

#ifdef TCLIP_EMULATE_AMX
#include "amx_emulated.h"
#endif

// Tiles 0..3 hold sums of 2 x 2 blocks, 4 and 5 rows of inputs, 6 and 7 weights; each is 16 rows of 64 bytes.
struct alignas(64) TileConfig {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

constexpr int SUM_BYTES = STRIP * 4;  // from one row of sums to the next

static inline void load_sums(int32_t* sum, bool add) {
    if (!add) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        return;
    }
    _tile_loadd(0, sum, SUM_BYTES);
    _tile_loadd(1, sum + 16, SUM_BYTES);
    _tile_loadd(2, sum + 16 * STRIP, SUM_BYTES);
    _tile_loadd(3, sum + 16 * STRIP + 16, SUM_BYTES);
}

// 32 rows; the buffers have room for them even where fewer are asked for.
static inline void multiply_32(const int8_t* a, int64_t stride, const uint8_t* panel, int inputs, int32_t* sum,
                               bool add) {
    const uint8_t* second = panel + TILE_OUTPUTS * inputs;
    load_sums(sum, add);
    for (int k = 0; k < inputs; k += TILE_INPUTS) {
        _tile_loadd(6, panel + k * TILE_OUTPUTS, 64);
        _tile_stream_loadd(4, a + k, stride);
        _tile_dpbsud(0, 4, 6);
        _tile_loadd(7, second + k * TILE_OUTPUTS, 64);
        _tile_dpbsud(1, 4, 7);
        _tile_stream_loadd(5, a + 16 * stride + k, stride);
        _tile_dpbsud(2, 5, 6);
        _tile_dpbsud(3, 5, 7);
    }
    _tile_stored(0, sum, SUM_BYTES);
    _tile_stored(1, sum + 16, SUM_BYTES);
    _tile_stored(2, sum + 16 * STRIP, SUM_BYTES);
    _tile_stored(3, sum + 16 * STRIP + 16, SUM_BYTES);
}

// 16 rows: half of the tiles.
static inline void multiply_16(const int8_t* a, int64_t stride, const uint8_t* panel, int inputs, int32_t* sum,
                               bool add) {
    const uint8_t* second = panel + TILE_OUTPUTS * inputs;
    if (add) {
        _tile_loadd(0, sum, SUM_BYTES);
        _tile_loadd(1, sum + 16, SUM_BYTES);
    } else {
        _tile_zero(0);
        _tile_zero(1);
    }
    for (int k = 0; k < inputs; k += TILE_INPUTS) {
        _tile_stream_loadd(4, a + k, stride);
        _tile_loadd(6, panel + k * TILE_OUTPUTS, 64);
        _tile_dpbsud(0, 4, 6);
        _tile_loadd(7, second + k * TILE_OUTPUTS, 64);
        _tile_dpbsud(1, 4, 7);
    }
    _tile_stored(0, sum, SUM_BYTES);
    _tile_stored(1, sum + 16, SUM_BYTES);
}

static void multiply(const int8_t* a, int64_t stride, int rows, const uint8_t* panel, int inputs, int, int32_t* sum,
                     bool add) {
    TileConfig config;
    // without it GCC drops the stores to `config`, which it does not see _tile_loadconfig read
    __asm__ volatile("" : : "g"(&config) : "memory");
    _tile_loadconfig(&config);
    for (int row = 0; row < rows; row += ROW_BLOCK) {
        const auto kernel = rows - row > 16 ? multiply_32 : multiply_16;
        kernel(a + row * stride, stride, panel, inputs, sum + row * STRIP, add);
    }
    _tile_release();
}

extern const Kernels kernels = TCLIP_KERNELS(TCLIP_AMX_NAME);

}  // namespace tclip::TCLIP_AMX_NAMESPACE
