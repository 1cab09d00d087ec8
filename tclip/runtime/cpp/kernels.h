// The operations that have one implementation for each instruction set, as a table of functions.
//
// Axes: M rows (tokens), K inputs, N outputs, D width of a token. Strides are in elements.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tclip {

enum class Activation { none, quick_gelu, gelu, gelu_tanh };

struct Kernels {
    const char* name;

    // Expands `chunks` tiles of 16 outputs x 64 inputs, of fields of 2 or 4 bits, to bytes: 4 inputs x 16 outputs
    // after another.
    void (*expand)(const uint8_t* tiles, int64_t chunks, int field, uint8_t* panel);

    // sum_MN (stride 32) = or += a_MK times a strip of two expanded rows of tiles of `inputs` (a multiple of 64),
    // bytes of at most `largest`, 3 or 15. `a` and `sum` have room for M rounded up to a multiple of 32 rows.
    void (*multiply)(const int8_t* a, int64_t stride, int rows, const uint8_t* panel, int inputs, int largest,
                     int32_t* sum, bool add);

    // y_MN (stride 32) = or += (sum - offset row_sum_M) row_scale_M scale_N; y may be the memory of `sum` if not add.
    void (*settle)(const int32_t* sum, int rows, const float* row_scale, const int32_t* row_sum,
                   int64_t row_sum_stride, int offset, const float* scale, float* y, bool add);

    // out_MN = or += activation(y_MN + bias_N), for the first `outputs` of the 32 columns of y.
    void (*finish)(const float* y, int rows, const float* bias, Activation activation, bool add, float* out,
                   int64_t stride, int outputs);

    // c_MN = or += a_MK b_KN for 32 columns, float32.
    void (*multiply_float)(const float* a, int64_t a_stride, int rows, const float* b, int64_t b_stride, int inputs,
                           float* c, int64_t c_stride, bool add);

    // panel_KN (32 columns, zeros behind `outputs`) = the transpose of weight_NK, which is float16 or float32.
    void (*expand_dense)(const void* weight, bool half, int64_t stride, int outputs, int inputs, float* panel);

    // y_D = (x - mean) / sqrt(variance + eps) weight + bias.
    void (*normalize)(const float* x, int width, const float* weight, const float* bias, float eps, float* y);

    // q_K = rint(127 x / max|x|), each group of inputs filled up with zeros to `padded`; the sum of each group.
    // Of a row with a value that is not finite, q and sums are 0 and the scale is NaN, and so is all that follows.
    void (*quantize)(const float* x, int groups, int group, int padded, int8_t* q, float* scale, int32_t* sums);

    // Softmax over the first `valid` of each row's scores, in place: exp(s - max) and zeros behind; the inverse
    // of each row's sum, NaN if a score is not finite. If `causal`, row m sees `valid` + m scores.
    void (*softmax)(float* scores, int64_t stride, int rows, int valid, bool causal, float* inverse_sum);

    // out_MD = y_MD inverse_sum_M.
    void (*scale_rows)(const float* y, int64_t y_stride, int rows, int width, const float* inverse_sum, float* out,
                       int64_t stride);
};

// Every path that this machine can run, the fastest first; "portable" is always there.
const std::vector<const Kernels*>& available_paths();

// The path of that name; of the empty name, the fastest. Throws std::invalid_argument, naming those there are.
const Kernels& find_path(const std::string& name);

}  // namespace tclip
