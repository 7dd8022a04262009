// SPDX-License-Identifier: GPL-2.0
/*
 * mbind(MPOL_MF_MOVE | MPOL_MF_LAZY): memory that sits in a cache (shmem's page
 * cache, the swap cache), mapped by nobody, on a node its policy does not name,
 * moves to the node its policy names when it is next faulted in.
 *
 * Every test prepares pages on node "src", leaves them unmapped in a cache,
 * gives them a policy that names node "dst", touches them, and then looks where
 * they are (move_pages(2)) and what is in them:
 *
 *	          node src              node dst
 *	      +---------------+     +---------------+
 *	      | cached,       |     |               |	mbind(dst, MOVE | LAZY)
 *	      | unmapped      |     |               |	  ... nothing happens
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
 * them back in FIXTURE_TEARDOWN_PARENT, that is even if the test crashes. No
 * fixture is torn down whose setup did not finish, so what changes a setting
 * comes last in a setup.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/mempolicy.h>
#include <linux/mount.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include "vm_util.h"
#include "hugepage_settings.h"

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
static int mbind_lazy(void *addr, size_t len, int mode,
		      const struct node_mask *mask)
{
	int ret;

	ret = sys_mbind(addr, len, mode, mask, MPOL_MF_MOVE | MPOL_MF_LAZY);
	if (ret && errno == EINVAL && !lazy_supported())
		ret = sys_mbind(addr, len, mode, mask, MPOL_MF_MOVE);
	return ret;
}

/*
 * What a test needs to know of the machine, and what it has to put back.
 */
struct setting {
	char path[128];
	char val[64];
};

/* Of this process: struct env is shared with the children of a test. */
static int pagemap_fd;
static int kpageflags_fd;

static void open_pagemap(void)
{
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	kpageflags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
}

struct env {
	int nodes[MAX_NODES];		/* that have memory, most free first */
	int nr_nodes;
	int src;			/* where pages are put */
	int dst;			/* where the policy wants them */
	int cpu;			/* the only CPU the test runs on */

	/* for env_restore() */
	struct setting settings[96];
	int nr_settings;
	char swap_dev[128];		/* swapon() it */
	int swap_flags;
	char cgroup_root[64];
	char cgroup[128];		/* rmdir() it */
	char controller[16];		/* disable it */
};

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
	if (n && buf[n - 1] == '\n')
		buf[n - 1] = '\0';
	return 0;
}

static int write_text(const char *path, const char *val)
{
	ssize_t n;
	int fd;

	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	n = write(fd, val, strlen(val));
	if (n < 0)
		n = -errno;
	close(fd);
	return n < 0 ? n : 0;
}

/* Write a setting and remember what it was: the [word] if it is a choice. */
static int env_set(struct env *env, const char *path, const char *val)
{
	struct setting *s = &env->settings[env->nr_settings];
	char buf[256], *start, *end;
	int err;

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

static int env_set_num(struct env *env, const char *path, unsigned long val)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%lu", val);
	return env_set(env, path, buf);
}

/* Runs in the parent of the test, however that ended. */
static void env_restore(struct env *env)
{
	char buf[160];
	int i;

	for (i = env->nr_settings - 1; i >= 0; i--)
		write_text(env->settings[i].path, env->settings[i].val);
	if (env->swap_dev[0])
		swapon(env->swap_dev, env->swap_flags);
	if (env->cgroup[0])
		rmdir(env->cgroup);
	if (env->controller[0]) {
		snprintf(buf, sizeof(buf), "%s/cgroup.subtree_control",
			 env->cgroup_root);
		write_text(buf, env->controller);
	}
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
	cpu_set_t set;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		if (node_of_cpu(cpu) == node)
			return cpu;
		if (any < 0)
			any = cpu;
	}
	return any;
}

/* Memory that a test needs to be free on a node it uses. */
#define NODE_SPARE_KB	(24 << 10)

#define NEED_SWAP	0x1

/*
 * Choose src and dst among the nodes with memory: dst without CPUs if there is
 * such a node, src where we can run. Returns false after a SKIP.
 */
static bool env_init(struct __test_metadata *_metadata, struct env *env,
		     unsigned int needs)
{
	int nodes[MAX_NODES], nr, i, j;

	memset(env, 0, sizeof(*env));
	if (geteuid())
		SKIP(return false, "needs root");
	nr = read_node_list("has_memory", nodes, MAX_NODES);
	for (i = 0; i < nr; i++)
		if (node_meminfo(nodes[i], "MemFree:") >= NODE_SPARE_KB)
			env->nodes[env->nr_nodes++] = nodes[i];
	if (env->nr_nodes < 2)
		SKIP(return false, "needs two nodes with %d MiB free, found %d",
		     NODE_SPARE_KB >> 10, env->nr_nodes);

	for (i = 0; i < env->nr_nodes; i++)
		for (j = i + 1; j < env->nr_nodes; j++)
			if (node_meminfo(env->nodes[j], "MemFree:") >
			    node_meminfo(env->nodes[i], "MemFree:")) {
				int tmp = env->nodes[i];

				env->nodes[i] = env->nodes[j];
				env->nodes[j] = tmp;
			}
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

	pageflags_get(pfn, kpageflags_fd, &flags);
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

static int bind_eager(struct area *a, int node)
{
	struct node_mask mask = mask_of(node);

	return sys_mbind(a->p, area_size(a), MPOL_BIND, &mask, MPOL_MF_MOVE);
}

static int bind_default(struct area *a)
{
	return sys_mbind(a->p, area_size(a), MPOL_DEFAULT, NULL, 0);
}

static int bind_lazy(struct area *a, int node)
{
	struct node_mask mask = mask_of(node);

	return mbind_lazy(a->p, area_size(a), MPOL_BIND, &mask);
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

static int set_folio_order(struct env *env, bool shmem, unsigned int order,
			   const char *val)
{
	char path[128];

	snprintf(path, sizeof(path), THP_DIR "hugepages-%ukB/%s",
		 (psize() >> 10) << order, shmem ? "shmem_enabled" : "enabled");
	return env_set(env, path, val);
}

/* Only folios of this order, in VMAs that ask. Returns false after a SKIP. */
static bool only_order(struct __test_metadata *_metadata, struct env *env,
		       unsigned int order, bool shmem)
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
			ASSERT_EQ(0, set_folio_order(env, shmem, i, i == order ?
						     advised : "never"));
	return true;
}

/*
 * khugepaged holds references to and locks of folios that it looks at. With
 * nothing to do it ends, and writing the setting waits for that. Large folios
 * that exist are none of its business.
 */
static void stop_khugepaged(struct env *env)
{
	if (!thp_available())
		return;
	env_set(env, THP_DIR "enabled", "never");
	for (unsigned int i = 0; i < NR_ORDERS; i++) {
		set_folio_order(env, false, i, "never");
		set_folio_order(env, true, i, "never");
	}
}

/* Private memory, aligned to its folios. */
static void anon_map(struct __test_metadata *_metadata, struct area *a,
		     unsigned long nr, unsigned int order)
{
	size_t align = (size_t)psize() << order;
	char *p;

	area_init(a, nr);
	a->order = order;
	p = mmap(NULL, area_size(a) + align, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	p = (char *)(((uintptr_t)p + align - 1) & ~(align - 1));
	/* Its own VMA, that is not merged with what is left of the gap. */
	a->p = mmap(p, area_size(a), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(p, a->p);
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

/*
 * Page an anonymous area out, and leave it in the swap cache, on the node it is
 * on, written back. What reclaim freed is read again by MADV_WILLNEED, which
 * follows the policy that is still in force: so to the same node. Sets *@reread
 * if that happened. Returns false after a SKIP.
 */
static bool to_swap_cache(struct __test_metadata *_metadata, struct area *a,
			  bool *reread)
{
	struct deadline d = deadline_in(PATIENCE_SEC);
	unsigned char *in_core = malloc(a->nr);
	unsigned long i, cached;

	*reread = false;
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
	*reread = cached != a->nr;
	if (*reread && a->order)
		SKIP(return false, "folios of order %u did not stay in the swap cache",
		     a->order);
	if (a->order) {
		if (!area_folios_whole(a))
			SKIP(return false, "folios of order %u were split when swapped out",
			     a->order);
	}

	ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_WILLNEED));
	do {
		ASSERT_EQ(0, mincore(a->p, area_size(a), in_core));
		for (i = cached = 0; i < a->nr; i++)
			cached += in_core[i] & 1;
	} while (cached != a->nr && wait_more(&d));
	ASSERT_EQ(a->nr, cached);
	free(in_core);

	/* The end of writeback may have put folios into any CPU's batch. */
	drain_lru_batches();
	return true;
}

static bool anon_in_swap_cache(struct __test_metadata *_metadata,
			       struct area *a, unsigned long nr,
			       unsigned int order, int node)
{
	bool reread;

	return anon_populate(_metadata, a, nr, order, node) &&
	       to_swap_cache(_metadata, a, &reread);
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
	size_t len, align;
	char *hint = NULL;
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
		a->q = a->p;
		return true;
	case SHARED_ANON:
		a->p = mmap(NULL, len, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, a->p);
		a->q = a->p;
		return true;
	}

	ASSERT_EQ(0, ftruncate(a->fd, len));
	/* Page 0 begins a fault-around window, and the folio if it is huge. */
	align = 4UL << 20;
	hint = mmap(NULL, len + align, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, hint);
	hint = (char *)(((uintptr_t)hint + align - 1) & ~(align - 1));
	a->p = mmap(hint, len, PROT_READ | PROT_WRITE, MAP_FIXED |
		    (backing == PRIVATE_MEMFD ? MAP_PRIVATE : MAP_SHARED),
		    a->fd, 0);
	ASSERT_NE(MAP_FAILED, a->p);
	a->q = a->p;
	if (backing == PRIVATE_MEMFD) {
		a->q = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
			    a->fd, 0);
		ASSERT_NE(MAP_FAILED, a->q);
	}
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
	int status;
	pid_t pid;

	ASSERT_EQ(0, sys_mbind(a->q, area_size(a), MPOL_BIND, &mask, 0));
	switch (by) {
	case BY_SELF:
		area_fill(a, a->q);
		area_look(_metadata, a, a->q);
		ASSERT_EQ(a->nr, nr_on(a, 0, a->nr, node))
			log_nodes(_metadata, a);
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
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, status);
		break;
	}
	shm_unmap(_metadata, a);
}

