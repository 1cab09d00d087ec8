#include <algorithm>
#include <numeric>

#include "tower.h"

namespace tclip {

namespace {

// What every step of a forward pass needs.
struct Pass {
    Team& team;
    const Kernels& kernels;
    Arena& arena;
};

void normalize_row(const Kernels& kernels, const Norm& norm, const float* x, float* y) {
    kernels.normalize(x, int(norm.weight_D.size()), norm.weight_D.data(), norm.bias_D.data(), norm.eps, y);
}

// Norm of each row, rounded for the layers that take it.
void normalize(const Pass& pass, const Norm& norm, const float* x, const Rows& to) {
    pass.team.run(to.rows, [&](int m) {
        normalize_row(pass.kernels, norm, x + int64_t(m) * to.width, to.raw + int64_t(m) * to.width);
        to.round(pass.kernels, m);
    });
}

void round(const Pass& pass, const Rows& rows) {
    if (!rows.num_rounded) return;
    pass.team.run(rows.rows, [&](int m) { rows.round(pass.kernels, m); });
}

// Rows `pick` of `from`, rounded anew: the numbers are the same.
Rows gather(const Pass& pass, const Rows& from, const std::vector<int>& pick, const Linear* consumer) {
    Rows to(pass.arena, int(pick.size()), from.width, {consumer});
    for (int m = 0; m < to.rows; ++m)
        std::copy_n(from.raw + int64_t(pick[m]) * from.width, from.width, to.raw + int64_t(m) * from.width);
    round(pass, to);
    return to;
}

// x_MD += mlp(norm(x))
void feed_forward(const Pass& pass, const Norm& norm, const Mlp& mlp, float* x, int rows) {
    const int width = mlp.fc2->outputs();
    const Rows in(pass.arena, rows, width, {mlp.fc1.get()});
    const Rows hidden(pass.arena, rows, mlp.fc1->outputs(), {mlp.fc2.get()});
    normalize(pass, norm, x, in);
    multiply(pass.team, pass.kernels, {{mlp.fc1.get(), &in, hidden.raw, hidden.width, mlp.activation}});
    round(pass, hidden);
    multiply(pass.team, pass.kernels, {{mlp.fc2.get(), &hidden, x, width, Activation::none, true}});
}

// out_MD = or += attention of `queries` to `keys`
void attention(const Pass& pass, const Attention& layers, const Rows& queries, const Starts& query_starts,
               const Rows& keys, const Starts& key_starts, bool causal, float* out, bool add) {
    const int width = layers.value->outputs();
    float* query = pass.arena.take<float>(int64_t(queries.rows) * width);
    float* key = pass.arena.take<float>(int64_t(keys.rows) * width * 2);
    multiply(pass.team, pass.kernels,
             {{layers.query.get(), &queries, query, width},
              {layers.key.get(), &keys, key, 2 * width},
              {layers.value.get(), &keys, key + width, 2 * width}});
    const Rows mixed(pass.arena, queries.rows, width, {layers.out.get()});
    const AttentionInput input{layers.heads, width,     query,        key,        key + width,
                               width,        2 * width, query_starts, key_starts, causal};
    attend(pass.team, pass.kernels, input, mixed.raw);
    round(pass, mixed);
    multiply(pass.team, pass.kernels, {{layers.out.get(), &mixed, out, layers.out->outputs(), Activation::none, add}});
}

void run_block(const Pass& pass, const Block& block, float* x, int rows, const Starts& starts, bool causal) {
    const Attention& layers = block.attention;
    const Rows in(pass.arena, rows, layers.query->inputs(),
                  {layers.query.get(), layers.key.get(), layers.value.get()});
    normalize(pass, block.norm1, x, in);
    attention(pass, layers, in, starts, in, starts, causal, x, true);
    feed_forward(pass, block.norm2, block.mlp, x, rows);
}

Starts one_each(int count) {
    Starts starts(count + 1);
    std::iota(starts.begin(), starts.end(), 0);
    return starts;
}

// The last block for one row of each sequence: what the others would become, nobody reads. Returns those rows.
float* run_last_block(const Pass& pass, const Block& block, const float* x, int rows, const Starts& starts,
                      const std::vector<int>& pick) {
    const Attention& layers = block.attention;
    const int width = layers.query->inputs(), count = int(pick.size());
    const Rows in(pass.arena, rows, width, {layers.key.get(), layers.value.get()});
    normalize(pass, block.norm1, x, in);
    float* pooled = pass.arena.take<float>(int64_t(count) * width);
    for (int b = 0; b < count; ++b) std::copy_n(x + int64_t(pick[b]) * width, width, pooled + int64_t(b) * width);
    const Rows queries = gather(pass, in, pick, layers.query.get());
    // A picked row sees its whole sequence: it is the last of a causal one.
    attention(pass, layers, queries, one_each(count), in, starts, false, pooled, true);
    feed_forward(pass, block.norm2, block.mlp, pooled, count);
    return pooled;
}

float* run_pool(const Pass& pass, const AttentionPool& pool, const Norm& norm_out, const float* x, int rows,
                const Starts& starts) {
    const Attention& layers = pool.attention;
    const int width = int(pool.probe_D.size()), count = int(starts.size()) - 1;
    const Rows in(pass.arena, rows, width, {layers.key.get(), layers.value.get()});
    normalize(pass, norm_out, x, in);
    const Rows probes(pass.arena, count, width, {layers.query.get()});
    for (int b = 0; b < count; ++b) std::copy_n(pool.probe_D.data(), width, probes.raw + int64_t(b) * width);
    round(pass, probes);
    float* pooled = pass.arena.take<float>(int64_t(count) * width);
    attention(pass, layers, probes, one_each(count), in, starts, false, pooled, false);
    feed_forward(pass, pool.norm, pool.mlp, pooled, count);
    return pooled;
}

void project(const Pass& pass, const Trunk& trunk, const Norm* norm, const float* pooled, int count, float* out) {
    const Rows in(pass.arena, count, trunk.width, {trunk.projection.get()});
    for (int b = 0; b < count; ++b) {
        const float* from = pooled + int64_t(b) * trunk.width;
        float* to = in.raw + int64_t(b) * trunk.width;
        if (norm) normalize_row(pass.kernels, *norm, from, to);
        else std::copy_n(from, trunk.width, to);
    }
    if (!trunk.projection) {
        std::copy_n(in.raw, int64_t(count) * trunk.width, out);
        return;
    }
    round(pass, in);
    multiply(pass.team, pass.kernels, {{trunk.projection.get(), &in, out, trunk.embedding()}});
}

}  // namespace

void run_trunk(Team& team, const Kernels& kernels, const Trunk& trunk, Arena& arena, float* x, const Starts& starts,
               bool causal, bool pool_last, float* out) {
    const int count = int(starts.size()) - 1, rows = starts.back();
    const int whole = int(trunk.blocks.size()) - (trunk.pool ? 0 : 1);
    for (int b = 0; b < whole; ++b) {
        const Arena::Mark mark = arena.mark();
        run_block({team, kernels, arena}, trunk.blocks[b], x, rows, starts, causal);
        arena.back_to(mark);
    }
    const Pass pass{team, kernels, arena};
    if (trunk.pool) {
        const float* pooled = run_pool(pass, *trunk.pool, trunk.norm_out, x, rows, starts);
        return project(pass, trunk, nullptr, pooled, count, out);
    }
    std::vector<int> pick(count);
    for (int b = 0; b < count; ++b) pick[b] = pool_last ? starts[b + 1] - 1 : starts[b];
    const float* pooled = run_last_block(pass, trunk.blocks.back(), x, rows, starts, pick);
    project(pass, trunk, &trunk.norm_out, pooled, count, out);
}

}  // namespace tclip
