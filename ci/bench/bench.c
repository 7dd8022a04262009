// SPDX-License-Identifier: GPL-2.0
/*
 * What do mbind(MPOL_MF_MOVE | MPOL_MF_LAZY), "lazy", and mbind(MPOL_MF_MOVE),
 * "eager", cost, and what do those pay who use neither? Counts instructions: QEMU
 * with -icount shift=0 advances the TSC by one with each, on whichever CPU.
 *
 * usage: bench [mib=64,256] [threads=1,4] [reps=N] PART...
 * PART is one of place, cached, optin, growth; they run in the order given.
 * Prints, separated by tabs:
 *	part	kind	MiB	threads	mode	metric	units	instructions
 * where a metric of place and growth is a sum over all units (pages), and one of
 * cached and optin is an average or a median of one fault. "moved" is in pages, and
 * "spread", how far the two smallest counts of a case lie apart, in per cent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <numa.h>
#include <numaif.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../guest/counter.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#define LAZY		(1 << 3)	/* MPOL_MF_LAZY of linux/mempolicy.h */
#define FILE_NAME	"/dev/shm/bench"
#define MIB		(1UL << 20)
#define PAGE		4096UL
#define AROUND		16		/* pages that a read fault maps in shmem */
#define RUN		64		/* pages in a run, where a tenth comes in runs */
#define THP		"/sys/kernel/mm/transparent_hugepage/"
#define AROUND_BYTES	"/sys/kernel/debug/fault_around_bytes"
#define BALANCING	"/proc/sys/kernel/numa_balancing"

static int target;			/* the last node */
static bool lazy_works;

static void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die(path);
	close(fd);
}

/* Where the kernel may have no such file */
static void try_put(const char *path, const char *value)
{
	if (!access(path, W_OK))
		put(path, value);
}

/*
 * Time, that is instructions.
 */
static inline uint64_t now(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a" (low), "=d" (high) :: "memory");
	return low | (uint64_t)high << 32;
}

static uint64_t overhead;		/* of two now() with nothing in between */

static __attribute__((noinline)) uint64_t loop(uint64_t n)
{
	uint64_t start = now();

	/* Two instructions a turn */
	asm volatile("1: dec %0\n\tjnz 1b" : "+r" (n) :: "cc");
	return now() - start;
}

static uint64_t shortest_loop(uint64_t n)
{
	uint64_t best = UINT64_MAX, t;

	for (int i = 0; i < 20; i++) {
		t = loop(n);
		if (t < best)
			best = t;
	}
	return best;
}

/* Is the clock exact, and how much goes on in the background? */
static void calibrate(void)
{
	uint64_t t, best = UINT64_MAX, raw;
	struct timespec a, b;

	for (int i = 0; i < 100; i++) {
		t = now();
		t = now() - t;
		if (t < best)
			best = t;
	}
	overhead = best;
	t = shortest_loop(200000) - shortest_loop(100000);
	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	best = loop(50000000);
	clock_gettime(CLOCK_MONOTONIC_RAW, &b);
	raw = (b.tv_sec - a.tv_sec) * 1000000000UL + b.tv_nsec - a.tv_nsec;
	fprintf(stderr, "bench: 200000 instructions counted as %ld; a read of the TSC as %ld; "
		"100000000 with interrupts as %ld, by CLOCK_MONOTONIC_RAW %ld ns\n",
		t, overhead, best, raw);
	if (t != 200000) {
		fprintf(stderr, "bench: the TSC does not count instructions: QEMU needs -icount shift=0\n");
		exit(1);
	}
}

static void tell(const char *part, const char *kind, size_t mib, int threads,
		 const char *mode, const char *metric, unsigned long units, double value)
{
	printf("%s\t%s\t%zu\t%d\t%s\t%s\t%lu\t%.3f\n", part, kind, mib, threads,
	       mode, metric, units, value);
	fflush(stdout);
}

/*
 * The machine.
 */