/* Look at the object itself: maps it as it is, because no policy is lazy. */
static void shm_look(struct __test_metadata *_metadata, struct area *a,
		     int node)
{
	struct node_mask mask = mask_of(node);

	ASSERT_EQ(0, sys_mbind(a->q, area_size(a), MPOL_BIND, &mask, 0));
	for (unsigned long i = 0; i < a->nr; i++)
		FORCE_READ(a->q[i * psize()]);
	area_look(_metadata, a, a->q);
}

static int set_fault_around(struct env *env, bool on)
{
	return env_set_num(env, FAULT_AROUND, on ? 65536 : psize());
}

/*
 * The call
 */
FIXTURE(lazy_mbind)
{
	struct env env;
	struct area area;
};

FIXTURE_SETUP(lazy_mbind)
{
	if (!env_init(_metadata, &self->env, 0))
		return;
	area_init(&self->area, NR_PAGES);
	self->area.p = mmap(NULL, area_size(&self->area), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area.p);
	madvise(self->area.p, area_size(&self->area), MADV_NOHUGEPAGE);
}

FIXTURE_TEARDOWN_PARENT(lazy_mbind)
{
	env_restore(&self->env);
}

/* An error says something only where the same call without it works. */
#define ASSERT_LAZY_WORKS() do {					\
	struct node_mask __mask = mask_of(self->env.dst);		\
									\
	ASSERT_EQ(0, sys_mbind(self->area.p, psize(), MPOL_BIND,	\
			       &__mask, MPOL_MF_MOVE | MPOL_MF_LAZY));	\
	ASSERT_EQ(0, sys_mbind(self->area.p, psize(), MPOL_DEFAULT,	\
			       NULL, 0));				\
} while (0)

#define EXPECT_MBIND(err, addr, len, mode, mask, flags) do {		\
	int __ret = sys_mbind(addr, len, mode, mask, flags);		\
									\
	EXPECT_EQ(err, __ret ? errno : 0);				\
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
	struct node_mask mask = {}, want = mask_of(self->env.dst);
	struct area *a = &self->area;
	unsigned long long moved;
	int mode;

	ASSERT_EQ(0, bind_plain(a, self->env.src));
	area_fill(a, a->p);
	moved = vm_counter("pgmigrate_success");
	ASSERT_EQ(0, bind_lazy(a, self->env.dst));
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, a->nr, self->env.src);
	EXPECT_EQ(moved, vm_counter("pgmigrate_success"));
	ASSERT_EQ(0, sys_get_mempolicy(&mode, &mask, a->p));
	EXPECT_EQ(MPOL_BIND, mode);
	EXPECT_EQ(0, memcmp(&mask, &want, sizeof(mask)));
	EXPECT_CONTENT(a);
}

TEST_F(lazy_mbind, lazy_without_move_is_einval)
{
	struct node_mask mask = mask_of(self->env.dst);

	ASSERT_LAZY_WORKS();
	EXPECT_MBIND(EINVAL, self->area.p, psize(), MPOL_BIND, &mask,
		     MPOL_MF_LAZY);
	EXPECT_MBIND(EINVAL, self->area.p, 0, MPOL_BIND, &mask, MPOL_MF_LAZY);
}

