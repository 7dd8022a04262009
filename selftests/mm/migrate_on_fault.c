// SPDX-License-Identifier: GPL-2.0
/*
 * mbind(MPOL_MF_MOVE | MPOL_MF_LAZY): memory on a node its policy does not name
 * moves to the node its policy names when it is next touched, be it mapped or in
 * a cache (shmem's page cache, the swap cache) and mapped by nobody.
 *
 * Every test prepares pages on node "src", leaves them mapped or unmapped in a
 * cache, gives them a policy that names node "dst", touches them, and then looks
 * where they are (move_pages(2)) and what is in them:
 *
 *	          node src              node dst
 *	      +---------------+     +---------------+
 *	      | mapped, or    |     |               |	mbind(dst, MOVE | LAZY)
 *	      | cached        |     |               |	  ... nothing moves
 *	      +---------------+     +---------------+
 *	      |               | --> | mapped, same  |	touch
 *	      |               |     | content       |
 *	      +---------------+     +---------------+
 *
 * A kernel without MPOL_MF_LAZY fails all tests but the guards: where a test
 * is about placement, mbind_lazy() falls back to plain MPOL_MF_MOVE there, so
 * that it is placement that fails. Tests named guard_* say what must NOT change:
 * they pass with and without the feature.
 *
 * The tests change system settings (swap, THP, fault-around, cgroups) and put
 * them back in FIXTURE_TEARDOWN_PARENT, that is even if the test crashes. What
 * is not torn down, for want of time or because its setup did not finish, is put
 * back when the next test begins, or at the end.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include <asm-generic/mman.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/mempolicy.h>
#include <linux/mount.h>
#include <linux/userfaultfd.h>
#include <lib/test_hmm_uapi.h>
#include <mm/gup_test.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include "vm_util.h"
#include "hugepage_settings.h"

#define KPF_DIRTY	BIT_ULL(4)
#define KPF_SWAPBACKED	BIT_ULL(14)
#define KPF_KSM		BIT_ULL(21)

#define MAX_NODES	64
#define MASK_BITS	1024
#define NR_PAGES	32UL

#define NODE_DIR	"/sys/devices/system/node/"
#define WEIGHTS_DIR	"/sys/kernel/mm/mempolicy/weighted_interleave/"
#define THP_DIR		"/sys/kernel/mm/transparent_hugepage/"
#define FAULT_AROUND	"/sys/kernel/debug/fault_around_bytes"
#define VMA_READAHEAD	"/sys/kernel/mm/swap/vma_ra_enabled"
#define PAGE_CLUSTER	"/proc/sys/vm/page-cluster"
#define WMARK_SCALE	"/proc/sys/vm/watermark_scale_factor"
#define NUMA_BALANCING	"/proc/sys/kernel/numa_balancing"

/* How long to wait for a condition that I/O or a worker brings about. */
#define PATIENCE_SEC	10

/*
 * Syscalls. Not through libnuma, which is optional.
 */
struct node_mask {
	unsigned long bits[MASK_BITS / (8 * sizeof(long))];
};

static void mask_add(struct node_mask *mask, int node)
{
	mask->bits[node / (8 * sizeof(long))] |= 1UL << (node % (8 * sizeof(long)));
}

static struct node_mask mask_of(int node)
{
	struct node_mask mask = {};

	mask_add(&mask, node);
	return mask;
}

static int sys_mbind(void *addr, size_t len, int mode,
		     const struct node_mask *mask, unsigned int flags)
{
	return syscall(__NR_mbind, addr, len, mode, mask ? mask->bits : NULL,
		       mask ? MASK_BITS + 1 : 0, flags);
}

static int sys_set_mempolicy(int mode, const struct node_mask *mask)
{
	return syscall(__NR_set_mempolicy, mode, mask ? mask->bits : NULL,
		       mask ? MASK_BITS + 1 : 0);
}

static int sys_get_mempolicy(int *mode, struct node_mask *mask, void *addr)
{
	return syscall(__NR_get_mempolicy, mode, mask->bits, MASK_BITS, addr,
		       MPOL_F_ADDR);
}

static int sys_set_home_node(void *addr, size_t len, int node)
{
	return syscall(__NR_set_mempolicy_home_node, addr, len, node, 0);
}

static long sys_move_pages(unsigned long nr, void **pages, const int *nodes,
			   int *status, int flags)
{
	return syscall(__NR_move_pages, 0, nr, pages, nodes, status, flags);
}

/* A page in any CPU's LRU batch is not moved. move_pages() empties them all. */
static void drain_lru_batches(void)
{
	void *page = NULL;
	int node = 0, status;

	sys_move_pages(0, &page, &node, &status, 0);
}

/* A program detects the feature so. */
static bool lazy_supported(void)
{
	return !sys_mbind(NULL, 0, MPOL_LOCAL, NULL,
			  MPOL_MF_MOVE | MPOL_MF_LAZY);
}

/*
 * On a kernel that knows no MPOL_MF_LAZY ask for what it has, so that the test
 * goes on to measure placement.
 */
static int mbind_lazily(void *addr, size_t len, int mode,
			const struct node_mask *mask, unsigned int move)
{
	int ret;

	ret = sys_mbind(addr, len, mode, mask, move | MPOL_MF_LAZY);
	if (ret && errno == EINVAL && !lazy_supported())
		ret = sys_mbind(addr, len, mode, mask, move);
	return ret;
}

static int mbind_lazy(void *addr, size_t len, int mode,
		      const struct node_mask *mask)
{
	return mbind_lazily(addr, len, mode, mask, MPOL_MF_MOVE);
}

/*
 * What a test needs to know of the machine, and what it has to put back. Shared
 * by all processes of this program.
 */
struct setting {
	char path[128];
	char val[64];
};

static struct env {
	int nodes[MAX_NODES];		/* that have memory, most free first */
	int nr_nodes;
	int src;			/* where pages are put */
	int dst;			/* where the policy wants them */
	int cpu;			/* the only CPU the test runs on */

	/* for env_restore() */
	struct setting settings[96];
	int nr_settings;
	char swap_dev[128];		/* swapon() it if it is off */
	int swap_flags;
	char cgroup_root[64];
	char cgroup_parent[128];	/* rmdir() it, and the one within */
	char cgroup[136];
	char controller[16];		/* disable it */
	char trace[96];			/* rmdir() it */
} *env;

static int read_text(const char *path, char *buf, size_t len)
{
	if (!read_file(path, buf, len))
		return -EIO;
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

/* Unlike write_file() this does not end the test: it may have alternatives. */
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

/* Write a setting and remember what it was: the [word] if it is a choice. */
static int env_set(const char *path, const char *val)
{
	struct setting *s = &env->settings[env->nr_settings];
	char buf[256], *start, *end;
	int err;

	for (int i = 0; i < env->nr_settings; i++)
		if (!strcmp(env->settings[i].path, path))
			return write_text(path, val);
	if (env->nr_settings == ARRAY_SIZE(env->settings))
		return -ENOSPC;
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
	if (strlen(path) >= sizeof(s->path) || strlen(start) >= sizeof(s->val))
		return -ENAMETOOLONG;
	memcpy(s->path, path, strlen(path) + 1);
	memcpy(s->val, start, strlen(start) + 1);
	env->nr_settings++;
	return write_text(path, val);
}

static int env_set_num(const char *path, unsigned long val)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%lu", val);
	return env_set(path, buf);
}

/* Runs in the parent of the test, however that ended. */
static void env_restore(void)
{
	char buf[160];

	/* Before there are names of tasks again: see trace_start() */
	if (env->trace[0])
		rmdir(env->trace);
	env->trace[0] = '\0';
	while (env->nr_settings) {
		struct setting *s = &env->settings[--env->nr_settings];

		write_text(s->path, s->val);
	}
	if (env->swap_dev[0])
		swapon(env->swap_dev, env->swap_flags);
	if (env->cgroup_parent[0]) {
		rmdir(env->cgroup);
		rmdir(env->cgroup_parent);
	}
	if (env->controller[0]) {
		snprintf(buf, sizeof(buf), "%s/cgroup.subtree_control",
			 env->cgroup_root);
		write_text(buf, env->controller);
	}
	env->swap_dev[0] = '\0';
	env->cgroup_parent[0] = '\0';
	env->controller[0] = '\0';
}

static unsigned long node_meminfo(int node, const char *key)
{
	char path[128], line[256];
	unsigned long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), NODE_DIR "node%d/meminfo", node);
	f = fopen(path, "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		char *p = strstr(line, key);

		if (p) {
			kb = strtoul(p + strlen(key) + 1, NULL, 10);
			break;
		}
	}
	fclose(f);
	return kb;
}

/* Pages, over the zones of a node */
static unsigned long zone_sum(int node, const char *key)
{
	unsigned long sum = 0, val;
	char line[256], name[64];
	bool mine = false;
	int n;
	FILE *f;

	f = fopen("/proc/zoneinfo", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %d, zone", &n) == 1)
			mine = n == node;
		else if (mine && sscanf(line, " pages %63s %lu", name, &val) == 2 &&
			 !strcmp(name, key))
			sum += val;
		else if (mine && sscanf(line, " %63s %lu", name, &val) == 2 &&
			 !strcmp(name, key))
			sum += val;
	}
	if (f)
		fclose(f);
	return sum;
}

static unsigned long long proc_counter(const char *path, const char *key)
{
	unsigned long long val = 0;
	char line[256];
	FILE *f;

	f = fopen(path, "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		char *end = strpbrk(line, " \t");

		/* A key that ends in '*' is a prefix: add them up. */
		if (!end)
			continue;
		if (key[strlen(key) - 1] == '*') {
			if (!strncmp(line, key, strlen(key) - 1))
				val += strtoull(end, NULL, 10);
		} else if ((size_t)(end - line) == strlen(key) &&
			   !strncmp(line, key, strlen(key))) {
			val = strtoull(end, NULL, 10);
			break;
		}
	}
	fclose(f);
	return val;
}

static unsigned long long vm_counter(const char *key)
{
	return proc_counter("/proc/vmstat", key);
}

/* What reclaim has written out from the node; others may be short of memory, too */
static unsigned long long node_written(int node)
{
	char path[128];

	snprintf(path, sizeof(path), NODE_DIR "node%d/vmstat", node);
	return proc_counter(path, "nr_vmscan_write");
}

/* Others may have moved pages too, compaction for example: a lower bound. */
static unsigned long long pages_moved(void)
{
	return vm_counter("pgmigrate_success");
}

/* NUMA balancing's own statistics: they are not ours to count. */
static unsigned long long numa_balancing_counters(void)
{
	return vm_counter("numa_pte_updates") +
	       vm_counter("numa_huge_pte_updates") +
	       vm_counter("numa_hint_faults") +
	       vm_counter("numa_pages_migrated");
}

/* Bits of a list such as "0-3,5". */
static int read_node_list(const char *name, int *nodes, int max)
{
	char path[128], buf[256], *p = buf;
	int nr = 0;

	snprintf(path, sizeof(path), NODE_DIR "%s", name);
	if (read_text(path, buf, sizeof(buf)))
		return 0;
	while (*p) {
		long first, last;

		first = strtol(p, &p, 10);
		last = first;
		if (*p == '-')
			last = strtol(p + 1, &p, 10);
		for (; first <= last && nr < max; first++)
			nodes[nr++] = first;
		if (*p != ',')
			break;
		p++;
	}
	return nr;
}

static bool node_has_cpu(int node)
{
	int nodes[MAX_NODES], nr, i;

	nr = read_node_list("has_cpu", nodes, MAX_NODES);
	for (i = 0; i < nr; i++)
		if (nodes[i] == node)
			return true;
	return false;
}

static int node_of_cpu(int cpu)
{
	char path[128];
	int node;

	for (node = 0; node < MASK_BITS; node++) {
		snprintf(path, sizeof(path), NODE_DIR "node%d/cpu%d", node, cpu);
		if (!access(path, F_OK))
			return node;
	}
	return -1;
}

static cpu_set_t all_cpus;	/* that the program may run on */

static int pin_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/* A CPU of @node if we may run on one, else any. */
static int some_cpu(int node)
{
	int cpu, any = -1;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all_cpus))
			continue;
		if (node_of_cpu(cpu) == node)
			return cpu;
		if (any < 0)
			any = cpu;
	}
	return any;
}

/*
 * Memory that a test needs to be free on a node it uses, above the watermark up
 * to which pages are moved there.
 */
#define NODE_SPARE_KB	(24UL << 10)

static unsigned long node_spare_kb(int node)
{
	unsigned long free = node_meminfo(node, "MemFree:");
	unsigned long high = zone_sum(node, "high") * (psize() >> 10);

	return free > high ? free - high : 0;
}

/* Of this process: a child opens its own. */
static int pagemap_fd;
static int kpageflags_fd;

static void open_pagemap(void)
{
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	kpageflags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
}

#define NEED_SWAP	0x1

/*
 * Choose src and dst among the nodes with memory: dst without CPUs if there is
 * such a node, src as roomy as can be. Returns false after a SKIP.
 */
static bool env_init(struct __test_metadata *_metadata, unsigned int needs)
{
	unsigned long spare[MAX_NODES], kb;
	int nodes[MAX_NODES], nr, i, j;

	env_restore();
	memset(env, 0, sizeof(*env));
	if (geteuid())
		SKIP(return false, "needs root");
	nr = read_node_list("has_memory", nodes, MAX_NODES);
	for (i = 0; i < nr; i++) {
		kb = node_spare_kb(nodes[i]);
		if (kb < NODE_SPARE_KB)
			continue;
		for (j = env->nr_nodes++; j && spare[j - 1] < kb; j--) {
			spare[j] = spare[j - 1];
			env->nodes[j] = env->nodes[j - 1];
		}
		spare[j] = kb;
		env->nodes[j] = nodes[i];
	}
	if (env->nr_nodes < 2)
		SKIP(return false, "needs two nodes with %lu MiB to spare, found %d",
		     NODE_SPARE_KB >> 10, env->nr_nodes);

	env->dst = -1;
	for (i = 0; i < env->nr_nodes; i++)
		if (!node_has_cpu(env->nodes[i]))
			env->dst = env->nodes[i];
	env->src = env->nodes[0] == env->dst ? env->nodes[1] : env->nodes[0];
	if (env->dst < 0)
		env->dst = env->nodes[1];

	open_pagemap();
	if (pagemap_fd < 0 || kpageflags_fd < 0)
		SKIP(return false, "needs /proc/kpageflags (CONFIG_PROC_PAGE_MONITOR)");
	if ((needs & NEED_SWAP) && !proc_counter("/proc/meminfo", "SwapFree:"))
		SKIP(return false, "needs swap space");

	/* Pages that we touch are then in no other CPU's LRU batch. */
	env->cpu = some_cpu(env->src);
	ASSERT_EQ(0, pin_to_cpu(env->cpu));
	return true;
}

static uint64_t page_flags(unsigned long pfn)
{
	uint64_t flags = 0;

	/* No flags would read as: no writeback. */
	if (pageflags_get(pfn, kpageflags_fd, &flags))
		err(KSFT_FAIL, "/proc/kpageflags, page frame %lx", pfn);
	return flags;
}

struct deadline {
	struct timespec end;
};

static struct deadline deadline_in(int sec)
{
	struct deadline d;

	clock_gettime(CLOCK_MONOTONIC, &d.end);
	d.end.tv_sec += sec;
	return d;
}

/* One turn of a loop that waits for a condition: false when out of patience. */
static bool wait_more(struct deadline *d)
{
	struct timespec now, ms = { .tv_nsec = 1000000 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec > d->end.tv_sec ||
	    (now.tv_sec == d->end.tv_sec && now.tv_nsec > d->end.tv_nsec))
		return false;
	nanosleep(&ms, NULL);
	return true;
}

/* The end of a child that found nothing wrong */
static void wait_child(struct __test_metadata *_metadata, pid_t pid)
{
	int status;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
}

/*
 * An area under test. Its content is a function of the seed, the page and the
 * word, plus one in the last word of a page for each write that touched it.
 */
struct area {
	char *p;		/* the mapping that is touched */
	char *q;		/* a shared mapping of the object, often p */
	unsigned long nr;	/* pages */
	unsigned int order;	/* of its folios */
	uint64_t seed;
	unsigned int writes;	/* touches that wrote */
	bool reread;		/* it did not stay in the swap cache */
	int fd;			/* of the object, or -1 */
	unsigned long *pfn;	/* when last looked at */
	int *node;
};

static void area_init(struct area *a, unsigned long nr)
{
	static uint64_t seed;

	memset(a, 0, sizeof(*a));
	seed += 0x9e3779b97f4a7c15ULL;
	a->seed = seed ^ ((uint64_t)getpid() << 17);
	a->nr = nr;
	a->fd = -1;
	a->pfn = calloc(nr, sizeof(*a->pfn));
	a->node = calloc(nr, sizeof(*a->node));
}

static size_t area_size(struct area *a)
{
	return a->nr * psize();
}

static uint64_t pattern(struct area *a, unsigned long page, unsigned long word)
{
	return (a->seed + (page << 20) + word) * 0x2545f4914f6cdd1dULL;
}

static void fill_page(struct area *a, unsigned long page, void *buf)
{
	unsigned long words = psize() / sizeof(uint64_t);
	uint64_t *p = buf;

	for (unsigned long i = 0; i < words; i++)
		p[i] = pattern(a, page, i);
}

static void area_fill(struct area *a, char *p)
{
	for (unsigned long i = 0; i < a->nr; i++)
		fill_page(a, i, p + i * psize());
}

static int area_pwrite(struct area *a)
{
	char *buf = malloc(psize());
	int ret = 0;

	for (unsigned long i = 0; i < a->nr && !ret; i++) {
		fill_page(a, i, buf);
		if (pwrite(a->fd, buf, psize(), i * psize()) != psize())
			ret = -1;
	}
	free(buf);
	return ret;
}

static bool page_ok(struct area *a, unsigned long page, const void *data)
{
	unsigned long words = psize() / sizeof(uint64_t);
	const uint64_t *p = data;

	for (unsigned long i = 0; i < words; i++)
		if (p[i] != pattern(a, page, i) +
			    (i == words - 1 ? a->writes : 0))
			return false;
	return true;
}

/* How many pages do not hold what they should? */
static unsigned long area_bad_pages(struct area *a, char *p)
{
	unsigned long bad = 0;

	for (unsigned long i = 0; i < a->nr; i++)
		bad += !page_ok(a, i, p + i * psize());
	return bad;
}

/* Have the kernel read @nr pages of @pid, from @first on. */
static void read_by_kernel(struct __test_metadata *_metadata, struct area *a,
			   pid_t pid, unsigned long first, unsigned long nr)
{
	size_t len = nr * psize();
	char *buf = malloc(len);
	struct iovec local = { buf, len }, remote = { a->p + first * psize(), len };
	unsigned long i, bad = 0;

	ASSERT_EQ(len, syscall(__NR_process_vm_readv, pid, &local, 1, &remote, 1, 0));
	for (i = 0; i < nr; i++)
		bad += !page_ok(a, first + i, buf + i * psize());
	EXPECT_EQ(0, bad);
	free(buf);
}

static void touch_page(struct area *a, unsigned long page, bool write)
{
	uint64_t *last = (uint64_t *)(a->p + (page + 1) * psize()) - 1;

	if (write)
		__atomic_fetch_add(last, 1, __ATOMIC_RELAXED);
	else
		FORCE_READ(*last);
}

/* A write that changes nothing. */
static void write_first_word(struct area *a, unsigned long page)
{
	uint64_t *first = (uint64_t *)(a->p + page * psize());

	__atomic_store_n(first, pattern(a, page, 0), __ATOMIC_RELAXED);
}

static void poke_page(struct area *a, unsigned long page, bool write)
{
	if (write)
		write_first_word(a, page);
	else
		touch_page(a, page, false);
}

static void area_touch(struct area *a, bool write)
{
	for (unsigned long i = 0; i < a->nr; i++)
		touch_page(a, i, write);
	a->writes += write;
}

/* Where are the pages that are mapped at p? A negative node says why not. */
static void area_look(struct __test_metadata *_metadata, struct area *a,
		      char *p)
{
	void **pages = calloc(a->nr, sizeof(*pages));

	for (unsigned long i = 0; i < a->nr; i++) {
		pages[i] = p + i * psize();
		a->pfn[i] = pagemap_get_pfn(pagemap_fd, pages[i]);
	}
	ASSERT_EQ(0, sys_move_pages(a->nr, pages, NULL, a->node, 0));
	free(pages);
}

/* A copy of what was last seen. */
static unsigned long *area_pfns(struct area *a)
{
	size_t size = a->nr * sizeof(*a->pfn);

	return memcpy(malloc(size), a->pfn, size);
}

static unsigned long nr_on(struct area *a, unsigned long first,
			   unsigned long nr, int node)
{
	unsigned long n = 0;

	for (unsigned long i = first; i < first + nr; i++)
		n += a->node[i] == node;
	return n;
}

/* Say which pages are where, in runs, for a test that is about to fail. */
static void log_nodes(struct __test_metadata *_metadata, struct area *a)
{
	char buf[256];
	size_t len = 0;

	for (unsigned long i = 0, j; i < a->nr && len < sizeof(buf) - 32; i = j) {
		for (j = i; j < a->nr && a->node[j] == a->node[i]; j++)
			;
		len += snprintf(buf + len, sizeof(buf) - len, " %lu-%lu:%d",
				i, j - 1, a->node[i]);
	}
	TH_LOG("pages:node%s", buf);
}

#define EXPECT_RANGE_ON(first, nr, node)				\
	expect_range_on(_metadata, a, first, nr, node, __LINE__)

static void expect_range_on(struct __test_metadata *_metadata, struct area *a,
			    unsigned long first, unsigned long nr, int node,
			    int line)
{
	EXPECT_EQ(nr, nr_on(a, first, nr, node)) {
		TH_LOG("line %d: pages %lu-%lu are not all on node %d", line,
		       first, first + nr - 1, node);
		log_nodes(_metadata, a);
	}
}

/* Each page by itself. */
static void expect_nodes(struct __test_metadata *_metadata, struct area *a,
			 const int *want)
{
	unsigned long i, wrong = 0;

	for (i = 0; i < a->nr; i++)
		wrong += a->node[i] != want[i];
	EXPECT_EQ(0, wrong) {
		log_nodes(_metadata, a);
		memcpy(a->node, want, a->nr * sizeof(*want));
		TH_LOG("but want");
		log_nodes(_metadata, a);
	}
}

/* All pages are mapped at p, and on the node. */
#define EXPECT_ALL_ON(a, node)						\
	expect_all_on(_metadata, a, node, __LINE__)

static void expect_all_on(struct __test_metadata *_metadata, struct area *a,
			  int node, int line)
{
	area_look(_metadata, a, a->p);
	expect_range_on(_metadata, a, 0, a->nr, node, line);
}

#define EXPECT_CONTENT(a)						\
	expect_content(_metadata, a, __LINE__)

static void expect_content(struct __test_metadata *_metadata, struct area *a,
			   int line)
{
	EXPECT_EQ(0, area_bad_pages(a, a->p))
		TH_LOG("line %d: pages do not hold what was written", line);
}

static bool area_unmapped(struct area *a, char *p)
{
	for (unsigned long i = 0; i < a->nr; i++)
		if (pagemap_get_entry(pagemap_fd, p + i * psize()) &
		    PM_PRESENT)
			return false;
	return true;
}

static int bind_plain(struct area *a, int node)
{
	struct node_mask mask = mask_of(node);

	return sys_mbind(a->p, area_size(a), MPOL_BIND, &mask, 0);
}

static int bind_lazy(struct area *a, int node)
{
	struct node_mask mask = mask_of(node);

	return mbind_lazy(a->p, area_size(a), MPOL_BIND, &mask);
}

/* The ways: mbind() without the flag, a lazy policy replaced, no policy. */
#define NR_NOT_LAZY	3

static void bind_not_lazily(struct __test_metadata *_metadata, struct area *a,
			    int way)
{
	struct node_mask mask = mask_of(env->dst);

	switch (way) {
	case 0:
		ASSERT_EQ(0, sys_mbind(a->p, area_size(a), MPOL_BIND, &mask,
				       MPOL_MF_MOVE));
		break;
	case 1:
		ASSERT_EQ(0, bind_lazy(a, env->dst));
		ASSERT_EQ(0, bind_plain(a, env->dst));
		break;
	case 2:
		ASSERT_EQ(0, sys_mbind(a->p, area_size(a), MPOL_DEFAULT, NULL,
				       0));
		break;
	}
}

/* Is there one folio of the area's order at each multiple of that? */
static bool area_folios_whole(struct area *a)
{
	unsigned long nr = 1UL << a->order;

	if (!a->order)
		return true;
	for (unsigned long i = 0; i < a->nr; i++) {
		unsigned long head = a->pfn[i - i % nr];

		if (a->pfn[i] == -1UL || a->pfn[i] != head + i % nr ||
		    head % nr)
			return false;
		if (!(page_flags(a->pfn[i]) &
		      (i % nr ? KPF_COMPOUND_TAIL : KPF_COMPOUND_HEAD)))
			return false;
	}
	/* nor a larger one */
	return a->nr == nr ||
	       (page_flags(a->pfn[nr]) & KPF_COMPOUND_HEAD);
}

/*
 * Anonymous memory in the swap cache
 */

static int set_folio_order(bool shmem, unsigned int order, const char *val)
{
	char path[128];

	snprintf(path, sizeof(path), THP_DIR "hugepages-%ukB/%s",
		 (psize() >> 10) << order, shmem ? "shmem_enabled" : "enabled");
	return env_set(path, val);
}

/* How many anonymous folios there are of this order; of base pages there is no count. */
static unsigned long anon_folios(unsigned int order)
{
	char path[128];

	snprintf(path, sizeof(path), THP_DIR "hugepages-%ukB/stats/nr_anon",
		 (psize() >> 10) << order);
	return order ? read_num(path) : 0;
}

#define PMD_FOLIO	1

/* Of folios of @size, if not base pages (0). Returns false after a SKIP. */
static bool folio_size_order(struct __test_metadata *_metadata, size_t size,
			     unsigned int *order)
{
	*order = 0;
	if (!size)
		return true;
	if (size == PMD_FOLIO)
		size = read_pmd_pagesize();
	if (size < 2 * psize())
		SKIP(return false, "needs transparent huge pages");
	if (size > (4UL << 20))
		SKIP(return false, "a huge page of %zu MiB is too large",
		     size >> 20);
	*order = sz2ord(size, psize());
	return true;
}

/* Only folios of this order, in VMAs that ask. Returns false after a SKIP. */
static bool only_order(struct __test_metadata *_metadata, unsigned int order,
		       bool shmem)
{
	const char *advised = shmem ? "advise" : "madvise";
	unsigned long orders = 0;

	if (!order)
		return true;
	if (thp_available())
		orders = shmem ? thp_shmem_supported_orders() :
				 thp_supported_orders();
	if (!(orders & (1UL << order)))
		SKIP(return false, "the kernel has no folios of order %u",
		     order);
	for (unsigned int i = 0; i < NR_ORDERS; i++)
		if (orders & (1UL << i))
			ASSERT_EQ(0, set_folio_order(shmem, i, i == order ?
						     advised : "never"));
	return true;
}

/*
 * khugepaged holds references to and locks of folios that it looks at. With
 * nothing to do it ends, and writing the setting waits for that. Large folios
 * that exist are none of its business.
 */
static void stop_khugepaged(void)
{
	if (!thp_available())
		return;
	env_set(THP_DIR "enabled", "never");
	for (unsigned int i = 0; i < NR_ORDERS; i++) {
		set_folio_order(false, i, "never");
		set_folio_order(true, i, "never");
	}
}

/* In a gap of its own, so that the VMA is not merged with others. */
static void *mmap_aligned(size_t len, size_t align, int flags, int fd)
{
	char *p;

	p = mmap(NULL, len + align, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return p;
	p = (char *)(((uintptr_t)p + align - 1) & ~(align - 1));
	return mmap(p, len, PROT_READ | PROT_WRITE, MAP_FIXED | flags, fd, 0);
}

/* Private memory, aligned to its folios. */
static void anon_map(struct __test_metadata *_metadata, struct area *a,
		     unsigned long nr, unsigned int order)
{
	area_init(a, nr);
	a->order = order;
	a->p = mmap_aligned(area_size(a), (size_t)psize() << order,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1);
	ASSERT_NE(MAP_FAILED, a->p);
	a->q = a->p;
	madvise(a->p, area_size(a), order ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

/* Write it on @node. Returns false after a SKIP. */
static bool area_write_on(struct __test_metadata *_metadata, struct area *a,
			  int node)
{
	ASSERT_EQ(0, bind_plain(a, node));
	area_fill(a, a->p);
	area_look(_metadata, a, a->p);
	ASSERT_EQ(a->nr, nr_on(a, 0, a->nr, node))
		log_nodes(_metadata, a);
	if (!area_folios_whole(a))
		SKIP(return false, "got no folios of order %u on node %d",
		     a->order, node);
	return true;
}

static bool anon_populate(struct __test_metadata *_metadata, struct area *a,
			  unsigned long nr, unsigned int order, int node)
{
	anon_map(_metadata, a, nr, order);
	return area_write_on(_metadata, a, node);
}

/* How many pages are mapped, or in the swap cache or page cache? */
static unsigned long nr_cached(struct __test_metadata *_metadata, struct area *a)
{
	unsigned char *vec = malloc(a->nr);
	unsigned long n = 0;

	ASSERT_EQ(0, mincore(a->p, area_size(a), vec));
	for (unsigned long i = 0; i < a->nr; i++)
		n += vec[i] & 1;
	free(vec);
	return n;
}

/*
 * Page an anonymous area out, and leave it in the swap cache, on the node it is
 * on, written back. What reclaim freed is read again by MADV_WILLNEED, which
 * follows the policy that is still in force: so to the same node. Returns false
 * after a SKIP.
 */
static bool to_swap_cache(struct __test_metadata *_metadata, struct area *a)
{
	struct deadline d = deadline_in(PATIENCE_SEC);
	unsigned long i, cached;

	do {
		drain_lru_batches();
		ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_PAGEOUT));
	} while (!area_unmapped(a, a->p) && wait_more(&d));
	ASSERT_TRUE(area_unmapped(a, a->p))
		TH_LOG("MADV_PAGEOUT left pages mapped");

	/* The folios we knew: written back, or freed. */
	for (i = 0; i < a->nr; i++)
		while (page_flags(a->pfn[i]) & KPF_WRITEBACK)
			ASSERT_TRUE(wait_more(&d));
	for (i = cached = 0; i < a->nr; i++)
		cached += !!(page_flags(a->pfn[i]) & KPF_SWAPCACHE);
	a->reread = cached != a->nr;
	if (a->reread && a->order)
		SKIP(return false, "folios of order %u did not stay in the swap cache",
		     a->order);
	if (!area_folios_whole(a))
		SKIP(return false, "folios of order %u were split when swapped out",
		     a->order);

	ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_WILLNEED));
	do {
		cached = nr_cached(_metadata, a);
	} while (cached != a->nr && wait_more(&d));
	ASSERT_EQ(a->nr, cached);

	/* The end of writeback may have put folios into any CPU's batch. */
	drain_lru_batches();
	return true;
}

