/* libnvidia-ml.so.1 as far as Ray, nvidia-ml-py and zeus-ray use it, over pretended boards.
 *
 * FAKE_NVML_STATE   folder of the state file; unset: no driver here
 * FAKE_NVML_NODE    which node this process is on (default "node"): each has its own boards
 * FAKE_NVML_CARDS   kinds of its boards, such as "V100,A100" (default "V100")
 * The rest of the knobs are in state.c, and everything can be changed while it runs (boards.py).
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
typedef struct { board_t *board; int is_mig; } handle_t;
typedef struct {
    char busIdLegacy[16];
    unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} pci_t;

static node_t *node;
static char attached[4096];
static handle_t boards[MAX_BOARDS], slices[MAX_BOARDS];

static result attach(void) {
    const char *folder = getenv("FAKE_NVML_STATE"), *where = getenv("FAKE_NVML_NODE");
    const char *cards = getenv("FAKE_NVML_CARDS");
    if (!folder || !*folder) return DRIVER_NOT_LOADED;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.boards", folder, where ? where : "node");
    if (!node || strcmp(path, attached)) {
        node = fake_attach(path, cards ? cards : "V100", where ? where : "node");
        if (!node) return UNKNOWN;
        strcpy(attached, path);
        for (uint32_t i = 0; i < MAX_BOARDS; i++) {
            boards[i] = (handle_t){&node->boards[i], 0};
            slices[i] = (handle_t){&node->boards[i], 1};
        }
    }
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
    return *count = node->count, OK;
}
result nvmlDeviceGetCount(unsigned *count) { return nvmlDeviceGetCount_v2(count); }

result nvmlDeviceGetHandleByIndex_v2(unsigned index, handle_t **to) {
    if (!node) return UNINITIALIZED;
    if (index >= node->count) return INVALID_ARGUMENT;
    return *to = &boards[index], OK;
}
result nvmlDeviceGetHandleByIndex(unsigned index, handle_t **to) { return nvmlDeviceGetHandleByIndex_v2(index, to); }

result nvmlDeviceGetHandleByUUID(const char *uuid, handle_t **to) {
    if (!node) return UNINITIALIZED;
    for (uint32_t i = 0; i < node->count; i++) {
        if (!strcmp(uuid, node->boards[i].uuid)) return *to = &boards[i], OK;
        if (node->boards[i].mig && !strcmp(uuid, node->boards[i].mig_uuid)) return *to = &slices[i], OK;
    }
    return NOT_FOUND;
}

/* Every call on a board begins here: how long it takes, and whether the board still answers. */
static result reach(handle_t *h) {
    if (!node) return UNINITIALIZED;
    if (h->board->latency_us) {
        if (node->manual_clock) {
            fake_lock(node);
            node->manual_s += h->board->latency_us * 1e-6;
            fake_unlock(node);
        } else {
            usleep(h->board->latency_us);
        }
    }
    return h->board->lost ? LOST : OK;
}

#define REACH(h) do { result r_ = reach(h); if (r_ != OK) return r_; } while (0)

