// The log-sum-exp of queries with the cells that are drawn for their places, and the mean of these cells weighted by the
// softmax, which is the gradient: negatives.per_query_logsumexp in one pass over the drawn cells.
//
// A block of drawn cells is widened once and serves the queries of all samples at its place while it lies in the first
// cache. The sums of a block are in float32; blocks are added in float64, since a place has thousands of cells.

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "vectors.h"

namespace {

constexpr int BLOCK_NUMBERS = 8192;   // of the cells of a block: 32 KB, a first cache
constexpr int MOST_CELLS = 128;       // of a block
constexpr int PAIR = 2;               // queries that share a load of a cell
constexpr int GROUP = 4;              // registers of a query's channels that are summed together
constexpr float LOWEST_EXPONENT = -80;
constexpr float LOWEST = std::numeric_limits<float>::lowest();
constexpr float INF = std::numeric_limits<float>::infinity();

struct Job {                          // the fields of `_Job` in negatives.py
    int64_t samples, places, channels, maps, points, cells, seed, is_bfloat16;
    const float *query;               // (places, samples, channels)
    const void *features;             // (maps, cells, channels), float32 or bfloat16
    const uint8_t *excluded;          // (samples, maps), or null
    float *logsumexp;                 // (places, samples)
    float *mean;                      // (places, samples, channels), or null
};

// Return the index of a drawn cell: the hash of `drawn_cells` in negatives.py.
inline int64_t drawn_cell(const Job &job, int64_t draw, int64_t place) {
    uint32_t x = (uint32_t(draw * job.places + place) * 0x9E3779B9u) ^ uint32_t(job.seed);
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
    x = (x ^ (x >> 13)) * 0xC2B2AE35u;
    x ^= x >> 16;
    return draw / job.points * job.cells + int64_t(uint64_t(x) * uint64_t(job.cells) >> 32);
}

inline void widen(const Job &job, int64_t cell, float *to) {
    if (job.is_bfloat16) {
        const uint16_t *from = static_cast<const uint16_t *>(job.features) + cell * job.channels;
        for (int64_t c = 0; c < job.channels; ++c) {
            const uint32_t bits = uint32_t(from[c]) << 16;
            std::memcpy(to + c, &bits, 4);
        }
    } else {
        std::memcpy(to, static_cast<const float *>(job.features) + cell * job.channels, 4 * job.channels);
    }
}

inline void prefetch(const Job &job, int64_t cell) {
    const int64_t bytes = job.channels * (job.is_bfloat16 ? 2 : 4);
    const char *start = static_cast<const char *>(job.features) + cell * bytes;
    for (int64_t offset = 0; offset < bytes; offset += 64) __builtin_prefetch(start + offset);
}

// exp of numbers in [-80, 0], with a relative error below 2e-7; NaN stays NaN.
inline Numbers exp_of(Numbers x) {
    constexpr float ROUNDER = 12582912;  // 1.5 * 2^23: adding it rounds to an integer
    const Numbers shifted = x * 1.44269504f + ROUNDER;
    const Numbers n = shifted - ROUNDER;
    const Numbers r = (x - n * .693359375f) + n * 2.12194440e-4f;  // x - n ln 2, in two parts
    Numbers p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + (r + 1.f);
    const Integers exponent = ((Integers)shifted - 0x4B400000 + 127) << 23;  // the bits of 2^n
    return p * (Numbers)exponent;
}

// Add halves of two vectors, so that the lanes with the bit STEP hold sums of `b`, and the others sums of `a`.
template <int STEP, int... LANE>
inline Numbers joined(Numbers a, Numbers b, std::integer_sequence<int, LANE...>) {
#if defined(__clang__)
    const Numbers own = __builtin_shufflevector(a, b, (LANE & STEP ? LANE + WIDTH : LANE)...);
    const Numbers other = __builtin_shufflevector(a, b, (LANE & STEP ? (LANE ^ STEP) + WIDTH : LANE ^ STEP)...);
#else
    const Numbers own = __builtin_shuffle(a, b, Integers{(LANE & STEP ? LANE + WIDTH : LANE)...});
    const Numbers other = __builtin_shuffle(a, b, Integers{(LANE & STEP ? (LANE ^ STEP) + WIDTH : LANE ^ STEP)...});
#endif
    return own + other;
}

// Return the sum of the numbers of each vector, in the lane of its index; the vectors are overwritten.
template <int STEP = WIDTH / 2>
inline Numbers sums_of(Numbers *vectors) {
    if constexpr (STEP == 0) {
        return vectors[0];
    } else {
        for (int i = 0; i < STEP; ++i)
            vectors[i] = joined<STEP>(vectors[i], vectors[i + STEP], std::make_integer_sequence<int, WIDTH>());
        return sums_of<STEP / 2>(vectors);
    }
}

// The queries of all samples at a place, and their sums over the cells so far.
class Place {
  public:
    explicit Place(const Job &job)
        : job(job),
          width((job.channels + GROUP * WIDTH - 1) / (GROUP * WIDTH) * GROUP * WIDTH),
          most(std::clamp<int64_t>(BLOCK_NUMBERS / width / WIDTH * WIDTH, WIDTH, MOST_CELLS)),
          samples((job.samples + PAIR - 1) / PAIR * PAIR),
          cells(most * width + WIDTH), weights(samples * most), queries(samples * width), means(samples * width),
          largest(samples), sums(samples), drawn(most), next(most) {}

