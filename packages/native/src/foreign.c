// What other processes send descriptors of, and could keep a reactor waiting with.
#include "foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// --- memory ---

// File systems whose pages come from another process or another machine, as /proc/self/mountinfo names them.
static const char *const far[] = {"9p",   "afs",  "ceph", "cifs",     "coda", "fuse", "fuseblk", "gfs2",     "lustre",
                                  "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs",  "virtiofs"};

static bool is_far(const char *type) {
  for (size_t i = 0; i < sizeof far / sizeof *far; i++)
    if (strcmp(type, far[i]) == 0) return true;
  return strncmp(type, "fuse.", 5) == 0;
}

// The number of the mount that a file was opened through, or -1.
static int mount_of(int fd) {
  char path[40], line[128];
  int id = -1;
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  FILE *file = fopen(path, "re");
  if (file == NULL) return -1;
  while (id < 0 && fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "mnt_id: %d", &id) != 1) id = -1;
  fclose(file);
  return id;
}

// The type of the file system of a mount that this process sees. False if it sees none of this number.
static bool type_of_mount(int id, char *type, size_t size) {
  char *line = NULL;
  size_t room = 0;
  bool found = false;
  FILE *file = fopen("/proc/self/mountinfo", "re");
  if (file == NULL) return false;
  while (!found && getline(&line, &room, file) >= 0) {
    const char *behind = strstr(line, " - ");
    if (atoi(line) != id || behind == NULL) continue;
    size_t length = strcspn(behind + 3, " \n");
    if (length >= size) length = size - 1;
    memcpy(type, behind + 3, length);
    type[length] = 0;
    found = true;
  }
  free(line);
  fclose(file);
  return found;
}

// Nothing here asks the file system before it is known: an answer may never come.
bool may_stall(int fd, char *why, size_t size) {
  char type[64];
  // Only shared memory and huge pages have seals. A userfaultfd concerns mappings of its owner, none of ours.
  if (fcntl(fd, F_GET_SEALS) >= 0) return false;
  // No file, or no descriptor at all: that is for the caller to say.
  struct statx facts;
  if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &facts) != 0 || !S_ISREG(facts.stx_mode))
    return false;
  if (!type_of_mount(mount_of(fd), type, sizeof type)) {
    snprintf(why, size, "argument 1 is a file of a file system that this process does not see: it could keep it waiting; "
                        "give memory of memfd_create, or a file of tmpfs or hugetlbfs");
    return true;
  }
  if (!is_far(type)) return false;
  snprintf(why, size, "argument 1 is a file of a file system of type %s, which could keep this process waiting; "
                      "give memory of memfd_create, or a file of tmpfs or hugetlbfs", type);
  return true;
}

// --- eventfds ---

// What the kernel keeps at the address that is the context's name: only the beginning.
struct completion_ring {
  uint32_t id, nr, head, tail;
};

// A thread's context; 0 before its first use, and where there can be none.
static _Thread_local aio_context_t context;
static _Thread_local bool asked;

static void end_context(void *argument) {
  (void)argument;
  if (context != 0) syscall(SYS_io_destroy, context);
  context = 0;
  asked = false;
}

static bool have_context(napi_env env) {
  if (asked) return context != 0;
  asked = true;
  if (syscall(SYS_io_setup, 1, &context) != 0) {
    context = 0;
    return false;
  }
  napi_add_env_cleanup_hook(env, end_context, NULL);
  return true;
}

// The kernel adds one to an eventfd for an asynchronous I/O that has ended, and waits for nobody. An eventfd refuses to be
// read into no bytes, at once: that is such an end.
static bool add_one(int fd) {
  struct iocb iocb = {
      .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)fd, .aio_buf = (uintptr_t)&iocb, .aio_flags = IOCB_FLAG_RESFD};
  iocb.aio_resfd = (uint32_t)fd;
  struct iocb *list = &iocb;
  if (syscall(SYS_io_submit, context, 1, &list) != 1) return false;
  struct completion_ring *ring = (struct completion_ring *)context;
  __atomic_store_n(&ring->head, __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
  return true;
}

// signalForeignEventFd(fd): adds one to an eventfd whose owner may have filled it, and may have made it one that blocks. That
// it does not block is made sure of by the kernel's asynchronous I/O; where there is none, by a look at it before.
static napi_value signal_foreign_event_fd(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t fd;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, INT32_MAX, &fd)) return NULL;
  if (have_context(env) && add_one((int)fd)) return NULL;
  int flags = fcntl((int)fd, F_GETFL);
  if (flags < 0) return throw_errno(env, "fcntl(F_GETFL)", errno);
  if (!(flags & O_NONBLOCK) && fcntl((int)fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return throw_errno(env, "fcntl(F_SETFL)", errno);
  uint64_t one = 1;
  if (write((int)fd, &one, sizeof one) < 0 && errno != EAGAIN) return throw_errno(env, "write(eventfd)", errno);
  return NULL;
}

void define_foreign(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {METHOD("signalForeignEventFd", signal_foreign_event_fd)};
  napi_define_properties(env, exports, sizeof methods / sizeof *methods, methods);
}
