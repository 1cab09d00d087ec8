// multiply() from a path's multiply_tile<ROWS>, which makes 16 outputs: one tile of a strip after the other.

template <int ROWS>
static inline void multiply_rows(const int8_t* a, int64_t stride, const uint8_t* panel, int inputs, int largest,
                                 int32_t* sum, bool add) {
    multiply_tile<ROWS>(a, stride, panel, inputs, largest, sum, add);
    multiply_tile<ROWS>(a, stride, panel + TILE_OUTPUTS * inputs, inputs, largest, sum + TILE_OUTPUTS, add);
}

#include "int_rows.h"
