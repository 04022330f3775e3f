/* A CUDA driver that does nothing and says that all went well, so that what a launch costs before
   the driver can be measured without a GPU. See overhead.py.

   It knows two devices of compute capability 9.0, the contexts current in the one thread that asks,
   and the last launch: of so many parameters as it was told, of these sizes, it keeps the bytes.
   What is not listed below succeeds and gives nothing. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uintptr_t handle;

enum { DEVICES = 2, DEPTH = 64, PARAMETERS = 256, COMPUTE_MAJOR = 75, COMPUTE_MINOR = 76 };
static const handle CONTEXT = 0x1000;

handle launched_kernel, launched_stream;
unsigned launched_blocks;
unsigned char launched_parameters[PARAMETERS][8];
unsigned char parameter_sizes[PARAMETERS];
int parameter_count;
long launches, copies;

static handle contexts[DEPTH];
static int top;

static int succeed(void) { return 0; }
static int version(int *number) { *number = 13000; return 0; }
static int device_count(int *count) { *count = DEVICES; return 0; }
static int device_get(int *device, int index) { *device = index; return 0; }
static int device_name(char *name, int size, int device) { strncpy(name, "none", size); return 0; }
static int device_uuid(char *uuid, int device) { memset(uuid, device, 16); return 0; }
static int device_attribute(int *value, int which, int device) {
    *value = which == COMPUTE_MAJOR ? 9 : which == COMPUTE_MINOR ? 0 : 1024;
    return 0;
}
static int retain(handle *context, int device) { *context = CONTEXT + device; return 0; }
static int get_current(handle *context) { *context = contexts[top]; return 0; }
static int set_current(handle context) { contexts[top] = context; return 0; }
static int push_current(handle context) { contexts[++top] = context; return 0; }
static int pop_current(handle *context) {
    if (context) *context = contexts[top];
    if (top) top--;
    return 0;
}
static int context_device(int *device) {
    *device = contexts[top] ? (int)(contexts[top] - CONTEXT) : 0;
    return 0;
}
static int make(handle *made) { static handle last = 0x100000; *made = last += 16; return 0; }
static int allocate(handle *address, size_t size) { *address = (handle)malloc(size); return 0; }
static int memory(size_t *unused, size_t *all) { *unused = *all = (size_t)1 << 33; return 0; }
static int kernel_attribute(int *value, int which) { *value = 16; return 0; }
static int describe(int error, const char **text) { *text = "none"; return 0; }
static int copy(void) { copies++; return 0; }

static int launch(handle kernel, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty,
                  unsigned tz, unsigned shared, handle stream, void **parameters, void **extra) {
    launched_kernel = kernel;
    launched_stream = stream;
    launched_blocks = x;
    for (int k = 0; k < parameter_count; k++)
        memcpy(launched_parameters[k], parameters[k], parameter_sizes[k]);
    launches++;
    return 0;
}

struct configuration { unsigned blocks[3], threads[3], shared; handle stream; };

static int launch_ex(struct configuration *how, handle kernel, void **parameters, void **extra) {
    return launch(kernel, how->blocks[0], 1, 1, how->threads[0], 1, 1, how->shared, how->stream,
                  parameters, extra);
}

static const struct { const char *name; void *function; } KNOWN[] = {
    {"cuDriverGetVersion", version},
    {"cuDeviceGetCount", device_count},
    {"cuDeviceGet", device_get},
    {"cuDeviceGetName", device_name},
    {"cuDeviceGetUuid", device_uuid},
    {"cuDeviceGetAttribute", device_attribute},
    {"cuDevicePrimaryCtxRetain", retain},
    {"cuCtxGetCurrent", get_current},
    {"cuCtxSetCurrent", set_current},
    {"cuCtxPushCurrent", push_current},
    {"cuCtxPopCurrent", pop_current},
    {"cuCtxGetDevice", context_device},
    {"cuLibraryLoadData", make},
    {"cuLibraryGetKernel", make},
    {"cuLibraryGetModule", make},
    {"cuKernelGetFunction", make},
    {"cuKernelGetAttribute", kernel_attribute},
    {"cuFuncGetAttribute", kernel_attribute},
    {"cuStreamCreate", make},
    {"cuEventCreate", make},
    {"cuMemAlloc", allocate},
    {"cuMemGetInfo", memory},
    {"cuMemcpyHtoD", copy},
    {"cuMemcpyDtoH", copy},
    {"cuMemcpyHtoDAsync", copy},
    {"cuMemcpyDtoHAsync", copy},
    {"cuGetErrorName", describe},
    {"cuGetErrorString", describe},
    {"cuLaunchKernel", launch},
    {"cuLaunchKernelEx", launch_ex},
};

/* Every other function of the driver is asked for by name. */
int cuGetProcAddress_v2(const char *name, void **function, int cuda, uint64_t flags, int *found) {
    if (found) *found = 0;
    *function = strcmp(name, "cuGetProcAddress") ? (void *)succeed : (void *)cuGetProcAddress_v2;
    for (size_t k = 0; k < sizeof KNOWN / sizeof *KNOWN; k++)
        if (!strcmp(name, KNOWN[k].name)) *function = KNOWN[k].function;
    return 0;
}

int cuGetProcAddress(const char *name, void **function, int cuda, uint64_t flags) {
    return cuGetProcAddress_v2(name, function, cuda, flags, 0);
}
