/* The part of libnvidia-ml.so.1 that Ray, nvidia-ml-py and zeus-ray use, with simulated GPUs.
 *
 * FAKE_NVML_STATE   folder of the state file; unset: no driver
 * FAKE_NVML_NODE    the node of this process (default "node"): each node has its own GPUs
 * FAKE_NVML_CARDS   the node's cards, such as "V100,A100" (default "V100")
 * The other knobs are in state.c; all can be changed while processes run (library.py).
 */
#define _GNU_SOURCE
#include "state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, TIMEOUT = 10, LOST = 15, UNKNOWN = 999
};
typedef int result;
typedef struct { gpu_t *gpu; int is_mig; } handle_t;
typedef struct {
    char busIdLegacy[16];
    unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} pci_t;

static node_t *node;
static char attached[4096];
static handle_t gpus[MAX_GPUS], slices[MAX_GPUS];

static result attach(void) {
    const char *folder = getenv("FAKE_NVML_STATE"), *where = getenv("FAKE_NVML_NODE");
    const char *cards = getenv("FAKE_NVML_CARDS");
    if (!folder || !*folder) return DRIVER_NOT_LOADED;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.gpus", folder, where ? where : "node");
    if (!node || strcmp(path, attached)) {
        node = fake_attach(path, cards ? cards : "V100", where ? where : "node");
        if (!node) return UNKNOWN;
        strcpy(attached, path);
        for (uint32_t i = 0; i < MAX_GPUS; i++) {
            gpus[i] = (handle_t){&node->gpus[i], 0};
            slices[i] = (handle_t){&node->gpus[i], 1};
        }
    }
    while (node->hang_init) usleep(10000);
    return node->dead_driver ? DRIVER_NOT_LOADED : OK;
}

result nvmlInitWithFlags(unsigned flags) { (void)flags; return attach(); }
result nvmlInit_v2(void) { return attach(); }
result nvmlInit(void) { return attach(); }
result nvmlShutdown(void) { return node ? OK : UNINITIALIZED; }

