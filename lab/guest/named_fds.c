#define _GNU_SOURCE
#include "named_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_LISTEN_FD 3
#define MAX_FDS 512

static struct named_fd table[MAX_FDS];
static int count;

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

void named_fds_adopt(void)
{
	int fds = atoi(variable("LISTEN_FDS"));
	char names[4096];
	char *rest = names;

	if (atoi(variable("LISTEN_PID")) != getpid())
		return;
	snprintf(names, sizeof(names), "%s", variable("LISTEN_FDNAMES"));
	for (int i = 0; i < fds; i++) {
		const char *name = strsep(&rest, ":");
		int fd = FIRST_LISTEN_FD + i;

		/* they are for this program, not for what it may start */
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		named_fds_add(name ? name : "", fd);
	}
}

int named_fds_add(const char *name, int fd)
{
	if (count == MAX_FDS)
		return -1;
	snprintf(table[count].name, sizeof(table[count].name), "%s", name);
	table[count].fd = fd;
	count++;
	return fd;
}

static int index_of(const char *name)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(table[i].name, name))
			return i;
	return -1;
}

int named_fds_find(const char *name)
{
	int index = index_of(name);

	return index < 0 ? -1 : table[index].fd;
}

int named_fds_close(const char *name)
{
	int index = index_of(name);

	if (index < 0) {
		errno = EBADF;
		return -1;
	}
	if (close(table[index].fd))
		return -1;
	table[index] = table[--count];
	return 0;
}

int named_fds_count(void)
{
	return count;
}

const struct named_fd *named_fds_at(int index)
{
	return &table[index];
}
