// multiply() from a path's multiply_rows<ROWS>, for up to INT_ROWS rows whose sums stay in registers.

template <int ROWS>
static void multiply_some(int rows, const int8_t* a, int64_t stride, const uint8_t* panel, int inputs, int largest,
                          int32_t* sum, bool add) {
    if constexpr (ROWS > 0) {
        if (rows == ROWS) return multiply_rows<ROWS>(a, stride, panel, inputs, largest, sum, add);
        multiply_some<ROWS - 1>(rows, a, stride, panel, inputs, largest, sum, add);
    }
}

static void multiply(const int8_t* a, int64_t stride, int rows, const uint8_t* panel, int inputs, int largest,
                     int32_t* sum, bool add) {
    const int blocks = (rows + INT_ROWS - 1) / INT_ROWS;
    for (int block = 0, row = 0; block < blocks; ++block) {
        const int next = rows * (block + 1) / blocks;  // blocks of nearly equal size: none with a row alone
        multiply_some<INT_ROWS>(next - row, a + row * stride, stride, panel, inputs, largest, sum + row * STRIP,
                                add);
        row = next;
    }
}
