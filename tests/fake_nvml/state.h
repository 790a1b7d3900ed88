/* The simulated GPUs of one node, in a file that every process maps: a change is seen by all.
 * tests/fake_nvml/library.py mirrors these structs field by field. */
#ifndef FAKE_STATE_H
#define FAKE_STATE_H
#include <pthread.h>
#include <stdint.h>

#define MAX_GPUS 64
#define MAGIC 0x5a455553u

typedef struct {
    char name[64];
    char uuid[64];
    char mig_uuid[64];
    uint32_t min_mw, max_mw, default_mw, limit_mw;
    uint32_t enforced_cap_mw; /* 0: the enforced limit is the one that is set */
    uint32_t idle_mw, uncapped_mw;
    uint32_t lost, no_permission, no_energy, mig, stuck, persistent; /* flags */
    uint32_t refuse_sets, refuse_reads;                  /* how many of the next calls fail */
    uint32_t refresh_ms, latency_us;
    uint64_t writes, refused;             /* limits set, and attempts that failed */
    uint32_t ignore_sets;                                /* so many next sets say OK, and do nothing */
    uint32_t wrong_reads, wrong_mw;                      /* so many next readings of the limit are this one */
    uint32_t wrong_powers, wrong_power_mw;               /* so many next readings of power are this one */
    uint32_t late_errors;                                /* so many next sets are done, and give an error */
    uint32_t lowest_mw;                                  /* a lower limit is accepted, and this one is set */
    uint32_t fail_code, fail_calls;                      /* so many next calls of fail_name fail with this code */
    uint32_t hung_calls;                                 /* how many calls have begun to hang */
    char fail_name[64], hang_name[64];                   /* of an NVML function, or "*": a call that fails, hangs */
    double load;                          /* 0 to 1 */
    double energy_j, at_s;                /* true energy, up to at_s */
    double shown_j;                       /* the counter's value: true energy at its last update */
    double origin_j;                      /* true energy at the counter's zero (driver reload) */
} gpu_t;

typedef struct {
    uint32_t magic, count;
    uint32_t manual_clock;
    uint32_t dead_driver;
    uint32_t hang_init, hang_count; /* nvmlInit or nvmlDeviceGetCount hangs */
    double manual_s;
    pthread_mutex_t lock; /* robust: the process that holds it may be killed */
    gpu_t gpus[MAX_GPUS];
} node_t;

node_t *fake_attach(const char *path, const char *cards, const char *node);
double fake_now(node_t *node);
void fake_settle(node_t *node, gpu_t *gpu);
void fake_lock(node_t *node);
void fake_unlock(node_t *node);
#endif