static void run_on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* What else runs now and then in an idle kernel is put off. */
static void settle(void)
{
	put("/proc/sys/vm/stat_interval", "100000");
	put("/proc/sys/vm/dirty_writeback_centisecs", "0");
	try_put("/proc/sys/vm/compaction_proactiveness", "0");
	try_put(BALANCING, "0");
	put(THP "khugepaged/scan_sleep_millisecs", "1000000000");
	put(THP "enabled", "madvise");
	put(THP "defrag", "madvise");
}

/* What was put off until later, by RCU say, happens now. */
static void rest(void)
{
	usleep(200000);
}

static int bind_to(char *p, size_t size, int node, unsigned int flags)
{
	unsigned long mask = 1UL << node;

	return mbind(p, size, MPOL_BIND, &mask, 64, flags);
}

/* A page in any CPU's LRU batch is not moved. move_pages() empties them all. */
static void drain(void)
{
	void *page = NULL;
	int node = 0, status;

	move_pages(0, 1, &page, &node, &status, MPOL_MF_MOVE);
}

static unsigned long pages_on(int node, char *p, size_t size)
{
	static void *addr[4096];
	static int status[4096];
	unsigned long n = 0;

	for (size_t at = 0; at < size; ) {
		size_t count = 0;

		for (; count < 4096 && at < size; at += PAGE)
			addr[count++] = p + at;
		if (move_pages(0, count, addr, NULL, status, 0))
			die("move_pages");
		for (size_t i = 0; i < count; i++)
			n += status[i] == node;
	}
	return n;
}

/* fork(), wait, and fail if the child does. */
static void in_child(void (*f)(void *), void *arg)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		f(arg);
		fflush(stdout);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) < 0 || status)
		exit(1);
}

/*
 * Part "place": mapped anonymous memory, populated on node 0, bound to the last
 * node, touched.
 */
struct kind {
	const char *name;
	size_t folio;
};

static const struct kind kinds[] = {
	{ "4K", PAGE },
	{ "64K", 16 * PAGE },
	{ "2M", 512 * PAGE },
};

enum touch { WRITE, READ, TENTH, RUNS, NR_TOUCH };
static const char *const touches[] = { "write", "read", "tenth", "runs" };

static void touch(char *p, size_t size, size_t folio, enum touch how)
{
	volatile char *v = p;
	char sum = 0;

	switch (how) {
	case WRITE:
		for (size_t i = 0; i < size; i += PAGE)
			v[i] = 1;
		break;
	case READ:
		for (size_t i = 0; i < size; i += PAGE)
			sum += v[i];
		break;
	case TENTH:			/* each tenth folio, one page of it */
		for (size_t i = 5 * folio; i < size; i += 10 * folio)
			v[i] = 1;
		break;
	case RUNS:			/* of ten runs of pages all of one */
		for (size_t i = 5 * RUN * PAGE; i < size; i += 10 * RUN * PAGE)
			for (size_t j = i; j < i + RUN * PAGE && j < size; j += PAGE)
				v[j] = 1;
		break;
	default:
		break;
	}
}

static unsigned long touched(size_t size, size_t folio, enum touch how)
{
	unsigned long n = 0;

	switch (how) {
	case TENTH:
		for (size_t i = 5 * folio; i < size; i += 10 * folio)
			n++;
		return n;
	case RUNS:
		for (size_t i = 5 * RUN * PAGE; i < size; i += 10 * RUN * PAGE)
			for (size_t j = i; j < i + RUN * PAGE && j < size; j += PAGE)
				n++;
		return n;
	default:
		return size / PAGE;
	}
}

/* Threads that each touch a part, or all of it; they sleep in between. */
static struct team {
	pthread_barrier_t go, done;
	char *p;
	size_t size, folio;
	enum touch how;
	int nr;
	bool same;
} team;

static void *member(void *arg)
{
	long me = (long)arg;
	size_t part = team.same ? team.size : team.size / team.nr;

	run_on_cpu(me);
	for (;;) {
		pthread_barrier_wait(&team.go);
		if (!team.p)
			return NULL;
		touch(team.p + (team.same ? 0 : me * part), part, team.folio, team.how);
		pthread_barrier_wait(&team.done);
	}
}

