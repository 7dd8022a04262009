// SPDX-License-Identifier: GPL-2.0
/*
 * Where are the pages? A tmpfs file that another process wrote on node 0,
 * anonymous memory that was swapped out from node 0, and anonymous memory that
 * is mapped there, are given the policy "bind to node 1", eagerly and lazily, and
 * are then touched, page after page. Prints, separated by tabs:
 *	what	eager or lazy	moment	pages on node 0	on node 1 ...
 * where the moment is "before" the call, after the "call", the number of pages
 * touched so far, and "after" all of it. Where the kernel does not know how:
 *	what	lazy	refused
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <numa.h>
#include <numaif.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../guest/counter.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#define LAZY (1 << 3)		/* MPOL_MF_LAZY of linux/mempolicy.h */
#define PAGES 8192UL
#define STEP (PAGES / 32)	/* pages touched between two looks */
#define NODES 64
#define FILE_NAME "/dev/shm/placement"

static size_t page, size;

static void die(const char *what)
{
	fprintf(stderr, "placement: %s: %s\n", what, strerror(errno));
	exit(1);
}

/*
 * On the first CPU of the node, if it has one: the pages that a CPU handled last
 * wait in its LRU batch, out of migration's reach. mbind() drains the batch of the
 * CPU that calls it, so the call is made where the pages were written.
 */
static void run_on(int node)
{
	struct bitmask *cpus = numa_allocate_cpumask();
	unsigned int cpu;
	cpu_set_t set;

	if (numa_node_to_cpus(node, cpus))
		die("numa_node_to_cpus");
	for (cpu = 0; cpu < cpus->size && !numa_bitmask_isbitset(cpus, cpu); cpu++)
		;
	if (cpu < cpus->size) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			die("sched_setaffinity");
	}
	numa_free_cpumask(cpus);
}

static void touch(char *p, size_t first, size_t pages)
{
	for (size_t i = first; i < first + pages; i++)
		*(volatile char *)(p + i * page) += 1;
}

/* Pages of a kind on a node, whoever has them mapped, if anybody. */
static long node_pages(int node, const char *name)
{
	char file[64], key[64];
	long kb;
	FILE *f;

	snprintf(file, sizeof(file), "/sys/devices/system/node/node%d/meminfo", node);
	f = fopen(file, "r");
	if (!f)
		die(file);
	while (fscanf(f, "Node %*d %63s %ld%*[^\n] ", key, &kb) == 2) {
		if (!strcmp(key, name)) {
			fclose(f);
			return kb * 1024 / page;
		}
	}
	fprintf(stderr, "placement: there is no %s in %s\n", name, file);
	exit(1);
}

/* The counters of the nodes lag behind, CPU by CPU, until somebody asks. */
static void refresh_counters(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);

	if (fd < 0 || write(fd, "1", 1) != 1)
		die("stat_refresh");
	close(fd);
}

/*
 * What lies in a cache without being mapped is out of move_pages()'s sight, but the
 * nodes count it, under the name "counter". The pages stay in their cache when they
 * are touched; look() sees to it that all are counted, each once.
 */
struct kind {
	const char *what;
	char *(*make)(const struct kind *kind, bool lazy);
	const char *counter;
};

static int nodes;
static long baseline[NODES];

static void start_counting(const struct kind *kind)
{
	refresh_counters();
	for (int n = 0; n < nodes && kind->counter; n++)
		baseline[n] = node_pages(n, kind->counter);
}

static void print_pages(const struct kind *kind, bool lazy, const char *moment, const long *on)
{
	printf("%s\t%s\t%s", kind->what, lazy ? "lazy" : "eager", moment);
	for (int n = 0; n < nodes; n++)
		printf("\t%ld", on[n]);
	printf("\n");
}

/*
 * All pages are mapped: move_pages() without target nodes tells where each is, and
 * disturbs none.
 */
static void tell(const struct kind *kind, bool lazy, const char *moment, char *p)
{
	static void *addr[PAGES];
	static int status[PAGES];
	long on[NODES] = { 0 };

	for (size_t i = 0; i < PAGES; i++)
		addr[i] = p + i * page;
	if (move_pages(0, PAGES, addr, NULL, status, 0))
		die("move_pages");
	for (size_t i = 0; i < PAGES; i++) {
		if (status[i] < 0 || status[i] >= nodes) {
			errno = -status[i];
			die("a page is nowhere");
		}
		on[status[i]]++;
	}
	print_pages(kind, lazy, moment, on);
}

