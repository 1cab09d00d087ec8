#include <algorithm>
#include <cmath>

#include "layout.h"
#include "tower.h"

namespace tclip {

namespace {

constexpr int QUERY_BLOCK = 48;  // rows of scores that are in memory at once

Arena& arena_of_attention() {
    static thread_local Arena arena;
    return arena;
}

// One head of one sequence.
class Head {
public:
    Head(const Kernels& kernels, const AttentionInput& input, int sequence, int head, float* out)
        : kernels_(kernels), input_(input), depth_(input.width / head_count(input)),
          first_query_(input.query_starts[sequence]), queries_(input.query_starts[sequence + 1] - first_query_),
          first_key_(input.key_starts[sequence]), keys_(input.key_starts[sequence + 1] - first_key_),
          column_(head * depth_), padded_keys_(int(round_up(keys_, STRIP))), padded_depth_(int(round_up(depth_, STRIP))),
          out_(out) {}

    void run() {
        Arena& arena = arena_of_attention();
        arena.reset();
        key_ = arena.take<float>(int64_t(depth_) * padded_keys_);
        value_ = arena.take<float>(int64_t(keys_) * padded_depth_);
        scores_ = arena.take<float>(int64_t(QUERY_BLOCK) * padded_keys_);
        y_ = arena.take<float>(int64_t(QUERY_BLOCK) * padded_depth_);
        pack();
        for (int row = 0; row < queries_; row += QUERY_BLOCK) attend_rows(row, std::min(QUERY_BLOCK, queries_ - row));
    }

private:
    static int head_count(const AttentionInput& input) { return input.heads; }

    // Keys transposed and divided by the root of the depth, values with zeros behind each row.
    void pack() {
        const float factor = 1.0f / std::sqrt(float(depth_));
        std::fill_n(key_, int64_t(depth_) * padded_keys_, 0.0f);
        for (int k = 0; k < keys_; ++k) {
            const float* key = input_.key + (first_key_ + k) * input_.key_stride + column_;
            const float* value = input_.value + (first_key_ + k) * input_.key_stride + column_;
            for (int d = 0; d < depth_; ++d) key_[int64_t(d) * padded_keys_ + k] = key[d] * factor;
            float* to = value_ + int64_t(k) * padded_depth_;
            std::copy_n(value, depth_, to);
            std::fill(to + depth_, to + padded_depth_, 0.0f);
        }
    }

    void attend_rows(int row, int rows) {
        const int seen = input_.causal ? std::min(keys_, row + rows) : keys_;
        const float* query = input_.query + (first_query_ + row) * input_.query_stride + column_;
        for (int k = 0; k < seen; k += STRIP)
            kernels_.multiply_float(query, input_.query_stride, rows, key_ + k, padded_keys_, depth_, scores_ + k,
                                    padded_keys_, false);
        float inverse_sum[QUERY_BLOCK];
        kernels_.softmax(scores_, padded_keys_, rows, input_.causal ? row + 1 : keys_, input_.causal, inverse_sum);
        for (int d = 0; d < depth_; d += STRIP)
            kernels_.multiply_float(scores_, padded_keys_, rows, value_ + d, padded_depth_, seen, y_ + d, padded_depth_,
                                    false);
        kernels_.scale_rows(y_, padded_depth_, rows, depth_, inverse_sum,
                            out_ + int64_t(first_query_ + row) * input_.width + column_, input_.width);
    }

    const Kernels& kernels_;
    const AttentionInput& input_;
    const int depth_, first_query_, queries_, first_key_, keys_, column_, padded_keys_, padded_depth_;
    float* out_;
    float *key_ = nullptr, *value_ = nullptr, *scores_ = nullptr, *y_ = nullptr;
};

}  // namespace

void attend(Team& team, const Kernels& kernels, const AttentionInput& input, float* out) {
    const int sequences = int(input.key_starts.size()) - 1;
    team.run(sequences * input.heads, [&](int item) {
        Head(kernels, input, item / input.heads, item % input.heads, out).run();
    });
}

}  // namespace tclip