static void start_team(pthread_t *threads, int nr, char *p, size_t size, size_t folio)
{
	team.nr = nr;
	team.p = p;
	team.size = size;
	team.folio = folio;
	pthread_barrier_init(&team.go, NULL, team.nr + 1);
	pthread_barrier_init(&team.done, NULL, team.nr + 1);
	for (long i = 0; i < team.nr; i++)
		if (pthread_create(&threads[i], NULL, member, (void *)i))
			die("pthread_create");
}

static void end_team(pthread_t *threads)
{
	team.p = NULL;
	pthread_barrier_wait(&team.go);
	for (int i = 0; i < team.nr; i++)
		pthread_join(threads[i], NULL);
}

struct place {
	const struct kind *kind;
	size_t mib;
	int threads;
	int reps;
	bool lazy;
	enum touch how;			/* lazy: fault once; eager: as often as one likes */
	/* the results, the smallest of all repetitions */
	uint64_t call, total[NR_TOUCH];
	unsigned long moved;
};

static void thp_for(const struct kind *kind)
{
	put(THP "hugepages-64kB/enabled", kind->folio == 16 * PAGE ? "madvise" : "never");
	put(THP "hugepages-2048kB/enabled", kind->folio == 512 * PAGE ? "madvise" : "never");
}

static char *populate(const struct kind *kind, size_t size, void **area, size_t *len)
{
	struct rusage before, after;
	unsigned long faults, units = size / kind->folio;
	char *p;

	*len = size + 2 * MIB;
	*area = mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (*area == MAP_FAILED)
		die("mmap");
	p = (char *)(((unsigned long)*area + 2 * MIB - 1) & ~(2 * MIB - 1));
	if (madvise(p, size, kind->folio == PAGE ? MADV_NOHUGEPAGE : MADV_HUGEPAGE))
		die("madvise");
	thp_for(kind);
	getrusage(RUSAGE_SELF, &before);
	touch(p, size, PAGE, WRITE);
	getrusage(RUSAGE_SELF, &after);
	faults = after.ru_minflt - before.ru_minflt;
	if (faults < units || faults > units + units / 50 + 8) {
		fprintf(stderr, "bench: %ld faults for %ld folios of %s\n", faults, units, kind->name);
		exit(1);
	}
	drain();
	return p;
}

static void place_child(void *arg)
{
	struct place *r = arg;
	pthread_t threads[16];
	size_t size = r->mib * MIB, len;
	uint64_t t0, t1, t2;
	void *area;
	char *p;

	p = populate(r->kind, size, &area, &len);
	if (pages_on(0, p, size) < size / PAGE * 98 / 100) {
		fprintf(stderr, "bench: the memory is not on node 0\n");
		exit(1);
	}
	if (r->threads > 1)
		start_team(threads, r->threads, p, size, r->kind->folio);

	/* What pages_on() has touched itself is not for the call to take off a batch */
	drain();
	rest();
	t0 = now();
	if (bind_to(p, size, target, MPOL_MF_MOVE | (r->lazy ? LAZY : 0)))
		die("mbind");
	t1 = now();
	r->call = t1 - t0 - overhead;
	for (int how = 0; how < NR_TOUCH; how++) {
		if (r->lazy && how != (int)r->how)
			continue;
		t1 = now();
		if (r->threads > 1) {
			team.how = how;
			pthread_barrier_wait(&team.go);
			pthread_barrier_wait(&team.done);
		} else {
			touch(p, size, r->kind->folio, how);
		}
		t2 = now();
		r->total[how] = r->call + t2 - t1 - overhead;
	}
	r->moved = pages_on(target, p, size);
	if (r->threads > 1)
		end_team(threads);
	munmap(area, len);
}

static void smallest(uint64_t *best, uint64_t *next, uint64_t value, int nth)
{
	if (!nth || value < *best) {
		*next = *best;
		*best = value;
	} else if (nth == 1 || value < *next) {
		*next = value;
	}
}

