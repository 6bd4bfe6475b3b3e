// Exact top-k dot products of each query with the keys in its neighbourhood: the inner loops of memory.py,
// in the compiler's vectors. setup.py compiles it for AVX-512 with VNNI and without, and for AVX2, or for what else
// the processor has.
//
// Queries are taken in tiles of 4 x 4, one to a lane of a register. The product of the coarse sketches of a query and a
// key, in bytes, is an upper bound of their dot product; that of their fine sketches is a closer one. Where both reach
// the k-th largest dot product so far, the dot product itself is computed. Rows of keys are read from the nearest to
// the farthest, so that the k-th largest soon rules most keys out.

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

namespace {

constexpr int SIDE = 4;            // queries along a side of a tile
constexpr int LANES = SIDE * SIDE;
constexpr int ROWS_OF_TILES = 2;   // searched together, so that keys are read from memory half as often
constexpr int COARSE = 8;          // words of four bytes of a coarse sketch; memory.py has it too
constexpr int TOGETHER = 8;        // keys whose coarse products are computed together
constexpr int FINE = 4;            // the same of fine sketches, whose length is a multiple of 16
constexpr float TINY = 0x1p-40;    // added to a norm, as memory.py does
#if defined(__AVX512F__)           // numbers in a register
constexpr int WIDTH = 16;
#elif defined(__AVX2__)
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif
constexpr int PARTS = LANES / WIDTH;
constexpr int CHAINS = PARTS == 1 ? 2 : 1;  // sums of a product that do not wait for each other
constexpr float INF = std::numeric_limits<float>::infinity();

typedef float Numbers __attribute__((vector_size(4 * WIDTH)));
typedef int32_t Flags __attribute__((vector_size(4 * WIDTH)));

struct Lanes {                     // one number for each query of a tile
    Numbers parts[PARTS];
    float &operator[](int lane) { return reinterpret_cast<float *>(parts)[lane]; }
};

struct Search {                    // the fields of `_Search` in memory.py
    int64_t height, width, slots, channels, length, reach, topk, used;
    const float *query;            // (height, width, channels)
    const float *keys;             // (height, width, slots, channels)
    const float *query_sketches;   // (height, width, length), fine
    const float *key_sketches;     // (slots, height, width, length)
    // A word of a coarse sketch is four integers: -127 to 127 for a query, and for a key 128 more than they are.
    const int32_t *coarse_queries; // (height, width, COARSE)
    const int32_t *coarse_keys;    // (slots, height, width, COARSE), and TOGETHER keys more
    const float *query_scales;     // (height, width, 3): integers per 1, norm of the integers, and rounding error
    const float *key_scales;       // (slots, 3): integers per 1, largest norm, and largest rounding error
    const int64_t *half_widths;    // of the neighbourhood, 0 to `reach` rows away
    const int64_t *used_slots;
    const int64_t *counts;         // how often each used slot counts
    double margin;                 // what a bound can lack, relative to the norm of the query
    float *values;                 // (height, width, topk)
    int64_t *indices;
};

struct Candidate {                 // key of a row, and the queries that it may be among the best of
    int32_t column;
    uint16_t lanes;
};

struct Tile {
    int64_t top, left;
    std::vector<Lanes> sketch;
    Flags coarse[COARSE][PARTS], coarse_start[PARTS];
    Lanes scale, size, loss;       // `query_scales`
    float least[LANES];            // products below this are not among the largest
    float norm[LANES];
    int64_t found[LANES];
    Lanes threshold;               // bounds below this are of such products
    int64_t start, stop;           // columns of the current row of keys that its neighbourhoods reach
    std::vector<uint16_t> in_window;  // queries whose neighbourhood has the key, for each of these columns
    std::vector<Candidate> candidates;
};

inline int64_t key_index(const Search &s, int64_t row, int64_t column, int64_t slot) {
    return (row * s.width + column) * s.slots + slot;
}

inline Numbers load(const float *from) {
    Numbers numbers;
    std::memcpy(&numbers, from, sizeof numbers);
    return numbers;
}

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
inline unsigned not_less(const Lanes &numbers, const Lanes &others) {
    unsigned lanes = 0;
    for (int part = 0; part < PARTS; ++part) {
        const Flags less = numbers.parts[part] < others.parts[part];
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

// Multiply the fine sketches of a tile with those of FINE keys.
void fine_bounds(const Search &s, const Tile &tile, const float *const *keys, Lanes *bounds) {
    Numbers sums[FINE][PARTS][CHAINS] = {};
    const Lanes *queries = tile.sketch.data();
    for (int64_t i = 0; i < s.length; i += CHAINS)
#pragma GCC unroll 4
        for (int j = 0; j < FINE; ++j)
#pragma GCC unroll 4
            for (int part = 0; part < PARTS; ++part)
#pragma GCC unroll 2
                for (int chain = 0; chain < CHAINS; ++chain)
                    sums[j][part][chain] += keys[j][i + chain] * queries[i + chain].parts[part];
    for (int j = 0; j < FINE; ++j)
        for (int part = 0; part < PARTS; ++part)
            bounds[j].parts[part] = sums[j][part][0] + (CHAINS == 2 ? sums[j][part][CHAINS - 1] : Numbers{});
}

// Add the products of a word of four integers, unsigned in the key, with the same word of each query. Without VNNI two
// sums of 16 bits stand side by side: they wrap, but by Cauchy and Schwarz what is left after the last word fits.
inline Flags add_coarse(const Flags &sums, int32_t key, const Flags &queries) {
#if defined(__AVX512VNNI__)
    return (Flags)_mm512_dpbusd_epi32((__m512i)sums, _mm512_set1_epi32(key), (__m512i)queries);
#elif defined(__AVX512F__)
    return (Flags)_mm512_add_epi16((__m512i)sums, _mm512_maddubs_epi16(_mm512_set1_epi32(key), (__m512i)queries));
#elif defined(__AVX2__)
    return (Flags)_mm256_add_epi16((__m256i)sums, _mm256_maddubs_epi16(_mm256_set1_epi32(key), (__m256i)queries));
#else
    Flags added = sums;
    for (int shift = 0; shift < 32; shift += 8) {
        const int32_t integer = uint32_t(key) >> shift & 255;
        added += integer * (queries << (24 - shift) >> 24);
    }
    return added;
#endif
}

// Return what the sums of `add_coarse` begin with.
inline int32_t start_of_sums(int32_t lower, int32_t upper) {
#if defined(__AVX2__) && !defined(__AVX512VNNI__)
    return int32_t(uint32_t(upper) << 16 | (uint32_t(lower) & 0xffff));
#else
    return lower + upper;
#endif
}

// Return the sums of `add_coarse` in 32 bits.
inline Flags whole_sums(const Flags &sums) {
#if defined(__AVX512F__) && !defined(__AVX512VNNI__)
    return (Flags)_mm512_madd_epi16((__m512i)sums, _mm512_set1_epi16(1));
#elif defined(__AVX2__) && !defined(__AVX512F__)
    return (Flags)_mm256_madd_epi16((__m256i)sums, _mm256_set1_epi16(1));
#else
    return sums;
#endif
}

// Return the lanes in which the coarse product of each of TOGETHER keys is above a threshold.
inline void coarse_reached(const Tile &tile, const int32_t *keys, const Flags *thresholds, unsigned *reached) {
    for (int j = 0; j < TOGETHER; ++j) reached[j] = 0;
#pragma GCC unroll 4
    for (int part = 0; part < PARTS; ++part) {
        Flags sums[TOGETHER];
#pragma GCC unroll 8
        for (int j = 0; j < TOGETHER; ++j) sums[j] = tile.coarse_start[part];
#pragma GCC unroll 8
        for (int word = 0; word < COARSE; ++word)
#pragma GCC unroll 8
            for (int j = 0; j < TOGETHER; ++j)
                sums[j] = add_coarse(sums[j], keys[j * COARSE + word], tile.coarse[word][part]);
#pragma GCC unroll 8
        for (int j = 0; j < TOGETHER; ++j) {
            const Flags above = whole_sums(sums[j]) > thresholds[part];
#if defined(__AVX512F__)
            reached[j] = _mm512_movepi32_mask((__m512i)above);
#elif defined(__AVX2__)
            reached[j] |= unsigned(_mm256_movemask_ps((__m256)above)) << part * WIDTH;
#else
            for (int number = 0; number < WIDTH; ++number) reached[j] |= (above[number] & 1u) << (part * WIDTH + number);
#endif
        }
    }
}

// Compute the coarse products that keys of a slot must exceed.
void coarse_thresholds(const Search &s, const Tile &tile, int64_t slot, Flags *thresholds) {
    const float *key = s.key_scales + slot * 3;
    constexpr float MOST = 1 << 30;
    for (int part = 0; part < PARTS; ++part) {
        const Numbers least = load(tile.least + part * WIDTH);
        const Numbers missing = tile.size.parts[part] * key[2] + tile.loss.parts[part] * key[1];
        Numbers limit = (least - missing) * (tile.scale.parts[part] * key[0]) - 3;
        limit = limit > -MOST ? limit : Numbers{} - MOST;  // a NaN too
        limit = limit < MOST ? limit : Numbers{} + MOST;
        thresholds[part] = __builtin_convertvector(limit, Flags);
    }
}

void set_threshold(const Search &s, Tile &tile) {
    for (int lane = 0; lane < LANES; ++lane) tile.threshold[lane] = tile.least[lane] - float(s.margin * tile.norm[lane]);
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
    std::vector<float> products(s.used);
    tile.top = top, tile.left = left;
    for (int lane = 0; lane < LANES; ++lane) {
        const int64_t y = top + lane / SIDE, x = left + lane % SIDE, index = y * s.width + x;
        const bool inside = y < s.height && x < s.width;
        for (int64_t i = 0; i < s.length; ++i) tile.sketch[i][lane] = inside ? s.query_sketches[index * s.length + i] : 0;
        const int part = lane / WIDTH, number = lane % WIDTH;
        int32_t halves[2] = {};  // -128 times the sums of the integers in the lower and the upper half of the words
        for (int i = 0; i < COARSE; ++i) {
            const int32_t word = inside ? s.coarse_queries[index * COARSE + i] : 0;
            int8_t integers[4];
            std::memcpy(integers, &word, sizeof word);
            for (int j = 0; j < 4; ++j) halves[j / 2] -= 128 * integers[j];
            tile.coarse[i][part][number] = word;
        }
        tile.coarse_start[part][number] = start_of_sums(halves[0], halves[1]);
        tile.scale[lane] = inside ? s.query_scales[index * 3] : 1;
        tile.size[lane] = inside ? s.query_scales[index * 3 + 1] : 0;
        tile.loss[lane] = inside ? s.query_scales[index * 3 + 2] : 0;
        const float *query = s.query + index * s.channels;
        tile.found[lane] = 0;
        tile.norm[lane] = inside ? std::sqrt(dot(query, query, s.channels)) + TINY : 0;
        tile.least[lane] = inside ? first_least(s, index, products) : INF;
    }
    set_threshold(s, tile);
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
    std::fill_n(tile.in_window.begin() + (tile.stop - tile.start), TOGETHER, 0);
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
    constexpr int64_t MOST = 16;
    const int64_t slot = s.used_slots[number], first = (slot * s.height + row) * s.width;
    if (tile.stop <= tile.start) return 0;
    Flags thresholds[PARTS];
    coarse_thresholds(s, tile, slot, thresholds);
    int64_t kept = 0, computed = 0;
    for (int64_t from = tile.start; from < tile.stop; from += TOGETHER) {
        unsigned reached[TOGETHER];
        coarse_reached(tile, s.coarse_keys + (first + from) * COARSE, thresholds, reached);
#pragma GCC unroll 8
        for (int64_t j = 0; j < TOGETHER; ++j) {
            const uint16_t lanes = uint16_t(reached[j] & tile.in_window[from - tile.start + j]);
            tile.candidates[kept] = {int32_t(from + j), lanes};
            kept += lanes != 0;
        }
    }
    for (int64_t from = 0; from < kept; from += MOST) {
        Candidate *candidates = tile.candidates.data() + from;
        const int64_t size = std::min(MOST, kept - from);
        unsigned any = 0;
        for (int64_t i = 0; i < size; i += FINE) {
            Lanes bounds[FINE];
            const float *keys[FINE];
            for (int64_t j = 0; j < FINE; ++j)
                keys[j] = s.key_sketches + (first + candidates[std::min(i + j, size - 1)].column) * s.length;
            fine_bounds(s, tile, keys, bounds);
            for (int64_t j = 0; j < std::min<int64_t>(FINE, size - i); ++j) {  // not less: a NaN is let through
                any |= candidates[i + j].lanes &= uint16_t(not_less(bounds[j], tile.threshold));
                const float *key = s.keys + key_index(s, row, candidates[i + j].column, slot) * s.channels;
                for (int64_t k = 0; candidates[i + j].lanes && k < s.channels; k += 16) __builtin_prefetch(key + k);
            }
        }
        if (!any) continue;
        for (int64_t i = 0; i < size; ++i)
            for (unsigned lanes = candidates[i].lanes; lanes; lanes &= lanes - 1, ++computed) {
                const int lane = __builtin_ctz(lanes);
                const int64_t query = (tile.top + lane / SIDE) * s.width + tile.left + lane % SIDE;
                const int64_t index = key_index(s, row, candidates[i].column, slot);
                const float product = dot(s.query + query * s.channels, s.keys + index * s.channels, s.channels);
                if (!(product < tile.least[lane])) insert(s, tile, lane, query, product, index, s.counts[number]);
            }
        set_threshold(s, tile);
    }
    return computed;
}

// Compute the products that were kept once more, channel after channel as a matrix product adds them up, so that the
// labels have the digits of other implementations.
void finish_tile(const Search &s, const Tile &tile) {
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
    for (Tile &tile : tiles) {
        tile.sketch.resize(s.length);
        tile.in_window.resize(s.width + TOGETHER);
        tile.candidates.resize(s.width + TOGETHER);
    }
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
