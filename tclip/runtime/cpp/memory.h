// Memory that starts at a multiple of 64 bytes, a cache line and a vector.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace tclip {

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

template <class Element>
using Aligned = std::unique_ptr<Element[], Free>;

// `count` elements that are not set; with room for one vector behind them.
template <class Element>
Aligned<Element> aligned(int64_t count) {
    const size_t bytes = (size_t(count) * sizeof(Element) + 127) / 64 * 64;
    void* memory = std::aligned_alloc(64, bytes);
    if (!memory) throw std::bad_alloc();
    return Aligned<Element>(static_cast<Element*>(memory));
}

// Memory that a thread uses again and again: taken piece by piece, given back together.
class Arena {
public:
    struct Mark {
        size_t block, used;
    };

    template <class Element>
    Element* take(int64_t count) {
        const size_t bytes = (size_t(count) * sizeof(Element) + 127) / 64 * 64;
        while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].size) {
            ++block_;
            used_ = 0;
        }
        if (block_ == blocks_.size()) {
            const size_t size = bytes > SMALLEST ? bytes : SMALLEST;
            blocks_.push_back({aligned<char>(int64_t(size)), size});
        }
        char* taken = blocks_[block_].memory.get() + used_;
        used_ += bytes;
        return reinterpret_cast<Element*>(taken);
    }

    Mark mark() const { return {block_, used_}; }

    // Gives back what was taken since.
    void back_to(Mark mark) {
        block_ = mark.block;
        used_ = mark.used;
    }

    // Gives everything back. More than `keep` bytes are returned to the system.
    void reset(size_t keep = size_t(64) << 20) {
        size_t held = 0;
        for (const Block& block : blocks_) held += block.size;
        if (held > keep) blocks_.clear();
        back_to({0, 0});
    }

private:
    static constexpr size_t SMALLEST = size_t(1) << 20;
    struct Block {
        Aligned<char> memory;
        size_t size;
    };
    std::vector<Block> blocks_;
    size_t block_ = 0, used_ = 0;
};

}  // namespace tclip
