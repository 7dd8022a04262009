// SPDX-License-Identifier: GPL-2.0
/*
 * Torture for mbind(MPOL_MF_MOVE | MPOL_MF_LAZY): processes of several threads do
 * to the same memory, at random and at the same time, what can be done to memory,
 * while policies that migrate on fault come and go; and all that is in the memory
 * is compared with what should be.
 *
 * Memory consists of areas, private to a process or shared by all, and these of
 * blocks of 2M. What should be in each page is in a shadow: a generation, in which
 * each word of the page can be computed. A page is read and written by who has its
 * lock, while he also has the lock of its block as one of many. What changes
 * contents or addresses of a range wholesale (hole punch, mremap, ...) takes the
 * locks of its blocks alone. Nobody waits for a lock for long: he does something
 * else then. What changes no content (mbind, reclaim, collapse, ...) takes none.
 *
 * Each thread draws what it does from a sequence of its own, made from the seed and
 * its number. What happens at the same time as what, the scheduler says: a seed that
 * fails repeats the load, not its timing.
 *
 * It wants root, and a machine of its own: it changes settings of the system (and
 * puts them back), takes memory and CPUs offline, and swaps.
 */
#define _GNU_SOURCE
#include "kselftest.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <mm/gup_test.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef MADV_COLD
#define MADV_COLD		20
#define MADV_PAGEOUT		21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

#define BLOCK		(2UL << 20)
#define MAX_NODES	64
#define MASK_BITS	1024
#define MAX_PROCS	16
#define MAX_THREADS	16
#define NR_SHARED	3
#define NR_PRIVATE	2
#define MAX_AREAS	(NR_SHARED + NR_PRIVATE * MAX_PROCS)
#define RING		512
#define MAX_FAILURES	32
#define SOFT_OFFLINE_MAX 8

#define NODE_DIR	"/sys/devices/system/node/"
#define MEMORY_DIR	"/sys/devices/system/memory/"
#define CPU_DIR		"/sys/devices/system/cpu/"
#define THP_DIR		"/sys/kernel/mm/transparent_hugepage/"
#define KSM_DIR		"/sys/kernel/mm/ksm/"
#define NUMA_BALANCING	"/proc/sys/kernel/numa_balancing"
#define LAZY_SWITCH	"/sys/kernel/mm/mempolicy/migrate_on_fault_enabled"
#define PAGE_OWNER	"/sys/kernel/debug/page_owner"
#define GUP_TEST	"/sys/kernel/debug/gup_test"

/* Generations: what is in a page. Zero is a page of zeros. */
#define GEN_COMMON	0x80000000u	/* pages with the same are the same: for KSM */
#define GEN_CHILD	0x40000000u	/* written by a child, into its own copy */
#define GEN_MASK	0x3fffffffu

enum kind { ANON, PRIVATE_FILE, MEMFD, TMPFS, SYSV };
static const char * const kind_name[] = {
	"anon", "private file", "memfd", "tmpfs", "sysv shm",
};

struct page_shadow {
	atomic_uint lock;
	uint32_t gen;
	uint32_t freeable;	/* MADV_FREE: may also be zeros, as long as it is not written */
};

struct block {
	atomic_int lock;	/* -1: one alone; else how many share it */
};

struct area {
	enum kind kind;
	int id;
	int proc;		/* whose, or -1 */
	pid_t pid;
	char *addr;
	int fd;
	struct block *blocks;
	struct page_shadow *pages;
};

/* What a worker did last, for who looks for the cause of a failure */
struct event {
	uint64_t usec;
	int op;
	int ret;
	uint64_t addr, len, arg;
};

struct worker {
	int nr, proc;
	uint64_t rng;
	pid_t tid;
	bool child;
	int uffd, gup_fd, ring_fd, dio_fd, fail_fd;
	int pipe[2];
	char *slot;		/* for mremap(), a block */
	char *buf;		/* for content, 64 pages */
	uint32_t *gens;		/* of a block, in a child */
	uint8_t *freeable;
	atomic_ulong done[128], failed[128], busy[128], usec[128];
	atomic_ulong verified;	/* pages */
	atomic_int op;		/* what it is at, */
	atomic_ulong since;	/* and since when */
	struct event ring[RING];
	atomic_uint head;
};

struct failure {
	atomic_int ready;
	char text[512];
	uint64_t addr;
	int proc;
};

static struct shared {
	atomic_int stop;
	atomic_int nr_failures;
	struct failure failures[MAX_FAILURES];
	atomic_int soft_offlined;
	atomic_uint gen;
	struct area areas[MAX_AREAS];
	atomic_int ready;
	struct worker workers[];
} *g;

static struct {
	unsigned long seconds, seed, megabytes;
	int procs, threads;
	bool eager;		/* for comparison: no MPOL_MF_LAZY */
	bool fail;		/* workers mark themselves for fault injection */
	bool quiet_system;
	bool no_owner;		/* page_owner takes long to read */
	const char *dio_dev;
	off_t dio_offset;
	const char *without, *only;
} opt = { .seconds = 60, .procs = 3, .threads = 3 };

static unsigned long psz;
static unsigned long block_pages, area_blocks, area_pages;
static int nodes[MAX_NODES], nr_nodes;
static cpu_set_t all_cpus;
static bool lazy_supported;
static uint64_t deadline;
static char cgroup_dir[64];
static pthread_rwlock_t mmap_lock = PTHREAD_RWLOCK_INITIALIZER;	/* see op_mremap() */
static __thread struct worker *self;
static __thread int current_op;

static uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

