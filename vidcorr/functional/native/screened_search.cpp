// Exact top-k dot products of each query with the keys in its neighbourhood: the inner loops of memory.py,
// in the compiler's vectors. setup.py compiles it for AVX-512 with VNNI and without, and for AVX2, or for what else the
// processor has.
//
// Queries are taken in tiles of 4 x 4, one to a lane of a register. The product of the short sketches of a query and a
// key is an upper bound of their dot product, and so is the product of the first words of both. Where a bound reaches
// the k-th largest dot product so far, the dot product itself is computed. Rows of keys are read from the nearest to the
// farthest, so that the k-th largest soon rules most keys out.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "vectors.h"

namespace {

constexpr int SIDE = 4;            // queries along a side of a tile
constexpr int LANES = SIDE * SIDE;
constexpr int ROWS_OF_TILES = 2;   // searched together, so that keys are read from memory half as often
constexpr int CHUNK = 32;          // words of a sketch that lie side by side; memory.py has it too
constexpr int BLOCK = WIDTH == 16 ? 14 : 6;  // keys whose sums fit into the registers
constexpr int PARTS = LANES / WIDTH;
constexpr float INF = std::numeric_limits<float>::infinity();

#if defined(__AVX2__)              // a word of a sketch is two integers of 16 bits
typedef Integers Sums;
typedef int16_t Number;
#else                              // a number
typedef Numbers Sums;
typedef float Number;
#endif

struct Lanes {                     // one number for each query of a tile
    Numbers parts[PARTS];
    float &operator[](int lane) { return reinterpret_cast<float *>(parts)[lane]; }
};

struct Bounds {                    // products of the sketches of a key and of each query of a tile
    Sums parts[PARTS];
};

struct Search {                    // the fields of `_Search` in memory.py
    int64_t height, width, slots, channels, chunks, first, pitch, reach, topk, used;
    // `first`: words of a sketch that give a bound, the last number of which serves this bound alone; 0 if none do
    const float *query;            // (height, width, channels)
    const float *keys;             // (height, width, slots, channels)
    // A word of a sketch is a number, or two integers where the processor multiplies them.
    const float *query_sketches;   // (height, width, chunks * CHUNK)
    const float *key_sketches;     // (slots, height, chunks, pitch, CHUNK)
    const int64_t *half_widths;    // of the neighbourhood, 0 to `reach` rows away
    const int64_t *used_slots;
    const int64_t *counts;         // how often each used slot counts
    const float *units;            // of each used slot: the product of a query's unit and a key's
    double margin;                 // what a bound can lack
    float *values;                 // (height, width, topk)
    int64_t *indices;
};

struct Tile {
    int64_t top, left;
    std::vector<Lanes> sketch;     // the last number of its first words is 0
    Lanes last_of_first;           // the last of the first words, with that number
    Lanes least;                   // products below this are not among the largest
    int64_t found[LANES];
    int64_t start, stop;           // columns of the current row of keys that its neighbourhoods reach
    std::vector<uint16_t> in_window;  // queries whose neighbourhood has the key, for each of these columns
};

float dot(const float *a, const float *b, int64_t length) {
    Numbers sums[4] = {};
    int64_t i = 0;
    for (; i + 4 * WIDTH <= length; i += 4 * WIDTH)
        for (int part = 0; part < 4; ++part) sums[part] += load(a + i + WIDTH * part) * load(b + i + WIDTH * part);
    for (; i + WIDTH <= length; i += WIDTH) sums[0] += load(a + i) * load(b + i);
    const Numbers last = sums[0] + sums[1] + (sums[2] + sums[3]);
    float sum = 0;
    for (int number = 0; number < WIDTH; ++number) sum += last[number];
    for (; i < length; ++i) sum += a[i] * b[i];
    return sum;
}

// Return the lanes, one bit each, in which a number is not less than the other; a NaN is not less.
inline unsigned not_less(const Bounds &numbers, const Bounds &others) {
    unsigned lanes = 0;
    for (int part = 0; part < PARTS; ++part) {
        const Integers less = numbers.parts[part] < others.parts[part];
#if defined(__AVX512F__)  // compilers do not make one instruction of the loop
        lanes = _mm512_movepi32_mask((__m512i)less);
#elif defined(__AVX2__)
        lanes |= unsigned(_mm256_movemask_ps((__m256)less)) << part * WIDTH;
#else
        for (int number = 0; number < WIDTH; ++number) lanes |= (less[number] & 1u) << (part * WIDTH + number);
#endif
    }
    return ~lanes;
}

// Add the products of a word of a key with the same word of each query.
inline Sums add_products(const Sums &sums, float key, const Numbers &queries) {
#if defined(__AVX2__)
    int32_t pair;
    std::memcpy(&pair, &key, sizeof pair);
#endif
#if defined(__AVX512VNNI__)
    return (Sums)_mm512_dpwssd_epi32((__m512i)sums, (__m512i)queries, _mm512_set1_epi32(pair));
#elif defined(__AVX512F__)
    return sums + (Sums)_mm512_madd_epi16((__m512i)queries, _mm512_set1_epi32(pair));
#elif defined(__AVX2__)
    return sums + (Sums)_mm256_madd_epi16((__m256i)queries, _mm256_set1_epi32(pair));
#else
    return sums + key * queries;
#endif
}

// Add the products of some words of N keys, side by side, with those of each query.
template <int N>
inline void add_words(Sums (&sums)[N][PARTS], const float *keys, const Lanes *queries, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
#pragma GCC unroll 32
        for (int j = 0; j < N; ++j)
#pragma GCC unroll 4
            for (int part = 0; part < PARTS; ++part)
                sums[j][part] = add_products(sums[j][part], keys[j * CHUNK + i], queries[i].parts[part]);
    }
}

