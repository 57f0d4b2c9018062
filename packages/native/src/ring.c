// io_uring: setup with the rings mapped as ArrayBuffers, enter, register. JavaScript fills and drains the rings.
#include "addon.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

struct piece {
  void *address;
  size_t length;
};

static void unmap(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  struct piece *piece = hint;
  munmap(piece->address, piece->length);
  free(piece);
}

// Maps a part of the ring and sets it as a property. False (with an exception) if it cannot.
static bool map_piece(napi_env env, napi_value object, const char *name, int fd, off_t offset, size_t length) {
  struct piece *piece = malloc(sizeof *piece);
  napi_value buffer;
  if (piece == NULL) return throw_errno(env, "malloc", ENOMEM), false;
  piece->length = length;
  piece->address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  if (piece->address == MAP_FAILED) {
    free(piece);
    return throw_errno(env, "mmap(io_uring)", errno), false;
  }
  if (napi_create_external_arraybuffer(env, piece->address, length, unmap, piece, &buffer) != napi_ok) {
    unmap(env, NULL, piece);
    return throw_errno(env, "napi_create_external_arraybuffer", ENOMEM), false;
  }
  napi_set_named_property(env, object, name, buffer);
  return true;
}

// ringSetup(entries, cqEntries, flags): {fd, features, rings, sqes, and the offsets of the fields in `rings`}.
static napi_value ring_setup(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t entries, cq_entries, flags;
  struct io_uring_params params;
  napi_value result;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 1, 32768, &entries) ||
      !get_integer(&call, 1, 1, 65536, &cq_entries) || !get_integer(&call, 2, 0, UINT32_MAX, &flags))
    return NULL;
  memset(&params, 0, sizeof params);
  params.flags = (uint32_t)flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  params.cq_entries = (uint32_t)cq_entries;
  int fd = (int)syscall(SYS_io_uring_setup, (unsigned)entries, &params);
  if (fd < 0) return throw_errno(env, "io_uring_setup", errno);
  if (!(params.features & IORING_FEAT_SINGLE_MMAP) || !(params.features & IORING_FEAT_EXT_ARG)) {
    close(fd);
    return throw_errno(env, "io_uring_setup: the kernel is older than 5.11", ENOSYS);
  }
  size_t sq = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
  size_t cq = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  if (napi_create_object(env, &result) != napi_ok ||
      !map_piece(env, result, "rings", fd, IORING_OFF_SQ_RING, sq > cq ? sq : cq) ||
      !map_piece(env, result, "sqes", fd, IORING_OFF_SQES, params.sq_entries * sizeof(struct io_uring_sqe))) {
    close(fd);
    return NULL;
  }
  set_number(env, result, "fd", fd);
  set_number(env, result, "features", params.features);
  set_number(env, result, "sqEntries", params.sq_entries);
  set_number(env, result, "cqEntries", params.cq_entries);
  set_number(env, result, "sqHead", params.sq_off.head);
  set_number(env, result, "sqTail", params.sq_off.tail);
  set_number(env, result, "sqFlags", params.sq_off.flags);
  set_number(env, result, "sqDropped", params.sq_off.dropped);
  set_number(env, result, "sqArray", params.sq_off.array);
  set_number(env, result, "cqHead", params.cq_off.head);
  set_number(env, result, "cqTail", params.cq_off.tail);
  set_number(env, result, "cqOverflow", params.cq_off.overflow);
  set_number(env, result, "cqFlags", params.cq_off.flags);
  set_number(env, result, "cqes", params.cq_off.cqes);
  return result;
}

// ringEnter(fd, toSubmit, minComplete, flags, timeout_ns): what the system call returns, or a negative errno.
// A timeout below 0 waits without limit. It does not throw for what the kernel refuses: EBUSY, EAGAIN, EINTR and
// ETIME are part of ordinary life.
static napi_value ring_enter(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd, submit, wait, flags, timeout;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_integer(&call, 1, 0, UINT32_MAX, &submit) || !get_integer(&call, 2, 0, UINT32_MAX, &wait) ||
      !get_integer(&call, 3, 0, UINT32_MAX, &flags) || !get_integer(&call, 4, -1, MAX_SAFE, &timeout))
    return NULL;
  long result;
  if (wait > 0 && timeout >= 0) {
    struct __kernel_timespec time = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
    struct io_uring_getevents_arg argument = {.ts = (uintptr_t)&time};
    result = syscall(SYS_io_uring_enter, (int)fd, (unsigned)submit, (unsigned)wait,
                     (unsigned)flags | IORING_ENTER_EXT_ARG, &argument, sizeof argument);
  } else {
    result = syscall(SYS_io_uring_enter, (int)fd, (unsigned)submit, (unsigned)wait, (unsigned)flags, NULL, 0);
  }
  return make_number(env, result < 0 ? -errno : result);
}

