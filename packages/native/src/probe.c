// Asks the kernel whether it lets this process use something, by trying it.
#include "addon.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

// probeAio(): 0 if kernel AIO can be used, else the errno that io_setup ended with.
static napi_value probe_aio(napi_env env, napi_callback_info info) {
  (void)info;
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, 1, &context) != 0) return make_number(env, errno);
  syscall(SYS_io_destroy, context);
  return make_number(env, 0);
}

void define_probe(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {METHOD("probeAio", probe_aio)};
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
