// The native code without Python: every path that the machine has against plain loops, towers against each other,
// threads, and arguments that lie. Built for other machines and with sanitizers by test_cpp.py.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <thread>

#include "tower.h"

using namespace tclip;

namespace {

std::mt19937 generator(0);

int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }

float normal() { return std::normal_distribution<float>()(generator); }

void require(bool condition, const char* what) {
    if (condition) return;
    std::printf("FAILED: %s\n", what);
    std::exit(1);
}

std::vector<float> floats(int count, float factor = 1.0f) {
    std::vector<float> values(count);
    for (float& value : values) value = factor * normal();
    return values;
}

std::vector<const Kernels*> all_paths() {
    std::vector<const Kernels*> paths = available_paths();
    paths.push_back(&find_path("amx-emulated"));
    return paths;
}

// A matrix of random codes with what it is made of.
struct Coded {
    std::vector<int8_t> codes;
    std::vector<uint8_t> bytes;
    std::vector<float> scale_OG;
    Stored stored;

    Coded(int outputs, int inputs, int groups, int bits = 2)
        : codes(outputs * inputs), scale_OG(floats(outputs * groups, 0.1f / float(1 << (bits - 2)))) {
        const int largest = (1 << (bits - 1)) - 1, base = bits == 2 ? 3 : 1 << bits;
        const size_t digits = bits == 2 ? 5 : 8 / bits;
        for (int8_t& code : codes) code = int8_t(between(-largest, largest));
        for (size_t first = 0; first < codes.size(); first += digits) {
            int byte = 0;
            for (size_t i = first; i < first + digits; ++i)
                byte = byte * base + (i < codes.size() ? codes[i] : 0) + base / 2;
            bytes.push_back(uint8_t(byte));
        }
        stored.outputs = outputs;
        stored.inputs = inputs;
        stored.codes = bytes.data();
        stored.bits = bits;
        stored.num_bytes = int64_t(bytes.size());
        stored.scale_OG = scale_OG.data();
        stored.groups = groups;
    }
};

int some_bits() { return 2 << between(0, 2); }

void check_integer_products() {
    for (int trial = 0; trial < 60; ++trial) {
        const int rows = between(0, 40), inputs = between(1, 300), outputs = between(1, 70);
        const Coded weight(outputs, inputs, 1, some_bits());
        const Linear linear(weight.stored, nullptr, 2);
        std::vector<int8_t> a(rows * inputs);
        for (int8_t& value : a) value = int8_t(between(-127, 127));
        for (const Kernels* path : all_paths()) {
            std::vector<int32_t> found(rows * outputs);
            integer_products(*path, linear, a.data(), rows, found.data());
            for (int m = 0; m < rows; ++m)
                for (int n = 0; n < outputs; ++n) {
                    int32_t sum = 0;
                    for (int k = 0; k < inputs; ++k) sum += a[m * inputs + k] * weight.codes[n * inputs + k];
                    require(found[m * outputs + n] == sum, path->name);
                }
        }
    }
}

LinearPtr linear(std::vector<Coded>& kept, int outputs, int inputs, int groups) {
    kept.emplace_back(outputs, inputs, inputs % groups ? 1 : groups, some_bits());
    return std::make_shared<Linear>(kept.back().stored, floats(outputs, 0.1f).data(), 2);
}

Norm norm(int width) { return {std::vector<float>(width, 1.0f), std::vector<float>(width, 0.0f), 1e-5f}; }

Trunk trunk(std::vector<Coded>& kept, int width, int heads, int positions, int groups, bool pooled) {
    const auto attention = [&] {
        return Attention{heads, linear(kept, width, width, groups), linear(kept, width, width, groups),
                         linear(kept, width, width, groups), linear(kept, width, width, groups)};
    };
    const auto mlp = [&] {
        return Mlp{linear(kept, 3 * width, width, groups), linear(kept, width, 3 * width, groups), Activation::gelu};
    };
    Trunk made;
    made.width = width;
    made.position_ND = floats(positions * width);
    for (int block = 0; block < 2; ++block) made.blocks.push_back({norm(width), attention(), norm(width), mlp()});
    made.norm_out = norm(width);
    if (pooled)
        made.pool = std::make_shared<AttentionPool>(AttentionPool{floats(width), attention(), norm(width), mlp()});
    else
        made.projection = linear(kept, 20, width, 1);
    return made;
}