/* Some may be mapped, some not. */
static void look(const struct kind *kind, bool lazy, const char *moment, char *p)
{
	long on[NODES] = { 0 }, sum = 0;

	if (!kind->counter) {
		tell(kind, lazy, moment, p);
		return;
	}
	refresh_counters();
	for (int n = 0; n < nodes; n++) {
		on[n] = node_pages(n, kind->counter) - baseline[n];
		sum += on[n];
	}
	if (labs(sum - (long)PAGES) > (long)PAGES / 100) {
		fprintf(stderr, "placement: %s, %s: %ld pages of %lu are counted\n",
			kind->what, moment, sum, PAGES);
		exit(1);
	}
	print_pages(kind, lazy, moment, on);
}

static bool knows_lazy(void)
{
	if (!mbind(NULL, 0, MPOL_LOCAL, NULL, 0, MPOL_MF_MOVE | LAZY))
		return true;
	if (errno != EINVAL)
		die("mbind(MPOL_MF_MOVE | MPOL_MF_LAZY)");
	return false;
}

static void bind_to_1(char *p, bool lazy)
{
	unsigned long mask = 1UL << 1;

	if (mbind(p, size, MPOL_BIND, &mask, 64, lazy ? MPOL_MF_MOVE | LAZY : MPOL_MF_MOVE))
		die("mbind");
}

static void wait_for_writeback(void)
{
	for (int i = 0; i < 3000; i++) {
		if (!counter("/proc/vmstat", "nr_writeback"))
			return;
		usleep(10000);
	}
	errno = ETIMEDOUT;
	die("writeback");
}

static char *map(int flags, int fd)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static char *tmpfs_file(const struct kind *kind, bool lazy)
{
	int fd, status;
	char *p;

	/* The writer: lives on node 0, and is gone before the file is used. */
	fflush(stdout);
	if (!fork()) {
		run_on(0);
		fd = open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC, 0600);
		p = calloc(1, page);
		if (fd < 0 || !p)
			die(FILE_NAME);
		for (size_t i = 0; i < PAGES; i++)
			if (write(fd, p, page) != (ssize_t)page)
				die("write");
		p = map(MAP_SHARED, fd);
		touch(p, 0, PAGES);
		tell(kind, lazy, "before", p);
		fflush(stdout);
		_exit(0);
	}
	if (wait(&status) < 0 || status)
		exit(1);

	run_on(0);
	fd = open(FILE_NAME, O_RDWR);
	if (fd < 0)
		die(FILE_NAME);
	p = map(MAP_SHARED, fd);
	close(fd);
	unlink(FILE_NAME);
	return p;
}

static char *mapped(const struct kind *kind, bool lazy)
{
	char *p;

	run_on(0);
	p = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	touch(p, 0, PAGES);
	tell(kind, lazy, "before", p);
	return p;
}

static char *swapped(const struct kind *kind, bool lazy)
{
	char *p = mapped(kind, lazy);

	if (madvise(p, size, MADV_PAGEOUT))
		die("madvise(MADV_PAGEOUT)");
	wait_for_writeback();
	fprintf(stderr, "placement: %ld kB in the swap cache\n", counter("/proc/meminfo", "SwapCached:"));
	return p;
}

static void show(const struct kind *kind, bool lazy)
{
	char moment[24];
	char *p;

	start_counting(kind);
	p = kind->make(kind, lazy);
	bind_to_1(p, lazy);
	look(kind, lazy, "call", p);
	run_on(1);
	for (size_t i = 0; i < PAGES; i += STEP) {
		touch(p, i, STEP);
		snprintf(moment, sizeof(moment), "%zu", i + STEP);
		look(kind, lazy, moment, p);
	}
	tell(kind, lazy, "after", p);
	munmap(p, size);
}

int main(void)
{
	static const struct kind kinds[] = {
		{ "tmpfs file", tmpfs_file, "Shmem:" },
		{ "swapped memory", swapped, "SwapCached:" },
		{ "mapped memory", mapped, NULL },
	};
	const struct kind *k;

	page = sysconf(_SC_PAGESIZE);
	size = PAGES * page;
	nodes = numa_max_node() + 1;
	if (numa_available() < 0 || nodes < 2) {
		fprintf(stderr, "placement: needs two nodes\n");
		return 1;
	}
	for (k = kinds; k < kinds + sizeof(kinds) / sizeof(kinds[0]); k++) {
		show(k, false);
		if (knows_lazy())
			show(k, true);
		else
			printf("%s\tlazy\trefused\n", k->what);
	}
	return 0;
}
