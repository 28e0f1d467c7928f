//go:build cgo && linux

package depth

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

// What the loader's interface (Vulkan 1.0 specification, "Instances" and "Devices and Queues") asks of a program that only
// wants to know which devices there are. Declared here because its headers are on few machines.
typedef struct {
	int32_t type;
	const void *next;
	uint32_t flags;
	const void *application;
	uint32_t layers;
	const char *const *layer_names;
	uint32_t extensions;
	const char *const *extension_names;
} instance_create_info;

typedef struct {
	uint32_t api_version, driver_version, vendor, device;
	int32_t type;
	char name[256];
	uint64_t rest[512]; // 544 bytes of limits and the like, with room for more
} device_properties;

typedef void *(*find_function)(void *instance, const char *name);
typedef int32_t (*create_instance)(const instance_create_info *, const void *, void **);
typedef void (*destroy_instance)(void *, const void *);
typedef int32_t (*enumerate_devices)(void *, uint32_t *, void **);
typedef void (*device_properties_of)(void *, device_properties *);

// vulkan_devices writes the names and types of at most most devices and returns their number; below 0 is an error: -1000
// for no loader, else a VkResult.
static int vulkan_devices(int most, char (*names)[256], int *types) {
	void *loader = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL); // stays: drivers do not like to be unloaded
	if (!loader) return -1000;
	find_function find = (find_function)dlsym(loader, "vkGetInstanceProcAddr");
	create_instance create = find ? (create_instance)find(0, "vkCreateInstance") : 0;
	if (!create) return -1000;
	instance_create_info info;
	memset(&info, 0, sizeof info);
	info.type = 1; // VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO
	void *instance = 0;
	int32_t result = create(&info, 0, &instance);
	if (result < 0) return result;
	destroy_instance destroy = (destroy_instance)find(instance, "vkDestroyInstance");
	enumerate_devices enumerate = (enumerate_devices)find(instance, "vkEnumeratePhysicalDevices");
	device_properties_of describe = (device_properties_of)find(instance, "vkGetPhysicalDeviceProperties");
	void *devices[16];
	uint32_t n = most < 16 ? most : 16;
	result = enumerate(instance, &n, devices);
	if (result >= 0) {
		for (uint32_t i = 0; i < n; i++) {
			static _Thread_local device_properties p;
			memset(&p, 0, sizeof p);
			describe(devices[i], &p);
			memcpy(names[i], p.name, sizeof p.name);
			names[i][255] = 0;
			types[i] = p.type;
		}
		result = n;
	}
	destroy(instance, 0);
	return result;
}
*/
import "C"

// GPUs are the Vulkan devices of this machine, which WebGPU computes on; none where there is no driver, or no loader.
func GPUs() []GPU {
	const most = 16
	var names [most][256]C.char
	var types [most]C.int
	n := C.vulkan_devices(most, &names[0], &types[0])
	var all []GPU
	for i := range max(0, int(n)) {
		const cpu = 4 // VK_PHYSICAL_DEVICE_TYPE_CPU
		all = append(all, GPU{Name: C.GoString(&names[i][0]), Software: types[i] == cpu})
	}
	return all
}
