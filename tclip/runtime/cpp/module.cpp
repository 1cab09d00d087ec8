// The Python module: turns arrays into layers and towers, checks what it is given, lets other threads run meanwhile.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "codes.h"
#include "layout.h"
#include "tower.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace tclip {
namespace {

template <class Element, int AXES>
using Array = nb::ndarray<const Element, nb::ndim<AXES>, nb::c_contig, nb::device::cpu>;
template <class Element, int AXES>
using NewArray = nb::ndarray<nb::numpy, Element, nb::ndim<AXES>, nb::c_contig>;
using OptionalFloats = std::optional<Array<float, 1>>;

template <class Floats>
std::vector<float> copied(const Floats& array) { return {array.data(), array.data() + array.size()}; }

template <class Element>
NewArray<Element, 2> matrix(size_t rows, size_t columns) {
    auto* memory = new Element[rows * columns];
    nb::capsule owner(memory, [](void* p) noexcept { delete[] static_cast<Element*>(p); });
    return NewArray<Element, 2>(memory, {rows, columns}, owner);
}

int as_int(size_t size) {
    if (size > 1u << 30) throw std::invalid_argument("an axis is too long");
    return int(size);
}

Stored coded(const Array<uint8_t, 1>& codes, int bits, int64_t first_code, const Array<float, 2>& scale_OG,
             int inputs) {
    Stored stored;
    stored.outputs = as_int(scale_OG.shape(0));
    stored.inputs = inputs;
    if (stored.outputs < 1 || inputs < 1) throw std::invalid_argument("the scales do not fit the shape");
    stored.codes = codes.data();
    stored.bits = bits;
    stored.num_bytes = int64_t(codes.size());
    stored.first_code = first_code;
    stored.scale_OG = scale_OG.data();
    stored.groups = as_int(scale_OG.shape(1));
    return stored;
}

template <class Element>
Stored dense(const Array<Element, 2>& weight_OI) {
    Stored stored;
    stored.outputs = as_int(weight_OI.shape(0));
    stored.inputs = as_int(weight_OI.shape(1));
    stored.dense_OI = weight_OI.data();
    stored.half = sizeof(Element) == 2;
    return stored;
}

std::shared_ptr<Linear> linear(const Stored& stored, const OptionalFloats& bias, int threads) {
    if (bias && as_int(bias->size()) != stored.outputs) throw std::invalid_argument("the bias does not fit the shape");
    const nb::gil_scoped_release release;
    return std::make_shared<Linear>(stored, bias ? bias->data() : nullptr, threads);
}

Activation activation_of(const std::string& name) {
    if (name == "quick_gelu") return Activation::quick_gelu;
    if (name == "gelu") return Activation::gelu;
    if (name == "gelu_tanh") return Activation::gelu_tanh;
    throw std::invalid_argument("unknown activation " + name);
}

NewArray<float, 2> encode_pixels(const ImageTower& tower, const std::string& path, int threads,
                                 const Array<float, 4>& pixels) {
    const Kernels& kernels = find_path(path);
    const size_t side = size_t(tower.image_size);
    if (pixels.shape(1) != size_t(tower.channels) || pixels.shape(2) != side || pixels.shape(3) != side)
        throw std::invalid_argument("the pixels are not of the tower's image size");
    auto out = matrix<float>(pixels.shape(0), size_t(tower.trunk.embedding()));
    const int batch = as_int(pixels.shape(0) * size_t(tower.trunk.positions())) / tower.trunk.positions();
    const nb::gil_scoped_release release;
    tower.encode(kernels, threads, pixels.data(), batch, out.data());
    return out;
}

NewArray<float, 2> encode_ids(const TextTower& tower, const std::string& path, int threads,
                              const Array<int32_t, 1>& ids, const std::vector<int>& starts) {
    const Kernels& kernels = find_path(path);
    if (starts.empty() || starts.front() != 0 || starts.back() != as_int(ids.size()))
        throw std::invalid_argument("the starts do not fit the ids");
    auto out = matrix<float>(starts.size() - 1, size_t(tower.trunk.embedding()));
    const nb::gil_scoped_release release;
    tower.encode(kernels, threads, ids.data(), starts, out.data());
    return out;
}

// The exact integer products a_MK times the codes of a matrix, by one path: what tests compare.
NewArray<int32_t, 2> integer_product(const std::string& path, const Array<int8_t, 2>& a_MK,
                                     const Array<uint8_t, 1>& codes, int bits, int outputs) {
    const Kernels& kernels = find_path(path);
    const int rows = as_int(a_MK.shape(0)), inputs = as_int(a_MK.shape(1));
    const std::vector<float> ones(size_t(outputs), 1.0f), zero_bias(size_t(outputs), 0.0f);
    Stored stored;
    stored.outputs = outputs;
    stored.inputs = inputs;
    stored.codes = codes.data();
    stored.bits = bits;
    stored.num_bytes = int64_t(codes.size());
    stored.scale_OG = ones.data();
    const Linear linear(stored, zero_bias.data(), 1);
    auto out = matrix<int32_t>(size_t(rows), size_t(outputs));
    integer_products(kernels, linear, a_MK.data(), rows, out.data());
    return out;
}

NewArray<uint8_t, 2> digits_of(const Array<uint8_t, 1>& bytes, int bits, int64_t first, int64_t count) {
    check_bytes(bytes.data(), int64_t(bytes.size()), bits);
    if (first < 0 || count < 0 || bytes_of(first + count, bits) > int64_t(bytes.size()))
        throw std::invalid_argument("there are no such codes");
    auto out = matrix<uint8_t>(1, size_t(count));
    std::vector<uint8_t> room(size_t(count) + 8);
    read_digits(bytes.data(), first, count, bits, room.data());
    std::copy_n(room.data(), count, out.data());
    return out;
}

void bind_layers(nb::module_& module) {
    nb::class_<Linear>(module, "Linear");
    nb::class_<Table>(module, "Table");
    module.def(
        "coded_linear",
        [](const Array<uint8_t, 1>& codes, int bits, int64_t first_code, const Array<float, 2>& scale_OG, int inputs,
           const OptionalFloats& bias_O, int threads) {
            return linear(coded(codes, bits, first_code, scale_OG, inputs), bias_O, threads);
        },
        "codes"_a, "bits"_a, "first_code"_a, "scale_OG"_a, "inputs"_a, "bias_O"_a.none(), "threads"_a);
    module.def(
        "dense_linear",
        [](const Array<float, 2>& weight_OI, const OptionalFloats& bias_O) {
            return linear(dense(weight_OI), bias_O, 1);
        },
        "weight_OI"_a, "bias_O"_a.none(), nb::keep_alive<0, 1>());
    module.def(
        "half_linear",
        [](const Array<uint16_t, 2>& weight_OI, const OptionalFloats& bias_O) {
            return linear(dense(weight_OI), bias_O, 1);
        },
        "weight_OI"_a, "bias_O"_a.none(), nb::keep_alive<0, 1>());
    module.def(
        "coded_table",
        [](const Array<uint8_t, 1>& codes, int bits, int64_t first_code, const Array<float, 2>& scale_OG, int inputs) {
            return std::make_shared<Table>(coded(codes, bits, first_code, scale_OG, inputs));
        },
        "codes"_a, "bits"_a, "first_code"_a, "scale_OG"_a, "inputs"_a, nb::keep_alive<0, 1>());
    module.def(
        "dense_table", [](const Array<float, 2>& weight_OI) { return std::make_shared<Table>(dense(weight_OI)); },
        "weight_OI"_a, nb::keep_alive<0, 1>());
    module.def(
        "half_table", [](const Array<uint16_t, 2>& weight_OI) { return std::make_shared<Table>(dense(weight_OI)); },
        "weight_OI"_a, nb::keep_alive<0, 1>());
}

void bind_blocks(nb::module_& module) {
    nb::class_<Norm>(module, "Norm")
        .def("__init__", [](Norm* norm, const Array<float, 1>& weight_D, const Array<float, 1>& bias_D, float eps) {
            new (norm) Norm{copied(weight_D), copied(bias_D), eps};
        });
    nb::class_<Attention>(module, "Attention")
        .def("__init__", [](Attention* attention, int heads, LinearPtr query, LinearPtr key, LinearPtr value,
                            LinearPtr out) {
            new (attention) Attention{heads, std::move(query), std::move(key), std::move(value), std::move(out)};
        });
    nb::class_<Mlp>(module, "Mlp")
        .def("__init__", [](Mlp* mlp, LinearPtr fc1, LinearPtr fc2, const std::string& activation) {
            new (mlp) Mlp{std::move(fc1), std::move(fc2), activation_of(activation)};
        });
    nb::class_<Block>(module, "Block")
        .def("__init__", [](Block* block, const Norm& norm1, const Attention& attention, const Norm& norm2,
                            const Mlp& mlp) { new (block) Block{norm1, attention, norm2, mlp}; });
    nb::class_<AttentionPool>(module, "AttentionPool")
        .def("__init__", [](AttentionPool* pool, const Array<float, 1>& probe_D, const Attention& attention,
                            const Norm& norm, const Mlp& mlp) {
            new (pool) AttentionPool{copied(probe_D), attention, norm, mlp};
        });
    nb::class_<Trunk>(module, "Trunk")
        .def(
            "__init__",
            [](Trunk* trunk, const Array<float, 2>& position_ND, const std::vector<Block>& blocks, const Norm& norm_out,
               std::shared_ptr<AttentionPool> pool, LinearPtr projection) {
                new (trunk) Trunk{as_int(position_ND.shape(1)), copied(position_ND),  blocks, norm_out,
                                  std::move(pool),              std::move(projection)};
            },
            "position_ND"_a, "blocks"_a, "norm_out"_a, "pool"_a.none(), "projection"_a.none());
}

void bind_towers(nb::module_& module) {
    nb::class_<ImageTower>(module, "ImageTower")
        .def(
            "__init__",
            [](ImageTower* tower, const Trunk& trunk, int channels, int image_size, int patch_size, LinearPtr patch,
               const OptionalFloats& class_D, std::shared_ptr<Norm> norm_in) {
                ImageTower made{trunk,
                                channels,
                                image_size,
                                patch_size,
                                std::move(patch),
                                class_D ? copied(*class_D) : std::vector<float>{},
                                std::move(norm_in)};
                made.check();
                new (tower) ImageTower(std::move(made));
            },
            "trunk"_a, "channels"_a, "image_size"_a, "patch_size"_a, "patch"_a, "class_D"_a.none(), "norm_in"_a.none())
        .def("encode", &encode_pixels, "path"_a, "threads"_a, "pixels_BCHW"_a);
    nb::class_<TextTower>(module, "TextTower")
        .def("__init__",
             [](TextTower* tower, const Trunk& trunk, std::shared_ptr<Table> table, bool causal) {
                 TextTower made{trunk, std::move(table), causal};
                 made.check();
                 new (tower) TextTower(std::move(made));
             })
        .def("encode", &encode_ids, "path"_a, "threads"_a, "ids"_a, "starts"_a);
}

}  // namespace
}  // namespace tclip

NB_MODULE(_native, module) {
    using namespace tclip;
    module.def("paths", [] {
        std::vector<std::string> names;
        for (const Kernels* path : available_paths()) names.emplace_back(path->name);
        return names;
    });
    module.def("integer_product", &integer_product, "path"_a, "a_MK"_a, "codes"_a, "bits"_a, "outputs"_a);
    module.def("digits_of", &digits_of, "bytes"_a, "bits"_a, "first"_a, "count"_a);
    bind_layers(module);
    bind_blocks(module);
    bind_towers(module);
}
