// The native addon: system calls that Node.js has no name for, and loops over bytes that JavaScript is slow at.
// Node-API only. Every call checks its arguments; a wrong one throws, it never crashes the process. What the
// checks cannot see are addresses inside submission queue entries: those are the ring's owner's responsibility.
#include "addon.h"

#include <stdio.h>
#include <string.h>

bool get_call(napi_env env, napi_callback_info info, struct call *call) {
  call->env = env;
  call->count = sizeof call->values / sizeof call->values[0];
  return napi_get_cb_info(env, info, &call->count, call->values, NULL, NULL) == napi_ok;
}

bool get_integer(struct call *call, size_t index, int64_t min, int64_t max, int64_t *value) {
  double number;
  if (index < call->count && napi_get_value_double(call->env, call->values[index], &number) == napi_ok &&
      number >= (double)min && number <= (double)max && number == (double)(int64_t)number) {
    *value = (int64_t)number;
    return true;
  }
  char text[96];
  snprintf(text, sizeof text, "argument %zu must be an integer from %lld to %lld", index + 1, (long long)min,
           (long long)max);
  throw_range(call->env, text);
  return false;
}

// Bytes of an element by napi_typedarray_type; the last is Float16Array, which newer versions have.
static const uint8_t element_bytes[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 2};

static bool is_detached(napi_env env, napi_value buffer) {
  bool detached = false;
  return napi_is_detached_arraybuffer(env, buffer, &detached) != napi_ok || detached;
}

// A typed array's bytes. False for anything else, also for one whose buffer was transferred.
static bool view_bytes(napi_env env, napi_value value, int wanted, uint8_t **data, size_t *length) {
  bool is_view = false;
  napi_typedarray_type type = (napi_typedarray_type)-1;
  napi_value buffer;
  void *start = NULL;
  size_t count = 0;
  if (napi_is_typedarray(env, value, &is_view) != napi_ok || !is_view ||
      napi_get_typedarray_info(env, value, &type, &count, &start, &buffer, NULL) != napi_ok ||
      (size_t)type >= sizeof element_bytes || (wanted >= 0 && (int)type != wanted) || is_detached(env, buffer))
    return false;
  *data = start;
  *length = count * element_bytes[type];
  return true;
}

bool get_bytes(struct call *call, size_t index, uint8_t **data, size_t *length) {
  bool is_buffer = false;
  void *start = NULL;
  if (index < call->count) {
    napi_value value = call->values[index];
    if (view_bytes(call->env, value, -1, data, length)) return true;
    if (napi_is_arraybuffer(call->env, value, &is_buffer) == napi_ok && is_buffer && !is_detached(call->env, value) &&
        napi_get_arraybuffer_info(call->env, value, &start, length) == napi_ok) {
      *data = start;
      return true;
    }
  }
  char text[80];
  snprintf(text, sizeof text, "argument %zu must be a typed array or an ArrayBuffer, not transferred", index + 1);
  napi_throw_type_error(call->env, "ERR_INVALID_ARG_TYPE", text);
  return false;
}

bool get_typed(struct call *call, size_t index, napi_typedarray_type type, uint8_t **data, size_t *length) {
  if (index < call->count && view_bytes(call->env, call->values[index], (int)type, data, length)) return true;
  char text[64];
  snprintf(text, sizeof text, "argument %zu must be a typed array of another type", index + 1);
  napi_throw_type_error(call->env, "ERR_INVALID_ARG_TYPE", text);
  return false;
}

bool get_text(struct call *call, size_t index, char *text, size_t size) {
  size_t length = 0;
  if (index < call->count &&
      napi_get_value_string_utf8(call->env, call->values[index], NULL, 0, &length) == napi_ok && length < size &&
      napi_get_value_string_utf8(call->env, call->values[index], text, size, &length) == napi_ok &&
      strlen(text) == length)
    return true;
  char message[80];
  snprintf(message, sizeof message, "argument %zu must be a string of less than %zu bytes", index + 1, size);
  napi_throw_type_error(call->env, "ERR_INVALID_ARG_TYPE", message);
  return false;
}

napi_value throw_errno(napi_env env, const char *what, int error) {
  char code[16], text[160];
  snprintf(code, sizeof code, "%d", error);
  snprintf(text, sizeof text, "%s: %s", what, strerror(error));
  napi_throw_error(env, code, text);
  return NULL;
}

napi_value throw_range(napi_env env, const char *text) {
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", text);
  return NULL;
}

napi_value make_number(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

napi_value make_boolean(napi_env env, bool value) {
  napi_value result = NULL;
  napi_get_boolean(env, value, &result);
  return result;
}

void set_number(napi_env env, napi_value object, const char *name, double value) {
  napi_set_named_property(env, object, name, make_number(env, value));
}

NAPI_MODULE_INIT() {
  crc32c_select();
  define_thread(env, exports);
  define_file(env, exports);
  define_file_range(env, exports);
  define_aio(env, exports);
  define_memory(env, exports);
  define_map(env, exports);
  define_foreign(env, exports);
  define_ring(env, exports);
  define_nvme(env, exports);
  define_watch(env, exports);
  define_net(env, exports);
  define_tcp_info(env, exports);
  define_openssl(env, exports);
  define_unix(env, exports);
  define_probe(env, exports);
  define_crc32c(env, exports);
  define_guard_crc(env, exports);
  define_zoned(env, exports);
  define_batch(env, exports);
  return exports;
}