static bool anon_in_swap_cache(struct __test_metadata *_metadata,
			       struct area *a, unsigned long nr,
			       unsigned int order, int node)
{
	return anon_populate(_metadata, a, nr, order, node) &&
	       to_swap_cache(_metadata, a);
}

/*
 * shmem in the page cache
 */
enum backing {
	MEMFD,
	TMPFS,
	SYSV,
	SHARED_ANON,
	PRIVATE_MEMFD,		/* MAP_PRIVATE of a memfd */
	ANON,			/* no object at all */
};

enum writer {
	BY_SELF,		/* through the mapping that is later touched */
	BY_WRITE,		/* write(2) */
	BY_OTHER,		/* a process that has gone */
};

/* A file on a tmpfs that is mounted nowhere: nothing to clean up. */
static int open_tmpfs(const char *huge)
{
	int fs, mnt = -1, fd = -1;

	fs = syscall(__NR_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -1;
	if ((!huge || !syscall(__NR_fsconfig, fs, FSCONFIG_SET_STRING, "huge",
			       huge, 0)) &&
	    !syscall(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mnt = syscall(__NR_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	close(fs);
	if (mnt < 0)
		return -1;
	fd = openat(mnt, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	close(mnt);
	return fd;
}

/* An object without pages, and its mapping(s). Returns false after a SKIP. */
static bool shm_create(struct __test_metadata *_metadata, struct area *a,
		       enum backing backing, unsigned long nr, const char *huge)
{
	size_t len;
	int id;

	area_init(a, nr);
	len = area_size(a);

	switch (backing) {
	case MEMFD:
	case PRIVATE_MEMFD:
		a->fd = memfd_create("migrate_on_fault", MFD_CLOEXEC);
		if (a->fd < 0)
			SKIP(return false, "needs memfd_create(2)");
		break;
	case TMPFS:
		a->fd = open_tmpfs(huge);
		if (a->fd < 0)
			SKIP(return false, "cannot make a tmpfs: %s",
			     strerror(errno));
		break;
	case SYSV:
		id = shmget(IPC_PRIVATE, len, IPC_CREAT | 0600);
		if (id < 0)
			SKIP(return false, "needs SysV shared memory: %s",
			     strerror(errno));
		a->p = shmat(id, NULL, 0);
		shmctl(id, IPC_RMID, NULL);
		ASSERT_NE((void *)-1, a->p);
		break;
	case SHARED_ANON:
		a->p = mmap(NULL, len, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, a->p);
		break;
	case ANON:
		a->p = mmap_aligned(len, 4UL << 20,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1);
		ASSERT_NE(MAP_FAILED, a->p);
		break;
	}
	if (a->fd >= 0) {
		ASSERT_EQ(0, ftruncate(a->fd, len));
		/* Page 0 begins a fault-around window, and a huge page. */
		a->p = mmap_aligned(len, 4UL << 20, backing == PRIVATE_MEMFD ?
				    MAP_PRIVATE : MAP_SHARED, a->fd);
		ASSERT_NE(MAP_FAILED, a->p);
	}
	a->q = a->p;
	if (backing == PRIVATE_MEMFD) {
		a->q = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
			    a->fd, 0);
		ASSERT_NE(MAP_FAILED, a->q);
	}
	/* Whatever shmem_enabled says */
	madvise(a->q, len, MADV_NOHUGEPAGE);
	return true;
}

/* Unmap all pages of the object that this process has mapped. */
static void shm_unmap(struct __test_metadata *_metadata, struct area *a)
{
	ASSERT_EQ(0, madvise(a->q, area_size(a), MADV_DONTNEED));
	ASSERT_TRUE(area_unmapped(a, a->q));
	if (a->p != a->q) {
		ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_DONTNEED));
		ASSERT_TRUE(area_unmapped(a, a->p));
	}
}

/* Give the object its content, on @node, mapped by nobody. */
static void shm_populate(struct __test_metadata *_metadata, struct area *a,
			 enum writer by, int node)
{
	struct node_mask mask = mask_of(node);
	pid_t pid;

	ASSERT_EQ(0, sys_mbind(a->q, area_size(a), MPOL_BIND, &mask, 0));
	switch (by) {
	case BY_SELF:
		area_fill(a, a->q);
		break;
	case BY_WRITE:
		ASSERT_EQ(0, area_pwrite(a));
		break;
	case BY_OTHER:
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			area_fill(a, a->q);
			_exit(0);
		}
		wait_child(_metadata, pid);
		break;
	}
	force_read_pages(a->q, a->nr, psize());
	area_look(_metadata, a, a->q);
	ASSERT_EQ(a->nr, nr_on(a, 0, a->nr, node))
		log_nodes(_metadata, a);
	shm_unmap(_metadata, a);
}

/* Look at the object itself: maps it as it is, because no policy is lazy. */
static void shm_look(struct __test_metadata *_metadata, struct area *a,
		     int node)
{
	struct node_mask mask = mask_of(node);

	ASSERT_EQ(0, sys_mbind(a->q, area_size(a), MPOL_BIND, &mask, 0));
	force_read_pages(a->q, a->nr, psize());
	area_look(_metadata, a, a->q);
}

static int set_fault_around(bool on)
{
	return env_set_num(FAULT_AROUND, on ? 65536 : psize());
}

/*
 * Pages of folios of @size, mapped, on @node; two folios at least. Returns false
 * after a SKIP.
 */
static bool map_on(struct __test_metadata *_metadata, struct area *a,
		   enum backing backing, unsigned long nr, size_t size,
		   int node)
{
	unsigned int order;

	if (!folio_size_order(_metadata, size, &order) ||
	    !only_order(_metadata, order, backing != ANON) ||
	    !shm_create(_metadata, a, backing, nr > 2UL << order ? nr :
			2UL << order, NULL))
		return false;
	a->order = order;
	if (order)
		madvise(a->p, area_size(a), MADV_HUGEPAGE);
	if (!area_write_on(_metadata, a, node))
		return false;
	stop_khugepaged();
	return true;
}

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_minflt;
}

/* How many page faults does it take? */
static long poke_faults(struct area *a, unsigned long page, bool write)
{
	long faults = minor_faults();

	poke_page(a, page, write);
	return minor_faults() - faults;
}

static long touch_faults(struct area *a, bool write)
{
	long faults = minor_faults();

	area_touch(a, write);
	return minor_faults() - faults;
}

/*
 * Other processes
 */

/*
 * A cgroup in a cgroup of our own, so that nobody else is below that. Returns
 * false after a SKIP. Nobody is in it yet.
 */
static bool make_cgroup(struct __test_metadata *_metadata,
			const char *controller)
{
	char path[192], buf[256], enable[16], *line = NULL;
	size_t len = 0;
	FILE *f;

	f = fopen("/proc/mounts", "r");
	while (f && getline(&line, &len, f) > 0) {
		char dir[64], type[32];

		if (sscanf(line, "%*s %63s %31s", dir, type) == 2 &&
		    !strcmp(type, "cgroup2")) {
			snprintf(env->cgroup_root, sizeof(env->cgroup_root),
				 "%s", dir);
			break;
		}
	}
	free(line);
	if (f)
		fclose(f);
	if (!env->cgroup_root[0])
		SKIP(return false, "needs cgroup2 mounted");

	snprintf(path, sizeof(path), "%s/cgroup.controllers", env->cgroup_root);
	if (read_text(path, buf, sizeof(buf)) || !strstr(buf, controller))
		SKIP(return false, "needs the %s controller of cgroup2",
		     controller);
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control",
		 env->cgroup_root);
	snprintf(enable, sizeof(enable), "+%s", controller);
	if (read_text(path, buf, sizeof(buf)) || !strstr(buf, controller)) {
		if (write_text(path, enable))
			SKIP(return false, "cannot enable the %s controller",
			     controller);
		snprintf(env->controller, sizeof(env->controller), "-%s",
			 controller);
	}
	snprintf(env->cgroup_parent, sizeof(env->cgroup_parent),
		 "%s/migrate_on_fault_%d", env->cgroup_root, getpid());
	ASSERT_EQ(0, mkdir(env->cgroup_parent, 0755));
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control",
		 env->cgroup_parent);
	ASSERT_EQ(0, write_text(path, enable));
	snprintf(env->cgroup, sizeof(env->cgroup), "%s/test",
		 env->cgroup_parent);
	ASSERT_EQ(0, mkdir(env->cgroup, 0755));
	return true;
}

static int cgroup_write(const char *file, const char *val)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", env->cgroup, file);
	return write_text(path, val);
}

static unsigned long long cgroup_read(const char *file)
{
	char path[192], buf[64];

	snprintf(path, sizeof(path), "%s/%s", env->cgroup, file);
	if (read_text(path, buf, sizeof(buf)))
		return -1ULL;
	return strtoull(buf, NULL, 10);
}

static unsigned long long cgroup_counter(const char *file, const char *key)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", env->cgroup, file);
	return proc_counter(path, key);
}

static int enter_cgroup(void)
{
	return cgroup_write("cgroup.procs", "0");
}

/* A child touches an area, maybe in the cgroup, and finds it on @node. */
static void child_touches(struct __test_metadata *_metadata, struct area *a,
			  bool write, bool in_cgroup, int node)
{
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		open_pagemap();
		if (in_cgroup)
			ASSERT_EQ(0, enter_cgroup());
		area_touch(a, write);
		EXPECT_ALL_ON(a, node);
		EXPECT_CONTENT(a);
		_exit(_metadata->exit_code);
	}
	wait_child(_metadata, pid);
}

/* A child that keeps the first pages of an area mapped until end_holder(). */
struct holder {
	pid_t pid;
	int end;	/* closed: it may end */
};

static struct holder start_holder(struct __test_metadata *_metadata,
				  struct area *a, unsigned long nr, bool to_write)
{
	unsigned long i, bad = 0;
	struct area own = *a;
	int ready[2], end[2];
	struct holder h;
	char c = 0;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(end));
	h.pid = fork();
	ASSERT_LE(0, h.pid);
	if (!h.pid) {
		close(end[1]);
		/* Else it sees what the parent writes, and a is shared as well */
		if (to_write) {
			own.writes++;
			a = &own;
		}
		for (i = 0; i < nr; i++)
			touch_page(a, i, to_write);
		if (write(ready[1], &c, 1) != 1 || read(end[0], &c, 1) != 0)
			_exit(1);
		for (i = 0; i < nr; i++)
			bad += !page_ok(a, i, a->p + i * psize());
		_exit(!!bad);
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	h.end = end[1];
	return h;
}

static void end_holder(struct __test_metadata *_metadata, struct holder h)
{
	close(h.end);
	wait_child(_metadata, h.pid);
}

/*
 * The call
 */
FIXTURE(lazy_mbind)
{
	struct area area;
};

FIXTURE_SETUP(lazy_mbind)
{
	if (!env_init(_metadata, 0))
		return;
	area_init(&self->area, NR_PAGES);
	self->area.p = mmap(NULL, area_size(&self->area), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area.p);
	madvise(self->area.p, area_size(&self->area), MADV_NOHUGEPAGE);
}

FIXTURE_TEARDOWN_PARENT(lazy_mbind)
{
	env_restore();
}

/* An error says something only where the same call without it works. */
#define ASSERT_LAZY_WORKS() do {					\
	struct node_mask __mask = mask_of(env->dst);			\
									\
	ASSERT_EQ(0, sys_mbind(self->area.p, psize(), MPOL_BIND,	\
			       &__mask, MPOL_MF_MOVE | MPOL_MF_LAZY));	\
	ASSERT_EQ(0, sys_mbind(self->area.p, psize(), MPOL_DEFAULT,	\
			       NULL, 0));				\
} while (0)

#define EXPECT_MBIND(err, addr, len, mode, mask, flags) do {		\
	unsigned int __mode = mode, __flags = flags;			\
	int __ret = sys_mbind(addr, len, __mode, mask, __flags);	\
									\
	EXPECT_EQ(err, __ret ? errno : 0)				\
		TH_LOG("mode %#x, flags %#x", __mode, __flags);		\
} while (0)

TEST_F(lazy_mbind, zero_length_call_detects_support)
{
	EXPECT_TRUE(lazy_supported());
	EXPECT_MBIND(0, self->area.p, 0, MPOL_LOCAL, NULL,
		     MPOL_MF_MOVE | MPOL_MF_LAZY);
}

/* The policy is there at once, the pages are where they were. */
TEST_F(lazy_mbind, call_moves_nothing)
{
	struct node_mask mask = {}, want = mask_of(env->dst);
	struct area *a = &self->area;
	int mode;

	ASSERT_EQ(0, bind_plain(a, env->src));
	area_fill(a, a->p);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	EXPECT_ALL_ON(a, env->src);
	ASSERT_EQ(0, sys_get_mempolicy(&mode, &mask, a->p));
	EXPECT_EQ(MPOL_BIND, mode);
	EXPECT_EQ(0, memcmp(&mask, &want, sizeof(mask)));
	EXPECT_CONTENT(a);
}

TEST_F(lazy_mbind, lazy_without_move_is_einval)
{
	struct node_mask mask = mask_of(env->dst);

	ASSERT_LAZY_WORKS();
	EXPECT_MBIND(EINVAL, self->area.p, psize(), MPOL_BIND, &mask,
		     MPOL_MF_LAZY);
	EXPECT_MBIND(EINVAL, self->area.p, 0, MPOL_BIND, &mask, MPOL_MF_LAZY);
}

TEST_F(lazy_mbind, lazy_with_strict_is_einval)
{
	struct node_mask mask = mask_of(env->dst);

	ASSERT_LAZY_WORKS();
	EXPECT_MBIND(EINVAL, self->area.p, psize(), MPOL_BIND, &mask,
		     MPOL_MF_MOVE | MPOL_MF_LAZY | MPOL_MF_STRICT);
	EXPECT_MBIND(EINVAL, self->area.p, psize(), MPOL_BIND, &mask,
		     MPOL_MF_MOVE_ALL | MPOL_MF_LAZY | MPOL_MF_STRICT);
	EXPECT_MBIND(EINVAL, self->area.p, psize(), MPOL_BIND, &mask,
		     MPOL_MF_LAZY | MPOL_MF_STRICT);
}

TEST_F(lazy_mbind, lazy_with_default_policy_is_einval)
{
	ASSERT_LAZY_WORKS();
	EXPECT_MBIND(EINVAL, self->area.p, psize(), MPOL_DEFAULT, NULL,
		     MPOL_MF_MOVE | MPOL_MF_LAZY);
	EXPECT_MBIND(EINVAL, self->area.p, psize(), MPOL_DEFAULT, NULL,
		     MPOL_MF_MOVE_ALL | MPOL_MF_LAZY);
}

TEST_F(lazy_mbind, every_combination_of_flags)
{
	const int modes[] = { MPOL_DEFAULT, MPOL_BIND, MPOL_LOCAL };
	struct node_mask mask = mask_of(env->dst);
	unsigned int move = MPOL_MF_MOVE | MPOL_MF_MOVE_ALL;

	for (int i = 0; i < ARRAY_SIZE(modes); i++) {
		for (unsigned int flags = 0; flags < 16; flags++) {
			int want = 0;

			if ((flags & MPOL_MF_LAZY) &&
			    (!(flags & move) || (flags & MPOL_MF_STRICT) ||
			     modes[i] == MPOL_DEFAULT))
				want = EINVAL;
			EXPECT_MBIND(want, self->area.p, psize(), modes[i],
				     modes[i] == MPOL_BIND ? &mask : NULL, flags);
		}
	}
	/* and those that there are not */
	for (unsigned int bit = 4; bit < 32; bit++)
		EXPECT_MBIND(EINVAL, self->area.p, psize(), MPOL_BIND, &mask,
			     MPOL_MF_MOVE | MPOL_MF_LAZY | 1U << bit);
}

TEST_F(lazy_mbind, lazy_move_all_needs_cap_sys_nice)
{
	struct __user_cap_header_struct hdr = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct cap[2];
	struct node_mask mask = mask_of(env->dst);
	unsigned int lazy_all = MPOL_MF_MOVE_ALL | MPOL_MF_LAZY;

	ASSERT_LAZY_WORKS();
	EXPECT_MBIND(0, self->area.p, psize(), MPOL_BIND, &mask, lazy_all);
	EXPECT_MBIND(0, self->area.p, psize(), MPOL_BIND, &mask,
		     lazy_all | MPOL_MF_MOVE);

	ASSERT_EQ(0, syscall(__NR_capget, &hdr, cap));
	cap[CAP_TO_INDEX(CAP_SYS_NICE)].effective &= ~CAP_TO_MASK(CAP_SYS_NICE);
	ASSERT_EQ(0, syscall(__NR_capset, &hdr, cap));
	EXPECT_MBIND(EPERM, self->area.p, psize(), MPOL_BIND, &mask, lazy_all);
	EXPECT_MBIND(EPERM, self->area.p, psize(), MPOL_BIND, &mask,
		     lazy_all | MPOL_MF_MOVE);
	EXPECT_MBIND(0, self->area.p, psize(), MPOL_BIND, &mask,
		     MPOL_MF_MOVE | MPOL_MF_LAZY);
}

/*
 *	|  area  | hole |  area  |	EFAULT, and neither part has a policy
 */
TEST_F(lazy_mbind, range_with_hole_is_efault_and_changes_nothing)
{
	struct node_mask mask = mask_of(env->dst), got = {};
	unsigned int lazy = MPOL_MF_MOVE | MPOL_MF_LAZY;
	char *p = self->area.p;
	size_t len = area_size(&self->area);
	int mode;

	ASSERT_LAZY_WORKS();
	ASSERT_EQ(0, munmap(p + 8 * psize(), 8 * psize()));
	EXPECT_MBIND(EFAULT, p, len, MPOL_BIND, &mask, lazy);
	/* it begins in the hole, it ends in the hole, it is the hole */
	EXPECT_MBIND(EFAULT, p + 12 * psize(), 12 * psize(), MPOL_BIND, &mask,
		     lazy);
	EXPECT_MBIND(EFAULT, p, 12 * psize(), MPOL_BIND, &mask, lazy);
	EXPECT_MBIND(EFAULT, p + 8 * psize(), 8 * psize(), MPOL_BIND, &mask,
		     lazy);

	ASSERT_EQ(0, sys_get_mempolicy(&mode, &got, p));
	EXPECT_EQ(MPOL_DEFAULT, mode);
	ASSERT_EQ(0, sys_get_mempolicy(&mode, &got, p + 16 * psize()));
	EXPECT_EQ(MPOL_DEFAULT, mode);
	ASSERT_EQ(0, sys_get_mempolicy(&mode, &got, p + len - psize()));
	EXPECT_EQ(MPOL_DEFAULT, mode);

	/* Both parts are there and fine. */
	EXPECT_MBIND(0, p, 8 * psize(), MPOL_BIND, &mask, lazy);
	EXPECT_MBIND(0, p + 16 * psize(), 16 * psize(), MPOL_BIND, &mask, lazy);
}

TEST_F(lazy_mbind, bad_arguments_are_einval)
{
	unsigned int lazy = MPOL_MF_MOVE | MPOL_MF_LAZY;
	struct node_mask mask = mask_of(env->dst), none = {}, got = {};
	struct node_mask beyond = mask_of(MASK_BITS - 1);
	char *p = self->area.p;
	int mode;

	ASSERT_LAZY_WORKS();
	/* start not aligned, range that wraps */
	EXPECT_MBIND(EINVAL, p + 1, psize(), MPOL_BIND, &mask, lazy);
	EXPECT_MBIND(EINVAL, p, -(size_t)psize(), MPOL_BIND, &mask, lazy);
	/* modes and their masks */
	EXPECT_MBIND(EINVAL, p, psize(), MPOL_BIND, &none, lazy);
	EXPECT_MBIND(EINVAL, p, psize(), MPOL_INTERLEAVE, &none, lazy);
	EXPECT_MBIND(EINVAL, p, psize(), MPOL_LOCAL, &mask, lazy);
	EXPECT_MBIND(EINVAL, p, psize(), 42, &mask, lazy);
	EXPECT_MBIND(EINVAL, p, psize(), MPOL_BIND, &beyond, lazy);
	EXPECT_MBIND(EINVAL, p, psize(), MPOL_BIND | MPOL_F_STATIC_NODES |
		     MPOL_F_RELATIVE_NODES, &mask, lazy);

	ASSERT_EQ(0, sys_get_mempolicy(&mode, &got, p));
	EXPECT_EQ(MPOL_DEFAULT, mode);
}

TEST_F(lazy_mbind, preferred_without_nodes_is_local)
{
	struct node_mask none = {};
	int mode;

	EXPECT_MBIND(0, self->area.p, area_size(&self->area), MPOL_PREFERRED,
		     &none, MPOL_MF_MOVE | MPOL_MF_LAZY);
	ASSERT_EQ(0, sys_get_mempolicy(&mode, &none, self->area.p));
	EXPECT_EQ(MPOL_LOCAL, mode);
}

/* The flag is the mbind call's: no mode or flag of set_mempolicy() is lazy. */
TEST_F(lazy_mbind, guard_set_mempolicy_is_not_lazy)
{
	struct node_mask mask = mask_of(env->dst);

	EXPECT_EQ(-1, sys_set_mempolicy(MPOL_BIND | MPOL_MF_LAZY, &mask));
	EXPECT_EQ(EINVAL, errno);
	for (int bit = 4; bit < 13; bit++) {
		EXPECT_EQ(-1, sys_set_mempolicy(MPOL_BIND | 1 << bit, &mask));
		EXPECT_EQ(EINVAL, errno);
	}
}

/* The policy that numa_maps shows for the VMA that holds addr. */
static void numa_maps_policy(void *addr, char *policy, size_t len)
{
	unsigned long start;
	char line[1024];
	FILE *f;

	policy[0] = '\0';
	f = fopen("/proc/self/numa_maps", "r");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		char *p;

		start = strtoul(line, &p, 16);
		if (start > (unsigned long)addr)
			break;
		p[strcspn(p, "\n")] = '\0';
		snprintf(policy, len, "%.*s", (int)strcspn(p + 1, " "), p + 1);
	}
	fclose(f);
}

#define EXPECT_NUMA_MAPS(addr, fmt, ...) do {				\
	char __want[64], __got[64];					\
									\
	snprintf(__want, sizeof(__want), fmt, ##__VA_ARGS__);		\
	numa_maps_policy(addr, __got, sizeof(__got));			\
	EXPECT_STREQ(__want, __got);					\
} while (0)

TEST_F(lazy_mbind, numa_maps_shows_lazy_and_get_mempolicy_does_not)
{
	struct node_mask mask = mask_of(env->dst), two = mask;
	struct node_mask first = mask_of(0), got = {};
	size_t len = area_size(&self->area);
	int n0 = env->src < env->dst ? env->src : env->dst;
	int n1 = env->src + env->dst - n0;
	const char *sep = n1 == n0 + 1 ? "-" : ",";
	char *p = self->area.p;
	int mode;

	mask_add(&two, env->src);
	ASSERT_EQ(0, mbind_lazy(p, len, MPOL_BIND, &mask));
	EXPECT_NUMA_MAPS(p, "bind=lazy:%d", env->dst);
	ASSERT_EQ(0, sys_get_mempolicy(&mode, &got, p));
	EXPECT_EQ(MPOL_BIND, mode);

	ASSERT_EQ(0, mbind_lazy(p, len, MPOL_LOCAL, NULL));
	EXPECT_NUMA_MAPS(p, "local=lazy");
	ASSERT_EQ(0, sys_get_mempolicy(&mode, &got, p));
	EXPECT_EQ(MPOL_LOCAL, mode);

	ASSERT_EQ(0, mbind_lazy(p, len, MPOL_INTERLEAVE | MPOL_F_STATIC_NODES,
				&two));
	EXPECT_NUMA_MAPS(p, "interleave=static|lazy:%d%s%d", n0, sep, n1);
	ASSERT_EQ(0, sys_get_mempolicy(&mode, &got, p));
	EXPECT_EQ(MPOL_INTERLEAVE | MPOL_F_STATIC_NODES, mode);

	ASSERT_EQ(0, mbind_lazy(p, len, MPOL_PREFERRED | MPOL_F_RELATIVE_NODES,
				&first));
	ASSERT_EQ(0, sys_get_mempolicy(&mode, &got, p));
	EXPECT_EQ(MPOL_PREFERRED | MPOL_F_RELATIVE_NODES, mode);

	/* A policy without the flag replaces it whole. */
	ASSERT_EQ(0, sys_mbind(p, len, MPOL_BIND, &mask, 0));
	EXPECT_NUMA_MAPS(p, "bind:%d", env->dst);
	ASSERT_EQ(0, mbind_lazy(p, len, MPOL_BIND, &mask));
	EXPECT_NUMA_MAPS(p, "bind=lazy:%d", env->dst);
	ASSERT_EQ(0, sys_mbind(p, len, MPOL_BIND, &mask, MPOL_MF_MOVE));
	EXPECT_NUMA_MAPS(p, "bind:%d", env->dst);
	ASSERT_EQ(0, sys_mbind(p, len, MPOL_DEFAULT, NULL, 0));
	EXPECT_NUMA_MAPS(p, "default");
}

/*
 *	| bind | bind=lazy | bind |	same mode, same node: still three VMAs,
 *	| bind                    |	until the middle is not lazy any more
 */
TEST_F(lazy_mbind, lazy_and_plain_policy_do_not_merge)
{
	struct node_mask mask = mask_of(env->dst);
	size_t third = 8 * psize();
	struct procmap_fd maps;
	char *p = self->area.p;

	ASSERT_EQ(0, sys_mbind(p, 3 * third, MPOL_BIND, &mask, 0));
	ASSERT_EQ(0, mbind_lazy(p + third, third, MPOL_BIND, &mask));
	EXPECT_NUMA_MAPS(p, "bind:%d", env->dst);
	EXPECT_NUMA_MAPS(p + third, "bind=lazy:%d", env->dst);
	EXPECT_NUMA_MAPS(p + 2 * third, "bind:%d", env->dst);

	ASSERT_EQ(0, sys_mbind(p + third, third, MPOL_BIND, &mask, 0));
	EXPECT_NUMA_MAPS(p + third, "bind:%d", env->dst);
	ASSERT_EQ(0, open_self_procmap(&maps));
	ASSERT_TRUE(find_vma_procmap(&maps, p + third));
	EXPECT_EQ((unsigned long)p, maps.query.vma_start);
	EXPECT_EQ((unsigned long)p + 3 * third, maps.query.vma_end);
	close_procmap(&maps);

	/* and lazy ones with each other do */
	ASSERT_EQ(0, mbind_lazy(p, third, MPOL_BIND, &mask));
	ASSERT_EQ(0, mbind_lazy(p + third, third, MPOL_BIND, &mask));
	ASSERT_EQ(0, open_self_procmap(&maps));
	ASSERT_TRUE(find_vma_procmap(&maps, p));
	EXPECT_EQ((unsigned long)p, maps.query.vma_start);
	EXPECT_EQ((unsigned long)p + 2 * third, maps.query.vma_end);
	close_procmap(&maps);
	EXPECT_NUMA_MAPS(p, "bind=lazy:%d", env->dst);
}

TEST_F(lazy_mbind, child_inherits_lazy_policy)
{
	struct node_mask mask = mask_of(env->dst);
	pid_t pid;

	ASSERT_EQ(0, mbind_lazy(self->area.p, area_size(&self->area),
				MPOL_BIND, &mask));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		char got[64], want[64];

		snprintf(want, sizeof(want), "bind=lazy:%d", env->dst);
		numa_maps_policy(self->area.p, got, sizeof(got));
		_exit(!!strcmp(want, got));
	}
	wait_child(_metadata, pid);
}

/*
 * The swap cache, all folio sizes, touched by reads and by writes
 */
FIXTURE(swap_cache)
{
	unsigned int order;
	unsigned long nr;
};

FIXTURE_VARIANT(swap_cache)
{
	size_t folio_size;	/* 0: base pages, or PMD_FOLIO */
	bool write;
};

