// The kernels that vectors.h can express, for every path. Included after vectors.h, in the same namespace.

constexpr int PARTS = STRIP / LANES;       // vectors that make one row of a strip
constexpr int FLOAT_ROWS = 24 / PARTS;     // rows whose sums stay in registers

template <int FIELD>
static void expand_fields(const uint8_t* tiles, int64_t chunks, uint8_t* panel) {
    constexpr int FIELDS = 8 / FIELD;
    constexpr uint8_t MASK = (1 << FIELD) - 1;
    constexpr int VECTORS = TILE_OUTPUTS * TILE_INPUTS / FIELDS / 64;
    for (int64_t vector = 0; vector < chunks * VECTORS; ++vector, tiles += 64, panel += FIELDS * 64) {
        for (int part = 0; part < 64; part += TCLIP_VECTOR_BYTES) {
            const Bytes digits = load<Bytes>(tiles + part);
            TCLIP_UNROLL
            for (int field = 0; field < FIELDS; ++field)
                store(panel + part + 64 * field, digits >> uint8_t(FIELD * field) & MASK);
        }
    }
}

static void expand(const uint8_t* tiles, int64_t chunks, int field, uint8_t* panel) {
    if (field == 2) expand_fields<2>(tiles, chunks, panel);
    else expand_fields<4>(tiles, chunks, panel);
}

static void settle(const int32_t* sum, int rows, const float* row_scale, const int32_t* row_sum,
                   int64_t row_sum_stride, int offset, const float* scale, float* y, bool add) {
    for (int row = 0; row < rows; ++row, sum += STRIP, y += STRIP) {
        const int32_t surplus = offset * row_sum[row * row_sum_stride];
        for (int n = 0; n < STRIP; n += LANES) {
            const Ints exact = load<Ints>(sum + n) - surplus;
            const Floats value =
                __builtin_convertvector(exact, Floats) * (load<Floats>(scale + n) * row_scale[row]);
            store(y + n, add ? load<Floats>(y + n) + value : value);
        }
    }
}

template <Activation activation>
static void finish_rows(const float* y, int rows, const float* bias, bool add, float* out, int64_t stride,
                        int outputs) {
    for (int row = 0; row < rows; ++row, y += STRIP, out += stride) {
        for (int n = 0; n < outputs; n += LANES) {
            Floats value = activate(load<Floats>(y + n) + load<Floats>(bias + n), activation);
            if (add) value += load_first(out + n, outputs - n);
            store_first(out + n, value, outputs - n);
        }
    }
}

static void finish(const float* y, int rows, const float* bias, Activation activation, bool add, float* out,
                   int64_t stride, int outputs) {
    switch (activation) {
        case Activation::none: return finish_rows<Activation::none>(y, rows, bias, add, out, stride, outputs);
        case Activation::quick_gelu:
            return finish_rows<Activation::quick_gelu>(y, rows, bias, add, out, stride, outputs);
        case Activation::gelu: return finish_rows<Activation::gelu>(y, rows, bias, add, out, stride, outputs);
        case Activation::gelu_tanh:
            return finish_rows<Activation::gelu_tanh>(y, rows, bias, add, out, stride, outputs);
    }
}

template <int ROWS>
static void multiply_float_rows(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int inputs,
                                float* c, int64_t c_stride, bool add) {
    Floats sum[ROWS][PARTS];
    TCLIP_UNROLL
    for (int row = 0; row < ROWS; ++row)
        TCLIP_UNROLL
        for (int part = 0; part < PARTS; ++part)
            sum[row][part] = add ? load<Floats>(c + row * c_stride + part * LANES) : Floats{};
    for (int k = 0; k < inputs; ++k, b += b_stride) {
        Floats column[PARTS];
        TCLIP_UNROLL
        for (int part = 0; part < PARTS; ++part) column[part] = load<Floats>(b + part * LANES);
        TCLIP_UNROLL
        for (int row = 0; row < ROWS; ++row)
            TCLIP_UNROLL
            for (int part = 0; part < PARTS; ++part) sum[row][part] += a[row * a_stride + k] * column[part];
    }
    TCLIP_UNROLL
    for (int row = 0; row < ROWS; ++row)
        TCLIP_UNROLL
        for (int part = 0; part < PARTS; ++part) store(c + row * c_stride + part * LANES, sum[row][part]);
}

// Calls multiply_float_rows<rows> for a number of rows that is known at run time only.
template <int ROWS>
static void multiply_float_some(int rows, const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                                int inputs, float* c, int64_t c_stride, bool add) {
    if constexpr (ROWS > 0) {
        if (rows == ROWS) return multiply_float_rows<ROWS>(a, a_stride, b, b_stride, inputs, c, c_stride, add);
        multiply_float_some<ROWS - 1>(rows, a, a_stride, b, b_stride, inputs, c, c_stride, add);
    }
}