TEST_F(lazy_mbind, lazy_with_strict_is_einval)
{
	struct node_mask mask = mask_of(self->env.dst);

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

TEST_F(lazy_mbind, lazy_move_all_needs_cap_sys_nice)
{
	struct __user_cap_header_struct hdr = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct cap[2];
	struct node_mask mask = mask_of(self->env.dst);
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
	struct node_mask mask = mask_of(self->env.dst), got = {};
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
	struct node_mask mask = mask_of(self->env.dst), none = {}, got = {};
	struct node_mask beyond = mask_of(MASK_BITS - 1);
	char *p = self->area.p;
	int mode;

	ASSERT_LAZY_WORKS();
	/* start not aligned, range that wraps */
	EXPECT_MBIND(EINVAL, p + 1, psize(), MPOL_BIND, &mask, lazy);
	EXPECT_MBIND(EINVAL, p, -(size_t)psize(), MPOL_BIND, &mask, lazy);
	/* unknown flags */
	EXPECT_MBIND(EINVAL, p, psize(), MPOL_BIND, &mask, lazy | (1 << 4));
	EXPECT_MBIND(EINVAL, p, psize(), MPOL_BIND, &mask, lazy | (1 << 30));
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
	struct node_mask mask = mask_of(self->env.dst);

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
	struct node_mask mask = mask_of(self->env.dst), two = mask;
	struct node_mask first = mask_of(0), got = {};
	size_t len = area_size(&self->area);
	int n0 = self->env.src < self->env.dst ? self->env.src : self->env.dst;
	int n1 = self->env.src + self->env.dst - n0;
	const char *sep = n1 == n0 + 1 ? "-" : ",";
	char *p = self->area.p;
	int mode;

	mask_add(&two, self->env.src);
	ASSERT_EQ(0, mbind_lazy(p, len, MPOL_BIND, &mask));
	EXPECT_NUMA_MAPS(p, "bind=lazy:%d", self->env.dst);
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
	EXPECT_NUMA_MAPS(p, "bind:%d", self->env.dst);
	ASSERT_EQ(0, mbind_lazy(p, len, MPOL_BIND, &mask));
	EXPECT_NUMA_MAPS(p, "bind=lazy:%d", self->env.dst);
	ASSERT_EQ(0, sys_mbind(p, len, MPOL_BIND, &mask, MPOL_MF_MOVE));
	EXPECT_NUMA_MAPS(p, "bind:%d", self->env.dst);
	ASSERT_EQ(0, sys_mbind(p, len, MPOL_DEFAULT, NULL, 0));
	EXPECT_NUMA_MAPS(p, "default");
}

/*
 *	| bind | bind=lazy | bind |	same mode, same node: still three VMAs,
 *	| bind                    |	until the middle is not lazy any more
 */
TEST_F(lazy_mbind, lazy_and_plain_policy_do_not_merge)
{
	struct node_mask mask = mask_of(self->env.dst);
	size_t third = 8 * psize();
	struct procmap_fd maps;
	char *p = self->area.p;

	ASSERT_EQ(0, sys_mbind(p, 3 * third, MPOL_BIND, &mask, 0));
	ASSERT_EQ(0, mbind_lazy(p + third, third, MPOL_BIND, &mask));
	EXPECT_NUMA_MAPS(p, "bind:%d", self->env.dst);
	EXPECT_NUMA_MAPS(p + third, "bind=lazy:%d", self->env.dst);
	EXPECT_NUMA_MAPS(p + 2 * third, "bind:%d", self->env.dst);

	ASSERT_EQ(0, sys_mbind(p + third, third, MPOL_BIND, &mask, 0));
	EXPECT_NUMA_MAPS(p + third, "bind:%d", self->env.dst);
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
	EXPECT_NUMA_MAPS(p, "bind=lazy:%d", self->env.dst);
}

TEST_F(lazy_mbind, child_inherits_lazy_policy)
{
	struct node_mask mask = mask_of(self->env.dst);
	int status;
	pid_t pid;

	ASSERT_EQ(0, mbind_lazy(self->area.p, area_size(&self->area),
				MPOL_BIND, &mask));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		char got[64], want[64];

		snprintf(want, sizeof(want), "bind=lazy:%d", self->env.dst);
		numa_maps_policy(self->area.p, got, sizeof(got));
		_exit(!!strcmp(want, got));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/*
 * The swap cache, all folio sizes, touched by reads and by writes
 */
FIXTURE(swap_cache)
{
	struct env env;
	unsigned int order;
	unsigned long nr;
};

FIXTURE_VARIANT(swap_cache)
{
	size_t folio_size;	/* 0: base pages, 1: a PMD */
	bool write;
};

FIXTURE_VARIANT_ADD(swap_cache, base_read)
{
	.write = false,
};

FIXTURE_VARIANT_ADD(swap_cache, base_write)
{
	.write = true,
};

FIXTURE_VARIANT_ADD(swap_cache, mthp_64k_read)
{
	.folio_size = 64 << 10,
	.write = false,
};

FIXTURE_VARIANT_ADD(swap_cache, mthp_64k_write)
{
	.folio_size = 64 << 10,
	.write = true,
};

FIXTURE_VARIANT_ADD(swap_cache, pmd_read)
{
	.folio_size = 1,
	.write = false,
};

FIXTURE_VARIANT_ADD(swap_cache, pmd_write)
{
	.folio_size = 1,
	.write = true,
};

FIXTURE_SETUP(swap_cache)
{
	size_t size = variant->folio_size;

	if (!env_init(_metadata, &self->env, NEED_SWAP))
		return;
	if (size == 1)
		size = read_pmd_pagesize();
	if (variant->folio_size && size < 2 * psize())
		SKIP(return, "needs transparent huge pages");
	if (size > (4UL << 20))
		SKIP(return, "a huge page of %zu MiB is too large", size >> 20);
	self->order = size ? sz2ord(size, psize()) : 0;
	self->nr = NR_PAGES;
	if (self->nr < 1UL << self->order)
		self->nr = 1UL << self->order;
}

FIXTURE_TEARDOWN_PARENT(swap_cache)
{
	env_restore(&self->env);
}

/* Large folios move whole, and their pages count one each. */
TEST_F(swap_cache, cached_folio_moves_when_touched)
{
	struct env *env = &self->env;
	unsigned long long moved, numa;
	struct area area, *a = &area;

	if (!only_order(_metadata, env, self->order, false) ||
	    !anon_in_swap_cache(_metadata, a, self->nr, self->order, env->src))
		return;
	stop_khugepaged(env);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	ASSERT_TRUE(area_unmapped(a, a->p));
	moved = vm_counter("pgmigrate_success");
	numa = numa_balancing_counters();
	area_touch(a, variant->write);
	EXPECT_EQ(moved + a->nr, vm_counter("pgmigrate_success"));
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
	struct env *env = &self->env;
	struct area area, *a = &area;
	int status;
	pid_t pid;

	if (!only_order(_metadata, env, self->order, false) ||
	    !anon_in_swap_cache(_metadata, a, self->nr, self->order, env->src))
		return;
	stop_khugepaged(env);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		open_pagemap();
		area_touch(a, variant->write);
		EXPECT_ALL_ON(a, env->dst);
		EXPECT_CONTENT(a);
		_exit(_metadata->exit_code);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);

	/* What the child wrote is the child's own. */
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	area_touch(a, true);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* mbind() without the flag, a lazy policy that was replaced, no policy. */
TEST_F(swap_cache, guard_stays_without_lazy_policy)
{
	struct env *env = &self->env;
	struct area area[3], *a;
	int i;

	if (!only_order(_metadata, env, self->order, false))
		return;
	for (i = 0; i < 3; i++)
		if (!anon_in_swap_cache(_metadata, &area[i], self->nr,
					self->order, env->src))
			return;
	stop_khugepaged(env);
	for (i = 0; i < 3; i++) {
		a = &area[i];
		switch (i) {
		case 0:
			ASSERT_EQ(0, bind_eager(a, env->dst));
			break;
		case 1:
			ASSERT_EQ(0, bind_lazy(a, env->dst));
			ASSERT_EQ(0, bind_plain(a, env->dst));
			break;
		case 2:
			ASSERT_EQ(0, bind_default(a));
			break;
		}
		area_touch(a, variant->write);
		EXPECT_ALL_ON(a, env->src);
		EXPECT_CONTENT(a);
	}
}

/* A folio that is where its policy wants it is not copied. */
TEST_F(swap_cache, guard_placed_folio_keeps_its_pfn)
{
	struct env *env = &self->env;
	struct area area, *a = &area;
	unsigned long long moved;
	unsigned long *pfn;
	bool reread;

	if (!only_order(_metadata, env, self->order, false) ||
	    !anon_populate(_metadata, a, self->nr, self->order, env->dst))
		return;
	pfn = calloc(a->nr, sizeof(*pfn));
	memcpy(pfn, a->pfn, a->nr * sizeof(*pfn));
	if (!to_swap_cache(_metadata, a, &reread))
		return;
	if (reread)
		SKIP(return, "pages did not stay in the swap cache");
	stop_khugepaged(env);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	moved = vm_counter("pgmigrate_success");
	area_touch(a, variant->write);
	EXPECT_EQ(moved, vm_counter("pgmigrate_success"));
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
	struct env env;
};

FIXTURE_SETUP(swapped)
{
	if (!env_init(_metadata, &self->env, NEED_SWAP))
		return;
}

FIXTURE_TEARDOWN_PARENT(swapped)
{
	env_restore(&self->env);
}

/* The policy is a promise for the next touch, not for a neighbour's. */
TEST_F(swapped, untouched_pages_stay)
{
	struct env *env = &self->env;
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
	struct env *env = &self->env;
	struct area area, *a = &area;

	if (!anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	ASSERT_EQ(0, mlock(a->p, area_size(a)));
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	ASSERT_EQ(0, munlock(a->p, area_size(a)));
}

/* So is the kernel's own access: read(2) into the range, ptrace and the like. */
TEST_F(swapped, kernel_access_moves)
{
	struct env *env = &self->env;
	struct area area, *a = &area;
	struct iovec local, remote;
	char *buf;

	if (!anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	buf = malloc(area_size(a));
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	local = (struct iovec){ .iov_base = buf, .iov_len = area_size(a) };
	remote = (struct iovec){ .iov_base = a->p, .iov_len = area_size(a) };
	ASSERT_EQ(area_size(a), syscall(__NR_process_vm_readv, getpid(),
					&local, 1, &remote, 1, 0));
	EXPECT_EQ(0, area_bad_pages(a, buf));
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	free(buf);
}

/* A cgroup of our own, or SKIP. Nobody is in it yet. */
static bool make_cgroup(struct __test_metadata *_metadata, struct env *env,
			const char *controller)
{
	char path[192], buf[256], *line = NULL;
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
	ASSERT_EQ(0, read_text(path, buf, sizeof(buf)));
	if (!strstr(buf, controller)) {
		snprintf(buf, sizeof(buf), "+%s", controller);
		if (write_text(path, buf))
			SKIP(return false, "cannot enable the %s controller",
			     controller);
		snprintf(env->controller, sizeof(env->controller), "-%s",
			 controller);
	}
	snprintf(env->cgroup, sizeof(env->cgroup), "%s/migrate_on_fault_%d",
		 env->cgroup_root, getpid());
	ASSERT_EQ(0, mkdir(env->cgroup, 0755));
	return true;
}

static int cgroup_write(struct env *env, const char *file, const char *val)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", env->cgroup, file);
	return write_text(path, val);
}

static unsigned long long cgroup_read(struct env *env, const char *file)
{
	char path[192], buf[64];

	snprintf(path, sizeof(path), "%s/%s", env->cgroup, file);
	if (read_text(path, buf, sizeof(buf)))
		return -1ULL;
	return strtoull(buf, NULL, 10);
}

static int enter_cgroup(struct env *env)
{
	return cgroup_write(env, "cgroup.procs", "0");
}

/* Whoever looks in from outside gets the content, but is not who touches. */
TEST_F(swapped, guard_read_by_another_process_leaves_pages)
{
	struct env *env = &self->env;
	struct area area, *a = &area;
	struct iovec local, remote;
	int ready[2], status;
	char *buf;
	pid_t pid;

	/* Before there is anything to share */
	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(sizeof(*a), read(ready[0], a, sizeof(*a)));
		buf = malloc(area_size(a));
		local = (struct iovec){ buf, area_size(a) };
		remote = (struct iovec){ a->p, area_size(a) };
		ASSERT_EQ(area_size(a),
			  syscall(__NR_process_vm_readv, getppid(), &local, 1,
				  &remote, 1, 0));
		EXPECT_EQ(0, area_bad_pages(a, buf));
		_exit(_metadata->exit_code);
	}
	if (!anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	ASSERT_EQ(sizeof(*a), write(ready[1], a, sizeof(*a)));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
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
	struct env *env = &self->env;
	struct deadline d = deadline_in(PATIENCE_SEC);
	unsigned char in_core[3 * NR_PAGES];
	struct area mine, its;
	unsigned long i, cached;
	size_t page = psize();

	if (!make_cgroup(_metadata, env, "memory"))
		return;
	ASSERT_EQ(0, enter_cgroup(env));
	/* By slot, not by address: what a rotating disk gets anyway. */
	env_set(env, VMA_READAHEAD, "false");
	env_set(env, PAGE_CLUSTER, "3");

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
		cgroup_write(env, "memory.reclaim", "1M");
		ASSERT_EQ(0, mincore(mine.p, area_size(&mine), in_core));
		ASSERT_EQ(0, mincore(its.p, area_size(&its), in_core + mine.nr));
		for (i = cached = 0; i < 3 * NR_PAGES; i++)
			cached += in_core[i] & 1;
	} while (cached && wait_more(&d));
	if (cached)
		SKIP(return, "%lu of %lu pages would not leave the swap cache",
		     cached, 3 * NR_PAGES);

	/* Mine come to src, and so does what is read along with them. */
	area_touch(&mine, false);
	d = deadline_in(1);
	do {
		ASSERT_EQ(0, mincore(its.p, area_size(&its), in_core));
		for (i = cached = 0; i < NR_PAGES; i++)
			cached += in_core[i] & 1;
	} while (!cached && wait_more(&d));
	if (!cached)
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
	struct env *env = &self->env;
	struct area area, *a = &area;
	int ready[2], done[2], status;
	char c = 0;
	pid_t pid;

	if (!anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(done));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(done[1]);
		area_touch(a, false);
		if (write(ready[1], &c, 1) != 1 || read(done[0], &c, 1) != 0)
			_exit(1);
		_exit(!!area_bad_pages(a, a->p));
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->src);
	EXPECT_CONTENT(a);
	close(done[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* The swap device, if there is exactly one and nobody else needs it. */
static bool only_swap_device(struct __test_metadata *_metadata, struct env *env,
			     char *dev, size_t len)
{
	unsigned long used = 0;
	char line[256], name[128];
	int nr = 0, prio = -1;
	FILE *f;

	f = fopen("/proc/swaps", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%127s %*s %*u %lu %d", name, &used, &prio) == 3) {
			snprintf(dev, len, "%s", name);
			nr++;
		}
	}
	if (f)
		fclose(f);
	if (nr != 1)
		SKIP(return false, "needs exactly one swap device, found %d", nr);
	if (used > (64UL << 10))
		SKIP(return false, "%lu KiB of swap are in use", used);
	env->swap_flags = prio < 0 ? 0 : SWAP_FLAG_PREFER |
			  ((prio & SWAP_FLAG_PRIO_MASK) << SWAP_FLAG_PRIO_SHIFT);
	return true;
}

/* swapoff maps the pages itself: a touch does not have to find them cached. */
TEST_F(swapped, guard_swapoff_keeps_content)
{
	struct env *env = &self->env;
	struct area area, *a = &area;
	char dev[128];

	if (!only_swap_device(_metadata, env, dev, sizeof(dev)) ||
	    !anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	touch_page(a, 0, false);
	snprintf(env->swap_dev, sizeof(env->swap_dev), "%s", dev);
	ASSERT_EQ(0, swapoff(dev));
	EXPECT_CONTENT(a);
	area_touch(a, true);
	EXPECT_CONTENT(a);
	ASSERT_EQ(0, swapon(dev, env->swap_flags));
	env->swap_dev[0] = '\0';
}

struct swap_toggler {
	const char *dev;
	int flags;
	int cpu;
	int rounds;
	int err;
	bool done;
};

static void *toggle_swap(void *arg)
{
	struct swap_toggler *t = arg;

	pin_to_cpu(t->cpu);
	for (int i = 0; i < t->rounds && !t->err; i++)
		if (swapoff(t->dev) || swapon(t->dev, t->flags))
			t->err = errno;
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	return NULL;
}

TEST_F(swapped, guard_swapoff_meanwhile_keeps_content)
{
	struct env *env = &self->env;
	struct swap_toggler t = { .rounds = 3, .cpu = env->cpu };
	struct area area, *a = &area;
	pthread_t thread;
	cpu_set_t set;
	char dev[128];

	if (!only_swap_device(_metadata, env, dev, sizeof(dev)) ||
	    !anon_in_swap_cache(_metadata, a, NR_PAGES, 0, env->src))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	snprintf(env->swap_dev, sizeof(env->swap_dev), "%s", dev);
	t.dev = dev;
	t.flags = env->swap_flags;
	/* on another CPU if there is one */
	memset(&set, 0xff, sizeof(set));
	sched_setaffinity(0, sizeof(set), &set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && cpu != env->cpu)
			t.cpu = cpu;
	ASSERT_EQ(0, pin_to_cpu(env->cpu));

	ASSERT_EQ(0, pthread_create(&thread, NULL, toggle_swap, &t));
	while (!__atomic_load_n(&t.done, __ATOMIC_ACQUIRE)) {
		area_touch(a, true);
		madvise(a->p, area_size(a), MADV_PAGEOUT);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, t.err);
	EXPECT_CONTENT(a);
	env->swap_dev[0] = '\0';
}

/*
 * shmem, all its forms, touched by reads and by writes, with and without
 * fault-around
 */
FIXTURE(shmem)
{
	struct env env;
	struct area area;
};

FIXTURE_VARIANT(shmem)
{
	enum backing backing;
	bool write;
	bool fault_around;
};

FIXTURE_VARIANT_ADD(shmem, memfd_read_around)
{
	.backing = MEMFD,
	.write = false,
	.fault_around = true,
};

FIXTURE_VARIANT_ADD(shmem, memfd_read_single)
{
	.backing = MEMFD,
	.write = false,
	.fault_around = false,
};

FIXTURE_VARIANT_ADD(shmem, memfd_write_around)
{
	.backing = MEMFD,
	.write = true,
	.fault_around = true,
};

FIXTURE_VARIANT_ADD(shmem, memfd_write_single)
{
	.backing = MEMFD,
	.write = true,
	.fault_around = false,
};

FIXTURE_VARIANT_ADD(shmem, tmpfs_read_around)
{
	.backing = TMPFS,
	.write = false,
	.fault_around = true,
};

FIXTURE_VARIANT_ADD(shmem, tmpfs_read_single)
{
	.backing = TMPFS,
	.write = false,
	.fault_around = false,
};

FIXTURE_VARIANT_ADD(shmem, tmpfs_write_around)
{
	.backing = TMPFS,
	.write = true,
	.fault_around = true,
};

FIXTURE_VARIANT_ADD(shmem, tmpfs_write_single)
{
	.backing = TMPFS,
	.write = true,
	.fault_around = false,
};

FIXTURE_VARIANT_ADD(shmem, sysv_read_around)
{
	.backing = SYSV,
	.write = false,
	.fault_around = true,
};

FIXTURE_VARIANT_ADD(shmem, sysv_read_single)
{
	.backing = SYSV,
	.write = false,
	.fault_around = false,
};

FIXTURE_VARIANT_ADD(shmem, sysv_write_around)
{
	.backing = SYSV,
	.write = true,
	.fault_around = true,
};

FIXTURE_VARIANT_ADD(shmem, sysv_write_single)
{
	.backing = SYSV,
	.write = true,
	.fault_around = false,
};

FIXTURE_VARIANT_ADD(shmem, shared_anon_read_around)
{
	.backing = SHARED_ANON,
	.write = false,
	.fault_around = true,
};

FIXTURE_VARIANT_ADD(shmem, shared_anon_read_single)
{
	.backing = SHARED_ANON,
	.write = false,
	.fault_around = false,
};

FIXTURE_VARIANT_ADD(shmem, shared_anon_write_around)
{
	.backing = SHARED_ANON,
	.write = true,
	.fault_around = true,
};

FIXTURE_VARIANT_ADD(shmem, shared_anon_write_single)
{
	.backing = SHARED_ANON,
	.write = true,
	.fault_around = false,
};

FIXTURE_VARIANT_ADD(shmem, private_memfd_read_around)
{
	.backing = PRIVATE_MEMFD,
	.write = false,
	.fault_around = true,
};

FIXTURE_VARIANT_ADD(shmem, private_memfd_read_single)
{
	.backing = PRIVATE_MEMFD,
	.write = false,
	.fault_around = false,
};

FIXTURE_VARIANT_ADD(shmem, private_memfd_write_around)
{
	.backing = PRIVATE_MEMFD,
	.write = true,
	.fault_around = true,
};

FIXTURE_VARIANT_ADD(shmem, private_memfd_write_single)
{
	.backing = PRIVATE_MEMFD,
	.write = true,
	.fault_around = false,
};

FIXTURE_SETUP(shmem)
{
	if (!env_init(_metadata, &self->env, 0))
		return;
	if (!shm_create(_metadata, &self->area, variant->backing, NR_PAGES,
			NULL))
		return;
	if (set_fault_around(&self->env, variant->fault_around))
		SKIP(return, "needs %s", FAULT_AROUND);
}

FIXTURE_TEARDOWN_PARENT(shmem)
{
	env_restore(&self->env);
}

/*
 * The pages were touched just before by this CPU and still sit in its LRU
 * batch: the call has to empty it.
 */
TEST_F(shmem, cached_pages_move_when_touched)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	unsigned long long moved;
	unsigned int writes = a->writes;

	shm_populate(_metadata, a, BY_SELF, env->src);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	moved = vm_counter("pgmigrate_success");
	area_touch(a, variant->write);
	if (variant->backing == PRIVATE_MEMFD && variant->write) {
		/*
		 * What a private mapping writes is a copy, on the right node
		 * from the start. The original waits for a reader.
		 */
		EXPECT_EQ(moved, vm_counter("pgmigrate_success"));
		EXPECT_ALL_ON(a, env->dst);
		EXPECT_CONTENT(a);
		ASSERT_EQ(0, madvise(a->p, area_size(a), MADV_DONTNEED));
		a->writes = writes;
		area_touch(a, false);
	}
	EXPECT_EQ(moved + a->nr, vm_counter("pgmigrate_success"));
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);

	shm_look(_metadata, a, env->dst);
	EXPECT_RANGE_ON(0, a->nr, env->dst);
	EXPECT_EQ(0, area_bad_pages(a, a->q));
}

TEST_F(shmem, guard_stays_without_lazy_policy)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	int i;

	for (i = 0; i < 3; i++) {
		a->writes = 0;
		shm_populate(_metadata, a, BY_SELF, env->src);
		switch (i) {
		case 0:
			ASSERT_EQ(0, bind_eager(a, env->dst));
			break;
		case 1:
			ASSERT_EQ(0, bind_lazy(a, env->dst));
			ASSERT_EQ(0, bind_plain(a, env->dst));
			break;
		case 2:
			ASSERT_EQ(0, bind_default(a));
			break;
		}
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
	struct env *env = &self->env;
	struct area *a = &self->area;
	unsigned long long moved;
	unsigned long *pfn;

	shm_populate(_metadata, a, BY_SELF, env->dst);
	pfn = calloc(a->nr, sizeof(*pfn));
	memcpy(pfn, a->pfn, a->nr * sizeof(*pfn));
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	moved = vm_counter("pgmigrate_success");
	area_touch(a, variant->write);
	EXPECT_EQ(moved, vm_counter("pgmigrate_success"));
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
	struct env env;
	struct area area;
};

FIXTURE_VARIANT(shmem_written)
{
	enum backing backing;
	enum writer writer;
};

FIXTURE_VARIANT_ADD(shmem_written, memfd_by_write_2)
{
	.backing = MEMFD,
	.writer = BY_WRITE,
};

FIXTURE_VARIANT_ADD(shmem_written, tmpfs_by_write_2)
{
	.backing = TMPFS,
	.writer = BY_WRITE,
};

FIXTURE_VARIANT_ADD(shmem_written, memfd_by_other_process)
{
	.backing = MEMFD,
	.writer = BY_OTHER,
};

FIXTURE_VARIANT_ADD(shmem_written, tmpfs_by_other_process)
{
	.backing = TMPFS,
	.writer = BY_OTHER,
};

FIXTURE_VARIANT_ADD(shmem_written, sysv_by_other_process)
{
	.backing = SYSV,
	.writer = BY_OTHER,
};

FIXTURE_VARIANT_ADD(shmem_written, shared_anon_by_other_process)
{
	.backing = SHARED_ANON,
	.writer = BY_OTHER,
};

FIXTURE_VARIANT_ADD(shmem_written, private_memfd_by_write_2)
{
	.backing = PRIVATE_MEMFD,
	.writer = BY_WRITE,
};

FIXTURE_SETUP(shmem_written)
{
	if (!env_init(_metadata, &self->env, 0))
		return;
	if (!shm_create(_metadata, &self->area, variant->backing, NR_PAGES,
			NULL))
		return;
}

FIXTURE_TEARDOWN_PARENT(shmem_written)
{
	env_restore(&self->env);
}

TEST_F(shmem_written, moves_when_read)
{
	struct env *env = &self->env;
	struct area *a = &self->area;

	shm_populate(_metadata, a, variant->writer, env->src);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* The policy was set by somebody else, through a mapping that has gone. */
TEST_F(shmem_written, moves_by_policy_of_a_process_that_has_gone)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	int status;
	pid_t pid;

	shm_populate(_metadata, a, variant->writer, env->src);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(bind_lazy(a, env->dst));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * shmem, what one read does to the fault-around window
 */
FIXTURE(shmem_window)
{
	struct env env;
	struct area area;
	unsigned long window;
};

FIXTURE_VARIANT(shmem_window)
{
	enum backing backing;
};

FIXTURE_VARIANT_ADD(shmem_window, memfd)
{
	.backing = MEMFD,
};

FIXTURE_VARIANT_ADD(shmem_window, tmpfs)
{
	.backing = TMPFS,
};

FIXTURE_VARIANT_ADD(shmem_window, private_memfd)
{
	.backing = PRIVATE_MEMFD,
};

FIXTURE_SETUP(shmem_window)
{
	if (!env_init(_metadata, &self->env, 0))
		return;
	if (psize() > 16384)
		SKIP(return, "a window of 64 KiB holds less than four pages");
	self->window = 65536 / psize();
	if (!shm_create(_metadata, &self->area, variant->backing,
			4 * self->window, NULL))
		return;
	if (set_fault_around(&self->env, true))
		SKIP(return, "needs %s", FAULT_AROUND);
}

FIXTURE_TEARDOWN_PARENT(shmem_window)
{
	env_restore(&self->env);
}

/*
 *	| window | window | window | window |
 *	                      ^ read: these are placed and mapped
 */
TEST_F(shmem_window, one_read_places_and_maps_the_window)
{
	struct env *env = &self->env;
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
	struct env *env = &self->env;
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
	fill_page(a, 1, a->q + psize());
	EXPECT_CONTENT(a);
}

/*
 *	|    lazy dst    | plain dst |	one window, two policies of the object:
 *	  ^ read			only the lazy part moves
 */
TEST_F(shmem_window, only_what_the_lazy_policy_covers_moves)
{
	struct node_mask mask = mask_of(self->env.dst);
	struct env *env = &self->env;
	struct area *a = &self->area;
	unsigned long w = self->window;
	size_t half = w / 2 * psize();

	shm_populate(_metadata, a, BY_SELF, env->src);
	ASSERT_EQ(0, bind_plain(a, env->dst));
	ASSERT_EQ(0, mbind_lazy(a->q, half, MPOL_BIND, &mask));
	touch_page(a, 0, false);
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
	struct env *env = &self->env;
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
	struct env env;
	struct area area;
};

FIXTURE_VARIANT(shmem_large)
{
	enum backing backing;
	const char *huge;	/* mount option of tmpfs */
	size_t folio_size;	/* 0: a PMD */
	bool write;
};

FIXTURE_VARIANT_ADD(shmem_large, memfd_64k_read)
{
	.backing = MEMFD,
	.folio_size = 64 << 10,
	.write = false,
};

FIXTURE_VARIANT_ADD(shmem_large, memfd_64k_write)
{
	.backing = MEMFD,
	.folio_size = 64 << 10,
	.write = true,
};

FIXTURE_VARIANT_ADD(shmem_large, memfd_pmd_read)
{
	.backing = MEMFD,
	.write = false,
};

FIXTURE_VARIANT_ADD(shmem_large, memfd_pmd_write)
{
	.backing = MEMFD,
	.write = true,
};

FIXTURE_VARIANT_ADD(shmem_large, tmpfs_pmd_read)
{
	.backing = TMPFS,
	.huge = "always",
	.write = false,
};

FIXTURE_VARIANT_ADD(shmem_large, tmpfs_pmd_write)
{
	.backing = TMPFS,
	.huge = "always",
	.write = true,
};

FIXTURE_SETUP(shmem_large)
{
	size_t size = variant->folio_size ?: read_pmd_pagesize();
	struct area *a = &self->area;
	unsigned long nr = NR_PAGES;

	if (!env_init(_metadata, &self->env, 0))
		return;
	if (size < 2 * psize())
		SKIP(return, "needs transparent huge pages");
	if (size > (4UL << 20))
		SKIP(return, "a huge page of %zu MiB is too large", size >> 20);
	if (nr < size / psize())
		nr = size / psize();
	if (!shm_create(_metadata, a, variant->backing, nr, variant->huge))
		return;
	a->order = sz2ord(size, psize());
	madvise(a->p, area_size(a), MADV_HUGEPAGE);
	if (!variant->huge &&
	    !only_order(_metadata, &self->env, a->order, true))
		return;
}

FIXTURE_TEARDOWN_PARENT(shmem_large)
{
	env_restore(&self->env);
}

TEST_F(shmem_large, folio_moves_whole)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	unsigned long long moved;

	shm_populate(_metadata, a, BY_SELF, env->src);
	if (!area_folios_whole(a))
		SKIP(return, "got no folios of order %u on node %d", a->order,
		     env->src);
	stop_khugepaged(env);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	moved = vm_counter("pgmigrate_success");
	area_touch(a, variant->write);
	EXPECT_EQ(moved + a->nr, vm_counter("pgmigrate_success"));
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
	struct env *env = &self->env;
	struct area *a = &self->area;
	unsigned long last = (1UL << a->order) - 1;
	unsigned long half = (psize() << a->order) / 2;
	struct node_mask mask = mask_of(env->dst);
	unsigned long long moved;

	shm_populate(_metadata, a, BY_SELF, env->src);
	if (!area_folios_whole(a))
		SKIP(return, "got no folios of order %u on node %d", a->order,
		     env->src);
	stop_khugepaged(env);

	/* B of each folio: nothing moves, wherever it is touched. */
	moved = vm_counter("pgmigrate_success");
	for (unsigned long i = 0; i < a->nr; i += 1UL << a->order)
		ASSERT_EQ(0, mbind_lazy(a->p + i * psize() + half, half,
					MPOL_BIND, &mask));
	area_touch(a, variant->write);
	EXPECT_EQ(moved, vm_counter("pgmigrate_success"));
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
		if (variant->write)
			write_first_word(a, i + last);
		else
			touch_page(a, i + last, false);
	}
	EXPECT_EQ(moved + a->nr, vm_counter("pgmigrate_success"));
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * shmem that was swapped out and is still in the swap cache
 */
FIXTURE(shmem_swapped)
{
	struct env env;
	struct area area;
};

FIXTURE_VARIANT(shmem_swapped)
{
	bool write;
};

FIXTURE_VARIANT_ADD(shmem_swapped, read)
{
	.write = false,
};

FIXTURE_VARIANT_ADD(shmem_swapped, write)
{
	.write = true,
};

FIXTURE_SETUP(shmem_swapped)
{
	if (!env_init(_metadata, &self->env, NEED_SWAP))
		return;
	if (!shm_create(_metadata, &self->area, MEMFD, NR_PAGES, NULL))
		return;
}

FIXTURE_TEARDOWN_PARENT(shmem_swapped)
{
	env_restore(&self->env);
}

TEST_F(shmem_swapped, moves_when_touched)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	struct node_mask mask = mask_of(env->src);
	bool reread;

	ASSERT_EQ(0, sys_mbind(a->p, area_size(a), MPOL_BIND, &mask, 0));
	area_fill(a, a->p);
	area_look(_metadata, a, a->p);
	ASSERT_EQ(a->nr, nr_on(a, 0, a->nr, env->src));
	if (!to_swap_cache(_metadata, a, &reread))
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
	struct env env;
	struct area area;
};

FIXTURE_VARIANT(policy)
{
	enum mode_case mode;
	bool shmem;
	size_t folio_size;	/* 0: base pages */
};

FIXTURE_VARIANT_ADD(policy, bind_one_anon)
{
	.mode = BIND_ONE,
	.shmem = false,
};

FIXTURE_VARIANT_ADD(policy, bind_one_memfd)
{
	.mode = BIND_ONE,
	.shmem = true,
};

FIXTURE_VARIANT_ADD(policy, bind_several_anon)
{
	.mode = BIND_SEVERAL,
	.shmem = false,
};

FIXTURE_VARIANT_ADD(policy, bind_several_memfd)
{
	.mode = BIND_SEVERAL,
	.shmem = true,
};

FIXTURE_VARIANT_ADD(policy, bind_static_anon)
{
	.mode = BIND_STATIC,
	.shmem = false,
};

FIXTURE_VARIANT_ADD(policy, bind_static_memfd)
{
	.mode = BIND_STATIC,
	.shmem = true,
};

FIXTURE_VARIANT_ADD(policy, bind_relative_anon)
{
	.mode = BIND_RELATIVE,
	.shmem = false,
};

FIXTURE_VARIANT_ADD(policy, bind_relative_memfd)
{
	.mode = BIND_RELATIVE,
	.shmem = true,
};

FIXTURE_VARIANT_ADD(policy, bind_home_node_anon)
{
	.mode = BIND_HOME_NODE,
	.shmem = false,
};

FIXTURE_VARIANT_ADD(policy, bind_home_node_memfd)
{
	.mode = BIND_HOME_NODE,
	.shmem = true,
};

FIXTURE_VARIANT_ADD(policy, preferred_anon)
{
	.mode = PREFERRED_ONE,
	.shmem = false,
};

FIXTURE_VARIANT_ADD(policy, preferred_memfd)
{
	.mode = PREFERRED_ONE,
	.shmem = true,
};

FIXTURE_VARIANT_ADD(policy, preferred_many_anon)
{
	.mode = PREFERRED_SEVERAL,
	.shmem = false,
};

FIXTURE_VARIANT_ADD(policy, preferred_many_memfd)
{
	.mode = PREFERRED_SEVERAL,
	.shmem = true,
};

FIXTURE_VARIANT_ADD(policy, preferred_many_home_node_anon)
{
	.mode = PREFERRED_HOME_NODE,
	.shmem = false,
};

FIXTURE_VARIANT_ADD(policy, preferred_many_home_node_memfd)
{
	.mode = PREFERRED_HOME_NODE,
	.shmem = true,
};

FIXTURE_VARIANT_ADD(policy, interleave_anon)
{
	.mode = INTERLEAVED,
	.shmem = false,
};

FIXTURE_VARIANT_ADD(policy, interleave_memfd)
{
	.mode = INTERLEAVED,
	.shmem = true,
};

FIXTURE_VARIANT_ADD(policy, weighted_interleave_anon)
{
	.mode = WEIGHTED,
	.shmem = false,
};

FIXTURE_VARIANT_ADD(policy, weighted_interleave_memfd)
{
	.mode = WEIGHTED,
	.shmem = true,
};

FIXTURE_VARIANT_ADD(policy, interleave_anon_64k)
{
	.mode = INTERLEAVED,
	.folio_size = 64 << 10,
};

FIXTURE_VARIANT_ADD(policy, interleave_memfd_64k)
{
	.mode = INTERLEAVED,
	.shmem = true,
	.folio_size = 64 << 10,
};

FIXTURE_VARIANT_ADD(policy, weighted_interleave_anon_64k)
{
	.mode = WEIGHTED,
	.folio_size = 64 << 10,
};

FIXTURE_VARIANT_ADD(policy, weighted_interleave_memfd_64k)
{
	.mode = WEIGHTED,
	.shmem = true,
	.folio_size = 64 << 10,
};

FIXTURE_VARIANT_ADD(policy, local_anon)
{
	.mode = LOCAL,
	.shmem = false,
};

FIXTURE_VARIANT_ADD(policy, local_memfd)
{
	.mode = LOCAL,
	.shmem = true,
};

FIXTURE_SETUP(policy)
{
	if (!env_init(_metadata, &self->env, variant->shmem ? 0 : NEED_SWAP))
		return;
	switch (variant->mode) {
	case BIND_SEVERAL:
	case BIND_HOME_NODE:
	case PREFERRED_SEVERAL:
	case PREFERRED_HOME_NODE:
		if (self->env.nr_nodes < 3)
			SKIP(return, "needs three nodes with memory");
		break;
	default:
		break;
	}
}

FIXTURE_TEARDOWN_PARENT(policy)
{
	env_restore(&self->env);
}

/* The node of the mask's that is not dst and has most memory free. */
static int third_node(struct env *env)
{
	int i;

	for (i = 0; i < env->nr_nodes; i++)
		if (env->nodes[i] != env->src && env->nodes[i] != env->dst)
			return env->nodes[i];
	return -1;
}

static int apply_mode(struct env *env, struct area *a, enum mode_case c,
		      bool lazy)
{
	struct node_mask mask = mask_of(env->dst);
	int mode = MPOL_BIND, ret, i, nr, all[MAX_NODES];
	bool home = false;

	switch (c) {
	case BIND_ONE:
		break;
	case BIND_HOME_NODE:
		home = true;
		mask_add(&mask, third_node(env));
		break;
	case BIND_SEVERAL:
		mask_add(&mask, third_node(env));
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
		mask_add(&mask, third_node(env));
		break;
	case PREFERRED_SEVERAL:
		mode = MPOL_PREFERRED_MANY;
		mask_add(&mask, third_node(env));
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
					third_node(env));
	return ret;
}

/*
 * Touch from a CPU whose node has no memory if there is one, and put the pages
 * where memory is not local to it.
 */
static bool not_local_to_src(struct env *env)
{
	int cpu, status = -1;
	cpu_set_t set;
	void *p;

	memset(&set, 0xff, sizeof(set));
	sched_setaffinity(0, sizeof(set), &set);
	sched_getaffinity(0, sizeof(set), &set);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) &&
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
	struct env *env = &self->env;
	struct area *a = &self->area;
	unsigned int order = 0;
	unsigned long i;
	char path[128];
	bool reread;
	int *want;

	if (variant->mode == WEIGHTED) {
		/* The first to be saved is the last to be restored. */
		env_set(env, WEIGHTS_DIR "auto", "false");
		for (i = 0; i < env->nr_nodes; i++) {
			snprintf(path, sizeof(path), WEIGHTS_DIR "node%d",
				 env->nodes[i]);
			if (env_set_num(env, path, 1 + 2 * (i % 2)))
				SKIP(return, "needs %s", path);
		}
	}
	if (variant->mode == LOCAL && !not_local_to_src(env))
		SKIP(return, "cannot tell which node is local");

	/* where they belong */
	if (variant->folio_size)
		order = sz2ord(variant->folio_size, psize());
	if (!only_order(_metadata, env, order, variant->shmem))
		return;
	if (variant->shmem) {
		if (!shm_create(_metadata, a, MEMFD, NR_PAGES << order, NULL))
			return;
		a->order = order;
		madvise(a->p, area_size(a),
			order ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	} else {
		anon_map(_metadata, a, NR_PAGES << order, order);
	}
	if (apply_mode(env, a, variant->mode, false)) {
		ASSERT_EQ(EINVAL, errno);
		SKIP(return, "the kernel does not have this mode");
	}
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
	if (variant->shmem)
		shm_unmap(_metadata, a);
	else if (!to_swap_cache(_metadata, a, &reread))
		return;

	ASSERT_EQ(0, apply_mode(env, a, variant->mode, true));
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
	struct env env;
	struct area area;
};

FIXTURE_VARIANT(policy_of_several)
{
	int mode;
	bool shmem;
};

FIXTURE_VARIANT_ADD(policy_of_several, bind_anon)
{
	.mode = MPOL_BIND,
};

FIXTURE_VARIANT_ADD(policy_of_several, bind_memfd)
{
	.mode = MPOL_BIND,
	.shmem = true,
};

FIXTURE_VARIANT_ADD(policy_of_several, preferred_many_anon)
{
	.mode = MPOL_PREFERRED_MANY,
};

FIXTURE_VARIANT_ADD(policy_of_several, preferred_many_memfd)
{
	.mode = MPOL_PREFERRED_MANY,
	.shmem = true,
};

FIXTURE_SETUP(policy_of_several)
{
	if (!env_init(_metadata, &self->env, variant->shmem ? 0 : NEED_SWAP))
		return;
}

FIXTURE_TEARDOWN_PARENT(policy_of_several)
{
	env_restore(&self->env);
}

TEST_F(policy_of_several, guard_page_on_any_node_of_the_mask_stays)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	struct node_mask mask = mask_of(env->dst);
	unsigned long long moved;
	bool reread;

	mask_add(&mask, env->src);
	if (variant->shmem) {
		if (!shm_create(_metadata, a, MEMFD, NR_PAGES, NULL))
			return;
		shm_populate(_metadata, a, BY_SELF, env->dst);
	} else {
		if (!anon_populate(_metadata, a, NR_PAGES, 0, env->dst) ||
		    !to_swap_cache(_metadata, a, &reread))
			return;
	}
	ASSERT_EQ(0, mbind_lazy(a->p, area_size(a), variant->mode, &mask));
	moved = vm_counter("pgmigrate_success");
	area_touch(a, true);
	EXPECT_EQ(moved, vm_counter("pgmigrate_success"));
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/*
 * Every node to every other
 */
FIXTURE(every_pair)
{
	struct env env;
};

FIXTURE_VARIANT(every_pair)
{
	bool shmem;
};

FIXTURE_VARIANT_ADD(every_pair, anon)
{
	.shmem = false,
};

FIXTURE_VARIANT_ADD(every_pair, memfd)
{
	.shmem = true,
};

FIXTURE_SETUP(every_pair)
{
	if (!env_init(_metadata, &self->env, variant->shmem ? 0 : NEED_SWAP))
		return;
}

FIXTURE_TEARDOWN_PARENT(every_pair)
{
	env_restore(&self->env);
}

TEST_F(every_pair, of_nodes_moves)
{
	struct env *env = &self->env;
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
	struct env env;
	struct area area;
};

FIXTURE_VARIANT(left_alone)
{
	bool write;
};

FIXTURE_VARIANT_ADD(left_alone, read)
{
	.write = false,
};

FIXTURE_VARIANT_ADD(left_alone, write)
{
	.write = true,
};

FIXTURE_SETUP(left_alone)
{
	if (!env_init(_metadata, &self->env, 0))
		return;
	if (!shm_create(_metadata, &self->area, MEMFD, NR_PAGES, NULL))
		return;
}

FIXTURE_TEARDOWN_PARENT(left_alone)
{
	env_restore(&self->env);
}

/*
 *	| mapped by a child | mapped by nobody |
 *	       stays              moves
 */
TEST_F(left_alone, page_mapped_elsewhere_stays_until_unmapped)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	int ready[2], done[2], status;
	unsigned long half = a->nr / 2;
	char c = 0;
	pid_t pid;

	shm_populate(_metadata, a, BY_SELF, env->src);
	set_fault_around(env, false);
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(done));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(done[1]);
		for (unsigned long i = 0; i < half; i++)
			touch_page(a, i, false);
		if (write(ready[1], &c, 1) != 1 || read(done[0], &c, 1) != 0)
			_exit(1);
		_exit(0);
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	set_fault_around(env, true);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, variant->write);
	area_look(_metadata, a, a->p);
	EXPECT_RANGE_ON(0, half, env->src);
	EXPECT_RANGE_ON(half, half, env->dst);
	EXPECT_CONTENT(a);

	close(done[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	shm_unmap(_metadata, a);
	drain_lru_batches();
	area_touch(a, variant->write);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

/* The pipe holds references to the pages: who reads it sees these pages. */
TEST_F(left_alone, page_in_a_pipe_stays_until_read)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	unsigned long held = 8;
	struct iovec iov = { .iov_base = a->p, .iov_len = held * psize() };
	unsigned long *pfn;
	int fds[2];
	char *buf;

	shm_populate(_metadata, a, BY_SELF, env->src);
	pfn = calloc(a->nr, sizeof(*pfn));
	memcpy(pfn, a->pfn, a->nr * sizeof(*pfn));
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

/* The fault needs the page's lock, the copy another reference: no deadlock. */
struct toucher {
	struct area *a;
	bool write;
	int cpu;
	unsigned long bad;
};

static void *touch_all(void *arg)
{
	struct toucher *t = arg;

	pin_to_cpu(t->cpu);
	for (unsigned long i = 0; i < t->a->nr; i++) {
		if (t->write)
			write_first_word(t->a, i);
		t->bad += !page_ok(t->a, i, t->a->p + i * psize());
	}
	return NULL;
}

TEST_F(left_alone, guard_content_survives_concurrent_touches)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	struct toucher t[4] = {};
	pthread_t thread[4];
	cpu_set_t set;
	int cpu, i;

	for (int round = 0; round < 8; round++) {
		ASSERT_EQ(0, madvise(a->q, area_size(a), MADV_REMOVE));
		shm_populate(_metadata, a, BY_SELF, env->src);
		ASSERT_EQ(0, bind_lazy(a, env->dst));
		memset(&set, 0xff, sizeof(set));
		sched_setaffinity(0, sizeof(set), &set);
		sched_getaffinity(0, sizeof(set), &set);
		cpu = 0;
		for (i = 0; i < 4; i++) {
			do {
				cpu = (cpu + 1) % CPU_SETSIZE;
			} while (!CPU_ISSET(cpu, &set));
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
		ASSERT_EQ(0, pin_to_cpu(env->cpu));
		EXPECT_CONTENT(a);
	}
}

/*
 * A target node without room
 */
FIXTURE(full_node)
{
	struct env env;
	unsigned long low;	/* pages: a node's own watermarks now */
	unsigned long high;
	unsigned long managed;
};

#define FULL_NODE_MAX_KB	(1024UL * 1024)

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

FIXTURE_SETUP(full_node)
{
	struct env *env = &self->env;
	int i;

	if (!env_init(_metadata, env, NEED_SWAP))
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
	env_restore(&self->env);
}

/*
 * Fill the node with locked memory, but not so far that anything is reclaimed;
 * then raise the watermarks above what is left. Only now the node is full, and
 * nobody has been woken for it.
 */
TEST_F_TIMEOUT(full_node, page_stays_until_there_is_room, 120)
{
	struct env *env = &self->env;
	unsigned long new_low = self->low + self->managed / 10;
	unsigned long left = (self->high + new_low) / 2;
	unsigned long free = zone_sum(env->dst, "nr_free_pages");
	struct node_mask mask = mask_of(env->dst);
	unsigned long long oom, stall, swapped, moved;
	struct area shm, anon;
	size_t hog_size;
	char *hog;

	if (free <= left)
		SKIP(return, "node %d has too little memory", env->dst);
	if (new_low <= self->high)
		SKIP(return, "the watermarks of node %d cannot be raised enough",
		     env->dst);
	if (!shm_create(_metadata, &shm, MEMFD, NR_PAGES, NULL))
		return;
	shm_populate(_metadata, &shm, BY_SELF, env->src);
	if (!anon_in_swap_cache(_metadata, &anon, NR_PAGES, 0, env->src))
		return;

	hog_size = (free - left) * psize();
	hog = mmap(NULL, hog_size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, hog);
	madvise(hog, hog_size, MADV_HUGEPAGE);
	ASSERT_EQ(0, sys_mbind(hog, hog_size, MPOL_BIND, &mask, 0));
	ASSERT_EQ(0, mlock(hog, hog_size));
	ASSERT_EQ(0, env_set(env, WMARK_SCALE, "1000"));
	ASSERT_LT(zone_sum(env->dst, "nr_free_pages"),
		  zone_sum(env->dst, "low"));

	ASSERT_EQ(0, bind_lazy(&shm, env->dst));
	ASSERT_EQ(0, bind_lazy(&anon, env->dst));
	oom = vm_counter("oom_kill");
	stall = vm_counter("allocstall*");
	swapped = vm_counter("pswpout");
	moved = vm_counter("pgmigrate_success");
	area_touch(&shm, false);
	area_touch(&anon, true);
	EXPECT_ALL_ON(&shm, env->src);
	EXPECT_ALL_ON(&anon, env->src);
	EXPECT_EQ(moved, vm_counter("pgmigrate_success"));
	EXPECT_EQ(swapped, vm_counter("pswpout"));
	EXPECT_EQ(stall, vm_counter("allocstall*"));
	EXPECT_EQ(oom, vm_counter("oom_kill"));
	EXPECT_CONTENT(&shm);
	EXPECT_CONTENT(&anon);

	/* Room again. */
	env_restore(env);
	env->nr_settings = 0;
	ASSERT_EQ(0, munmap(hog, hog_size));
	shm_unmap(_metadata, &shm);
	drain_lru_batches();
	area_touch(&shm, false);
	EXPECT_ALL_ON(&shm, env->dst);
	EXPECT_CONTENT(&shm);
}

/*
 * A target that the task that touches may not use
 */
FIXTURE(cpuset)
{
	struct env env;
	struct area area;
};

FIXTURE_SETUP(cpuset)
{
	if (!env_init(_metadata, &self->env, 0))
		return;
	if (!shm_create(_metadata, &self->area, MEMFD, NR_PAGES, NULL))
		return;
	if (!make_cgroup(_metadata, &self->env, "cpuset"))
		return;
}

FIXTURE_TEARDOWN_PARENT(cpuset)
{
	env_restore(&self->env);
}

/*
 * The object's policy is dst. A task that is confined to src touches it: the
 * pages stay. A task that is not does: they move.
 */
TEST_F(cpuset, page_stays_for_a_task_confined_to_other_nodes)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	char val[16];
	int status;
	pid_t pid;

	snprintf(val, sizeof(val), "%d", env->src);
	ASSERT_EQ(0, cgroup_write(env, "cpuset.mems", val));
	shm_populate(_metadata, a, BY_SELF, env->src);
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		open_pagemap();
		ASSERT_EQ(0, enter_cgroup(env));
		area_touch(a, false);
		EXPECT_ALL_ON(a, env->src);
		EXPECT_CONTENT(a);
		_exit(_metadata->exit_code);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
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
	struct env *env = &self->env;
	struct area *a = &self->area;
	struct node_mask mask = {};
	int only[2] = { -1, -1 };
	char val[32];
	int status, i;
	pid_t pid;

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
		ASSERT_EQ(0, cgroup_write(env, "cpuset.mems", val));
		ASSERT_EQ(0, madvise(a->q, area_size(a), MADV_REMOVE));
		shm_populate(_metadata, a, BY_SELF, env->src);
		ASSERT_EQ(0, mbind_lazy(a->p, area_size(a), MPOL_BIND, &mask));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			open_pagemap();
			ASSERT_EQ(0, enter_cgroup(env));
			area_touch(a, false);
			EXPECT_ALL_ON(a, only[i]);
			EXPECT_CONTENT(a);
			_exit(_metadata->exit_code);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, status);
	}
}

