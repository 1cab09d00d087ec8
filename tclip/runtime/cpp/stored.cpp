#include "stored.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "codes.h"

namespace tclip {

namespace {

float half_to_float(uint16_t half) {
    const uint32_t bits = uint32_t(half & 0x7FFF) << 13, sign = uint32_t(half & 0x8000) << 16;
    float magnitude;
    std::memcpy(&magnitude, &bits, 4);
    magnitude *= 5.192296858534828e33f;  // 2^112, the difference of the two biases
    return sign ? -magnitude : magnitude;
}

}  // namespace

void check(const Stored& stored) {
    if (!stored.codes) return;
    check_bytes(stored.codes, stored.num_bytes, stored.bits);
    const int64_t end = stored.first_code + int64_t(stored.outputs) * stored.inputs;
    if (stored.first_code < 0 || bytes_of(end, stored.bits) > stored.num_bytes)
        throw std::invalid_argument("there are fewer codes than the shape needs");
    if (stored.groups < 1 || stored.inputs % stored.groups)
        throw std::invalid_argument("the scales do not divide the inputs into equal groups");
}

Table::Table(const Stored& stored) : stored_(stored) {
    check(stored);
    if (!stored.codes) return;
    const int64_t count = int64_t(stored.outputs) * stored.groups;
    scale_OG_ = aligned<float>(count);
    std::copy_n(stored.scale_OG, count, scale_OG_.get());
    stored_.scale_OG = scale_OG_.get();
}

void Table::read(int row, float* out) const {
    const int width = stored_.inputs;
    const int64_t first = int64_t(row) * width;
    if (!stored_.codes) {
        for (int d = 0; d < width; ++d)
            out[d] = stored_.half ? half_to_float(static_cast<const uint16_t*>(stored_.dense_OI)[first + d])
                                  : static_cast<const float*>(stored_.dense_OI)[first + d];
        return;
    }
    static thread_local std::vector<uint8_t> digits;
    digits.resize(size_t(width) + 8);
    read_digits(stored_.codes, stored_.first_code + first, width, stored_.bits, digits.data());
    const int group = width / stored_.groups, offset = offset_of(stored_.bits);
    for (int d = 0; d < width; ++d)
        out[d] = scale_OG_[int64_t(row) * stored_.groups + d / group] * float(digits[d] - offset);
}

}  // namespace tclip
