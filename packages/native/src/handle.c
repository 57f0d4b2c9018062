// Externals and memory handed to JavaScript. An external is a bare pointer: its type tag tells one kind from
// another, so that a call can refuse a wrong one instead of following it.
#include "addon.h"

#include <errno.h>
#include <stdio.h>

// Node.js 20 refuses larger buffers, and calls the finalizer when it does.
#define MAX_BUFFER_BYTES (1ULL << 32)

napi_value make_handle(napi_env env, const napi_type_tag *tag, void *data, napi_finalize finalize) {
  napi_value handle;
  if (napi_create_external(env, data, finalize, NULL, &handle) != napi_ok) {
    if (finalize != NULL) finalize(env, data, NULL);
    return throw_errno(env, "napi_create_external", ENOMEM);
  }
  // From here on the finalizer runs when the handle is collected.
  if (napi_type_tag_object(env, handle, tag) != napi_ok) return throw_errno(env, "napi_type_tag_object", ENOMEM);
  return handle;
}

void *get_handle(struct call *call, size_t index, const napi_type_tag *tag, const char *what) {
  napi_valuetype type;
  bool is_ours = false;
  void *data = NULL;
  if (index < call->count && napi_typeof(call->env, call->values[index], &type) == napi_ok && type == napi_external &&
      napi_check_object_type_tag(call->env, call->values[index], tag, &is_ours) == napi_ok && is_ours &&
      napi_get_value_external(call->env, call->values[index], &data) == napi_ok && data != NULL)
    return data;
  char text[64];
  snprintf(text, sizeof text, "argument %zu must be %s", index + 1, what);
  napi_throw_type_error(call->env, "ERR_INVALID_ARG_TYPE", text);
  return NULL;
}

bool fits_buffer(napi_env env, size_t length) {
  if (length <= MAX_BUFFER_BYTES) return true;
  throw_range(env, "an ArrayBuffer holds 4 GiB at most");
  return false;
}

napi_value make_buffer(napi_env env, void *address, size_t length, napi_finalize finalize, void *hint) {
  napi_value buffer = NULL;
  // If this fails, Node.js may have called the finalizer already: to lose the memory is better than to free it twice.
  if (napi_create_external_arraybuffer(env, address, length, finalize, hint, &buffer) != napi_ok)
    return throw_errno(env, "napi_create_external_arraybuffer", ENOMEM);
  return buffer;
}
