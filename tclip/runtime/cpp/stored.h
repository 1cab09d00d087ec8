// Matrices as a file holds them, and the token table, which is read where it lies.
//
// Axes: O outputs, I inputs, G groups of inputs with one scale each.
#pragma once

#include <cstdint>

#include "memory.h"

namespace tclip {

// A matrix as the file holds it; the memory belongs to the mapping and outlives what is made of it.
struct Stored {
    int outputs = 0, inputs = 0;
    const uint8_t* codes = nullptr;  // bytes of codes (codes.h); the matrix begins at `first_code`
    int bits = 2;                    // of a code: 2 (ternary), 4 or 8
    int64_t num_bytes = 0, first_code = 0;
    const float* scale_OG = nullptr;
    int groups = 1;
    const void* dense_OI = nullptr;  // or float16 or float32 numbers
    bool half = false;
};

// Throws std::invalid_argument for bytes that are no codes or too few of them.
void check(const Stored& stored);

// The table of token embeddings, read where it lies.
class Table {
public:
    // Throws as check does.
    explicit Table(const Stored& stored);
    int rows() const { return stored_.outputs; }
    int width() const { return stored_.inputs; }
    void read(int row, float* out) const;

private:
    Stored stored_;
    Aligned<float> scale_OG_;
};

}  // namespace tclip
