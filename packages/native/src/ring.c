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

#ifndef IORING_SETUP_SQE128
#define IORING_SETUP_SQE128 (1U << 10)
#endif
#ifndef IORING_SETUP_CQE32
#define IORING_SETUP_CQE32 (1U << 11)
#endif

// Flags 0 to 11 (IOPOLL … CQE32), and these two. Others change what is mapped where.
#define SETUP_ALLOWED (0xfffU | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

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
  if (piece == NULL) return throw_errno(env, "malloc", ENOMEM), false;
  piece->length = length;
  piece->address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  if (piece->address == MAP_FAILED) {
    free(piece);
    return throw_errno(env, "mmap(io_uring)", errno), false;
  }
  napi_value buffer = make_buffer(env, piece->address, length, unmap, piece);
  return buffer != NULL && napi_set_named_property(env, object, name, buffer) == napi_ok;
}

// ringSetup(entries, cqEntries, flags): entries have 128 bytes with SQE128, completions 32 with CQE32: {fd, features, rings, sqes, and the offsets of the fields in `rings`}.
static napi_value ring_setup(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t entries, cq_entries, flags;
  struct io_uring_params params;
  napi_value result;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 1, 32768, &entries) ||
      !get_integer(&call, 1, 1, 65536, &cq_entries) || !get_integer(&call, 2, 0, UINT32_MAX, &flags))
    return NULL;
  if (flags & ~(int64_t)SETUP_ALLOWED) return throw_range(env, "argument 3 has flags that change the ring's layout");
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
  size_t cqe = (params.flags & IORING_SETUP_CQE32) ? 32 : sizeof(struct io_uring_cqe);
  size_t sqe = (params.flags & IORING_SETUP_SQE128) ? 128 : 64;
  size_t cq = params.cq_off.cqes + params.cq_entries * cqe;
  if (napi_create_object(env, &result) != napi_ok ||
      !map_piece(env, result, "rings", fd, IORING_OFF_SQ_RING, sq > cq ? sq : cq) ||
      !map_piece(env, result, "sqes", fd, IORING_OFF_SQES, params.sq_entries * sqe)) {
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

// Bytes of the argument of a registration: `fixed`, and `each` for each of `count`. The kernel trusts us that they
// are there, so an opcode that is not in this table is refused.
struct registration {
  bool known, argument;
  unsigned fixed, each, count_max;
};
static const struct registration registrations[] = {
    [0] = {true, true, 0, 16, 16384},   // BUFFERS: iovecs
    [1] = {true, false, 0, 0, 0},       // UNREGISTER_BUFFERS
    [2] = {true, true, 0, 4, 65536},    // FILES
    [3] = {true, false, 0, 0, 0},       // UNREGISTER_FILES
    [4] = {true, true, 4, 0, 1},        // EVENTFD
    [5] = {true, false, 0, 0, 0},       // UNREGISTER_EVENTFD
    [6] = {true, true, 16, 0, 65536},   // FILES_UPDATE: io_uring_files_update
    [7] = {true, true, 4, 0, 1},        // EVENTFD_ASYNC
    [8] = {true, true, 16, 8, 256},     // PROBE
    [12] = {true, false, 0, 0, 0},      // ENABLE_RINGS
    [13] = {true, true, 32, 0, 32},     // FILES2: io_uring_rsrc_register, whose size is `count`
    [14] = {true, true, 32, 0, 32},     // FILES_UPDATE2: io_uring_rsrc_update2
    [15] = {true, true, 32, 0, 32},     // BUFFERS2
    [16] = {true, true, 32, 0, 32},     // BUFFERS_UPDATE
    [17] = {true, true, 0, 1, 1024},    // IOWQ_AFF: a CPU mask, bytes
    [18] = {true, false, 0, 0, 0},      // UNREGISTER_IOWQ_AFF
    [19] = {true, true, 8, 0, 2},       // IOWQ_MAX_WORKERS
    [20] = {true, true, 0, 16, 16},     // RING_FDS
    [21] = {true, true, 0, 16, 16},     // UNREGISTER_RING_FDS
    [22] = {true, true, 40, 0, 1},      // PBUF_RING: io_uring_buf_reg
    [23] = {true, true, 40, 0, 1},      // UNREGISTER_PBUF_RING
    [25] = {true, true, 16, 0, 0},      // FILE_ALLOC_RANGE
};

// True if the kernel may read and write what the opcode and the count say; else it throws.
static bool check_registration(napi_env env, int64_t opcode, size_t length, int64_t count) {
  size_t known = sizeof registrations / sizeof registrations[0];
  const struct registration *found = (size_t)opcode < known ? &registrations[opcode] : NULL;
  if (found == NULL || !found->known) return throw_range(env, "argument 2 is not an opcode that is known here"), false;
  if (count > found->count_max) return throw_range(env, "argument 4 is too large for the opcode"), false;
  if (found->argument && length < found->fixed + found->each * (size_t)count)
    return throw_range(env, "argument 3 is too short for the opcode and its count"), false;
  return true;
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
  if (!check_registration(env, opcode, length, count)) return NULL;
  if (!registrations[opcode].argument) data = NULL;
  long result = syscall(SYS_io_uring_register, (int)fd, (unsigned)opcode, data, (unsigned)count);
  return make_number(env, result < 0 ? -errno : result);
}

void define_ring(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("ringSetup", ring_setup),
      METHOD("ringEnter", ring_enter),
      METHOD("ringRegister", ring_register),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
