// Plain C++ for any machine: what the compiler makes of vectors of 16 bytes.
#include "kernels.h"
#include "layout.h"

namespace tclip::portable {

#define TCLIP_VECTOR_BYTES 16
#include "vectors.h"
#include "generic.h"

static void multiply(const int8_t* a, int64_t stride, int rows, const uint8_t* panel, int inputs, int, int32_t* sum,
                     bool add) {
    for (int row = 0; row < rows; ++row, a += stride, sum += STRIP) {
        for (int tile = 0; tile < STRIP; tile += TILE_OUTPUTS) {
            const uint8_t* weight = panel + tile * inputs;
            int32_t exact[TILE_OUTPUTS] = {};
            for (int k = 0; k < inputs; k += 4, weight += 64)
                for (int n = 0; n < TILE_OUTPUTS; ++n)
                    for (int j = 0; j < 4; ++j) exact[n] += weight[4 * n + j] * a[k + j];
            for (int n = 0; n < TILE_OUTPUTS; ++n) sum[tile + n] = exact[n] + (add ? sum[tile + n] : 0);
        }
    }
}

extern const Kernels kernels = TCLIP_KERNELS("portable");

}  // namespace tclip::portable