/*
 * The memory cgroup that is charged
 */
#define MEMCG_PAGES	256UL	/* many more than the process has otherwise */

FIXTURE(memcg)
{
	struct env env;
	struct area area;
	unsigned long long dying;
};

FIXTURE_VARIANT(memcg)
{
	bool shmem;
	size_t folio_size;
};

FIXTURE_VARIANT_ADD(memcg, anon)
{
	.shmem = false,
};

FIXTURE_VARIANT_ADD(memcg, anon_mthp_64k)
{
	.folio_size = 64 << 10,
};

FIXTURE_VARIANT_ADD(memcg, memfd)
{
	.shmem = true,
};

static unsigned long long dying_cgroups(struct env *env)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/cgroup.stat", env->cgroup_root);
	return proc_counter(path, "nr_dying_descendants");
}

static unsigned long long cgroup_counter(struct env *env, const char *file,
					 const char *key)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", env->cgroup, file);
	return proc_counter(path, key);
}

/* Bytes on the LRU lists of the group, on one node. */
static unsigned long long cgroup_on_node(struct env *env, int node)
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
	if (!env_init(_metadata, &self->env, variant->shmem ? 0 : NEED_SWAP))
		return;
	if (!make_cgroup(_metadata, &self->env, "memory"))
		return;
	self->dying = dying_cgroups(&self->env);
}

