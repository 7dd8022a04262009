// SPDX-License-Identifier: GPL-2.0
/* What the guest's programs share. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The value of the line "name value ..." in a file such as /proc/vmstat. A counter
 * that is not there ends the program: it must not pass for 0.
 */
static long counter(const char *file, const char *name)
{
	char key[64];
	long value;
	FILE *f = fopen(file, "r");

	if (!f) {
		fprintf(stderr, "%s: %s\n", file, strerror(errno));
		exit(1);
	}
	while (fscanf(f, "%63s %ld%*[^\n]", key, &value) == 2) {
		if (!strcmp(key, name)) {
			fclose(f);
			return value;
		}
	}
	fclose(f);
	fprintf(stderr, "there is no %s in %s\n", name, file);
	exit(1);
}