static void place_one(const struct kind *kind, size_t mib, int threads, int reps,
		      bool lazy, enum touch how)
{
	static struct place *r;
	struct place best = {}, next = {};	/* the smallest, and the smallest but one */
	const char *mode = lazy ? "lazy" : "eager";
	char metric[32];

	if (!r) {
		r = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (r == MAP_FAILED)
			die("mmap");
	}
	for (int i = 0; i < MAX(reps, 1); i++) {
		*r = (struct place) { .kind = kind, .mib = mib, .threads = threads,
				      .lazy = lazy, .how = how };
		in_child(place_child, r);
		if (!i)
			best.moved = r->moved;
		best.moved = MIN(best.moved, r->moved);
		smallest(&best.call, &next.call, r->call, i);
		for (int t = 0; t < NR_TOUCH; t++)
			smallest(&best.total[t], &next.total[t], r->total[t], i);
	}
	if (!reps)
		return;
	if (!lazy || how == WRITE)
		tell("place", kind->name, mib, threads, mode, "call", mib * MIB / PAGE, best.call);
	for (int t = 0; t < NR_TOUCH; t++) {
		if (lazy && t != (int)how)
			continue;
		tell("place", kind->name, mib, threads, mode, touches[t], mib * MIB / PAGE,
		     best.total[t]);
		snprintf(metric, sizeof(metric), "moved-%s", touches[t]);
		tell("place", kind->name, mib, threads, mode, metric,
		     touched(mib * MIB, kind->folio, t), best.moved);
		if (reps == 1)
			continue;
		snprintf(metric, sizeof(metric), "spread-%s", touches[t]);
		tell("place", kind->name, mib, threads, mode, metric, reps,
		     100.0 * (next.total[t] - best.total[t]) / best.total[t]);
	}
	if (reps > 1)
		tell("place", kind->name, mib, threads, mode, "spread-call", reps,
		     100.0 * (next.call - best.call) / best.call);
}

static void part_place(size_t *mib, int *threads, int reps)
{
	for (unsigned int k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		/* Whoever is first finds the free lists in another state: not told */
		place_one(&kinds[k], mib[0], 1, 0, false, WRITE);
		for (int s = 0; mib[s]; s++) {
			for (int t = 0; threads[t]; t++) {
				/* How it grows is told by one size less than all */
				bool small = mib[s] == mib[0];

				if (threads[t] > 1 && !small)
					continue;
				place_one(&kinds[k], mib[s], threads[t], small ? reps : 1, false, 0);
				if (!lazy_works)
					continue;
				place_one(&kinds[k], mib[s], threads[t], small ? reps : 1, true, WRITE);
				if (!small)
					continue;
				place_one(&kinds[k], mib[s], threads[t], reps, true, READ);
				place_one(&kinds[k], mib[s], threads[t], reps, true, TENTH);
				if (kinds[k].folio == PAGE)
					place_one(&kinds[k], mib[s], threads[t], reps, true, RUNS);
			}
		}
	}
	thp_for(&kinds[0]);
}

/*
 * Single faults, each by itself: the median of many is free of ticks and of what
 * batches cost, which is in the average.
 */
#define NR_FAULTS	1024
static uint32_t *samples;		/* shared with children */
static double *result;			/* likewise: median, average, and what moved */

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void fault_all(char *p, size_t stride, bool write)
{
	volatile char *v = p;
	uint64_t t;

	for (int i = 0; i < NR_FAULTS; i++) {
		if (write) {
			t = now();
			v[i * stride] = 1;
			t = now() - t;
		} else {
			t = now();
			v[i * stride];
			t = now() - t;
		}
		samples[i] = t - overhead;
	}
}

static void summarize(int n)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += samples[i];
	qsort(samples, n, sizeof(*samples), compare);
	result[0] = samples[n / 2];
	result[1] = sum / n;
}

struct fault {
	const char *kind;
	bool shmem, swap, write, around;
};

