#define _GNU_SOURCE
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct { const char *kind, *name; uint32_t min_w, max_w, idle_w; } card_t;

/* Limits as nvidia-smi prints them for these cards, and vendors' data sheets. */
static const card_t CARDS[] = {
    {"V100", "Tesla V100-SXM2-16GB", 100, 300, 32},
    {"V100-PCIE", "Tesla V100-PCIE-16GB", 100, 250, 32},
    {"A40", "NVIDIA A40", 100, 300, 30},
    {"A100", "NVIDIA A100-SXM4-40GB", 100, 400, 62},
    {"H100", "NVIDIA H100 80GB HBM3", 200, 700, 90},
    {"L40S", "NVIDIA L40S", 100, 350, 35},
    {"T4", "Tesla T4", 60, 70, 10},
};

static uint32_t hash(const char *text) {
    uint32_t h = 2166136261u;
    for (; *text; text++) h = (h ^ (uint8_t)*text) * 16777619u;
    return h;
}

double fake_now(node_t *node) {
    if (node->manual_clock) return node->manual_s;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t option(const char *name) {
    const char *text = getenv(name);
    return text ? (uint32_t)atoi(text) : 0;
}

static void make_gpu(node_t *node, const char *kind, const char *where) {
    const card_t *card = NULL;
    for (size_t i = 0; i < sizeof CARDS / sizeof *CARDS; i++)
        if (!strcmp(CARDS[i].kind, kind)) card = &CARDS[i];
    if (!card || node->count == MAX_GPUS) return;
    gpu_t *b = &node->gpus[node->count];
    snprintf(b->name, sizeof b->name, "%s", card->name);
    uint32_t id = hash(where) ^ node->count * 2654435761u; /* differs in the first characters, as real UUIDs do */
    snprintf(b->uuid, sizeof b->uuid, "GPU-%08x-0000-4000-8000-%012x", id, node->count);
    snprintf(b->mig_uuid, sizeof b->mig_uuid, "MIG-%08x-0000-5000-8000-%012x", id, node->count);
    b->min_mw = card->min_w * 1000;
    b->max_mw = b->default_mw = b->limit_mw = card->max_w * 1000;
    b->idle_mw = card->idle_w * 1000;
    b->uncapped_mw = card->max_w * 950; /* a full load draws a little less than the limit */
    b->no_permission = option("FAKE_NVML_NO_PERMISSION");
    b->no_energy = option("FAKE_NVML_NO_ENERGY");
    b->refresh_ms = option("FAKE_NVML_REFRESH_MS");
    b->latency_us = option("FAKE_NVML_LATENCY_US");
    b->enforced_cap_mw = option("FAKE_NVML_ENFORCED_CAP_W") * 1000;
    b->lost = option("FAKE_NVML_LOST");
    b->mig = option("FAKE_NVML_MIG");
    b->persistent = !option("FAKE_NVML_NO_PERSISTENCE");
    b->at_s = fake_now(node);
    b->energy_j = b->shown_j = 1e6 + 1e4 * node->count; /* since driver load, never zero */
    node->count++;
}

static void make_node(node_t *node, const char *cards, const char *where) {
    pthread_mutexattr_t robust;
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&node->lock, &robust);
    char *list = strdup(cards), *rest = list, *kind;
    while ((kind = strsep(&rest, ","))) make_gpu(node, kind, where);
    free(list);
    node->magic = MAGIC;
}

node_t *fake_attach(const char *path, const char *cards, const char *where) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return NULL;
    node_t *node = MAP_FAILED;
    if (ftruncate(fd, sizeof(node_t)) == 0)
        node = mmap(NULL, sizeof(node_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (node != MAP_FAILED && node->magic != MAGIC) { /* else no lock: a process may be stopped at any point */
        flock(fd, LOCK_EX);
        if (node->magic != MAGIC) make_node(node, cards, where);
        flock(fd, LOCK_UN);
    }
    close(fd);
    return node == MAP_FAILED ? NULL : node;
}

/* A stopped process may have the lock. It delays others for a second; a real driver's locks are in the kernel,
   where no process is stopped. */
void fake_lock(node_t *node) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    if (pthread_mutex_clocklock(&node->lock, CLOCK_MONOTONIC, &until) == EOWNERDEAD) pthread_mutex_consistent(&node->lock);
}

void fake_unlock(node_t *node) { pthread_mutex_unlock(&node->lock); }

static double enforced_w(const gpu_t *b) {
    uint32_t mw = b->enforced_cap_mw && b->enforced_cap_mw < b->limit_mw ? b->enforced_cap_mw : b->limit_mw;
    return mw * 1e-3;
}

static double power_w(const gpu_t *b) {
    double wanted = (b->idle_mw + b->load * (b->uncapped_mw - b->idle_mw)) * 1e-3;
    return fmin(wanted, enforced_w(b));
}

/* Advance the true energy to now; the counter follows at its updates. Call with the lock held. */
void fake_settle(node_t *node, gpu_t *b) {
    double now = fake_now(node), power = power_w(b);
    if (now <= b->at_s) return;
    double update = now;
    if (b->refresh_ms) {
        double period = b->refresh_ms * 1e-3;
        update = floor(now / period) * period;
    }
    if (update > b->at_s && !b->stuck) b->shown_j = b->energy_j + power * (update - b->at_s);
    b->energy_j += power * (now - b->at_s);
    b->at_s = now;
}

/* For the tests. */
double fake_true_energy(node_t *node, uint32_t index) {
    fake_lock(node);
    fake_settle(node, &node->gpus[index]);
    double energy_j = node->gpus[index].energy_j;
    fake_unlock(node);
    return energy_j;
}

void fake_set_load(node_t *node, uint32_t index, double load) {
    fake_lock(node);
    fake_settle(node, &node->gpus[index]);
    node->gpus[index].load = load;
    fake_unlock(node);
}

void fake_reload_driver(node_t *node, uint32_t index) {
    fake_lock(node);
    fake_settle(node, &node->gpus[index]);
    node->gpus[index].origin_j = node->gpus[index].energy_j;
    node->gpus[index].shown_j = node->gpus[index].energy_j;
    fake_unlock(node);
}

/* Advance the manual clock, with every GPU at its present power. */
void fake_advance(node_t *node, double seconds) {
    fake_lock(node);
    node->manual_s += seconds;
    for (uint32_t i = 0; i < node->count; i++) fake_settle(node, &node->gpus[i]);
    fake_unlock(node);
}

/* From now on time passes only by fake_advance. */
void fake_stop_clock(node_t *node) {
    fake_lock(node);
    for (uint32_t i = 0; i < node->count; i++) fake_settle(node, &node->gpus[i]);
    node->manual_s = fake_now(node);
    node->manual_clock = 1;
    fake_unlock(node);
}
