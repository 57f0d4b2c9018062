// The batch engine: a list of operations on memory, carried out in one call. Memory is named by region and offset;
// every operation is checked against the bounds of its regions before it touches anything.
#include "addon.h"

#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define MAX_REGIONS 65536
// How many operations ahead memory is fetched, and how much at a time.
#define AHEAD 2
#define PIECE 128
// From this length on, copies to memory that is not read soon go past the caches.
#define STREAM_BYTES 2048

enum operation { COPY = 0, FILL = 1, COMPARE = 2, CRC32C = 3, XOR = 4, COPY_AWAY = 5 };

// One operation, as JavaScript writes it: eight doubles. `result` is set to 0, or 1 for memory that differs, the
// CRC for CRC32C, or -1 for what is out of bounds.
struct descriptor {
  double operation;
  double destination_region, destination_offset;
  double source_region, source_offset;
  double length;
  double value;  // FILL: the byte; CRC32C: the CRC to continue from
  double result;
};

struct region {
  uint8_t *data;
  size_t length;
};

// A thread's regions. JavaScript keeps the buffers alive as long as they are here.
struct table {
  struct region regions[MAX_REGIONS];
};

static void free_table(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

static const napi_type_tag table_tag = {0x2d41c0a7be5f4e63, 0xb1f8e5d07c934a26};

static struct table *get_table(struct call *call) {
  return get_handle(call, 0, &table_tag, "a batch table");
}

// batchTable(): the regions of one thread, empty.
static napi_value batch_table(napi_env env, napi_callback_info info) {
  (void)info;
  struct table *table = calloc(1, sizeof *table);
  if (table == NULL) return throw_range(env, "out of memory");
  return make_handle(env, &table_tag, table, free_table);
}

// batchRegion(table, region, bytes or null): sets or clears a region.
static napi_value batch_region(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t region;
  napi_valuetype type;
  uint8_t *data = NULL;
  size_t length = 0;
  if (!get_call(env, info, &call)) return NULL;
  struct table *table = get_table(&call);
  if (table == NULL || !get_integer(&call, 1, 0, MAX_REGIONS - 1, &region)) return NULL;
  if (napi_typeof(env, call.values[2], &type) != napi_ok) return NULL;
  if (type != napi_null && !get_bytes(&call, 2, &data, &length)) return NULL;
  table->regions[region] = (struct region){data, length};
  return NULL;
}

// Bytes at (region, offset), or NULL if `length` of them do not lie inside.
static uint8_t *place(struct table *table, double region, double offset, double length) {
  if (!(region >= 0 && region < MAX_REGIONS) || !(offset >= 0) || !(length >= 0)) return NULL;
  struct region *found = &table->regions[(uint32_t)region];
  if (found->data == NULL || offset + length > (double)found->length) return NULL;
  return found->data + (size_t)offset;
}

// Memory that a later operation needs, fetched while this one runs: waiting for memory is most of what a copy of
// random blocks takes, and what the processor fetches by itself ends with the page.
struct ahead {
  const uint8_t *data;
  size_t length;
};

static const struct ahead nothing = {NULL, 0};

// What lies behind the end may be fetched too: that reads nothing, and never faults.
static inline __attribute__((always_inline)) void fetch(struct ahead next, size_t i) {
  if (i >= next.length) return;
  __builtin_prefetch(next.data + i);
  __builtin_prefetch(next.data + i + 64);
}

// Whole pieces that do not overlap. Returns how many bytes they are.
static inline __attribute__((always_inline)) size_t pieces(uint8_t *to, const uint8_t *from, size_t length,
                                                           struct ahead next) {
  size_t i = 0;
  for (; i + PIECE <= length; i += PIECE) {
    fetch(next, i);
    memcpy(to + i, from + i, PIECE);
  }
  return i;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static size_t pieces_avx2(uint8_t *to, const uint8_t *from, size_t length,
                                                          struct ahead next) {
  return pieces(to, from, length, next);
}

// Past the caches, which spares them, and the memory a read.
__attribute__((target("avx2"))) static void stream(uint8_t *to, const uint8_t *from, size_t length, struct ahead next) {
  for (size_t i = 0; i < length; i += PIECE) {
    fetch(next, i);
    __m256i a = _mm256_loadu_si256((const __m256i *)(from + i));
    __m256i b = _mm256_loadu_si256((const __m256i *)(from + i + 32));
    __m256i c = _mm256_loadu_si256((const __m256i *)(from + i + 64));
    __m256i d = _mm256_loadu_si256((const __m256i *)(from + i + 96));
    _mm256_stream_si256((__m256i *)(to + i), a);
    _mm256_stream_si256((__m256i *)(to + i + 32), b);
    _mm256_stream_si256((__m256i *)(to + i + 64), c);
    _mm256_stream_si256((__m256i *)(to + i + 96), d);
  }
  _mm_sfence();
}
#endif

// Copies; `away`: to memory that is not read soon, past the caches where that pays.
static void copy(uint8_t *to, const uint8_t *from, size_t length, bool away, struct ahead next) {
  bool apart = to + length <= from || from + length <= to;
  if (!apart || length < PIECE) {
    memmove(to, from, length);
    return;
  }
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2")) {
    if (away && length >= STREAM_BYTES && length % PIECE == 0 && (uintptr_t)to % 32 == 0) {
      stream(to, from, length, next);
      return;
    }
    size_t done = pieces_avx2(to, from, length, next);
    memcpy(to + done, from + done, length - done);
    return;
  }
#else
  (void)away;
#endif
  size_t done = pieces(to, from, length, next);
  memcpy(to + done, from + done, length - done);
}

// Carries out one operation, while what a later one needs is fetched. Returns its result.
static double run(struct table *table, struct descriptor *d, struct ahead next) {
  uint8_t *destination = NULL, *source = NULL;
  int operation = (int)d->operation;
  if (operation != CRC32C) {
    destination = place(table, d->destination_region, d->destination_offset, d->length);
    if (destination == NULL) return -1;
  }
  if (operation != FILL) {
    source = place(table, d->source_region, d->source_offset, d->length);
    if (source == NULL) return -1;
  }
  size_t length = (size_t)d->length;
  switch (operation) {
    case COPY: copy(destination, source, length, false, next); return 0;
    case COPY_AWAY: copy(destination, source, length, true, next); return 0;
    case FILL: memset(destination, (int)d->value & 0xff, length); return 0;
    case COMPARE: return memcmp(destination, source, length) != 0;
    case CRC32C: return ~crc32c_update(~(uint32_t)(int64_t)d->value, source, length);
    case XOR:
      for (size_t i = 0; i < length; i++) destination[i] ^= source[i];
      return 0;
    default: return -1;
  }
}

// What of a copy is not in the caches: blocks that are read are its source; those that are written, unless they go
// past the caches, its destination.
static struct ahead needed(struct table *table, const struct descriptor *d) {
  if (d->operation != COPY && d->operation != COPY_AWAY) return nothing;
  bool written = d->operation == COPY_AWAY && d->length < STREAM_BYTES;
  const uint8_t *data = written ? place(table, d->destination_region, d->destination_offset, d->length)
                                : place(table, d->source_region, d->source_offset, d->length);
  return data == NULL ? nothing : (struct ahead){data, (size_t)d->length};
}

// batchRun(table, descriptors, count): carries out the first `count` operations, in order. Returns how many were
// out of bounds.
static napi_value batch_run(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t count;
  uint8_t *data;
  size_t length;
  if (!get_call(env, info, &call)) return NULL;
  struct table *table = get_table(&call);
  if (table == NULL || !get_bytes(&call, 1, &data, &length) ||
      !get_integer(&call, 2, 0, (int64_t)(length / sizeof(struct descriptor)), &count))
    return NULL;
  if ((uintptr_t)data % sizeof(double) != 0) return throw_range(env, "the descriptors are not aligned to 8 bytes");
  struct descriptor *descriptors = (struct descriptor *)data;
  int64_t wrong = 0;
  for (int64_t i = 0; i < count; i++) {
    struct ahead next = i + AHEAD < count ? needed(table, &descriptors[i + AHEAD]) : nothing;
    descriptors[i].result = run(table, &descriptors[i], next);
    if (descriptors[i].result < 0) wrong++;
  }
  return make_number(env, (double)wrong);
}

// crc32c(bytes, start, end, crc): the CRC32C of a range, continued from `crc` (0 at first).
static napi_value crc32c(napi_env env, napi_callback_info info) {
  struct call call;
  uint8_t *data;
  size_t length;
  int64_t start, end, crc;
  if (!get_call(env, info, &call) || !get_bytes(&call, 0, &data, &length) ||
      !get_integer(&call, 1, 0, (int64_t)length, &start) || !get_integer(&call, 2, start, (int64_t)length, &end) ||
      !get_integer(&call, 3, 0, UINT32_MAX, &crc))
    return NULL;
  return make_number(env, ~crc32c_update(~(uint32_t)crc, data + start, (size_t)(end - start)));
}

// batchCrc32c(table, region, offset, length, crc): the CRC32C of a place, continued from `crc` (0 at first).
static napi_value batch_crc32c(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t region, offset, length, crc;
  if (!get_call(env, info, &call)) return NULL;
  struct table *table = get_table(&call);
  if (table == NULL || !get_integer(&call, 1, 0, MAX_REGIONS - 1, &region) ||
      !get_integer(&call, 2, 0, MAX_SAFE, &offset) || !get_integer(&call, 3, 0, MAX_SAFE, &length) ||
      !get_integer(&call, 4, 0, UINT32_MAX, &crc))
    return NULL;
  const uint8_t *data = place(table, (double)region, (double)offset, (double)length);
  if (data == NULL) return throw_range(env, "the range is not inside its region");
  return make_number(env, ~crc32c_update(~(uint32_t)crc, data, (size_t)length));
}

void define_batch(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("batchTable", batch_table), METHOD("batchRegion", batch_region),
      METHOD("batchRun", batch_run),     METHOD("crc32c", crc32c),
      METHOD("batchCrc32c", batch_crc32c),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
