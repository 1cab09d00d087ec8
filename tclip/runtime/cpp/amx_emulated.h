// The instructions of AMX as Intel's manual defines them, on arrays: slow, for tests on machines without AMX.
// Tiles are 16 rows of 64 bytes, which is how path_amx.cpp configures all of them.

static thread_local uint8_t tiles[8][16][64];

static void _tile_loadconfig(const void*) {}
static void _tile_release() {}
static void _tile_zero(int tile) { __builtin_memset(tiles[tile], 0, sizeof tiles[tile]); }

static void _tile_loadd(int tile, const void* from, int64_t stride) {
    for (int row = 0; row < 16; ++row) __builtin_memcpy(tiles[tile][row], (const uint8_t*)from + row * stride, 64);
}

static void _tile_stream_loadd(int tile, const void* from, int64_t stride) { _tile_loadd(tile, from, stride); }

static void _tile_stored(int tile, void* to, int64_t stride) {
    for (int row = 0; row < 16; ++row) __builtin_memcpy((uint8_t*)to + row * stride, tiles[tile][row], 64);
}

// Bytes with sign of tile a times bytes without sign of tile b, summed to 32 bits in tile c.
static void _tile_dpbsud(int c, int a, int b) {
    for (int m = 0; m < 16; ++m)
        for (int n = 0; n < 16; ++n) {
            int32_t sum;
            __builtin_memcpy(&sum, &tiles[c][m][4 * n], 4);
            for (int k = 0; k < 16; ++k)
                for (int j = 0; j < 4; ++j) sum += (int8_t)tiles[a][m][4 * k + j] * tiles[b][k][4 * n + j];
            __builtin_memcpy(&tiles[c][m][4 * n], &sum, 4);
        }
}