// ringRegister(fd, opcode, argument or null, count): what the system call returns, or a negative errno.
static napi_value ring_register(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd, opcode, count;
  uint8_t *data = NULL;
  size_t length = 0;
  napi_valuetype type;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_integer(&call, 1, 0, UINT32_MAX, &opcode) || !get_integer(&call, 3, 0, UINT32_MAX, &count))
    return NULL;
  if (napi_typeof(env, call.values[2], &type) != napi_ok) return NULL;
  if (type != napi_null && !get_bytes(&call, 2, &data, &length)) return NULL;
  long result = syscall(SYS_io_uring_register, (int)fd, (unsigned)opcode, data, (unsigned)count);
  return make_number(env, result < 0 ? -errno : result);
}

// A watch tells the event loop of a worker when its ring has completions: that is how a reactor sleeps.
struct uv_loop_s;
struct uv_poll_s;
typedef struct uv_poll_s uv_poll_t;
enum { UV_POLL_TYPE = 8, UV_READABLE = 1 };
extern size_t uv_handle_size(int type);
extern int uv_poll_init(struct uv_loop_s *, uv_poll_t *, int fd);
extern int uv_poll_start(uv_poll_t *, int events, void (*callback)(uv_poll_t *, int status, int events));
extern int uv_poll_stop(uv_poll_t *);
extern void uv_close(uv_poll_t *, void (*callback)(uv_poll_t *));
extern void uv_unref(uv_poll_t *);
extern void *uv_handle_get_data(const uv_poll_t *);
extern void uv_handle_set_data(uv_poll_t *, void *);

struct watch {
  napi_env env;
  napi_ref callback;
  napi_async_context context;
  uv_poll_t *handle;
};

static void free_watch(uv_poll_t *handle) {
  free(uv_handle_get_data(handle));
  free(handle);
}

static void close_watch(void *argument) {
  struct watch *watch = argument;
  uv_close(watch->handle, free_watch);
}

static void ring_readable(uv_poll_t *handle, int status, int events) {
  (void)status;
  (void)events;
  struct watch *watch = uv_handle_get_data(handle);
  napi_handle_scope scope;
  napi_value callback, receiver;
  uv_poll_stop(handle);
  if (napi_open_handle_scope(watch->env, &scope) != napi_ok) return;
  napi_get_reference_value(watch->env, watch->callback, &callback);
  napi_get_global(watch->env, &receiver);
  napi_make_callback(watch->env, watch->context, receiver, callback, 0, NULL, NULL);
  napi_close_handle_scope(watch->env, scope);
}

// ringWatch(fd, callback): a watch, not yet started.
static napi_value ring_watch(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  napi_valuetype type;
  napi_value name, result;
  struct uv_loop_s *loop;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  if (call.count < 2 || napi_typeof(env, call.values[1], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument 2 must be a function");
    return NULL;
  }
  struct watch *watch = calloc(1, sizeof *watch);
  uv_poll_t *handle = calloc(1, uv_handle_size(UV_POLL_TYPE));
  if (watch == NULL || handle == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok ||
      uv_poll_init(loop, handle, (int)fd) != 0) {
    free(watch);
    free(handle);
    return throw_errno(env, "uv_poll_init", EINVAL);
  }
  watch->env = env;
  watch->handle = handle;
  uv_handle_set_data(handle, watch);
  napi_create_reference(env, call.values[1], 1, &watch->callback);
  napi_create_string_utf8(env, "io_uring", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, NULL, name, &watch->context);
  napi_add_env_cleanup_hook(env, close_watch, watch);
  return napi_create_external(env, watch, NULL, NULL, &result) == napi_ok ? result : NULL;
}

// ringWatchStart(watch): calls back once, when the ring has completions (at once, if it has them now).
static napi_value ring_watch_start(napi_env env, napi_callback_info info) {
  struct call call;
  void *watch = NULL;
  if (!get_call(env, info, &call)) return NULL;
  if (call.count < 1 || napi_get_value_external(env, call.values[0], &watch) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument 1 must be a watch");
    return NULL;
  }
  uv_poll_start(((struct watch *)watch)->handle, UV_READABLE, ring_readable);
  return NULL;
}

// ringWatchStop(watch)
static napi_value ring_watch_stop(napi_env env, napi_callback_info info) {
  struct call call;
  void *watch = NULL;
  if (!get_call(env, info, &call)) return NULL;
  if (call.count < 1 || napi_get_value_external(env, call.values[0], &watch) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument 1 must be a watch");
    return NULL;
  }
  uv_poll_stop(((struct watch *)watch)->handle);
  return NULL;
}

void define_ring(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("ringSetup", ring_setup),
      METHOD("ringEnter", ring_enter),
      METHOD("ringRegister", ring_register),
      METHOD("ringWatch", ring_watch),
      METHOD("ringWatchStart", ring_watch_start),
      METHOD("ringWatchStop", ring_watch_stop),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
