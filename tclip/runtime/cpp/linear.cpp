#include "linear.h"

#include <algorithm>
#include <cstring>

#include "codes.h"
#include "layout.h"

namespace tclip {

namespace {

constexpr int MOST_INPUTS = 768;        // of a strip expanded at once: 24 KiB, half of a first-level cache
constexpr int MOST_DENSE_INPUTS = 256;  // 32 KiB of float32

Layout layout_of(const Stored& stored) {
    check(stored);
    if (!stored.codes) return {};
    const int group = stored.inputs / stored.groups;
    return {stored.groups, group, int(round_up(group, TILE_INPUTS))};
}

// The digits of 16 outputs, groups filled up with zeros.
void read_outputs(const Stored& stored, const Layout& layout, int first_output, std::vector<uint8_t>& digits) {
    static thread_local std::vector<uint8_t> row;
    row.resize(size_t(stored.inputs) + 8);
    digits.assign(size_t(TILE_OUTPUTS) * layout.width(), 0);
    for (int o = 0; o < TILE_OUTPUTS && first_output + o < stored.outputs; ++o) {
        const int64_t first = stored.first_code + int64_t(first_output + o) * stored.inputs;
        read_digits(stored.codes, first, stored.inputs, stored.bits, row.data());
        for (int g = 0; g < layout.groups; ++g)
            std::memcpy(&digits[size_t(o) * layout.width() + g * layout.padded], &row[size_t(g) * layout.group],
                        size_t(layout.group));
    }
}

// One row of tiles from the fields that lie `shift` bits up in digits.
void fill_tiles(const std::vector<uint8_t>& digits, int width, int bits, int shift, uint8_t* tiles) {
    const int field = field_of(bits), fields = 8 / field;
    const uint32_t mask = 0x01010101u * uint32_t((1 << field) - 1);
    for (int k = 0; k < width; k += 4 * fields) {
        for (int o = 0; o < TILE_OUTPUTS; ++o, tiles += 4) {
            uint32_t word = 0;
            for (int f = 0; f < fields; ++f) {
                uint32_t four;
                std::memcpy(&four, &digits[size_t(o) * width + k + 4 * f], 4);
                word |= (four >> shift & mask) << field * f;
            }
            std::memcpy(tiles, &word, 4);
        }
    }
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
    : outputs_(stored.outputs), inputs_(stored.inputs), bits_(stored.bits), layout_(layout_of(stored)),
      dense_OI_(stored.dense_OI), half_(stored.half) {
    const int64_t padded = round_up(outputs_, STRIP);
    bias_ = aligned<float>(padded);
    std::fill_n(bias_.get(), padded, 0.0f);
    if (bias_O) std::copy_n(bias_O, outputs_, bias_.get());
    if (!coded()) return;
    const int groups = layout_.groups;
    scale_ = aligned<float>(padded * groups);
    std::fill_n(scale_.get(), padded * groups, 0.0f);
    for (int o = 0; o < outputs_; ++o)
        for (int g = 0; g < groups; ++g)
            scale_[(int64_t(o / STRIP) * groups + g) * STRIP + o % STRIP] = stored.scale_OG[int64_t(o) * groups + g];
    const int planes = planes_of(bits_), tile_rows = int(padded / TILE_OUTPUTS);
    tiles_ = aligned<uint8_t>(planes * tile_rows * row_bytes());
    Lease lease(threads);
    lease.team().run(tile_rows, [&](int tile_row) {
        static thread_local std::vector<uint8_t> digits;
        read_outputs(stored, layout_, tile_row * TILE_OUTPUTS, digits);
        for (int plane = 0; plane < planes; ++plane)
            fill_tiles(digits, layout_.width(), bits_, field_of(bits_) * (planes - 1 - plane),
                       tiles_.get() + (int64_t(plane) * tile_rows + tile_row) * row_bytes());
    });
}

int64_t Linear::row_bytes() const { return int64_t(layout_.width()) * TILE_OUTPUTS * field_of(bits_) / 8; }

void Linear::sum_strip(const Kernels& kernels, int strip, int group, const int8_t* q, int rows, uint8_t* panel,
                       int32_t* sum) const {
    const int field = field_of(bits_), block = block_of(layout_.padded, MOST_INPUTS, TILE_INPUTS);
    for (int plane = 0; plane < planes_of(bits_); ++plane) {
        for (int i = 0; plane && i < rows * STRIP; ++i) sum[i] *= 1 << field;
        const uint8_t* tiles = tiles_.get() + 2 * (int64_t(plane) * strips() + strip) * row_bytes();
        for (int begin = 0; begin < layout_.padded; begin += block) {
            const int inputs = std::min(block, layout_.padded - begin);
            const int64_t first = int64_t(group) * layout_.padded + begin;
            for (int tile = 0; tile < 2; ++tile)
                kernels.expand(tiles + tile * row_bytes() + first * TILE_OUTPUTS * field / 8, inputs / TILE_INPUTS,
                               field, panel + tile * TILE_OUTPUTS * inputs);
            kernels.multiply(q + first, layout_.width(), rows, panel, inputs, (1 << field) - 1, sum,
                             plane > 0 || begin > 0);
        }
    }
}

Rows::Rows(Arena& arena, int rows, int width, std::initializer_list<const Linear*> consumers)
    : rows(rows), width(width), raw(arena.take<float>(int64_t(rows) * width + 16)) {
    for (const Linear* linear : consumers) {
        if (!linear || !linear->coded()) continue;
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
        const float* y = linear_.coded() ? multiply_coded() : multiply_dense();
        const int first = strip_ * STRIP;
        kernels_.finish(y, rows_, linear_.bias_.get() + first, product_.activation, product_.add, product_.out + first,
                        product_.stride, std::min(STRIP, linear_.outputs_ - first));
    }

private:
    const float* multiply_coded() {
        const int groups = linear_.layout_.groups;
        const Rounded& input = product_.input->as(linear_.layout_);
        int32_t* sum = scratch_.sum.get();
        float* y = groups > 1 ? scratch_.y.get() : reinterpret_cast<float*>(sum);
        for (int g = 0; g < groups; ++g) {
            linear_.sum_strip(kernels_, strip_, g, input.q, rows_, scratch_.panel.get(), sum);
            const float* scale = linear_.scale_.get() + (int64_t(strip_) * groups + g) * STRIP;
            kernels_.settle(sum, rows_, input.scale, input.sums + g, groups, offset_of(linear_.bits_), scale, y, g > 0);
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
    const auto q = aligned<int8_t>(round_up(rows, ROW_BLOCK) * width);
    const auto panel = aligned<uint8_t>(int64_t(STRIP) * MOST_INPUTS);
    const auto sum = aligned<int32_t>(round_up(rows, ROW_BLOCK) * STRIP);
    std::fill_n(q.get(), round_up(rows, ROW_BLOCK) * width, int8_t(0));
    for (int m = 0; m < rows; ++m) std::copy_n(a + int64_t(m) * inputs, inputs, q.get() + int64_t(m) * width);
    for (int strip = 0; strip < linear.strips(); ++strip) {
        linear.sum_strip(kernels, strip, 0, q.get(), rows, panel.get(), sum.get());
        for (int m = 0; m < rows; ++m) {
            int32_t surplus = 0;
            for (int k = 0; k < inputs; ++k) surplus += offset_of(linear.bits_) * a[int64_t(m) * inputs + k];
            for (int n = 0; n < STRIP && strip * STRIP + n < linear.outputs_; ++n)
                out_MO[int64_t(m) * linear.outputs_ + strip * STRIP + n] = sum[m * STRIP + n] - surplus;
        }
    }
}

}  // namespace tclip