// Multiply the sketches of a tile with those of N keys; return false where the first words rule out all in the window.
template <int N>
bool bounds_of(
    const Search &s, const Tile &tile, const float *keys, const Bounds &threshold, const uint16_t *in_window, Bounds *bounds
) {
    const Lanes *queries = tile.sketch.data();
    Sums sums[N][PARTS] = {};
    int64_t from = 0;
    if (s.first) {
        from = s.first - 1;
        add_words(sums, keys, queries, 0, from);
        unsigned any = 0;
#pragma GCC unroll 32
        for (int j = 0; j < N; ++j) {
            Bounds bound;
#pragma GCC unroll 4
            for (int part = 0; part < PARTS; ++part)
                bound.parts[part] = add_products(sums[j][part], keys[j * CHUNK + from], tile.last_of_first.parts[part]);
            any |= not_less(bound, threshold) & in_window[j];
        }
        if (!any) return false;
    }
    for (int64_t chunk = 0; chunk < s.chunks; ++chunk, from = 0, queries += CHUNK, keys += s.pitch * CHUNK)
        add_words(sums, keys, queries, from, CHUNK);
#pragma GCC unroll 32
    for (int j = 0; j < N; ++j)
#pragma GCC unroll 4
        for (int part = 0; part < PARTS; ++part) bounds[j].parts[part] = sums[j][part];
    return true;
}

using BoundsOf = bool (*)(const Search &, const Tile &, const float *, const Bounds &, const uint16_t *, Bounds *);
constexpr BoundsOf BOUNDS_OF_PAIRS[] = {
    bounds_of<2>, bounds_of<4>,  bounds_of<6>,
#if defined(__AVX512F__)
    bounds_of<8>, bounds_of<10>, bounds_of<12>, bounds_of<14>,
#endif
};

// Return the sums below which bounds are of products that are not among the largest; a NaN rules nothing out.
inline Bounds threshold_of(const Search &s, const Tile &tile, int64_t number) {
    Bounds threshold;
    for (int part = 0; part < PARTS; ++part) {
        Numbers least = (tile.least.parts[part] - float(s.margin)) / s.units[number];
#if defined(__AVX2__)
        constexpr float MOST = 2147483520;  // the largest float below 2^31
        least = least > -MOST ? least : Numbers{} - MOST;
        least = least < MOST ? least : Numbers{} + MOST;
        threshold.parts[part] = __builtin_convertvector(least, Sums);
#else
        threshold.parts[part] = least;
#endif
    }
    return threshold;
}

// Return the k-th largest product of a query with the keys at its own cell, or -inf if they are too few.
float first_least(const Search &s, int64_t index, std::vector<float> &products) {
    if (s.used < s.topk) return -INF;
    for (int64_t i = 0; i < s.used; ++i) {
        const float *key = s.keys + (index * s.slots + s.used_slots[i]) * s.channels;
        products[i] = dot(s.query + index * s.channels, key, s.channels);
        if (std::isnan(products[i])) return -INF;
    }
    std::nth_element(products.begin(), products.begin() + s.topk - 1, products.end(), std::greater<float>());
    return products[s.topk - 1];
}