/* When its last task and its last page have gone, so has the group. */
FIXTURE_TEARDOWN_PARENT(memcg)
{
	struct deadline d = deadline_in(PATIENCE_SEC);

	EXPECT_EQ(0, rmdir(self->env.cgroup));
	self->env.cgroup[0] = '\0';
	do {
		drain_lru_batches();
	} while (dying_cgroups(&self->env) > self->dying && wait_more(&d));
	EXPECT_LE(dying_cgroups(&self->env), self->dying);
	env_restore(&self->env);
}

/* Enter the group, and leave pages of its own in the cache, on src. */
static bool memcg_populate(struct __test_metadata *_metadata, struct env *env,
			   const FIXTURE_VARIANT(memcg) * variant,
			   struct area *a)
{
	unsigned int order = variant->folio_size ?
			     sz2ord(variant->folio_size, psize()) : 0;

	if (!only_order(_metadata, env, order, false))
		return false;
	ASSERT_EQ(0, enter_cgroup(env));
	if (!variant->shmem)
		return anon_in_swap_cache(_metadata, a, MEMCG_PAGES, order,
					  env->src);
	if (!shm_create(_metadata, a, MEMFD, MEMCG_PAGES, NULL))
		return false;
	shm_populate(_metadata, a, BY_SELF, env->src);
	drain_lru_batches();
	return true;
}

