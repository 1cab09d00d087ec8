// The two towers of a dual encoder: blocks of attention and feed-forward layers around a stream of tokens.
//
// Axes: B sequences (images or texts), M rows (all tokens of all sequences), D width, E embedding.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "linear.h"

namespace tclip {

using LinearPtr = std::shared_ptr<const Linear>;

struct Norm {
    std::vector<float> weight_D, bias_D;
    float eps = 0;
};

struct Attention {
    int heads;
    LinearPtr query, key, value, out;
};

struct Mlp {
    LinearPtr fc1, fc2;
    Activation activation;
};

struct Block {
    Norm norm1;
    Attention attention;
    Norm norm2;
    Mlp mlp;
};

// SigLIP's head: a learned query attends to all tokens.
struct AttentionPool {
    std::vector<float> probe_D;
    Attention attention;
    Norm norm;
    Mlp mlp;
};

// What both towers share. Throws std::invalid_argument where sizes do not fit each other.
struct Trunk {
    int width;
    std::vector<float> position_ND;
    std::vector<Block> blocks;
    Norm norm_out;
    std::shared_ptr<const AttentionPool> pool;  // or none: one token of each sequence is pooled
    LinearPtr projection;                       // or none

    int positions() const { return int(position_ND.size()) / width; }
    int embedding() const { return projection ? projection->outputs() : width; }
    void check() const;
};

struct ImageTower {
    Trunk trunk;
    int channels, image_size, patch_size;
    LinearPtr patch;
    std::vector<float> class_D;  // empty: no class token
    std::shared_ptr<const Norm> norm_in;

    int patches() const { return (image_size / patch_size) * (image_size / patch_size); }
    void check() const;

    // pixels_BCHW, out_BE
    void encode(const Kernels& kernels, int threads, const float* pixels, int batch, float* out) const;
};

struct TextTower {
    Trunk trunk;
    std::shared_ptr<const Table> table;
    bool causal;

    void check() const;

    // `ids` of all texts one behind the other, text b at starts[b] .. starts[b + 1]; its last token is pooled.
    // Throws std::invalid_argument for ids outside the table and for texts that are empty or too long.
    void encode(const Kernels& kernels, int threads, const int32_t* ids, const std::vector<int>& starts,
                float* out) const;
};

// The rows of a stream that belong to each sequence: starts[b] .. starts[b + 1].
using Starts = std::vector<int>;

// out_MD = softmax(query key^T / sqrt(D / heads)) value for each sequence and head. Queries have rows of their own;
// if `causal`, they are the rows of keys and see no later one.
struct AttentionInput {
    int heads, width;
    const float *query, *key, *value;
    int64_t query_stride, key_stride;  // key and value share theirs
    const Starts &query_starts, &key_starts;
    bool causal;
};
void attend(Team& team, const Kernels& kernels, const AttentionInput& input, float* out);

// Runs the blocks over x_MD (overwritten), pools and projects: out_BE.
void run_trunk(Team& team, const Kernels& kernels, const Trunk& trunk, Arena& arena, float* x, const Starts& starts,
               bool causal, bool pool_last, float* out);

}  // namespace tclip
