// Asks the kernel whether it lets this process use something, by trying it.
#include "addon.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

// probeAio(): 0 if the kernel has AIO and lets this process call it, else the errno that io_setup ended with. A context
// without entries is refused by AIO itself; one that was made would take a grace period of the kernel to end.
static napi_value probe_aio(napi_env env, napi_callback_info info) {
  (void)info;
  aio_context_t context = 0;
  syscall(SYS_io_setup, 0, &context);
  return make_number(env, errno == EINVAL ? 0 : errno);
}

void define_probe(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {METHOD("probeAio", probe_aio)};
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