/* What the group is charged stays the same, only the node changes. */
TEST_F(memcg, charge_moves_with_the_page)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	unsigned long long current;

	if (!memcg_populate(_metadata, env, variant, a))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	EXPECT_SOON(cgroup_on_node(env, env->src) >= area_size(a));
	EXPECT_SOON(cgroup_on_node(env, env->dst) < area_size(a) / 8);

	current = cgroup_read(env, "memory.current");
	area_touch(a, false);
	EXPECT_EQ(current, cgroup_read(env, "memory.current"));

	EXPECT_ALL_ON(a, env->dst);
	drain_lru_batches();	/* pages in a batch are not yet counted */
	if (nr_on(a, 0, a->nr, env->dst) == a->nr) {
		EXPECT_SOON(cgroup_on_node(env, env->dst) >= area_size(a));
		EXPECT_SOON(cgroup_on_node(env, env->src) < area_size(a) / 2);
	}
	if (variant->shmem)
		EXPECT_EQ(area_size(a),
			  cgroup_counter(env, "memory.stat", "shmem"));
	EXPECT_CONTENT(a);
}

/* The copy is not charged in addition: a group that is full does not notice. */
TEST_F(memcg, moves_in_a_group_at_its_limit)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	unsigned long long max, oom, current;
	char val[32];

	if (!memcg_populate(_metadata, env, variant, a))
		return;
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	current = cgroup_read(env, "memory.current");
	snprintf(val, sizeof(val), "%llu", current);
	ASSERT_EQ(0, cgroup_write(env, "memory.max", val));
	max = cgroup_counter(env, "memory.events", "max");
	oom = cgroup_counter(env, "memory.events", "oom");

	area_touch(a, false);
	EXPECT_EQ(max, cgroup_counter(env, "memory.events", "max"));
	EXPECT_EQ(oom, cgroup_counter(env, "memory.events", "oom"));
	EXPECT_LE(cgroup_read(env, "memory.current"), current);
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
	ASSERT_EQ(0, cgroup_write(env, "memory.max", "max"));
}

