#include "linear.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "base3.h"
#include "layout.h"

namespace tclip {

namespace {

constexpr int MOST_INPUTS = 768;        // of a strip expanded at once: 24 KiB, half of a first-level cache
constexpr int MOST_DENSE_INPUTS = 256;  // 32 KiB of float32

Layout layout_of(const Stored& stored) {
    if (!stored.codes) return {};
    const int group = stored.inputs / stored.groups;
    return {stored.groups, group, int(round_up(group, TILE_INPUTS))};
}

void check(const Stored& stored) {
    if (!stored.codes) return;
    const int64_t end = stored.first_code + int64_t(stored.outputs) * stored.inputs;
    if (stored.first_code < 0 || (end + CODES_A_BYTE - 1) / CODES_A_BYTE > stored.num_bytes)
        throw std::invalid_argument("there are fewer codes than the shape needs");
    if (stored.groups < 1 || stored.inputs % stored.groups)
        throw std::invalid_argument("the scales do not divide the inputs into equal groups");
    if (!valid_base3(stored.codes, stored.num_bytes))
        throw std::invalid_argument("a byte above 242 is no base-3 code");
}

// One row of tiles: 16 outputs and all inputs, from base-3 bytes.
void fill_tiles(const Stored& stored, const Layout& layout, int first_output, uint8_t* tiles) {
    const int width = layout.width();
    static thread_local std::vector<uint8_t> codes, row;
    codes.assign(size_t(TILE_OUTPUTS) * width, CODE_OFFSET);
    row.resize(size_t(stored.inputs) + 8);
    for (int o = 0; o < TILE_OUTPUTS && first_output + o < stored.outputs; ++o) {
        read_base3(stored.codes, stored.first_code + int64_t(first_output + o) * stored.inputs, stored.inputs,
                   row.data());
        for (int g = 0; g < layout.groups; ++g)
            std::memcpy(&codes[size_t(o) * width + g * layout.padded], &row[size_t(g) * layout.group],
                        size_t(layout.group));
    }
    for (int k = 0; k < width; k += 16) {
        for (int o = 0; o < TILE_OUTPUTS; ++o, tiles += 4) {
            uint32_t fields[4], word = 0;
            std::memcpy(fields, &codes[size_t(o) * width + k], 16);
            for (int field = 0; field < 4; ++field) word |= fields[field] << 2 * field;
            std::memcpy(tiles, &word, 4);
        }
    }
}

float half_to_float(uint16_t half) {
    const uint32_t bits = uint32_t(half & 0x7FFF) << 13, sign = uint32_t(half & 0x8000) << 16;
    float magnitude;
    std::memcpy(&magnitude, &bits, 4);
    magnitude *= 5.192296858534828e33f;  // 2^112, the difference of the two biases
    return sign ? -magnitude : magnitude;
}

// Scratch memory of a thread for the strip it works on.
struct Scratch {
    Aligned<uint8_t> panel = aligned<uint8_t>(std::max(STRIP * MOST_INPUTS, STRIP * MOST_DENSE_INPUTS * 4));
    Aligned<int32_t> sum;
    Aligned<float> y;
    int64_t rows = 0;

