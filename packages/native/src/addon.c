// The native addon: the few system calls that Node.js has no name for. Node-API only.
// Every call checks its arguments; a wrong one throws, it never crashes the process.
#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <fcntl.h>
#include <node_api.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static napi_value throw_errno(napi_env env, const char *call, int error) {
  char code[16], text[160];
  snprintf(code, sizeof code, "%d", error);
  snprintf(text, sizeof text, "%s: %s", call, strerror(error));
  napi_throw_error(env, code, text);
  return NULL;
}

static napi_value number(napi_env env, double value) {
  napi_value result;
  return napi_create_double(env, value, &result) == napi_ok ? result : NULL;
}

// Reads argument `index` as an integer in [min, max]; throws and returns false otherwise.
static bool integer_argument(napi_env env, napi_callback_info info, size_t index, int64_t min, int64_t max,
                             int64_t *value) {
  napi_value arguments[8];
  size_t count = 8;
  napi_valuetype type;
  double number;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok) return false;
  if (index >= count || napi_typeof(env, arguments[index], &type) != napi_ok || type != napi_number ||
      napi_get_value_double(env, arguments[index], &number) != napi_ok || number < (double)min ||
      number > (double)max || number != (double)(int64_t)number) {
    char text[96];
    snprintf(text, sizeof text, "argument %zu must be an integer from %lld to %lld", index + 1, (long long)min,
             (long long)max);
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", text);
    return false;
  }
  *value = (int64_t)number;
  return true;
}

// pinThread(cpu): binds the calling thread to one CPU.
static napi_value pin_thread(napi_env env, napi_callback_info info) {
  int64_t cpu;
  cpu_set_t set;
  if (!integer_argument(env, info, 0, 0, CPU_SETSIZE - 1, &cpu)) return NULL;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) return throw_errno(env, "sched_setaffinity", errno);
  return NULL;
}

// allowedCpus(): the CPUs that the calling thread may run on, as an array of numbers.
static napi_value allowed_cpus(napi_env env, napi_callback_info info) {
  (void)info;
  cpu_set_t set;
  napi_value list;
  uint32_t n = 0;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return throw_errno(env, "sched_getaffinity", errno);
  if (napi_create_array(env, &list) != napi_ok) return NULL;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &set)) napi_set_element(env, list, n++, number(env, cpu));
  return list;
}

// threadId(): the kernel's id of the calling thread.
static napi_value thread_id(napi_env env, napi_callback_info info) {
  (void)info;
  return number(env, (double)syscall(SYS_gettid));
}

// nameThread(name): what ps and top show for the calling thread (15 bytes at most).
static napi_value name_thread(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1, length;
  char name[16];
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok) return NULL;
  if (count < 1 || napi_get_value_string_utf8(env, argument, name, sizeof name, &length) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument 1 must be a string");
    return NULL;
  }
  if (prctl(PR_SET_NAME, name, 0, 0, 0) != 0) return throw_errno(env, "prctl", errno);
  return NULL;
}

// duplicate(fd): a second descriptor of the same open file or socket, closed on exec.
static napi_value duplicate(napi_env env, napi_callback_info info) {
  int64_t fd;
  if (!integer_argument(env, info, 0, 0, INT32_MAX, &fd)) return NULL;
  int copy = fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return throw_errno(env, "fcntl(F_DUPFD_CLOEXEC)", errno);
  return number(env, copy);
}

// lockFile(fd): takes flock(LOCK_EX | LOCK_NB); false if another process holds it.
static napi_value lock_file(napi_env env, napi_callback_info info) {
  int64_t fd;
  napi_value result;
  if (!integer_argument(env, info, 0, 0, INT32_MAX, &fd)) return NULL;
  int status = flock((int)fd, LOCK_EX | LOCK_NB);
  if (status != 0 && errno != EWOULDBLOCK) return throw_errno(env, "flock", errno);
  return napi_get_boolean(env, status == 0, &result) == napi_ok ? result : NULL;
}

// punchHole(fd, offset, length): gives the range's disk space back; it reads as zeroes afterwards.
static napi_value punch_hole(napi_env env, napi_callback_info info) {
  int64_t fd, offset, length;
  if (!integer_argument(env, info, 0, 0, INT32_MAX, &fd)) return NULL;
  if (!integer_argument(env, info, 1, 0, (1LL << 53) - 1, &offset)) return NULL;
  if (!integer_argument(env, info, 2, 1, (1LL << 53) - 1, &length)) return NULL;
  if (fallocate((int)fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) != 0)
    return throw_errno(env, "fallocate(FALLOC_FL_PUNCH_HOLE)", errno);
  return NULL;
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor methods[] = {
      {"pinThread", NULL, pin_thread, NULL, NULL, NULL, napi_enumerable, NULL},
      {"allowedCpus", NULL, allowed_cpus, NULL, NULL, NULL, napi_enumerable, NULL},
      {"threadId", NULL, thread_id, NULL, NULL, NULL, napi_enumerable, NULL},
      {"nameThread", NULL, name_thread, NULL, NULL, NULL, napi_enumerable, NULL},
      {"duplicate", NULL, duplicate, NULL, NULL, NULL, napi_enumerable, NULL},
      {"lockFile", NULL, lock_file, NULL, NULL, NULL, napi_enumerable, NULL},
      {"punchHole", NULL, punch_hole, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
  return exports;
}
