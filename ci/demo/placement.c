// SPDX-License-Identifier: GPL-2.0
/*
 * Where are the pages? A tmpfs file that another process wrote on node 0, and
 * anonymous memory that was swapped out from node 0, are given the policy
 * "bind to node 1", and are then touched. Prints, separated by tabs:
 *	what	moment	pages on node 0	on node 1 ...
 * and, for each kind, "what	call	lazy" or "eager": which mbind() worked.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <numa.h>
#include <numaif.h>
#include <sched.h>
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
#define FILE_NAME "/dev/shm/placement"

static size_t page, size;

static void die(const char *what)
{
	fprintf(stderr, "placement: %s: %s\n", what, strerror(errno));
	exit(1);
}

/*
 * On the first CPU of the node: the pages that a CPU handled last wait in its
 * LRU batch, out of migration's reach. mbind() drains the batch of the CPU that
 * calls it, so the call is made where the pages were written.
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
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
	numa_free_cpumask(cpus);
}

static void touch(char *p)
{
	for (size_t i = 0; i < size; i += page)
		*(volatile char *)(p + i) += 1;
}

/* move_pages() without target nodes tells where each page is. */
static void tell(const char *what, const char *moment, char *p)
{
	static void *addr[PAGES];
	static int status[PAGES];
	long on[64] = { 0 };
	int nodes = numa_max_node() + 1;

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
	printf("%s\t%s", what, moment);
	for (int n = 0; n < nodes; n++)
		printf("\t%ld", on[n]);
	printf("\n");
}

/* What a program would do: lazily where the kernel can, at once where not. */
static void bind_to_1(const char *what, char *p)
{
	unsigned long mask = 1UL << 1;
	const char *how = "lazy";

	if (mbind(p, size, MPOL_BIND, &mask, 64, MPOL_MF_MOVE | LAZY)) {
		if (errno != EINVAL)
			die("mbind(MPOL_MF_MOVE | MPOL_MF_LAZY)");
		how = "eager";
		if (mbind(p, size, MPOL_BIND, &mask, 64, MPOL_MF_MOVE))
			die("mbind(MPOL_MF_MOVE)");
	}
	printf("%s\tcall\t%s\n", what, how);
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

static void tmpfs_file(void)
{
	int fd, status;
	char *p;

	/* The writer: lives on node 0, and is gone before the file is used. */
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
		touch(p);
		tell("tmpfs file", "before", p);
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
	bind_to_1("tmpfs file", p);
	run_on(1);
	touch(p);
	tell("tmpfs file", "after", p);
	munmap(p, size);
	unlink(FILE_NAME);
}

static void swapped(void)
{
	char *p;

	run_on(0);
	p = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	touch(p);
	tell("swapped memory", "before", p);
	if (madvise(p, size, MADV_PAGEOUT))
		die("madvise(MADV_PAGEOUT)");
	wait_for_writeback();
	fprintf(stderr, "placement: %ld kB in the swap cache\n", counter("/proc/meminfo", "SwapCached:"));
	bind_to_1("swapped memory", p);
	touch(p);
	tell("swapped memory", "after", p);
	munmap(p, size);
}

int main(void)
{
	page = sysconf(_SC_PAGESIZE);
	size = PAGES * page;
	if (numa_available() < 0 || numa_max_node() < 1) {
		fprintf(stderr, "placement: needs two nodes\n");
		return 1;
	}
	tmpfs_file();
	swapped();
	return 0;
}
