// Which paths this machine can run, asked of the CPU and of the operating system.
#include <stdexcept>

#include "kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace tclip {

namespace portable { extern const Kernels kernels; }
namespace amx_emulated { extern const Kernels kernels; }
namespace amx { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
namespace avxvnni { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
namespace i8mm { extern const Kernels kernels; }
namespace dotprod { extern const Kernels kernels; }

namespace {

#if defined(__x86_64__)

struct Leaf {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
    Leaf(uint32_t leaf, uint32_t subleaf) { __get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx); }
};

bool bit(uint32_t word, int index) { return word >> index & 1; }

// The parts of the registers that the operating system saves (XCR0).
uint64_t saved_state() {
    if (!bit(Leaf(1, 0).ecx, 27)) return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return uint64_t(high) << 32 | low;
}

// Linux lets a process use the tiles only once it has asked.
bool tiles_permitted() {
#ifdef __linux__
    constexpr long request_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

std::vector<const Kernels*> detect() {
    const Leaf basic(1, 0), extended(7, 0), further(7, 1);
    const uint64_t saved = saved_state();
    const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xE6) == 0xE6, tiles = (saved & 0x60000) == 0x60000;
    const bool avx2 = ymm && bit(extended.ebx, 5) && bit(basic.ecx, 12) && bit(basic.ecx, 29);  // with FMA, F16C
    const bool avx512 = avx2 && zmm && bit(extended.ebx, 16) && bit(extended.ebx, 17) && bit(extended.ebx, 30) &&
                        bit(extended.ebx, 31) && bit(extended.ecx, 11);  // F, DQ, BW, VL, VNNI
    std::vector<const Kernels*> paths;
    if (avx512 && tiles && bit(extended.edx, 24) && bit(extended.edx, 25) && tiles_permitted())
        paths.push_back(&amx::kernels);
    if (avx512) paths.push_back(&avx512::kernels);
    if (avx2 && bit(further.eax, 4)) paths.push_back(&avxvnni::kernels);
    if (avx2) paths.push_back(&avx2::kernels);
    return paths;
}

#elif defined(__aarch64__)

std::vector<const Kernels*> detect() {
    std::vector<const Kernels*> paths;
#if defined(__linux__)
    const bool dot = getauxval(AT_HWCAP) >> 20 & 1, matrix = getauxval(AT_HWCAP2) >> 13 & 1;
#else
    const bool dot = true, matrix = false;  // every Apple processor that runs Python has sdot
#endif
    if (matrix) paths.push_back(&i8mm::kernels);
    if (dot) paths.push_back(&dotprod::kernels);
    return paths;
}

#else

std::vector<const Kernels*> detect() { return {}; }

#endif

}  // namespace

const std::vector<const Kernels*>& available_paths() {
    static const std::vector<const Kernels*> paths = [] {
        std::vector<const Kernels*> found = detect();
        found.push_back(&portable::kernels);
        return found;
    }();
    return paths;
}

const Kernels& find_path(const std::string& name) {
    if (name.empty()) return *available_paths().front();
    if (name == amx_emulated::kernels.name) return amx_emulated::kernels;
    std::string names;
    for (const Kernels* path : available_paths()) {
        if (path->name == name) return *path;
        names += (names.empty() ? "" : ", ") + std::string(path->name);
    }
    throw std::invalid_argument("This machine has no path \"" + name + "\": it has " + names + " and numpy.");
}

}  // namespace tclip