/* What a fault may meet */
static const struct fault anon = { .kind = "anon first write", .write = true };
static const struct fault cached[] = {
	{ .kind = "shmem read", .shmem = true, .around = true },
	{ .kind = "shmem read, alone", .shmem = true },
	{ .kind = "shmem write", .shmem = true, .write = true },
	{ .kind = "swap read", .swap = true },
	{ .kind = "swap write", .swap = true, .write = true },
};

enum mode { NONE, BOUND, EAGER, LAZY_PLACED, LAZY_MOVED };
static const char *const modes[] = { "no policy", "bound", "eager", "lazy, in place", "lazy, moved" };

struct run {
	const struct fault *fault;
	enum mode mode;
};

static void apply(char *p, size_t size, enum mode mode)
{
	int err = 0;

	switch (mode) {
	case BOUND:
		err = bind_to(p, size, 0, 0);
		break;
	case EAGER:
		err = bind_to(p, size, target, MPOL_MF_MOVE);
		break;
	case LAZY_PLACED:
		err = bind_to(p, size, 0, MPOL_MF_MOVE | LAZY);
		break;
	case LAZY_MOVED:
		err = bind_to(p, size, target, MPOL_MF_MOVE | LAZY);
		break;
	default:
		break;
	}
	if (err)
		die("mbind");
}

static char *map(size_t size, int flags, int fd)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void write_file(void *arg)
{
	size_t size = *(size_t *)arg;
	static char page[PAGE];
	int fd = open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		die(FILE_NAME);
	for (size_t i = 0; i < size; i += PAGE)
		if (write(fd, page, PAGE) != PAGE)
			die("write");
	close(fd);
	drain();
}