const char *nvmlErrorString(result code) {
    switch (code) {
    case OK: return "Success";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case TIMEOUT: return "Timeout";
    case LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

static result put(char *to, unsigned size, const char *text) {
    if (strlen(text) >= size) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return OK;
}

result nvmlSystemGetDriverVersion(char *to, unsigned size) { return put(to, size, "580.00.fake"); }
result nvmlSystemGetNVMLVersion(char *to, unsigned size) { return put(to, size, "13.580.00.fake"); }
result nvmlSystemGetCudaDriverVersion(int *to) { return *to = 13000, OK; }
result nvmlSystemGetCudaDriverVersion_v2(int *to) { return *to = 13000, OK; }

result nvmlDeviceGetCount_v2(unsigned *count) {
    if (!node) return UNINITIALIZED;
    while (node->hang_count) usleep(10000);
    return *count = node->count, OK;
}
result nvmlDeviceGetCount(unsigned *count) { return nvmlDeviceGetCount_v2(count); }

result nvmlDeviceGetHandleByIndex_v2(unsigned index, handle_t **to) {
    if (!node) return UNINITIALIZED;
    if (index >= node->count) return INVALID_ARGUMENT;
    return *to = &gpus[index], OK;
}
result nvmlDeviceGetHandleByIndex(unsigned index, handle_t **to) { return nvmlDeviceGetHandleByIndex_v2(index, to); }

result nvmlDeviceGetHandleByUUID(const char *uuid, handle_t **to) {
    if (!node) return UNINITIALIZED;
    for (uint32_t i = 0; i < node->count; i++) {
        if (!strcmp(uuid, node->gpus[i].uuid)) return *to = &gpus[i], OK;
        if (node->gpus[i].mig && !strcmp(uuid, node->gpus[i].mig_uuid)) return *to = &slices[i], OK;
    }
    return NOT_FOUND;
}

static int is_named(const char *name, const char *call) { return *name && (!strcmp(name, "*") || !strcmp(name, call)); }

/* Every call for a GPU begins here: its latency, its mood, and whether the GPU is lost. */
static result reach(handle_t *h, const char *call) {
    if (!node) return UNINITIALIZED;
    if (is_named(h->gpu->hang_name, call)) __atomic_add_fetch(&h->gpu->hung_calls, 1, __ATOMIC_SEQ_CST);
    while (is_named(h->gpu->hang_name, call)) usleep(10000);
    if (h->gpu->fail_calls && is_named(h->gpu->fail_name, call)) {
        h->gpu->fail_calls--;
        return (result)h->gpu->fail_code;
    }
    if (h->gpu->latency_us) {
        if (node->manual_clock) {
            fake_lock(node);
            node->manual_s += h->gpu->latency_us * 1e-6;
            fake_unlock(node);
        } else {
            usleep(h->gpu->latency_us);
        }
    }
    return h->gpu->lost ? LOST : OK;
}

#define REACH(h) do { result r_ = reach(h, __func__); if (r_ != OK) return r_; } while (0)

result nvmlDeviceGetName(handle_t *h, char *to, unsigned size) { REACH(h); return put(to, size, h->gpu->name); }
result nvmlDeviceGetUUID(handle_t *h, char *to, unsigned size) {
    return put(to, size, h->is_mig ? h->gpu->mig_uuid : h->gpu->uuid);
}
result nvmlDeviceGetIndex(handle_t *h, unsigned *to) { return *to = (unsigned)(h->gpu - node->gpus), OK; }
result nvmlDeviceGetPciInfo_v3(handle_t *h, pci_t *to) {
    unsigned index = (unsigned)(h->gpu - node->gpus);
    memset(to, 0, sizeof *to);
    to->bus = index + 1;
    snprintf(to->busIdLegacy, sizeof to->busIdLegacy, "0000:%02X:00.0", index + 1);
    snprintf(to->busId, sizeof to->busId, "00000000:%02X:00.0", index + 1);
    return OK;
}
result nvmlDeviceGetPersistenceMode(handle_t *h, unsigned *to) { REACH(h); return *to = h->gpu->persistent, OK; }
result nvmlDeviceGetTemperature(handle_t *h, int sensor, unsigned *to) { (void)sensor; REACH(h); return *to = 40, OK; }
result nvmlDeviceGetUtilizationRates(handle_t *h, unsigned *to) {
    REACH(h);
    to[0] = to[1] = (unsigned)(h->gpu->load * 100);
    return OK;
}
result nvmlDeviceGetMemoryInfo(handle_t *h, unsigned long long *to) {
    REACH(h);
    to[0] = 16ull << 30, to[1] = 15ull << 30, to[2] = 1ull << 30;
    return OK;
}
result nvmlDeviceGetMigMode(handle_t *h, unsigned *now, unsigned *pending) {
    REACH(h);
    return *now = *pending = h->gpu->mig, OK;
}
result nvmlDeviceIsMigDeviceHandle(handle_t *h, unsigned *to) { return *to = (unsigned)h->is_mig, OK; }
result nvmlDeviceGetMaxMigDeviceCount(handle_t *h, unsigned *to) { return *to = h->gpu->mig, OK; }
result nvmlDeviceGetMigDeviceHandleByIndex(handle_t *h, unsigned index, handle_t **to) {
    if (!h->gpu->mig || index) return NOT_FOUND;
    return *to = &slices[h->gpu - node->gpus], OK;
}
result nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle_t *h, handle_t **to) {
    return *to = &gpus[h->gpu - node->gpus], OK;
}
result nvmlDeviceGetComputeRunningProcesses_v3(handle_t *h, unsigned *count, void *to) {
    (void)to;
    REACH(h);
    return *count = 0, OK;
}
result nvmlDeviceGetGraphicsRunningProcesses_v3(handle_t *h, unsigned *count, void *to) {
    return nvmlDeviceGetComputeRunningProcesses_v3(h, count, to);
}

/* Power and energy. */
result nvmlDeviceGetPowerManagementLimit(handle_t *h, unsigned *mw) {
    REACH(h);
    if (h->is_mig) return NOT_SUPPORTED;
    if (h->gpu->wrong_reads) return h->gpu->wrong_reads--, *mw = h->gpu->wrong_mw, OK;
    return *mw = h->gpu->limit_mw, OK;
}
result nvmlDeviceGetPowerManagementDefaultLimit(handle_t *h, unsigned *mw) {
    REACH(h);
    return *mw = h->gpu->default_mw, OK;
}
result nvmlDeviceGetPowerManagementLimitConstraints(handle_t *h, unsigned *low, unsigned *high) {
    REACH(h);
    if (h->is_mig) return NOT_SUPPORTED;
    return *low = h->gpu->min_mw, *high = h->gpu->max_mw, OK;
}
result nvmlDeviceGetEnforcedPowerLimit(handle_t *h, unsigned *mw) {
    REACH(h);
    gpu_t *b = h->gpu;
    *mw = b->enforced_cap_mw && b->enforced_cap_mw < b->limit_mw ? b->enforced_cap_mw : b->limit_mw;
    return OK;
}

static result may_set(gpu_t *b, unsigned mw) {
    if (b->no_permission) return NO_PERMISSION;
    if (b->mig) return NOT_SUPPORTED;
    if (mw < b->min_mw || mw > b->max_mw) return INVALID_ARGUMENT;
    if (b->refuse_sets) return b->refuse_sets--, UNKNOWN;
    return OK;
}

result nvmlDeviceSetPowerManagementLimit(handle_t *h, unsigned mw) {
    REACH(h);
    fake_lock(node);
    gpu_t *b = h->gpu;
    result code = h->is_mig ? NOT_SUPPORTED : may_set(b, mw);
    if (code == OK) {
        fake_settle(node, b);
        if (b->ignore_sets) b->ignore_sets--;
        else b->limit_mw = mw > b->lowest_mw ? mw : b->lowest_mw;
        b->writes++;
        if (b->late_errors) b->late_errors--, code = TIMEOUT;
    } else {
        b->refused++;
    }
    fake_unlock(node);
    return code;
}

result nvmlDeviceGetTotalEnergyConsumption(handle_t *h, unsigned long long *mj) {
    REACH(h);
    gpu_t *b = h->gpu;
    if (b->no_energy || h->is_mig) return NOT_SUPPORTED;
    fake_lock(node);
    fake_settle(node, b);
    *mj = (unsigned long long)(fmax(b->shown_j - b->origin_j, 0) * 1e3);
    fake_unlock(node);
    return OK;
}

result nvmlDeviceGetPowerUsage(handle_t *h, unsigned *mw) {
    REACH(h);
    gpu_t *b = h->gpu;
    if (b->refuse_reads) return b->refuse_reads--, TIMEOUT;
    if (b->wrong_powers) return b->wrong_powers--, *mw = b->wrong_power_mw, OK;
    double enforced = b->enforced_cap_mw && b->enforced_cap_mw < b->limit_mw ? b->enforced_cap_mw : b->limit_mw;
    return *mw = (unsigned)fmin(b->idle_mw + b->load * (b->uncapped_mw - b->idle_mw), enforced), OK;
}