FIXTURE_VARIANT_ADD(swap_cache, base_read) { .write = false };
FIXTURE_VARIANT_ADD(swap_cache, base_write) { .write = true };
FIXTURE_VARIANT_ADD(swap_cache, mthp_64k_read) { .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(swap_cache, mthp_64k_write)
	{ .folio_size = 64 << 10, .write = true };
FIXTURE_VARIANT_ADD(swap_cache, pmd_read) { .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(swap_cache, pmd_write)
	{ .folio_size = PMD_FOLIO, .write = true };

FIXTURE_SETUP(swap_cache)
{
	if (!env_init(_metadata, NEED_SWAP) ||
	    !folio_size_order(_metadata, variant->folio_size, &self->order))
		return;
	self->nr = NR_PAGES;
	if (self->nr < 1UL << self->order)
		self->nr = 1UL << self->order;
}

FIXTURE_TEARDOWN_PARENT(swap_cache)
{
	env_restore();
}

/* Large folios move whole, and their pages count one each. */
TEST_F(swap_cache, cached_folio_moves_when_touched)
{
	unsigned long long moved, numa;
	struct area area, *a = &area;

	if (!only_order(_metadata, self->order, false) ||
	    !anon_in_swap_cache(_metadata, a, self->nr, self->order, env->src))
		return;
	stop_khugepaged();
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	ASSERT_TRUE(area_unmapped(a, a->p));
	moved = pages_moved();
	numa = numa_balancing_counters();
	area_touch(a, variant->write);
	EXPECT_LE(moved + a->nr, pages_moved());
	EXPECT_EQ(numa, numa_balancing_counters());
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_TRUE(area_folios_whole(a));
	EXPECT_CONTENT(a);
}

/*
 * After fork() both page tables hold the same swap entries, and both VMAs the
 * lazy policy. The folio moves for whom touches it first; it is mapped then.
 */
TEST_F(swap_cache, forked_entry_moves_for_first_toucher)
{
	struct area area, *a = &area;

	if (!only_order(_metadata, self->order, false) ||
	    !anon_in_swap_cache(_metadata, a, self->nr, self->order, env->src))
		return;
	stop_khugepaged();
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	child_touches(_metadata, a, variant->write, false, env->dst);

	/* What the child wrote is the child's own. */
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

TEST_F_TIMEOUT(swap_cache, guard_stays_without_lazy_policy, 120)
{
	struct area area[NR_NOT_LAZY], *a;
	int i;

	if (!only_order(_metadata, self->order, false))
		return;
	for (i = 0; i < NR_NOT_LAZY; i++)
		if (!anon_in_swap_cache(_metadata, &area[i], self->nr,
					self->order, env->src))
			return;
	stop_khugepaged();
	for (i = 0; i < NR_NOT_LAZY; i++) {
		a = &area[i];
		bind_not_lazily(_metadata, a, i);
		area_touch(a, variant->write);
		EXPECT_ALL_ON(a, env->src);
		EXPECT_CONTENT(a);
	}
}

/* A folio that is where its policy wants it is not copied. */
TEST_F(swap_cache, guard_placed_folio_keeps_its_pfn)
{
	struct area area, *a = &area;
	unsigned long *pfn;

	if (!only_order(_metadata, self->order, false) ||
	    !anon_populate(_metadata, a, self->nr, self->order, env->dst))
		return;
	pfn = area_pfns(a);
	if (!to_swap_cache(_metadata, a))
		return;
	if (a->reread)
		SKIP(return, "pages did not stay in the swap cache");
	stop_khugepaged();
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, variant->write);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_EQ(0, memcmp(pfn, a->pfn, a->nr * sizeof(*pfn)));
	EXPECT_CONTENT(a);
	free(pfn);
}

/*
 * The swap cache, cases for which one folio size is enough
 */
FIXTURE(swapped)
{
};

FIXTURE_SETUP(swapped)
{
	env_init(_metadata, NEED_SWAP);
}

FIXTURE_TEARDOWN_PARENT(swapped)
{
	env_restore();
}

/* The policy is a promise for the next touch, not for a neighbour's. */
TEST_F(swapped, untouched_pages_stay)
{
	struct area area, *a = &area;
	int want[NR_PAGES];
	unsigned long i;

	if (!anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	for (i = 0; i < a->nr; i += 2)
		touch_page(a, i, false);
	ASSERT_EQ(0, bind_plain(a, env->dst));
	area_touch(a, false);
	area_look(_metadata, a, a->p);
	for (i = 0; i < a->nr; i++)
		want[i] = i % 2 ? env->src : env->dst;
	expect_nodes(_metadata, a, want);
	EXPECT_CONTENT(a);
}

/* mlock() faults the range in: that is a touch. */
TEST_F(swapped, mlock_moves)
{
	struct area area, *a = &area;

	if (!anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	ASSERT_EQ(0, mlock(a->p, area_size(a)));
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	ASSERT_EQ(0, munlock(a->p, area_size(a)));
}

/* So is an access that the kernel makes for the process itself. */
TEST_F(swapped, kernel_access_moves)
{
	struct area area, *a = &area;

	if (!anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	read_by_kernel(_metadata, a, getpid(), 0, a->nr);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* Whoever looks in from outside gets the content, but is not who touches. */
TEST_F(swapped, guard_read_by_another_process_leaves_pages)
{
	struct area area, *a = &area;
	int ready[2];
	pid_t pid;

	/* Before there is anything to share */
	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(ready[1]);
		ASSERT_EQ(sizeof(*a), read(ready[0], a, sizeof(*a)));
		read_by_kernel(_metadata, a, getppid(), 0, a->nr);
		_exit(_metadata->exit_code);
	}
	if (!anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	ASSERT_EQ(sizeof(*a), write(ready[1], a, sizeof(*a)));
	wait_child(_metadata, pid);
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
}

/*
 *	swap slots:	| mine | mine | its | mine | mine | its | ...
 *
 * Swap readahead follows the slots and reads the neighbours under the policy of
 * the page that faulted: so some of "its" pages come in to the wrong node. (Two
 * faults in adjacent slots make the kernel read ahead.)
 */
TEST_F(swapped, page_read_in_by_neighbours_readahead_moves)
{
	struct deadline d = deadline_in(PATIENCE_SEC);
	struct area mine, its;
	unsigned long i, cached;
	size_t page = psize();

	if (!make_cgroup(_metadata, "memory"))
		return;
	ASSERT_EQ(0, enter_cgroup());
	/* By slot, not by address: what a rotating disk gets anyway. */
	env_set(VMA_READAHEAD, "false");
	env_set(PAGE_CLUSTER, "3");

	if (!anon_populate(_metadata, &mine, 2 * NR_PAGES, 0, env->src) ||
	    !anon_populate(_metadata, &its, NR_PAGES, 0, env->src))
		return;
	drain_lru_batches();
	for (i = 0; i < NR_PAGES; i++) {
		ASSERT_EQ(0, madvise(mine.p + 2 * i * page, page, MADV_PAGEOUT));
		ASSERT_EQ(0, madvise(mine.p + (2 * i + 1) * page, page,
				     MADV_PAGEOUT));
		ASSERT_EQ(0, madvise(its.p + i * page, page, MADV_PAGEOUT));
	}
	ASSERT_TRUE(area_unmapped(&mine, mine.p));
	ASSERT_TRUE(area_unmapped(&its, its.p));
	/* Out of the swap cache too: reclaim takes what is written back. */
	do {
		cgroup_write("memory.reclaim", "1M");
		cached = nr_cached(_metadata, &mine) + nr_cached(_metadata, &its);
	} while (cached && wait_more(&d));
	if (cached)
		SKIP(return, "%lu of %lu pages would not leave the swap cache",
		     cached, 3 * NR_PAGES);

	/* Mine come to src, and so does what is read along with them. */
	area_touch(&mine, false);
	d = deadline_in(1);
	while (!nr_cached(_metadata, &its))
		if (!wait_more(&d))
			SKIP(return, "the kernel read nothing ahead");
	drain_lru_batches();

	ASSERT_EQ(0, bind_lazy(&its, env->dst));
	area_touch(&its, false);
	EXPECT_ALL_ON(&its, env->dst);
	EXPECT_ALL_ON(&mine, env->src);
	EXPECT_CONTENT(&its);
	EXPECT_CONTENT(&mine);
}

/* The folio of a child that has it mapped is the child's business too. */
TEST_F(swapped, guard_folio_mapped_by_child_stays)
{
	struct area area, *a = &area;
	struct holder holder;

	if (!anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	holder = start_holder(_metadata, a, a->nr, false);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
	end_holder(_metadata, holder);
}

/*
 * There is exactly one swap device, and nobody else needs it. From now on it is
 * swapped on again when the test ends. Returns false after a SKIP.
 */
static bool only_swap_device(struct __test_metadata *_metadata)
{
	unsigned long used = 0;
	char line[256], name[sizeof(env->swap_dev)] = "";
	int nr = 0, prio = -1;
	FILE *f;

	f = fopen("/proc/swaps", "r");
	while (f && fgets(line, sizeof(line), f))
		nr += sscanf(line, "%127s %*s %*u %lu %d", name, &used, &prio) == 3;
	if (f)
		fclose(f);
	if (nr != 1)
		SKIP(return false, "needs exactly one swap device, found %d", nr);
	if (used > (64UL << 10))
		SKIP(return false, "%lu KiB of swap are in use", used);
	env->swap_flags = prio < 0 ? 0 : SWAP_FLAG_PREFER |
			  ((prio & SWAP_FLAG_PRIO_MASK) << SWAP_FLAG_PRIO_SHIFT);
	memcpy(env->swap_dev, name, sizeof(name));
	return true;
}

/* swapoff maps the pages itself: a touch does not have to find them cached. */
TEST_F(swapped, guard_swapoff_keeps_content)
{
	struct area area, *a = &area;

	if (!only_swap_device(_metadata) ||
	    !anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	touch_page(a, 0, false);
	ASSERT_EQ(0, swapoff(env->swap_dev));
	EXPECT_CONTENT(a);
	area_touch(a, true);
	EXPECT_CONTENT(a);
	ASSERT_EQ(0, swapon(env->swap_dev, env->swap_flags));
}

struct swap_toggler {
	int cpu;
	int err;
	bool done;
};

static void *toggle_swap(void *arg)
{
	struct swap_toggler *t = arg;

	pin_to_cpu(t->cpu);
	for (int i = 0; i < 3 && !t->err; i++)
		if (swapoff(env->swap_dev) ||
		    swapon(env->swap_dev, env->swap_flags))
			t->err = errno;
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	return NULL;
}

TEST_F(swapped, guard_swapoff_meanwhile_keeps_content)
{
	struct swap_toggler t = { .cpu = env->cpu };
	struct area area, *a = &area;
	pthread_t thread;

	if (!only_swap_device(_metadata) ||
	    !anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	/* on another CPU if there is one */
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all_cpus) && cpu != env->cpu)
			t.cpu = cpu;

	ASSERT_EQ(0, pthread_create(&thread, NULL, toggle_swap, &t));
	while (!__atomic_load_n(&t.done, __ATOMIC_ACQUIRE)) {
		area_touch(a, true);
		madvise(a->p, area_size(a), MADV_PAGEOUT);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, t.err);
	EXPECT_CONTENT(a);
}

/*
 * shmem, all its forms, touched by reads and by writes, with and without
 * fault-around
 */
FIXTURE(shmem)
{
	struct area area;
};

FIXTURE_VARIANT(shmem)
{
	enum backing backing;
	bool write;
	bool fault_around;
};

FIXTURE_VARIANT_ADD(shmem, memfd_read_around)
	{ .backing = MEMFD, .fault_around = true };
FIXTURE_VARIANT_ADD(shmem, memfd_read_single) { .backing = MEMFD };
FIXTURE_VARIANT_ADD(shmem, memfd_write_around)
	{ .backing = MEMFD, .write = true, .fault_around = true };
FIXTURE_VARIANT_ADD(shmem, memfd_write_single) { .backing = MEMFD, .write = true };
FIXTURE_VARIANT_ADD(shmem, tmpfs_read_around)
	{ .backing = TMPFS, .fault_around = true };
FIXTURE_VARIANT_ADD(shmem, tmpfs_read_single) { .backing = TMPFS };
FIXTURE_VARIANT_ADD(shmem, tmpfs_write_around)
	{ .backing = TMPFS, .write = true, .fault_around = true };
FIXTURE_VARIANT_ADD(shmem, tmpfs_write_single) { .backing = TMPFS, .write = true };
FIXTURE_VARIANT_ADD(shmem, sysv_read_around)
	{ .backing = SYSV, .fault_around = true };
FIXTURE_VARIANT_ADD(shmem, sysv_read_single) { .backing = SYSV };
FIXTURE_VARIANT_ADD(shmem, sysv_write_around)
	{ .backing = SYSV, .write = true, .fault_around = true };
FIXTURE_VARIANT_ADD(shmem, sysv_write_single) { .backing = SYSV, .write = true };
FIXTURE_VARIANT_ADD(shmem, shared_anon_read_around)
	{ .backing = SHARED_ANON, .fault_around = true };
FIXTURE_VARIANT_ADD(shmem, shared_anon_read_single) { .backing = SHARED_ANON };
FIXTURE_VARIANT_ADD(shmem, shared_anon_write_around)
	{ .backing = SHARED_ANON, .write = true, .fault_around = true };
FIXTURE_VARIANT_ADD(shmem, shared_anon_write_single)
	{ .backing = SHARED_ANON, .write = true };
FIXTURE_VARIANT_ADD(shmem, private_memfd_read_around)
	{ .backing = PRIVATE_MEMFD, .fault_around = true };
FIXTURE_VARIANT_ADD(shmem, private_memfd_read_single) { .backing = PRIVATE_MEMFD };
FIXTURE_VARIANT_ADD(shmem, private_memfd_write_around)
	{ .backing = PRIVATE_MEMFD, .write = true, .fault_around = true };
FIXTURE_VARIANT_ADD(shmem, private_memfd_write_single)
	{ .backing = PRIVATE_MEMFD, .write = true };

FIXTURE_SETUP(shmem)
{
	if (!env_init(_metadata, 0))
		return;
	if (!shm_create(_metadata, &self->area, variant->backing, NR_PAGES,
			NULL))
		return;
	if (set_fault_around(variant->fault_around))
		SKIP(return, "needs %s", FAULT_AROUND);
}

FIXTURE_TEARDOWN_PARENT(shmem)
{
	env_restore();
}

/*
 * The pages were touched just before by this CPU and still sit in its LRU
 * batch: the call has to empty it.
 */
TEST_F(shmem, cached_pages_move_when_touched)
{
	struct area *a = &self->area;
	unsigned long long moved;

	shm_populate(_metadata, a, BY_SELF, env->src);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	moved = pages_moved();
	area_touch(a, variant->write);
	if (variant->backing == PRIVATE_MEMFD && variant->write) {
		/*
		 * What a private mapping writes is a copy, on the right node
		 * from the start. The original waits for a reader.
		 */
		EXPECT_ALL_ON(a, env->dst);
		EXPECT_CONTENT(a);
		ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_DONTNEED));
		a->writes = 0;
		moved = pages_moved();
		area_touch(a, false);
	}
	EXPECT_LE(moved + a->nr, pages_moved());
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);

	shm_look(_metadata, a, env->dst);
	EXPECT_RANGE_ON(0, a->nr, env->dst);
	EXPECT_EQ(0, area_bad_pages(a, a->q));
}

TEST_F_TIMEOUT(shmem, guard_stays_without_lazy_policy, 120)
{
	struct area *a = &self->area;
	int i;

	for (i = 0; i < NR_NOT_LAZY; i++) {
		a->writes = 0;
		shm_populate(_metadata, a, BY_SELF, env->src);
		bind_not_lazily(_metadata, a, i);
		area_touch(a, variant->write);
		EXPECT_CONTENT(a);
		if (variant->backing == PRIVATE_MEMFD)
			a->writes = 0;
		shm_look(_metadata, a, env->dst);
		EXPECT_RANGE_ON(0, a->nr, env->src);
		EXPECT_EQ(0, area_bad_pages(a, a->q));
		shm_unmap(_metadata, a);
	}
}

TEST_F(shmem, guard_placed_pages_keep_their_pfn)
{
	struct area *a = &self->area;
	unsigned long *pfn;

	shm_populate(_metadata, a, BY_SELF, env->dst);
	pfn = area_pfns(a);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, variant->write);
	EXPECT_CONTENT(a);
	if (variant->backing == PRIVATE_MEMFD)
		a->writes = 0;
	shm_look(_metadata, a, env->dst);
	EXPECT_RANGE_ON(0, a->nr, env->dst);
	EXPECT_EQ(0, memcmp(pfn, a->pfn, a->nr * sizeof(*pfn)));
	EXPECT_EQ(0, area_bad_pages(a, a->q));
	free(pfn);
}

/*
 * shmem, by who wrote it
 */
FIXTURE(shmem_written)
{
	struct area area;
};

FIXTURE_VARIANT(shmem_written)
{
	enum backing backing;
	enum writer writer;
};

FIXTURE_VARIANT_ADD(shmem_written, memfd_by_write_2)
	{ .backing = MEMFD, .writer = BY_WRITE };
FIXTURE_VARIANT_ADD(shmem_written, tmpfs_by_write_2)
	{ .backing = TMPFS, .writer = BY_WRITE };
FIXTURE_VARIANT_ADD(shmem_written, memfd_by_other_process)
	{ .backing = MEMFD, .writer = BY_OTHER };
FIXTURE_VARIANT_ADD(shmem_written, tmpfs_by_other_process)
	{ .backing = TMPFS, .writer = BY_OTHER };
FIXTURE_VARIANT_ADD(shmem_written, sysv_by_other_process)
	{ .backing = SYSV, .writer = BY_OTHER };
FIXTURE_VARIANT_ADD(shmem_written, shared_anon_by_other_process)
	{ .backing = SHARED_ANON, .writer = BY_OTHER };
FIXTURE_VARIANT_ADD(shmem_written, private_memfd_by_write_2)
	{ .backing = PRIVATE_MEMFD, .writer = BY_WRITE };

FIXTURE_SETUP(shmem_written)
{
	if (env_init(_metadata, 0))
		shm_create(_metadata, &self->area, variant->backing, NR_PAGES,
			   NULL);
}

FIXTURE_TEARDOWN_PARENT(shmem_written)
{
	env_restore();
}

TEST_F(shmem_written, moves_when_read)
{
	struct area *a = &self->area;
	unsigned long long moved;

	shm_populate(_metadata, a, variant->writer, env->src);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	moved = pages_moved();
	area_touch(a, false);
	EXPECT_LE(moved + a->nr, pages_moved());
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* The policy was set by somebody else, through a mapping that has gone. */
TEST_F(shmem_written, moves_by_policy_of_a_process_that_has_gone)
{
	struct area *a = &self->area;
	pid_t pid;

	shm_populate(_metadata, a, variant->writer, env->src);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(bind_lazy(a, env->dst));
	wait_child(_metadata, pid);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * shmem, what one read does to the fault-around window
 */
FIXTURE(shmem_window)
{
	struct area area;
	unsigned long window;
};

FIXTURE_VARIANT(shmem_window)
{
	enum backing backing;
};

FIXTURE_VARIANT_ADD(shmem_window, memfd) { .backing = MEMFD };
FIXTURE_VARIANT_ADD(shmem_window, tmpfs) { .backing = TMPFS };
FIXTURE_VARIANT_ADD(shmem_window, private_memfd) { .backing = PRIVATE_MEMFD };

FIXTURE_SETUP(shmem_window)
{
	if (!env_init(_metadata, 0))
		return;
	if (psize() > 16384)
		SKIP(return, "a window of 64 KiB holds less than four pages");
	self->window = 65536 / psize();
	if (!shm_create(_metadata, &self->area, variant->backing,
			4 * self->window, NULL))
		return;
	if (set_fault_around(true))
		SKIP(return, "needs %s", FAULT_AROUND);
}

FIXTURE_TEARDOWN_PARENT(shmem_window)
{
	env_restore();
}

/*
 *	| window | window | window | window |
 *	                      ^ read: these are placed and mapped
 */
TEST_F(shmem_window, one_read_places_and_maps_the_window)
{
	struct area *a = &self->area;
	unsigned long w = self->window;

	shm_populate(_metadata, a, BY_SELF, env->src);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	touch_page(a, 2 * w + w / 2, false);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(2 * w, w, env->dst);
	EXPECT_RANGE_ON(0, 2 * w, -ENOENT);
	EXPECT_RANGE_ON(3 * w, w, -ENOENT);
	/* what was not in the window did not move */
	shm_look(_metadata, a, env->dst);
	EXPECT_RANGE_ON(0, 2 * w, env->src);
	EXPECT_RANGE_ON(2 * w, w, env->dst);
	EXPECT_RANGE_ON(3 * w, w, env->src);
	EXPECT_CONTENT(a);
}

/* A page that is missing from the cache is no obstacle, and is not made. */
TEST_F(shmem_window, hole_in_the_window_stays_a_hole)
{
	struct area *a = &self->area;
	unsigned long w = self->window;

	shm_populate(_metadata, a, BY_SELF, env->src);
	ASSERT_EQ(0, madvise(a->q + psize(), psize(), MADV_REMOVE));
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	touch_page(a, 0, false);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, 1, env->dst);
	EXPECT_RANGE_ON(1, 1, -ENOENT);
	EXPECT_RANGE_ON(2, w - 2, env->dst);
	/* it reads as zeroes, and comes to the right node */
	EXPECT_EQ(0, a->p[psize()]);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(1, 1, env->dst);
	fill_page(a, 1, a->q + psize());
	EXPECT_CONTENT(a);
}

/* What fallocate() has left is cleared by a fault of its own, and moves in that. */
TEST_F(shmem_window, allocated_pages_move_one_by_one)
{
	struct area *a = &self->area;
	unsigned long long failed, moved;

	ASSERT_EQ(0, bind_plain(a, env->src));
	ASSERT_EQ(0, fallocate(a->fd, 0, 0, area_size(a)));
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	failed = vm_counter("numa_lazy_cache_failed");
	moved = vm_counter("numa_lazy_cache_migrated");
	for (unsigned long i = 0; i < self->window; i++)
		EXPECT_EQ(0, a->p[i * psize()]);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, self->window, env->dst);
	EXPECT_RANGE_ON(self->window, a->nr - self->window, -ENOENT);
	EXPECT_EQ(failed, vm_counter("numa_lazy_cache_failed"));
	EXPECT_EQ(moved + self->window, vm_counter("numa_lazy_cache_migrated"));
}

/*
 *	|    lazy dst    | plain dst |	one window, two policies of the object:
 *	  ^ read			only the lazy part moves
 */
TEST_F(shmem_window, only_what_the_lazy_policy_covers_moves)
{
	struct node_mask mask = mask_of(env->dst);
	struct area *a = &self->area;
	unsigned long w = self->window;
	size_t half = w / 2 * psize();

	shm_populate(_metadata, a, BY_SELF, env->src);
	ASSERT_EQ(0, bind_plain(a, env->dst));
	ASSERT_EQ(0, mbind_lazy(a->q, half, MPOL_BIND, &mask));
	for (unsigned long i = 0; i < w; i++)
		touch_page(a, i, false);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, w / 2, env->dst);
	EXPECT_RANGE_ON(w / 2, w / 2, env->src);
	EXPECT_CONTENT(a);
}

/* A write fault maps one page, and moves one page. */
TEST_F(shmem_window, write_moves_its_page_alone)
{
	struct area *a = &self->area;

	shm_populate(_metadata, a, BY_SELF, env->src);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	write_first_word(a, 3);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, 3, -ENOENT);
	EXPECT_RANGE_ON(3, 1, env->dst);
	EXPECT_RANGE_ON(4, a->nr - 4, -ENOENT);
	if (variant->backing == PRIVATE_MEMFD) {
		/* That was a copy. Now for the original, with its window. */
		ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_DONTNEED));
		touch_page(a, 3, false);
		shm_look(_metadata, a, env->dst);
		EXPECT_RANGE_ON(0, self->window, env->dst);
		EXPECT_RANGE_ON(self->window, a->nr - self->window, env->src);
		EXPECT_EQ(0, area_bad_pages(a, a->q));
		return;
	}
	shm_look(_metadata, a, env->dst);
	EXPECT_RANGE_ON(0, 3, env->src);
	EXPECT_RANGE_ON(3, 1, env->dst);
	EXPECT_RANGE_ON(4, a->nr - 4, env->src);
	EXPECT_EQ(0, area_bad_pages(a, a->q));
}

/*
 * shmem, large folios: they move whole
 */
FIXTURE(shmem_large)
{
	struct area area;
};

FIXTURE_VARIANT(shmem_large)
{
	enum backing backing;
	const char *huge;	/* mount option of tmpfs */
	size_t folio_size;
	bool write;
};