    void compute(int64_t place) {
        begin(place);
        const int64_t draws = job.maps * job.points;
        int64_t count = draw(0, place);
        for (int64_t first = 0; first < draws; first += most) {
            drawn.swap(next);
            const int64_t here = count;
            for (int64_t i = 0; i < here; ++i) widen(job, drawn[i], &cells[i * width]);
            count = draw(first + most, place);
            for (int64_t sample = 0; sample < job.samples; ++sample) {
                const int64_t fetched = count * sample / job.samples;  // the next block comes into the cache meanwhile
                const int64_t end = count * (sample + 1) / job.samples;
                for (int64_t i = fetched; i < end; ++i) prefetch(job, next[i]);
                weigh(sample, first, here);
            }
            if (job.mean)
                for (int64_t sample = 0; sample < samples; sample += PAIR) add_cells(sample, here);
        }
        finish(place);
    }

  private:
    void begin(int64_t place) {
        std::fill(means.begin(), means.end(), 0);
        std::fill(sums.begin(), sums.end(), 0);
        std::fill(largest.begin(), largest.end(), LOWEST);
        for (int64_t sample = 0; sample < job.samples; ++sample)
            std::copy_n(job.query + (place * job.samples + sample) * job.channels, job.channels, &queries[sample * width]);
    }

    int64_t draw(int64_t first, int64_t place) {
        const int64_t count = std::clamp<int64_t>(job.maps * job.points - first, 0, most);
        for (int64_t i = 0; i < count; ++i) {
            next[i] = drawn_cell(job, first + i, place);
        }
        return count;
    }

    // Write the weights of the block's cells for a query, relative to the largest logit so far.
    void weigh(int64_t sample, int64_t first, int64_t count) {
        float *weight = &weights[sample * most];
        const int64_t padded = (count + WIDTH - 1) / WIDTH * WIDTH;
        multiply(sample, padded);
        std::fill(weight + count, weight + padded, -INF);
        if (job.excluded) exclude(sample, first, count);
        Numbers highest = Numbers{} + largest[sample], unordered = {};
        for (int64_t i = 0; i < padded; i += WIDTH) {
            const Numbers logit = load(weight + i);
            highest = logit > highest ? logit : highest;
            unordered = logit == logit ? unordered : logit;  // NaN
        }
        float high = LOWEST, nan = 0;
        for (int lane = 0; lane < WIDTH; ++lane) {
            high = std::max(high, highest[lane]);
            nan += unordered[lane];
        }
        high += nan;
        const double shrink = std::exp(double(largest[sample]) - high);
        largest[sample] = high;
        Numbers total = {};
        for (int64_t i = 0; i < padded; i += WIDTH) {
            Numbers exponent = load(weight + i) - high;
            exponent = exponent < LOWEST_EXPONENT ? Numbers{} + LOWEST_EXPONENT : exponent;
            const Numbers exponential = exp_of(exponent);
            store(weight + i, exponential);
            total += exponential;
        }
        double sum = 0;
        for (int lane = 0; lane < WIDTH; ++lane) sum += total[lane];
        sums[sample] = sums[sample] * shrink + sum;
        if (job.mean && shrink != 1)
            for (int64_t c = 0; c < width; ++c) means[sample * width + c] *= shrink;
    }

