// What the parts of the addon share: argument checks, errors, and the tables of their methods.
#ifndef SPDK_TS_ADDON_H
#define SPDK_TS_ADDON_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Largest integer that a JavaScript number holds exactly.
#define MAX_SAFE ((int64_t)((1ULL << 53) - 1))

#define METHOD(name, function) {name, NULL, function, NULL, NULL, NULL, napi_enumerable, NULL}

// The arguments of a call, fetched once.
struct call {
  napi_env env;
  size_t count;
  napi_value values[8];
};

bool get_call(napi_env env, napi_callback_info info, struct call *call);
// Each throws and returns false if argument `index` is not what it must be.
bool get_integer(struct call *call, size_t index, int64_t min, int64_t max, int64_t *value);
bool get_bytes(struct call *call, size_t index, uint8_t **data, size_t *length);
// The same for a typed array of one type.
bool get_typed(struct call *call, size_t index, napi_typedarray_type type, uint8_t **data, size_t *length);
bool get_text(struct call *call, size_t index, char *text, size_t size);
napi_value throw_errno(napi_env env, const char *what, int error);
napi_value throw_range(napi_env env, const char *text);
napi_value make_number(napi_env env, double value);
napi_value make_boolean(napi_env env, bool value);
void set_number(napi_env env, napi_value object, const char *name, double value);

// Externals that can be told apart. get_handle throws and returns NULL for anything but the kind of `tag`.
napi_value make_handle(napi_env env, const napi_type_tag *tag, void *data, napi_finalize finalize);
void *get_handle(struct call *call, size_t index, const napi_type_tag *tag, const char *what);
// Memory as an ArrayBuffer: ask whether it fits first, since the finalizer may run even if make_buffer throws.
bool fits_buffer(napi_env env, size_t length);
napi_value make_buffer(napi_env env, void *address, size_t length, napi_finalize finalize, void *hint);

void define_thread(napi_env env, napi_value exports);
void define_file(napi_env env, napi_value exports);
void define_file_range(napi_env env, napi_value exports);
void define_aio(napi_env env, napi_value exports);
void define_memory(napi_env env, napi_value exports);
void define_map(napi_env env, napi_value exports);
void define_foreign(napi_env env, napi_value exports);
void define_ring(napi_env env, napi_value exports);
void define_nvme(napi_env env, napi_value exports);
void define_watch(napi_env env, napi_value exports);
void define_net(napi_env env, napi_value exports);
void define_probe(napi_env env, napi_value exports);
void define_tcp_info(napi_env env, napi_value exports);
void define_openssl(napi_env env, napi_value exports);
void define_unix(napi_env env, napi_value exports);
void define_crc32c(napi_env env, napi_value exports);
void define_guard_crc(napi_env env, napi_value exports);
void define_zoned(napi_env env, napi_value exports);
void define_batch(napi_env env, napi_value exports);

// CRC32C (Castagnoli, RFC 3720): continues from `crc`, already inverted as the algorithm keeps it between blocks.
extern uint32_t (*crc32c_update)(uint32_t crc, const uint8_t *data, size_t length);
void crc32c_select(void);
#endif
