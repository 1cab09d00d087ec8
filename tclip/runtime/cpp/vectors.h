// Float and byte arithmetic on vectors of TCLIP_VECTOR_BYTES, written once with the vector extensions of GCC and
// clang. Each path_*.cpp includes it within its own namespace and is compiled for its own instruction set, so no
// function here may be shared between paths, and nothing of the standard library may be used that is a template.

typedef float Floats __attribute__((vector_size(TCLIP_VECTOR_BYTES)));
typedef int32_t Ints __attribute__((vector_size(TCLIP_VECTOR_BYTES)));
typedef uint8_t Bytes __attribute__((vector_size(TCLIP_VECTOR_BYTES)));
typedef int8_t QuarterBytes __attribute__((vector_size(TCLIP_VECTOR_BYTES / 4)));
typedef uint16_t HalfWords __attribute__((vector_size(TCLIP_VECTOR_BYTES / 2)));
typedef uint32_t Words __attribute__((vector_size(TCLIP_VECTOR_BYTES)));

constexpr int LANES = TCLIP_VECTOR_BYTES / 4;
constexpr float ROUNDER = 12582912.0f;  // 1.5 * 2^23: adding it rounds to the nearest integer, ties to even
constexpr int32_t ROUNDER_BITS = 0x4B400000;

static inline Floats broadcast(float value) { return Floats{} + value; }

template <class Vector, class Element>
static inline Vector load(const Element* from) {
    Vector vector;
    __builtin_memcpy(&vector, from, sizeof vector);
    return vector;
}

template <class Vector, class Element>
static inline void store(Element* to, Vector vector) {
    __builtin_memcpy(to, &vector, sizeof vector);
}

// The first `count` floats, zeros behind; all lanes if count is at least LANES.
static inline Floats load_first(const float* from, int count) {
    if (count >= LANES) return load<Floats>(from);
    Floats vector{};
    __builtin_memcpy(&vector, from, sizeof(float) * count);
    return vector;
}

static inline void store_first(float* to, Floats vector, int count) {
    __builtin_memcpy(to, &vector, count >= LANES ? sizeof vector : sizeof(float) * count);
}

static inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
static inline Floats smaller(Floats a, Floats b) { return a < b ? a : b; }

static inline Floats absolute(Floats x) { return (Floats)((Ints)x & 0x7FFFFFFF); }

static inline float sum_of(Floats x) {
    float sum = 0;
    for (int lane = 0; lane < LANES; ++lane) sum += x[lane];
    return sum;
}

static inline int32_t sum_of(Ints x) {
    int32_t sum = 0;
    for (int lane = 0; lane < LANES; ++lane) sum += x[lane];
    return sum;
}

static inline float largest_of(Floats x) {
    float largest = x[0];
    for (int lane = 1; lane < LANES; ++lane) largest = x[lane] > largest ? x[lane] : largest;
    return largest;
}

// e^x within 2 units in the last place for x in [-87, 88]; values outside are clamped to that range.
// x = n ln 2 + r, with the polynomial of Cephes' expf for r.
static inline Floats exponential(Floats x) {
    x = smaller(larger(x, broadcast(-87.0f)), broadcast(88.0f));
    const Floats rounded = x * 1.44269504f + ROUNDER;
    const Floats n = rounded - ROUNDER;
    const Floats r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    Floats p = broadcast(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return (Floats)((Ints)p + ((Ints)rounded << 23));
}

static inline Floats sigmoid(Floats x) { return 1.0f / (1.0f + exponential(-x)); }

// erf within 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
static inline Floats error_function(Floats x) {
    const Floats magnitude = absolute(x);
    const Floats t = 1.0f / (1.0f + 0.3275911f * magnitude);
    Floats p = broadcast(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const Floats value = 1.0f - p * t * exponential(-magnitude * magnitude);
    return x < 0.0f ? -value : value;
}

static inline Floats activate(Floats x, Activation activation) {
    switch (activation) {
        case Activation::quick_gelu: return x * sigmoid(1.702f * x);
        case Activation::gelu: return 0.5f * x * (1.0f + error_function(x * 0.70710678f));
        // 0.5 (1 + tanh(u)) = sigmoid(2 u)
        case Activation::gelu_tanh: return x * sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
        case Activation::none: break;
    }
    return x;
}

// float16 to float32, exact for every finite number: the exponent's bias is mended by a product.
static inline Floats from_half(HalfWords half) {
    const Words bits = __builtin_convertvector(half, Words);
    const Floats magnitude = (Floats)((bits & 0x7FFFu) << 13) * 5.192296858534828e33f;  // 2^112
    return (Floats)((Words)magnitude | (bits & 0x8000u) << 16);
}