FIXTURE_VARIANT_ADD(shmem_large, memfd_64k_read)
	{ .backing = MEMFD, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(shmem_large, memfd_64k_write)
	{ .backing = MEMFD, .folio_size = 64 << 10, .write = true };
FIXTURE_VARIANT_ADD(shmem_large, memfd_pmd_read)
	{ .backing = MEMFD, .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(shmem_large, memfd_pmd_write)
	{ .backing = MEMFD, .folio_size = PMD_FOLIO, .write = true };
FIXTURE_VARIANT_ADD(shmem_large, tmpfs_pmd_read)
	{ .backing = TMPFS, .huge = "always", .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(shmem_large, tmpfs_pmd_write)
	{ .backing = TMPFS, .huge = "always", .folio_size = PMD_FOLIO, .write = true };

FIXTURE_SETUP(shmem_large)
{
	struct area *a = &self->area;
	unsigned long nr = NR_PAGES;
	unsigned int order;

	if (!env_init(_metadata, 0) ||
	    !folio_size_order(_metadata, variant->folio_size, &order))
		return;
	if (nr < 1UL << order)
		nr = 1UL << order;
	if (!shm_create(_metadata, a, variant->backing, nr, variant->huge))
		return;
	a->order = order;
	madvise(a->p, area_size(a), MADV_HUGEPAGE);
	if (!variant->huge)
		only_order(_metadata, order, true);
}

FIXTURE_TEARDOWN_PARENT(shmem_large)
{
	env_restore();
}

TEST_F(shmem_large, folio_moves_whole)
{
	struct area *a = &self->area;
	unsigned long long moved;

	shm_populate(_metadata, a, BY_SELF, env->src);
	if (!area_folios_whole(a))
		SKIP(return, "got no folios of order %u on node %d", a->order,
		     env->src);
	stop_khugepaged();
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	moved = pages_moved();
	area_touch(a, variant->write);
	EXPECT_LE(moved + a->nr, pages_moved());
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_TRUE(area_folios_whole(a));
	EXPECT_CONTENT(a);
}

/*
 * A large folio can have several policies. The one at its first index decides,
 * as it does when the folio is allocated:
 *
 *	index	0	      nr / 2		  nr
 *		| A A A A A A | B B B B B B B B B |	one folio
 */
TEST_F(shmem_large, policy_of_first_index_decides)
{
	struct area *a = &self->area;
	unsigned long last = (1UL << a->order) - 1;
	unsigned long half = (psize() << a->order) / 2;
	struct node_mask mask = mask_of(env->dst);

	shm_populate(_metadata, a, BY_SELF, env->src);
	if (!area_folios_whole(a))
		SKIP(return, "got no folios of order %u on node %d", a->order,
		     env->src);
	stop_khugepaged();

	/* B of each folio: nothing moves, wherever it is touched. */
	for (unsigned long i = 0; i < a->nr; i += 1UL << a->order)
		ASSERT_EQ(0, mbind_lazy(a->p + i * psize() + half, half,
					MPOL_BIND, &mask));
	area_touch(a, variant->write);
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
	shm_unmap(_metadata, a);
	drain_lru_batches();

	/* A of each folio: a touch of B moves all of it. */
	for (unsigned long i = 0; i < a->nr; i += 1UL << a->order) {
		ASSERT_EQ(0, sys_mbind(a->p + i * psize() + half, half,
				       MPOL_DEFAULT, NULL, 0));
		ASSERT_EQ(0, mbind_lazy(a->p + i * psize(), half, MPOL_BIND,
					&mask));
		poke_page(a, i + last, variant->write);
	}
	area_look(_metadata, a, a->p);
	for (unsigned long i = 0; i < a->nr; i += 1UL << a->order)
		EXPECT_RANGE_ON(i + last, 1, env->dst);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * shmem that was swapped out and is still in the swap cache
 */
FIXTURE(shmem_swapped)
{
	struct area area;
};

FIXTURE_VARIANT(shmem_swapped)
{
	bool write;
};

FIXTURE_VARIANT_ADD(shmem_swapped, read) { .write = false };
FIXTURE_VARIANT_ADD(shmem_swapped, write) { .write = true };

FIXTURE_SETUP(shmem_swapped)
{
	if (env_init(_metadata, NEED_SWAP))
		shm_create(_metadata, &self->area, MEMFD, NR_PAGES, NULL);
}

FIXTURE_TEARDOWN_PARENT(shmem_swapped)
{
	env_restore();
}

TEST_F(shmem_swapped, moves_when_touched)
{
	struct area *a = &self->area;

	if (!area_write_on(_metadata, a, env->src) ||
	    !to_swap_cache(_metadata, a))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, variant->write);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * Modes: a page comes to the node where a new page would have been allocated
 */
enum mode_case {
	BIND_ONE,
	BIND_SEVERAL,
	BIND_STATIC,
	BIND_RELATIVE,
	BIND_HOME_NODE,
	PREFERRED_ONE,
	PREFERRED_SEVERAL,
	PREFERRED_HOME_NODE,
	INTERLEAVED,
	WEIGHTED,
	LOCAL,
};

FIXTURE(policy)
{
	struct area area;
};

FIXTURE_VARIANT(policy)
{
	enum mode_case mode;
	bool shmem;
	size_t folio_size;	/* 0: base pages */
	bool mapped;
};

FIXTURE_VARIANT_ADD(policy, bind_one_anon) { .mode = BIND_ONE };
FIXTURE_VARIANT_ADD(policy, bind_one_memfd) { .mode = BIND_ONE, .shmem = true };
FIXTURE_VARIANT_ADD(policy, bind_several_anon) { .mode = BIND_SEVERAL };
FIXTURE_VARIANT_ADD(policy, bind_several_memfd)
	{ .mode = BIND_SEVERAL, .shmem = true };
FIXTURE_VARIANT_ADD(policy, bind_static_anon) { .mode = BIND_STATIC };
FIXTURE_VARIANT_ADD(policy, bind_static_memfd)
	{ .mode = BIND_STATIC, .shmem = true };
FIXTURE_VARIANT_ADD(policy, bind_relative_anon) { .mode = BIND_RELATIVE };
FIXTURE_VARIANT_ADD(policy, bind_relative_memfd)
	{ .mode = BIND_RELATIVE, .shmem = true };
FIXTURE_VARIANT_ADD(policy, bind_home_node_anon) { .mode = BIND_HOME_NODE };
FIXTURE_VARIANT_ADD(policy, bind_home_node_memfd)
	{ .mode = BIND_HOME_NODE, .shmem = true };
FIXTURE_VARIANT_ADD(policy, preferred_anon) { .mode = PREFERRED_ONE };
FIXTURE_VARIANT_ADD(policy, preferred_memfd)
	{ .mode = PREFERRED_ONE, .shmem = true };
FIXTURE_VARIANT_ADD(policy, preferred_many_anon) { .mode = PREFERRED_SEVERAL };
FIXTURE_VARIANT_ADD(policy, preferred_many_memfd)
	{ .mode = PREFERRED_SEVERAL, .shmem = true };
FIXTURE_VARIANT_ADD(policy, preferred_many_home_node_anon)
	{ .mode = PREFERRED_HOME_NODE };
FIXTURE_VARIANT_ADD(policy, preferred_many_home_node_memfd)
	{ .mode = PREFERRED_HOME_NODE, .shmem = true };
FIXTURE_VARIANT_ADD(policy, interleave_anon) { .mode = INTERLEAVED };
FIXTURE_VARIANT_ADD(policy, interleave_memfd) { .mode = INTERLEAVED, .shmem = true };
FIXTURE_VARIANT_ADD(policy, weighted_interleave_anon) { .mode = WEIGHTED };
FIXTURE_VARIANT_ADD(policy, weighted_interleave_memfd)
	{ .mode = WEIGHTED, .shmem = true };
FIXTURE_VARIANT_ADD(policy, interleave_anon_64k)
	{ .mode = INTERLEAVED, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(policy, interleave_memfd_64k)
	{ .mode = INTERLEAVED, .shmem = true, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(policy, weighted_interleave_anon_64k)
	{ .mode = WEIGHTED, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(policy, weighted_interleave_memfd_64k)
	{ .mode = WEIGHTED, .shmem = true, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(policy, local_anon) { .mode = LOCAL };
FIXTURE_VARIANT_ADD(policy, local_memfd) { .mode = LOCAL, .shmem = true };
FIXTURE_VARIANT_ADD(policy, bind_mapped_anon) { .mode = BIND_ONE, .mapped = true };
FIXTURE_VARIANT_ADD(policy, bind_mapped_memfd)
	{ .mode = BIND_ONE, .mapped = true, .shmem = true };
FIXTURE_VARIANT_ADD(policy, bind_several_mapped_anon)
	{ .mode = BIND_SEVERAL, .mapped = true };
FIXTURE_VARIANT_ADD(policy, bind_static_mapped_anon)
	{ .mode = BIND_STATIC, .mapped = true };
FIXTURE_VARIANT_ADD(policy, bind_static_mapped_memfd)
	{ .mode = BIND_STATIC, .mapped = true, .shmem = true };
FIXTURE_VARIANT_ADD(policy, bind_relative_mapped_anon)
	{ .mode = BIND_RELATIVE, .mapped = true };
FIXTURE_VARIANT_ADD(policy, bind_relative_mapped_memfd)
	{ .mode = BIND_RELATIVE, .mapped = true, .shmem = true };
FIXTURE_VARIANT_ADD(policy, bind_home_node_mapped_anon)
	{ .mode = BIND_HOME_NODE, .mapped = true };
FIXTURE_VARIANT_ADD(policy, preferred_mapped_anon)
	{ .mode = PREFERRED_ONE, .mapped = true };
FIXTURE_VARIANT_ADD(policy, preferred_mapped_memfd)
	{ .mode = PREFERRED_ONE, .mapped = true, .shmem = true };
FIXTURE_VARIANT_ADD(policy, preferred_many_mapped_anon)
	{ .mode = PREFERRED_SEVERAL, .mapped = true };
FIXTURE_VARIANT_ADD(policy, preferred_many_mapped_memfd)
	{ .mode = PREFERRED_SEVERAL, .mapped = true, .shmem = true };
FIXTURE_VARIANT_ADD(policy, interleave_mapped_anon)
	{ .mode = INTERLEAVED, .mapped = true };
FIXTURE_VARIANT_ADD(policy, interleave_mapped_memfd)
	{ .mode = INTERLEAVED, .mapped = true, .shmem = true };
FIXTURE_VARIANT_ADD(policy, weighted_interleave_mapped_anon)
	{ .mode = WEIGHTED, .mapped = true };
FIXTURE_VARIANT_ADD(policy, weighted_interleave_mapped_memfd)
	{ .mode = WEIGHTED, .mapped = true, .shmem = true };
FIXTURE_VARIANT_ADD(policy, local_mapped_anon) { .mode = LOCAL, .mapped = true };
FIXTURE_VARIANT_ADD(policy, local_mapped_memfd)
	{ .mode = LOCAL, .mapped = true, .shmem = true };
FIXTURE_VARIANT_ADD(policy, interleave_mapped_anon_64k)
	{ .mode = INTERLEAVED, .mapped = true, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(policy, interleave_mapped_memfd_64k)
	{ .mode = INTERLEAVED, .mapped = true, .shmem = true, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(policy, weighted_interleave_mapped_anon_64k)
	{ .mode = WEIGHTED, .mapped = true, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(policy, weighted_interleave_mapped_memfd_64k)
	{ .mode = WEIGHTED, .mapped = true, .shmem = true, .folio_size = 64 << 10 };

FIXTURE_SETUP(policy)
{
	if (!env_init(_metadata, variant->shmem || variant->mapped ? 0 :
		      NEED_SWAP))
		return;
	switch (variant->mode) {
	case BIND_SEVERAL:
	case BIND_HOME_NODE:
	case PREFERRED_SEVERAL:
	case PREFERRED_HOME_NODE:
		if (env->nr_nodes < 3)
			SKIP(return, "needs three nodes with memory");
		break;
	default:
		break;
	}
}

FIXTURE_TEARDOWN_PARENT(policy)
{
	env_restore();
}

/* Neither src nor dst, and of what is left the one with most memory free. */
static int third_node(void)
{
	int i;

	for (i = 0; i < env->nr_nodes; i++)
		if (env->nodes[i] != env->src && env->nodes[i] != env->dst)
			return env->nodes[i];
	return -1;
}

static int apply_mode(struct area *a, enum mode_case c, bool lazy)
{
	struct node_mask mask = mask_of(env->dst);
	int mode = MPOL_BIND, ret, i, nr, all[MAX_NODES];
	bool home = false;

	switch (c) {
	case BIND_ONE:
		break;
	case BIND_HOME_NODE:
		home = true;
		mask_add(&mask, third_node());
		break;
	case BIND_SEVERAL:
		mask_add(&mask, third_node());
		break;
	case BIND_STATIC:
		mode |= MPOL_F_STATIC_NODES;
		break;
	case BIND_RELATIVE:
		/* relative to the nodes with memory that we may use: all */
		mode |= MPOL_F_RELATIVE_NODES;
		nr = read_node_list("has_memory", all, MAX_NODES);
		for (i = 0; i < nr; i++)
			if (all[i] == env->dst)
				mask = mask_of(i);
		break;
	case PREFERRED_ONE:
		mode = MPOL_PREFERRED;
		break;
	case PREFERRED_HOME_NODE:
		home = true;
		mode = MPOL_PREFERRED_MANY;
		mask_add(&mask, third_node());
		break;
	case PREFERRED_SEVERAL:
		mode = MPOL_PREFERRED_MANY;
		mask_add(&mask, third_node());
		break;
	case INTERLEAVED:
	case WEIGHTED:
		mode = c == WEIGHTED ? MPOL_WEIGHTED_INTERLEAVE :
				       MPOL_INTERLEAVE;
		for (i = 0; i < env->nr_nodes; i++)
			mask_add(&mask, env->nodes[i]);
		break;
	case LOCAL:
		mode = MPOL_LOCAL;
		break;
	}
	if (lazy)
		ret = mbind_lazy(a->p, area_size(a), mode,
				 c == LOCAL ? NULL : &mask);
	else
		ret = sys_mbind(a->p, area_size(a), mode,
				c == LOCAL ? NULL : &mask, 0);
	if (!ret && home)
		ret = sys_set_home_node(a->p, area_size(a),
					c == BIND_HOME_NODE ? env->dst :
					third_node());
	return ret;
}

/*
 * Touch from a CPU whose node has no memory if there is one, and put the pages
 * where memory is not local to it.
 */
static bool not_local_to_src(void)
{
	int cpu, status = -1;
	void *p;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all_cpus) &&
		    !node_meminfo(node_of_cpu(cpu), "MemTotal:"))
			env->cpu = cpu;
	if (pin_to_cpu(env->cpu))
		return false;

	p = mmap(NULL, psize(), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sys_mbind(p, psize(), MPOL_LOCAL, NULL, 0);
	memset(p, 1, psize());
	sys_move_pages(1, &p, NULL, &status, 0);
	munmap(p, psize());
	if (status == env->src)
		env->src = env->dst;
	return status >= 0;
}

/*
 * Let the kernel allocate the pages under the policy: that is where they belong.
 * Throw them away, put them on src, touch them under the lazy policy: same nodes.
 */
TEST_F(policy, page_comes_to_where_it_would_be_allocated)
{
	struct area *a = &self->area;
	unsigned int order;
	unsigned long i;
	char path[128];
	int *want;

	if (variant->mode == WEIGHTED) {
		/* The first to be saved is the last to be restored. */
		env_set(WEIGHTS_DIR "auto", "false");
		for (i = 0; i < env->nr_nodes; i++) {
			snprintf(path, sizeof(path), WEIGHTS_DIR "node%d",
				 env->nodes[i]);
			if (env_set_num(path, 1 + 2 * (i % 2)))
				SKIP(return, "needs %s", path);
		}
	}
	if (variant->mode == LOCAL && !not_local_to_src())
		SKIP(return, "cannot tell which node is local");

	/* where they belong */
	if (!folio_size_order(_metadata, variant->folio_size, &order) ||
	    !only_order(_metadata, order, variant->shmem))
		return;
	if (variant->shmem) {
		if (!shm_create(_metadata, a, MEMFD, NR_PAGES << order, NULL))
			return;
		a->order = order;
		if (order)
			madvise(a->p, area_size(a), MADV_HUGEPAGE);
	} else {
		anon_map(_metadata, a, NR_PAGES << order, order);
	}
	ASSERT_EQ(0, apply_mode(a, variant->mode, false));
	area_fill(a, a->p);
	area_look(_metadata, a, a->p);
	if (!area_folios_whole(a))
		SKIP(return, "got no folios of order %u", order);
	want = calloc(a->nr, sizeof(*want));
	memcpy(want, a->node, a->nr * sizeof(*want));
	ASSERT_LT(nr_on(a, 0, a->nr, env->src), a->nr)
		log_nodes(_metadata, a);

	/* put them on src */
	ASSERT_EQ(0, madvise(a->p, area_size(a),
			     variant->shmem ? MADV_REMOVE : MADV_DONTNEED));
	if (!area_write_on(_metadata, a, env->src))
		return;
	if (variant->shmem && !variant->mapped)
		shm_unmap(_metadata, a);
	else if (!variant->mapped && !to_swap_cache(_metadata, a))
		return;

	ASSERT_EQ(0, apply_mode(a, variant->mode, true));
	if (variant->mapped)
		EXPECT_ALL_ON(a, env->src);
	area_touch(a, true);
	area_look(_metadata, a, a->p);
	expect_nodes(_metadata, a, want);
	EXPECT_CONTENT(a);
	free(want);
}

/*
 * Modes that take any node of a mask: a page on one of them is not moved to the
 * nearest
 */
FIXTURE(policy_of_several)
{
	struct area area;
};

FIXTURE_VARIANT(policy_of_several)
{
	int mode;
	bool shmem;
	bool mapped;
};

FIXTURE_VARIANT_ADD(policy_of_several, bind_anon) { .mode = MPOL_BIND };
FIXTURE_VARIANT_ADD(policy_of_several, bind_memfd)
	{ .mode = MPOL_BIND, .shmem = true };
FIXTURE_VARIANT_ADD(policy_of_several, preferred_many_anon)
	{ .mode = MPOL_PREFERRED_MANY };
FIXTURE_VARIANT_ADD(policy_of_several, preferred_many_memfd)
	{ .mode = MPOL_PREFERRED_MANY, .shmem = true };
FIXTURE_VARIANT_ADD(policy_of_several, bind_mapped_anon)
	{ .mode = MPOL_BIND, .mapped = true };
FIXTURE_VARIANT_ADD(policy_of_several, bind_mapped_memfd)
	{ .mode = MPOL_BIND, .mapped = true, .shmem = true };
FIXTURE_VARIANT_ADD(policy_of_several, preferred_many_mapped_anon)
	{ .mode = MPOL_PREFERRED_MANY, .mapped = true };
FIXTURE_VARIANT_ADD(policy_of_several, preferred_many_mapped_memfd)
	{ .mode = MPOL_PREFERRED_MANY, .mapped = true, .shmem = true };

FIXTURE_SETUP(policy_of_several)
{
	env_init(_metadata, variant->shmem || variant->mapped ? 0 : NEED_SWAP);
}

FIXTURE_TEARDOWN_PARENT(policy_of_several)
{
	env_restore();
}

TEST_F(policy_of_several, guard_page_on_any_node_of_the_mask_stays)
{
	struct area *a = &self->area;
	struct node_mask mask = mask_of(env->dst);
	long faults;

	mask_add(&mask, env->src);
	if (variant->mapped) {
		if (!map_on(_metadata, a, variant->shmem ? MEMFD : ANON,
			    NR_PAGES, 0, env->dst))
			return;
	} else if (variant->shmem) {
		if (!shm_create(_metadata, a, MEMFD, NR_PAGES, NULL))
			return;
		shm_populate(_metadata, a, BY_SELF, env->dst);
	} else if (!anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->dst)) {
		return;
	}
	ASSERT_EQ(0, mbind_lazy(a->p, area_size(a), variant->mode, &mask));
	faults = touch_faults(a, true);
	/* Mapped ones are not even marked. */
	if (variant->mapped)
		EXPECT_EQ(0, faults);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * Every node to every other
 */
FIXTURE(every_pair)
{
};

FIXTURE_VARIANT(every_pair)
{
	bool shmem;
};

FIXTURE_VARIANT_ADD(every_pair, anon) { .shmem = false };
FIXTURE_VARIANT_ADD(every_pair, memfd) { .shmem = true };

FIXTURE_SETUP(every_pair)
{
	env_init(_metadata, variant->shmem ? 0 : NEED_SWAP);
}

FIXTURE_TEARDOWN_PARENT(every_pair)
{
	env_restore();
}

TEST_F_TIMEOUT(every_pair, of_nodes_moves, 300)
{
	struct area area, *a = &area;
	int nr = env->nr_nodes, i, j;

	if (nr > 8)
		nr = 8;
	for (i = 0; i < nr; i++) {
		for (j = 0; j < nr; j++) {
			if (i == j)
				continue;
			if (variant->shmem) {
				if (!shm_create(_metadata, a, MEMFD, 4, NULL))
					return;
				shm_populate(_metadata, a, BY_SELF,
					     env->nodes[i]);
			} else if (!anon_in_swap_cache(_metadata, a, 4, 0,
						       env->nodes[i])) {
				return;
			}
			ASSERT_EQ(0, bind_lazy(a, env->nodes[j]));
			area_touch(a, false);
			EXPECT_ALL_ON(a, env->nodes[j]);
			EXPECT_CONTENT(a);
			munmap(a->p, area_size(a));
			if (a->fd >= 0)
				close(a->fd);
		}
	}
}

/*
 * What is left alone: and moves when the reason has gone
 */
FIXTURE(left_alone)
{
	struct area area;
};

FIXTURE_VARIANT(left_alone)
{
	bool write;
};

FIXTURE_VARIANT_ADD(left_alone, read) { .write = false };
FIXTURE_VARIANT_ADD(left_alone, write) { .write = true };

FIXTURE_SETUP(left_alone)
{
	if (env_init(_metadata, 0))
		shm_create(_metadata, &self->area, MEMFD, NR_PAGES, NULL);
}

FIXTURE_TEARDOWN_PARENT(left_alone)
{
	env_restore();
}

/*
 *	| mapped by a child | mapped by nobody |
 *	       stays              moves
 */
TEST_F(left_alone, page_mapped_elsewhere_stays_until_unmapped)
{
	struct area *a = &self->area;
	unsigned long half = a->nr / 2;
	struct holder holder;

	shm_populate(_metadata, a, BY_SELF, env->src);
	if (set_fault_around(false))
		SKIP(return, "needs %s", FAULT_AROUND);
	holder = start_holder(_metadata, a, half, false);
	ASSERT_EQ(0, set_fault_around(true));
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, variant->write);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, half, env->src);
	EXPECT_RANGE_ON(half, half, env->dst);
	EXPECT_CONTENT(a);
	end_holder(_metadata, holder);

	shm_unmap(_metadata, a);
	drain_lru_batches();
	area_touch(a, variant->write);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* The pipe holds references to the pages: who reads it sees these pages. */
TEST_F(left_alone, page_in_a_pipe_stays_until_read)
{
	struct area *a = &self->area;
	unsigned long held = 8;
	struct iovec iov = { .iov_base = a->p, .iov_len = held * psize() };
	unsigned long *pfn;
	int fds[2];
	char *buf;

	shm_populate(_metadata, a, BY_SELF, env->src);
	pfn = area_pfns(a);
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(held * psize(), vmsplice(fds[1], &iov, 1, 0));
	shm_unmap(_metadata, a);

	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, variant->write);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, held, env->src);
	EXPECT_RANGE_ON(held, a->nr - held, env->dst);
	EXPECT_EQ(0, memcmp(pfn, a->pfn, held * sizeof(*pfn)));
	EXPECT_CONTENT(a);

	buf = malloc(psize());
	for (unsigned long i = 0; i < held; i++) {
		ASSERT_EQ(psize(), read(fds[0], buf, psize()));
		EXPECT_TRUE(page_ok(a, i, buf));
	}
	shm_unmap(_metadata, a);
	drain_lru_batches();
	area_touch(a, variant->write);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	free(buf);
	free(pfn);
}

struct toucher {
	struct area *a;
	bool write;
	int cpu;
	unsigned int word;
	pthread_barrier_t *start;
	unsigned long bad;
};

static void *touch_all(void *arg)
{
	struct toucher *t = arg;

	pin_to_cpu(t->cpu);
	pthread_barrier_wait(t->start);
	for (unsigned long i = 0; i < t->a->nr; i++) {
		if (t->write)
			write_first_word(t->a, i);
		t->bad += !page_ok(t->a, i, t->a->p + i * psize());
	}
	return NULL;
}

/* The fault needs the page's lock, the copy another reference: no deadlock. */
TEST_F(left_alone, guard_content_survives_concurrent_touches)
{
	struct area *a = &self->area;
	struct toucher t[4] = {};
	pthread_barrier_t start;
	pthread_t thread[4];
	int cpu = 0, i;

	ASSERT_EQ(0, pthread_barrier_init(&start, NULL, 4));
	for (int round = 0; round < 8; round++) {
		ASSERT_EQ(0, madvise(a->q, area_size(a), MADV_REMOVE));
		shm_populate(_metadata, a, BY_SELF, env->src);
		ASSERT_EQ(0, bind_lazy(a, env->dst));
		for (i = 0; i < 4; i++) {
			do {
				cpu = (cpu + 1) % CPU_SETSIZE;
			} while (!CPU_ISSET(cpu, &all_cpus));
			t[i].start = &start;
			t[i].a = a;
			t[i].cpu = cpu;
			t[i].write = variant->write && i % 2;
			ASSERT_EQ(0, pthread_create(&thread[i], NULL, touch_all,
						    &t[i]));
		}
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, pthread_join(thread[i], NULL));
			EXPECT_EQ(0, t[i].bad);
		}
		EXPECT_CONTENT(a);
	}
}

/*
 * A target node without room
 */
FIXTURE(full_node)
{
	unsigned long low;	/* pages: a node's own watermarks now */
	unsigned long high;
	unsigned long managed;
};

#define FULL_NODE_MAX_KB	(1024UL * 1024)

FIXTURE_SETUP(full_node)
{
	int i;

	if (!env_init(_metadata, NEED_SWAP))
		return;
	/* the smallest, as it has to be filled */
	env->dst = env->nodes[env->nr_nodes - 1];
	for (i = 0; i < env->nr_nodes; i++)
		if (env->nodes[i] != env->src &&
		    node_meminfo(env->nodes[i], "MemTotal:") <
		    node_meminfo(env->dst, "MemTotal:"))
			env->dst = env->nodes[i];
	if (env->dst == env->src)
		env->src = env->nodes[0];
	if (node_meminfo(env->dst, "MemTotal:") > FULL_NODE_MAX_KB)
		SKIP(return, "node %d is too large to be filled", env->dst);
	if (access(WMARK_SCALE, W_OK))
		SKIP(return, "needs %s", WMARK_SCALE);
	env->cpu = some_cpu(env->src);
	ASSERT_EQ(0, pin_to_cpu(env->cpu));
	self->low = zone_sum(env->dst, "low");
	self->high = zone_sum(env->dst, "high");
	self->managed = zone_sum(env->dst, "managed");
}

FIXTURE_TEARDOWN_PARENT(full_node)
{
	env_restore();
}

/*
 * Fill the node with locked memory, but not so far that anything is reclaimed;
 * then raise the watermarks above what is left. Only now the node is full, and
 * nobody has been woken for it.
 */
TEST_F_TIMEOUT(full_node, page_stays_until_there_is_room, 120)
{
	unsigned long new_low = self->low + self->managed / 10;
	unsigned long left = (self->high + new_low) / 2;
	struct node_mask mask = mask_of(env->dst);
	unsigned long long oom, stall, written;
	struct area shm, anon, map;
	size_t hog_size[4];
	char *hog[4];
	int i, nr;

	if (zone_sum(env->dst, "nr_free_pages") <= left)
		SKIP(return, "node %d has too little memory", env->dst);
	if (new_low <= self->high)
		SKIP(return, "the watermarks of node %d cannot be raised enough",
		     env->dst);
	if (!shm_create(_metadata, &shm, MEMFD, NR_PAGES, NULL))
		return;
	shm_populate(_metadata, &shm, BY_SELF, env->src);
	if (!anon_in_swap_cache(_metadata, &anon, NR_PAGES, 0, env->src) ||
	    !anon_populate(_metadata, &map, NR_PAGES, 0, env->src))
		return;

	/* Again, for what others have freed there meanwhile */
	for (nr = 0; nr < ARRAY_SIZE(hog); nr++) {
		unsigned long free = zone_sum(env->dst, "nr_free_pages");

		if (free <= left)
			break;
		hog_size[nr] = (free - left) * psize();
		hog[nr] = mmap(NULL, hog_size[nr], PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, hog[nr]);
		madvise(hog[nr], hog_size[nr], MADV_HUGEPAGE);
		ASSERT_EQ(0, sys_mbind(hog[nr], hog_size[nr], MPOL_BIND, &mask, 0));
		ASSERT_EQ(0, mlock(hog[nr], hog_size[nr]));
	}
	ASSERT_EQ(0, env_set(WMARK_SCALE, "1000"));
	if (node_spare_kb(env->src) < NODE_SPARE_KB / 4)
		SKIP(return, "node %d is full as well with these watermarks",
		     env->src);
	ASSERT_LT(zone_sum(env->dst, "nr_free_pages"),
		  zone_sum(env->dst, "low"));

	ASSERT_EQ(0, bind_lazy(&shm, env->dst));
	ASSERT_EQ(0, bind_lazy(&anon, env->dst));
	ASSERT_EQ(0, bind_lazy(&map, env->dst));
	oom = vm_counter("oom_kill");
	stall = vm_counter("allocstall*");
	written = node_written(env->dst);
	area_touch(&shm, false);
	area_touch(&anon, true);
	area_touch(&map, true);
	EXPECT_ALL_ON(&shm, env->src);
	EXPECT_ALL_ON(&anon, env->src);
	EXPECT_ALL_ON(&map, env->src);
	EXPECT_EQ(written, node_written(env->dst));
	EXPECT_EQ(stall, vm_counter("allocstall*"));
	EXPECT_EQ(oom, vm_counter("oom_kill"));
	EXPECT_CONTENT(&shm);
	EXPECT_CONTENT(&anon);
	EXPECT_CONTENT(&map);

	/* Room again. */
	env_restore();
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, munmap(hog[i], hog_size[i]));
	shm_unmap(_metadata, &shm);
	drain_lru_batches();
	ASSERT_EQ(0, bind_lazy(&map, env->dst));
	area_touch(&shm, false);
	area_touch(&map, true);
	EXPECT_ALL_ON(&shm, env->dst);
	EXPECT_ALL_ON(&map, env->dst);
	EXPECT_CONTENT(&shm);
	EXPECT_CONTENT(&map);
}

/*
 * A target that the task that touches may not use
 */
FIXTURE(cpuset)
{
	struct area area;
};

FIXTURE_SETUP(cpuset)
{
	if (!env_init(_metadata, 0))
		return;
	if (!shm_create(_metadata, &self->area, MEMFD, NR_PAGES, NULL))
		return;
	make_cgroup(_metadata, "cpuset");
}

FIXTURE_TEARDOWN_PARENT(cpuset)
{
	env_restore();
}

/*
 * The object's policy is dst. A task that is confined to src touches it: the
 * pages stay. A task that is not does: they move.
 */
TEST_F(cpuset, page_stays_for_a_task_confined_to_other_nodes)
{
	struct area *a = &self->area;
	char val[16];

	snprintf(val, sizeof(val), "%d", env->src);
	ASSERT_EQ(0, cgroup_write("cpuset.mems", val));
	shm_populate(_metadata, a, BY_SELF, env->src);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	child_touches(_metadata, a, false, true, env->src);
	drain_lru_batches();
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * The object may be on two nodes. A task that may use only one of these, be it
 * the nearer one or the other, moves the pages there, as it would allocate them.
 */
TEST_F(cpuset, page_comes_to_the_node_of_the_mask_that_is_allowed)
{
	struct area *a = &self->area;
	struct node_mask mask = {};
	int only[2] = { -1, -1 };
	char val[32];
	int i;

	if (env->nr_nodes < 3)
		SKIP(return, "needs three nodes with memory");
	for (i = 0; i < env->nr_nodes && only[1] < 0; i++) {
		if (env->nodes[i] != env->src) {
			only[only[0] >= 0] = env->nodes[i];
			mask_add(&mask, env->nodes[i]);
		}
	}

	for (i = 0; i < 2; i++) {
		snprintf(val, sizeof(val), "%d,%d", env->src, only[i]);
		ASSERT_EQ(0, cgroup_write("cpuset.mems", val));
		ASSERT_EQ(0, madvise(a->q, area_size(a), MADV_REMOVE));
		shm_populate(_metadata, a, BY_SELF, env->src);
		ASSERT_EQ(0, mbind_lazy(a->p, area_size(a), MPOL_BIND, &mask));
		child_touches(_metadata, a, false, true, only[i]);
	}
}

/*
 * The memory cgroup that is charged
 */
#define MEMCG_PAGES	256UL	/* many more than the process has otherwise */

FIXTURE(memcg)
{
	struct area area;
};

FIXTURE_VARIANT(memcg)
{
	bool shmem;
	size_t folio_size;
	bool mapped;
};

FIXTURE_VARIANT_ADD(memcg, anon) { .shmem = false };
FIXTURE_VARIANT_ADD(memcg, anon_mthp_64k) { .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(memcg, memfd) { .shmem = true };
FIXTURE_VARIANT_ADD(memcg, mapped_anon) { .mapped = true };
FIXTURE_VARIANT_ADD(memcg, mapped_anon_mthp_64k)
	{ .mapped = true, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(memcg, mapped_anon_pmd)
	{ .mapped = true, .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(memcg, mapped_memfd) { .mapped = true, .shmem = true };

/* Bytes on the LRU lists of the group, on one node. */
static unsigned long long cgroup_on_node(int node)
{
	char path[192], line[1024], tag[16], *p;
	unsigned long long val = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/memory.numa_stat", env->cgroup);
	snprintf(tag, sizeof(tag), " N%d=", node);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "inactive_anon ", 14) &&
		    strncmp(line, "active_anon ", 12) &&
		    strncmp(line, "unevictable ", 12))
			continue;
		p = strstr(line, tag);
		if (p)
			val += strtoull(p + strlen(tag), NULL, 10);
	}
	if (f)
		fclose(f);
	return val;
}

/* The kernel adds up the statistics of a group only every two seconds. */
#define EXPECT_SOON(cond) do {						\
	struct deadline __d = deadline_in(PATIENCE_SEC);		\
	bool __ok;							\
									\
	do {								\
		__ok = (cond);						\
	} while (!__ok && wait_more(&__d));				\
	EXPECT_TRUE(__ok)						\
		TH_LOG("waited in vain for " #cond);			\
} while (0)

FIXTURE_SETUP(memcg)
{
	if (env_init(_metadata, variant->shmem || variant->mapped ? 0 : NEED_SWAP))
		make_cgroup(_metadata, "memory");
}

/* When its last task and its last page have gone, so has the group. */
FIXTURE_TEARDOWN_PARENT(memcg)
{
	struct deadline d = deadline_in(PATIENCE_SEC);
	char stat[192];

	snprintf(stat, sizeof(stat), "%s/cgroup.stat", env->cgroup_parent);
	EXPECT_EQ(1, proc_counter(stat, "nr_descendants"));
	EXPECT_EQ(0, rmdir(env->cgroup));
	do {
		drain_lru_batches();
	} while (proc_counter(stat, "nr_dying_descendants") && wait_more(&d));
	EXPECT_EQ(0, proc_counter(stat, "nr_dying_descendants"));
	env_restore();
}

/*
 * Enter the group, and bind pages of its own on src to dst, mapped or left in
 * the cache. Nothing moves yet. Returns false after a SKIP.
 */
static bool memcg_populate(struct __test_metadata *_metadata,
			   const FIXTURE_VARIANT(memcg) * variant,
			   struct area *a)
{
	unsigned int order;

	/* What the test itself needs is not the group's. */
	memset(a, 0, sizeof(*a));
	if (!folio_size_order(_metadata, variant->folio_size, &order) ||
	    !only_order(_metadata, order, false))
		return false;
	ASSERT_EQ(0, enter_cgroup());
	if (!variant->shmem) {
		if (!anon_populate(_metadata, a, MEMCG_PAGES > 1UL << order ?
				   MEMCG_PAGES : 1UL << order, order, env->src))
			return false;
		if (!variant->mapped && !to_swap_cache(_metadata, a))
			return false;
	} else {
		if (!shm_create(_metadata, a, MEMFD, MEMCG_PAGES, NULL) ||
		    !area_write_on(_metadata, a, env->src))
			return false;
		if (!variant->mapped)
			shm_unmap(_metadata, a);
	}
	stop_khugepaged();
	drain_lru_batches();
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	if (variant->mapped)
		EXPECT_ALL_ON(a, env->src);
	return true;
}

/*
 * What the group is charged stays the same, only the node changes. A CPU charges
 * ahead up to 64 pages, be it for a page table: memory.current is that inexact.
 */
TEST_F(memcg, charge_moves_with_the_page)
{
	struct area *a = &self->area;
	long long current, ahead = 64 * psize();

	if (!memcg_populate(_metadata, variant, a))
		return;
	EXPECT_SOON(cgroup_on_node(env->src) >= area_size(a));
	EXPECT_SOON(cgroup_on_node(env->dst) < area_size(a) / 8);

	current = cgroup_read("memory.current");
	area_touch(a, false);
	current -= cgroup_read("memory.current");
	EXPECT_LE(-ahead, current);
	EXPECT_GE(ahead, current);

	EXPECT_ALL_ON(a, env->dst);
	drain_lru_batches();	/* pages in a batch are not yet counted */
	if (nr_on(a, 0, a->nr, env->dst) == a->nr) {
		EXPECT_SOON(cgroup_on_node(env->dst) >= area_size(a));
		EXPECT_SOON(cgroup_on_node(env->src) < area_size(a) / 2);
	}
	if (variant->shmem)
		EXPECT_SOON(cgroup_counter("memory.stat", "shmem") ==
			    area_size(a));
	EXPECT_CONTENT(a);
}

/*
 * The copy is not charged in addition: a group that is full does not notice.
 * There is room for a page table or two.
 */
TEST_F(memcg, moves_in_a_group_at_its_limit)
{
	unsigned long long max, oom, current, room = 8 * psize();
	struct area *a = &self->area;
	char val[32];

	if (!memcg_populate(_metadata, variant, a))
		return;
	current = cgroup_read("memory.current");
	snprintf(val, sizeof(val), "%llu", current + room);
	ASSERT_EQ(0, cgroup_write("memory.max", val));
	max = cgroup_counter("memory.events", "max");
	oom = cgroup_counter("memory.events", "oom");

	area_touch(a, false);
	EXPECT_EQ(max, cgroup_counter("memory.events", "max"));
	EXPECT_EQ(oom, cgroup_counter("memory.events", "oom"));
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	ASSERT_EQ(0, cgroup_write("memory.max", "max"));
}

/*
 * userfaultfd
 */
FIXTURE(uffd)
{
	struct area area;
	int uffd;
};

FIXTURE_VARIANT(uffd)
{
	bool shmem;
	bool mapped;
	size_t folio_size;
};

FIXTURE_VARIANT_ADD(uffd, anon) { .shmem = false };
FIXTURE_VARIANT_ADD(uffd, memfd) { .shmem = true };
FIXTURE_VARIANT_ADD(uffd, mapped_anon) { .mapped = true };
FIXTURE_VARIANT_ADD(uffd, mapped_memfd) { .mapped = true, .shmem = true };
FIXTURE_VARIANT_ADD(uffd, mapped_anon_64k)
	{ .mapped = true, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(uffd, mapped_anon_pmd)
	{ .mapped = true, .folio_size = PMD_FOLIO };

static int uffd_open(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int uffd;

	uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd >= 0 && ioctl(uffd, UFFDIO_API, &api)) {
		close(uffd);
		uffd = -1;
	}
	return uffd;
}

FIXTURE_SETUP(uffd)
{
	if (!env_init(_metadata, variant->shmem || variant->mapped ? 0 : NEED_SWAP))
		return;
	self->uffd = uffd_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			       (variant->shmem ?
				UFFD_FEATURE_WP_HUGETLBFS_SHMEM : 0));
	if (self->uffd < 0)
		SKIP(return, "needs userfaultfd(2) with write protection");
}

FIXTURE_TEARDOWN_PARENT(uffd)
{
	env_restore();
}

static int uffd_protect(int uffd, void *addr, size_t len, bool on)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)addr, .len = len },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
}

/* Wait for the next page fault: its flags, or -1. */
static long long uffd_next(int uffd, void *addr)
{
	struct pollfd pfd = { .fd = uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&pfd, 1, PATIENCE_SEC * 1000) != 1 ||
	    read(uffd, &msg, sizeof(msg)) != sizeof(msg) ||
	    msg.event != UFFD_EVENT_PAGEFAULT ||
	    (msg.arg.pagefault.address & -(uint64_t)psize()) != (uintptr_t)addr)
		return -1;
	return msg.arg.pagefault.flags;
}

