// A watch tells the event loop of a worker that a descriptor is readable (the eventfd of its ring): that is how a
// reactor sleeps.
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct uv_loop_s;
struct uv_poll_s;
typedef struct uv_poll_s uv_poll_t;
enum { UV_POLL_TYPE = 8, UV_READABLE = 1 };
extern size_t uv_handle_size(int type);
extern int uv_poll_init(struct uv_loop_s *, uv_poll_t *, int fd);
extern int uv_poll_start(uv_poll_t *, int events, void (*callback)(uv_poll_t *, int status, int events));
extern int uv_poll_stop(uv_poll_t *);
extern void uv_close(uv_poll_t *, void (*callback)(uv_poll_t *));
extern void *uv_handle_get_data(const uv_poll_t *);
extern void uv_handle_set_data(uv_poll_t *, void *);

static const napi_type_tag watch_tag = {0x7b0c9e4dd5a14f02, 0x9f3be1c86a27d451};

struct watch {
  napi_env env;
  napi_ref callback;
  napi_async_context context;
  // NULL once it is closed.
  uv_poll_t *handle;
  // A descriptor of our own: libuv ends the process if one that it polls is closed by somebody else.
  int fd;
};

static void free_handle(uv_poll_t *handle) { free(handle); }

// At the end of the thread, or when the watch is collected, whichever comes first.
static void close_watch(void *argument) {
  struct watch *watch = argument;
  if (watch->handle == NULL) return;
  uv_close(watch->handle, free_handle);
  watch->handle = NULL;
  close(watch->fd);
}

static void free_watch(napi_env env, void *data, void *hint) {
  (void)hint;
  struct watch *watch = data;
  if (watch->handle != NULL) napi_remove_env_cleanup_hook(env, close_watch, watch);
  close_watch(watch);
  if (watch->context != NULL) napi_async_destroy(env, watch->context);
  if (watch->callback != NULL) napi_delete_reference(env, watch->callback);
  free(watch);
}

static void readable(uv_poll_t *handle, int status, int events) {
  (void)status;
  (void)events;
  struct watch *watch = uv_handle_get_data(handle);
  napi_env env = watch->env;
  napi_handle_scope scope;
  napi_value callback, receiver, error;
  bool pending = false;
  uv_poll_stop(handle);
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_reference_value(env, watch->callback, &callback) == napi_ok &&
      napi_get_global(env, &receiver) == napi_ok)
    napi_make_callback(env, watch->context, receiver, callback, 0, NULL, NULL);
  // An exception that stayed pending would make the next call into the addon fail.
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok)
    napi_fatal_exception(env, error);
  napi_close_handle_scope(env, scope);
}

// The copy of the descriptor and the handle of a watch; a positive errno if that cannot be.
static int open_handle(struct watch *watch, int fd) {
  struct uv_loop_s *loop;
  if (napi_get_uv_event_loop(watch->env, &loop) != napi_ok) return EINVAL;
  watch->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (watch->fd < 0) return errno;
  watch->handle = calloc(1, uv_handle_size(UV_POLL_TYPE));
  int error = watch->handle == NULL ? ENOMEM : -uv_poll_init(loop, watch->handle, watch->fd);
  if (error == 0) return 0;
  free(watch->handle);
  watch->handle = NULL;
  close(watch->fd);
  return error;
}

// ringWatch(fd, callback): a watch, not yet started.
static napi_value ring_watch(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  napi_valuetype type;
  napi_value name;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  if (call.count < 2 || napi_typeof(env, call.values[1], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument 2 must be a function");
    return NULL;
  }
  struct watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) return throw_errno(env, "malloc", ENOMEM);
  watch->env = env;
  int error = open_handle(watch, (int)fd);
  if (error != 0) {
    free(watch);
    return throw_errno(env, "uv_poll_init", error);
  }
  uv_handle_set_data(watch->handle, watch);
  napi_add_env_cleanup_hook(env, close_watch, watch);
  if (napi_create_reference(env, call.values[1], 1, &watch->callback) != napi_ok ||
      napi_create_string_utf8(env, "io_uring", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_async_init(env, NULL, name, &watch->context) != napi_ok) {
    free_watch(env, watch, NULL);
    return throw_errno(env, "ringWatch", ENOMEM);
  }
  return make_handle(env, &watch_tag, watch, free_watch);
}

// ringWatchStart(watch): calls back once, when the ring has completions (at once, if it has them now).
static napi_value ring_watch_start(napi_env env, napi_callback_info info) {
  struct call call;
  if (!get_call(env, info, &call)) return NULL;
  struct watch *watch = get_handle(&call, 0, &watch_tag, "a watch");
  if (watch != NULL && watch->handle != NULL) uv_poll_start(watch->handle, UV_READABLE, readable);
  return NULL;
}

// ringWatchStop(watch)
static napi_value ring_watch_stop(napi_env env, napi_callback_info info) {
  struct call call;
  if (!get_call(env, info, &call)) return NULL;
  struct watch *watch = get_handle(&call, 0, &watch_tag, "a watch");
  if (watch != NULL && watch->handle != NULL) uv_poll_stop(watch->handle);
  return NULL;
}

// ringWatchClose(watch): ends the watch, and closes its copy of the descriptor.
static napi_value ring_watch_close(napi_env env, napi_callback_info info) {
  struct call call;
  if (!get_call(env, info, &call)) return NULL;
  struct watch *watch = get_handle(&call, 0, &watch_tag, "a watch");
  if (watch == NULL || watch->handle == NULL) return NULL;
  napi_remove_env_cleanup_hook(env, close_watch, watch);
  close_watch(watch);
  return NULL;
}

void define_watch(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("ringWatch", ring_watch),
      METHOD("ringWatchStart", ring_watch_start),
      METHOD("ringWatchStop", ring_watch_stop),
      METHOD("ringWatchClose", ring_watch_close),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