    void fit(int64_t wanted) {
        if (wanted <= rows) return;
        sum = aligned<int32_t>(wanted * STRIP);
        y = aligned<float>(wanted * STRIP);
        rows = wanted;
    }
};

Scratch& scratch_for(int rows) {
    static thread_local Scratch scratch;
    scratch.fit(round_up(rows, ROW_BLOCK));
    return scratch;
}

// Cuts `inputs` into equal blocks of at most `most`, multiples of `unit`.
int block_of(int inputs, int most, int unit) {
    const int blocks = (inputs + most - 1) / most;
    return int(round_up((inputs + blocks - 1) / blocks, unit));
}

}  // namespace

Linear::Linear(const Stored& stored, const float* bias_O, int threads)
    : outputs_(stored.outputs), inputs_(stored.inputs), layout_(layout_of(stored)), dense_OI_(stored.dense_OI),
      half_(stored.half) {
    check(stored);
    const int64_t padded = round_up(outputs_, STRIP);
    bias_ = aligned<float>(padded);
    std::fill_n(bias_.get(), padded, 0.0f);
    if (bias_O) std::copy_n(bias_O, outputs_, bias_.get());
    if (!ternary()) return;
    const int groups = layout_.groups;
    scale_ = aligned<float>(padded * groups);
    std::fill_n(scale_.get(), padded * groups, 0.0f);
    for (int o = 0; o < outputs_; ++o)
        for (int g = 0; g < groups; ++g)
            scale_[(int64_t(o / STRIP) * groups + g) * STRIP + o % STRIP] = stored.scale_OG[int64_t(o) * groups + g];
    const int64_t row_bytes = int64_t(layout_.width()) * TILE_OUTPUTS / 4;
    tiles_ = aligned<uint8_t>(padded / TILE_OUTPUTS * row_bytes);
    Lease lease(threads);
    lease.team().run(int(padded / TILE_OUTPUTS), [&](int tile_row) {
        fill_tiles(stored, layout_, tile_row * TILE_OUTPUTS, tiles_.get() + tile_row * row_bytes);
    });
}

Rows::Rows(Arena& arena, int rows, int width, std::initializer_list<const Linear*> consumers)
    : rows(rows), width(width), raw(arena.take<float>(int64_t(rows) * width + 16)) {
    for (const Linear* linear : consumers) {
        if (!linear || !linear->ternary()) continue;
        const Layout& layout = linear->layout();
        if (std::any_of(rounded, rounded + num_rounded, [&](const Rounded& r) { return r.layout == layout; }))
            continue;
        rounded[num_rounded++] = {layout, arena.take<int8_t>(round_up(rows, ROW_BLOCK) * layout.width() + 64),
                                  arena.take<float>(rows), arena.take<int32_t>(int64_t(rows) * layout.groups)};
    }
}

void Rows::round(const Kernels& kernels, int m) const {
    for (const Rounded* r = rounded; r < rounded + num_rounded; ++r)
        kernels.quantize(raw + int64_t(m) * width, r->layout.groups, r->layout.group, r->layout.padded,
                         r->q + int64_t(m) * r->layout.width(), r->scale + m, r->sums + int64_t(m) * r->layout.groups);
}

const Rounded& Rows::as(const Layout& layout) const {
    return *std::find_if(rounded, rounded + num_rounded, [&](const Rounded& r) { return r.layout == layout; });
}

// One strip of 32 outputs of a product, for all rows.
class StripTask {
public:
    StripTask(const Kernels& kernels, const Product& product, int strip)
        : kernels_(kernels), product_(product), linear_(*product.linear), strip_(strip), rows_(product.input->rows),
          scratch_(scratch_for(rows_)) {}

    void run() {
        const float* y = linear_.ternary() ? multiply_ternary() : multiply_dense();
        const int first = strip_ * STRIP;
        kernels_.finish(y, rows_, linear_.bias_.get() + first, product_.activation, product_.add, product_.out + first,
                        product_.stride, std::min(STRIP, linear_.outputs_ - first));
    }

private:
    const float* multiply_ternary() {
        const Layout& layout = linear_.layout_;
        const Rounded& input = product_.input->as(layout);
        const int64_t row_bytes = int64_t(layout.width()) * TILE_OUTPUTS / 4;
        const uint8_t* tiles = linear_.tiles_.get() + 2 * strip_ * row_bytes;
        float* y = layout.groups > 1 ? scratch_.y.get() : reinterpret_cast<float*>(scratch_.sum.get());
        const int block = block_of(layout.padded, MOST_INPUTS, TILE_INPUTS);
        for (int g = 0; g < layout.groups; ++g) {
            for (int begin = 0; begin < layout.padded; begin += block) {
                const int inputs = std::min(block, layout.padded - begin);
                const int64_t first = int64_t(g) * layout.padded + begin;
                for (int tile = 0; tile < 2; ++tile)
                    kernels_.expand(tiles + tile * row_bytes + first * TILE_OUTPUTS / 4, inputs / TILE_INPUTS,
                                    scratch_.panel.get() + tile * TILE_OUTPUTS * inputs);
                kernels_.multiply(input.q + first, layout.width(), rows_, scratch_.panel.get(), inputs,
                                  scratch_.sum.get(), begin > 0);
            }
            const float* scale = linear_.scale_.get() + (int64_t(strip_) * layout.groups + g) * STRIP;
            kernels_.settle(scratch_.sum.get(), rows_, input.scale, input.sums + g, layout.groups, scale, y, g > 0);
        }
        return y;
    }

