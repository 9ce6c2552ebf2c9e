/* Stands in for libonnxruntime.so on a plain JVM. The desktop jar's own library has no training; the
   Python wheel's extension module has, but does not export OrtGetApiBase. So this library opens that
   module and hands on the engine's base, which lies ENGINE_OFFSET bytes from the module's init function.
   engine.py builds it, and says which module, which libpython and which offset. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

static const void *registered;

/* How engine.py learns where the base is: Python hands it to every library of custom operators. */
void *RegisterCustomOps(void *options, const void *base) {
  (void)options;
  registered = base;
  return NULL;
}

const void *registered_base(void) { return registered; }

static const char *open_base(void) {
  if (!dlopen(LIBPYTHON, RTLD_LAZY | RTLD_GLOBAL)) return dlerror();
  void *module = dlopen(ENGINE_MODULE, RTLD_LAZY | RTLD_LOCAL);
  const char *init = module ? dlsym(module, ENGINE_INIT) : NULL;
  if (!init) return dlerror();
  registered = init + ENGINE_OFFSET;
  return NULL;
}

const void *OrtGetApiBase(void) {
  const char *error = registered ? NULL : open_base();
  if (error) fprintf(stderr, "the wheel's engine cannot be opened: %s\n", error);
  return registered;
}

/* The jar's JNI library wants it; the CPU is there without it. */
void *OrtSessionOptionsAppendExecutionProvider_CPU(void *options, int use_arena) {
  (void)options;
  (void)use_arena;
  return NULL;
}