void start_tile(const Search &s, Tile &tile, int64_t top, int64_t left) {
    const int64_t length = s.chunks * CHUNK;
    std::vector<float> products(s.used);
    tile.top = top, tile.left = left;
    for (int lane = 0; lane < LANES; ++lane) {
        const int64_t y = top + lane / SIDE, x = left + lane % SIDE, index = y * s.width + x;
        const bool inside = y < s.height && x < s.width;
        for (int64_t i = 0; i < length; ++i) {
            tile.sketch[i][lane] = inside ? s.query_sketches[index * length + i] : 0;
        }
        tile.found[lane] = 0;
        tile.least[lane] = inside ? first_least(s, index, products) : INF;
    }
    if (!s.first) return;
    Lanes &last = tile.sketch[s.first - 1];
    tile.last_of_first = last;
    for (int lane = 0; lane < LANES; ++lane)
        std::memset(reinterpret_cast<char *>(&last[lane] + 1) - sizeof(Number), 0, sizeof(Number));
}

void mark_columns(const Search &s, Tile &tile, int64_t row) {
    int64_t widest = -1, half[SIDE];
    for (int i = 0; i < SIDE; ++i) {
        const int64_t away = std::abs(tile.top + i - row);
        half[i] = away <= s.reach && tile.top + i < s.height ? s.half_widths[away] : -1;
        widest = std::max(widest, half[i]);
    }
    const int64_t right = std::min(tile.left + SIDE, s.width);
    tile.start = std::max<int64_t>(0, tile.left - widest);
    tile.stop = widest < 0 ? tile.start : std::min(s.width, right + widest);
    for (int64_t x = tile.start; x < tile.stop; ++x) {
        unsigned in_window = 0;
        for (int lane = 0; lane < LANES; ++lane) {
            const int64_t column = tile.left + lane % SIDE;
            in_window |= unsigned(column < right && std::abs(column - x) <= half[lane / SIDE]) << lane;
        }
        tile.in_window[x - tile.start] = uint16_t(in_window);
    }
}

// Put a product among the largest of a query. A NaN counts as infinite, so that it shows in the labels.
void insert(const Search &s, Tile &tile, int lane, int64_t query, float product, int64_t index, int64_t times) {
    float *values = s.values + query * s.topk;
    int64_t *indices = s.indices + query * s.topk;
    for (; times > 0; --times) {
        int64_t to = tile.found[lane];
        if (to < s.topk) {
            ++tile.found[lane];
        } else {
            float least = INF;
            to = 0;
            for (int64_t i = 0; i < s.topk; ++i)
                if (values[i] < least) least = values[i], to = i;
            if (product <= least) return;
        }
        values[to] = product, indices[to] = index;
    }
    if (tile.found[lane] < s.topk) return;
    float least = INF;
    for (int64_t i = 0; i < s.topk; ++i) least = std::min(least, std::isnan(values[i]) ? INF : values[i]);
    tile.least[lane] = std::max(tile.least[lane], least);
}

