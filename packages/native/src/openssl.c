// The OpenSSL that is part of the running Node.js. Found by name when it is asked for: another Node.js may have another
// one, or one whose functions are not to be seen.
#include "addon.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef int load_file(const char *file, const char *section, unsigned long flags);
typedef unsigned long next_error(void);
typedef void describe_error(unsigned long error, char *text, size_t size);

// Empties the thread's queue of errors and says the first of them: what is left there others would take for theirs.
static void say_error(char *text, size_t size) {
  next_error *next = (next_error *)dlsym(RTLD_DEFAULT, "ERR_get_error");
  describe_error *describe = (describe_error *)dlsym(RTLD_DEFAULT, "ERR_error_string_n");
  snprintf(text, size, "OpenSSL does not say why");
  if (next == NULL || describe == NULL) return;
  unsigned long first = next();
  if (first != 0) describe(first, text, size);
  while (next() != 0) continue;
}

// loadOpensslConfig(path): what the file's section `nodejs_conf` says holds for every TLS context that is made from now on.
static napi_value load_openssl_config(napi_env env, napi_callback_info info) {
  struct call call;
  char path[4096], why[256], text[4608];
  if (!get_call(env, info, &call) || !get_text(&call, 0, path, sizeof path)) return NULL;
  load_file *load = (load_file *)dlsym(RTLD_DEFAULT, "CONF_modules_load_file");
  if (load != NULL && load(path, "nodejs_conf", 0) > 0) return NULL;
  if (load == NULL) snprintf(why, sizeof why, "the OpenSSL of this Node.js cannot be reached");
  else say_error(why, sizeof why);
  snprintf(text, sizeof text, "%s: %s", path, why);
  napi_throw_error(env, NULL, text);
  return NULL;
}

void define_openssl(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {METHOD("loadOpensslConfig", load_openssl_config)};
  napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
}