static void *touch_first(void *arg)
{
	struct toucher *t = arg;

	pin_to_cpu(t->cpu);
	touch_page(t->a, 0, t->write);
	return NULL;
}

/* Lift the protection when a write to page 0 has been reported. */
static void expect_wp_event(struct __test_metadata *_metadata, struct area *a,
			    int uffd)
{
	struct toucher t = { .a = a, .write = true, .cpu = env->cpu };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_first, &t));
	EXPECT_EQ(UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE,
		  uffd_next(uffd, a->p));
	ASSERT_EQ(0, uffd_protect(uffd, a->p, area_size(a), false));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	for (unsigned long i = 1; i < a->nr; i++)
		touch_page(a, i, true);
	a->writes++;
}

/* Write-protected pages on src, bound to dst before or after they were protected */
static bool uffd_populate(struct __test_metadata *_metadata,
			  const FIXTURE_VARIANT(uffd) * variant,
			  struct area *a, int uffd, bool bind_first)
{
	const bool swap = !variant->shmem && !variant->mapped;

	if (variant->mapped ?
	    !map_on(_metadata, a, variant->shmem ? MEMFD : ANON, NR_PAGES,
		    variant->folio_size, env->src) :
	    !shm_create(_metadata, a, variant->shmem ? MEMFD : ANON, NR_PAGES,
			NULL) || !area_write_on(_metadata, a, env->src))
		return false;
	if (variant->shmem && !variant->mapped)
		shm_unmap(_metadata, a);
	ASSERT_EQ(0, uffd_register(uffd, a->p, area_size(a), false, true,
				   false));
	if (bind_first) {
		if (swap && !to_swap_cache(_metadata, a))
			return false;
		ASSERT_EQ(0, bind_lazy(a, env->dst));
	}
	ASSERT_EQ(0, uffd_protect(uffd, a->p, area_size(a), true));
	if (!bind_first) {
		if (swap && !to_swap_cache(_metadata, a))
			return false;
		ASSERT_EQ(0, bind_lazy(a, env->dst));
	}
	if (variant->mapped)
		EXPECT_ALL_ON(a, env->src);
	return true;
}

/* Pages move when they are read, are still protected, and then written. */
static void expect_protected_move(struct __test_metadata *_metadata,
				  struct area *a, int uffd)
{
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	for (unsigned long i = 0; i < a->nr; i++)
		EXPECT_TRUE(pagemap_get_entry(pagemap_fd,
					      a->p + i * psize()) & PM_UFFD_WP);
	EXPECT_CONTENT(a);
	expect_wp_event(_metadata, a, uffd);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* A page that is write-protected when it leaves is so when it comes back. */
TEST_F(uffd, write_protection_survives_the_move)
{
	struct area *a = &self->area;

	if (uffd_populate(_metadata, variant, a, self->uffd, false))
		expect_protected_move(_metadata, a, self->uffd);
}

/* The call does not undo it, and it does not undo the call. */
TEST_F(uffd, protected_after_the_call)
{
	struct area *a = &self->area;

	if (uffd_populate(_metadata, variant, a, self->uffd, true))
		expect_protected_move(_metadata, a, self->uffd);
}

/* The first touch is a write. */
TEST_F(uffd, write_is_reported_and_moves)
{
	struct area *a = &self->area;

	if (!uffd_populate(_metadata, variant, a, self->uffd, false))
		return;
	expect_wp_event(_metadata, a, self->uffd);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

FIXTURE(uffd_minor)
{
	struct area area;
	int uffd;
};

FIXTURE_SETUP(uffd_minor)
{
	if (!env_init(_metadata, 0))
		return;
	self->uffd = uffd_open(UFFD_FEATURE_MINOR_SHMEM);
	if (self->uffd < 0)
		SKIP(return, "needs userfaultfd(2) with minor faults of shmem");
}

FIXTURE_TEARDOWN_PARENT(uffd_minor)
{
	env_restore();
}

/* A minor fault is decided before anybody looks where the page is. */
TEST_F(uffd_minor, guard_minor_fault_is_reported)
{
	struct uffdio_continue cont = {};
	struct area *a = &self->area;
	struct toucher t = { .a = a, .write = false, .cpu = env->cpu };
	pthread_t thread;
	long long flags;

	if (!shm_create(_metadata, a, MEMFD, NR_PAGES, NULL))
		return;
	shm_populate(_metadata, a, BY_SELF, env->src);
	ASSERT_EQ(0, uffd_register(self->uffd, a->p, area_size(a),
				   false, false, true));
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_first, &t));
	flags = uffd_next(self->uffd, a->p);
	EXPECT_EQ(UFFD_PAGEFAULT_FLAG_MINOR, flags);
	cont.range.start = (uintptr_t)a->p;
	cont.range.len = area_size(a);
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_CONTINUE, &cont));
	EXPECT_EQ(area_size(a), cont.mapped);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_CONTENT(a);
	ASSERT_EQ(0, uffd_unregister(self->uffd, a->p, area_size(a)));
}

/*
 * Mapped pages. The call marks them, and they move when they are touched: large
 * folios whole, base pages alone. But if the page before or after an anonymous
 * base page is accessible, somebody goes through memory in order, and the page
 * takes along what else is marked in an aligned window:
 *
 *	| window | window | window | window |
 *	             ^ touched: moves alone
 *	              ^ touched next: the rest of this window moves, no other
 *
 * There is no promise in that, pages can be busy.
 */
#define WINDOW	16UL

/*
 * How many faults the first touch of a page takes that migration has mapped: one if
 * hardware does not set the accessed bit, and the entry has lost it on the way.
 */
static long faults_after_migration(struct __test_metadata *_metadata)
{
	struct node_mask src = mask_of(env->src), dst = mask_of(env->dst);
	long faults;
	char *p;

	p = mmap(NULL, psize(), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, sys_mbind(p, psize(), MPOL_BIND, &src, 0));
	*p = 1;
	ASSERT_EQ(0, sys_mbind(p, psize(), MPOL_BIND, &dst,
			       MPOL_MF_MOVE | MPOL_MF_STRICT));
	faults = minor_faults();
	FORCE_READ(*p);
	faults = minor_faults() - faults;
	munmap(p, psize());
	EXPECT_GE(1, faults);
	return faults;
}

/* Pages that move together when one is touched, at most */
static unsigned long area_step(struct area *a)
{
	return 1UL << a->order > WINDOW ? 1UL << a->order : WINDOW;
}

/*
 * The call, which moves nothing and does not unmap anything either: this is where
 * a kernel without the feature fails.
 */
static void mark_range(struct __test_metadata *_metadata, struct area *a,
		       unsigned long first, unsigned long nr,
		       unsigned int move, int node)
{
	struct node_mask mask = mask_of(node);
	unsigned long *pfn;

	area_look(_metadata, a, a->p);
	pfn = area_pfns(a);
	ASSERT_EQ(0, mbind_lazily(a->p + first * psize(), nr * psize(),
				  MPOL_BIND, &mask, move));
	area_look(_metadata, a, a->p);
	ASSERT_EQ(0, memcmp(pfn, a->pfn, a->nr * sizeof(*pfn)))
		TH_LOG("pages moved at the call");
	free(pfn);
}

static void mark(struct __test_metadata *_metadata, struct area *a, int node)
{
	mark_range(_metadata, a, 0, a->nr, MPOL_MF_MOVE, node);
}

FIXTURE(mapped)
{
	struct area area;
};

FIXTURE_VARIANT(mapped)
{
	enum backing backing;
	size_t folio_size;
	bool write;
};

FIXTURE_VARIANT_ADD(mapped, anon_read) { .backing = ANON };
FIXTURE_VARIANT_ADD(mapped, anon_write) { .backing = ANON, .write = true };
FIXTURE_VARIANT_ADD(mapped, anon_64k_read)
	{ .backing = ANON, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(mapped, anon_64k_write)
	{ .backing = ANON, .folio_size = 64 << 10, .write = true };
FIXTURE_VARIANT_ADD(mapped, anon_pmd_read)
	{ .backing = ANON, .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(mapped, anon_pmd_write)
	{ .backing = ANON, .folio_size = PMD_FOLIO, .write = true };
FIXTURE_VARIANT_ADD(mapped, anon_16k_write)
	{ .backing = ANON, .folio_size = 16 << 10, .write = true };
FIXTURE_VARIANT_ADD(mapped, anon_128k_write)
	{ .backing = ANON, .folio_size = 128 << 10, .write = true };
FIXTURE_VARIANT_ADD(mapped, memfd_read) { .backing = MEMFD };
FIXTURE_VARIANT_ADD(mapped, memfd_write) { .backing = MEMFD, .write = true };
FIXTURE_VARIANT_ADD(mapped, memfd_64k_read)
	{ .backing = MEMFD, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(mapped, memfd_64k_write)
	{ .backing = MEMFD, .folio_size = 64 << 10, .write = true };
FIXTURE_VARIANT_ADD(mapped, memfd_pmd_read)
	{ .backing = MEMFD, .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(mapped, memfd_pmd_write)
	{ .backing = MEMFD, .folio_size = PMD_FOLIO, .write = true };
FIXTURE_VARIANT_ADD(mapped, tmpfs_read) { .backing = TMPFS };
FIXTURE_VARIANT_ADD(mapped, tmpfs_write) { .backing = TMPFS, .write = true };
FIXTURE_VARIANT_ADD(mapped, sysv_read) { .backing = SYSV };
FIXTURE_VARIANT_ADD(mapped, sysv_write) { .backing = SYSV, .write = true };
FIXTURE_VARIANT_ADD(mapped, cow_read) { .backing = PRIVATE_MEMFD };
FIXTURE_VARIANT_ADD(mapped, cow_write) { .backing = PRIVATE_MEMFD, .write = true };

FIXTURE_SETUP(mapped)
{
	if (env_init(_metadata, 0))
		map_on(_metadata, &self->area, variant->backing, 4 * WINDOW,
		       variant->folio_size, env->src);
}

FIXTURE_TEARDOWN_PARENT(mapped)
{
	env_restore();
}

TEST_F(mapped, moves_when_touched_and_not_before)
{
	unsigned long long numa, split, moved;
	struct area *a = &self->area;
	unsigned long step = area_step(a), page = step + step / 2 + 1;
	unsigned long unit = 1UL << a->order, first = page - page % unit;
	unsigned long folios = anon_folios(a->order);

	numa = numa_balancing_counters();
	split = vm_counter("thp_split_p*");
	mark(_metadata, a, env->dst);
	poke_page(a, page, variant->write);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, first, env->src);
	EXPECT_RANGE_ON(first, unit, env->dst);
	EXPECT_RANGE_ON(first + unit, a->nr - first - unit, env->src);

	area_touch(a, variant->write);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_TRUE(area_folios_whole(a));
	EXPECT_CONTENT(a);
	EXPECT_EQ(numa, numa_balancing_counters());
	EXPECT_EQ(split, vm_counter("thp_split_p*"));
	EXPECT_EQ(folios, anon_folios(a->order));

	/* That was it: from now on they are ordinary pages. */
	moved = pages_moved();
	EXPECT_EQ(0, touch_faults(a, true));
	EXPECT_EQ(moved, pages_moved());
	EXPECT_CONTENT(a);
}

/* It makes the page accessible, writable too if it was, and moves it. */
TEST_F(mapped, one_fault_is_enough)
{
	struct area *a = &self->area;
	unsigned long step = area_step(a);
	long most = 1 + faults_after_migration(_metadata);

	mark(_metadata, a, env->dst);
	for (unsigned long i = step - 1; i < a->nr; i += step) {
		long faults = poke_faults(a, i, variant->write);

		EXPECT_LE(1, faults);
		EXPECT_GE(most, faults);
		EXPECT_EQ(0, poke_faults(a, i, true));
	}
	area_look(_metadata, a, a->p);
	for (unsigned long i = step - 1; i < a->nr; i += step)
		EXPECT_RANGE_ON(i, 1, env->dst);
	EXPECT_CONTENT(a);
}

TEST_F(mapped, guard_placed_pages_are_not_marked)
{
	struct area *a = &self->area;
	unsigned long *pfn = area_pfns(a);

	ASSERT_EQ(0, bind_lazy(a, env->src));
	EXPECT_EQ(0, touch_faults(a, variant->write));
	EXPECT_ALL_ON(a, env->src);
	EXPECT_EQ(0, memcmp(pfn, a->pfn, a->nr * sizeof(*pfn)));
	EXPECT_CONTENT(a);
	free(pfn);
}

static bool stop_touching;

/*
 * Writers write the number of the round into a word of their own of each page,
 * and find it there in the next round. Others find it as it was. In the end, all
 * is as it was.
 */
static void *touch_until_stopped(void *arg)
{
	struct toucher *t = arg;
	uint64_t round = 0, want;
	bool stop = false, last;

	pin_to_cpu(t->cpu);
	do {
		last = stop;
		stop = __atomic_load_n(&stop_touching, __ATOMIC_ACQUIRE);
		for (unsigned long i = 0; i < t->a->nr; i++) {
			uint64_t *p = (uint64_t *)(t->a->p + i * psize());

			want = pattern(t->a, i, t->word);
			t->bad += FORCE_READ(p[t->word]) !=
				  (t->write && round ? round : want);
			if (t->write)
				__atomic_store_n(p + t->word, last ? want :
						 round + 1, __ATOMIC_RELAXED);
		}
		round++;
	} while (!last);
	return NULL;
}

/* The next CPU after @cpu that we may run on */
static int next_cpu(int cpu)
{
	do {
		cpu = (cpu + 1) % CPU_SETSIZE;
	} while (!CPU_ISSET(cpu, &all_cpus));
	return cpu;
}

TEST_F(mapped, guard_content_survives_repeated_calls)
{
	struct deadline d = deadline_in(1);
	struct area *a = &self->area;
	struct toucher t[3] = {};
	pthread_t thread[3];
	int cpu = env->cpu, i;

	for (i = 0; i < 3; i++) {
		cpu = next_cpu(cpu);
		t[i].word = 3 * i;
		t[i].a = a;
		t[i].cpu = cpu;
		t[i].write = variant->write && i != 1;
		ASSERT_EQ(0, pthread_create(&thread[i], NULL,
					    touch_until_stopped, &t[i]));
	}
	for (i = 0; i < 10 || (i < 100 && wait_more(&d)); i++) {
		ASSERT_EQ(0, bind_lazy(a, i % 2 ? env->src : env->dst));
		if (i % 5 == 4) {
			ASSERT_EQ(0, mprotect(a->p, area_size(a), PROT_READ |
					      PROT_WRITE | PROT_EXEC));
			ASSERT_EQ(0, mprotect(a->p, area_size(a), PROT_READ |
					      PROT_WRITE));
		}
	}
	__atomic_store_n(&stop_touching, true, __ATOMIC_RELEASE);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
		EXPECT_EQ(0, t[i].bad);
	}
	EXPECT_CONTENT(a);

	/* And as ever when they have gone */
	drain_lru_batches();
	ASSERT_EQ(0, bind_lazy(a, env->src));
	area_touch(a, variant->write);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, variant->write);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* The same for one thread that binds the memory before each round. */
static unsigned long call_and_touch(struct area *a, int me, bool write)
{
	struct deadline d = deadline_in(1);
	unsigned long word = 3 * me, bad = 0;
	uint64_t round, want, *p;
	bool last = false;

	for (round = 0; !last; round++) {
		last = round >= 10 && (round >= 100 || !wait_more(&d));
		bad += bind_lazy(a, (round + me) % 2 ? env->src : env->dst) != 0;
		for (unsigned long i = 0; i < a->nr; i++) {
			p = (uint64_t *)(a->p + i * psize());
			want = pattern(a, i, word);
			bad += FORCE_READ(p[word]) != (write && round ? round : want);
			if (write)
				__atomic_store_n(p + word, last ? want : round + 1,
						 __ATOMIC_RELAXED);
		}
	}
	return bad;
}

/* They share an object, or what the other has not written yet. */
TEST_F(mapped, guard_two_processes_call_and_touch_at_once)
{
	struct area *a = &self->area;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		pin_to_cpu(next_cpu(env->cpu));
		_exit(!!call_and_touch(a, 1, variant->write));
	}
	EXPECT_EQ(0, call_and_touch(a, 0, variant->write));
	wait_child(_metadata, pid);
	EXPECT_CONTENT(a);

	/* Now that it has gone, all moves again, but what COW has left of large folios */
	ASSERT_EQ(0, bind_lazy(a, env->src));
	area_touch(a, variant->write);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, variant->write);
	if (variant->backing != ANON || !variant->folio_size || !variant->write)
		EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* io_uring, one request at a time. Not through liburing, which is optional. */
struct ring {
	int fd;
	struct io_uring_params params;
	void *rings;
	struct io_uring_sqe *sqes;
};

static int ring_open(struct ring *r, unsigned int entries)
{
	struct io_uring_params *p = &r->params;

	memset(r, 0, sizeof(*r));
	p->flags = IORING_SETUP_NO_SQARRAY;
	r->fd = syscall(__NR_io_uring_setup, entries, p);
	if (r->fd < 0)
		return -1;
	r->rings = mmap(NULL, p->cq_off.cqes + p->cq_entries *
			sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE,
			MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	r->sqes = mmap(NULL, p->sq_entries * sizeof(*r->sqes),
		       PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		       IORING_OFF_SQES);
	return r->rings == MAP_FAILED || r->sqes == MAP_FAILED ? -1 : r->fd;
}

static int ring_submit(struct ring *r, const struct io_uring_sqe *sqe)
{
	unsigned int *tail = r->rings + r->params.sq_off.tail;

	r->sqes[*tail & (r->params.sq_entries - 1)] = *sqe;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	return syscall(__NR_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) - 1;
}

/* The result of the next request that is complete */
static int ring_wait(struct ring *r)
{
	unsigned int *head = r->rings + r->params.cq_off.head;
	unsigned int *tail = r->rings + r->params.cq_off.tail;
	struct io_uring_cqe *cqes = r->rings + r->params.cq_off.cqes;
	int res;

	while (__atomic_load_n(tail, __ATOMIC_ACQUIRE) == *head)
		if (syscall(__NR_io_uring_enter, r->fd, 0, 1,
			    IORING_ENTER_GETEVENTS, NULL, 0) < 0 &&
		    errno != EINTR)
			return -errno;
	res = cqes[*head & (r->params.cq_entries - 1)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

static int ring_rw(struct ring *r, int op, int flags, int fd, void *buf,
		   size_t len)
{
	struct io_uring_sqe sqe = {
		.opcode = op,
		.flags = flags,
		.fd = fd,
		.addr = (uintptr_t)buf,
		.len = len,
	};

	return ring_submit(r, &sqe) ? -errno : ring_wait(r);
}

/*
 * What can happen between the call and the touch
 */
FIXTURE(marked)
{
	struct area area;
};

FIXTURE_VARIANT(marked)
{
	enum backing backing;
	size_t folio_size;
};

FIXTURE_VARIANT_ADD(marked, anon) { .backing = ANON };
FIXTURE_VARIANT_ADD(marked, anon_64k) { .backing = ANON, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(marked, anon_pmd) { .backing = ANON, .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(marked, memfd) { .backing = MEMFD };
FIXTURE_VARIANT_ADD(marked, memfd_pmd) { .backing = MEMFD, .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(marked, cow) { .backing = PRIVATE_MEMFD };

FIXTURE_SETUP(marked)
{
	struct area *a = &self->area;

	if (!env_init(_metadata, 0) ||
	    !map_on(_metadata, a, variant->backing, 2 * WINDOW,
		    variant->folio_size, env->src))
		return;
	mark(_metadata, a, env->dst);
	ASSERT_EQ(a->nr, nr_on(a, 0, a->nr, env->src));
}

FIXTURE_TEARDOWN_PARENT(marked)
{
	env_restore();
}

TEST_F(marked, mprotect_and_madvise_keep_the_marks)
{
	struct area *a = &self->area;

	ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_COLD));
	ASSERT_EQ(0, mprotect(a->p, area_size(a), PROT_READ));
	ASSERT_EQ(0, mprotect(a->p, area_size(a), PROT_READ | PROT_WRITE));
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* A huge page is mapped by base pages then. */
TEST_F(marked, mprotect_of_a_part_keeps_the_marks)
{
	struct area *a = &self->area;
	size_t page = psize();

	ASSERT_EQ(0, mprotect(a->p + page, page, PROT_READ));
	ASSERT_EQ(0, mprotect(a->p + page, page, PROT_READ | PROT_WRITE));
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_TRUE(area_folios_whole(a));
	EXPECT_CONTENT(a);
}

/*
 * The kernel's reads take no page faults. Pages that it uses again come into a batch,
 * to be made active: it has a reference, and they are on the LRU all the while.
 */
TEST_F(marked, recently_used_pages_move)
{
	struct area *a = &self->area;

	drain_lru_batches();
	read_by_kernel(_metadata, a, getpid(), 0, a->nr);
	drain_lru_batches();
	read_by_kernel(_metadata, a, getpid(), a->nr - WINDOW, WINDOW);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* Read-only when it is touched, and when it is marked */
TEST_F(marked, read_only_pages_move)
{
	struct area *a = &self->area;

	ASSERT_EQ(0, mprotect(a->p, area_size(a), PROT_READ));
	for (int i = 0; i < 2; i++) {
		area_touch(a, false);
		EXPECT_ALL_ON(a, i ? env->src : env->dst);
		EXPECT_CONTENT(a);
		if (!i)
			mark(_metadata, a, env->src);
	}
	ASSERT_EQ(0, mprotect(a->p, area_size(a), PROT_READ | PROT_WRITE));
	area_touch(a, true);
	EXPECT_CONTENT(a);
}

/* No access means no access, and ends the marks. */
TEST_F(marked, prot_none_ends_the_marks)
{
	struct area *a = &self->area;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, mprotect(a->p, area_size(a), PROT_NONE));
	for (unsigned long i = 0; i < a->nr; i += WINDOW) {
		EXPECT_EQ(-1, write(fds[1], a->p + i * psize(), 1));
		EXPECT_EQ(EFAULT, errno);
	}
	ASSERT_EQ(0, mprotect(a->p, area_size(a), PROT_READ | PROT_WRITE));
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
}

/* To where windows and huge pages fit, and to where they do not. */
TEST_F(marked, mremap_keeps_the_marks)
{
	struct area *a = &self->area;
	size_t len = area_size(a);

	for (int i = 0; i < 2; i++) {
		char *p = mmap_aligned(len + psize(), 4UL << 20,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1);

		ASSERT_NE(MAP_FAILED, p);
		p += i * psize();
		ASSERT_EQ(p, sys_mremap(a->p, len, len,
					MREMAP_MAYMOVE | MREMAP_FIXED, p));
		a->p = p;
		area_touch(a, true);
		EXPECT_ALL_ON(a, i ? env->src : env->dst);
		EXPECT_CONTENT(a);
		if (!i)
			mark(_metadata, a, env->src);
	}
}

TEST_F(marked, pages_move_after_madvise_pageout)
{
	struct area *a = &self->area;

	if (!proc_counter("/proc/meminfo", "SwapFree:"))
		SKIP(return, "needs swap space");
	if (!to_swap_cache(_metadata, a))
		return;
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* What was written before is written out after. */
TEST_F(marked, content_survives_pageout_after_the_move)
{
	struct area *a = &self->area;

	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	drain_lru_batches();
	ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_PAGEOUT));
	EXPECT_CONTENT(a);
	EXPECT_ALL_ON(a, env->dst);
}

TEST_F(marked, madvise_dontneed_drops_the_pages)
{
	struct area *a = &self->area;

	ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_DONTNEED));
	if (variant->backing == MEMFD)
		EXPECT_CONTENT(a);
	else
		EXPECT_EQ(0, *(uint64_t *)a->p);
	area_fill(a, a->p);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* To read is no touch, as for GUP in general: the pages are there. To write is one. */
TEST_F(marked, madvise_populate)
{
	struct area *a = &self->area;
	long most = a->nr * faults_after_migration(_metadata);

	if (madvise(a->p, area_size(a), MADV_POPULATE_READ) && errno == EINVAL)
		SKIP(return, "needs MADV_POPULATE_READ");
	EXPECT_ALL_ON(a, env->src);
	ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_POPULATE_WRITE));
	EXPECT_ALL_ON(a, env->dst);
	/* Populating does not set the accessed bit, after the eager call neither */
	EXPECT_GE(most, touch_faults(a, true));
	EXPECT_CONTENT(a);
}

/* Freed pages may be lost, what is written after is not. */
TEST_F(marked, madvise_free_keeps_what_is_written_after)
{
	struct area *a = &self->area;
	unsigned long i, lost = 0;

	if (variant->backing != ANON) {
		EXPECT_EQ(-1, madvise(a->p, area_size(a), MADV_FREE));
	} else {
		drain_lru_batches();
		ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_FREE));
	}
	for (i = 0; i < a->nr; i++)
		lost += *(uint64_t *)(a->p + i * psize()) !=
			pattern(a, i, 0);
	EXPECT_TRUE(!lost || variant->backing == ANON);
	area_fill(a, a->p);
	EXPECT_CONTENT(a);
	mark(_metadata, a, env->dst);
	area_touch(a, true);
	EXPECT_CONTENT(a);
}

/* The marks end at once: no faults. */
TEST_F(marked, later_policy_makes_pages_accessible)
{
	struct node_mask mask = mask_of(env->dst);
	struct area *a = &self->area;
	unsigned long long numa = numa_balancing_counters();

	for (int i = 0; i < 3; i++) {
		mark(_metadata, a, env->dst);
		ASSERT_EQ(0, sys_mbind(a->p, area_size(a), i == 0 ? MPOL_BIND :
				       i == 1 ? MPOL_DEFAULT : MPOL_LOCAL,
				       i ? NULL : &mask, 0));
		EXPECT_EQ(0, touch_faults(a, true));
		EXPECT_ALL_ON(a, env->src);
		EXPECT_CONTENT(a);
	}
	EXPECT_EQ(numa, numa_balancing_counters());
}