static void multiply_float(const float* a, int64_t a_stride, int rows, const float* b, int64_t b_stride, int inputs,
                           float* c, int64_t c_stride, bool add) {
    const int blocks = (rows + FLOAT_ROWS - 1) / FLOAT_ROWS;
    for (int block = 0, row = 0; block < blocks; ++block) {
        const int next = rows * (block + 1) / blocks;  // blocks of nearly equal size: none with a row alone
        multiply_float_some<FLOAT_ROWS>(next - row, a + row * a_stride, a_stride, b, b_stride, inputs,
                                        c + row * c_stride, c_stride, add);
        row = next;
    }
}

static void expand_dense(const void* weight, bool half, int64_t stride, int outputs, int inputs, float* panel) {
    for (int n = 0; n < STRIP; ++n) {
        for (int k = 0; k < inputs; k += LANES) {
            const int count = inputs - k < LANES ? inputs - k : LANES;
            Floats values{};
            if (n < outputs && half) {
                HalfWords halves{};
                __builtin_memcpy(&halves, (const uint16_t*)weight + n * stride + k, sizeof(uint16_t) * count);
                values = from_half(halves);
            } else if (n < outputs) {
                values = load_first((const float*)weight + n * stride + k, count);
            }
            for (int lane = 0; lane < count; ++lane) panel[(k + lane) * STRIP + n] = values[lane];
        }
    }
}

static void normalize(const float* x, int width, const float* weight, const float* bias, float eps, float* y) {
    Floats sum{};
    for (int d = 0; d < width; d += LANES) sum += load_first(x + d, width - d);
    const float mean = sum_of(sum) / width;
    Floats squares{};
    for (int d = 0; d < width; d += LANES) {
        Floats centred = load_first(x + d, width - d) - mean;
        // The lanes behind the end hold 0 - mean. Their squares are not taken off the sum afterwards: of a mean
        // that is large against the deviations they are nearly all of it.
        if (width - d < LANES) centred = load_first((const float*)&centred, width - d);
        squares += centred * centred;
    }
    const float factor = 1.0f / __builtin_sqrtf(sum_of(squares) / width + eps);
    for (int d = 0; d < width; d += LANES) {
        const Floats centred = load_first(x + d, width - d) - mean;
        const Floats scaled = centred * factor * load_first(weight + d, width - d);
        store_first(y + d, scaled + load_first(bias + d, width - d), width - d);
    }
}

static void quantize(const float* x, int groups, int group, int padded, int8_t* q, float* scale, int32_t* sums) {
    Floats largest{}, nothing{};
    for (int k = 0; k < groups * group; k += LANES) {
        const Floats values = load_first(x + k, groups * group - k);
        largest = larger(largest, absolute(values));
        nothing += values * 0.0f;  // NaN from the first value that is not finite, which `larger` may lose
    }
    if (__builtin_isnan(sum_of(nothing))) {  // no code stands for such a value, so its row answers NaN
        *scale = __builtin_nanf("");
        __builtin_memset(q, 0, int64_t(groups) * padded);
        __builtin_memset(sums, 0, sizeof(int32_t) * groups);
        return;
    }
    const float bound = largest_of(largest);
    const float tiny = 1.17549435e-38f * 127.0f;
    *scale = (bound > tiny ? bound : tiny) / 127.0f;
    const float inverse = 1.0f / *scale;
    for (int g = 0; g < groups; ++g, x += group, q += padded) {
        Ints sum{};
        int k = 0;
        for (; k < group; k += LANES) {
            const Ints code = (Ints)(load_first(x + k, group - k) * inverse + ROUNDER) - ROUNDER_BITS;
            store(q + k, __builtin_convertvector(code, QuarterBytes));
            sum += code;
        }
        for (; k < padded; k += LANES) store(q + k, QuarterBytes{});
        sums[g] = sum_of(sum);
    }
}

static void softmax(float* scores, int64_t stride, int rows, int valid, bool causal, float* inverse_sum) {
    for (int row = 0; row < rows; ++row, scores += stride) {
        const int seen = causal ? valid + row : valid;
        for (int k = seen; k % LANES; ++k) scores[k] = -1e30f;  // e^-87 each in the sum: nothing
        Floats largest = broadcast(-1e30f);
        for (int k = 0; k < seen; k += LANES) largest = larger(largest, load<Floats>(scores + k));
        const float bound = largest_of(largest);
        Floats sum{};
        for (int k = 0; k < seen; k += LANES) {
            const Floats score = load<Floats>(scores + k), value = exponential(score - bound);
            sum += value + score * 0.0f;  // NaN of a score that is not finite, which `exponential` clamps
            store(scores + k, value);
        }
        for (int k = seen; k < stride; ++k) scores[k] = 0.0f;
        inverse_sum[row] = 1.0f / sum_of(sum);
    }
}

static void scale_rows(const float* y, int64_t y_stride, int rows, int width, const float* inverse_sum, float* out,
                       int64_t stride) {
    for (int row = 0; row < rows; ++row, y += y_stride, out += stride)
        for (int d = 0; d < width; d += LANES)
            store_first(out + d, load_first(y + d, width - d) * inverse_sum[row], width - d);
}

#define TCLIP_KERNELS(name)                                                                                   \
    {name, expand, multiply, settle, finish, multiply_float, expand_dense, normalize, quantize, softmax, scale_rows}