static int file_on_node_0(size_t size)
{
	int fd;

	in_child(write_file, &size);
	fd = open(FILE_NAME, O_RDWR);
	if (fd < 0)
		die(FILE_NAME);
	unlink(FILE_NAME);
	return fd;
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

static void fault_child(void *arg)
{
	struct run *r = arg;
	size_t stride = r->fault->around ? AROUND * PAGE : PAGE;
	size_t size = NR_FAULTS * stride;
	struct rusage before, after;
	long majors;
	char *p;

	if (r->fault->shmem) {
		p = map(size, MAP_SHARED, file_on_node_0(size));
	} else {
		p = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		if (madvise(p, size, MADV_NOHUGEPAGE))
			die("madvise");
	}
	if (r->fault->swap) {
		touch(p, size, PAGE, WRITE);
		drain();
		if (madvise(p, size, MADV_PAGEOUT))
			die("madvise(MADV_PAGEOUT)");
		wait_for_writeback();
	}
	apply(p, size, r->mode);
	if (r->fault == &anon) {
		/* The first fault makes the page tables, the anon_vma */
		for (size_t i = 0; i <= size; i += 512 * PAGE)
			((volatile char *)p)[i < size ? i : size - PAGE] = 1;
		madvise(p, size, MADV_DONTNEED);
	}
	rest();
	getrusage(RUSAGE_SELF, &before);
	fault_all(p, stride, r->fault->write);
	getrusage(RUSAGE_SELF, &after);
	majors = after.ru_majflt - before.ru_majflt;
	if (majors > NR_FAULTS / 50) {
		fprintf(stderr, "bench: %s: %ld of %d faults read from disk\n", r->fault->kind, majors, NR_FAULTS);
		exit(1);
	}
	result[2] = pages_on(target, p, size);
	summarize(NR_FAULTS);
}

static void fault_one(const char *part, const struct fault *fault, enum mode mode,
		      const char *as, int reps)
{
	struct run r = { fault, mode };
	double median = 0, average = 0, moved = 0;
	size_t pages = NR_FAULTS * (fault->around ? AROUND : 1);

	put(AROUND_BYTES, fault->around ? "65536" : "4096");
	for (int i = 0; i < reps; i++) {
		in_child(fault_child, &r);
		if (!i || result[0] < median)
			median = result[0];
		if (!i || result[1] < average)
			average = result[1];
		if (!i || result[2] < moved)
			moved = result[2];
	}
	put(AROUND_BYTES, "65536");
	tell(part, fault->kind, 0, 1, as, "median", NR_FAULTS, median);
	tell(part, fault->kind, 0, 1, as, "average", NR_FAULTS, average);
	if (mode != NONE)
		tell(part, fault->kind, 0, 1, as, "moved", pages, moved);
}

static void part_cached(int reps)
{
	for (unsigned int i = 0; i < sizeof(cached) / sizeof(cached[0]); i++) {
		fault_one("cached", &cached[i], NONE, modes[NONE], reps);
		fault_one("cached", &cached[i], BOUND, modes[BOUND], reps);
		fault_one("cached", &cached[i], EAGER, modes[EAGER], reps);
		if (!lazy_works)
			continue;
		fault_one("cached", &cached[i], LAZY_PLACED, modes[LAZY_PLACED], reps);
		fault_one("cached", &cached[i], LAZY_MOVED, modes[LAZY_MOVED], reps);
	}
}

/*
 * A hinting fault of NUMA balancing, on a page that is where it should be. The
 * scanner runs in a tick of a task that burns time. What is local is left out for
 * a process of one thread, so there are two.
 */
static void *sleeper(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void hint_child(void *arg)
{
	size_t size = NR_FAULTS * PAGE;
	char *p = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	pthread_t thread;
	int n = 0;

	(void)arg;
	result[0] = result[1] = 0;
	if (madvise(p, size, MADV_NOHUGEPAGE))
		die("madvise");
	touch(p, size, PAGE, WRITE);
	if (pthread_create(&thread, NULL, sleeper, NULL))
		die("pthread_create");
	for (int round = 0; round < 20 && n < NR_FAULTS * 9 / 10; round++) {
		long scanned = counter("/proc/vmstat", "numa_pte_updates");
		long hints = counter("/proc/vmstat", "numa_hint_faults");

		for (int i = 0; i < 200; i++) {
			loop(5000000);
			if (counter("/proc/vmstat", "numa_pte_updates") >= scanned + NR_FAULTS * 9 / 10)
				break;
		}
		fault_all(p, PAGE, true);
		hints = counter("/proc/vmstat", "numa_hint_faults") - hints;
		/* What did not fault took a few instructions */
		n = 0;
		for (int i = 0; i < NR_FAULTS; i++)
			if (samples[i] > 100)
				samples[n++] = samples[i];
		if (n > hints)
			n = 0;
	}
	if (n >= NR_FAULTS / 2)
		summarize(n);
}

static void hints(const char *as, int reps)
{
	double median = 0, average = 0;
	int n = 0;

	if (access(BALANCING, W_OK))
		return;
	put(BALANCING, "1");
	try_put("/sys/kernel/debug/sched/numa_balancing/scan_delay_ms", "10");
	try_put("/sys/kernel/debug/sched/numa_balancing/scan_period_min_ms", "20");
	try_put("/sys/kernel/debug/sched/numa_balancing/scan_period_max_ms", "20");
	for (int i = 0; i < reps; i++) {
		in_child(hint_child, NULL);
		if (!result[0])
			continue;
		if (!n || result[0] < median)
			median = result[0];
		if (!n || result[1] < average)
			average = result[1];
		n++;
	}
	put(BALANCING, "0");
	if (!n) {
		fprintf(stderr, "bench: NUMA balancing made no hinting faults: left out\n");
		return;
	}
	tell("optin", "NUMA hint", 0, 1, as, "median", NR_FAULTS, median);
	tell("optin", "NUMA hint", 0, 1, as, "average", NR_FAULTS, average);
}

/* Somebody uses the flag, and is gone. */
static void opt_in(void *arg)
{
	char *p = map(PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	(void)arg;
	*p = 1;
	if (bind_to(p, PAGE, target, MPOL_MF_MOVE | LAZY) && lazy_works)
		die("mbind");
}

static void optin_all(const char *as, int reps)
{
	fault_one("optin", &anon, NONE, as, reps);
	for (unsigned int i = 0; i < sizeof(cached) / sizeof(cached[0]); i++)
		fault_one("optin", &cached[i], NONE, as, reps);
	hints(as, reps);
}

/* Twice on a kernel that knows no MPOL_MF_LAZY: so much do two runs differ. */
static void part_optin(int reps)
{
	optin_all("before", reps);
	in_child(opt_in, NULL);
	optin_all("after", reps);
}

/*
 * Part "growth": does a call cost more the more calls there were?
 */
#define CALLS		100
#define GROWTH_MIB	16

static void growth_calls(const char *kind, char **p, int nr, size_t size)
{
	uint64_t t, sum = 0, early = UINT64_MAX, late = UINT64_MAX;
	unsigned long pages = size / PAGE;

	for (int i = 1; i <= CALLS; i++) {
		t = now();
		for (int j = 0; j < nr; j++)
			if (bind_to(p[j], size, target, MPOL_MF_MOVE | LAZY))
				die("mbind");
		t = now() - t - overhead;
		if (i == 1)
			tell("growth", kind, size / MIB, 1, "lazy", "first", pages, t);
		else
			sum += t;
		/* The smallest of ten is free of ticks */
		if (i > 1 && i <= 11)
			early = MIN(early, t);
		if (i > CALLS - 10)
			late = MIN(late, t);
	}
	tell("growth", kind, size / MIB, 1, "lazy", "early", pages, early);
	tell("growth", kind, size / MIB, 1, "lazy", "late", pages, late);
	tell("growth", kind, size / MIB, 1, "lazy", "average", pages, (double)sum / (CALLS - 1));
	t = now();
	touch(p[0], size, PAGE, WRITE);
	tell("growth", kind, size / MIB, 1, "lazy", "touch", pages, now() - t - overhead);
	tell("growth", kind, size / MIB, 1, "lazy", "moved", pages, pages_on(target, p[0], size));
}

static void growth_anon(void *arg)
{
	size_t size = GROWTH_MIB * MIB, len;
	void *area;
	char *p = populate(&kinds[0], size, &area, &len);

	(void)arg;
	growth_calls("anon", &p, 1, size);
}

static void growth_shmem(void *arg)
{
	size_t size = GROWTH_MIB * MIB;
	char *p = map(size, MAP_SHARED, file_on_node_0(size));

	(void)arg;
	growth_calls("tmpfs, cached", &p, 1, size);
}

/* Two processes, and the file is mapped by both: one binds and touches, the other touches. */
static struct pair {
	char *p;
	size_t size;
	uint64_t took;
	bool bind;
} *pair;

static void pair_child(void *arg)
{
	int fd = *(int *)arg;
	char *p = map(pair->size, MAP_SHARED, fd);
	uint64_t t = now();

	if (pair->bind && bind_to(p, pair->size, target, MPOL_MF_MOVE | LAZY))
		die("mbind");
	touch(p, pair->size, PAGE, WRITE);
	pair->took = now() - t - overhead;
}

static void growth_pair(void *arg)
{
	size_t size = GROWTH_MIB * MIB;
	unsigned long pages = size / PAGE;
	int fd = file_on_node_0(size);
	char *two[2];

	(void)arg;
	pair->size = size;
	pair->bind = true;
	in_child(pair_child, &fd);
	tell("growth", "tmpfs, two processes", size / MIB, 1, "lazy", "first", pages, pair->took);
	pair->bind = false;
	in_child(pair_child, &fd);
	tell("growth", "tmpfs, two processes", size / MIB, 1, "lazy", "second", pages, pair->took);
	pair->bind = true;
	in_child(pair_child, &fd);
	tell("growth", "tmpfs, two processes", size / MIB, 1, "lazy", "binds again", pages, pair->took);
	close(fd);

	/* The same object in two places, bound from either in turn, mapped by both */
	fd = file_on_node_0(size);
	two[0] = map(size, MAP_SHARED, fd);
	two[1] = map(size, MAP_SHARED, fd);
	touch(two[0], size, PAGE, WRITE);
	touch(two[1], size, PAGE, WRITE);
	growth_calls("tmpfs, mapped twice", two, 2, size);
}

/*
 * Threads that all write to all pages, or to a part each. The emulation lets each CPU
 * run for a while before it is the next one's turn, so they do not meet in every page.
 */
#define CROWD	4

static void growth_crowd(void *arg)
{
	bool lazy = *(int *)arg & 1, same = *(int *)arg & 2;
	size_t size = GROWTH_MIB * MIB, len;
	pthread_t threads[CROWD];
	const char *mode = lazy ? "lazy" : "eager", *metric = same ? "same" : "parts";
	char moved[32];
	void *area;
	char *p = populate(&kinds[0], size, &area, &len);
	uint64_t t;

	team.same = same;
	team.how = WRITE;
	start_team(threads, CROWD, p, size, PAGE);
	drain();
	rest();
	t = now();
	if (bind_to(p, size, target, MPOL_MF_MOVE | (lazy ? LAZY : 0)))
		die("mbind");
	pthread_barrier_wait(&team.go);
	pthread_barrier_wait(&team.done);
	tell("growth", "crowd", GROWTH_MIB, CROWD, mode, metric, size / PAGE, now() - t - overhead);
	snprintf(moved, sizeof(moved), "moved-%s", metric);
	tell("growth", "crowd", GROWTH_MIB, CROWD, mode, moved, size / PAGE, pages_on(target, p, size));
	end_team(threads);
}

static void part_growth(void)
{
	if (!lazy_works)
		return;
	pair = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pair == MAP_FAILED)
		die("mmap");
	in_child(growth_anon, NULL);
	in_child(growth_shmem, NULL);
	in_child(growth_pair, NULL);
	for (int i = 0; i < 4; i++)
		in_child(growth_crowd, &i);
}

/* "64,256" into numbers, and a 0 */
static int list(const char *s, long *to, int max)
{
	char *end;
	int n = 0;

	while (*s && n < max - 1) {
		to[n++] = strtol(s, &end, 10);
		s = *end ? end + 1 : end;
	}
	to[n] = 0;
	return n;
}

int main(int argc, char **argv)
{
	long mib_arg[8] = { 64 }, threads_arg[8] = { 1 };
	size_t mib[8];
	int threads[8], reps = 3;

	if (numa_available() < 0 || numa_max_node() < 1) {
		fprintf(stderr, "bench: needs two nodes\n");
		return 1;
	}
	target = numa_max_node();
	samples = mmap(NULL, NR_FAULTS * sizeof(*samples), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	result = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (samples == MAP_FAILED || result == MAP_FAILED)
		die("mmap");
	run_on_cpu(0);
	settle();
	calibrate();

	for (int i = 1; i < argc; i++) {
		char *a = argv[i];

		/* Does the kernel know the flag? Asking must not be what turns it on. */
		if (!strcmp(a, "optin")) {
			part_optin(reps);
			continue;
		}
		lazy_works = !mbind(NULL, 0, MPOL_LOCAL, NULL, 0, MPOL_MF_MOVE | LAZY);
		if (!strncmp(a, "mib=", 4)) {
			list(a + 4, mib_arg, 8);
		} else if (!strncmp(a, "threads=", 8)) {
			list(a + 8, threads_arg, 8);
		} else if (!strncmp(a, "reps=", 5)) {
			reps = atoi(a + 5);
		} else if (!strcmp(a, "cached")) {
			part_cached(reps);
		} else if (!strcmp(a, "growth")) {
			part_growth();
		} else if (!strcmp(a, "place")) {
			for (int j = 0; j < 8; j++) {
				mib[j] = mib_arg[j];
				threads[j] = threads_arg[j];
			}
			part_place(mib, threads, reps);
		} else {
			fprintf(stderr, "bench: no '%s'\n", a);
			return 1;
		}
	}
	return 0;
}
