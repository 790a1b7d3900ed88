/* The part of libcuda.so.1 that tells CUDA's order of the GPUs: FAKE_CUDA_ORDER="2,0,1". */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

static node_t *node;
static unsigned order[MAX_GPUS], count;

int cuInit(unsigned flags) {
    const char *folder = getenv("FAKE_NVML_STATE"), *where = getenv("FAKE_NVML_NODE");
    const char *listed = getenv("FAKE_CUDA_ORDER"), *cards = getenv("FAKE_NVML_CARDS");
    if (flags || !folder || !listed) return 100; /* CUDA_ERROR_NO_DEVICE */
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.gpus", folder, where ? where : "node");
    node = fake_attach(path, cards ? cards : "V100", where ? where : "node");
    char *list = strdup(listed), *rest = list, *index;
    for (count = 0; (index = strsep(&rest, ",")) && count < MAX_GPUS;) order[count++] = (unsigned)atoi(index);
    free(list);
    return node ? 0 : 999;
}

int cuDeviceGetCount(int *to) { return *to = (int)count, 0; }
int cuDeviceGet(int *to, int ordinal) { return *to = ordinal, 0; }

int cuDeviceGetUuid_v2(unsigned char *to, int ordinal) {
    const char *text = node->gpus[order[ordinal]].uuid + strlen("GPU-");
    for (int i = 0; i < 16; text++) {
        if (*text == '-') continue;
        sscanf(text++, "%2hhx", &to[i++]);
    }
    return 0;
}
int cuDeviceGetUuid(unsigned char *to, int ordinal) { return cuDeviceGetUuid_v2(to, ordinal); }
