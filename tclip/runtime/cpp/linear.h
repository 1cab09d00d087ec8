// Linear layers with coded (ternary, 4 or 8 bits) or dense weights.
//
// Axes: M rows (tokens), O outputs, I inputs, G groups of inputs with one scale each.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "stored.h"
#include "threads.h"

namespace tclip {

// How a row of inputs is laid out when rounded: groups of `group`, each filled up to `padded`.
struct Layout {
    int groups = 0, group = 0, padded = 0;
    int width() const { return groups * padded; }
    bool operator==(const Layout& other) const { return groups == other.groups && group == other.group; }
};

class Linear {
public:
    // Throws std::invalid_argument for bytes that are no codes or too few of them.
    Linear(const Stored& stored, const float* bias_O, int threads);

    int outputs() const { return outputs_; }
    int inputs() const { return inputs_; }
    bool coded() const { return layout_.groups > 0; }
    const Layout& layout() const { return layout_; }
    int strips() const { return (outputs_ + 31) / 32; }

private:
    friend class StripTask;
    friend void integer_products(const Kernels&, const Linear&, const int8_t*, int, int32_t*);

    // The sums of digits times rows of rounded inputs, for one strip and one group of inputs.
    void sum_strip(const Kernels& kernels, int strip, int group, const int8_t* q, int rows, uint8_t* panel,
                   int32_t* sum) const;
    int64_t row_bytes() const;      // of a row of tiles: 16 outputs and all inputs

    int outputs_, inputs_, bits_;
    Layout layout_;
    Aligned<uint8_t> tiles_;        // [planes][O / 16][width / 64] tiles
    Aligned<float> scale_;          // [O / 32][G][32]
    Aligned<float> bias_;           // [O rounded up to 32]
    const void* dense_OI_ = nullptr;
    bool half_ = false;
};

// Rows of inputs in float32 and, for coded layers, rounded.
struct Rounded {
    Layout layout;
    int8_t* q = nullptr;
    float* scale = nullptr;
    int32_t* sums = nullptr;
};

struct Rows {
    static constexpr int MAX_LAYOUTS = 3;
    int rows = 0, width = 0;
    float* raw = nullptr;
    Rounded rounded[MAX_LAYOUTS];
    int num_rounded = 0;

    // Room for `rows` rows as these layers want them.
    Rows(Arena& arena, int rows, int width, std::initializer_list<const Linear*> consumers);

    // Rounds row m of `raw`.
    void round(const Kernels& kernels, int m) const;

    const Rounded& as(const Layout& layout) const;
};

// What becomes of the product: out = or += activation(product + bias).
struct Product {
    const Linear* linear;
    const Rows* input;
    float* out;
    int64_t stride;
    Activation activation = Activation::none;
    bool add = false;
};

// Computes one or more products, cut into strips of 32 outputs.
void multiply(Team& team, const Kernels& kernels, std::initializer_list<Product> products);

// The exact sums of a_MK (rows of `inputs` bytes) times the codes of a layer with one scale a row.
void integer_products(const Kernels& kernels, const Linear& linear, const int8_t* a, int rows, int32_t* out_MO);

}  // namespace tclip