TEST_F(marked, eager_call_moves_at_once)
{
	struct node_mask mask = mask_of(env->dst);
	struct area *a = &self->area;
	long most = a->nr * faults_after_migration(_metadata);

	ASSERT_EQ(0, sys_mbind(a->p, area_size(a), MPOL_BIND, &mask,
			       MPOL_MF_MOVE | MPOL_MF_STRICT));
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_GE(most, touch_faults(a, true));
	EXPECT_CONTENT(a);
}

/* The last call counts, be the pages there already. */
TEST_F(marked, another_lazy_policy_replaces_the_first)
{
	struct area *a = &self->area;
	int third = env->src;

	for (int i = 0; i < env->nr_nodes; i++)
		if (env->nodes[i] != env->src && env->nodes[i] != env->dst)
			third = env->nodes[i];
	mark(_metadata, a, env->src);
	mark(_metadata, a, third);
	area_touch(a, true);
	EXPECT_ALL_ON(a, third);
	mark(_metadata, a, env->dst);
	mark(_metadata, a, env->src);
	mark(_metadata, a, env->dst);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * A child shares private pages with the parent, and maps those of an object anew:
 * they are not the child's alone.
 */
TEST_F(marked, touched_by_a_child_first)
{
	struct area *a = &self->area;
	int node = env->src;

	for (int all = 0; all < 2; all++) {
		child_touches(_metadata, a, false, false, node);
		drain_lru_batches();
		if (!all)
			mark_range(_metadata, a, 0, a->nr, MPOL_MF_MOVE_ALL,
				   env->dst);
		if (variant->backing != MEMFD)
			node = env->dst;
	}
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* Who writes gets a copy, which is on the right node. The child has its own. */
TEST_F(marked, fork_and_write)
{
	struct area own = self->area, *a = &own;
	struct holder holder;

	holder = start_holder(_metadata, a, a->nr, false);
	if (variant->backing == MEMFD)
		for (unsigned long i = 0; i < a->nr; i++)
			write_first_word(a, i);
	else
		area_touch(a, true);
	EXPECT_CONTENT(a);
	EXPECT_ALL_ON(a, variant->backing == MEMFD ? env->src : env->dst);
	end_holder(_metadata, holder);
	area_touch(a, false);
	EXPECT_CONTENT(a);
}

/* Large folios of which half is left may stay, accessible. */
TEST_F(marked, munmap_leaves_the_rest)
{
	unsigned long quarter = self->area.nr / 4, half = 2 * quarter;
	struct area *a = &self->area;

	ASSERT_EQ(0, munmap(a->p + 3 * quarter * psize(), quarter * psize()));
	a->nr = 3 * quarter;
	area_touch(a, true);
	EXPECT_CONTENT(a);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, half, env->dst);
	if (a->node[half] != env->dst)
		EXPECT_RANGE_ON(half, quarter, env->src);
	EXPECT_EQ(0, touch_faults(a, true));
	EXPECT_CONTENT(a);
}

TEST_F(marked, exit_and_exec_with_marks)
{
	struct area *a = &self->area;
	pid_t pid;
	int status;

	for (int i = 0; i < 2; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			struct area own;

			open_pagemap();
			if (!map_on(_metadata, &own, variant->backing, a->nr,
				    variant->folio_size, env->src))
				_exit(127);
			mark(_metadata, &own, env->dst);
			touch_page(&own, 0, false);
			if (!i)
				_exit(0);
			close(STDOUT_FILENO);
			close(STDERR_FILENO);
			execl("/proc/self/exe", "migrate_on_fault", "-h", NULL);
			_exit(127);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFEXITED(status));
		EXPECT_NE(127, WEXITSTATUS(status));
		if (!i)
			EXPECT_EQ(0, WEXITSTATUS(status));
	}
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* write(2) from the pages is a touch, and so is read(2) into them. */
TEST_F(marked, read_2_and_write_2_move)
{
	struct area *a = &self->area;
	size_t len = area_size(a);
	char *buf = malloc(len);
	int fd;

	fd = memfd_create("migrate_on_fault", MFD_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(len, write(fd, a->p, len));
	EXPECT_ALL_ON(a, env->dst);
	ASSERT_EQ(len, pread(fd, buf, len, 0));
	EXPECT_EQ(0, area_bad_pages(a, buf));

	mark(_metadata, a, env->src);
	ASSERT_EQ(len, pread(fd, a->p, len, 0));
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
	close(fd);
	free(buf);
}

/* The same by io_uring, at once and by a worker thread of ours */
TEST_F(marked, io_uring_read_and_write_move)
{
	struct area *a = &self->area;
	size_t len = area_size(a);
	struct ring ring;
	int fd;

	if (ring_open(&ring, 1) < 0)
		SKIP(return, "needs io_uring");
	fd = memfd_create("migrate_on_fault", MFD_CLOEXEC);
	ASSERT_LE(0, fd);
	for (int i = 0; i < 2; i++) {
		int flags = i ? IOSQE_ASYNC : 0;

		ASSERT_EQ(len, ring_rw(&ring, IORING_OP_WRITE, flags, fd, a->p,
				       len));
		EXPECT_ALL_ON(a, env->dst);
		EXPECT_CONTENT(a);

		memset(a->p, 0, len);
		drain_lru_batches();
		mark(_metadata, a, env->src);
		ASSERT_EQ(len, ring_rw(&ring, IORING_OP_READ, flags, fd, a->p,
				       len));
		EXPECT_ALL_ON(a, env->src);
		EXPECT_CONTENT(a);
		drain_lru_batches();
		mark(_metadata, a, env->dst);
	}
	close(ring.fd);
	close(fd);
}

/*
 * A swap device, of which the first page says at its end what it is; and what is
 * in that page. Returns -1 after a SKIP.
 */
static int open_swap_direct(struct __test_metadata *_metadata, char **page)
{
	char dev[128] = "", line[256];
	FILE *f;
	int fd;

	f = fopen("/proc/swaps", "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "/%127s %*s %*u %*u %*d", dev + 1);
	if (f)
		fclose(f);
	dev[0] = '/';
	fd = open(dev, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		SKIP(return -1, "needs a swap device for O_DIRECT");
	*page = mmap_aligned(psize(), psize(), MAP_PRIVATE | MAP_ANONYMOUS, -1);
	ASSERT_EQ(psize(), pread(fd, *page, psize(), 0));
	EXPECT_EQ(0, memcmp(*page + psize() - 10, "SWAPSPACE2", 10));
	return fd;
}

TEST_F(marked, o_direct_read_arrives)
{
	struct area *a = &self->area;
	char *want;
	int fd;

	fd = open_swap_direct(_metadata, &want);
	if (fd < 0)
		return;
	for (unsigned long i = 0; i < a->nr; i += 2) {
		ASSERT_EQ(psize(), pread(fd, a->p + i * psize(), psize(), 0));
		EXPECT_EQ(0, memcmp(want, a->p + i * psize(), psize()));
		EXPECT_TRUE(page_ok(a, i + 1, a->p + (i + 1) * psize()));
	}
	EXPECT_ALL_ON(a, env->dst);
	close(fd);
}

/*
 * A device writes to the beginnings of pages, while their ends are touched: before
 * the requests are complete, or at least before we have heard of it. Pages that
 * are marked then (in the second round) stay or move, as it happens.
 */
#define IN_FLIGHT	32UL
#define SECTOR		512UL

TEST_F(marked, o_direct_read_in_flight)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_READ, .len = SECTOR };
	struct area *a = &self->area;
	unsigned long step = a->nr / IN_FLIGHT, i, w;
	struct ring ring;
	char *want;

	sqe.fd = open_swap_direct(_metadata, &want);
	if (sqe.fd < 0)
		return;
	sqe.off = psize() - SECTOR;
	if (ring_open(&ring, IN_FLIGHT) < 0)
		SKIP(return, "needs io_uring");
	for (int round = 0; round < 2; round++) {
		for (i = 0; i < IN_FLIGHT; i++) {
			sqe.addr = (uintptr_t)a->p + i * step * psize();
			ASSERT_EQ(0, ring_submit(&ring, &sqe));
		}
		if (round)
			ASSERT_EQ(0, bind_lazy(a, env->src));
		area_touch(a, true);
		for (i = 0; i < IN_FLIGHT; i++)
			ASSERT_EQ(SECTOR, ring_wait(&ring));
		for (i = 0; i < IN_FLIGHT; i++) {
			uint64_t *p = (void *)a->p + i * step * psize();

			EXPECT_EQ(0, memcmp(want + psize() - SECTOR, p, SECTOR));
			for (w = 0; w < SECTOR / sizeof(*p); w++)
				p[w] = pattern(a, i * step, w);
		}
		EXPECT_EQ(0, touch_faults(a, true));
		EXPECT_CONTENT(a);
		if (!round)
			EXPECT_ALL_ON(a, env->dst);
	}
	drain_lru_batches();
	ASSERT_EQ(0, bind_lazy(a, env->src));
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
	close(ring.fd);
	close(sqe.fd);
}

/* The ways into the memory of another process */
enum outside {
	READV,
	WRITEV,
	PTRACE,
};

/* What writes does so once to the last word of each page. */
static void access_from_outside(struct __test_metadata *_metadata,
				struct area *a, enum outside how, pid_t pid)
{
	size_t len = area_size(a), last = psize() - sizeof(uint64_t);
	char *buf = malloc(len);
	struct iovec local = { buf, len }, remote = { a->p, len };
	unsigned long i;
	int status;

	switch (how) {
	case READV:
		read_by_kernel(_metadata, a, pid, 0, a->nr);
		break;
	case WRITEV:
		area_fill(a, buf);
		for (i = 0; i < a->nr; i++)
			++*(uint64_t *)(buf + i * psize() + last);
		ASSERT_EQ(len, syscall(__NR_process_vm_writev, pid, &local, 1,
				       &remote, 1, 0));
		break;
	case PTRACE:
		ASSERT_EQ(0, ptrace(PTRACE_ATTACH, pid, NULL, NULL));
		ASSERT_EQ(pid, waitpid(pid, &status, __WALL));
		for (i = 0; i < a->nr; i++) {
			void *p = a->p + i * psize() + last;
			long word;

			errno = 0;
			word = ptrace(PTRACE_PEEKDATA, pid, p, NULL);
			ASSERT_EQ(0, errno);
			ASSERT_EQ(0, ptrace(PTRACE_POKEDATA, pid, p, word + 1));
		}
		ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, NULL, NULL));
	}
	free(buf);
}

/*
 * Marked pages that a child has never shared, and the child's access to them.
 * Returns false after a SKIP.
 */
static bool marked_and_accessed(struct __test_metadata *_metadata,
				const FIXTURE_VARIANT(marked) * variant,
				struct area *a, enum outside how)
{
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		raise(SIGSTOP);
		access_from_outside(_metadata, a, how, getppid());
		_exit(_metadata->exit_code);
	}
	ASSERT_EQ(pid, waitpid(pid, NULL, WUNTRACED));
	env_restore();
	if (!map_on(_metadata, a, variant->backing, a->nr, variant->folio_size,
		    env->src)) {
		kill(pid, SIGKILL);
		return false;
	}
	mark(_metadata, a, env->dst);
	kill(pid, SIGCONT);
	wait_child(_metadata, pid);
	a->writes += how != READV;
	return true;
}

/* Whoever looks in from outside gets the content, but is not who touches. */
TEST_F(marked, read_by_another_process_leaves_pages)
{
	struct area *a = &self->area;

	if (!marked_and_accessed(_metadata, variant, a, READV))
		return;
	EXPECT_ALL_ON(a, env->src);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* Nor is who writes. But to be written pages must be accessible, and stay so. */
TEST_F(marked, write_by_another_process_arrives)
{
	struct area *a = &self->area;

	for (enum outside how = WRITEV; how <= PTRACE; how++) {
		if (!marked_and_accessed(_metadata, variant, a, how))
			return;
		EXPECT_ALL_ON(a, env->src);
		EXPECT_CONTENT(a);
		EXPECT_EQ(0, touch_faults(a, true));
		EXPECT_ALL_ON(a, env->src);
		mark(_metadata, a, env->dst);
		area_touch(a, true);
		EXPECT_ALL_ON(a, env->dst);
		EXPECT_CONTENT(a);
	}
}

/* A device's page table, by a driver's MMU notifier, for all pages of an area */
static int mirror(int fd, unsigned long cmd, struct area *a, void *data)
{
	struct hmm_dmirror_cmd arg = {
		.addr = (uintptr_t)a->p,
		.ptr = (uintptr_t)data,
		.npages = a->nr,
	};

	return ioctl(fd, cmd, &arg) || arg.cpages != a->nr;
}

/* What is marked is no device's either. A device's access is one of ours. */
TEST_F(marked, mirror_of_a_device_follows)
{
	struct area *a = &self->area;
	unsigned char *prot = malloc(a->nr);
	char *buf = malloc(area_size(a));
	unsigned long page, mapped;
	int fd, node;

	fd = open("/dev/hmm_dmirror0", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "needs CONFIG_TEST_HMM");
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, mirror(fd, HMM_DMIRROR_SNAPSHOT, a, prot));
		for (page = mapped = 0; page < a->nr; page++)
			mapped += prot[page] != HMM_DMIRROR_PROT_NONE;
		EXPECT_EQ(0, mapped);
		node = i % 2 ? env->src : env->dst;
		if (i < 2) {
			area_touch(a, true);
		} else if (i < 3) {
			area_fill(a, buf);
			a->writes = 0;
			ASSERT_EQ(0, mirror(fd, HMM_DMIRROR_WRITE, a, buf));
		}
		ASSERT_EQ(0, mirror(fd, HMM_DMIRROR_READ, a, buf));
		EXPECT_EQ(0, area_bad_pages(a, buf));
		EXPECT_ALL_ON(a, node);
		EXPECT_CONTENT(a);
		EXPECT_EQ(0, touch_faults(a, true));
		drain_lru_batches();
		mark(_metadata, a, i % 2 ? env->dst : env->src);
	}
	close(fd);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	free(buf);
	free(prot);
}

#define HWPOISON_DIR	"/sys/kernel/debug/hwpoison/"

static int set_poison(const char *file, unsigned long pfn)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%lu", pfn);
	return write_text(file, buf);
}

static sigjmp_buf after_sigbus;

static void on_sigbus(int sig)
{
	siglongjmp(after_sigbus, 1);
}

static bool touch_is_sigbus(struct area *a, unsigned long page)
{
	signal(SIGBUS, on_sigbus);
	if (sigsetjmp(after_sigbus, true))
		return true;
	touch_page(a, page, false);
	return false;
}

/*
 * One page is poisoned after the call, and is there when the range is marked once
 * more. Of a large folio base pages are made: anonymous ones are mapped anew then,
 * and may have lost their marks.
 */
TEST_F(marked, poisoned_page_is_an_obstacle_to_itself_only)
{
	struct area *a = &self->area;
	unsigned long bad = a->nr / 2 + 1, i, wrong;
	unsigned long bad_pfn = a->pfn[bad];
	unsigned long unit = variant->backing == ANON ? 1UL << a->order : 1;
	unsigned long first = bad - bad % unit, end = first + unit;
	int node = env->dst;

	if (set_poison(HWPOISON_DIR "corrupt-pfn", bad_pfn))
		SKIP(return, "needs CONFIG_HWPOISON_INJECT");
	for (int round = 0; round < 2; round++) {
		for (i = 0; i < a->nr; i++)
			if (i != bad)
				touch_page(a, i, true);
		a->writes++;
		EXPECT_TRUE(touch_is_sigbus(a, bad));
		area_look(_metadata, a, a->p);
		EXPECT_RANGE_ON(0, first, node);
		EXPECT_RANGE_ON(first, bad - first, round ? node : a->node[first]);
		EXPECT_RANGE_ON(bad + 1, end - bad - 1,
				round ? node : a->node[first]);
		EXPECT_RANGE_ON(end, a->nr - end, node);
		for (i = wrong = 0; i < a->nr; i++)
			wrong += i != bad && !page_ok(a, i, a->p + i * psize());
		EXPECT_EQ(0, wrong);
		node = node == env->dst ? env->src : env->dst;
		drain_lru_batches();
		if (!round)
			mark(_metadata, a, node);
	}

	munmap(a->p, area_size(a));
	if (a->fd >= 0)
		ASSERT_EQ(0, ftruncate(a->fd, 0));
	EXPECT_EQ(0, set_poison(HWPOISON_DIR "unpoison-pfn", bad_pfn));
}

static unsigned long long locked_kb(void)
{
	return proc_counter("/proc/self/status", "VmLck:");
}

/*
 * Locked before or after the call: where they are, they are locked. But those of
 * large folios that are mapped by base pages are not counted once migrated,
 * however that came about, until reclaim meets them.
 */
TEST_F(marked, locked_pages_stay_locked)
{
	unsigned long long mlocked = proc_counter("/proc/meminfo", "Mlocked:");
	struct area *a = &self->area;
	size_t kb = area_size(a) >> 10;
	int node = -1;

	ASSERT_EQ(0, mlock(a->p, area_size(a)));
	for (int i = 0; i < 2; i++) {
		area_touch(a, true);
		EXPECT_CONTENT(a);
		area_look(_metadata, a, a->p);
		EXPECT_EQ(a->nr, nr_on(a, 0, a->nr, env->src) +
				 nr_on(a, 0, a->nr, env->dst));
		if (i)
			EXPECT_RANGE_ON(0, a->nr, node);
		EXPECT_EQ(kb, locked_kb());
		drain_lru_batches();
		if (variant->folio_size <= PMD_FOLIO)
			EXPECT_SOON(mlocked + kb ==
				    proc_counter("/proc/meminfo", "Mlocked:"));
		node = a->node[0] == env->src ? env->dst : env->src;
		mark(_metadata, a, node);
	}
	ASSERT_EQ(0, munlock(a->p, area_size(a)));
	area_touch(a, true);
	EXPECT_CONTENT(a);
	EXPECT_EQ(0, locked_kb());
	drain_lru_batches();
	EXPECT_SOON(proc_counter("/proc/meminfo", "Mlocked:") == mlocked);
}

static unsigned long nr_alarms;

static void on_alarm(int sig)
{
	__atomic_fetch_add(&nr_alarms, 1, __ATOMIC_RELAXED);
}

TEST_F(marked, signals_meanwhile)
{
	struct itimerval often = { .it_interval.tv_usec = 500,
				   .it_value.tv_usec = 500 }, off = {};
	struct deadline d = deadline_in(PATIENCE_SEC);
	struct area *a = &self->area;

	signal(SIGALRM, on_alarm);
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	for (int i = 0; i < 10 || wait_more(&d); i++) {
		if (i > 10 && __atomic_load_n(&nr_alarms, __ATOMIC_RELAXED) > 10)
			break;
		area_touch(a, true);
		ASSERT_EQ(0, bind_lazy(a, i % 2 ? env->dst : env->src));
	}
	area_touch(a, true);
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &off, NULL));
	EXPECT_LT(0, nr_alarms);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, a->nr, a->node[0]);
	EXPECT_CONTENT(a);
}

TEST_F(marked, soft_dirty_survives)
{
	struct area *a = &self->area;
	unsigned long i, dirty = 0;

	if (!softdirty_supported())
		SKIP(return, "needs CONFIG_MEM_SOFT_DIRTY");
	touch_page(a, 0, false);
	clear_softdirty();
	mark(_metadata, a, env->dst);
	area_touch(a, false);
	for (i = 0; i < a->nr; i++)
		dirty += pagemap_is_softdirty(pagemap_fd, a->p + i * psize());
	/* Any migration of a huge entry that is dirty makes it soft-dirty, too. */
	if (variant->folio_size != PMD_FOLIO)
		EXPECT_EQ(0, dirty);
	mark(_metadata, a, env->src);
	area_touch(a, true);
	mark(_metadata, a, env->dst);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	for (i = 0, dirty = 0; i < a->nr; i++)
		dirty += pagemap_is_softdirty(pagemap_fd, a->p + i * psize());
	EXPECT_EQ(a->nr, dirty);
	EXPECT_CONTENT(a);
}

/*
 * Pages that another process has mapped as well
 */
FIXTURE(mapped_twice)
{
	struct area area;
	struct holder holder;
};

FIXTURE_VARIANT(mapped_twice)
{
	enum backing backing;
	size_t folio_size;
};