/*
 * userfaultfd
 */
FIXTURE(uffd)
{
	struct env env;
	struct area area;
	int uffd;
};

FIXTURE_VARIANT(uffd)
{
	bool shmem;
};

FIXTURE_VARIANT_ADD(uffd, anon)
{
	.shmem = false,
};

FIXTURE_VARIANT_ADD(uffd, memfd)
{
	.shmem = true,
};

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
	if (!env_init(_metadata, &self->env, variant->shmem ? 0 : NEED_SWAP))
		return;
	self->uffd = uffd_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			       (variant->shmem ?
				UFFD_FEATURE_WP_HUGETLBFS_SHMEM : 0));
	if (self->uffd < 0)
		SKIP(return, "needs userfaultfd(2) with write protection");
}

FIXTURE_TEARDOWN_PARENT(uffd)
{
	env_restore(&self->env);
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

/* A page that is write-protected when it leaves is so when it comes back. */
TEST_F(uffd, write_protection_survives_the_move)
{
	struct env *env = &self->env;
	struct area *a = &self->area;
	struct toucher t = { .a = a, .write = true, .cpu = env->cpu };
	pthread_t thread;
	unsigned long i;
	long long flags;
	bool reread;

	if (variant->shmem) {
		if (!shm_create(_metadata, a, MEMFD, NR_PAGES, NULL))
			return;
		shm_populate(_metadata, a, BY_SELF, env->src);
		ASSERT_EQ(0, uffd_register(self->uffd, a->p, area_size(a),
					   false, true, false));
		ASSERT_EQ(0, uffd_protect(self->uffd, a->p, area_size(a), true));
	} else {
		if (!anon_populate(_metadata, a, NR_PAGES, 0, env->src))
			return;
		ASSERT_EQ(0, uffd_register(self->uffd, a->p, area_size(a),
					   false, true, false));
		ASSERT_EQ(0, uffd_protect(self->uffd, a->p, area_size(a), true));
		if (!to_swap_cache(_metadata, a, &reread))
			return;
	}
	ASSERT_EQ(0, bind_lazy(a, env->dst));
	area_touch(a, false);
	EXPECT_ALL_ON(a, env->dst);
	for (i = 0; i < a->nr; i++)
		EXPECT_TRUE(pagemap_get_entry(pagemap_fd,
					      a->p + i * psize()) & PM_UFFD_WP);
	EXPECT_CONTENT(a);

	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_first, &t));
	flags = uffd_next(self->uffd, a->p);
	EXPECT_EQ(UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE, flags);
	ASSERT_EQ(0, uffd_protect(self->uffd, a->p, area_size(a), false));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	for (i = 1; i < a->nr; i++)
		touch_page(a, i, true);
	a->writes++;
	EXPECT_ALL_ON(a, env->dst);
	EXPECT_CONTENT(a);
}