    const float* multiply_dense() {
        float* panel = reinterpret_cast<float*>(scratch_.panel.get());
        const int64_t first = int64_t(strip_) * STRIP * linear_.inputs_;
        const int outputs = std::min(STRIP, linear_.outputs_ - strip_ * STRIP);
        for (int begin = 0; begin < linear_.inputs_; begin += MOST_DENSE_INPUTS) {
            const int inputs = std::min(MOST_DENSE_INPUTS, linear_.inputs_ - begin);
            const char* weight = static_cast<const char*>(linear_.dense_OI_);
            kernels_.expand_dense(weight + (first + begin) * (linear_.half_ ? 2 : 4), linear_.half_, linear_.inputs_,
                                  outputs, inputs, panel);
            kernels_.multiply_float(product_.input->raw + begin, product_.input->width, rows_, panel, STRIP, inputs,
                                    scratch_.y.get(), STRIP, begin > 0);
        }
        return scratch_.y.get();
    }

    const Kernels& kernels_;
    const Product& product_;
    const Linear& linear_;
    const int strip_, rows_;
    Scratch& scratch_;
};

void multiply(Team& team, const Kernels& kernels, std::initializer_list<Product> products) {
    int strips = 0;
    for (const Product& product : products) strips += product.linear->strips();
    team.run(strips, [&](int strip) {
        const Product* product = products.begin();
        while (strip >= product->linear->strips()) strip -= (product++)->linear->strips();
        if (product->input->rows) StripTask(kernels, *product, strip).run();
    });
}

void integer_products(const Kernels& kernels, const Linear& linear, const int8_t* a, int rows, int32_t* out_MO) {
    const int width = linear.layout_.width(), inputs = linear.inputs_;
    const int64_t row_bytes = int64_t(width) * TILE_OUTPUTS / 4;
    const auto q = aligned<int8_t>(round_up(rows, ROW_BLOCK) * width);
    const auto panel = aligned<uint8_t>(int64_t(STRIP) * width);
    const auto sum = aligned<int32_t>(round_up(rows, ROW_BLOCK) * STRIP);
    std::fill_n(q.get(), round_up(rows, ROW_BLOCK) * width, int8_t(0));
    for (int m = 0; m < rows; ++m) std::copy_n(a + int64_t(m) * inputs, inputs, q.get() + int64_t(m) * width);
    for (int strip = 0; strip < linear.strips(); ++strip) {
        for (int tile = 0; tile < 2; ++tile)
            kernels.expand(linear.tiles_.get() + (2 * strip + tile) * row_bytes, width / TILE_INPUTS,
                           panel.get() + tile * TILE_OUTPUTS * width);
        kernels.multiply(q.get(), width, rows, panel.get(), width, sum.get(), false);
        for (int m = 0; m < rows; ++m) {
            int32_t surplus = 0;
            for (int k = 0; k < inputs; ++k) surplus += CODE_OFFSET * a[int64_t(m) * inputs + k];
            for (int n = 0; n < STRIP && strip * STRIP + n < linear.outputs_; ++n)
                out_MO[int64_t(m) * linear.outputs_ + strip * STRIP + n] = sum[m * STRIP + n] - surplus;
        }
    }
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
    static thread_local std::vector<uint8_t> codes;
    codes.resize(size_t(width) + 8);
    read_base3(stored_.codes, stored_.first_code + first, width, codes.data());
    const int group = width / stored_.groups;
    for (int d = 0; d < width; ++d)
        out[d] = scale_OG_[int64_t(row) * stored_.groups + d / group] * float(codes[d] - CODE_OFFSET);
}

}  // namespace tclip