FIXTURE_VARIANT_ADD(mapped_twice, anon) { .backing = ANON };
FIXTURE_VARIANT_ADD(mapped_twice, anon_64k)
	{ .backing = ANON, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(mapped_twice, anon_pmd)
	{ .backing = ANON, .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(mapped_twice, memfd) { .backing = MEMFD };
FIXTURE_VARIANT_ADD(mapped_twice, tmpfs) { .backing = TMPFS };
FIXTURE_VARIANT_ADD(mapped_twice, memfd_pmd)
	{ .backing = MEMFD, .folio_size = PMD_FOLIO };

FIXTURE_SETUP(mapped_twice)
{
	if (env_init(_metadata, 0) &&
	    map_on(_metadata, &self->area, variant->backing, 2 * WINDOW,
		   variant->folio_size, env->src))
		self->holder = start_holder(_metadata, &self->area,
					    self->area.nr, false);
}

FIXTURE_TEARDOWN_PARENT(mapped_twice)
{
	env_restore();
}

TEST_F(mapped_twice, guard_stays_with_move)
{
	struct area *a = &self->area;

	ASSERT_EQ(0, bind_lazy(a, env->dst));
	EXPECT_EQ(0, touch_faults(a, false));
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
	end_holder(_metadata, self->holder);
}

/* Mapped by the other one only after the call */
TEST_F(mapped_twice, moves_with_move_when_the_other_has_gone)
{
	struct area *a = &self->area;

	end_holder(_metadata, self->holder);
	mark(_metadata, a, env->dst);
	self->holder = start_holder(_metadata, a, a->nr, false);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->src);
	end_holder(_metadata, self->holder);
	mark(_metadata, a, env->dst);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

TEST_F(mapped_twice, moves_with_move_all)
{
	struct area *a = &self->area;

	drain_lru_batches();
	mark_range(_metadata, a, 0, a->nr, MPOL_MF_MOVE_ALL, env->dst);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_TRUE(area_folios_whole(a));
	EXPECT_CONTENT(a);
	end_holder(_metadata, self->holder);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * Shared private memory: who writes has a copy, on dst; the other keeps what it had,
 * wherever that has moved. A write to an object is seen by both.
 */
TEST_F(mapped_twice, write_with_move_all)
{
	/* What the other one compares with has no writes. */
	struct area own = self->area, *a = &own;
	unsigned long i;

	drain_lru_batches();
	mark_range(_metadata, a, 0, a->nr, MPOL_MF_MOVE_ALL, env->dst);
	if (variant->backing == ANON)
		area_touch(a, true);
	else
		for (i = 0; i < a->nr; i++)
			write_first_word(a, i);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	end_holder(_metadata, self->holder);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * Pages of a file on a disk: those that are mapped and clean move.
 */
FIXTURE(file)
{
	struct area area;
};

FIXTURE_VARIANT(file)
{
	int flags;
};

FIXTURE_VARIANT_ADD(file, shared) { .flags = MAP_SHARED };
FIXTURE_VARIANT_ADD(file, private) { .flags = MAP_PRIVATE };

/* How many of the pages that were last looked at have any of the flags? */
static unsigned long nr_flagged(struct area *a, uint64_t flags)
{
	unsigned long n = 0;

	for (unsigned long i = 0; i < a->nr; i++)
		n += !!(page_flags(a->pfn[i]) & flags);
	return n;
}

/* A file of the working directory's file system, written, synced and mapped on src */
FIXTURE_SETUP(file)
{
	struct area *a = &self->area;
	struct node_mask mask;
	int ret;

	if (!env_init(_metadata, 0))
		return;
	area_init(a, 2 * WINDOW);
	a->fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (a->fd < 0)
		SKIP(return, "needs a file system with O_TMPFILE");
	a->p = mmap_aligned(area_size(a), 4UL << 20, variant->flags, a->fd);
	ASSERT_NE(MAP_FAILED, a->p);
	a->q = a->p;

	/* The page cache of a file is allocated by the task's policy. */
	mask = mask_of(env->src);
	ASSERT_EQ(0, sys_set_mempolicy(MPOL_BIND, &mask));
	ret = area_pwrite(a);
	ASSERT_EQ(0, sys_set_mempolicy(MPOL_DEFAULT, NULL));
	if (ret || fsync(a->fd))
		SKIP(return, "needs a working directory to write to");
	area_touch(a, false);
	area_look(_metadata, a, a->p);
	/* Whatever the file system is, its pages tell. */
	if (nr_flagged(a, KPF_SWAPBACKED | KPF_DIRTY))
		SKIP(return, "needs a working directory on a disk");
	ASSERT_EQ(a->nr, nr_on(a, 0, a->nr, env->src));
	drain_lru_batches();
}

FIXTURE_TEARDOWN_PARENT(file)
{
	env_restore();
}

/* The page cache, whatever the area maps by now */
static void expect_cache_on(struct __test_metadata *_metadata, struct area *a, int node)
{
	struct area cache = *a;

	cache.p = mmap(NULL, area_size(a), PROT_READ, MAP_SHARED, a->fd, 0);
	ASSERT_NE(MAP_FAILED, cache.p);
	area_touch(&cache, false);
	expect_all_on(_metadata, &cache, node, __LINE__);
	munmap(cache.p, area_size(a));
}

/* What is on the disk. Of private pages that were written it is what was before. */
static void expect_on_disk(struct __test_metadata *_metadata, struct area *a,
			   unsigned int writes)
{
	struct area disk = *a;

	ASSERT_EQ(0, fsync(a->fd));
	munmap(a->p, area_size(a));
	ASSERT_EQ(0, posix_fadvise(a->fd, 0, 0, POSIX_FADV_DONTNEED));
	disk.p = mmap(NULL, area_size(a), PROT_READ, MAP_SHARED, a->fd, 0);
	ASSERT_NE(MAP_FAILED, disk.p);
	/* or somebody still has a reference */
	EXPECT_EQ(0, nr_cached(_metadata, &disk));
	disk.writes = writes;
	EXPECT_EQ(0, area_bad_pages(&disk, disk.p));
}

TEST_F(file, moves_when_read)
{
	struct area *a = &self->area;

	mark(_metadata, a, env->dst);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	drain_lru_batches();
	mark(_metadata, a, env->src);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
	expect_on_disk(_metadata, a, 0);
}

/* Who writes to a private page gets a copy, of a page that has moved before. */
TEST_F(file, moves_when_written)
{
	struct area *a = &self->area;

	mark(_metadata, a, env->dst);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	expect_cache_on(_metadata, a, env->dst);
	/* What the writes have made dirty is written out, and moves again. */
	ASSERT_EQ(0, fsync(a->fd));
	drain_lru_batches();
	mark(_metadata, a, env->src);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
	expect_on_disk(_metadata, a, variant->flags == MAP_SHARED ? a->writes : 0);
}

/* They would have to be written first. */
TEST_F(file, dirty_pages_stay)
{
	struct area *a = &self->area;

	if (variant->flags == MAP_SHARED)
		area_touch(a, true);
	else
		ASSERT_EQ(0, area_pwrite(a));
	drain_lru_batches();
	mark(_metadata, a, env->dst);
	EXPECT_EQ(0, touch_faults(a, false));
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
	if (nr_flagged(a, KPF_DIRTY) != a->nr)
		SKIP(return, "somebody else has written the pages out");
	ASSERT_EQ(0, fsync(a->fd));
	drain_lru_batches();
	mark(_metadata, a, env->dst);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* The fault asks again. */
TEST_F(file, pages_that_get_dirty_after_the_call_stay)
{
	struct area *a = &self->area;

	mark(_metadata, a, env->dst);
	ASSERT_EQ(0, area_pwrite(a));
	EXPECT_NE(0, touch_faults(a, false));
	EXPECT_EQ(0, touch_faults(a, false));
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
	if (nr_flagged(a, KPF_DIRTY) != a->nr)
		SKIP(return, "somebody else has written the pages out");
	expect_on_disk(_metadata, a, 0);
}

/* Code that others run as well is left alone, whatever the call says. */
TEST_F(file, shared_code_stays)
{
	struct area *a = &self->area;
	struct holder holder;

	if (mprotect(a->p, area_size(a), PROT_READ | PROT_EXEC))
		SKIP(return, "needs a file system that is not mounted noexec");
	holder = start_holder(_metadata, a, a->nr, false);
	drain_lru_batches();
	mark_range(_metadata, a, 0, a->nr, MPOL_MF_MOVE_ALL, env->dst);
	EXPECT_EQ(0, touch_faults(a, false));
	EXPECT_ALL_ON(a, env->src);
	end_holder(_metadata, holder);
	drain_lru_batches();
	mark(_metadata, a, env->dst);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* No fault looks at the policy of what it finds in the page cache of a disk's file. */
TEST_F(file, guard_unmapped_pages_stay)
{
	struct area *a = &self->area;

	ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_DONTNEED));
	ASSERT_TRUE(area_unmapped(a, a->p));
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
}

/*
 * Pages that a device may be writing to, or that somebody else holds
 */
enum pin {
	PIN_READ,		/* FOLL_PIN | FOLL_LONGTERM */
	PIN_FAST,
	PIN_WRITE,
	PIN_IO_URING,		/* a registered buffer */
	PIN_PIPE,		/* a reference only */
};

FIXTURE(pinned)
{
	struct area area;
	unsigned long held;
	struct ring ring;
	int fds[2];
};

FIXTURE_VARIANT(pinned)
{
	enum pin pin;
	size_t folio_size;
	enum backing backing;
};

FIXTURE_VARIANT_ADD(pinned, gup_read) { .pin = PIN_READ, .backing = ANON };
FIXTURE_VARIANT_ADD(pinned, gup_fast) { .pin = PIN_FAST, .backing = ANON };
FIXTURE_VARIANT_ADD(pinned, gup_write) { .pin = PIN_WRITE, .backing = ANON };
FIXTURE_VARIANT_ADD(pinned, gup_read_pmd)
	{ .pin = PIN_READ, .backing = ANON, .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(pinned, gup_fast_64k)
	{ .pin = PIN_FAST, .backing = ANON, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(pinned, gup_read_memfd) { .pin = PIN_READ, .backing = MEMFD };
FIXTURE_VARIANT_ADD(pinned, io_uring) { .pin = PIN_IO_URING, .backing = ANON };
FIXTURE_VARIANT_ADD(pinned, pipe) { .pin = PIN_PIPE, .backing = ANON };
FIXTURE_VARIANT_ADD(pinned, pipe_pmd)
	{ .pin = PIN_PIPE, .backing = ANON, .folio_size = PMD_FOLIO };

FIXTURE_SETUP(pinned)
{
	if (!env_init(_metadata, 0) ||
	    !map_on(_metadata, &self->area, variant->backing, 2 * WINDOW,
		    variant->folio_size, env->src))
		return;
	/* Half of the first window, or some of the first folio */
	self->held = WINDOW / 2;
	switch (variant->pin) {
	case PIN_IO_URING:
		self->fds[0] = ring_open(&self->ring, 1);
		break;
	case PIN_PIPE:
		ASSERT_EQ(0, pipe(self->fds));
		break;
	default:
		self->fds[0] = open("/sys/kernel/debug/gup_test", O_RDWR);
	}
	if (self->fds[0] < 0)
		SKIP(return, "needs io_uring, or CONFIG_GUP_TEST");
}

FIXTURE_TEARDOWN_PARENT(pinned)
{
	env_restore();
}

static long hold_pages(FIXTURE_DATA(pinned) * self, enum pin pin)
{
	struct iovec iov = { self->area.p, self->held * psize() };
	struct pin_longterm_test args = {
		.addr = (uintptr_t)iov.iov_base,
		.size = iov.iov_len,
		.flags = pin == PIN_WRITE ? PIN_LONGTERM_TEST_FLAG_USE_WRITE :
			 pin == PIN_FAST ? PIN_LONGTERM_TEST_FLAG_USE_FAST : 0,
	};

	if (pin == PIN_IO_URING)
		return syscall(__NR_io_uring_register, self->fds[0],
			       IORING_REGISTER_BUFFERS, &iov, 1);
	if (pin == PIN_PIPE)
		return vmsplice(self->fds[1], &iov, 1, 0) - (long)iov.iov_len;
	return ioctl(self->fds[0], PIN_LONGTERM_TEST_START, &args);
}

/* Who holds the pages sees what is in them. Then let go of them. */
static void release_pages(struct __test_metadata *_metadata,
			  FIXTURE_DATA(pinned) * self, enum pin pin)
{
	size_t len = self->held * psize();
	char *buf = malloc(len);
	uint64_t addr = (uintptr_t)buf;
	char *p = self->area.p;
	int fd;

	switch (pin) {
	case PIN_IO_URING:
		fd = memfd_create("migrate_on_fault", MFD_CLOEXEC);
		ASSERT_LE(0, fd);
		ASSERT_EQ(len, ring_rw(&self->ring, IORING_OP_WRITE_FIXED, 0, fd,
				       p, len));
		ASSERT_EQ(len, pread(fd, buf, len, 0));
		/* and we see what it writes */
		memset(p, 0, len);
		ASSERT_EQ(len, ring_rw(&self->ring, IORING_OP_READ_FIXED, 0, fd,
				       p, len));
		EXPECT_CONTENT(&self->area);
		close(fd);
		ASSERT_EQ(0, syscall(__NR_io_uring_register, self->fds[0],
				     IORING_UNREGISTER_BUFFERS, NULL, 0));
		break;
	case PIN_PIPE:
		for (size_t got = 0; got < len; got += psize())
			ASSERT_EQ(psize(), read(self->fds[0], buf + got,
						psize()));
		break;
	default:
		ASSERT_EQ(0, ioctl(self->fds[0], PIN_LONGTERM_TEST_READ, &addr));
		ASSERT_EQ(0, ioctl(self->fds[0], PIN_LONGTERM_TEST_STOP));
	}
	for (unsigned long i = 0; i < self->held; i++)
		EXPECT_TRUE(page_ok(&self->area, i, buf + i * psize()));
	free(buf);
}

/* The pages are where they were when they were pinned. */
TEST_F(pinned, guard_held_before_the_call_stays)
{
	struct area *a = &self->area;
	unsigned long *pfn;

	ASSERT_EQ(0, hold_pages(self, variant->pin));
	area_look(_metadata, a, a->p);
	pfn = area_pfns(a);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, true);
	area_look(_metadata, a, a->p);
	EXPECT_EQ(0, memcmp(pfn, a->pfn, self->held * sizeof(*pfn)));
	EXPECT_RANGE_ON(area_step(a), a->nr - area_step(a), env->dst);
	EXPECT_EQ(0, touch_faults(a, true));
	EXPECT_CONTENT(a);
	release_pages(_metadata, self, variant->pin);
	free(pfn);
}

TEST_F(pinned, held_after_the_call_stays_until_released)
{
	struct area *a = &self->area;
	unsigned long *pfn;

	mark(_metadata, a, env->dst);
	ASSERT_EQ(0, hold_pages(self, variant->pin));
	area_look(_metadata, a, a->p);
	pfn = area_pfns(a);
	area_touch(a, true);
	area_look(_metadata, a, a->p);
	EXPECT_EQ(0, memcmp(pfn, a->pfn, self->held * sizeof(*pfn)));
	if (!a->order)
		EXPECT_RANGE_ON(self->held, a->nr - self->held, env->dst);
	else
		EXPECT_RANGE_ON(area_step(a), a->nr - area_step(a), env->dst);
	EXPECT_EQ(0, touch_faults(a, true));
	EXPECT_CONTENT(a);
	release_pages(_metadata, self, variant->pin);

	drain_lru_batches();
	mark(_metadata, a, env->dst);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	free(pfn);
}

/*
 * Ranges, windows, and pages of a kind of their own
 */
FIXTURE(mapped_range)
{
	struct area area;
};

FIXTURE_SETUP(mapped_range)
{
	env_init(_metadata, 0);
}

FIXTURE_TEARDOWN_PARENT(mapped_range)
{
	env_restore();
}

/*
 *	| window | window | window | window |
 *	                   12..............		upwards, or downwards from
 *	                   ...21...........		somewhere
 */
TEST_F(mapped_range, page_next_to_an_accessible_one_takes_the_window_along)
{
	struct area *a = &self->area;
	const unsigned long start = 2 * WINDOW;
	unsigned long page, along, i;
	long faults;

	for (int down = 0; down < 2; down++) {
		if (!map_on(_metadata, a, ANON, 4 * WINDOW, 0, env->src))
			return;
		mark(_metadata, a, env->dst);
		page = start + 5 * down;
		EXPECT_EQ(1, poke_faults(a, page, true));
		area_look(_metadata, a, a->p);
		EXPECT_RANGE_ON(0, page, env->src);
		EXPECT_RANGE_ON(page, 1, env->dst);
		EXPECT_RANGE_ON(page + 1, a->nr - page - 1, env->src);

		page += down ? -1 : 1;
		EXPECT_EQ(1, poke_faults(a, page, true));
		area_look(_metadata, a, a->p);
		EXPECT_RANGE_ON(0, start, env->src);
		EXPECT_RANGE_ON(page, 1, env->dst);
		EXPECT_RANGE_ON(start + WINDOW, WINDOW, env->src);
		/* How many is up to the kernel, but those need no fault. */
		along = nr_on(a, start, WINDOW, env->dst);
		EXPECT_LE(WINDOW / 2, along);
		for (faults = i = 0; i < WINDOW; i++)
			faults += poke_faults(a, start + i, true);
		EXPECT_GE(WINDOW - along, faults);

		/* Touched in order */
		EXPECT_GE(a->nr / 4, touch_faults(a, true));
		EXPECT_ALL_ON(a, env->dst);
		EXPECT_CONTENT(a);
		munmap(a->p, area_size(a));
	}
}

/* Whoever needs every tenth page does not pay for the nine others. */
TEST_F(mapped_range, pages_here_and_there_move_alone)
{
	struct area *a = &self->area;
	int want[4 * WINDOW];
	unsigned long i;

	if (!map_on(_metadata, a, ANON, 4 * WINDOW, 0, env->src))
		return;
	mark(_metadata, a, env->dst);
	for (i = 0; i < a->nr; i++) {
		want[i] = i % 10 ? env->src : env->dst;
		if (i % 10 == 0)
			EXPECT_EQ(1, poke_faults(a, i, true));
	}
	area_look(_metadata, a, a->p);
	expect_nodes(_metadata, a, want);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 *	|    a window    |    a window    |	what is not in the range is not taken
 *	     | range | range |			along, however its policy was set
 */
TEST_F(mapped_range, window_ends_where_the_range_ends)
{
	struct area *a = &self->area;
	unsigned long half = WINDOW / 2;

	if (!map_on(_metadata, a, ANON, 2 * WINDOW, 0, env->src))
		return;
	mark_range(_metadata, a, half, half, MPOL_MF_MOVE, env->dst);
	mark_range(_metadata, a, WINDOW, half, MPOL_MF_MOVE, env->dst);
	area_touch(a, true);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, half, env->src);
	EXPECT_RANGE_ON(half, WINDOW, env->dst);
	EXPECT_RANGE_ON(WINDOW + half, half, env->src);
	EXPECT_CONTENT(a);
}

/* A hole, a zero page, pages on dst, shared by a child: no obstacle. */
TEST_F(mapped_range, window_of_all_sorts)
{
	struct area *a = &self->area;
	size_t page = psize();
	struct holder holder;
	void *addr;
	int status;

	if (!map_on(_metadata, a, ANON, 2 * WINDOW, 0, env->src))
		return;
	for (unsigned long i = 7; i < WINDOW; i += 4) {
		addr = a->p + i * page;
		ASSERT_EQ(0, sys_move_pages(1, &addr, &env->dst, &status,
					    MPOL_MF_MOVE));
		ASSERT_EQ(env->dst, status);
	}
	mark(_metadata, a, env->dst);
	holder = start_holder(_metadata, a, 4, false);
	ASSERT_EQ(0, madvise(a->p + 4 * page, 2 * page, MADV_DONTNEED));
	FORCE_READ(a->p[5 * page]);
	/* gives page 3 a copy of its own; pages 0-2 stay shared */
	touch_page(a, 3, false);
	write_first_word(a, 3);
	for (unsigned long i = 6; i < WINDOW; i++)
		touch_page(a, i, false);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, 3, env->src);
	EXPECT_RANGE_ON(3, 1, env->dst);
	EXPECT_EQ(-ENOENT, a->node[4]);
	EXPECT_EQ(0, a->p[5 * page]);
	EXPECT_EQ(0, a->p[4 * page]);
	for (unsigned long i = 4; i < 6; i++)
		fill_page(a, i, a->p + i * page);
	EXPECT_CONTENT(a);
	end_holder(_metadata, holder);
	drain_lru_batches();
	mark(_metadata, a, env->dst);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * What a child has until it calls exec(), say, waits for a touch of its own, also if
 * a page next to it is touched before. This child has copies of the first half, so
 * that these can move.
 */
TEST_F(mapped_range, shared_neighbours_keep_their_attempt)
{
	struct node_mask one = mask_of(env->dst), two = one;
	const unsigned long half = WINDOW / 2;
	struct area *a = &self->area;
	struct holder holder;

	mask_add(&two, env->src);
	for (int interleave = 0; interleave < 2; interleave++) {
		if (!map_on(_metadata, a, ANON, WINDOW, 0, env->src))
			return;
		ASSERT_EQ(0, mbind_lazily(a->p, area_size(a), interleave ?
					  MPOL_INTERLEAVE : MPOL_BIND,
					  interleave ? &two : &one,
					  MPOL_MF_MOVE));
		holder = start_holder(_metadata, a, half, true);
		for (unsigned long i = 0; i < half; i++)
			touch_page(a, i, false);
		area_look(_metadata, a, a->p);
		EXPECT_EQ(interleave ? half / 2 : half,
			  nr_on(a, 0, half, env->dst));
		EXPECT_RANGE_ON(half, half, env->src);
		end_holder(_metadata, holder);
		area_touch(a, true);
		area_look(_metadata, a, a->p);
		EXPECT_EQ(interleave ? half : a->nr,
			  nr_on(a, 0, a->nr, env->dst));
		EXPECT_CONTENT(a);
		munmap(a->p, area_size(a));
	}
}

/*
 *	| anon | read-only | memfd | no access |	one call
 *	  dst      dst        dst      src
 */
TEST_F(mapped_range, several_vmas)
{
	struct area *a = &self->area;
	unsigned long part = WINDOW;
	size_t len = part * psize();
	int fd;

	if (!map_on(_metadata, a, ANON, 4 * part, 0, env->src))
		return;
	fd = memfd_create("migrate_on_fault", MFD_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, len));
	ASSERT_EQ(a->p + 2 * len, mmap(a->p + 2 * len, len,
				       PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_FIXED, fd, 0));
	if (!area_write_on(_metadata, a, env->src))
		return;
	ASSERT_EQ(0, mprotect(a->p + len, len, PROT_READ));
	ASSERT_EQ(0, mprotect(a->p + 3 * len, len, PROT_NONE));
	mark(_metadata, a, env->dst);
	ASSERT_EQ(0, mprotect(a->p + 3 * len, len, PROT_READ));
	area_touch(a, false);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, 3 * part, env->dst);
	EXPECT_RANGE_ON(3 * part, part, env->src);
	EXPECT_CONTENT(a);
	ASSERT_EQ(0, mprotect(a->p, area_size(a), PROT_READ | PROT_WRITE));
	mark(_metadata, a, env->dst);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* EFAULT, and nothing is marked: there are no faults. */
TEST_F(mapped_range, hole_marks_nothing)
{
	struct node_mask mask = mask_of(env->dst);
	struct area *a = &self->area;

	if (!map_on(_metadata, a, ANON, 4 * WINDOW, 0, env->src))
		return;
	ASSERT_EQ(0, munmap(a->p + 2 * WINDOW * psize(), psize()));
	EXPECT_MBIND(EFAULT, a->p, area_size(a), MPOL_BIND, &mask,
		     MPOL_MF_MOVE | MPOL_MF_LAZY);
	a->nr = 2 * WINDOW;
	EXPECT_EQ(0, touch_faults(a, true));
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
}

/* The highest address there is, where the end of the range is the limit. */
TEST_F(mapped_range, end_of_the_address_space)
{
	struct area *a = &self->area;
	size_t len = WINDOW * psize();
	void *p = MAP_FAILED;

	for (int bit = 8 * sizeof(long) - 1; bit > 24 && p == MAP_FAILED; bit--)
		for (int gap = 0; gap < 2 && p == MAP_FAILED; gap++)
			p = mmap((void *)((1UL << bit) - gap * psize() - len),
				 len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
				 MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	area_init(a, WINDOW);
	a->p = p;
	if (!area_write_on(_metadata, a, env->src))
		return;
	mark(_metadata, a, env->dst);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 *	|   huge page   |   huge page   |	it is mapped by base pages then, and
 *	        |   range       |		moves whole or not at all
 */
TEST_F(mapped_range, huge_page_across_the_end)
{
	struct area *a = &self->area;
	unsigned long half, split;

	for (int end = 0; end < 2; end++) {
		if (!map_on(_metadata, a, ANON, 0, PMD_FOLIO, env->src))
			return;
		half = a->nr / 4;
		split = vm_counter("thp_split_page");
		mark_range(_metadata, a, end ? 0 : half, a->nr - half,
			   MPOL_MF_MOVE, env->dst);
		area_touch(a, true);
		area_look(_metadata, a, a->p);
		EXPECT_RANGE_ON(end ? 0 : 2 * half, 2 * half, env->dst);
		EXPECT_RANGE_ON(end ? 2 * half : 0, 2 * half,
				a->node[end ? 2 * half : 0]);
		EXPECT_TRUE(area_folios_whole(a));
		EXPECT_EQ(split, vm_counter("thp_split_page"));
		EXPECT_CONTENT(a);
		env_restore();
	}
}

/* Small or huge: there is nothing to move, and nothing to be split. */
TEST_F(mapped_range, guard_zero_page)
{
	struct area *a = &self->area;
	size_t sizes[] = { 0, PMD_FOLIO };

	for (int i = 0; i < 2; i++) {
		unsigned int order;

		if (!folio_size_order(_metadata, sizes[i], &order) ||
		    !only_order(_metadata, order, false))
			return;
		anon_map(_metadata, a, WINDOW << order, order);
		force_read_pages(a->p, a->nr, psize());
		ASSERT_EQ(0, bind_lazy(a, env->dst));
		EXPECT_EQ(0, touch_faults(a, false));
		for (unsigned long page = 0; page < a->nr; page++)
			EXPECT_EQ(0, a->p[page * psize()]);
		area_fill(a, a->p);
		EXPECT_ALL_ON(a, env->dst);
		EXPECT_CONTENT(a);
		munmap(a->p, area_size(a));
	}
}

/*
 * Pages on src of which the first window is equal, to be merged. Returns false after
 * a SKIP.
 */
static bool ksm_map(struct __test_metadata *_metadata, struct area *a)
{
	if (!map_on(_metadata, a, ANON, 2 * WINDOW, 0, env->src))
		return false;
	for (unsigned long i = 1; i < WINDOW; i++)
		fill_page(a, 0, a->p + i * psize());
	if (madvise(a->p, area_size(a), MADV_MERGEABLE) ||
	    env_set("/sys/kernel/mm/ksm/pages_to_scan", "10000") ||
	    env_set("/sys/kernel/mm/ksm/sleep_millisecs", "1") ||
	    env_set("/sys/kernel/mm/ksm/run", "0"))
		SKIP(return false, "needs CONFIG_KSM");
	return true;
}

static void ksm_merge(struct __test_metadata *_metadata, struct area *a)
{
	unsigned long merged = 0;

	ASSERT_EQ(0, ksm_start());
	write_text("/sys/kernel/mm/ksm/run", "0");
	area_look(_metadata, a, a->p);
	for (unsigned long i = 0; i < WINDOW; i++)
		merged += !!(page_flags(a->pfn[i]) & KPF_KSM);
	ASSERT_EQ(WINDOW, merged);
}

TEST_F(mapped_range, guard_ksm_page_stays)
{
	struct area *a = &self->area;
	unsigned long i;

	if (!ksm_map(_metadata, a))
		return;
	ksm_merge(_metadata, a);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	for (i = 0; i < a->nr; i++)
		touch_page(a, i, false);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, WINDOW, env->src);
	EXPECT_RANGE_ON(WINDOW, WINDOW, env->dst);
	for (i = 1; i < WINDOW; i++) {
		EXPECT_TRUE(page_ok(a, 0, a->p + i * psize()));
		fill_page(a, i, a->p + i * psize());
	}
	EXPECT_CONTENT(a);
}

/*
 * The eager call moves merged pages with MPOL_MF_MOVE_ALL. The lazy one does not:
 * which of their users is to say where they belong? It does not mark them, and what
 * is merged while it is marked stays, too.
 */
TEST_F(mapped_range, ksm_page_stays_with_move_all)
{
	struct area *a = &self->area;
	unsigned long i;
	long faults;

	for (int late = 0; late < 2; late++) {
		if (!ksm_map(_metadata, a))
			return;
		drain_lru_batches();
		if (!late)
			ksm_merge(_metadata, a);
		mark_range(_metadata, a, 0, a->nr, MPOL_MF_MOVE_ALL, env->dst);
		if (late)
			ksm_merge(_metadata, a);
		/* The page that the others become keeps its entry. */
		for (i = 0, faults = 0; i < WINDOW; i++)
			faults += poke_faults(a, i, false);
		EXPECT_GE(late, faults);
		for (; i < a->nr; i++)
			touch_page(a, i, false);
		area_look(_metadata, a, a->p);
		EXPECT_RANGE_ON(0, WINDOW, env->src);
		EXPECT_RANGE_ON(WINDOW, WINDOW, env->dst);
		for (i = 1; i < WINDOW; i++) {
			EXPECT_TRUE(page_ok(a, 0, a->p + i * psize()));
			fill_page(a, i, a->p + i * psize());
		}
		EXPECT_CONTENT(a);
		munmap(a->p, area_size(a));
	}
}

/* Half of a huge page is free already: what is left is not marked. */
TEST_F(mapped_range, half_of_a_huge_page_stays)
{
	struct area *a = &self->area;
	unsigned long quarter;

	for (int dontneed = 0; dontneed < 2; dontneed++) {
		if (!map_on(_metadata, a, ANON, 0, PMD_FOLIO, env->src))
			return;
		quarter = a->nr / 4;
		a->nr = 3 * quarter;
		ASSERT_EQ(0, dontneed ? madvise(a->p + area_size(a),
						quarter * psize(), MADV_DONTNEED) :
					munmap(a->p + area_size(a),
					       quarter * psize()));
		drain_lru_batches();
		mark(_metadata, a, env->dst);
		for (unsigned long i = 2 * quarter; i < a->nr; i++)
			EXPECT_EQ(0, poke_faults(a, i, true));
		area_touch(a, true);
		area_look(_metadata, a, a->p);
		EXPECT_RANGE_ON(0, 2 * quarter, env->dst);
		EXPECT_RANGE_ON(2 * quarter, quarter, env->src);
		EXPECT_CONTENT(a);
		env_restore();
	}
}

/* The call for one base page, where all has the policy already, is for all of it. */
TEST_F(mapped_range, huge_page_is_marked_again)
{
	struct area *a = &self->area;
	unsigned long split, half;
	void *addr;
	int status;

	if (!map_on(_metadata, a, ANON, 0, PMD_FOLIO, env->src))
		return;
	half = a->nr / 2;
	split = vm_counter("thp_split_p*");
	mark(_metadata, a, env->dst);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	for (int i = 0; i < 2; i++) {
		addr = a->p + i * half * psize();
		ASSERT_EQ(0, sys_move_pages(1, &addr, &env->src, &status,
					    MPOL_MF_MOVE));
		ASSERT_EQ(env->src, status);
	}
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->src);
	mark_range(_metadata, a, half / 2, 1, MPOL_MF_MOVE, env->dst);
	poke_page(a, half - 1, true);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, half, env->dst);
	EXPECT_RANGE_ON(half, half, env->src);
	EXPECT_EQ(split, vm_counter("thp_split_p*"));
	EXPECT_TRUE(area_folios_whole(a));
	EXPECT_CONTENT(a);
}

/* Of those pages nobody makes a fault: they are in the range, and no obstacle. */
TEST_F(mapped_range, hugetlb_stays)
{
	size_t len = read_pmd_pagesize();
	struct area *a = &self->area;
	struct node_mask mask;

	if (!len || env_set("/proc/sys/vm/nr_hugepages", "8"))
		SKIP(return, "needs hugetlb");
	area_init(a, len / psize());
	a->p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (a->p == MAP_FAILED)
		SKIP(return, "needs huge pages");
	mask = mask_of(env->src);
	ASSERT_EQ(0, sys_mbind(a->p, len, MPOL_PREFERRED, &mask, 0));
	area_fill(a, a->p);
	area_look(_metadata, a, a->p);
	mark_range(_metadata, a, 0, a->nr, MPOL_MF_MOVE,
		   a->node[0] == env->dst ? env->src : env->dst);
	EXPECT_EQ(0, touch_faults(a, true));
	EXPECT_ALL_ON(a, a->node[0]);
	EXPECT_CONTENT(a);
	ASSERT_EQ(0, munmap(a->p, len));
}

/*
 * What MADV_FREE has freed is so after the move, be it done in place: there is nothing
 * to be swapped out.
 */
TEST_F(mapped_range, freed_pages_remain_free)
{
	struct area *a = &self->area;
	unsigned long i;

	if (!map_on(_metadata, a, ANON, 2 * WINDOW, 0, env->src))
		return;
	drain_lru_batches();
	ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_FREE));
	drain_lru_batches();
	mark(_metadata, a, env->dst);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	for (i = 0; i < a->nr; i++)
		EXPECT_FALSE(page_flags(a->pfn[i]) & KPF_SWAPBACKED);
	area_touch(a, true);
	EXPECT_CONTENT(a);
}

/* What is freed after the call is in this CPU's batch, and moves all the same. */
TEST_F(mapped_range, just_freed_pages_move)
{
	struct area *a = &self->area;

	if (!map_on(_metadata, a, ANON, 2 * WINDOW, 0, env->src))
		return;
	drain_lru_batches();
	mark(_metadata, a, env->dst);
	ASSERT_EQ(0, madvise(a->p + WINDOW * psize(), WINDOW * psize(), MADV_FREE));
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* Another process sets a policy for all of the object, and is gone. */
static void other_binds(struct __test_metadata *_metadata, struct area *a, int mode,
			int node, unsigned int flags)
{
	struct node_mask mask = mask_of(node);
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(!!sys_mbind(a->p, area_size(a), mode,
				  mode == MPOL_BIND ? &mask : NULL, flags));
	wait_child(_metadata, pid);
}

/*
 * Another process, through a mapping of its own, replaces the policy of the object:
 * our marks remain, and end with a touch that moves nothing and counts nothing. The
 * call makes no more of them when it is repeated: the mapping has this policy, so
 * the object's stays as it is. With another policy in between it is a new one.
 */
static void policy_replaced(struct __test_metadata *_metadata, struct area *a,
			    size_t folio_size)
{
	static const int modes[] = { MPOL_BIND, MPOL_DEFAULT, MPOL_LOCAL, MPOL_BIND };
	unsigned long long numa, marked;

	for (int i = 0; i < 4; i++) {
		bool lazy = i == 3;

		if (!map_on(_metadata, a, MEMFD, 2 * WINDOW, folio_size, env->src))
			return;
		mark(_metadata, a, env->dst);
		other_binds(_metadata, a, modes[i], lazy ? env->src : env->dst,
			    lazy ? MPOL_MF_MOVE | MPOL_MF_LAZY : 0);
		numa = numa_balancing_counters();
		/* One a page, and the stack's after fork() */
		EXPECT_GE(a->nr + 4, touch_faults(a, true));
		EXPECT_EQ(0, touch_faults(a, true));
		EXPECT_ALL_ON(a, env->src);
		EXPECT_EQ(numa, numa_balancing_counters());

		marked = vm_counter("numa_lazy_pte_updates");
		mark(_metadata, a, env->dst);
		EXPECT_EQ(marked, vm_counter("numa_lazy_pte_updates"));
		EXPECT_EQ(0, touch_faults(a, true));
		EXPECT_ALL_ON(a, env->src);

		ASSERT_EQ(0, sys_mbind(a->p, area_size(a), MPOL_DEFAULT, NULL, 0));
		mark(_metadata, a, env->dst);
		EXPECT_LT(marked, vm_counter("numa_lazy_pte_updates"));
		area_touch(a, true);
		EXPECT_ALL_ON(a, env->dst);
		EXPECT_CONTENT(a);
		munmap(a->p, area_size(a));
		close(a->fd);
	}
}

TEST_F(mapped_range, policy_replaced_by_another_process)
{
	policy_replaced(_metadata, &self->area, 0);
}

TEST_F(mapped_range, policy_replaced_by_another_process_thp)
{
	policy_replaced(_metadata, &self->area, PMD_FOLIO);
}

/* The same where the other's is about what one process maps, and ours about all. */
TEST_F(mapped_range, move_all_replaced_by_another_process)
{
	struct area *a = &self->area;
	unsigned long long marked;
	struct holder holder;

	if (!map_on(_metadata, a, MEMFD, 2 * WINDOW, 0, env->src))
		return;
	holder = start_holder(_metadata, a, a->nr, false);
	mark_range(_metadata, a, 0, a->nr, MPOL_MF_MOVE_ALL, env->dst);
	other_binds(_metadata, a, MPOL_BIND, env->dst, MPOL_MF_MOVE | MPOL_MF_LAZY);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->src);

	marked = vm_counter("numa_lazy_pte_updates");
	mark_range(_metadata, a, 0, a->nr, MPOL_MF_MOVE_ALL, env->dst);
	EXPECT_EQ(marked, vm_counter("numa_lazy_pte_updates"));
	EXPECT_EQ(0, touch_faults(a, false));
	EXPECT_ALL_ON(a, env->src);

	/* What is nobody else's moves. */
	end_holder(_metadata, holder);
	mark_range(_metadata, a, 0, a->nr, MPOL_MF_MOVE_ALL, env->dst);
	EXPECT_EQ(marked + a->nr, vm_counter("numa_lazy_pte_updates"));
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * Pages are in the LRU batch of the CPU that calls, and another CPU touches them: the
 * call has drained that batch. It holds more than these few.
 */
TEST_F(mapped_range, page_just_written_moves_for_another_cpu)
{
	struct area *a = &self->area;
	struct toucher t = { .a = a, .cpu = next_cpu(env->cpu) };
	pthread_barrier_t start;
	pthread_t thread;

	ASSERT_EQ(0, pthread_barrier_init(&start, NULL, 1));
	t.start = &start;
	for (int i = 0; i < 2; i++) {
		if (!map_on(_metadata, a, i ? MEMFD : ANON, 8, 0, env->src))
			return;
		mark(_metadata, a, env->dst);
		ASSERT_EQ(0, pthread_create(&thread, NULL, touch_all, &t));
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_EQ(0, t.bad);
		EXPECT_ALL_ON(a, env->dst);
		EXPECT_CONTENT(a);
		munmap(a->p, area_size(a));
	}
}

/* None stays behind because it sits in this CPU's LRU batch. */
TEST_F(mapped_range, every_page_just_written_moves)
{
	struct area *a = &self->area;

	for (int i = 0; i < 2; i++) {
		if (!map_on(_metadata, a, i ? MEMFD : ANON, i ? 1000 : 4096, 0,
			    env->src))
			return;
		mark(_metadata, a, env->dst);
		area_touch(a, i);
		EXPECT_ALL_ON(a, env->dst);
		EXPECT_CONTENT(a);
		munmap(a->p, area_size(a));
	}
}

/* Nothing is used up: neither the call nor the touch asks for more of anything. */
TEST_F(mapped_range, no_limit_is_in_the_way)
{
	const int limits[] = { RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK,
			       RLIMIT_RSS };
	static const char * const keys[] = { "VmSize:", "VmData:", "VmLck:",
					     "VmPin:", "RssAnon:" };
	unsigned long long was[ARRAY_SIZE(keys)];
	struct rlimit old[ARRAY_SIZE(limits)], none;
	struct area *a = &self->area;
	int i;

	if (!map_on(_metadata, a, ANON, 2 * WINDOW, 0, env->src))
		return;
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		was[i] = proc_counter("/proc/self/status", keys[i]);
	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		ASSERT_EQ(0, getrlimit(limits[i], &old[i]));
		none = old[i];
		none.rlim_cur = 0;
		ASSERT_EQ(0, setrlimit(limits[i], &none));
	}
	/* Two VMAs, and one again */
	mark_range(_metadata, a, WINDOW, WINDOW, MPOL_MF_MOVE, env->dst);
	mark(_metadata, a, env->dst);
	area_touch(a, true);
	for (i = 0; i < ARRAY_SIZE(limits); i++)
		ASSERT_EQ(0, setrlimit(limits[i], &old[i]));
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		EXPECT_EQ(was[i], proc_counter("/proc/self/status", keys[i]))
			TH_LOG("%s", keys[i]);
	}
}