float worst_cosine(const std::vector<float>& a, const std::vector<float>& b, int size) {
    float worst = 1;
    for (size_t first = 0; first < a.size(); first += size) {
        double dot = 0, aa = 0, bb = 0;
        for (int e = 0; e < size; ++e) {
            dot += double(a[first + e]) * b[first + e];
            aa += double(a[first + e]) * a[first + e];
            bb += double(b[first + e]) * b[first + e];
        }
        worst = std::fmin(worst, float(dot / std::sqrt(aa * bb)));
    }
    return worst;
}

void check_image_towers() {
    for (const bool pooled : {false, true})
        for (const int groups : {1, 4}) {
            std::vector<Coded> kept;
            kept.reserve(100);
            const int width = 48, patch = 4, size = 18, patches = 16, batch = 9;
            ImageTower tower{trunk(kept, width, 3, patches + !pooled, groups, pooled), 3, size, patch, nullptr, {}, nullptr};
            tower.patch = linear(kept, width, 3 * patch * patch, groups);
            if (!pooled) tower.class_D = floats(width);
            tower.check();
            const std::vector<float> pixels = floats(batch * 3 * size * size);
            std::vector<float> expected(batch * tower.trunk.embedding());
            tower.encode(find_path("portable"), 1, pixels.data(), batch, expected.data());
            for (const Kernels* path : all_paths())
                for (const int threads : {1, 3}) {
                    std::vector<float> found(expected.size());
                    tower.encode(*path, threads, pixels.data(), batch, found.data());
                    require(worst_cosine(found, expected, tower.trunk.embedding()) > 0.999f, path->name);
                }
            for (const float damage : {std::nanf(""), HUGE_VALF}) {
                std::vector<float> damaged = pixels, found(expected.size());
                damaged[damaged.size() - 3 * size] = damage;  // within the last patch row of the last picture
                for (const Kernels* path : all_paths()) {
                    tower.encode(*path, 2, damaged.data(), batch, found.data());
                    for (size_t i = 0; i < found.size(); ++i)
                        require(std::isnan(found[i]) == (i >= found.size() - tower.trunk.embedding()), path->name);
                }
            }
            std::vector<std::thread> callers;
            for (int caller = 0; caller < 4; ++caller)
                callers.emplace_back([&, caller] {
                    std::vector<float> found(expected.size());
                    for (int turn = 0; turn < 20; ++turn) {
                        tower.encode(find_path("portable"), 1 + caller, pixels.data(), batch, found.data());
                        require(found == expected, "concurrent calls");
                    }
                });
            for (std::thread& caller : callers) caller.join();
        }
}

void check_text_tower() {
    std::vector<Coded> kept;
    kept.reserve(100);
    const int width = 48;
    const Coded table(99, width, 1, some_bits());
    TextTower tower{trunk(kept, width, 3, 20, 1, false), std::make_shared<Table>(table.stored), true};
    tower.check();
    std::vector<int32_t> ids;
    Starts starts{0};
    for (const int length : {1, 20, 7, 3}) {
        for (int i = 0; i < length; ++i) ids.push_back(between(0, 98));
        starts.push_back(int(ids.size()));
    }
    std::vector<float> expected(4 * 20);
    tower.encode(find_path("portable"), 1, ids.data(), starts, expected.data());
    for (const Kernels* path : all_paths()) {
        std::vector<float> found(expected.size());
        tower.encode(*path, 2, ids.data(), starts, found.data());
        require(worst_cosine(found, expected, 20) > 0.999f, path->name);
    }
    for (const int32_t unknown : {-1, 99, 1 << 30}) {
        ids[0] = unknown;
        bool refused = false;
        try {
            tower.encode(find_path(""), 1, ids.data(), starts, expected.data());
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        require(refused, "an unknown id");
    }
}

void check_lies() {
    int refused = 0;
    for (int trial = 0; trial < 300; ++trial) {
        Coded weight(between(1, 40), between(1, 40), 1, some_bits());
        weight.stored.num_bytes = between(0, int(weight.bytes.size()));
        weight.stored.first_code = between(-3, 9);
        weight.stored.groups = 1;
        if (between(0, 3) == 0) weight.bytes[between(0, int(weight.bytes.size()) - 1)] = uint8_t(between(0, 255));
        try {
            const Linear linear(weight.stored, nullptr, 1);
            const Table table(weight.stored);
            std::vector<float> row(table.width());
            table.read(table.rows() - 1, row.data());
        } catch (const std::invalid_argument&) {
            ++refused;
        }
    }
    require(refused > 100, "lies are refused");
}

}  // namespace

int main() {
    for (const Kernels* path : all_paths()) std::printf("%s ", path->name);
    std::printf("\n");
    check_integer_products();
    check_image_towers();
    check_text_tower();
    check_lies();
    std::printf("all agree\n");
    return 0;
}