result nvmlDeviceGetName(handle_t *h, char *to, unsigned size) { REACH(h); return put(to, size, h->board->name); }
result nvmlDeviceGetUUID(handle_t *h, char *to, unsigned size) {
    return put(to, size, h->is_mig ? h->board->mig_uuid : h->board->uuid);
}
result nvmlDeviceGetIndex(handle_t *h, unsigned *to) { return *to = (unsigned)(h->board - node->boards), OK; }
result nvmlDeviceGetPciInfo_v3(handle_t *h, pci_t *to) {
    unsigned index = (unsigned)(h->board - node->boards);
    memset(to, 0, sizeof *to);
    to->bus = index + 1;
    snprintf(to->busIdLegacy, sizeof to->busIdLegacy, "0000:%02X:00.0", index + 1);
    snprintf(to->busId, sizeof to->busId, "00000000:%02X:00.0", index + 1);
    return OK;
}
result nvmlDeviceGetPersistenceMode(handle_t *h, unsigned *to) { REACH(h); return *to = h->board->persistent, OK; }
result nvmlDeviceGetTemperature(handle_t *h, int sensor, unsigned *to) { (void)sensor; REACH(h); return *to = 40, OK; }
result nvmlDeviceGetUtilizationRates(handle_t *h, unsigned *to) {
    REACH(h);
    to[0] = to[1] = (unsigned)(h->board->load * 100);
    return OK;
}
result nvmlDeviceGetMemoryInfo(handle_t *h, unsigned long long *to) {
    REACH(h);
    to[0] = 16ull << 30, to[1] = 15ull << 30, to[2] = 1ull << 30;
    return OK;
}
result nvmlDeviceGetMigMode(handle_t *h, unsigned *now, unsigned *pending) {
    REACH(h);
    return *now = *pending = h->board->mig, OK;
}
result nvmlDeviceIsMigDeviceHandle(handle_t *h, unsigned *to) { return *to = (unsigned)h->is_mig, OK; }
result nvmlDeviceGetMaxMigDeviceCount(handle_t *h, unsigned *to) { return *to = h->board->mig, OK; }
result nvmlDeviceGetMigDeviceHandleByIndex(handle_t *h, unsigned index, handle_t **to) {
    if (!h->board->mig || index) return NOT_FOUND;
    return *to = &slices[h->board - node->boards], OK;
}
result nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle_t *h, handle_t **to) {
    return *to = &boards[h->board - node->boards], OK;
}
result nvmlDeviceGetComputeRunningProcesses_v3(handle_t *h, unsigned *count, void *to) {
    (void)to;
    REACH(h);
    return *count = 0, OK;
}
result nvmlDeviceGetGraphicsRunningProcesses_v3(handle_t *h, unsigned *count, void *to) {
    return nvmlDeviceGetComputeRunningProcesses_v3(h, count, to);
}

/* Power and energy: what this library is for. */
result nvmlDeviceGetPowerManagementLimit(handle_t *h, unsigned *mw) {
    REACH(h);
    if (h->is_mig) return NOT_SUPPORTED;
    return *mw = h->board->limit_mw, OK;
}
result nvmlDeviceGetPowerManagementDefaultLimit(handle_t *h, unsigned *mw) {
    REACH(h);
    return *mw = h->board->default_mw, OK;
}
result nvmlDeviceGetPowerManagementLimitConstraints(handle_t *h, unsigned *low, unsigned *high) {
    REACH(h);
    if (h->is_mig) return NOT_SUPPORTED;
    return *low = h->board->min_mw, *high = h->board->max_mw, OK;
}
result nvmlDeviceGetEnforcedPowerLimit(handle_t *h, unsigned *mw) {
    REACH(h);
    board_t *b = h->board;
    *mw = b->enforced_cap_mw && b->enforced_cap_mw < b->limit_mw ? b->enforced_cap_mw : b->limit_mw;
    return OK;
}

static result may_set(board_t *b, unsigned mw) {
    if (b->no_permission) return NO_PERMISSION;
    if (b->mig) return NOT_SUPPORTED;
    if (mw < b->min_mw || mw > b->max_mw) return INVALID_ARGUMENT;
    if (b->refuse_sets) return b->refuse_sets--, UNKNOWN;
    return OK;
}

result nvmlDeviceSetPowerManagementLimit(handle_t *h, unsigned mw) {
    REACH(h);
    fake_lock(node);
    board_t *b = h->board;
    result code = h->is_mig ? NOT_SUPPORTED : may_set(b, mw);
    if (code == OK) {
        fake_settle(node, b);
        b->limit_mw = mw;
        b->writes++;
    } else {
        b->refused++;
    }
    fake_unlock(node);
    return code;
}

result nvmlDeviceGetTotalEnergyConsumption(handle_t *h, unsigned long long *mj) {
    REACH(h);
    board_t *b = h->board;
    if (b->no_energy || h->is_mig) return NOT_SUPPORTED;
    fake_lock(node);
    fake_settle(node, b);
    *mj = (unsigned long long)(fmax(b->shown_j - b->origin_j, 0) * 1e3);
    fake_unlock(node);
    return OK;
}

result nvmlDeviceGetPowerUsage(handle_t *h, unsigned *mw) {
    REACH(h);
    board_t *b = h->board;
    if (b->refuse_reads) return b->refuse_reads--, TIMEOUT;
    double enforced = b->enforced_cap_mw && b->enforced_cap_mw < b->limit_mw ? b->enforced_cap_mw : b->limit_mw;
    return *mw = (unsigned)fmin(b->idle_mw + b->load * (b->uncapped_mw - b->idle_mw), enforced), OK;
}
