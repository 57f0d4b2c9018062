// Files and descriptors: locks, holes, copies of descriptors, eventfd, O_DIRECT.
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

// duplicate(fd): a second descriptor of the same open file or socket, closed on exec.
static napi_value duplicate(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  int copy = fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return throw_errno(env, "fcntl(F_DUPFD_CLOEXEC)", errno);
  return make_number(env, copy);
}

// closeFd(fd)
static napi_value close_fd(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 3, INT32_MAX, &fd)) return NULL;
  if (close((int)fd) != 0 && errno != EINTR) return throw_errno(env, "close", errno);
  return NULL;
}

// lockFile(fd): takes flock(LOCK_EX | LOCK_NB); false if another process holds it.
static napi_value lock_file(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  int status = flock((int)fd, LOCK_EX | LOCK_NB);
  if (status != 0 && errno != EWOULDBLOCK) return throw_errno(env, "flock", errno);
  return make_boolean(env, status == 0);
}

static bool get_range(struct call *call, int64_t *fd, int64_t *offset, int64_t *length) {
  return get_integer(call, 0, 0, INT32_MAX, fd) && get_integer(call, 1, 0, MAX_SAFE, offset) &&
         get_integer(call, 2, 1, MAX_SAFE, length);
}

// punchHole(fd, offset, length): gives the range's disk space back; it reads as zeroes afterwards.
static napi_value punch_hole(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd, offset, length;
  if (!get_call(env, info, &call) || !get_range(&call, &fd, &offset, &length)) return NULL;
  if (fallocate((int)fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) != 0)
    return throw_errno(env, "fallocate(FALLOC_FL_PUNCH_HOLE)", errno);
  return NULL;
}

// eventFd(): a counter that wakes who polls it.
static napi_value event_fd(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return throw_errno(env, "eventfd", errno);
  return make_number(env, fd);
}

// signalEventFd(fd): adds one to an eventfd.
static napi_value signal_event_fd(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  uint64_t one = 1;
  if (write((int)fd, &one, sizeof one) < 0 && errno != EAGAIN) return throw_errno(env, "write(eventfd)", errno);
  return NULL;
}

// drainEventFd(fd): sets an eventfd to zero; true if it was not.
static napi_value drain_event_fd(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  uint64_t value;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  struct iovec place = {&value, sizeof value};
  // Whoever else has it may have made it one that blocks.
  ssize_t got = preadv2((int)fd, &place, 1, -1, RWF_NOWAIT);
  if (got < 0 && errno == EOPNOTSUPP) got = read((int)fd, &value, sizeof value);
  if (got < 0 && errno != EAGAIN) return throw_errno(env, "read(eventfd)", errno);
  return make_boolean(env, got > 0);
}

// adoptEventFd(fd): makes an eventfd of another process one that never blocks who signals or drains it; false if the
// descriptor is no eventfd. That concerns all who have it.
static napi_value adopt_event_fd(napi_env env, napi_callback_info info) {
  static const char kind[] = "anon_inode:[eventfd]";
  struct call call;
  int64_t fd;
  char path[40], target[sizeof kind];
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  snprintf(path, sizeof path, "/proc/self/fd/%d", (int)fd);
  ssize_t length = readlink(path, target, sizeof target);
  if (length < 0) return throw_errno(env, "readlink", errno == ENOENT ? EBADF : errno);
  if (length != sizeof kind - 1 || memcmp(target, kind, sizeof kind - 1) != 0) return make_boolean(env, false);
  int flags = fcntl((int)fd, F_GETFL);
  if (flags < 0 || fcntl((int)fd, F_SETFL, flags | O_NONBLOCK) != 0) return throw_errno(env, "fcntl", errno);
  return make_boolean(env, true);
}

// setDirect(fd, on): O_DIRECT for an open file; false if the file system refuses.
static napi_value set_direct(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd, on;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd) ||
      !get_integer(&call, 1, 0, 1, &on))
    return NULL;
  int flags = fcntl((int)fd, F_GETFL);
  if (flags < 0) return throw_errno(env, "fcntl(F_GETFL)", errno);
  flags = on ? flags | O_DIRECT : flags & ~O_DIRECT;
  if (fcntl((int)fd, F_SETFL, flags) == 0) return make_boolean(env, true);
  if (errno == EINVAL) return make_boolean(env, false);
  return throw_errno(env, "fcntl(F_SETFL)", errno);
}

// blockDevice(fd): {logical_block_size, bytes} of a block device, or null for anything else.
static napi_value block_device(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  struct stat stat;
  int block_size = 0;
  uint64_t bytes = 0;
  napi_value result;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  if (fstat((int)fd, &stat) != 0) return throw_errno(env, "fstat", errno);
  if (!S_ISBLK(stat.st_mode)) return napi_get_null(env, &result) == napi_ok ? result : NULL;
  if (ioctl((int)fd, BLKSSZGET, &block_size) != 0) return throw_errno(env, "ioctl(BLKSSZGET)", errno);
  if (ioctl((int)fd, BLKGETSIZE64, &bytes) != 0) return throw_errno(env, "ioctl(BLKGETSIZE64)", errno);
  if (napi_create_object(env, &result) != napi_ok) return NULL;
  set_number(env, result, "logical_block_size", block_size);
  set_number(env, result, "bytes", (double)bytes);
  return result;
}

void define_file(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("duplicate", duplicate),          METHOD("closeFd", close_fd),
      METHOD("lockFile", lock_file),           METHOD("punchHole", punch_hole),
      METHOD("eventFd", event_fd),             METHOD("signalEventFd", signal_event_fd),
      METHOD("drainEventFd", drain_event_fd),  METHOD("setDirect", set_direct),
      METHOD("adoptEventFd", adopt_event_fd),
      METHOD("blockDevice", block_device),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
