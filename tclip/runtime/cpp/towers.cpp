#include <algorithm>
#include <functional>
#include <stdexcept>

#include "tower.h"

namespace tclip {

namespace {

constexpr int MOST_ROWS = 256;            // of a group: its activations stay in a second-level cache
constexpr double WORST_IMBALANCE = 1.15;  // of the largest group over the mean, for groups to be worth it

void require(bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(what);
}

void check_linear(const LinearPtr& linear, int inputs, int outputs) {
    require(linear && linear->inputs() == inputs && (!outputs || linear->outputs() == outputs),
            "the layers do not fit each other");
}

void check_norm(const Norm& norm, int width) {
    require(int(norm.weight_D.size()) == width && int(norm.bias_D.size()) == width, "a norm has another width");
}

void check_attention(const Attention& attention, int width) {
    require(attention.heads > 0 && width % attention.heads == 0, "the heads do not divide the width");
    for (const LinearPtr* linear : {&attention.query, &attention.key, &attention.value, &attention.out})
        check_linear(*linear, width, width);
}

void check_mlp(const Mlp& mlp, int width) {
    check_linear(mlp.fc1, width, 0);
    check_linear(mlp.fc2, mlp.fc1->outputs(), width);
}

// A thread's memory for a forward pass.
Arena& arena_of_pass() {
    static thread_local Arena arena;
    return arena;
}

// Cuts sequences into groups of consecutive ones with about `rows` rows each; returns where each begins, and the end.
std::vector<int> grouped(const Starts& starts, int64_t rows) {
    const int count = int(starts.size()) - 1;
    std::vector<int> groups{0};
    for (int b = 0; b < count; ++b)
        if (b > groups.back() && starts[b + 1] - starts[groups.back()] > rows) groups.push_back(b);
    groups.push_back(count);
    return groups;
}

// One group a thread, without waiting for each other, if that keeps all threads busy; else all threads on each group.
void run_groups(int threads, const Starts& starts, const std::function<void(Team&, int, int)>& run) {
    const int64_t total = starts.back();
    if (!total) return;
    Lease lease(threads);
    Team& team = lease.team();
    const int64_t rounds = (total + int64_t(team.size()) * MOST_ROWS - 1) / (int64_t(team.size()) * MOST_ROWS);
    const std::vector<int> groups = grouped(starts, (total + rounds * team.size() - 1) / (rounds * team.size()));
    int64_t largest = 0;
    for (size_t g = 0; g + 1 < groups.size(); ++g)
        largest = std::max<int64_t>(largest, starts[groups[g + 1]] - starts[groups[g]]);
    const int64_t turns = (int64_t(groups.size()) - 2 + team.size()) / team.size();
    if (double(largest * turns * team.size()) <= WORST_IMBALANCE * double(total)) {
        team.run(int(groups.size()) - 1, [&](int g) {
            Team alone(1);
            run(alone, groups[g], groups[g + 1]);
        });
        return;
    }
    const std::vector<int> large = grouped(starts, int64_t(MOST_ROWS) * 2);
    for (size_t g = 0; g + 1 < large.size(); ++g) run(team, large[g], large[g + 1]);
}

Starts shifted(const Starts& starts, int first, int last) {
    Starts part(starts.begin() + first, starts.begin() + last + 1);
    for (int& start : part) start -= starts[first];
    return part;
}

}  // namespace

void Trunk::check() const {
    require(width > 0 && !blocks.empty(), "a tower has no blocks");
    require(!position_ND.empty() && position_ND.size() % width == 0, "the positions have another width");
    for (const Block& block : blocks) {
        check_norm(block.norm1, width);
        check_norm(block.norm2, width);
        check_attention(block.attention, width);
        check_mlp(block.mlp, width);
    }
    check_norm(norm_out, width);
    if (pool) {
        require(int(pool->probe_D.size()) == width, "the probe has another width");
        check_attention(pool->attention, width);
        check_norm(pool->norm, width);
        check_mlp(pool->mlp, width);
    }
    if (projection) check_linear(projection, width, 0);
}

void ImageTower::check() const {
    trunk.check();
    require(channels > 0 && patch_size > 0 && image_size >= patch_size, "the image size is not usable");
    check_linear(patch, channels * patch_size * patch_size, trunk.width);
    require(class_D.empty() || int(class_D.size()) == trunk.width, "the class token has another width");
    require(patches() + !class_D.empty() == trunk.positions(), "the positions do not fit the image size");
    if (norm_in) check_norm(*norm_in, trunk.width);
}

void TextTower::check() const {
    trunk.check();
    require(table && table->width() == trunk.width, "the token table has another width");
}

void ImageTower::encode(const Kernels& kernels, int threads, const float* pixels, int batch, float* out) const {
    const int side = image_size / patch_size, tokens = trunk.positions(), width = trunk.width;
    const int64_t image = int64_t(channels) * image_size * image_size;
    const int first_patch = tokens - patches();
    Starts starts(batch + 1);
    for (int b = 0; b <= batch; ++b) starts[b] = b * tokens;
    run_groups(threads, starts, [&](Team& team, int first, int last) {
        Arena& arena = arena_of_pass();
        arena.reset();
        const int count = last - first, rows = count * tokens;
        float* x = arena.take<float>(int64_t(rows) * width);
        const Arena::Mark mark = arena.mark();
        const Rows cut(arena, count * patches(), patch->inputs(), {patch.get()});
        float* embedded = arena.take<float>(int64_t(cut.rows) * width);
        team.run(cut.rows, [&](int m) {
            const float* from = pixels + (first + m / patches()) * image;
            from += int64_t(m % patches() / side) * patch_size * image_size + m % side * patch_size;
            float* to = cut.raw + int64_t(m) * cut.width;
            for (int c = 0; c < channels; ++c)
                for (int y = 0; y < patch_size; ++y, to += patch_size)
                    std::copy_n(from + (int64_t(c) * image_size + y) * image_size, patch_size, to);
            cut.round(kernels, m);
        });
        multiply(team, kernels, {{patch.get(), &cut, embedded, width}});
        team.run(rows, [&](int m) {
            const int token = m % tokens, patch_row = m / tokens * patches() + token - first_patch;
            const float* from = token < first_patch ? class_D.data() : embedded + int64_t(patch_row) * width;
            const float* position = trunk.position_ND.data() + int64_t(token) * width;
            float* to = x + int64_t(m) * width;
            for (int d = 0; d < width; ++d) to[d] = from[d] + position[d];
            if (norm_in)
                kernels.normalize(to, width, norm_in->weight_D.data(), norm_in->bias_D.data(), norm_in->eps, to);
        });
        arena.back_to(mark);
        run_trunk(team, kernels, trunk, arena, x, shifted(starts, first, last), false, false,
                  out + int64_t(first) * trunk.embedding());
    });
}

void TextTower::encode(const Kernels& kernels, int threads, const int32_t* ids, const Starts& starts,
                       float* out) const {
    const int width = trunk.width;
    for (size_t b = 0; b + 1 < starts.size(); ++b) {
        require(starts[b + 1] > starts[b], "a text has no tokens");
        require(starts[b + 1] - starts[b] <= trunk.positions(), "a text has more tokens than there are positions");
    }
    for (int m = 0; m < starts.back(); ++m) require(ids[m] >= 0 && ids[m] < table->rows(), "a token id is unknown");
    run_groups(threads, starts, [&](Team& team, int first, int last) {
        Arena& arena = arena_of_pass();
        arena.reset();
        const int begin = starts[first];
        float* x = arena.take<float>(int64_t(starts[last] - begin) * width);
        team.run(last - first, [&](int b) {
            for (int m = starts[first + b]; m < starts[first + b + 1]; ++m) {
                float* to = x + int64_t(m - begin) * width;
                table->read(ids[m], to);
                const float* position = trunk.position_ND.data() + int64_t(m - starts[first + b]) * width;
                for (int d = 0; d < width; ++d) to[d] += position[d];
            }
        });
        run_trunk(team, kernels, trunk, arena, x, shifted(starts, first, last), causal, true,
                  out + int64_t(first) * trunk.embedding());
    });
}

}  // namespace tclip