    // Write the dot products of a query with the block's cells in the place of their weights.
    void multiply(int64_t sample, int64_t padded) {
        for (int64_t i = 0; i < padded; i += WIDTH) {
            Numbers products[WIDTH] = {};
            for (int64_t c = 0; c < width; c += GROUP * WIDTH) {
                const float *query = &queries[sample * width + c];
                Numbers parts[GROUP];
                for (int part = 0; part < GROUP; ++part) parts[part] = load(query + part * WIDTH);
#pragma GCC unroll 16
                for (int lane = 0; lane < WIDTH; ++lane)
#pragma GCC unroll 4
                    for (int part = 0; part < GROUP; ++part)
                        products[lane] += parts[part] * load(&cells[(i + lane) * width + c + part * WIDTH]);
            }
            store(&weights[sample * most + i], sums_of(products));
        }
    }

    // Set the logits of maps that are left out for a sample to -inf.
    void exclude(int64_t sample, int64_t first, int64_t count) {
        float *logits = &weights[sample * most];
        for (int64_t map = first / job.points; map * job.points < first + count; ++map)
            if (job.excluded[sample * job.maps + map]) {
                const int64_t from = std::max<int64_t>(0, map * job.points - first);
                const int64_t to = std::min(count, (map + 1) * job.points - first);
                std::fill(logits + from, logits + to, -INF);
            }
    }

    // Add the block's cells, weighted, to the sums of two queries.
    void add_cells(int64_t sample, int64_t count) {
        const float *first = &weights[sample * most], *second = first + most;
        double *to_first = &means[sample * width], *to_second = to_first + width;
        for (int64_t c = 0; c < width; c += GROUP * WIDTH) {
            Numbers sums_of_first[GROUP] = {}, sums_of_second[GROUP] = {};
            for (int64_t i = 0; i < count; ++i)
                for (int part = 0; part < GROUP; ++part) {
                    const Numbers cell = load(&cells[i * width + c + part * WIDTH]);
                    sums_of_first[part] += first[i] * cell;
                    sums_of_second[part] += second[i] * cell;
                }
            for (int number = 0; number < GROUP * WIDTH; ++number) {
                to_first[c + number] += sums_of_first[number / WIDTH][number % WIDTH];
                to_second[c + number] += sums_of_second[number / WIDTH][number % WIDTH];
            }
        }
    }

    void finish(int64_t place) {
        for (int64_t sample = 0; sample < job.samples; ++sample) {
            const int64_t row = place * job.samples + sample;
            const bool is_empty = largest[sample] == LOWEST;
            job.logsumexp[row] = is_empty ? -INF : float(std::log(sums[sample]) + largest[sample]);
            if (!job.mean) continue;
            const double share = is_empty ? 0 : 1 / sums[sample];
            for (int64_t c = 0; c < job.channels; ++c)
                job.mean[row * job.channels + c] = float(means[sample * width + c] * share);
        }
    }

    static void store(float *to, const Numbers &numbers) { std::memcpy(to, &numbers, sizeof numbers); }

    const Job &job;
    const int64_t width, most, samples;   // channels, cells of a block, queries: padded with zeros
    std::vector<float> cells, weights, queries;
    std::vector<double> means;
    std::vector<float> largest;           // logit so far
    std::vector<double> sums;             // Σ exp(logit - largest)
    std::vector<int64_t> drawn, next;     // cells of this block and the next
};

}  // namespace

// Fill in the results of the places from `first` up to `stop`.
extern "C" int64_t vidcorr_drawn_logsumexp(const Job *pointer, int64_t first, int64_t stop) {
    Place place(*pointer);
    for (int64_t number = first; number < stop; ++number) place.compute(number);
    return stop - first;
}