// Search the part of a row of keys that a tile reaches, in one slot; return the number of dot products computed.
int64_t search(const Search &s, Tile &tile, int64_t row, int64_t number) {
    const int64_t slot = s.used_slots[number], length = tile.stop - tile.start;
    if (length <= 0) return 0;
    const float *sketches = s.key_sketches + (slot * s.height + row) * s.chunks * s.pitch * CHUNK;
    const int64_t blocks = (length + BLOCK - 1) / BLOCK, step = ((length + blocks - 1) / blocks + 1) / 2 * 2;
    Bounds threshold = threshold_of(s, tile, number);
    int64_t computed = 0;
    for (int64_t from = tile.start; from < tile.stop; from += step) {
        const int64_t size = std::min(step, tile.stop - from), first = (row * s.width + from) * s.slots + slot;
        const uint16_t *in_window = tile.in_window.data() + from - tile.start;
        Bounds bounds[BLOCK];
        uint16_t reached[BLOCK];
        unsigned any = 0;
        const auto bounds_of_block = BOUNDS_OF_PAIRS[(size + 1) / 2 - 1];
        if (!bounds_of_block(s, tile, sketches + from * CHUNK, threshold, in_window, bounds)) continue;
        for (int64_t j = 0; j < size; ++j)  // not less: a NaN is let through
            any |= reached[j] = uint16_t(not_less(bounds[j], threshold) & in_window[j]);
        if (!any) continue;
        for (int64_t j = 0; j < size; ++j)
            for (int64_t i = 0; reached[j] && i < s.channels; i += 16)
                __builtin_prefetch(s.keys + (first + j * s.slots) * s.channels + i);
        for (int64_t j = 0; j < size; ++j)
            for (unsigned lanes = reached[j]; lanes; lanes &= lanes - 1, ++computed) {
                const int lane = __builtin_ctz(lanes);
                const int64_t query = (tile.top + lane / SIDE) * s.width + tile.left + lane % SIDE;
                const int64_t index = first + j * s.slots;
                const float product = dot(s.query + query * s.channels, s.keys + index * s.channels, s.channels);
                if (!(product < tile.least[lane])) insert(s, tile, lane, query, product, index, s.counts[number]);
            }
        threshold = threshold_of(s, tile, number);
    }
    return computed;
}

// Compute the products that were kept once more, channel after channel as a matrix product adds them up, so that the
// labels have the digits of other implementations.
void finish_tile(const Search &s, const Tile &tile) {
    constexpr int TOGETHER = 8;
    for (int lane = 0; lane < LANES; ++lane) {
        const int64_t y = tile.top + lane / SIDE, x = tile.left + lane % SIDE, found = tile.found[lane];
        if (y >= s.height || x >= s.width) continue;
        const float *query = s.query + (y * s.width + x) * s.channels;
        float *values = s.values + (y * s.width + x) * s.topk;
        int64_t *indices = s.indices + (y * s.width + x) * s.topk;
        for (int64_t i = 0; i < found; i += TOGETHER) {
            float sums[TOGETHER] = {};
            const float *keys[TOGETHER];
            for (int64_t j = 0; j < TOGETHER; ++j) keys[j] = s.keys + indices[std::min(i + j, found - 1)] * s.channels;
            for (int64_t channel = 0; channel < s.channels; ++channel)
#pragma GCC unroll 8
                for (int j = 0; j < TOGETHER; ++j) sums[j] = std::fma(query[channel], keys[j][channel], sums[j]);
            std::copy_n(sums, std::min<int64_t>(TOGETHER, found - i), values + i);
        }
        std::fill(values + found, values + s.topk, -INF);
        std::fill(indices + found, indices + s.topk, 0);
    }
}

}  // namespace

// Search for the queries of rows `first` to `stop` of the map; return the number of dot products computed.
extern "C" int64_t vidcorr_screened_search(const Search *pointer, int64_t first, int64_t stop) {
    const Search &s = *pointer;
    const int64_t across = (s.width + SIDE - 1) / SIDE;
    std::vector<Tile> tiles(across * ROWS_OF_TILES);
    for (Tile &tile : tiles) tile.sketch.resize(s.chunks * CHUNK), tile.in_window.resize(s.width + 1);
    int64_t computed = 0;
    for (int64_t top = first; top < stop; top += SIDE * ROWS_OF_TILES) {
        const int64_t bottom = std::min(top + SIDE * ROWS_OF_TILES, stop);
        const int64_t count = (bottom - top + SIDE - 1) / SIDE * across;
        for (int64_t i = 0; i < count; ++i) start_tile(s, tiles[i], top + i / across * SIDE, i % across * SIDE);
        std::vector<int64_t> rows;
        for (int64_t row = std::max<int64_t>(0, top - s.reach); row < std::min(s.height, bottom + s.reach); ++row)
            rows.push_back(row);
        std::stable_sort(rows.begin(), rows.end(), [&](int64_t a, int64_t b) {
            return std::abs(2 * a - top - bottom + 1) < std::abs(2 * b - top - bottom + 1);
        });
        for (int64_t row : rows) {
            for (int64_t i = 0; i < count; ++i) mark_columns(s, tiles[i], row);
            for (int64_t number = 0; number < s.used; ++number)
                for (int64_t i = 0; i < count; ++i) computed += search(s, tiles[i], row, number);
        }
        for (int64_t i = 0; i < count; ++i) finish_tile(s, tiles[i]);
    }
    return computed;
}