FIXTURE(uffd_minor)
{
	struct env env;
	struct area area;
	int uffd;
};

FIXTURE_SETUP(uffd_minor)
{
	if (!env_init(_metadata, &self->env, 0))
		return;
	self->uffd = uffd_open(UFFD_FEATURE_MINOR_SHMEM);
	if (self->uffd < 0)
		SKIP(return, "needs userfaultfd(2) with minor faults of shmem");
}

FIXTURE_TEARDOWN_PARENT(uffd_minor)
{
	env_restore(&self->env);
}

/* A minor fault is decided before anybody looks where the page is. */
TEST_F(uffd_minor, guard_minor_fault_is_reported)
{
	struct uffdio_continue cont = {};
	struct env *env = &self->env;
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

/* Nobody else may move our pages meanwhile: off for all the tests. */
static char numa_balancing[16];
static pid_t main_pid;

static void restore_numa_balancing(void)
{
	if (getpid() == main_pid && numa_balancing[0])
		write_text(NUMA_BALANCING, numa_balancing);
}

static void exit_on_signal(int sig)
{
	exit(KSFT_FAIL);
}

int main(int argc, char **argv)
{
	main_pid = getpid();
	if (!geteuid() && !read_text(NUMA_BALANCING, numa_balancing,
				     sizeof(numa_balancing))) {
		atexit(restore_numa_balancing);
		signal(SIGINT, exit_on_signal);
		signal(SIGTERM, exit_on_signal);
		write_text(NUMA_BALANCING, "0");
	}
	return test_harness_run(argc, argv);
}