/* splitmix64 */
static uint64_t rnd64(struct worker *w)
{
	uint64_t z = (w->rng += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static unsigned long rnd(struct worker *w, unsigned long n)
{
	return rnd64(w) % n;
}

static bool chance(struct worker *w, unsigned int percent)
{
	return rnd(w, 100) < percent;
}

/*
 * Failures, as found by any process; printed by the first one. The first failure
 * stops all.
 */
static void __printf(2, 3) failure(uint64_t addr, const char *fmt, ...)
{
	int i = atomic_fetch_add(&g->nr_failures, 1);
	va_list ap;

	atomic_store(&g->stop, 1);
	if (i >= MAX_FAILURES)
		return;
	va_start(ap, fmt);
	vsnprintf(g->failures[i].text, sizeof(g->failures[i].text), fmt, ap);
	va_end(ap);
	g->failures[i].addr = addr;
	g->failures[i].proc = self ? self->proc : -1;
	atomic_store(&g->failures[i].ready, 1);
}

static bool stopping(void)
{
	return atomic_load_explicit(&g->stop, memory_order_relaxed) || now_usec() >= deadline;
}

/*
 * With fault injection, what has to succeed for the shadow to be true is done while
 * the kernel spares the thread.
 */
static void spare_me(struct worker *w, bool spare)
{
	if (w->fail_fd < 0 || w->child)
		return;
	if (pwrite(w->fail_fd, spare ? "0" : "1", 1, 0) != 1)
		failure(0, "make-it-fail: errno %d", errno);
}

static void note(uint64_t addr, uint64_t len, uint64_t arg, int ret)
{
	struct event *e;

	if (!self || self->child)
		return;
	e = &self->ring[atomic_fetch_add(&self->head, 1) % RING];
	e->usec = now_usec();
	e->op = current_op;
	e->addr = addr;
	e->len = len;
	e->arg = arg;
	e->ret = ret;
}

/* Small files */
static int read_text(const char *path, char *buf, size_t len)
{
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, len - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

static int write_text(const char *path, const char *val)
{
	int fd, err = 0;

	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	if (write(fd, val, strlen(val)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static unsigned long long file_counter(const char *path, const char *key)
{
	unsigned long long val = 0;
	char line[256];
	size_t len = strlen(key);
	FILE *f;

	f = fopen(path, "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, len) && strchr(" :\t", line[len])) {
			val = strtoull(line + len + 1, NULL, 10);
			break;
		}
	}
	fclose(f);
	return val;
}

static unsigned long long vm_counter(const char *key)
{
	return file_counter("/proc/vmstat", key);
}

static unsigned long node_free_kb(int node)
{
	char path[128], line[256];
	unsigned long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), NODE_DIR "node%d/meminfo", node);
	f = fopen(path, "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		char *p = strstr(line, "MemFree:");

		if (p)
			kb = strtoul(p + 8, NULL, 10);
	}
	fclose(f);
	return kb;
}

static int read_list(const char *path, int *list, int max)
{
	char buf[256], *p = buf;
	int nr = 0;

	if (read_text(path, buf, sizeof(buf)))
		return 0;
	while (*p) {
		long first, last;

		first = strtol(p, &p, 10);
		last = first;
		if (*p == '-')
			last = strtol(p + 1, &p, 10);
		for (; first <= last && nr < max; first++)
			list[nr++] = first;
		if (*p != ',')
			break;
		p++;
	}
	return nr;
}

/* Settings of the system: what they were is put back at the end. */
static struct setting {
	char path[128];
	char val[64];
} settings[32];
static int nr_settings;

static int set(const char *path, const char *val)
{
	struct setting *s = &settings[nr_settings];
	char buf[256], *start = buf, *end;
	int err;

	err = read_text(path, buf, sizeof(buf));
	if (err)
		return err;
	start = strchr(buf, '[');
	end = strchr(buf, ']');
	if (start && end) {
		*end = '\0';
		start++;
	} else {
		start = buf;
	}
	if (nr_settings == ARRAY_SIZE(settings) || strlen(start) >= sizeof(s->val))
		return -ENOSPC;
	snprintf(s->path, sizeof(s->path), "%s", path);
	snprintf(s->val, sizeof(s->val), "%s", start);
	nr_settings++;
	return write_text(path, val);
}

static void restore_settings(void)
{
	while (nr_settings) {
		struct setting *s = &settings[--nr_settings];

		write_text(s->path, s->val);
	}
}

/*
 * Content. Each word says where it belongs: generation, area, page, index.
 */
static uint64_t word(int area, unsigned long page, uint32_t gen, unsigned long i)
{
	if (!gen)
		return 0;
	if (gen & GEN_COMMON)
		return (uint64_t)gen << 32 | i;
	return (uint64_t)gen << 32 | (uint64_t)area << 26 | page << 10 | i;
}

static void fill(void *p, int area, unsigned long page, uint32_t gen)
{
	volatile uint64_t *w = p;
	unsigned long i;

	for (i = 0; i < psz / 8; i++)
		w[i] = word(area, page, gen, i);
}

/* Is the page what it should be? Returns the first word that is not, or -1. */
static long differs(const void *p, int area, unsigned long page, uint32_t gen)
{
	const volatile uint64_t *w = p;
	unsigned long i;

	for (i = 0; i < psz / 8; i++)
		if (w[i] != word(area, page, gen, i))
			return i;
	return -1;
}

static bool verify_gen(const void *p, struct area *a, unsigned long page,
		       uint32_t gen, bool freeable, const char *how)
{
	const volatile uint64_t *w = p;
	long i;

	/* A freeable page may become zeros while it is read, but only as a whole */
	if (freeable && (w[0] == 0 || differs(p, a->id, page, gen) >= 0)) {
		if (differs(p, a->id, page, 0) < 0)
			goto good;
		if (differs(p, a->id, page, gen) < 0)
			goto good;
	}
	i = differs(p, a->id, page, gen);
	if (i < 0)
		goto good;
	failure((uintptr_t)a->addr + page * psz,
		"%s of %s area %d, page %lu (%p), gen %#x%s, %s worker %d: word %ld is %#llx, not %#llx; read again: %#llx; last word %#llx",
		how, kind_name[a->kind], a->id, page, a->addr + page * psz, gen,
		freeable ? " freeable" : "", self->child ? "a child of" : "by",
		self->nr, i, (unsigned long long)w[i],
		(unsigned long long)word(a->id, page, gen, i),
		(unsigned long long)w[i], (unsigned long long)w[psz / 8 - 1]);
	return false;
good:
	atomic_fetch_add_explicit(&self->verified, 1, memory_order_relaxed);
	return true;
}

static bool verify(const void *p, struct area *a, unsigned long page, const char *how)
{
	return verify_gen(p, a, page, a->pages[page].gen, a->pages[page].freeable, how);
}

static uint32_t new_gen(struct worker *w)
{
	if (chance(w, 20))
		return GEN_COMMON | (1 + rnd(w, 4));
	return (atomic_fetch_add(&g->gen, 1) + 1) & GEN_MASK;
}

/* Locks, in shared memory that is not tortured */
static bool page_trylock(struct area *a, unsigned long page)
{
	unsigned int zero = 0;

	return atomic_compare_exchange_strong(&a->pages[page].lock, &zero, 1);
}

static void page_unlock(struct area *a, unsigned long page)
{
	atomic_store(&a->pages[page].lock, 0);
}

static bool block_tryshare(struct area *a, unsigned long block)
{
	int n = atomic_load(&a->blocks[block].lock);

	while (n >= 0)
		if (atomic_compare_exchange_weak(&a->blocks[block].lock, &n, n + 1))
			return true;
	return false;
}

static void block_unshare(struct area *a, unsigned long block)
{
	atomic_fetch_sub(&a->blocks[block].lock, 1);
}

static bool block_trylock(struct area *a, unsigned long block)
{
	int i;

	for (i = 0; i < 20; i++) {
		int zero = 0;

		if (atomic_compare_exchange_strong(&a->blocks[block].lock, &zero, -1))
			return true;
		usleep(100);
	}
	return false;
}

static void block_unlock(struct area *a, unsigned long block)
{
	atomic_store(&a->blocks[block].lock, 0);
}

/* Choices */
static struct area *pick_area(struct worker *w)
{
	unsigned long n = rnd(w, NR_PRIVATE * 3 + NR_SHARED);

	if (n < NR_SHARED)
		return &g->areas[n];
	return &g->areas[NR_SHARED + w->proc * NR_PRIVATE + (n - NR_SHARED) % NR_PRIVATE];
}

static struct area *pick_private(struct worker *w)
{
	return &g->areas[NR_SHARED + w->proc * NR_PRIVATE + rnd(w, NR_PRIVATE)];
}

static struct area *pick_anon(struct worker *w)
{
	return &g->areas[NR_SHARED + w->proc * NR_PRIVATE];
}

static void pick_range(struct worker *w, unsigned long *first, unsigned long *nr)
{
	switch (rnd(w, 6)) {
	case 0:
		*nr = 1;
		break;
	case 1:
		*nr = 1 + rnd(w, 16);
		break;
	case 2:
		*nr = 16UL << rnd(w, 6);
		break;
	case 3:	/* a block */
		*first = rnd(w, area_blocks) * block_pages;
		*nr = block_pages;
		return;
	case 4:	/* from anywhere to anywhere */
		*nr = 1 + rnd(w, area_pages);
		break;
	default:
		*nr = area_pages;
	}
	if (*nr > area_pages)
		*nr = area_pages;
	*first = rnd(w, area_pages - *nr + 1);
	/* What is aligned is more interesting than what is not */
	if (chance(w, 50))
		*first -= *first % (*nr < 16 ? 1 : 16);
}

/* A range within a block */
static void pick_in_block(struct worker *w, unsigned long block, unsigned long *first,
			  unsigned long *nr)
{
	*first = block * block_pages;
	*nr = block_pages;
	if (chance(w, 40))
		return;
	*nr = 1 + rnd(w, chance(w, 50) ? 16 : block_pages);
	*first += rnd(w, block_pages - *nr + 1);
}

static int sys_mbind(void *addr, size_t len, int mode, const unsigned long *mask,
		     unsigned int flags)
{
	return syscall(__NR_mbind, addr, len, mode, mask, mask ? MASK_BITS + 1 : 0, flags);
}

static void random_mask(struct worker *w, unsigned long *mask)
{
	int i, any = nodes[rnd(w, nr_nodes)];

	memset(mask, 0, MASK_BITS / 8);
	mask[any / 64] |= 1UL << (any % 64);
	for (i = 0; i < nr_nodes; i++)
		if (chance(w, 25))
			mask[nodes[i] / 64] |= 1UL << (nodes[i] % 64);
}

static int mbind_random(struct worker *w, char *addr, size_t len, bool lazy)
{
	static const int modes[] = {
		MPOL_BIND, MPOL_BIND, MPOL_BIND, MPOL_PREFERRED, MPOL_INTERLEAVE,
		MPOL_WEIGHTED_INTERLEAVE, MPOL_PREFERRED_MANY, MPOL_LOCAL, MPOL_LOCAL,
	};
	int mode = modes[rnd(w, ARRAY_SIZE(modes))], flags, ret;
	unsigned long mask[MASK_BITS / 64];
	unsigned int move;

	random_mask(w, mask);
	move = chance(w, 30) ? MPOL_MF_MOVE_ALL : MPOL_MF_MOVE;
	if (lazy && lazy_supported && !opt.eager)
		move |= MPOL_MF_LAZY;
	else if (!lazy && chance(w, 20))
		move = 0;
	flags = mode;
	if (mode != MPOL_LOCAL) {
		if (chance(w, 10))
			flags |= MPOL_F_STATIC_NODES;
		else if (chance(w, 10))
			flags |= MPOL_F_RELATIVE_NODES;
		if (mode == MPOL_BIND && chance(w, 15))
			flags |= MPOL_F_NUMA_BALANCING;
	}
	if (!lazy && chance(w, 15))
		flags = MPOL_DEFAULT;
	ret = sys_mbind(addr, len, flags,
			flags == MPOL_LOCAL || flags == MPOL_DEFAULT ? NULL : mask, move);
	note((uintptr_t)addr, len, (uint64_t)flags << 32 | move << 16 | (mask[0] & 0xffff),
	     ret ? -errno : 0);
	return ret;
}

/*
 * What can be done. 1: done; 0: the kernel refused; -1: there was nothing to do, or
 * somebody else was at it.
 */
static int op_lazy(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long first, nr;

	pick_range(w, &first, &nr);
	return !mbind_random(w, a->addr + first * psz, nr * psz, true);
}

static int op_eager(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long first, nr;

	pick_range(w, &first, &nr);
	return !mbind_random(w, a->addr + first * psz, nr * psz, false);
}

/* The heart of it: a range is bound, then read and written at once */
static int access_range(struct worker *w, struct area *a, unsigned long first,
			unsigned long nr, unsigned int writes)
{
	unsigned long i, done = 0, block = first / block_pages;

	if (!block_tryshare(a, block))
		return -1;
	for (i = first; i < first + nr && i / block_pages == block; i++) {
		if (!page_trylock(a, i))
			continue;
		done++;
		if (!verify(a->addr + i * psz, a, i, "read")) {
			page_unlock(a, i);
			break;
		}
		if (chance(w, writes)) {
			uint32_t gen = new_gen(w);

			fill(a->addr + i * psz, a->id, i, gen);
			a->pages[i].gen = gen;
			a->pages[i].freeable = 0;
			if (!verify(a->addr + i * psz, a, i, "reading back")) {
				page_unlock(a, i);
				break;
			}
		}
		page_unlock(a, i);
	}
	block_unshare(a, block);
	note((uintptr_t)a->addr + first * psz, nr * psz, writes, done);
	return done ? 1 : -1;
}

static int op_access(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long nr = chance(w, 50) ? 1 + rnd(w, 4) : 1 + rnd(w, 64);

	return access_range(w, a, rnd(w, area_pages), nr, chance(w, 50) ? 0 : 50);
}

static int op_bind_and_access(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long first, nr;

	pick_in_block(w, rnd(w, area_blocks), &first, &nr);
	mbind_random(w, a->addr + first * psz, nr * psz, true);
	return access_range(w, a, first, nr > 48 ? 48 : nr, 30);
}

/* What is left in the pipe when something failed */
static void empty_pipe(struct worker *w)
{
	int n;

	spare_me(w, true);
	while (!ioctl(w->pipe[0], FIONREAD, &n) && n > 0)
		if (read(w->pipe[0], w->buf, (unsigned long)n < psz ? n : psz) <= 0)
			break;
	spare_me(w, false);
}

/* Read and write with the kernel's help: system calls at both ends of a pipe */
static int op_pipe(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long page = rnd(w, area_pages);
	uint32_t gen;
	int ret = -1;

	if (!block_tryshare(a, page / block_pages))
		return -1;
	if (page_trylock(a, page)) {
		ret = 0;
		if (write(w->pipe[1], a->addr + page * psz, psz) != (ssize_t)psz)
			goto unlock;
		if (read(w->pipe[0], w->buf, psz) != (ssize_t)psz) {
			if (!opt.fail)
				failure((uintptr_t)a->addr + page * psz, "a pipe lost a page");
			goto unlock;
		}
		verify(w->buf, a, page, "write(2)");
		gen = new_gen(w);
		fill(w->buf, a->id, page, gen);
		if (write(w->pipe[1], w->buf, psz) != (ssize_t)psz)
			goto unlock;
		/* Half of it, and the rest */
		if (read(w->pipe[0], a->addr + page * psz, psz / 2) != (ssize_t)psz / 2 ||
		    read(w->pipe[0], a->addr + page * psz + psz / 2, psz / 2) != (ssize_t)psz / 2) {
			if (!opt.fail) {
				failure((uintptr_t)a->addr + page * psz,
					"read(2) into a page: errno %d", errno);
				goto unlock;
			}
			/* A part of it may be there */
			fill(a->addr + page * psz, a->id, page, gen);
		}
		a->pages[page].gen = gen;
		a->pages[page].freeable = 0;
		verify(a->addr + page * psz, a, page, "after read(2)");
		ret = 1;
unlock:
		empty_pipe(w);
		page_unlock(a, page);
	}
	block_unshare(a, page / block_pages);
	note((uintptr_t)a->addr + page * psz, psz, 0, ret);
	return ret;
}

/* References in a pipe keep a page from moving. Its content there is that of some time. */
static int op_vmsplice(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long page = rnd(w, area_pages);
	struct iovec iov = { a->addr + page * psz, psz };
	uint32_t old, gen = 0;
	int ret = -1;

	if (!block_tryshare(a, page / block_pages))
		return -1;
	if (page_trylock(a, page)) {
		/* In the pipe it can't be told from which time zeros are */
		if (a->pages[page].freeable)
			goto unlock;
		ret = 0;
		old = a->pages[page].gen;
		if (vmsplice(w->pipe[1], &iov, 1, 0) != (ssize_t)psz)
			goto unlock;
		mbind_random(w, a->addr + page / 16 * 16 * psz, 16 * psz, true);
		verify(a->addr + page * psz, a, page, "read, with vmsplice(2)");
		if (chance(w, 50)) {
			gen = new_gen(w);
			fill(a->addr + page * psz, a->id, page, gen);
			a->pages[page].gen = gen;
		}
		spare_me(w, true);
		if (read(w->pipe[0], w->buf, psz) != (ssize_t)psz)
			failure((uintptr_t)iov.iov_base, "a pipe lost a page of vmsplice(2)");
		else if (!gen || differs(w->buf, a->id, page, gen) >= 0)
			verify_gen(w->buf, a, page, old, false, "vmsplice(2)");
		spare_me(w, false);
		verify(a->addr + page * psz, a, page, "read, after vmsplice(2)");
		ret = 1;
unlock:
		empty_pipe(w);
		page_unlock(a, page);
	}
	block_unshare(a, page / block_pages);
	note((uintptr_t)iov.iov_base, psz, gen, ret);
	return ret;
}

/* A long-term pin: the kernel's view and ours must stay one */
static int op_longterm(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long page = rnd(w, area_pages);
	struct pin_longterm_test args = {
		.addr = (uintptr_t)a->addr + page * psz,
		.size = psz,
		.flags = PIN_LONGTERM_TEST_FLAG_USE_WRITE |
			 (chance(w, 50) ? PIN_LONGTERM_TEST_FLAG_USE_FAST : 0),
	};
	uint64_t dest = (uintptr_t)w->buf;
	int ret = -1, i;

	if (w->gup_fd < 0 || !block_tryshare(a, page / block_pages))
		return -1;
	if (!page_trylock(a, page))
		goto out;
	if (a->pages[page].freeable)
		goto unlock;
	ret = 0;
	if (ioctl(w->gup_fd, PIN_LONGTERM_TEST_START, &args))
		goto unlock;
	for (i = 0; i < 3; i++) {
		mbind_random(w, a->addr + page / 16 * 16 * psz, 16 * psz, true);
		if (chance(w, 70)) {
			uint32_t gen = new_gen(w);

			fill(a->addr + page * psz, a->id, page, gen);
			a->pages[page].gen = gen;
		}
		spare_me(w, true);
		memset(w->buf, 0xa5, psz);
		if (ioctl(w->gup_fd, PIN_LONGTERM_TEST_READ, &dest))
			failure(args.addr, "reading what is pinned: errno %d", errno);
		else
			verify(w->buf, a, page, "read through a long-term pin");
		spare_me(w, false);
		verify(a->addr + page * psz, a, page, "read, pinned");
	}
	ret = 1;
	ioctl(w->gup_fd, PIN_LONGTERM_TEST_STOP);
unlock:
	page_unlock(a, page);
out:
	block_unshare(a, page / block_pages);
	note(args.addr, psz, 0, ret);
	return ret;
}

/* Buffers registered with io_uring stay pinned for a while */
static int op_io_uring(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long page = rnd(w, area_pages - 8);
	struct iovec iov = { a->addr + page * psz, psz * (1 + rnd(w, 8)) };
	int ret;

	if (w->ring_fd < 0)
		return -1;
	syscall(__NR_io_uring_register, w->ring_fd, IORING_UNREGISTER_BUFFERS, NULL, 0);
	ret = syscall(__NR_io_uring_register, w->ring_fd, IORING_REGISTER_BUFFERS, &iov, 1);
	note((uintptr_t)iov.iov_base, iov.iov_len, 0, ret ? -errno : 0);
	if (!ret)
		access_range(w, a, page, iov.iov_len / psz, 30);
	/* Sometimes it is left so until the next time */
	if (chance(w, 70))
		syscall(__NR_io_uring_register, w->ring_fd, IORING_UNREGISTER_BUFFERS, NULL, 0);
	return !ret;
}

/* The disk reads and writes the page itself */
static int op_direct_io(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long page = rnd(w, area_pages);
	char *p = a->addr + page * psz;
	off_t off = opt.dio_offset + (off_t)w->nr * BLOCK;
	uint32_t gen;
	int ret = -1;

	if (w->dio_fd < 0 || !block_tryshare(a, page / block_pages))
		return -1;
	if (!page_trylock(a, page))
		goto out;
	ret = 0;
	mbind_random(w, a->addr + page / 16 * 16 * psz, 16 * psz, true);
	if (pwrite(w->dio_fd, p, psz, off) != (ssize_t)psz)
		goto unlock;
	if (pread(w->dio_fd, w->buf, psz, off) != (ssize_t)psz)
		goto unlock;
	verify(w->buf, a, page, "O_DIRECT write");
	gen = new_gen(w);
	fill(w->buf, a->id, page, gen);
	if (pwrite(w->dio_fd, w->buf, psz, off) != (ssize_t)psz)
		goto unlock;
	if (pread(w->dio_fd, p, psz, off) != (ssize_t)psz) {
		if (!opt.fail) {
			failure((uintptr_t)p, "O_DIRECT read into a page: errno %d", errno);
			goto unlock;
		}
		fill(p, a->id, page, gen);
	}
	a->pages[page].gen = gen;
	a->pages[page].freeable = 0;
	verify(p, a, page, "after O_DIRECT read");
	ret = 1;
unlock:
	page_unlock(a, page);
out:
	block_unshare(a, page / block_pages);
	note((uintptr_t)p, psz, 0, ret);
	return ret;
}

/* Faults by proxy: another process reads and writes */
static int op_process_vm(struct worker *w)
{
	struct area *a = &g->areas[NR_SHARED + rnd(w, opt.procs * NR_PRIVATE)];
	unsigned long page = rnd(w, area_pages);
	struct iovec local = { w->buf, psz }, remote = { a->addr + page * psz, psz };
	bool bad = false;
	uint32_t gen;
	int ret = -1;

	if (!block_tryshare(a, page / block_pages))
		return -1;
	if (!page_trylock(a, page))
		goto out;
	ret = 0;
	if (process_vm_readv(a->pid, &local, 1, &remote, 1, 0) != (ssize_t)psz)
		goto unlock;
	verify(w->buf, a, page, "process_vm_readv(2)");
	gen = new_gen(w);
	fill(w->buf, a->id, page, gen);
	if (process_vm_writev(a->pid, &local, 1, &remote, 1, 0) != (ssize_t)psz)
		bad = true;
	spare_me(w, true);
	if (bad && opt.fail)
		bad = process_vm_writev(a->pid, &local, 1, &remote, 1, 0) != (ssize_t)psz;
	spare_me(w, false);
	if (bad) {
		failure((uintptr_t)remote.iov_base, "process_vm_writev(2): errno %d", errno);
		goto unlock;
	}
	a->pages[page].gen = gen;
	a->pages[page].freeable = 0;
	ret = 1;
unlock:
	page_unlock(a, page);
out:
	block_unshare(a, page / block_pages);
	note((uintptr_t)remote.iov_base, psz, a->id, ret);
	return ret;
}

/* read(2) and write(2) of a shared file beside its mappings */
static int op_file_io(struct worker *w)
{
	struct area *a = &g->areas[rnd(w, NR_SHARED)];
	unsigned long page = rnd(w, area_pages);
	uint32_t gen;
	int ret = -1;

	if (a->fd < 0 || !block_tryshare(a, page / block_pages))
		return -1;
	if (!page_trylock(a, page))
		goto out;
	ret = 0;
	if (pread(a->fd, w->buf, psz, page * psz) != (ssize_t)psz)
		goto unlock;
	verify(w->buf, a, page, "pread(2)");
	gen = new_gen(w);
	fill(w->buf, a->id, page, gen);
	if (pwrite(a->fd, w->buf, psz, page * psz) != (ssize_t)psz) {
		if (!opt.fail) {
			failure((uintptr_t)a->addr + page * psz, "pwrite(2): errno %d", errno);
			goto unlock;
		}
		fill(a->addr + page * psz, a->id, page, gen);
	}
	a->pages[page].gen = gen;
	verify(a->addr + page * psz, a, page, "after pwrite(2)");
	ret = 1;
unlock:
	page_unlock(a, page);
out:
	block_unshare(a, page / block_pages);
	note((uintptr_t)a->addr + page * psz, psz, 0, ret);
	return ret;
}

/* madvise(2) that leaves the content alone, at any time */
static int madvise_any(struct worker *w, struct area *a, int advice)
{
	unsigned long first, nr;
	int ret;

	pick_range(w, &first, &nr);
	ret = madvise(a->addr + first * psz, nr * psz, advice);
	note((uintptr_t)a->addr + first * psz, nr * psz, advice, ret ? -errno : 0);
	return !ret;
}

static int op_pageout(struct worker *w)
{
	return madvise_any(w, pick_area(w), MADV_PAGEOUT);
}

static int op_cold(struct worker *w)
{
	return madvise_any(w, pick_area(w), MADV_COLD);
}

static int op_willneed(struct worker *w)
{
	return madvise_any(w, pick_area(w), MADV_WILLNEED);
}

static int op_populate(struct worker *w)
{
	return madvise_any(w, pick_area(w), chance(w, 70) ? MADV_POPULATE_READ :
							    MADV_POPULATE_WRITE);
}

static int op_collapse(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long block = rnd(w, area_blocks);
	int ret;

	ret = madvise(a->addr + block * BLOCK, BLOCK, MADV_COLLAPSE);
	note((uintptr_t)a->addr + block * BLOCK, BLOCK, 0, ret ? -errno : 0);
	return !ret;
}

/*
 * All that splits VMAs leaves them too small for huge pages: make one of a block
 * again, and let it have one. Moved as a whole, it is looked at.
 */
static int op_huge_block(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long block = rnd(w, area_blocks);
	char *p = a->addr + block * BLOCK;
	struct uffdio_range range = { (uintptr_t)p, BLOCK };
	int ret;

	munlock(p, BLOCK);
	if (w->uffd >= 0)
		ioctl(w->uffd, UFFDIO_UNREGISTER, &range);
	madvise(p, BLOCK, MADV_UNMERGEABLE);
	madvise(p, BLOCK, MADV_HUGEPAGE);
	if (chance(w, 70))
		mbind_random(w, p, BLOCK, true);
	/* Without PROT_EXEC, as the others; not while somebody has it write-protected */
	if (!block_tryshare(a, block))
		return -1;
	mprotect(p, BLOCK, PROT_READ | PROT_WRITE);
	ret = madvise(p, BLOCK, MADV_COLLAPSE);
	note((uintptr_t)p, BLOCK, 0, ret ? -errno : 0);
	block_unshare(a, block);
	mbind_random(w, p, BLOCK, true);
	access_range(w, a, block * block_pages + rnd(w, block_pages), 16, 30);
	return !ret;
}

static int op_hugepage(struct worker *w)
{
	return madvise_any(w, pick_area(w), chance(w, 70) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

static int op_ksm(struct worker *w)
{
	return madvise_any(w, pick_private(w), chance(w, 70) ? MADV_MERGEABLE :
							       MADV_UNMERGEABLE);
}

/* Shared content survives it */
static int op_zap_shared(struct worker *w)
{
	return madvise_any(w, &g->areas[rnd(w, NR_SHARED)], MADV_DONTNEED);
}

static int op_mlock(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long first = rnd(w, area_pages - 64), nr = 1 + rnd(w, 64);
	int ret;

	if (chance(w, 40)) {
		ret = syscall(__NR_mlock2, a->addr + first * psz, nr * psz, chance(w, 30));
		note((uintptr_t)a->addr + first * psz, nr * psz, 1, ret ? -errno : 0);
	} else {
		first = 0;
		nr = area_pages;
		ret = munlock(a->addr, nr * psz);
		note((uintptr_t)a->addr, nr * psz, 0, ret ? -errno : 0);
	}
	return !ret;
}

static int op_mprotect_exec(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long first, nr;
	int ret;

	pick_range(w, &first, &nr);
	ret = mprotect(a->addr + first * psz, nr * psz,
		       PROT_READ | PROT_WRITE | (chance(w, 50) ? PROT_EXEC : 0));
	note((uintptr_t)a->addr + first * psz, nr * psz, 0, ret ? -errno : 0);
	return !ret;
}

static int op_soft_offline(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long page = rnd(w, area_pages);
	int ret;

	if (atomic_load(&g->soft_offlined) >= SOFT_OFFLINE_MAX || chance(w, 50))
		return -1;
	ret = madvise(a->addr + page * psz, psz, MADV_SOFT_OFFLINE);
	note((uintptr_t)a->addr + page * psz, psz, 0, ret ? -errno : 0);
	if (!ret)
		atomic_fetch_add(&g->soft_offlined, 1);
	return !ret;
}

static int op_move_pages(struct worker *w)
{
	struct area *a = &g->areas[rnd(w, 3) ? NR_SHARED + rnd(w, opt.procs * NR_PRIVATE) :
					       rnd(w, NR_SHARED)];
	int node = nodes[rnd(w, nr_nodes)], i, n = 1 + rnd(w, 64);
	unsigned long first = rnd(w, area_pages - n);
	int to[64], status[64];
	void *pages[64];
	long ret;

	for (i = 0; i < n; i++) {
		pages[i] = a->addr + (first + i) * psz;
		to[i] = chance(w, 80) ? node : nodes[rnd(w, nr_nodes)];
	}
	ret = syscall(__NR_move_pages, a->proc < 0 ? 0 : a->pid, n, pages,
		      chance(w, 90) ? to : NULL, status,
		      chance(w, 50) ? MPOL_MF_MOVE_ALL : MPOL_MF_MOVE);
	note((uintptr_t)pages[0], n * psz, node, ret);
	return ret >= 0;
}

static int op_migrate_pages(struct worker *w)
{
	unsigned long from[MASK_BITS / 64], to[MASK_BITS / 64];
	struct area *a = &g->areas[NR_SHARED + rnd(w, opt.procs * NR_PRIVATE)];
	long ret;

	random_mask(w, from);
	random_mask(w, to);
	ret = syscall(__NR_migrate_pages, a->pid, MASK_BITS, from, to);
	note(0, 0, from[0] << 32 | to[0], ret);
	return ret >= 0;
}

static int op_affinity(struct worker *w)
{
	cpu_set_t set;
	int cpu;

	if (chance(w, 30))
		return !sched_setaffinity(0, sizeof(all_cpus), &all_cpus);
	CPU_ZERO(&set);
	do {
		cpu = rnd(w, CPU_SETSIZE);
	} while (!CPU_ISSET(cpu, &all_cpus));
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

static int op_task_policy(struct worker *w)
{
	unsigned long mask[MASK_BITS / 64];
	static const int modes[] = { MPOL_PREFERRED, MPOL_INTERLEAVE, MPOL_PREFERRED_MANY };
	int mode = modes[rnd(w, ARRAY_SIZE(modes))];

	random_mask(w, mask);
	if (chance(w, 50))
		return !syscall(__NR_set_mempolicy, MPOL_DEFAULT, NULL, 0);
	return !syscall(__NR_set_mempolicy, mode, mask, MASK_BITS + 1);
}

/* Those who look walk the same page tables */
static int op_proc_files(struct worker *w)
{
	static const char * const names[] = {
		"numa_maps", "smaps_rollup", "smaps", "pagemap", "clear_refs",
	};
	struct area *a = &g->areas[NR_SHARED + rnd(w, opt.procs * NR_PRIVATE)];
	unsigned long which = rnd(w, ARRAY_SIZE(names)), i;
	char path[64];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", a->pid, names[which]);
	if (!strcmp(names[which], "clear_refs")) {
		ret = !write_text(path, "1");
	} else {
		fd = open(path, O_RDONLY);
		if (fd < 0)
			return 0;
		if (!strcmp(names[which], "pagemap"))
			ret = pread(fd, w->buf, block_pages * 8, ((uintptr_t)a->addr +
				    rnd(w, area_blocks) * BLOCK) / psz * 8) > 0;
		else
			for (i = 0; i < 64 && read(fd, w->buf, 4096) > 0; i++)
				ret = 1;
		close(fd);
	}
	note(which, 0, a->pid, ret);
	return ret;
}

/* userfaultfd, in its asynchronous modes, which resolve the faults by themselves */
static int op_uffd(struct worker *w)
{
	struct area *a = pick_area(w);
	unsigned long first, nr;
	bool rwp = chance(w, 40);
	int ret;

	if (w->uffd < 0)
		return -1;
	pick_in_block(w, rnd(w, area_blocks), &first, &nr);
	if (chance(w, 50)) {
		struct uffdio_register reg = {
			.range = { (uintptr_t)a->addr + first * psz, nr * psz },
			.mode = UFFDIO_REGISTER_MODE_WP,
		};

#ifdef UFFDIO_REGISTER_MODE_RWP
		if (rwp)
			reg.mode = UFFDIO_REGISTER_MODE_RWP;
#endif
		ret = ioctl(w->uffd, UFFDIO_REGISTER, &reg);
		note(reg.range.start, reg.range.len, reg.mode, ret ? -errno : 0);
		if (ret)
			return 0;
	}
	if (chance(w, 70)) {
#ifdef UFFDIO_RWPROTECT
		if (rwp) {
			struct uffdio_rwprotect p = {
				.range = { (uintptr_t)a->addr + first * psz, nr * psz },
				.mode = chance(w, 75) ? UFFDIO_RWPROTECT_MODE_RWP : 0,
			};

			ret = ioctl(w->uffd, UFFDIO_RWPROTECT, &p);
		} else
#endif
		{
			struct uffdio_writeprotect p = {
				.range = { (uintptr_t)a->addr + first * psz, nr * psz },
				.mode = chance(w, 75) ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
			};

			ret = ioctl(w->uffd, UFFDIO_WRITEPROTECT, &p);
		}
		note((uintptr_t)a->addr + first * psz, nr * psz, 100 + rwp, ret ? -errno : 0);
	} else {
		struct uffdio_range r = { (uintptr_t)a->addr + first * psz, nr * psz };

		ret = ioctl(w->uffd, UFFDIO_UNREGISTER, &r);
		note(r.start, r.len, 200, ret ? -errno : 0);
	}
	return !ret;
}

/* What follows has a block for itself */
static struct area *lock_some_block(struct worker *w, struct area *a, unsigned long *block)
{
	*block = rnd(w, area_blocks);
	return block_trylock(a, *block) ? a : NULL;
}

static void set_zero(struct area *a, unsigned long first, unsigned long nr)
{
	unsigned long i;

	for (i = first; i < first + nr; i++) {
		a->pages[i].gen = 0;
		a->pages[i].freeable = 0;
	}
}

static bool verify_some(struct worker *w, char *base, struct area *a, unsigned long first,
			unsigned long nr, const char *how)
{
	unsigned long i, n = nr < 32 ? nr : 32;

	for (i = 0; i < n; i++) {
		unsigned long page = first + (n == nr ? i : rnd(w, nr));

		if (!verify(base + (page - first) * psz, a, page, how))
			return false;
	}
	return true;
}

static int op_dontneed(struct worker *w)
{
	unsigned long block, first, nr;
	struct area *a = lock_some_block(w, pick_private(w), &block);
	bool guard = chance(w, 20);
	int ret;

	if (!a)
		return -1;
	/*
	 * Zapping leaves the userfaultfd-wp markers of a file's pages where they are,
	 * and MADV_GUARD_INSTALL tries again as long as it finds something. So it does
	 * not end if another worker has protected the range; in the kernels that lack
	 * MPOL_MF_LAZY as well.
	 */
	if (a->kind != ANON)
		guard = false;
	pick_in_block(w, block, &first, &nr);
	/* mlocked memory refuses, and then nothing may have changed up to there */
	munlock(a->addr + first * psz, nr * psz);
	if (guard) {
		ret = madvise(a->addr + first * psz, nr * psz, MADV_GUARD_INSTALL);
		spare_me(w, true);
		/* Also of those which it installed before it failed */
		if (madvise(a->addr + first * psz, nr * psz, MADV_GUARD_REMOVE))
			ret = -1;
		spare_me(w, false);
		if (ret && errno != EINVAL && !opt.fail)
			failure((uintptr_t)a->addr + first * psz, "guard regions: errno %d", errno);
	} else {
		ret = madvise(a->addr + first * psz, nr * psz, MADV_DONTNEED);
		if (ret && errno != EINVAL && !opt.fail)
			failure((uintptr_t)a->addr + first * psz, "MADV_DONTNEED: errno %d", errno);
	}
	/* An mlock() of somebody else may have come between: for half of the range */
	if (ret) {
		unsigned long i;

		for (i = first; i < first + nr; i++) {
			if (differs(a->addr + i * psz, a->id, i, 0) < 0) {
				a->pages[i].gen = 0;
				a->pages[i].freeable = 0;
			}
		}
	} else {
		set_zero(a, first, nr);
	}
	note((uintptr_t)a->addr + first * psz, nr * psz, guard, ret ? -errno : 0);
	verify_some(w, a->addr + first * psz, a, first, nr, "read, after MADV_DONTNEED");
	block_unlock(a, block);
	return !ret;
}

static int op_free(struct worker *w)
{
	unsigned long block, first, nr, i;
	struct area *a = lock_some_block(w, pick_anon(w), &block);
	int ret;

	if (!a)
		return -1;
	pick_in_block(w, block, &first, &nr);
	for (i = first; i < first + nr; i++)
		a->pages[i].freeable = 1;
	ret = madvise(a->addr + first * psz, nr * psz, MADV_FREE);
	note((uintptr_t)a->addr + first * psz, nr * psz, 0, ret ? -errno : 0);
	block_unlock(a, block);
	return !ret;
}

static int op_punch(struct worker *w)
{
	unsigned long block, first, nr;
	struct area *a = lock_some_block(w, &g->areas[rnd(w, NR_SHARED)], &block);
	int ret;

	if (!a)
		return -1;
	pick_in_block(w, block, &first, &nr);
	if (a->fd >= 0 && chance(w, 70)) {
		ret = fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				first * psz, nr * psz);
	} else {
		munlock(a->addr + first * psz, nr * psz);
		ret = madvise(a->addr + first * psz, nr * psz, MADV_REMOVE);
	}
	/* Of a mapping that somebody mlocks meanwhile nothing is removed, or a part */
	if (!ret) {
		set_zero(a, first, nr);
	} else {
		unsigned long i;

		for (i = first; i < first + nr; i++)
			if (differs(a->addr + i * psz, a->id, i, 0) < 0)
				a->pages[i].gen = 0;
	}
	note((uintptr_t)a->addr + first * psz, nr * psz, 0, ret ? -errno : 0);
	verify_some(w, a->addr + first * psz, a, first, nr, "read, after a hole was punched");
	block_unlock(a, block);
	return !ret;
}

static int op_truncate(struct worker *w)
{
	struct area *a = &g->areas[rnd(w, NR_SHARED)];
	unsigned long block = area_blocks - 1, first = block * block_pages;
	int ret;

	if (a->fd < 0 || !block_trylock(a, block))
		return -1;
	if (chance(w, 50))
		first += rnd(w, block_pages);
	ret = ftruncate(a->fd, first * psz);
	if (!ret) {
		set_zero(a, first, area_pages - first);
		spare_me(w, true);
		if (ftruncate(a->fd, area_pages * psz))
			failure((uintptr_t)a->addr, "ftruncate() back: errno %d", errno);
		spare_me(w, false);
		verify_some(w, a->addr + first * psz, a, first, area_pages - first,
			    "read, after truncation");
	}
	note((uintptr_t)a->addr + first * psz, (area_pages - first) * psz, 0, ret ? -errno : 0);
	block_unlock(a, block);
	return !ret;
}

/*
 * A range of several VMAs may be moved in part, if one of them refuses. What is
 * mapped at @to has been moved. A single page is moved or not.
 */
static void move_back(struct worker *w, char *from, char *to, unsigned long nr)
{
	const int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	unsigned char vec;
	unsigned long i;

	spare_me(w, true);
	if (mremap(to, nr * psz, nr * psz, flags, from) == MAP_FAILED) {
		for (i = 0; i < nr; i++) {
			if (mincore(to + i * psz, psz, &vec))
				continue;
			if (mremap(to + i * psz, psz, psz, flags, from + i * psz) == MAP_FAILED)
				failure((uintptr_t)from + i * psz,
					"mremap() back: errno %d", errno);
		}
	}
	if (mmap(to, nr * psz, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		failure((uintptr_t)from, "mmap() of a slot: errno %d", errno);
	spare_me(w, false);
}

/*
 * There and back again. The holes that it makes must not be filled by a mapping of
 * another thread: those who make any take mmap_lock.
 */
static int op_mremap(struct worker *w)
{
	unsigned long block, first, nr;
	struct area *a = lock_some_block(w, pick_area(w), &block);
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED, err = 0;
	bool dontunmap = chance(w, 50);
	char *from, *to;

	if (!a)
		return -1;
	pick_in_block(w, block, &first, &nr);
	from = a->addr + first * psz;
	to = w->slot + (first % block_pages) * psz;
	if (chance(w, 30))
		mbind_random(w, from, nr * psz, true);
	if (dontunmap)
		flags |= MREMAP_DONTUNMAP;

	pthread_rwlock_wrlock(&mmap_lock);
	/* Or move_back() would take what is left of the slot for what was moved */
	spare_me(w, true);
	if (munmap(to, nr * psz))
		failure((uintptr_t)to, "munmap() of a slot: errno %d", errno);
	spare_me(w, false);
	if (mremap(from, nr * psz, nr * psz, flags, to) == MAP_FAILED) {
		err = -errno;
	} else {
		verify_some(w, to, a, first, nr, "read, after mremap(2)");
		if (chance(w, 30))
			mbind_random(w, to, nr * psz, true);
		verify_some(w, to, a, first, nr, "read, after mremap(2)");
	}
	move_back(w, from, to, nr);
	pthread_rwlock_unlock(&mmap_lock);
	if (!atomic_load(&g->nr_failures))
		verify_some(w, from, a, first, nr, "read, after mremap(2) back");
	block_unlock(a, block);
	note((uintptr_t)from, nr * psz, dontunmap, err);
	return !err;
}

static int op_mprotect(struct worker *w)
{
	unsigned long block, first, nr;
	struct area *a = lock_some_block(w, pick_area(w), &block);
	int prot = chance(w, 50) ? PROT_NONE : PROT_READ;
	int ret;

	if (!a)
		return -1;
	pick_in_block(w, block, &first, &nr);
	if (chance(w, 50))
		mbind_random(w, a->addr + first * psz, nr * psz, true);
	ret = mprotect(a->addr + first * psz, nr * psz, prot);
	if (!ret) {
		if (chance(w, 50))
			mbind_random(w, a->addr + first * psz, nr * psz, true);
		if (prot == PROT_READ)
			verify_some(w, a->addr + first * psz, a, first, nr, "read, write-protected");
	}
	/* Also of a part that the call did before it failed */
	spare_me(w, true);
	if (mprotect(a->addr + first * psz, nr * psz, PROT_READ | PROT_WRITE))
		failure((uintptr_t)a->addr + first * psz, "mprotect() back: errno %d", errno);
	spare_me(w, false);
	if (!atomic_load(&g->nr_failures))
		verify_some(w, a->addr + first * psz, a, first, nr, "read, after mprotect(2)");
	note((uintptr_t)a->addr + first * psz, nr * psz, prot, ret ? -errno : 0);
	block_unlock(a, block);
	return !ret;
}

/* Another mapping of the same pages of a file, bound and read on its own */
static int op_second_mapping(struct worker *w)
{
	struct area *a = &g->areas[rnd(w, NR_SHARED)];
	unsigned long block = rnd(w, area_blocks), i;
	int ret = 0;
	char *p;

	if (a->fd < 0 || !block_tryshare(a, block))
		return -1;
	pthread_rwlock_rdlock(&mmap_lock);
	p = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, a->fd, block * BLOCK);
	pthread_rwlock_unlock(&mmap_lock);
	if (p == MAP_FAILED)
		goto out;
	mbind_random(w, p, BLOCK, true);
	for (i = 0; i < 16; i++) {
		unsigned long in_block = rnd(w, block_pages), page = block * block_pages + in_block;

		if (!page_trylock(a, page))
			continue;
		verify(p + in_block * psz, a, page, "read in a second mapping");
		page_unlock(a, page);
		ret = 1;
	}
	munmap(p, BLOCK);
out:
	block_unshare(a, block);
	note((uintptr_t)a->addr + block * BLOCK, BLOCK, (uintptr_t)p, ret);
	return ret;
}

/*
 * A child that has a copy: of content as it was at the fork. Nobody else writes to
 * it, so it needs no locks, which it could not take with it either.
 */
static int child_of_fork(struct worker *w, struct area *a, unsigned long block)
{
	unsigned long first = block * block_pages, i, rounds = 1 + rnd(w, 40);

	w->child = true;
	for (i = 0; i < rounds && !atomic_load(&g->stop); i++) {
		unsigned long n = rnd(w, block_pages), page = first + n, nr;
		char *p = a->addr + page * psz;

		switch (rnd(w, 8)) {
		case 0:
		case 1:
			nr = 1 + rnd(w, block_pages - n);
			mbind_random(w, p, nr * psz, true);
			break;
		case 2:
			madvise(p, psz * (1 + rnd(w, block_pages - n)), MADV_PAGEOUT);
			break;
		case 3:
		case 4:
			w->gens[n] = GEN_CHILD | (1 + rnd(w, 1000000));
			w->freeable[n] = 0;
			fill(p, a->id, page, w->gens[n]);
			/* fall through */
		default:
			for (nr = 0; nr < 16 && n + nr < block_pages; nr++)
				if (!verify_gen(p + nr * psz, a, page + nr, w->gens[n + nr],
						w->freeable[n + nr], "read"))
					return 1;
		}
	}
	for (i = 0; i < block_pages; i++)
		if (!verify_gen(a->addr + (first + i) * psz, a, first + i, w->gens[i],
				w->freeable[i], "last read"))
			return 1;
	return 0;
}

static int op_fork(struct worker *w)
{
	unsigned long block, i;
	struct area *a = lock_some_block(w, pick_private(w), &block);
	int status;
	pid_t pid;

	if (!a)
		return -1;
	for (i = 0; i < block_pages; i++) {
		w->gens[i] = a->pages[block * block_pages + i].gen;
		w->freeable[i] = a->pages[block * block_pages + i].freeable;
	}
	if (chance(w, 50))
		mbind_random(w, a->addr + block * BLOCK, BLOCK, true);
	pid = fork();
	if (!pid) {
		static struct worker copy;

		copy = *w;
		self = &copy;
		copy.rng ^= 0x5555555555555555ULL;
		_exit(child_of_fork(&copy, a, block));
	}
	note((uintptr_t)a->addr + block * BLOCK, BLOCK, pid, pid < 0 ? -errno : 0);
	block_unlock(a, block);
	if (pid < 0)
		return 0;
	for (i = 0; i < 8; i++)
		access_range(w, a, block * block_pages + rnd(w, block_pages), 1 + rnd(w, 32), 60);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
		failure((uintptr_t)a->addr + block * BLOCK, "a child of worker %d ended with %#x",
			w->nr, status);
	return 1;
}

/* For who touches what another thread was about to change when he was forked */
static void wait_for_the_end(int sig)
{
	for (;;)
		pause();
}

/* A process ends with marks left: by exec, by exit, by a signal */
static int op_exec_or_kill(struct worker *w)
{
	bool kill_it = chance(w, 50);
	unsigned long seed = rnd64(w) | 1;
	char arg[32];
	int status;
	pid_t pid;

	snprintf(arg, sizeof(arg), "%lu", seed);
	pid = fork();
	if (!pid) {
		char *argv[] = { "torture-child", "--child", arg, NULL }, *env[] = { NULL };
		struct area *a = pick_anon(w);

		/* Of all that was inherited. @w is not: it is the parent's, too. */
		self = NULL;
		sys_mbind(a->addr, area_pages * psz, MPOL_LOCAL, NULL,
			  MPOL_MF_MOVE | (lazy_supported && !opt.eager ? MPOL_MF_LAZY : 0));
		signal(SIGSEGV, wait_for_the_end);
		signal(SIGBUS, wait_for_the_end);
		if (kill_it)
			for (;;)
				*(volatile char *)(a->addr + rnd(w, area_pages) * psz);
		execve("/proc/self/exe", argv, env);
		_exit(errno == ENOMEM ? 0 : 3);
	}
	note(0, 0, pid, pid < 0 ? -errno : 0);
	if (pid < 0)
		return 0;
	if (kill_it) {
		usleep(rnd(w, 20000));
		kill(pid, SIGKILL);
	}
	if (waitpid(pid, &status, 0) != pid || opt.fail)
		return 1;	/* A new program may well die of lack of memory */
	if ((kill_it ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL : status != 0))
		failure(0, "a child of worker %d, %s, ended with %#x", w->nr,
			kill_it ? "killed" : "exec", status);
	return 1;
}

/* The program that they execute */
static int exec_child(unsigned long seed)
{
	static struct worker w;
	unsigned long i, n = 256;
	int status = 0;
	char *p;

	psz = sysconf(_SC_PAGESIZE);
	w.rng = seed;
	nr_nodes = read_list(NODE_DIR "has_memory", nodes, MAX_NODES);
	lazy_supported = !sys_mbind(NULL, 0, MPOL_LOCAL, NULL, MPOL_MF_MOVE | MPOL_MF_LAZY);
	p = mmap(NULL, n * psz, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return 0;
	for (i = 0; i < n; i++)
		fill(p + i * psz, 1, i, 7);
	mbind_random(&w, p, n * psz, true);
	for (i = 0; i < n / 2; i++)
		if (differs(p + i * psz, 1, i, 7) >= 0)
			status = 4;
	mbind_random(&w, p, n * psz, true);
	return status;
}

/*
 * The system: done by one process of its own, one after the other.
 */
static int sys_compact(struct worker *w)
{
	char path[64];

	if (chance(w, 30))
		return !write_text("/proc/sys/vm/compact_memory", "1");
	snprintf(path, sizeof(path), NODE_DIR "node%d/compact", nodes[rnd(w, nr_nodes)]);
	return !write_text(path, "1");
}

static int sys_drop_caches(struct worker *w)
{
	return !write_text("/proc/sys/vm/drop_caches", chance(w, 50) ? "1" : "3");
}

static int sys_numa_balancing(struct worker *w)
{
	static const char * const modes[] = { "0", "1", "1", "2" };

	return !write_text(NUMA_BALANCING, modes[rnd(w, ARRAY_SIZE(modes))]);
}

/* Off for a moment only, so that there is something to be done */
static int sys_switch(struct worker *w)
{
	if (write_text(LAZY_SWITCH, "false"))
		return 0;
	usleep(rnd(w, 20000));
	if (write_text(LAZY_SWITCH, "true"))
		failure(0, "cannot switch it on again: errno %d", errno);
	return 1;
}

static char swap_dev[64];

static int sys_swap(struct worker *w)
{
	int ret;

	if (!swap_dev[0])
		return -1;
	/* Out of order would be to leave it off */
	ret = swapoff(swap_dev);
	note(0, 0, 0, ret ? -errno : 0);
	if (ret)
		return 0;
	usleep(rnd(w, 100000));
	if (swapon(swap_dev, 0))
		failure(0, "swapon(): errno %d", errno);
	return 1;
}

static int sys_thp(struct worker *w)
{
	static const char * const modes[] = { "always", "madvise", "never" };

	if (chance(w, 50))
		return !write_text(THP_DIR "enabled", modes[rnd(w, 3)]);
	if (chance(w, 50))
		return !write_text(THP_DIR "hugepages-64kB/enabled", modes[rnd(w, 3)]);
	return !write_text(THP_DIR "khugepaged/scan_sleep_millisecs", chance(w, 50) ? "10" : "10000");
}

static int sys_ksm(struct worker *w)
{
	/* 2: everything is unmerged */
	static const char * const run[] = { "1", "1", "0", "2" };

	return !write_text(KSM_DIR "run", run[rnd(w, 4)]);
}

static int sys_cgroup(struct worker *w)
{
	int proc = rnd(w, opt.procs), from = rnd(w, 2);
	pid_t pid = g->areas[NR_SHARED + proc * NR_PRIVATE].pid;
	char path[128], val[64];
	int i, ret;

	if (!cgroup_dir[0])
		return -1;
	snprintf(path, sizeof(path), "%s/%d/", cgroup_dir, from);
	switch (rnd(w, 4)) {
	case 0:
		strcat(path, "cgroup.procs");
		snprintf(val, sizeof(val), "%d", pid);
		break;
	case 1:
		strcat(path, "cpuset.mems");
		i = rnd(w, nr_nodes + 1);
		if (i == nr_nodes || chance(w, 50))
			snprintf(val, sizeof(val), "\n");
		else
			snprintf(val, sizeof(val), "%d", nodes[i]);
		break;
	case 2:
		strcat(path, "memory.reclaim");
		snprintf(val, sizeof(val), "%luK", 64 + rnd(w, 2048));
		break;
	default:
		/* Not memory.max: that kills. Less than there is */
		strcpy(path + strlen(path), "memory.current");
		if (read_text(path, val, sizeof(val)))
			return 0;
		snprintf(val, sizeof(val), "%llu", strtoull(val, NULL, 10) / 8 * 7);
		snprintf(path, sizeof(path), "%s/%d/memory.high", cgroup_dir, from);
		ret = write_text(path, val);
		usleep(rnd(w, 20000));
		write_text(path, "max");
		note(0, 0, 0, ret);
		return !ret;
	}
	ret = write_text(path, val);
	note(0, 0, proc, ret);
	return !ret;
}

/* Offlining does not give up by itself: a signal ends it. */
static int write_with_timeout(const char *path, const char *val, int msec)
{
	int status, i;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(-write_text(path, val));
	if (pid < 0)
		return -EAGAIN;
	for (i = 0; i < msec / 10; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

static int sys_memory_block(struct worker *w)
{
	int blocks[128], nr, nr_blocks, block, node, ret;
	unsigned long size;
	char path[128], buf[32];

	if (read_text(MEMORY_DIR "block_size_bytes", buf, sizeof(buf)))
		return -1;
	size = strtoul(buf, NULL, 16);
	nr_blocks = read_list(MEMORY_DIR "online", blocks, ARRAY_SIZE(blocks));
	if (!nr_blocks) {
		/* There is no such list before v7: count them */
		for (nr = 0; nr < (int)ARRAY_SIZE(blocks); nr++) {
			snprintf(path, sizeof(path), MEMORY_DIR "memory%d", nr);
			if (!access(path, F_OK))
				blocks[nr_blocks++] = nr;
		}
	}
	if (nr_blocks < 2)
		return -1;
	block = blocks[rnd(w, nr_blocks)];
	/* The node of the block must remain with some memory */
	for (node = 0; node < nr_nodes; node++) {
		snprintf(path, sizeof(path), MEMORY_DIR "memory%d/node%d", block, nodes[node]);
		if (!access(path, F_OK))
			break;
	}
	if (node == nr_nodes || node_free_kb(nodes[node]) / 1024 <
				(size >> 20) + opt.megabytes / 2 + 32)
		return -1;
	snprintf(path, sizeof(path), MEMORY_DIR "memory%d/state", block);
	ret = write_with_timeout(path, "offline", 5000);
	note(block, 0, 0, ret);
	usleep(rnd(w, 200000));
	/* It may be offline although the write was interrupted */
	if (!read_text(path, buf, sizeof(buf)) && !strcmp(buf, "offline")) {
		ret = write_text(path, chance(w, 50) ? "online_movable" : "online");
		if (ret)
			ret = write_text(path, "online");
		if (ret)
			failure(0, "memory block %d does not come back: %d", block, ret);
	}
	return !ret;
}

static int sys_cpu(struct worker *w)
{
	char path[64];
	int cpu, ret;

	if (CPU_COUNT(&all_cpus) < 2 || chance(w, 50))
		return -1;
	do {
		cpu = 1 + rnd(w, CPU_SETSIZE - 1);
	} while (!CPU_ISSET(cpu, &all_cpus));
	snprintf(path, sizeof(path), CPU_DIR "cpu%d/online", cpu);
	ret = write_text(path, "0");
	note(cpu, 0, 0, ret);
	if (ret)
		return 0;
	usleep(rnd(w, 300000));
	ret = write_text(path, "1");
	if (ret)
		failure(0, "CPU %d does not come back: %d", cpu, ret);
	return !ret;
}

static struct op {
	const char *name;
	int (*fn)(struct worker *w);
	unsigned int weight;
	bool system;
	bool off;
} ops[] = {
	{ "lazy",		op_lazy, 120 },
	{ "bind_and_access",	op_bind_and_access, 150 },
	{ "access",		op_access, 250 },
	{ "eager",		op_eager, 25 },
	{ "pipe",		op_pipe, 40 },
	{ "vmsplice",		op_vmsplice, 30 },
	{ "longterm_pin",	op_longterm, 20 },
	{ "io_uring",		op_io_uring, 10 },
	{ "direct_io",		op_direct_io, 30 },
	{ "process_vm",		op_process_vm, 40 },
	{ "file_io",		op_file_io, 30 },
	{ "pageout",		op_pageout, 30 },
	{ "cold",		op_cold, 15 },
	{ "willneed",		op_willneed, 15 },
	{ "populate",		op_populate, 10 },
	{ "collapse",		op_collapse, 20 },
	{ "huge_block",		op_huge_block, 40 },
	{ "hugepage",		op_hugepage, 10 },
	{ "ksm",		op_ksm, 10 },
	{ "zap_shared",		op_zap_shared, 20 },
	{ "mlock",		op_mlock, 15 },
	{ "mprotect_exec",	op_mprotect_exec, 15 },
	{ "soft_offline",	op_soft_offline, 1 },
	{ "move_pages",		op_move_pages, 25 },
	{ "migrate_pages",	op_migrate_pages, 4 },
	{ "affinity",		op_affinity, 20 },
	{ "task_policy",	op_task_policy, 5 },
	{ "proc_files",		op_proc_files, 8 },
	{ "uffd",		op_uffd, 25 },
	{ "dontneed",		op_dontneed, 15 },
	{ "free",		op_free, 15 },
	{ "punch",		op_punch, 15 },
	{ "truncate",		op_truncate, 6 },
	{ "mremap",		op_mremap, 20 },
	{ "mprotect",		op_mprotect, 20 },
	{ "second_mapping",	op_second_mapping, 15 },
	{ "fork",		op_fork, 12 },
	{ "exec_or_kill",	op_exec_or_kill, 4 },

	{ "compact",		sys_compact, 20, true },
	{ "drop_caches",	sys_drop_caches, 10, true },
	{ "numa_balancing",	sys_numa_balancing, 20, true },
	{ "switch",		sys_switch, 15, true },
	{ "swapoff",		sys_swap, 8, true },
	{ "thp_settings",	sys_thp, 15, true },
	{ "ksm_run",		sys_ksm, 15, true },
	{ "cgroup",		sys_cgroup, 60, true },
	{ "memory_block",	sys_memory_block, 10, true },
	{ "cpu",		sys_cpu, 6, true },
};

static void run_op(struct worker *w, bool system)
{
	unsigned long sum = 0, n;
	uint64_t start;
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		if (ops[i].system == system && !ops[i].off)
			sum += ops[i].weight;
	if (!sum)
		return;
	n = rnd(w, sum);
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		if (ops[i].system != system || ops[i].off)
			continue;
		if (n < ops[i].weight)
			break;
		n -= ops[i].weight;
	}
	current_op = i;
	start = now_usec();
	atomic_store(&w->since, start);
	atomic_store(&w->op, i + 1);
	ret = ops[i].fn(w);
	atomic_store(&w->op, 0);
	atomic_fetch_add_explicit(&w->usec[i], now_usec() - start, memory_order_relaxed);
	atomic_fetch_add_explicit(ret > 0 ? &w->done[i] : ret ? &w->busy[i] : &w->failed[i], 1,
				  memory_order_relaxed);
}

/* A signal that nobody ordered */
static void on_signal(int sig, siginfo_t *info, void *context)
{
	failure((uintptr_t)info->si_addr, "%s worker %d got signal %d at %p, code %d, in %s",
		self && self->child ? "a child of" : "", self ? self->nr : -1, sig, info->si_addr,
		info->si_code, ops[current_op].name);
	_exit(100);
}

/* Asked where it is */
static void on_question(int sig, siginfo_t *info, void *context)
{
	char text[160];
	int n = 0;

#ifdef __x86_64__
	ucontext_t *uc = context;

	n = snprintf(text, sizeof(text), "# worker %d is at ip %#llx, sp %#llx, cr2 %#llx\n",
		     self ? self->nr : -1, (unsigned long long)uc->uc_mcontext.gregs[REG_RIP],
		     (unsigned long long)uc->uc_mcontext.gregs[REG_RSP],
		     (unsigned long long)uc->uc_mcontext.gregs[REG_CR2]);
#endif
	if (n > 0 && write(STDOUT_FILENO, text, n) != n)
		return;
}

static void catch_signals(void)
{
	struct sigaction ask = { .sa_sigaction = on_question, .sa_flags = SA_SIGINFO | SA_RESTART };

	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGUSR2, &ask, NULL);
}

static int open_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd;

	api.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
#ifdef UFFD_FEATURE_RWP_ASYNC
	api.features |= UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC;
#endif
	fd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (!ioctl(fd, UFFDIO_API, &api))
		return fd;
	close(fd);
	fd = syscall(__NR_userfaultfd, O_CLOEXEC);
	api = (struct uffdio_api){ .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC |
							  UFFD_FEATURE_WP_HUGETLBFS_SHMEM };
	if (fd >= 0 && !ioctl(fd, UFFDIO_API, &api))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Memory that is not tortured. What is shared is charged to the first process. */
static void *map_untouched(size_t size, bool shared)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       (shared ? MAP_SHARED | MAP_POPULATE : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		ksft_exit_fail_perror("mmap");
	return p;
}

static char *map_block_aligned(size_t size, int flags, int fd)
{
	char *p, *aligned;

	p = mmap(NULL, size + BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	aligned = (char *)(((uintptr_t)p + BLOCK - 1) & ~(BLOCK - 1));
	if (mmap(aligned, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED)
		return NULL;
	return aligned;
}

static void *worker_thread(void *arg)
{
	struct worker *w = arg;

	self = w;
	w->tid = syscall(__NR_gettid);
	if (opt.fail) {
		w->fail_fd = open("/proc/thread-self/make-it-fail", O_WRONLY | O_CLOEXEC);
		if (w->fail_fd < 0)
			failure(0, "make-it-fail does not open: errno %d", errno);
	}
	spare_me(w, false);
	while (!stopping())
		run_op(w, false);
	spare_me(w, true);
	if (w->ring_fd >= 0)
		close(w->ring_fd);
	return NULL;
}

static void verify_area(struct area *a)
{
	unsigned long i;

	for (i = 0; i < area_pages; i++)
		if (!verify(a->addr + i * psz, a, i, "last read"))
			return;
}

static int worker_process(int proc)
{
	pthread_t threads[MAX_THREADS];
	pthread_attr_t attr;
	int i, uffd;

	catch_signals();
	for (i = 0; i < NR_PRIVATE; i++) {
		struct area *a = &g->areas[NR_SHARED + proc * NR_PRIVATE + i];

		a->pid = getpid();
		a->fd = -1;
		if (a->kind == PRIVATE_FILE) {
			a->fd = memfd_create("private", 0);
			/* Half of it has pages of zeros to copy from, half has none */
			if (a->fd < 0 || ftruncate(a->fd, area_pages * psz) ||
			    fallocate(a->fd, 0, 0, area_pages * psz / 2))
				return 101;
			a->addr = map_block_aligned(area_pages * psz, MAP_PRIVATE, a->fd);
		} else {
			a->addr = map_block_aligned(area_pages * psz,
						    MAP_PRIVATE | MAP_ANONYMOUS, -1);
		}
		if (!a->addr)
			return 102;
	}

	uffd = open_uffd();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	for (i = 0; i < opt.threads; i++) {
		struct worker *w = &g->workers[proc * opt.threads + i];
		struct io_uring_params params = {};

		w->uffd = uffd;
		w->gup_fd = open(GUP_TEST, O_RDWR | O_CLOEXEC);
		w->ring_fd = syscall(__NR_io_uring_setup, 1, &params);
		w->dio_fd = opt.dio_dev ? open(opt.dio_dev, O_RDWR | O_DIRECT | O_CLOEXEC) : -1;
		w->slot = map_block_aligned(BLOCK, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		w->buf = map_untouched(64 * psz, false);
		w->gens = map_untouched(block_pages * sizeof(*w->gens), false);
		w->freeable = map_untouched(block_pages, false);
		if (!w->slot || pipe2(w->pipe, O_CLOEXEC))
			return 103;
	}
	/* All have to be there before anybody looks at others */
	atomic_fetch_add(&g->ready, 1);
	while (atomic_load(&g->ready) < opt.procs && !stopping())
		usleep(1000);

	/* Their stacks must not come where mremap() has left a hole */
	pthread_rwlock_rdlock(&mmap_lock);
	for (i = 0; i < opt.threads; i++)
		if (pthread_create(&threads[i], &attr, worker_thread,
				   &g->workers[proc * opt.threads + i]))
			return 104;
	pthread_rwlock_unlock(&mmap_lock);
	for (i = 0; i < opt.threads; i++)
		pthread_join(threads[i], NULL);

	/* Nobody else is left in this process; in others there may be */
	self = &g->workers[proc * opt.threads];
	atomic_fetch_add(&g->ready, 1);
	while (atomic_load(&g->ready) < 2 * opt.procs && !atomic_load(&g->nr_failures))
		usleep(1000);
	if (atomic_load(&g->nr_failures))
		return 0;
	for (i = 0; i < NR_PRIVATE; i++)
		verify_area(&g->areas[NR_SHARED + proc * NR_PRIVATE + i]);
	for (i = 0; i < NR_SHARED; i++)
		verify_area(&g->areas[i]);
	return 0;
}

static int system_process(void)
{
	struct worker *w = &g->workers[opt.procs * opt.threads];

	catch_signals();
	self = w;
	w->tid = syscall(__NR_gettid);
	while (atomic_load(&g->ready) < opt.procs && !stopping())
		usleep(1000);
	while (!stopping()) {
		run_op(w, true);
		usleep(rnd(w, 50000));
	}
	return 0;
}

/* What is missing in this kernel or machine is not done, and it is said */
static void without(const char *name, const char *why)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		if (strcmp(ops[i].name, name))
			continue;
		if (!ops[i].off)
			ksft_print_msg("without %s: %s\n", name, why);
		ops[i].off = true;
		return;
	}
	ksft_exit_fail_msg("there is no operation %s\n", name);
}

static bool is_on(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		if (!strcmp(ops[i].name, name))
			return !ops[i].off;
	return false;
}

static bool in_list(const char *list, const char *name)
{
	size_t len = strlen(name);
	const char *p = list;

	while ((p = strstr(p, name))) {
		if ((p == list || p[-1] == ',') && (!p[len] || p[len] == ','))
			return true;
		p += len;
	}
	return false;
}

static void find_swap(void)
{
	char line[256];
	FILE *f;

	f = fopen("/proc/swaps", "r");
	while (f && fgets(line, sizeof(line), f))
		if (line[0] == '/' && !swap_dev[0])
			sscanf(line, "%63s", swap_dev);
	if (f)
		fclose(f);
}

static void probe(void)
{
	char buf[64];
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		if (opt.without && in_list(opt.without, ops[i].name))
			without(ops[i].name, "as told");
		if (opt.only && !in_list(opt.only, ops[i].name))
			ops[i].off = true;
	}
	if (opt.quiet_system)
		for (i = 0; i < ARRAY_SIZE(ops); i++)
			if (ops[i].system)
				without(ops[i].name, "as told");
	find_swap();
	if (!swap_dev[0])
		without("swapoff", "there is no swap");
	fd = open_uffd();
	if (fd < 0)
		without("uffd", "no asynchronous userfaultfd");
	else
		close(fd);
	if (access(GUP_TEST, R_OK | W_OK))
		without("longterm_pin", "no " GUP_TEST);
	if (!opt.dio_dev)
		without("direct_io", "no --dio DEVICE:OFFSET");
	if (access(KSM_DIR "run", W_OK)) {
		without("ksm", "no KSM");
		without("ksm_run", "no KSM");
	}
	if (read_text(MEMORY_DIR "block_size_bytes", buf, sizeof(buf)))
		without("memory_block", "no memory hotplug");
	if (access(CPU_DIR "cpu1/online", W_OK))
		without("cpu", "no CPU hotplug, or one CPU");
	if (access("/proc/sys/vm/compact_memory", W_OK))
		without("compact", "no compaction");
	if (access(NUMA_BALANCING, W_OK))
		without("numa_balancing", "no NUMA balancing");
	if (access(LAZY_SWITCH, W_OK))
		without("switch", "no " LAZY_SWITCH);
	if (access(THP_DIR "enabled", W_OK)) {
		without("thp_settings", "no THP");
		without("collapse", "no THP");
		without("huge_block", "no THP");
		without("hugepage", "no THP");
	}
	/* EINVAL: compiled out; an address that is not mapped is EFAULT or ENOMEM */
	if (madvise(NULL, 4096, MADV_SOFT_OFFLINE) && errno == EINVAL)
		without("soft_offline", "no MEMORY_FAILURE");
	/* A memory block with a poisoned page goes offline, but not online again */
	if (is_on("soft_offline") && is_on("memory_block"))
		without(opt.seed & 1 ? "soft_offline" : "memory_block",
			"never both, and the seed decides");
	if (!cgroup_dir[0])
		without("cgroup", "no cgroup2 with memory and cpuset");
}

static void make_cgroups(void)
{
	char path[128];
	int i;

	if (access("/sys/fs/cgroup/cgroup.subtree_control", W_OK))
		return;
	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset +memory");
	if (mkdir("/sys/fs/cgroup/mof_torture", 0755) ||
	    write_text("/sys/fs/cgroup/mof_torture/cgroup.subtree_control", "+cpuset +memory")) {
		rmdir("/sys/fs/cgroup/mof_torture");
		return;
	}
	strcpy(cgroup_dir, "/sys/fs/cgroup/mof_torture");
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%d", cgroup_dir, i);
		mkdir(path, 0755);
	}
}

static void join_cgroup(int i)
{
	char path[128], pid[32];

	if (!cgroup_dir[0])
		return;
	snprintf(path, sizeof(path), "%s/%d/cgroup.procs", cgroup_dir, i);
	snprintf(pid, sizeof(pid), "%d", getpid());
	write_text(path, pid);
}

static void make_areas(void)
{
	static const enum kind shared[] = { MEMFD, TMPFS, SYSV };
	int i, id;

	for (i = 0; i < NR_SHARED + opt.procs * NR_PRIVATE; i++) {
		struct area *a = &g->areas[i];

		a->id = i;
		a->proc = i < NR_SHARED ? -1 : (i - NR_SHARED) / NR_PRIVATE;
		a->fd = -1;
		a->blocks = map_untouched(area_blocks * sizeof(*a->blocks), true);
		a->pages = map_untouched(area_pages * sizeof(*a->pages), true);
		if (i >= NR_SHARED) {
			a->kind = (i - NR_SHARED) % NR_PRIVATE ? PRIVATE_FILE : ANON;
			continue;
		}
		a->kind = shared[i];
		a->pid = getpid();
		switch (a->kind) {
		case MEMFD:
			a->fd = memfd_create("torture", 0);
			break;
		case TMPFS:
			a->fd = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
			/* Not all have it; it is as good */
			if (a->fd < 0)
				a->fd = memfd_create("torture", 0);
			break;
		default:
			id = shmget(IPC_PRIVATE, area_pages * psz, IPC_CREAT | 0600);
			if (id < 0)
				ksft_exit_fail_perror("shmget");
			/* An aligned place for it */
			a->addr = map_block_aligned(area_pages * psz,
						    MAP_PRIVATE | MAP_ANONYMOUS, -1);
			if (!a->addr || shmat(id, a->addr, SHM_REMAP) != a->addr)
				ksft_exit_fail_perror("shmat");
			shmctl(id, IPC_RMID, NULL);
			continue;
		}
		if (a->fd < 0 || ftruncate(a->fd, area_pages * psz))
			ksft_exit_fail_perror("file");
		a->addr = map_block_aligned(area_pages * psz, MAP_SHARED, a->fd);
		if (!a->addr)
			ksft_exit_fail_perror("mmap");
	}
}

static void drain(void)
{
	void *page = NULL;
	int node = 0, status;

	syscall(__NR_move_pages, 0, 0, &page, &node, &status, 0);
}

/* Wait for it to become true, as what is freed is freed behind our back */
static bool eventually_zero(unsigned long long (*fn)(void), int tries, unsigned long long *val)
{
	int i;

	for (i = 0; i < tries; i++) {
		drain();
		*val = fn();
		if (!*val)
			return true;
		usleep(100000);
	}
	return false;
}

static unsigned long long isolated(void)
{
	return vm_counter("nr_isolated_anon") + vm_counter("nr_isolated_file");
}

static char charges[512];	/* what there was, for the result */

static unsigned long long charged(void)
{
	static const char * const keys[] = {
		"anon", "shmem", "file", "swapcached", "inactive_anon", "active_anon",
		"unevictable",
	};
	unsigned long long sum = 0, n;
	unsigned int i, j;
	char path[128], buf[32];

	charges[0] = '\0';

	for (i = 0; i < 2; i++) {
		/* What an exit could not lock stays in the swap cache until then */
		snprintf(path, sizeof(path), "%s/%u/memory.reclaim", cgroup_dir, i);
		write_text(path, "64M");
		snprintf(path, sizeof(path), "%s/%u/memory.stat", cgroup_dir, i);
		for (j = 0; j < ARRAY_SIZE(keys); j++) {
			n = file_counter(path, keys[j]);
			sum += n;
			snprintf(charges + strlen(charges), sizeof(charges) - strlen(charges),
				 " %s %llu", keys[j], n);
		}
		snprintf(path, sizeof(path), "%s/%u/memory.swap.current", cgroup_dir, i);
		if (!read_text(path, buf, sizeof(buf))) {
			n = strtoull(buf, NULL, 10);
			sum += n;
			snprintf(charges + strlen(charges), sizeof(charges) - strlen(charges),
				 " swap %llu", n);
		}
	}
	return sum;
}

static unsigned long long mlock_before;

static unsigned long long mlocked(void)
{
	unsigned long long now = vm_counter("nr_mlock");

	return now > mlock_before ? now - mlock_before : mlock_before - now;
}

/* Pages that migrate on fault has made and that nobody has freed */
static unsigned long long owned(void)
{
	static char line[512];
	unsigned long long n = 0;
	FILE *f;

	f = fopen(PAGE_OWNER, "r");
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "migrate_on_fault"))
			n++;
	if (f)
		fclose(f);
	return n;
}

static void print_failures(int *printed)
{
	int n = atomic_load(&g->nr_failures);

	for (; *printed < n && *printed < MAX_FAILURES; (*printed)++) {
		if (!atomic_load(&g->failures[*printed].ready))
			usleep(100000);
		ksft_print_msg("FAILURE: %s\n", g->failures[*printed].text);
	}
}

/* The last that all did, to the pages in question if there are any */
static void print_history(uint64_t addr, int proc)
{
	int i, printed = 0;
	unsigned int j;

	ksft_print_msg("what was done%s, oldest first for each worker: usec, operation, range, argument, result\n",
		       addr ? " with this page, last" : " last");
	for (i = 0; i <= opt.procs * opt.threads; i++) {
		struct worker *w = &g->workers[i];
		unsigned int head = atomic_load(&w->head);

		for (j = head > RING ? head - RING : 0; j < head; j++) {
			struct event *e = &w->ring[j % RING];

			/* All processes have their memory at the same addresses */
			if (addr && proc >= 0 && w->proc != proc)
				continue;
			if (addr ? addr < e->addr || addr >= e->addr + e->len : head - j > 3)
				continue;
			ksft_print_msg("  %d: %llu %s %#llx+%#llx %#llx = %d\n", w->nr,
				       (unsigned long long)e->usec, ops[e->op].name,
				       (unsigned long long)e->addr, (unsigned long long)e->len,
				       (unsigned long long)e->arg, e->ret);
			if (++printed >= 400)
				return;
		}
	}
}

/* What keeps those who do not come to an end? Look at them twice. */
static void print_hung(void)
{
	static const char * const names[] = { "stat", "syscall", "stack" };
	char path[64], buf[2048], *p;
	int i, round, fd;
	unsigned int j;
	ssize_t n;

	for (round = 0; round < 2; round++) {
		for (i = 0; i <= opt.procs * opt.threads; i++) {
			struct worker *w = &g->workers[i];
			int op = atomic_load(&w->op);

			if (!op)
				continue;
			ksft_print_msg("worker %d, tid %d: in %s for %llu ms\n", i, w->tid,
				       ops[op - 1].name,
				       (unsigned long long)(now_usec() - w->since) / 1000);
			for (j = 0; j < ARRAY_SIZE(names); j++) {
				snprintf(path, sizeof(path), "/proc/%d/%s", w->tid, names[j]);
				fd = open(path, O_RDONLY);
				n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
				if (fd >= 0)
					close(fd);
				if (n <= 0)
					continue;
				buf[n] = '\0';
				for (p = strtok(buf, "\n"); p; p = strtok(NULL, "\n"))
					ksft_print_msg("  %s: %s\n", names[j], p);
			}
			/* It prints its registers */
			syscall(__NR_tkill, w->tid, SIGUSR2);
		}
		write_text("/proc/sysrq-trigger", "l");
		sleep(3);
	}
	write_text("/proc/sysrq-trigger", "w");
}

static void usage(void)
{
	printf("usage: migrate_on_fault_torture [OPTION]...\n"
	       "  --seconds N    how long (60)\n"
	       "  --seed N       where the random numbers start (the time)\n"
	       "  --procs N      processes (3)\n"
	       "  --threads N    threads of each (3)\n"
	       "  --mb N         memory to torture, in MiB (a quarter of the smallest node's)\n"
	       "  --dio DEV:OFF  O_DIRECT to this block device from this offset on, which is\n"
	       "                 overwritten\n"
	       "  --without A,B  leave operations out\n"
	       "  --only A,B     leave all others out\n"
	       "  --eager        never use MPOL_MF_LAZY, to compare\n"
	       "  --fail         have the kernel's fault injection fail what the workers do\n"
	       "  --no-owner     do not ask page_owner at the end, which takes a while\n"
	       "  --quiet        leave the system's settings alone\n");
	exit(KSFT_FAIL);
}

static const char *arg_of(char ***argv)
{
	if (!*++*argv)
		usage();
	return **argv;
}

static void parse(char **argv)
{
	opt.seed = time(NULL);
	while (*++argv) {
		if (!strcmp(*argv, "--seconds")) {
			opt.seconds = strtoul(arg_of(&argv), NULL, 0);
		} else if (!strcmp(*argv, "--seed")) {
			opt.seed = strtoul(arg_of(&argv), NULL, 0);
		} else if (!strcmp(*argv, "--procs")) {
			opt.procs = atoi(arg_of(&argv));
		} else if (!strcmp(*argv, "--threads")) {
			opt.threads = atoi(arg_of(&argv));
		} else if (!strcmp(*argv, "--mb")) {
			opt.megabytes = strtoul(arg_of(&argv), NULL, 0);
		} else if (!strcmp(*argv, "--dio")) {
			char *colon, *dev = strdup(arg_of(&argv));

			colon = strrchr(dev, ':');
			if (!colon)
				usage();
			*colon = '\0';
			opt.dio_dev = dev;
			opt.dio_offset = strtoull(colon + 1, NULL, 0);
		} else if (!strcmp(*argv, "--without")) {
			opt.without = arg_of(&argv);
		} else if (!strcmp(*argv, "--only")) {
			opt.only = arg_of(&argv);
		} else if (!strcmp(*argv, "--eager")) {
			opt.eager = true;
		} else if (!strcmp(*argv, "--fail")) {
			opt.fail = true;
		} else if (!strcmp(*argv, "--no-owner")) {
			opt.no_owner = true;
		} else if (!strcmp(*argv, "--quiet")) {
			opt.quiet_system = true;
		} else {
			usage();
		}
	}
	if (opt.procs < 1 || opt.procs > MAX_PROCS || opt.threads < 1 ||
	    opt.threads > MAX_THREADS || !opt.seconds)
		usage();
}

int main(int argc, char **argv)
{
	unsigned long long moved, val = 0, lazy = 0, verified = 0, core[3] = {};
	static const char * const core_names[] = { "lazy", "bind_and_access", "access" };
	int i, j, status, printed = 0, left, bad = 0;
	pid_t pids[MAX_PROCS + 1];
	unsigned long smallest = ~0UL;
	bool hung = false;

	if (argc == 3 && !strcmp(argv[1], "--child"))
		return exec_child(strtoul(argv[2], NULL, 0));
	parse(argv);
	/* The console is going to name it */
	prctl(PR_SET_NAME, "torture");
	ksft_print_header();
	psz = sysconf(_SC_PAGESIZE);
	block_pages = BLOCK / psz;
	if (geteuid())
		ksft_exit_skip("not root\n");
	nr_nodes = read_list(NODE_DIR "has_memory", nodes, MAX_NODES);
	if (nr_nodes < 2)
		ksft_exit_skip("fewer than 2 NUMA nodes have memory\n");
	ksft_set_plan(6);
	lazy_supported = !sys_mbind(NULL, 0, MPOL_LOCAL, NULL, MPOL_MF_MOVE | MPOL_MF_LAZY);
	if (!lazy_supported || opt.eager)
		ksft_print_msg("eager only: %s\n", opt.eager ? "as told" : "this kernel has no MPOL_MF_LAZY");
	sched_getaffinity(0, sizeof(all_cpus), &all_cpus);

	for (i = 0; i < nr_nodes; i++)
		if (node_free_kb(nodes[i]) < smallest)
			smallest = node_free_kb(nodes[i]);
	if (!opt.megabytes)
		opt.megabytes = smallest / 1024 / 4;
	area_blocks = opt.megabytes * 1024 * 1024 / BLOCK / (NR_SHARED + NR_PRIVATE * opt.procs);
	if (area_blocks < 2)
		area_blocks = 2;
	/* A word has 16 bits for the page */
	if (area_blocks > 65536 / block_pages)
		area_blocks = 65536 / block_pages;
	area_pages = area_blocks * block_pages;
	ksft_print_msg("seed %lu, %lu s, %d processes of %d threads, %d areas of %lu MiB, %d nodes\n",
		       opt.seed, opt.seconds, opt.procs, opt.threads,
		       NR_SHARED + NR_PRIVATE * opt.procs, area_blocks * BLOCK >> 20, nr_nodes);

	g = map_untouched(sizeof(*g) + (opt.procs * opt.threads + 1) * sizeof(*g->workers), true);
	make_cgroups();
	probe();
	make_areas();
	set(THP_DIR "enabled", "madvise");
	set(THP_DIR "shmem_enabled", "advise");
	set(THP_DIR "hugepages-64kB/enabled", "inherit");
	set(THP_DIR "hugepages-64kB/shmem_enabled", "inherit");
	set(THP_DIR "khugepaged/scan_sleep_millisecs", "100");
	set(THP_DIR "khugepaged/alloc_sleep_millisecs", "100");
	set(KSM_DIR "sleep_millisecs", "20");
	set(KSM_DIR "pages_to_scan", "200");
	set(KSM_DIR "run", "1");
	set(NUMA_BALANCING, "1");
	set("/sys/kernel/debug/sched/numa_balancing/scan_delay_ms", "100");
	set("/sys/kernel/debug/sched/numa_balancing/scan_period_min_ms", "100");
	moved = vm_counter("pgmigrate_success");
	mlock_before = vm_counter("nr_mlock");

	for (i = 0; i <= opt.procs * opt.threads; i++) {
		struct worker *w = &g->workers[i];

		w->nr = i;
		w->proc = i / opt.threads;
		w->fail_fd = -1;
		w->rng = (opt.seed << 16) + i;
		/* Neighbouring seeds give neighbouring sequences: stir */
		w->rng = rnd64(w);
	}
	deadline = now_usec() + opt.seconds * 1000000ULL;
	fflush(stdout);
	for (i = 0; i <= opt.procs; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			ksft_exit_fail_perror("fork");
		if (!pids[i]) {
			if (i < opt.procs)
				join_cgroup(i % 2);
			_exit(i < opt.procs ? worker_process(i) : system_process());
		}
	}

	/* Each may be in the middle of something slow when time is up */
	left = opt.procs + 1;
	while (left) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid > 0) {
			for (i = 0; i <= opt.procs; i++)
				if (pids[i] == pid)
					pids[i] = 0;
			left--;
			if (status) {
				bad++;
				failure(0, "process %d ended with %#x", pid, status);
			}
			continue;
		}
		print_failures(&printed);
		if (now_usec() > deadline + 90000000ULL + opt.seconds * 250000ULL) {
			hung = true;
			failure(0, "%d processes do not come to an end", left);
			print_hung();
			for (i = 0; i <= opt.procs; i++)
				if (pids[i])
					kill(pids[i], SIGKILL);
			break;
		}
		usleep(100000);
	}
	print_failures(&printed);
	if (atomic_load(&g->nr_failures))
		print_history(g->failures[0].addr & ~(psz - 1), g->failures[0].proc);

	for (i = 0; i < NR_SHARED; i++) {
		munmap(g->areas[i].addr, area_pages * psz);
		if (g->areas[i].fd >= 0)
			close(g->areas[i].fd);
	}
	restore_settings();
	moved = vm_counter("pgmigrate_success") - moved;

	/* What was done, in a line an operation: none is to be silent */
	for (j = 0; j < (int)ARRAY_SIZE(ops); j++) {
		unsigned long done = 0, failed = 0, busy = 0, usec = 0;
		unsigned int k;

		for (i = 0; i <= opt.procs * opt.threads; i++) {
			done += g->workers[i].done[j];
			failed += g->workers[i].failed[j];
			busy += g->workers[i].busy[j];
			usec += g->workers[i].usec[j];
		}
		for (k = 0; k < ARRAY_SIZE(core_names); k++)
			if (!strcmp(ops[j].name, core_names[k]))
				core[k] = done;
		if (!ops[j].off)
			ksft_print_msg("%-16s done %7lu  refused %7lu  not tried %7lu  in %6lu ms%s\n",
				       ops[j].name, done, failed, busy, usec / 1000,
				       done ? "" : "  <- never done");
	}
	for (i = 0; i <= opt.procs * opt.threads; i++)
		verified += g->workers[i].verified;
	lazy = core[0] + core[1];
	ksft_print_msg("%llu pages verified, %llu pages migrated, %d soft-offlined\n",
		       verified, moved, atomic_load(&g->soft_offlined));

	ksft_test_result(!atomic_load(&g->nr_failures), "content and ends of all workers\n");
	ksft_test_result(!hung && !bad && lazy && core[2] && verified > 1000 && moved,
			 "something was done: %llu binds, %llu pages verified\n", lazy, verified);
	ksft_test_result(eventually_zero(isolated, 200, &val),
			 "nothing isolated is left: %llu\n", val);
	ksft_test_result(eventually_zero(mlocked, 200, &val),
			 "nothing mlocked is left: %llu\n", val);
	if (cgroup_dir[0]) {
		left = eventually_zero(charged, 200, &val);
		ksft_test_result(left, "nothing charged is left:%s\n", charges);
		for (i = 0; i < 2; i++) {
			char path[128];

			snprintf(path, sizeof(path), "%s/%d", cgroup_dir, i);
			rmdir(path);
		}
		rmdir(cgroup_dir);
	} else {
		ksft_test_result_skip("nothing charged is left: no cgroup2\n");
	}
	if (opt.no_owner || access(PAGE_OWNER, R_OK))
		ksft_test_result_skip("no page moved by a fault is left: %s " PAGE_OWNER "\n",
				      opt.no_owner ? "not asked" : "no");
	else
		ksft_test_result(eventually_zero(owned, 2, &val),
				 "no page moved by a fault is left: %llu\n", val);
	ksft_finished();
}
