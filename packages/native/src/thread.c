// Threads: binding to a CPU, names, ids; the event loop's descriptor.
#include "addon.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct uv_loop_s;
extern int uv_backend_fd(const struct uv_loop_s *);
extern int uv_backend_timeout(const struct uv_loop_s *);

// pinThread(cpu): binds the calling thread to one CPU.
static napi_value pin_thread(napi_env env, napi_callback_info info) {
  struct call call;
  int64_t cpu;
  cpu_set_t set;
  if (!get_call(env, info, &call) || !get_integer(&call, 0, 0, CPU_SETSIZE - 1, &cpu)) return NULL;
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
    if (CPU_ISSET(cpu, &set)) napi_set_element(env, list, n++, make_number(env, cpu));
  return list;
}

// threadId(): the kernel's id of the calling thread.
static napi_value thread_id(napi_env env, napi_callback_info info) {
  (void)info;
  return make_number(env, (double)syscall(SYS_gettid));
}

// nameThread(name): what ps and top show for the calling thread.
static napi_value name_thread(napi_env env, napi_callback_info info) {
  struct call call;
  char name[16];
  if (!get_call(env, info, &call) || !get_text(&call, 0, name, sizeof name)) return NULL;
  if (prctl(PR_SET_NAME, name, 0, 0, 0) != 0) return throw_errno(env, "prctl", errno);
  return NULL;
}

// backendFd(): the descriptor that is readable when the calling thread's event loop has something to do.
static napi_value backend_fd(napi_env env, napi_callback_info info) {
  (void)info;
  struct uv_loop_s *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return NULL;
  return make_number(env, uv_backend_fd(loop));
}

// backendTimeout(): how long the event loop may sleep, ms: -1 without limit.
static napi_value backend_timeout(napi_env env, napi_callback_info info) {
  (void)info;
  struct uv_loop_s *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return NULL;
  return make_number(env, uv_backend_timeout(loop));
}

void define_thread(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      METHOD("pinThread", pin_thread),   METHOD("allowedCpus", allowed_cpus),
      METHOD("threadId", thread_id),     METHOD("nameThread", name_thread),
      METHOD("backendFd", backend_fd),   METHOD("backendTimeout", backend_timeout),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