/*
 *	cpuset:		| src, dst | src  | src, dst |
 *	first window:	| marked   | touched: src    |
 *	second window:	| marked   |      | touched: dst
 *
 * Nodes that are absolute, or relative to the cpuset, are there again with it.
 */
TEST_F(mapped_range, static_and_relative_nodes_in_a_changing_cpuset)
{
	const int flags[] = { MPOL_F_STATIC_NODES, MPOL_F_RELATIVE_NODES };
	struct area *a = &self->area;
	char both[16], one[16];
	struct node_mask mask;

	if (!make_cgroup(_metadata, "cpuset"))
		return;
	snprintf(both, sizeof(both), "%d,%d", env->src, env->dst);
	snprintf(one, sizeof(one), "%d", env->src);
	ASSERT_EQ(0, cgroup_write("cpuset.mems", both));
	ASSERT_EQ(0, enter_cgroup());
	for (int i = 0; i < 2; i++) {
		if (!map_on(_metadata, a, ANON, 2 * WINDOW, 0, env->src))
			return;
		/* relative: the first of the two nodes, or the second */
		mask = mask_of(i ? env->dst > env->src : env->dst);
		ASSERT_EQ(0, mbind_lazy(a->p, area_size(a), MPOL_BIND | flags[i],
					&mask));
		ASSERT_EQ(0, cgroup_write("cpuset.mems", one));
		for (unsigned long page = 0; page < WINDOW; page++)
			touch_page(a, page, true);
		ASSERT_EQ(0, cgroup_write("cpuset.mems", both));
		area_touch(a, false);
		for (unsigned long page = WINDOW; page < a->nr; page++)
			touch_page(a, page, true);
		a->writes++;
		area_look(_metadata, a, a->p);
		EXPECT_RANGE_ON(0, WINDOW, env->src);
		EXPECT_RANGE_ON(WINDOW, WINDOW, env->dst);
		EXPECT_CONTENT(a);
	}
}

/* NUMA balancing takes no notice, and is off in other tests. */
TEST_F(mapped_range, numa_balancing_counts_nothing)
{
	const struct {
		enum backing backing;
		size_t folio_size;
	} kind[] = {
		{ ANON }, { MEMFD }, { PRIVATE_MEMFD },
		{ ANON, 64 << 10 }, { ANON, PMD_FOLIO },
	};
	struct area *a = &self->area;
	pid_t pid;

	/* A new process begins to be scanned after this. */
	env_set("/sys/kernel/debug/sched/numa_balancing/scan_delay_ms",
		"1000000");
	if (env_set(NUMA_BALANCING, "1"))
		SKIP(return, "needs CONFIG_NUMA_BALANCING");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		unsigned long long numa;

		open_pagemap();
		for (int i = 0; i < 2 * ARRAY_SIZE(kind); i++) {
			const bool write = i & 1;

			if (!map_on(_metadata, a, kind[i / 2].backing,
				    4 * WINDOW, kind[i / 2].folio_size,
				    env->src))
				break;
			numa = numa_balancing_counters();
			mark(_metadata, a, env->dst);
			area_touch(a, write);
			EXPECT_ALL_ON(a, env->dst);
			mark(_metadata, a, env->src);
			ASSERT_EQ(0, sys_mbind(a->p, area_size(a), MPOL_DEFAULT,
					       NULL, 0));
			area_touch(a, write);
			EXPECT_ALL_ON(a, env->dst);
			EXPECT_EQ(numa, numa_balancing_counters());
			EXPECT_CONTENT(a);
			munmap(a->p, area_size(a));
		}
		/* Without large folios the rest has been tested. */
		_exit(_metadata->exit_code == KSFT_SKIP ? 0 :
		      _metadata->exit_code);
	}
	wait_child(_metadata, pid);
}

/*
 * Next-touch: MPOL_LOCAL | lazy
 */
FIXTURE(next_touch)
{
	struct area area;
};

FIXTURE_VARIANT(next_touch)
{
	enum backing backing;
	size_t folio_size;
	bool together;		/* all threads at once */
};

FIXTURE_VARIANT_ADD(next_touch, anon) { .backing = ANON };
FIXTURE_VARIANT_ADD(next_touch, anon_together) { .backing = ANON, .together = true };
FIXTURE_VARIANT_ADD(next_touch, anon_64k)
	{ .backing = ANON, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(next_touch, anon_pmd)
	{ .backing = ANON, .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(next_touch, memfd) { .backing = MEMFD };
FIXTURE_VARIANT_ADD(next_touch, cow) { .backing = PRIVATE_MEMFD };

FIXTURE_SETUP(next_touch)
{
	env_init(_metadata, 0);
}

FIXTURE_TEARDOWN_PARENT(next_touch)
{
	env_restore();
}

/* A thread on one CPU touches every nr_parts-th part. */
struct part {
	struct area *a;
	unsigned long nr, nr_parts;
	int cpu, node;
	pthread_barrier_t *start;
};

static void *touch_part(void *arg)
{
	struct part *t = arg;
	void *p;

	/* First find out which node is local. */
	pin_to_cpu(t->cpu);
	p = mmap(NULL, psize(), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sys_mbind(p, psize(), MPOL_LOCAL, NULL, 0);
	memset(p, 1, psize());
	sys_move_pages(1, &p, NULL, &t->node, 0);

	if (t->start)
		pthread_barrier_wait(t->start);
	for (unsigned long i = 0; i < t->a->nr; i++)
		if (i / area_step(t->a) % t->nr_parts == t->nr)
			poke_page(t->a, i, t->nr % 2);
	return NULL;
}

/*
 *	| A A A A | B B B B | C C C C | A A A A | ...	thread that touches
 *	  node A    node B    node C    node A
 */
TEST_F(next_touch, page_comes_to_who_touches)
{
	struct area *a = &self->area;
	struct part t[8] = {};
	unsigned long nr = 0, i;
	pthread_barrier_t start;
	pthread_t thread[8];
	int *want, cpu;

	/* One thread a node, as far as there are CPUs */
	for (cpu = next_cpu(-1); nr < ARRAY_SIZE(t); cpu = next_cpu(cpu)) {
		for (i = 0; i < nr; i++)
			if (node_of_cpu(t[i].cpu) == node_of_cpu(cpu))
				break;
		if (i == nr)
			t[nr++].cpu = cpu;
		if (next_cpu(cpu) <= cpu)
			break;
	}
	env->cpu = t[0].cpu;
	if (!not_local_to_src() ||
	    !map_on(_metadata, a, variant->backing, 4 * WINDOW * nr,
		    variant->folio_size, env->src))
		return;
	drain_lru_batches();
	ASSERT_EQ(0, mbind_lazy(a->p, area_size(a), MPOL_LOCAL, NULL));
	EXPECT_ALL_ON(a, env->src);

	ASSERT_EQ(0, pthread_barrier_init(&start, NULL, nr));
	for (i = 0; i < nr; i++) {
		t[i].a = a;
		t[i].nr = i;
		t[i].nr_parts = nr;
		t[i].start = variant->together ? &start : NULL;
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, touch_part,
					    &t[i]));
		if (!variant->together)
			ASSERT_EQ(0, pthread_join(thread[i], NULL));
	}
	for (i = 0; variant->together && i < nr; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));

	want = calloc(a->nr, sizeof(*want));
	for (i = 0; i < a->nr; i++)
		want[i] = t[i / area_step(a) % nr].node;
	area_look(_metadata, a, a->p);
	expect_nodes(_metadata, a, want);
	EXPECT_TRUE(area_folios_whole(a));
	EXPECT_CONTENT(a);
	free(want);
}

/*
 * userfaultfd, read-write protection: it makes pages PROT_NONE, too.
 */
#ifdef UFFDIO_RWPROTECT
FIXTURE(uffd_rwp)
{
	struct area area;
	int uffd;
};

FIXTURE_SETUP(uffd_rwp)
{
	struct area *a = &self->area;
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_RWP };

	if (!env_init(_metadata, 0))
		return;
	self->uffd = uffd_open(UFFD_FEATURE_RWP);
	if (self->uffd < 0)
		SKIP(return, "needs userfaultfd(2) with read-write protection");
	if (!map_on(_metadata, a, ANON, 2 * WINDOW, 0, env->src))
		return;
	reg.range.start = (uintptr_t)a->p;
	reg.range.len = area_size(a);
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_REGISTER, &reg));
}

FIXTURE_TEARDOWN_PARENT(uffd_rwp)
{
	env_restore();
}

static int uffd_rwprotect(int uffd, struct area *a, unsigned long nr, bool on)
{
	struct uffdio_rwprotect rwp = {
		.range = { .start = (uintptr_t)a->p, .len = nr * psize() },
		.mode = on ? UFFDIO_RWPROTECT_MODE_RWP : 0,
	};

	return ioctl(uffd, UFFDIO_RWPROTECT, &rwp);
}

static void expect_rwp_event(struct __test_metadata *_metadata, struct area *a,
			     int uffd)
{
	struct toucher t = { .a = a, .cpu = env->cpu };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_first, &t));
	EXPECT_TRUE(uffd_next(uffd, a->p) & UFFD_PAGEFAULT_FLAG_RWP);
	ASSERT_EQ(0, uffd_rwprotect(uffd, a, a->nr, false));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	area_touch(a, true);
	EXPECT_CONTENT(a);
}

TEST_F(uffd_rwp, guard_access_is_reported)
{
	struct area *a = &self->area;

	ASSERT_EQ(0, uffd_rwprotect(self->uffd, a, a->nr, true));
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	expect_rwp_event(_metadata, a, self->uffd);
}

TEST_F(uffd_rwp, access_to_marked_page_is_reported)
{
	struct area *a = &self->area;

	mark(_metadata, a, env->dst);
	ASSERT_EQ(0, uffd_rwprotect(self->uffd, a, a->nr, true));
	expect_rwp_event(_metadata, a, self->uffd);
}

/* Registered, but not protected: it moves, and no event is sent. */
TEST_F(uffd_rwp, registered_range_moves)
{
	struct area *a = &self->area;

	mark(_metadata, a, env->dst);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	ASSERT_EQ(0, uffd_rwprotect(self->uffd, a, a->nr, true));
	expect_rwp_event(_metadata, a, self->uffd);
}
#endif

/*
 * userfaultfd, UFFDIO_MOVE: it rewrites entries, and those of swap as well.
 */
#ifdef UFFDIO_MOVE
FIXTURE(uffd_move)
{
	struct area area;
	char *to;
	int uffd;
};

FIXTURE_VARIANT(uffd_move)
{
	bool swap;
	size_t folio_size;
};

FIXTURE_VARIANT_ADD(uffd_move, anon) { .swap = false };
FIXTURE_VARIANT_ADD(uffd_move, anon_64k) { .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(uffd_move, anon_pmd) { .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(uffd_move, swap_cache) { .swap = true };

FIXTURE_SETUP(uffd_move)
{
	struct area *a = &self->area;

	if (!env_init(_metadata, variant->swap ? NEED_SWAP : 0))
		return;
	self->uffd = uffd_open(UFFD_FEATURE_MOVE);
	if (self->uffd < 0)
		SKIP(return, "needs userfaultfd(2) with UFFDIO_MOVE");
	if (!map_on(_metadata, a, ANON, NR_PAGES, variant->folio_size, env->src))
		return;
	self->to = mmap_aligned(area_size(a), 4UL << 20,
				MAP_PRIVATE | MAP_ANONYMOUS, -1);
	ASSERT_NE(MAP_FAILED, self->to);
	ASSERT_EQ(0, uffd_register(self->uffd, self->to, area_size(a),
				   true, false, false));
	ASSERT_EQ(0, uffd_register(self->uffd, a->p, area_size(a),
				   true, false, false));
}

FIXTURE_TEARDOWN_PARENT(uffd_move)
{
	env_restore();
}

/* 0, or an error that lasts: what is migrated or split at the moment is waited for. */
static int uffd_move(int uffd, char *to, char *from, size_t len)
{
	struct deadline d = deadline_in(PATIENCE_SEC);
	size_t done = 0;

	while (done < len) {
		struct uffdio_move move = {
			.dst = (uintptr_t)to + done,
			.src = (uintptr_t)from + done,
			.len = len - done,
		};

		if (ioctl(uffd, UFFDIO_MOVE, &move) &&
		    ((errno != EAGAIN && errno != EBUSY) || !wait_more(&d)))
			return errno;
		if (move.move > 0)
			done += move.move;
	}
	return 0;
}

/* Returns false after a SKIP. */
static bool bind_before_move(struct __test_metadata *_metadata,
			     const FIXTURE_VARIANT(uffd_move) * variant,
			     struct area *a, int node)
{
	if (!variant->swap) {
		mark(_metadata, a, node);
		return true;
	}
	if (!to_swap_cache(_metadata, a))
		return false;
	ASSERT_EQ(0, bind_lazy(a, node));
	return true;
}

/* The policy is the mapping's. A mark is not taken along, the page is. */
TEST_F(uffd_move, policy_of_the_new_place_counts)
{
	struct area *a = &self->area;

	if (!bind_before_move(_metadata, variant, a, env->dst))
		return;
	ASSERT_EQ(0, uffd_move(self->uffd, self->to, a->p, area_size(a)));
	a->p = self->to;
	a->order = 0;
	area_touch(a, true);
	/* What was read from swap once more is on any node. */
	if (!a->reread)
		EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);

	if (!bind_before_move(_metadata, variant, a, env->dst))
		return;
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* Carries pages away and back until told to stop. */
struct carrier {
	struct area *a;
	char *to;
	int uffd, cpu, err;
	bool stop;
	unsigned long nr_moved;
};

static void *carry(void *arg)
{
	struct carrier *c = arg;
	size_t page = psize();

	pin_to_cpu(c->cpu);
	while (!c->err && !__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		for (unsigned long i = 0; !c->err && i < c->a->nr; i++) {
			char *here = c->a->p + i * page, *there = c->to + i * page;

			c->err = uffd_move(c->uffd, there, here, page);
			if (!c->err)
				c->err = uffd_move(c->uffd, here, there, page);
			if (!c->err)
				__atomic_fetch_add(&c->nr_moved, 1,
						   __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

/*
 * One thread binds pages, here and there in turn, and touches them; another moves
 * them away meanwhile, and back. Who finds nothing waits in userfaultfd until it
 * is back.
 */
TEST_F(uffd_move, race_with_faults)
{
	struct area *a = &self->area;
	struct carrier c = {
		.a = a, .to = self->to, .uffd = self->uffd,
		.cpu = next_cpu(env->cpu),
	};
	unsigned long rounds = 128 * NR_PAGES / a->nr, round, bad = 0;
	struct deadline d = deadline_in(2);
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, carry, &c));
	for (round = 0; round < 2 || (round < rounds && wait_more(&d)) ||
	     !__atomic_load_n(&c.nr_moved, __ATOMIC_RELAXED); round++) {
		ASSERT_EQ(0, bind_lazy(a, round % 2 ? env->src : env->dst));
		if (variant->swap)
			madvise(a->p, area_size(a), MADV_PAGEOUT);
		for (unsigned long i = 0; i < a->nr; i++) {
			touch_page(a, i, true);
			a->writes++;
			bad += !page_ok(a, i, a->p + i * psize());
			a->writes--;
		}
		a->writes++;
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, c.err);
	EXPECT_EQ(0, bad);
	EXPECT_CONTENT(a);

	a->order = 0;
	for (int i = 0; i < 2; i++) {
		int node = i ? env->src : env->dst;

		drain_lru_batches();
		if (!bind_before_move(_metadata, variant, a, node))
			return;
		area_touch(a, true);
		EXPECT_ALL_ON(a, node);
		EXPECT_CONTENT(a);
	}
}
#endif

/*
 * What can be seen of it: counters, the trace event; and the administrator's switch
 */
#define LAZY_SWITCH	"/sys/kernel/mm/mempolicy/migrate_on_fault_enabled"
#define TRACING		"/sys/kernel/tracing/"
#define TRACING_DEBUGFS	"/sys/kernel/debug/tracing/"
#define TRACE_EVENT	"events/migrate/mm_migrate_on_fault/enable"

FIXTURE(seen)
{
	struct area area;
};

FIXTURE_VARIANT(seen)
{
	enum backing backing;
	size_t folio_size;
	bool cached;
};

FIXTURE_VARIANT_ADD(seen, anon) { .backing = ANON };
FIXTURE_VARIANT_ADD(seen, anon_64k) { .backing = ANON, .folio_size = 64 << 10 };
FIXTURE_VARIANT_ADD(seen, anon_pmd) { .backing = ANON, .folio_size = PMD_FOLIO };
FIXTURE_VARIANT_ADD(seen, memfd) { .backing = MEMFD };
FIXTURE_VARIANT_ADD(seen, memfd_cached) { .backing = MEMFD, .cached = true };

/* Leave no page in the page tables: the next touch finds it in the cache. */
static void seen_unmap(struct __test_metadata *_metadata,
		       const FIXTURE_VARIANT(seen) * variant, struct area *a)
{
	if (variant->cached) {
		shm_unmap(_metadata, a);
		drain_lru_batches();
	}
}

FIXTURE_SETUP(seen)
{
	if (env_init(_metadata, 0) &&
	    map_on(_metadata, &self->area, variant->backing, 4 * WINDOW,
		   variant->folio_size, env->src))
		seen_unmap(_metadata, variant, &self->area);
}

FIXTURE_TEARDOWN_PARENT(seen)
{
	env_restore();
}

static const char * const lazy_counters[] = {
	"numa_lazy_pte_updates",
	"numa_lazy_faults",
	"numa_lazy_migrated",
	"numa_lazy_failed",
	"numa_lazy_cache_migrated",
	"numa_lazy_cache_failed",
};

struct lazy_counts {
	unsigned long long val[ARRAY_SIZE(lazy_counters)];
};

enum { MARKED, FAULTS, MIGRATED, FAILED, CACHE_MIGRATED, CACHE_FAILED };

/* Of the system, or of the cgroup of the test */
static struct lazy_counts lazy_counts_of(bool cgroup)
{
	struct lazy_counts c;

	for (unsigned int i = 0; i < ARRAY_SIZE(lazy_counters); i++)
		c.val[i] = cgroup ? cgroup_counter("memory.stat", lazy_counters[i]) :
				    vm_counter(lazy_counters[i]);
	return c;
}

static struct lazy_counts lazy_counts_since(const struct lazy_counts *before)
{
	struct lazy_counts c = lazy_counts_of(false);

	for (unsigned int i = 0; i < ARRAY_SIZE(lazy_counters); i++)
		c.val[i] -= before->val[i];
	return c;
}

/* Each page once, where it belongs, and nothing else */
TEST_F(seen, counters_count_what_moves)
{
	struct lazy_counts before = lazy_counts_of(false), now;
	struct area *a = &self->area;

	ASSERT_EQ(0, bind_lazy(a, env->dst));
	now = lazy_counts_since(&before);
	EXPECT_EQ(variant->cached ? 0 : a->nr, now.val[MARKED]);
	EXPECT_EQ(0, now.val[FAULTS]);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);

	now = lazy_counts_since(&before);
	EXPECT_EQ(variant->cached ? 0 : a->nr, now.val[MIGRATED]);
	EXPECT_EQ(variant->cached ? a->nr : 0, now.val[CACHE_MIGRATED]);
	EXPECT_EQ(0, now.val[FAILED]);
	EXPECT_EQ(0, now.val[CACHE_FAILED]);
	if (variant->cached) {
		EXPECT_EQ(0, now.val[FAULTS]);
	} else {
		EXPECT_GE(a->nr >> a->order, now.val[FAULTS]);
		EXPECT_LE(a->nr / area_step(a), now.val[FAULTS]);
	}

	/* That was it. */
	before = lazy_counts_of(false);
	area_touch(a, true);
	now = lazy_counts_since(&before);
	for (unsigned int i = 0; i < ARRAY_SIZE(lazy_counters); i++) {
		EXPECT_EQ(0, now.val[i])
			TH_LOG("%s", lazy_counters[i]);
	}
	EXPECT_CONTENT(a);
}

/* memory.stat of the group counts the same as /proc/vmstat. */
TEST_F(seen, counters_of_a_cgroup)
{
	struct lazy_counts before = lazy_counts_of(false), now;
	struct area *a = &self->area;

	if (!make_cgroup(_metadata, "memory"))
		return;
	ASSERT_EQ(0, enter_cgroup());
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	now = lazy_counts_since(&before);
	EXPECT_NE(0, now.val[variant->cached ? CACHE_MIGRATED : MIGRATED]);
	for (unsigned int i = 0; i < ARRAY_SIZE(lazy_counters); i++)
		EXPECT_SOON(cgroup_counter("memory.stat", lazy_counters[i]) ==
			    now.val[i]);
}

/* A buffer of its own for the event, gone with the test. Returns false after a SKIP. */
static bool trace_start(struct __test_metadata *_metadata)
{
	const char *root = TRACING;
	char path[192];

	if (access(TRACING "instances", F_OK)) {
		root = TRACING_DEBUGFS;
		if (access(TRACING_DEBUGFS "instances", F_OK))
			SKIP(return false, "needs tracefs mounted");
	}
	/* Not the names of the tasks: that patches the scheduler on all CPUs. */
	snprintf(path, sizeof(path), "%soptions/record-cmd", root);
	ASSERT_EQ(0, env_set(path, "0"));
	snprintf(env->trace, sizeof(env->trace), "%sinstances/migrate_on_fault_%d",
		 root, getpid());
	ASSERT_EQ(0, mkdir(env->trace, 0755));
	snprintf(path, sizeof(path), "%s/" TRACE_EVENT, env->trace);
	ASSERT_EQ(0, write_text(path, "1"));
	return true;
}

/* How many pages that were to go from src to dst do events tell of? */
static unsigned long traced(const char *path, const char *result)
{
	char file[160], line[512], nodes[64], end[96];
	unsigned long pages = 0;
	unsigned int order;
	char *p;
	FILE *f;

	snprintf(file, sizeof(file), "%s/trace", env->trace);
	snprintf(nodes, sizeof(nodes), " nid=%d target_nid=%d ", env->src,
		 env->dst);
	snprintf(end, sizeof(end), " path=%s result=%s\n", path, result);
	f = fopen(file, "r");
	while (f && fgets(line, sizeof(line), f)) {
		p = strstr(line, " order=");
		if (p && strstr(p, nodes) && strstr(p, end) &&
		    sscanf(p, " order=%u", &order) == 1)
			pages += 1UL << order;
	}
	if (f)
		fclose(f);
	return pages;
}

TEST_F(seen, trace_tells_what_moved)
{
	const char *path = variant->cached ? "page_cache" :
			   variant->backing == ANON &&
			   variant->folio_size != PMD_FOLIO ? "in_place" : "mapped";
	struct area *a = &self->area;

	if (!trace_start(_metadata))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	EXPECT_EQ(0, traced(path, "moved"));
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_EQ(a->nr, traced(path, "moved"));
}

/* A child has them mapped as well. Marked before, or else they would not be marked. */
TEST_F(seen, trace_and_counters_tell_why_not)
{
	struct lazy_counts before = lazy_counts_of(false), now;
	struct area *a = &self->area;
	struct holder holder;
	unsigned long stayed;

	if (!trace_start(_metadata))
		return;
	if (variant->cached) {
		holder = start_holder(_metadata, a, a->nr, false);
		ASSERT_EQ(0, bind_lazy(a, env->dst));
	} else {
		ASSERT_EQ(0, bind_lazy(a, env->dst));
		holder = start_holder(_metadata, a, a->nr, false);
	}
	/* A write would copy anonymous pages; a read leaves to others what they map */
	area_touch(a, variant->cached);
	EXPECT_ALL_ON(a, env->src);
	stayed = variant->cached ? traced("page_cache", "has_mappings") :
				   traced("mapped", "shared");
	EXPECT_LE(a->nr, stayed);
	now = lazy_counts_since(&before);
	EXPECT_EQ(stayed, now.val[variant->cached ? CACHE_FAILED : FAILED]);
	EXPECT_EQ(0, now.val[MIGRATED]);
	EXPECT_EQ(0, now.val[CACHE_MIGRATED]);
	end_holder(_metadata, holder);
}

/* What is lazy already moves nothing while it is off, and marks are harmless. */
TEST_F(seen, switched_off_after_the_call)
{
	unsigned long long moved = pages_moved();
	struct area *a = &self->area;

	ASSERT_EQ(0, bind_lazy(a, env->dst));
	ASSERT_EQ(0, env_set(LAZY_SWITCH, "false"));
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->src);
	EXPECT_EQ(moved, pages_moved());
	EXPECT_CONTENT(a);

	/* The mark is used up; what is in the cache is asked for each time. */
	ASSERT_EQ(0, write_text(LAZY_SWITCH, "true"));
	seen_unmap(_metadata, variant, a);
	area_touch(a, true);
	EXPECT_ALL_ON(a, variant->cached ? env->dst : env->src);
	EXPECT_CONTENT(a);
}

/* A policy that is made while it is off is none that moves anything, then or later. */
TEST_F(seen, switched_off_before_the_call)
{
	unsigned long long moved = pages_moved(), marked;
	struct area *a = &self->area;
	char policy[128];

	ASSERT_EQ(0, env_set(LAZY_SWITCH, "false"));
	EXPECT_TRUE(lazy_supported());
	marked = vm_counter("numa_lazy_pte_updates");
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	EXPECT_EQ(marked, vm_counter("numa_lazy_pte_updates"));
	numa_maps_policy(a->p, policy, sizeof(policy));
	EXPECT_EQ(0, strncmp(policy, "bind:", 5))
		TH_LOG("numa_maps says %s", policy);
	for (int i = 0; i < 2; i++) {
		area_touch(a, true);
		EXPECT_ALL_ON(a, env->src);
		EXPECT_CONTENT(a);
		ASSERT_EQ(0, write_text(LAZY_SWITCH, "true"));
		seen_unmap(_metadata, variant, a);
	}
	EXPECT_EQ(moved, pages_moved());

	/* Until it is called again */
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

static void *switch_until_stopped(void *arg)
{
	unsigned long *switched = arg;

	while (!__atomic_load_n(&stop_touching, __ATOMIC_ACQUIRE)) {
		if (write_text(LAZY_SWITCH, *switched & 1 ? "true" : "false"))
			break;
		++*switched;
		usleep(500);
	}
	return NULL;
}

/* While one thread calls, and two touch, another one switches. */
TEST_F(seen, content_survives_switching)
{
	struct deadline d = deadline_in(1);
	struct area *a = &self->area;
	unsigned long switched = 0;
	struct toucher t[2] = {};
	pthread_t thread[3];
	int cpu = env->cpu, i;

	ASSERT_EQ(0, env_set(LAZY_SWITCH, "true"));
	for (i = 0; i < 2; i++) {
		cpu = next_cpu(cpu);
		t[i].word = 3 * i;
		t[i].a = a;
		t[i].cpu = cpu;
		t[i].write = true;
		ASSERT_EQ(0, pthread_create(&thread[i], NULL,
					    touch_until_stopped, &t[i]));
	}
	ASSERT_EQ(0, pthread_create(&thread[2], NULL, switch_until_stopped,
				    &switched));
	for (i = 0; i < 10 || (i < 100 && wait_more(&d)); i++) {
		ASSERT_EQ(0, bind_lazy(a, i & 1 ? env->src : env->dst));
		if (variant->cached)
			ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_DONTNEED));
	}
	__atomic_store_n(&stop_touching, true, __ATOMIC_RELEASE);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_LT(1, switched);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, t[i].bad);
	EXPECT_CONTENT(a);

	/* On in the end: all is as ever. */
	ASSERT_EQ(0, write_text(LAZY_SWITCH, "true"));
	for (i = 0; i < 2; i++) {
		drain_lru_batches();
		ASSERT_EQ(0, bind_lazy(a, i ? env->dst : env->src));
		seen_unmap(_metadata, variant, a);
		area_touch(a, true);
	}
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* Nobody else may move our pages meanwhile: off for all the tests. */
static char numa_balancing[16];
static pid_t main_pid;

static void restore_all(void)
{
	if (getpid() != main_pid)
		return;
	env_restore();
	if (numa_balancing[0])
		write_text(NUMA_BALANCING, numa_balancing);
}

static void exit_on_signal(int sig)
{
	exit(KSFT_FAIL);
}

int main(int argc, char **argv)
{
	env = mmap(NULL, sizeof(*env), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (env == MAP_FAILED)
		ksft_exit_fail_perror("mmap");
	sched_getaffinity(0, sizeof(all_cpus), &all_cpus);

	main_pid = getpid();
	atexit(restore_all);
	signal(SIGINT, exit_on_signal);
	signal(SIGTERM, exit_on_signal);
	if (!geteuid() && !read_text(NUMA_BALANCING, numa_balancing,
				     sizeof(numa_balancing)))
		write_text(NUMA_BALANCING, "0");
	return test_harness_run(argc, argv);
}
